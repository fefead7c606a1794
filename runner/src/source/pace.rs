// SPDX-License-Identifier: MIT
//! Decides when to poll the buffers again. Waking a reader for each record costs a program more
//! than the record itself. If records are frequent, the reader therefore naps instead of waiting to
//! be woken, but no longer than the buffers have room. For rare records, it waits, and shows them
//! at once.

use std::time::{Duration, Instant};

use super::{FULL, Round};

/// The longest nap: the delay of a record under load.
const NAP: Duration = Duration::from_millis(1);

/// The shortest nap. Below this, polling again at once is better.
const SHORTEST: Duration = Duration::from_micros(60);

/// At this distance between records, napping is cheaper than being woken.
const CLOSE: Duration = Duration::from_micros(200);

/// The pace of polling.
#[derive(Debug)]
pub(crate) struct Pace {
    nap: Duration,
    last: Instant,
    /// Whether to nap instead of waiting for the buffers.
    is_napping: bool,
    /// Whether there are more records already.
    is_behind: bool,
}

impl Pace {
    /// Waits for the first record.
    pub(crate) fn new(now: Instant) -> Pace {
        Pace { nap: NAP, last: now, is_napping: false, is_behind: false }
    }

    /// Adapts to the result of a round.
    pub(crate) fn after(&mut self, round: Round, now: Instant) {
        let passed = now.duration_since(self.last).min(Duration::from_secs(60));
        self.last = now;
        self.is_behind = round.more;
        // A round may find nothing although the buffer was ready: its program has not submitted the
        // record yet. It counts as one record, because waiting would return at once.
        let taken = u32::try_from(round.taken).unwrap_or(u32::MAX).max(1);
        self.is_napping = passed / taken < CLOSE;
        // The time in which an eighth of the fullest buffer fills.
        let fill = u32::try_from(round.fill).unwrap_or(u32::MAX).clamp(1, FULL);
        self.nap = (passed * (FULL / 8) / fill).min(NAP);
    }

    /// How long to nap; `None` to wait for the buffers.
    pub(crate) fn nap(&self) -> Option<Duration> {
        match (self.is_behind, self.is_napping) {
            (true, _) => Some(Duration::ZERO),
            (false, true) if self.nap < SHORTEST => Some(Duration::ZERO),
            (false, true) => Some(self.nap),
            (false, false) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lone_records_are_waited_for_and_floods_are_not() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        assert_eq!(pace.nap(), None);
        let at = |ms| start + Duration::from_millis(ms);
        pace.after(Round { taken: 1, fill: 0, more: false }, at(20));
        assert_eq!(pace.nap(), None, "one in 20 ms");
        pace.after(Round { taken: 100, fill: 0, more: false }, at(21));
        assert_eq!(pace.nap(), Some(NAP), "100 in 1 ms");
        pace.after(Round { taken: 1024, fill: 200, more: true }, at(22));
        assert_eq!(pace.nap(), Some(Duration::ZERO), "more is there");
        pace.after(Round { taken: 4000, fill: 512, more: false }, at(23));
        assert_eq!(pace.nap(), Some(NAP / 4), "an eighth in a quarter of the time for a half");
        let soon = at(23) + Duration::from_micros(100);
        pace.after(Round { taken: 900, fill: 512, more: false }, soon);
        assert_eq!(pace.nap(), Some(Duration::ZERO), "faster than naps are long");
        pace.after(Round { taken: 2, fill: 0, more: false }, at(90));
        assert_eq!(pace.nap(), None);
    }
}
