// SPDX-License-Identifier: MIT
//! Limits how long ecli waits for the worker. Other processes can slow the worker down by the files
//! they provide, so the time is budgeted.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bpfpack_sys::Signals;

/// How long records wait for one response, which buffers have room for. The first response may take
/// as long as the budget allows, because the worker starts.
const BRIEF: Duration = Duration::from_millis(20);

/// The total time that records wait before they go on without names. A tenth of the elapsed time is
/// added.
const RECORDS: (Duration, u32) = (Duration::from_millis(500), 10);

/// The same for readings, which have a thread of their own. Half of the elapsed time is added.
const READINGS: (Duration, u32) = (Duration::from_secs(2), 2);

/// The total time that the last records and readings wait, also if the worker has just been
/// started. Large programs may need more; their names are requested during the run.
const LAST: Duration = Duration::from_millis(30);
const LAST_AND_FIRST: Duration = Duration::from_millis(60);

/// The time that is added for each request at the end: more than a cached response takes.
const LAST_FOR_EACH: Duration = Duration::from_micros(100);

/// Tells the symbolizer that a run ends, so that it hardly waits any more.
#[derive(Debug, Clone, Default)]
pub struct Hurry(Arc<Ends>);

/// What ends a run.
#[derive(Debug, Default)]
struct Ends {
    /// When the run ended.
    since: OnceLock<Instant>,
    /// When the run should end.
    deadline: OnceLock<Instant>,
    /// The signals that end it earlier.
    signals: OnceLock<Signals>,
}

impl Hurry {
    /// Sets the signals and the deadline that end the run.
    pub fn watch(&self, signals: Signals, deadline: Option<Instant>) {
        let _ = self.0.signals.set(signals);
        if let Some(deadline) = deadline {
            let _ = self.0.deadline.set(deadline);
        }
    }

    /// Notes that the run ends now.
    pub fn begin(&self) {
        let _ = self.0.since.set(Instant::now());
    }

    /// When the run ended, if it has.
    pub fn since(&self) -> Option<Instant> {
        self.0.since.get().copied()
    }

    /// Whether a waiting caller should handle a signal or the deadline first.
    fn is_due(&self) -> bool {
        self.0.deadline.get().is_some_and(|deadline| Instant::now() >= *deadline)
            || self.0.signals.get().is_some_and(Signals::have_come)
    }
}

/// How long to wait for responses.
#[derive(Debug, Clone)]
pub enum Patience {
    /// At most as long as a buffer has room.
    Records(Hurry),
    /// As long as a reading may take.
    Readings(Hurry),
}

impl Patience {
    fn hurry(&self) -> &Hurry {
        match self {
            Patience::Records(hurry) | Patience::Readings(hurry) => hurry,
        }
    }

    /// The maximum time for waiting, and the part of the elapsed time that is added.
    fn share(&self) -> (Duration, u32) {
        match self {
            Patience::Records(_) => RECORDS,
            Patience::Readings(_) => READINGS,
        }
    }
}

/// The time that is left for waiting.
#[derive(Debug)]
pub(crate) struct Budget {
    patience: Patience,
    left: Duration,
    /// When time was last added.
    since: Instant,
    /// Whether the worker has responded.
    is_answered: bool,
    /// Whether the run has ended.
    is_last: bool,
}

impl Budget {
    /// The full budget.
    pub(crate) fn new(patience: Patience) -> Budget {
        let left = patience.share().0;
        let since = Instant::now();
        Budget { patience, left, since, is_answered: false, is_last: false }
    }

    /// Whether the run has ended.
    pub(crate) fn is_last(&self) -> bool {
        self.patience.hurry().since().is_some()
    }

    /// Whether waiting must stop because the run should end, which the loop has not noticed yet.
    pub(crate) fn is_due(&self) -> bool {
        // Readings have a thread of their own.
        matches!(&self.patience, Patience::Records(hurry) if !self.is_last() && hurry.is_due())
    }

    /// How long to wait for a response.
    pub(crate) fn left(&mut self) -> Duration {
        if self.is_due() {
            return Duration::ZERO;
        }
        if self.is_last() {
            if !self.is_last {
                self.is_last = true;
                self.left = if self.is_answered { LAST } else { LAST_AND_FIRST };
            }
            return self.left;
        }
        let now = Instant::now();
        let (most, part) = self.patience.share();
        self.left = (self.left + now.duration_since(self.since) / part).min(most);
        self.since = now;
        match self.patience {
            Patience::Records(_) if self.is_answered => self.left.min(BRIEF),
            _ => self.left,
        }
    }

    /// Accounts for a new request.
    pub(crate) fn ask(&mut self) {
        if self.is_last {
            self.left += LAST_FOR_EACH;
        }
    }

    /// Accounts for a wait, and whether a response arrived.
    pub(crate) fn spend(&mut self, time: Duration, is_answered: bool) {
        self.left = self.left.saturating_sub(time);
        self.is_answered |= is_answered;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_wait_for_a_tenth_of_the_time() {
        let mut budget = Budget::new(Patience::Records(Hurry::default()));
        assert_eq!(budget.left(), RECORDS.0, "the worker starts");
        budget.spend(Duration::ZERO, true);
        assert_eq!(budget.left(), BRIEF);
        budget.spend(RECORDS.0, true);
        budget.spend(BRIEF, false);
        assert!(budget.left() < BRIEF / 2);
        budget.since = budget.since.checked_sub(Duration::from_millis(100)).unwrap();
        let left = budget.left();
        assert!(left >= Duration::from_millis(10) && left <= BRIEF, "{left:?}");
    }

    #[test]
    fn at_the_end_only_answers_that_come_at_once_are_waited_for() {
        let hurry = Hurry::default();
        let mut budget = Budget::new(Patience::Readings(hurry.clone()));
        assert_eq!(budget.left(), READINGS.0);
        budget.spend(Duration::ZERO, true);
        hurry.begin();
        assert_eq!(budget.left(), LAST);
        for _ in 0..10_000 {
            budget.ask();
            budget.spend(LAST_FOR_EACH / 2, true);
        }
        assert!(budget.left() > LAST, "thousands of quick answers are no reason to stop");
        budget.spend(Duration::from_secs(10), false);
        budget.ask();
        assert_eq!(budget.left(), LAST_FOR_EACH);
        assert_eq!(Budget::new(Patience::Records(hurry)).left(), LAST_AND_FIRST);
    }

    #[test]
    fn who_reads_records_looks_at_the_time_and_at_signals_first() {
        let hurry = Hurry::default();
        let mut records = Budget::new(Patience::Records(hurry.clone()));
        let mut readings = Budget::new(Patience::Readings(hurry.clone()));
        let (theirs, ours) = rustix::pipe::pipe().unwrap();
        hurry.watch(Signals::of_descriptor(theirs), None);
        assert!(!records.is_due() && records.left() > BRIEF);
        rustix::io::write(&ours, b"signal").unwrap();
        assert!(records.is_due() && records.left().is_zero());
        assert_eq!(readings.left(), READINGS.0);
        hurry.begin();
        assert!(!records.is_due() && records.left() == LAST_AND_FIRST);
    }
}
