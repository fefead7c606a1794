// SPDX-License-Identifier: MIT
//! Messages on standard error: progress only on a terminal, warnings and errors always, colors if
//! the terminal supports them.
//!
//! Names and texts come from sources, objects and the command line. Each message is one line,
//! whatever they contain, and unsafe characters are escaped. A failure to write a message is
//! ignored.

use std::fmt;
use std::io::{IsTerminal as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use anstyle::{AnsiColor, Style};
use bpfpack_schemas::printable;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default().bold();

/// A message, and the lines of the source that it refers to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Message {
    /// One line.
    pub(crate) text: String,
    /// Lines to show below the message; may be empty.
    pub(crate) excerpt: String,
}

impl From<String> for Message {
    fn from(text: String) -> Message {
        Message { text, excerpt: String::new() }
    }
}

/// Which messages are printed.
#[derive(Debug)]
pub(crate) struct Console {
    details: bool,
    progress: bool,
    warnings: bool,
}

impl Console {
    /// Prints progress on a terminal, or if it is requested.
    #[must_use]
    pub(crate) fn new(verbose: bool) -> Console {
        let progress = verbose || std::io::stderr().is_terminal();
        Console { details: verbose, progress, warnings: true }
    }

    /// Prints nothing.
    #[must_use]
    pub(crate) fn silent() -> Console {
        Console { details: false, progress: false, warnings: false }
    }

    /// Prints a line with `--verbose` only.
    pub(crate) fn detail(&self, text: &str) {
        if self.details {
            print(&Message::from(text.to_owned()), None);
        }
    }

    /// Prints a line of progress.
    pub(crate) fn progress(&self, text: &str) {
        if self.progress {
            print(&Message::from(text.to_owned()), None);
        }
    }

    /// Prints what was done, if the user may not expect it.
    pub(crate) fn note(&self, text: &str) {
        if self.warnings {
            print(&Message::from(text.to_owned()), Some((HINT, "note")));
        }
    }

    /// Prints a warning.
    pub(crate) fn warning(&self, message: impl Into<Message>) {
        if self.warnings {
            print(&message.into(), Some((WARNING, "warning")));
        }
    }
}

/// Prints an error.
pub(crate) fn error(message: &Message) {
    print(message, Some((ERROR, "error")));
}

/// Prints a complete command line that can be copied.
pub(crate) fn command(line: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{}", printable::one_line(line));
}

/// Prints a hint.
pub(crate) fn hint(text: &str) {
    print(&Message::from(text.to_owned()), Some((HINT, "hint")));
}

fn print(message: &Message, label: Option<(Style, &str)>) {
    let line = printable::one_line(&message.text);
    let line = printable::message(&line);
    let mut text = match label {
        Some((style, label)) => format!("{style}{label}:{style:#} {line}\n"),
        None => format!("{line}\n"),
    };
    if !message.excerpt.is_empty() {
        text.push_str(&printable::message(&message.excerpt));
        text.push('\n');
    }
    let _ = anstream::stderr().lock().write_all(text.as_bytes());
}

/// Whether clang is asked for colors: on a terminal, unless the environment disables colors.
pub(crate) fn has_colors() -> bool {
    let is = |name, value: &str| std::env::var_os(name).is_some_and(|known| known == value);
    let is_unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    std::io::stderr().is_terminal() && !is_unwanted && !is("TERM", "dumb")
}

/// A path in a message. Bytes that are not UTF-8 are shown, too.
pub(crate) fn shown(path: &Path) -> impl fmt::Display {
    let mut text = Vec::new();
    printable::append(path.as_os_str().as_bytes(), &mut text);
    String::from_utf8_lossy(&text).into_owned()
}
