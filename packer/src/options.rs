// SPDX-License-Identifier: MIT
//! The options that determine the description of an object, besides the object and its annotations,
//! and that failures show.

use std::path::PathBuf;

use bpfpack_schemas::object::ObjectError;

use crate::failure::{Failure, exit_code};
use crate::message::shown;

/// The kind of input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// A BPF C source.
    Source,
    /// A header, packed for its structs.
    Header,
    /// A compiled object.
    Object,
}

/// How an object is described.
#[derive(Debug, Clone)]
pub struct DescribeOptions {
    /// The name of the results: the source's name up to its first dot.
    pub name: String,
    /// The source, as the user wrote it; messages use this name.
    pub source: PathBuf,
    /// The kind of the source.
    pub input: Input,
    /// The header whose structs are exported.
    pub export_header: Option<PathBuf>,
    /// Whether the user gave flags for clang: one of them may disable something.
    pub has_flags: bool,
    /// Whether ecc recognizes the purpose of maps and variables.
    pub recognition: bool,
}

/// The options for an object `x.bpf.o`.
impl Default for DescribeOptions {
    fn default() -> DescribeOptions {
        DescribeOptions {
            name: "x".to_owned(),
            source: PathBuf::from("x.bpf.o"),
            input: Input::Object,
            export_header: None,
            has_flags: false,
            recognition: true,
        }
    }
}

impl DescribeOptions {
    /// A failure for an object of clang that cannot be used.
    pub(crate) fn bad_object(&self, error: ObjectError) -> Failure {
        let is_object = self.input == Input::Object;
        let hint = match &error {
            ObjectError::NoBtf if is_object => Some("compile it with `clang -g`"),
            ObjectError::NoBtf if !self.has_flags => Some("is the source empty?"),
            ObjectError::NoBtf => Some("does a flag in `-a` turn debug information off?"),
            _ => None,
        };
        let source = shown(&self.source);
        let what = if is_object { String::new() } else { "the object made from ".to_owned() };
        let failure = Failure::new(
            exit_code::DESCRIBE,
            anyhow::Error::new(error).context(format!("{what}`{source}` cannot be packed")),
        );
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}
