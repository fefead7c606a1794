// SPDX-License-Identifier: MIT
//! Talk on stderr: notes and warnings unless `-q`, errors always, colours where the terminal has
//! them.

use std::borrow::Cow;
use std::io::Write as _;

use anstyle::{AnsiColor, Style};

use crate::args::Plan;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default().bold();

/// A text as a terminal may have it: names and values in it are those of packages and modules, which
/// must not move its cursor. Ends of lines and tabs stay.
pub fn plain(text: &str) -> Cow<'_, str> {
    let is_obeyed = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if !text.contains(is_obeyed) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match is_obeyed(c) {
            true => out.push_str(&format!("\\x{:02x}", c as u32)),
            false => out.push(c),
        }
    }
    out.into()
}

/// Writes a line to stderr. A full disk or a closed terminal there is no reason to end a trace.
pub fn line(text: std::fmt::Arguments<'_>) {
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// Who is listening.
#[derive(Debug, Clone)]
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

    /// Nobody.
    #[cfg(all(any(test, fuzzing), feature = "wasm"))]
    pub fn silent() -> Talk {
        Talk { quiet: true, verbose: false }
    }

    /// What was decided for the user.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            line(format_args!("ecli: {}", plain(text)));
        }
    }

    /// What only those want to know who asked for it.
    pub fn detail(&self, text: &str) {
        if self.verbose {
            line(format_args!("ecli: {}", plain(text)));
        }
    }

    /// What the user should look at.
    pub fn warning(&self, text: &str) {
        if !self.quiet {
            line(format_args!("{WARNING}warning:{WARNING:#} {}", plain(text)));
        }
    }
}

/// What the user should look at, said by somebody who knows that the user listens.
#[cfg(feature = "wasm")]
pub fn warning(text: &str) {
    line(format_args!("{WARNING}warning:{WARNING:#} {}", plain(text)));
}

/// Why it ends.
pub fn error(text: &str) {
    line(format_args!("{ERROR}error:{ERROR:#} {}", plain(text)));
}

/// A line of a text that is somebody else's.
pub fn detail(text: &str) {
    line(format_args!("  | {}", plain(text)));
}

/// What to do about it.
pub fn hint(text: &str) {
    line(format_args!("{HINT}hint:{HINT:#} {}", plain(text)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_terminals_obey_is_shown_as_escapes() {
        assert_eq!(plain("a `\u{e9}`\n\tb"), "a `\u{e9}`\n\tb");
        assert_eq!(plain("\x1b[31m\x07\u{9b}\r"), "\\x1b[31m\\x07\\x9b\\x0d");
    }
}
