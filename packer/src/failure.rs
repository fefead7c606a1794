// SPDX-License-Identifier: MIT
//! Failures that end `ecc`, and its exit codes.

use std::path::Path;

use crate::message::{Message, shown};

/// Exit codes of `ecc`, as listed in packer/README.md.
pub(crate) mod exit_code {
    /// `ecc` itself or a system call failed.
    pub(crate) const OTHER: u8 = 1;
    /// The command line is wrong. clap uses the same code.
    pub(crate) const USAGE: u8 = 2;
    /// A file cannot be read.
    pub(crate) const NO_INPUT: u8 = 3;
    /// clang is missing, or cannot compile for BPF.
    pub(crate) const NO_COMPILER: u8 = 4;
    /// clang refused the source.
    pub(crate) const COMPILE: u8 = 5;
    /// The source compiled, but cannot be packed: an annotation or the object is invalid.
    pub(crate) const DESCRIBE: u8 = 6;
    /// A result cannot be written.
    pub(crate) const OUTPUT: u8 = 7;
}

/// A message for the user, with an exit code.
#[derive(Debug)]
pub struct Failure {
    /// The exit code, as listed in packer/README.md.
    pub exit_code: u8,
    error: Option<anyhow::Error>,
    excerpt: String,
    hint: Option<String>,
}

impl Failure {
    /// An error to print.
    pub(crate) fn new(exit_code: u8, error: impl Into<anyhow::Error>) -> Failure {
        Failure { exit_code, error: Some(error.into()), excerpt: String::new(), hint: None }
    }

    /// An error that is already reported, for example by clang.
    #[must_use]
    pub(crate) fn reported(exit_code: u8) -> Failure {
        Failure { exit_code, error: None, excerpt: String::new(), hint: None }
    }

    /// An error about lines of a source.
    pub(crate) fn at(exit_code: u8, message: Message) -> Failure {
        let error = Some(anyhow::Error::msg(message.text));
        Failure { exit_code, error, excerpt: message.excerpt, hint: None }
    }

    /// Adds what the user can do.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }

    /// Prints the message to standard error.
    pub fn report(&self) {
        if let Some(error) = &self.error {
            let message = Message { text: format!("{error:#}"), excerpt: self.excerpt.clone() };
            crate::message::error(&message);
        }
        if let Some(hint) = &self.hint {
            crate::message::hint(hint);
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.error {
            Some(error) => write!(f, "{error:#}"),
            None => write!(f, "failed with exit code {}", self.exit_code),
        }
    }
}

impl std::error::Error for Failure {}

/// A failure to read a file.
pub(crate) fn unreadable(path: &Path, error: std::io::Error) -> Failure {
    Failure::new(
        exit_code::NO_INPUT,
        anyhow::Error::new(error).context(format!("cannot read `{}`", shown(path))),
    )
}

/// A source or an object that exceeds a limit.
pub(crate) fn too_much(
    source: &Path,
    error: impl std::error::Error + Send + Sync + 'static,
) -> Failure {
    let source = shown(source);
    let error = anyhow::Error::new(error).context(format!("`{source}` cannot be packed"));
    Failure::new(exit_code::DESCRIBE, error)
}
