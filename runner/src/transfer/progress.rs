// SPDX-License-Identifier: MIT
//! Shows on a terminal how much was transferred.

use std::cell::Cell;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use bpfpack_registry::{Progress, text};

/// The time between two lines. A transfer that takes less shows none.
const PACE: Duration = Duration::from_millis(200);

/// A line on standard error that is written again and again. Dropping it removes the line.
#[derive(Debug)]
pub(crate) struct Meter {
    verb: &'static str,
    is_on: bool,
    last: Cell<Instant>,
    is_shown: Cell<bool>,
}

impl Meter {
    /// Shows nothing if standard error is not a terminal.
    pub(crate) fn new(verb: &'static str) -> Meter {
        let is_on = io::stderr().is_terminal();
        Meter { verb, is_on, last: Cell::new(Instant::now()), is_shown: Cell::new(false) }
    }
}

impl Progress for Meter {
    fn at(&self, done: u64, total: u64) {
        if self.is_on && self.last.get().elapsed() >= PACE {
            self.last.set(Instant::now());
            self.is_shown.set(true);
            let (done, total) = (text::size(done), text::size(total));
            let _ = write!(io::stderr(), "\r\x1b[K{} {done} of {total}", self.verb);
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if self.is_shown.get() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
