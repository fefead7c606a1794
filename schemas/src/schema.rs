// SPDX-License-Identifier: MIT
//! JSON Schema files of the package format and of the output, generated from their types.

use schemars::schema_for;

use crate::diagnosis::Diagnosis;
use crate::meta::Meta;
use crate::output::OutputLine;
use crate::package::Wire;
use crate::report::Inspection;

/// The files in `schemas/`: name and content.
#[must_use]
pub fn files() -> Vec<(&'static str, String)> {
    [
        ("diagnosis.schema.json", schema_for!(Diagnosis)),
        ("inspection.schema.json", schema_for!(Inspection)),
        ("output.schema.json", schema_for!(OutputLine)),
        ("package.schema.json", schema_for!(Wire<'static>)),
        ("skel.schema.json", schema_for!(Meta)),
    ]
    .map(|(name, schema)| {
        let text = serde_json::to_string_pretty(&schema).unwrap_or_default();
        (name, text + "\n")
    })
    .into()
}
