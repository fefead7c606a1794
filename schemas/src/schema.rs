// SPDX-License-Identifier: MIT
//! JSON Schema of the format, generated from its types.

use schemars::schema_for;

use crate::meta::Meta;
use crate::package::Wire;

/// The schema files of `schemas/`: name and content.
#[must_use]
pub fn files() -> Vec<(&'static str, String)> {
    [("package.schema.json", schema_for!(Wire<'static>)), ("skel.schema.json", schema_for!(Meta))]
        .map(|(name, schema)| {
            let text = serde_json::to_string_pretty(&schema).unwrap_or_default();
            (name, text + "\n")
        })
        .into()
}
