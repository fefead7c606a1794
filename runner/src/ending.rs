// SPDX-License-Identifier: MIT
//! How a run ends: the reason, and how long the remaining work may take.

use std::time::{Duration, Instant};

use crate::failure::{Failure, exit_code};
use crate::symbols::Hurry;

/// The remaining work always gets this much time, however many signals arrive: timeout(1) signals
/// both its child and the process group.
const LEAST: Duration = Duration::from_millis(300);

/// Why the loop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// A signal, the time limit, or the end of the command: the remaining data is shown.
    Detach,
    /// The requested number of readings or records was shown.
    Enough,
    /// The reader of an output has closed it.
    Gone,
}

/// What one round of the loop found that can end the run.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Found {
    /// The reader of an output has closed it.
    pub(crate) is_gone: bool,
    /// Each view was read as often as requested, and no reading is being drawn.
    pub(crate) is_enough: bool,
    /// As many records were shown as requested.
    pub(crate) none_left: bool,
    /// A signal has arrived.
    pub(crate) is_signalled: bool,
    /// A stage has ended the run.
    pub(crate) is_stopped: bool,
    /// The command has ended.
    pub(crate) has_run: bool,
    /// The time limit is reached.
    pub(crate) is_over: bool,
}

impl Found {
    /// Whether the run ends now, and why.
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
    /// A signal arrived while the remaining data was read or written.
    is_signalled: bool,
}

impl Ending {
    /// For a run that has not ended. `hurry` learns when it does.
    pub(crate) fn new(hurry: Hurry) -> Ending {
        Ending { hurry, is_signalled: false }
    }

    /// Notes that the run ends now.
    pub(crate) fn begin(&self) {
        self.hurry.begin();
    }

    /// Notes that another signal arrived after the run ended.
    pub(crate) fn note_signal(&mut self) {
        self.is_signalled = true;
    }

    /// When waiting stops because of a signal.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.hurry.since().filter(|_| self.is_signalled).map(|since| since + LEAST)
    }

    /// Whether waiting has to stop.
    pub(crate) fn is_over(&self) -> bool {
        self.deadline().is_some_and(|deadline| Instant::now() >= deadline)
    }
}

/// The failure if nobody reads the output and a signal ends the wait.
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
