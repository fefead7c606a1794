// SPDX-License-Identifier: MIT
//! Messages on stderr: notes and warnings unless `-q`, errors always, colors where the terminal has
//! them. It depends on no other module.

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

/// How long a message waits for a reader of stderr that takes nothing.
const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// Bytes that a pipe takes without blocking once the kernel says that it takes some (pipe(7):
/// `PIPE_BUF`).
const AT_ONCE: usize = 4096;

/// Writes a line to stderr. A full disk or a closed terminal there is no reason to end a trace, and a
/// reader that takes nothing none to wait for long: the rest of the message is dropped.
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

/// Messages that wait at most: others are dropped, as where nobody reads stderr.
const MOST_HELD: usize = 1000;

/// How long the last one is shown meanwhile.
const HELD_FOR: Duration = Duration::from_secs(10);

/// Messages, and when each came.
type Held = Vec<(Instant, String)>;

/// Who is listening.
#[derive(Debug, Clone)]
pub struct Talk {
    quiet: bool,
    verbose: bool,
    /// Messages that wait until they are in nobody's way; none where they do not wait.
    held: Arc<Mutex<Option<Held>>>,
}

impl Talk {
    /// As the command line asks for it, by `--quiet` and `--verbose`.
    #[must_use]
    pub fn new(quiet: bool, verbose: bool) -> Talk {
        Talk { quiet, verbose, held: Arc::default() }
    }

    /// Nobody.
    #[must_use]
    pub fn silent() -> Talk {
        Talk::new(true, false)
    }

    /// What was decided for the user.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            self.say(format!("ecli: {}", message(text)));
        }
    }

    /// What only those want to know who asked for it.
    pub fn detail(&self, text: &str) {
        if self.verbose {
            self.say(format!("ecli: {}", message(text)));
        }
    }

    /// What the user should look at.
    pub fn warning(&self, text: &str) {
        if !self.quiet {
            self.say(format!("{WARNING}warning:{WARNING:#} {}", message(text)));
        }
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

    /// Messages wait from now on: they would stand in the way of what a terminal shows.
    pub fn hold(&self) {
        if let Ok(mut held) = self.held.lock() {
            held.get_or_insert_default();
        }
    }

    /// The last message that waits, without colors, unless it has been there for a while.
    #[must_use]
    pub fn last_held(&self) -> Option<String> {
        let held = self.held.lock().ok()?;
        let (since, last) = held.as_ref()?.last()?;
        let is_new = since.elapsed() < HELD_FOR;
        is_new.then(|| one_line(&anstream::adapter::strip_str(last).to_string()).into_owned())
    }

    /// Writes the messages that have waited. Others wait no longer.
    pub fn release(&self) {
        let held = self.held.lock().ok().and_then(|mut held| held.take());
        held.into_iter().flatten().for_each(|(_, text)| line(format_args!("{text}")));
    }
}

/// What the user should look at, said by somebody who knows that the user listens.
pub fn warning(text: &str) {
    line(format_args!("{WARNING}warning:{WARNING:#} {}", message(text)));
}

/// Why it ends.
pub fn error(text: &str) {
    line(format_args!("{ERROR}error:{ERROR:#} {}", message(text)));
}

/// A line of a text that is somebody else's.
pub fn detail(text: &str) {
    line(format_args!("  | {}", message(text)));
}

/// What to do about it.
pub fn hint(text: &str) {
    line(format_args!("{HINT}hint:{HINT:#} {}", message(text)));
}
