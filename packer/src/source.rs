// SPDX-License-Identifier: MIT
//! The input of the compiler: the text of the source, and the structs that must be in the object's
//! BTF.

use anyhow::anyhow;

use crate::annotations::{self, wanted_records};
use crate::export;
use crate::failure::{Failure, exit_code, too_much};
use crate::files::read_text;
use crate::message::shown;
use crate::options::{DescribeOptions, Input};

/// The input of the compiler.
#[derive(Debug)]
pub(crate) struct Source {
    /// The source; empty for an object.
    pub(crate) text: String,
    /// Structs of the export header.
    pub(crate) exported: Vec<String>,
    /// Structs that annotations name.
    pub(crate) wanted: Vec<String>,
}

impl Source {
    /// Reads the source and its export header.
    pub(crate) fn read(options: &DescribeOptions) -> Result<Source, Failure> {
        let exported = match &options.export_header {
            Some(header) => export::structs(&read_text(header)?).map_err(|error| {
                let text = format!("cannot export the structs of `{}`: {error}", shown(header));
                Failure::new(exit_code::DESCRIBE, anyhow!(text))
            })?,
            None => Vec::new(),
        };
        let text = match options.input {
            Input::Object => String::new(),
            Input::Source | Input::Header => read_text(&options.source)?,
        };
        Source::new(text, exported, options)
    }

    /// A text, with the structs of its export header.
    pub(crate) fn new(
        text: String,
        exported: Vec<String>,
        options: &DescribeOptions,
    ) -> Result<Source, Failure> {
        let found = annotations::find(&text).map_err(|error| too_much(&options.source, error))?;
        let mut wanted = wanted_records(&found);
        wanted.retain(|name| !exported.contains(name));
        Ok(Source { text, exported, wanted })
    }

    /// Lines that keep structs in the object's BTF, whether or not the source uses them.
    pub(crate) fn keepers(&self) -> String {
        let exported = export::keepers(self.exported.iter());
        exported + &export::keepers_by_use(&self.wanted, &self.text)
    }
}
