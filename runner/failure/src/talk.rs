// SPDX-License-Identifier: MIT
//! Messages on standard error: notes and warnings except with `-q`, errors always, in color if the
//! terminal supports it. It depends on no other module.

use std::io::{self, Write as _};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anstream::AutoStream;
use anstyle::{AnsiColor, Style};
use bpfpack_schemas::printable::{message, one_line};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default().bold();

/// How long a message waits for a slow reader of standard error.
const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// Bytes that a pipe accepts without blocking once it is writable (pipe(7): `PIPE_BUF`).
const AT_ONCE: usize = 4096;

/// Writes a line to standard error. Errors are ignored, because a full disk or a closed terminal
/// must not end a trace. If the reader is slow, the rest of the message is dropped after a short
/// wait.
pub fn line(text: std::fmt::Arguments<'_>) {
    let stderr = io::stderr();
    let mut out = AutoStream::new(Vec::new(), AutoStream::choice(&stderr));
    let _ = writeln!(out, "{text}");
    let bytes = out.into_inner();
    let stderr = stderr.lock();
    for part in bytes.chunks(AT_ONCE) {
        let mut part = part;
        while !part.is_empty() {
            let is_ready = poll(&mut [PollFd::new(&stderr, PollFlags::OUT)], Some(&PATIENCE));
            match is_ready.and_then(|count| if count == 0 { Err(Errno::TIMEDOUT) } else { Ok(()) })
            {
                Ok(()) => {}
                Err(Errno::INTR) => continue,
                Err(_) => return,
            }
            match rustix::io::write(&stderr, part) {
                Ok(count) => part = &part[count..],
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(_) => return,
            }
        }
    }
}

/// The maximum number of held messages; further ones are dropped.
const MOST_HELD: usize = 1000;

/// How long the last held message is shown.
const HELD_FOR: Duration = Duration::from_secs(10);

/// Held messages and their times.
type Held = Vec<(Instant, String)>;

/// Prints messages for the user.
#[derive(Debug, Clone)]
pub struct Talk {
    quiet: bool,
    verbose: bool,
    notes: bool,
    /// The name of the tracer, if there are several in this process.
    name: Option<Arc<str>>,
    /// Messages that are held while they would disturb the screen; `None` if they are not held.
    held: Arc<Mutex<Option<Held>>>,
}

impl Talk {
    /// Prints messages according to `--quiet` and `--verbose`.
    #[must_use]
    pub fn new(quiet: bool, verbose: bool) -> Talk {
        Talk { quiet, verbose, notes: true, name: None, held: Arc::default() }
    }

    /// Prints warnings, but no notes.
    #[must_use]
    pub fn without_notes(self) -> Talk {
        Talk { notes: false, ..self }
    }

    /// Begins each message with the name of a tracer.
    #[must_use]
    pub fn named(self, name: &str) -> Talk {
        Talk { name: Some(name.into()), ..self }
    }

    /// Prints nothing.
    #[must_use]
    pub fn silent() -> Talk {
        Talk::new(true, false)
    }

    /// Prints a note about a decision.
    pub fn note(&self, text: &str) {
        if !self.quiet && self.notes {
            self.say(format!("ecli: {}{}", self.prefix(), message(text)));
        }
    }

    /// Prints a detail that only `--verbose` shows.
    pub fn detail(&self, text: &str) {
        if self.verbose {
            self.say(format!("ecli: {}{}", self.prefix(), message(text)));
        }
    }

    /// Prints a warning.
    pub fn warning(&self, text: &str) {
        if !self.quiet {
            let (prefix, text) = (self.prefix(), message(text));
            self.say(format!("{WARNING}warning:{WARNING:#} {prefix}{text}"));
        }
    }

    fn prefix(&self) -> String {
        self.name.as_ref().map_or(String::new(), |name| format!("{}: ", message(name)))
    }

    fn say(&self, text: String) {
        if let Ok(mut held) = self.held.lock()
            && let Some(held) = &mut *held
        {
            if held.len() < MOST_HELD {
                held.push((Instant::now(), text));
            }
            return;
        }
        line(format_args!("{text}"));
    }

    /// Holds messages from now on, because they would disturb a live screen.
    pub fn hold(&self) {
        if let Ok(mut held) = self.held.lock() {
            held.get_or_insert_default();
        }
    }

    /// The last held message, without colors, unless it is old.
    #[must_use]
    pub fn last_held(&self) -> Option<String> {
        let held = self.held.lock().ok()?;
        let (since, last) = held.as_ref()?.last()?;
        let is_new = since.elapsed() < HELD_FOR;
        is_new.then(|| one_line(&anstream::adapter::strip_str(last).to_string()).into_owned())
    }

    /// Writes the held messages, and holds no further ones.
    pub fn release(&self) {
        let held = self.held.lock().ok().and_then(|mut held| held.take());
        held.into_iter().flatten().for_each(|(_, text)| line(format_args!("{text}")));
    }
}

/// Prints a warning regardless of `--quiet`.
pub fn warning(text: &str) {
    line(format_args!("{WARNING}warning:{WARNING:#} {}", message(text)));
}

/// Prints an error.
pub fn error(text: &str) {
    line(format_args!("{ERROR}error:{ERROR:#} {}", message(text)));
}

/// Prints a line of another program's text.
pub fn detail(text: &str) {
    line(format_args!("  | {}", message(text)));
}

/// Prints a hint.
pub fn hint(text: &str) {
    line(format_args!("{HINT}hint:{HINT:#} {}", message(text)));
}
