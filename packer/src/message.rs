// SPDX-License-Identifier: MIT
//! Talk on stderr: progress on a terminal only, warnings and errors always, colours where the
//! terminal has them.

use std::io::IsTerminal as _;

use anstyle::{AnsiColor, Style};

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default().bold();

/// Who is listening.
#[derive(Debug)]
pub struct Talk {
    details: bool,
    progress: bool,
    warnings: bool,
}

impl Talk {
    /// Progress is for terminals, or for those who ask for it.
    #[must_use]
    pub fn new(verbose: bool) -> Talk {
        Talk {
            details: verbose,
            progress: verbose || std::io::stderr().is_terminal(),
            warnings: true,
        }
    }

    /// Nobody.
    #[must_use]
    pub fn silent() -> Talk {
        Talk { details: false, progress: false, warnings: false }
    }

    /// A line for those who want to know everything.
    pub fn detail(&self, text: &str) {
        if self.details {
            anstream::eprintln!("{text}");
        }
    }

    /// A line on what is being done.
    pub fn progress(&self, text: &str) {
        if self.progress {
            anstream::eprintln!("{text}");
        }
    }

    /// A line on what the user should look at.
    pub fn warning(&self, text: &str) {
        if self.warnings {
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
