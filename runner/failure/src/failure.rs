// SPDX-License-Identifier: MIT
//! What ends `ecli` early, and its exit codes.

use bpfpack_schemas::object::ObjectError;

/// Exit codes of `ecli`; runner/README.md has them, too.
pub mod exit_code {
    /// Something inside ecli, or the system, failed.
    pub const OTHER: u8 = 1;
    /// The command line is wrong, the package's own arguments included. clap uses the same.
    pub const USAGE: u8 = 2;
    /// There is no such file, or it is no package that can be read.
    pub const PACKAGE: u8 = 3;
    /// The kernel did not take a program or a map.
    pub const LOAD: u8 = 4;
    /// A program could not be attached.
    pub const ATTACH: u8 = 5;
    /// The user may not load BPF programs.
    pub const PERMISSION: u8 = 6;
    /// The output could not be written. A closed pipe is no error.
    pub const OUTPUT: u8 = 7;
    /// Records were lost, where `--strict` allows none.
    pub const LOST: u8 = 8;
    /// A Wasm module cannot be used: it is none, of another kind or version, or something it
    /// needs is missing.
    pub const MODULE: u8 = 9;
    /// A Wasm module failed: it trapped, took too long, or said so.
    pub const MODULE_FAILED: u8 = 10;
    /// The command behind `--` cannot be executed. Shells use the same.
    pub const NOT_EXECUTED: u8 = 126;
    /// There is no command of this name. Shells use the same.
    pub const NO_COMMAND: u8 = 127;
}

/// A message for the user, with the exit code.
#[derive(Debug)]
pub struct Failure(Box<Inner>);

#[derive(Debug)]
struct Inner {
    exit_code: u8,
    error: anyhow::Error,
    details: Option<String>,
    hints: Vec<String>,
}

impl Failure {
    /// An error that is to be printed.
    pub fn new(exit_code: u8, error: impl Into<anyhow::Error>) -> Failure {
        Failure(Box::new(Inner {
            exit_code,
            error: error.into(),
            details: None,
            hints: Vec::new(),
        }))
    }

    /// A wrong command line.
    pub fn usage(text: impl Into<String>) -> Failure {
        Failure::new(exit_code::USAGE, anyhow::anyhow!(text.into()))
    }

    /// An error that the user was told already.
    #[must_use]
    pub fn told(exit_code: u8) -> Failure {
        Failure::new(exit_code, anyhow::anyhow!(""))
    }

    /// Adds what the user can do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.0.hints.push(hint.into());
        self
    }

    /// Adds a text of several lines that is somebody else's: the verifier's, or libbpf's.
    #[must_use]
    pub fn details(mut self, details: String) -> Failure {
        self.0.details = Some(details).filter(|details| !details.trim().is_empty());
        self
    }

    /// One of [`exit_code`].
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        self.0.exit_code
    }

    /// The message on one line, without details and hints.
    #[must_use]
    pub fn message(&self) -> String {
        format!("{:#}", self.0.error)
    }

    /// Prints it to stderr.
    pub fn report(&self) {
        let message = self.message();
        if !message.is_empty() {
            crate::talk::error(&message);
        }
        if let Some(details) = &self.0.details {
            for line in details.trim_end().lines() {
                crate::talk::detail(line);
            }
        }
        for hint in &self.0.hints {
            crate::talk::hint(hint);
        }
        // Wherever it happens, it is the same.
        if message.contains(&format!("(os error {})", libc::EMFILE)) {
            crate::talk::hint(
                "the limit on open files is too low: raise it, for example with ulimit -n 1024",
            );
        }
    }
}

/// For system calls that do not fail but in strange circumstances.
pub fn system<E: Into<anyhow::Error>>(what: &'static str) -> impl Fn(E) -> Failure {
    move |error| Failure::new(exit_code::OTHER, error.into().context(what))
}

/// An object that cannot be run.
pub fn bad_object(error: ObjectError) -> Failure {
    let no_btf = matches!(error, ObjectError::NoBtf);
    let error = anyhow::Error::new(error).context("`bpf_object` of the package cannot be used");
    let failure = Failure::new(exit_code::PACKAGE, error);
    if no_btf {
        return failure.hint("its packer must compile with `-g`, and must not strip `.BTF`");
    }
    failure
}
