// SPDX-License-Identifier: MIT
//! How a run ends: why, and how long what is left may take.

use std::time::{Duration, Instant};

use crate::failure::{Failure, exit_code};
use crate::symbols::Hurry;

/// What is left at the end has so much time at least, however many signals come: timeout(1) sends
/// its signal to the process and to its group.
const LEAST: Duration = Duration::from_millis(300);

/// Why the loop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// A signal, the time, or the end of the command: what is left is shown.
    Detach,
    /// As many readings or records as were asked for.
    Enough,
    /// A reader of an output has gone.
    Gone,
}

/// What was found in a round of the loop, as far as it can end the run.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Found {
    /// A reader of an output has gone.
    pub(crate) is_gone: bool,
    /// Each view was read as often as was asked for, and no reading is being drawn.
    pub(crate) is_enough: bool,
    /// As many records were shown as were asked for.
    pub(crate) none_left: bool,
    /// A signal has come.
    pub(crate) is_signalled: bool,
    /// A stage has ended the run.
    pub(crate) is_stopped: bool,
    /// The command has ended.
    pub(crate) has_run: bool,
    /// The time is over.
    pub(crate) is_over: bool,
}

impl Found {
    /// Whether, and why, the run ends now.
    pub(crate) fn end(self) -> Option<End> {
        match self {
            Found { is_gone: true, .. } => Some(End::Gone),
            Found { is_enough: true, .. } | Found { none_left: true, .. } => Some(End::Enough),
            Found { is_signalled: true, .. }
            | Found { is_stopped: true, .. }
            | Found { has_run: true, .. }
            | Found { is_over: true, .. } => Some(End::Detach),
            _ => None,
        }
    }
}

/// The end of a run, which signals can shorten.
#[derive(Debug)]
pub(crate) struct Ending {
    hurry: Hurry,
    /// A signal came while what is left was read, or written.
    is_signalled: bool,
}

impl Ending {
    /// Of a run that has not ended. `hurry` knows when it does.
    pub(crate) fn new(hurry: Hurry) -> Ending {
        Ending { hurry, is_signalled: false }
    }

    /// The run ends now.
    pub(crate) fn begin(&self) {
        self.hurry.begin();
    }

    /// A signal came behind the one that ended the run.
    pub(crate) fn note_signal(&mut self) {
        self.is_signalled = true;
    }

    /// When nothing is waited for any more, because a signal came.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.hurry.since().filter(|_| self.is_signalled).map(|since| since + LEAST)
    }

    /// Whether nothing is waited for any more.
    pub(crate) fn is_over(&self) -> bool {
        self.deadline().is_some_and(|deadline| Instant::now() >= deadline)
    }
}

/// Nobody reads the output, and a signal says not to wait.
pub(crate) fn not_written(left: usize) -> Failure {
    let error = anyhow::anyhow!(
        "{left} bytes of output were not written, and records may be missing: a signal arrived \
         while the reader of the output did not read"
    );
    Failure::new(exit_code::OUTPUT, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_ends_for_the_first_reason_that_there_is() {
        let found = Found::default();
        assert_eq!(found.end(), None);
        let all = Found {
            is_gone: true,
            is_enough: true,
            none_left: true,
            is_signalled: true,
            is_stopped: true,
            has_run: true,
            is_over: true,
        };
        assert_eq!(all.end(), Some(End::Gone), "nobody sees what is left");
        assert_eq!(Found { is_gone: false, ..all }.end(), Some(End::Enough), "no last reading");
        assert_eq!(Found { none_left: true, ..found }.end(), Some(End::Enough));
        for end in [
            Found { is_signalled: true, ..found },
            Found { is_stopped: true, ..found },
            Found { has_run: true, ..found },
            Found { is_over: true, ..found },
        ] {
            assert_eq!(end.end(), Some(End::Detach), "{end:?}");
        }
    }

    #[test]
    fn a_second_signal_counts_from_the_beginning_of_the_end() {
        let mut ending = Ending::new(Hurry::default());
        ending.note_signal();
        assert!(ending.deadline().is_none() && !ending.is_over(), "the run has not ended");
        let mut ending = Ending::new(Hurry::default());
        let begin = Instant::now();
        ending.begin();
        assert_eq!(ending.deadline(), None, "nobody is impatient");
        ending.note_signal();
        let deadline = ending.deadline().unwrap();
        assert!(deadline >= begin + LEAST && !ending.is_over());
    }
}
