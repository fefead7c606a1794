// SPDX-License-Identifier: MIT
//! The failure that ends `ecli`, and exit codes.

use bpfpack_schemas::object::ObjectError;

/// Exit codes of `ecli`; runner/README.md lists them, too.
pub mod exit_code {
    /// An internal or system error.
    pub const OTHER: u8 = 1;
    /// `ecli inspect --diff`: the packages differ. diff(1) uses the same code.
    pub const DIFFERENT: u8 = 1;
    /// The command line is wrong, including arguments of the package. clap uses the same code.
    pub const USAGE: u8 = 2;
    /// The file does not exist or is not a valid package.
    pub const PACKAGE: u8 = 3;
    /// The kernel refused a program or a map.
    pub const LOAD: u8 = 4;
    /// A program could not be attached.
    pub const ATTACH: u8 = 5;
    /// The user may not load BPF programs.
    pub const PERMISSION: u8 = 6;
    /// The output could not be written. A closed pipe is not an error.
    pub const OUTPUT: u8 = 7;
    /// Records were lost, and `--strict` was given.
    pub const LOST: u8 = 8;
    /// A Wasm module cannot be used: it is not valid, of another kind or version, or an import is
    /// missing.
    pub const MODULE: u8 = 9;
    /// A Wasm module failed: it trapped, exceeded the time limit, or reported a failure.
    pub const MODULE_FAILED: u8 = 10;
    /// A policy refuses the package, or the policy file cannot be used.
    pub const REFUSED: u8 = 11;
    /// A download, a registry or its credentials failed.
    pub const FETCH: u8 = 12;
    /// The command after `--` cannot be executed. Shells use the same code.
    pub const NOT_EXECUTED: u8 = 126;
    /// The command after `--` does not exist. Shells use the same code.
    pub const NO_COMMAND: u8 = 127;
}

/// A message for the user, with an exit code.
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
    /// A failure with an error to print.
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

    /// A failure that was reported to the user already.
    #[must_use]
    pub fn told(exit_code: u8) -> Failure {
        Failure::new(exit_code, anyhow::anyhow!(""))
    }

    /// Adds a hint: what the user can do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.0.hints.push(hint.into());
        self
    }

    /// Adds a text of several lines from another program: the verifier or libbpf.
    #[must_use]
    pub fn details(mut self, details: String) -> Failure {
        self.0.details = Some(details).filter(|details| !details.trim().is_empty());
        self
    }

    /// The exit code, one of [`exit_code`].
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        self.0.exit_code
    }

    /// The message on one line, without details and hints.
    #[must_use]
    pub fn message(&self) -> String {
        format!("{:#}", self.0.error)
    }

    /// Prints the failure on standard error.
    pub fn report(&self) {
        self.report_with("");
    }

    /// Prints the failure of one of several tracers, which has this name.
    pub fn report_of(&self, name: &str) {
        self.report_with(&format!("{name}: "));
    }

    fn report_with(&self, prefix: &str) {
        let message = self.message();
        if !message.is_empty() {
            crate::talk::error(&format!("{prefix}{message}"));
        }
        if let Some(details) = &self.0.details {
            for line in details.trim_end().lines() {
                crate::talk::detail(line);
            }
        }
        for hint in &self.0.hints {
            crate::talk::hint(hint);
        }
        // This hint is useful wherever the error occurs.
        if message.contains(&format!("(os error {})", libc::EMFILE)) {
            crate::talk::hint(
                "the limit on open files is too low: raise it, for example with ulimit -n 1024",
            );
        }
    }
}

/// For system calls that fail only in unusual circumstances.
pub fn system<E: Into<anyhow::Error>>(what: &'static str) -> impl Fn(E) -> Failure {
    move |error| Failure::new(exit_code::OTHER, error.into().context(what))
}

/// The failure for an object that cannot be run.
pub fn bad_object(error: ObjectError) -> Failure {
    let no_btf = matches!(error, ObjectError::NoBtf);
    let error = anyhow::Error::new(error).context("`bpf_object` of the package cannot be used");
    let failure = Failure::new(exit_code::PACKAGE, error);
    if no_btf {
        return failure.hint("its packer must compile with `-g`, and must not strip `.BTF`");
    }
    failure
}
