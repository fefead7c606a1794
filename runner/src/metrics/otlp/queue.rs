// SPDX-License-Identifier: MIT
//! Requests that wait until they are delivered, and the pauses after failures. The memory is bounded:
//! if the receiver is away for long, the oldest requests are dropped and counted.

use std::collections::VecDeque;
use std::time::Duration;

use crate::pause::{FIRST, LONGEST, pause};

/// What a request has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    Metrics,
    Logs,
}

impl Signal {
    /// Both.
    pub(crate) const ALL: [Signal; 2] = [Signal::Metrics, Signal::Logs];

    /// Its name, also the end of the path at a receiver.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Signal::Metrics => "metrics",
            Signal::Logs => "logs",
        }
    }
}

/// A request that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) signal: Signal,
    pub(super) body: Vec<u8>,
    /// The number of series or records in it.
    pub(super) items: u64,
}

/// How many series and records were delivered, and how many were lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    delivered: [u64; 2],
    lost: [u64; 2],
}

impl Counts {
    /// The number that the receiver has taken.
    pub(crate) fn delivered(&self, signal: Signal) -> u64 {
        self.delivered[signal as usize]
    }

    /// The number that the receiver refused, or that were dropped.
    pub(crate) fn lost(&self, signal: Signal) -> u64 {
        self.lost[signal as usize]
    }

    /// Counts losses.
    pub(super) fn lose(&mut self, signal: Signal, items: u64) {
        self.lost[signal as usize] += items;
    }

    /// Counts a delivery, of which the receiver refused a part.
    pub(super) fn deliver(&mut self, batch: &Batch, refused: u64) {
        let refused = refused.min(batch.items);
        self.delivered[batch.signal as usize] += batch.items - refused;
        self.lose(batch.signal, refused);
    }
}

/// The requests, oldest first.
#[derive(Debug)]
pub(super) struct Queue {
    batches: VecDeque<Batch>,
    bytes: usize,
    most: usize,
}

impl Queue {
    /// A queue of up to `most` bytes.
    pub(super) fn new(most: usize) -> Queue {
        Queue { batches: VecDeque::new(), bytes: 0, most }
    }

    /// Appends a request, and drops the oldest ones if they take too much memory together.
    pub(super) fn push(&mut self, batch: Batch, counts: &mut Counts) {
        self.bytes += batch.body.len();
        self.batches.push_back(batch);
        while self.bytes > self.most
            && let Some(dropped) = self.pop()
        {
            counts.lose(dropped.signal, dropped.items);
        }
    }

    /// The oldest request.
    pub(super) fn pop(&mut self) -> Option<Batch> {
        let batch = self.batches.pop_front()?;
        self.bytes -= batch.body.len();
        Some(batch)
    }

    /// Puts the oldest request back.
    pub(super) fn put_back(&mut self, batch: Batch, counts: &mut Counts) {
        match self.bytes + batch.body.len() > self.most {
            true => counts.lose(batch.signal, batch.items),
            false => {
                self.bytes += batch.body.len();
                self.batches.push_front(batch);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }
}

/// The pauses after failures: twice as long each time.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The pause after one more failure. A receiver may say how long it wants to be left alone.
    /// `random` spreads the pauses of many senders: 0 to 255.
    pub(super) fn fail(&mut self, wanted: Option<Duration>, random: u8) -> Duration {
        let pause = pause(self.failures);
        self.failures += 1;
        // Three quarters to five quarters.
        let spread = pause * (192 + u32::from(random) / 2) / 256;
        wanted.map_or(spread, |wanted| wanted.clamp(FIRST, 5 * LONGEST))
    }

    pub(super) fn succeed(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(signal: Signal, len: usize, items: u64) -> Batch {
        Batch { signal, body: vec![0; len], items }
    }

    #[test]
    fn the_oldest_are_dropped_and_counted() {
        let (mut queue, mut counts) = (Queue::new(100), Counts::default());
        queue.push(batch(Signal::Metrics, 40, 3), &mut counts);
        queue.push(batch(Signal::Logs, 40, 5), &mut counts);
        assert_eq!(counts, Counts::default());
        queue.push(batch(Signal::Logs, 50, 7), &mut counts);
        assert_eq!((counts.lost(Signal::Metrics), counts.lost(Signal::Logs)), (3, 0));
        let first = queue.pop().unwrap();
        assert_eq!(first.items, 5);
        queue.put_back(first, &mut counts);
        assert_eq!(queue.pop().unwrap().items, 5);
        counts.deliver(&batch(Signal::Logs, 1, 5), 2);
        assert_eq!((counts.delivered(Signal::Logs), counts.lost(Signal::Logs)), (3, 2));
        // One that alone is too large is not kept.
        queue.push(batch(Signal::Logs, 200, 9), &mut counts);
        assert!(queue.is_empty());
        assert_eq!(counts.lost(Signal::Logs), 2 + 7 + 9);
    }

    #[test]
    fn pauses_double_up_to_a_minute() {
        let mut backoff = Backoff::default();
        let pauses: Vec<u64> = (0..9).map(|_| backoff.fail(None, 128).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        backoff.succeed();
        assert_eq!(backoff.fail(None, 0), Duration::from_millis(750));
        assert_eq!(backoff.fail(Some(Duration::from_secs(9)), 0), Duration::from_secs(9));
        assert_eq!(backoff.fail(Some(Duration::from_secs(9999)), 0), Duration::from_secs(300));
    }
}
