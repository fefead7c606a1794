// SPDX-License-Identifier: MIT
//! Talk on stderr: notes and warnings unless `-q`, errors always, colours where the terminal has
//! them.

use anstyle::{AnsiColor, Style};

use crate::args::Plan;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default().bold();

/// Who is listening.
#[derive(Debug)]
pub struct Talk {
    quiet: bool,
    verbose: bool,
}

impl Talk {
    /// As the command line asks for it.
    #[must_use]
    pub fn new(plan: &Plan) -> Talk {
        Talk { quiet: plan.quiet, verbose: plan.verbose }
    }

    /// What was decided for the user.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            anstream::eprintln!("ecli: {text}");
        }
    }

    /// What only those want to know who asked for it.
    pub fn detail(&self, text: &str) {
        if self.verbose {
            anstream::eprintln!("ecli: {text}");
        }
    }

    /// What the user should look at.
    pub fn warning(&self, text: &str) {
        if !self.quiet {
            anstream::eprintln!("{WARNING}warning:{WARNING:#} {text}");
        }
    }
}

/// Why it ends.
pub fn error(text: &str) {
    anstream::eprintln!("{ERROR}error:{ERROR:#} {text}");
}

/// What to do about it.
pub fn hint(text: &str) {
    anstream::eprintln!("{HINT}hint:{HINT:#} {text}");
}
