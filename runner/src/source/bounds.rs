// SPDX-License-Identifier: MIT
//! Bounds on a reading of a map: entries, bytes and time. The package sets the size of a map, and
//! often any process can create keys.

use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

use bpfpack_decode::Field;
use bpfpack_frame::{Entries, Entry};

/// Bytes of memory for an entry in addition to its key and value.
const ENTRY: usize = size_of::<Entry>() + 8;

/// Number of elements between two checks of the clock.
const LOOK: u64 = 1024;

/// A map is large if it can have this many times the elements that are shown.
const LARGE: usize = 16;

/// Tells the readings' thread what is still wanted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop(Arc<AtomicU8>);

/// What is wanted; each variant is less than the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wanted {
    /// Readings at each interval.
    All,
    /// The last reading; one that is in progress is useless.
    Last,
    /// Only what has been read so far.
    Nothing,
}

impl Stop {
    /// From now on, wants no more than this.
    pub(crate) fn want(&self, wanted: Wanted) {
        self.0.fetch_max(wanted as u8, Ordering::Relaxed);
    }

    /// What is wanted now.
    pub(crate) fn wanted(&self) -> Wanted {
        match self.0.load(Ordering::Relaxed) {
            0 => Wanted::All,
            1 => Wanted::Last,
            _ => Wanted::Nothing,
        }
    }
}

/// The bounds of a reading.
#[derive(Debug, Clone)]
pub(crate) struct Bounds {
    /// The maximum number of entries.
    pub(crate) most: usize,
    /// The maximum number of bytes of all entries.
    pub(crate) bytes: usize,
    /// Whether to skip elements that are all zeros.
    pub(crate) skips_zeros: bool,
    /// After this time, elements that do not fit are no longer counted, and reading a large map
    /// ([`LARGE`]) stops.
    pub(crate) until: Option<Instant>,
    /// What is wanted now.
    pub(crate) stop: Stop,
    /// What was wanted when the reading began. It is given up if less is wanted.
    pub(crate) wanted: Wanted,
}

impl Bounds {
    /// No bounds.
    #[cfg(test)]
    pub(crate) fn none() -> Bounds {
        Bounds {
            most: usize::MAX / 4,
            bytes: usize::MAX / 4,
            skips_zeros: false,
            until: None,
            stop: Stop::default(),
            wanted: Wanted::All,
        }
    }
}

/// The entries that were taken from a map.
#[derive(Debug)]
pub(crate) struct Collected {
    /// The entries that are kept, once all are collected.
    pub(crate) entries: Vec<Entry>,
    collecting: Entries,
    /// The number of elements that were left out.
    pub(crate) left_out: u64,
    /// Whether there may be more elements.
    pub(crate) has_more: bool,
    /// The number of elements in the map that were seen, if entries are elements.
    pub(crate) elements: Option<u64>,
    /// Whether the reading was given up because it is not wanted any more.
    pub(crate) is_given_up: bool,
    bounds: Bounds,
    /// The number of entries at which the smallest are discarded; 0 before the first entry. All
    /// entries have the same size.
    room: usize,
    /// Whether the map can have more elements than can be read in time.
    is_large: bool,
    seen: u64,
}

impl Collected {
    /// Nothing yet, from a map with at most `max_entries` elements.
    pub(crate) fn new(bounds: &Bounds, max_entries: u32) -> Collected {
        Collected {
            is_large: max_entries as usize / LARGE > bounds.most,
            entries: Vec::new(),
            collecting: Entries::default(),
            left_out: 0,
            has_more: false,
            elements: None,
            is_given_up: false,
            bounds: bounds.clone(),
            room: 0,
            seen: 0,
        }
    }

    /// The maximum number of bytes of all entries.
    pub(crate) fn most_bytes(&self) -> usize {
        self.bounds.bytes
    }

    /// How many entries of this size may be kept.
    fn most(&self, size: usize) -> usize {
        self.bounds.most.min(self.bounds.bytes / (size + ENTRY)).max(1)
    }

    /// How many entries of this size may be kept if twice as many are collected.
    fn most_of_twice(&self, size: usize) -> usize {
        self.most(2 * size)
    }

    /// Whether one more entry of this size fits in addition to `count` others.
    pub(crate) fn has_room(&self, count: usize, size: usize) -> bool {
        count < self.most(size)
    }

    /// Takes an entry. If there are too many, those with the largest counts are kept. Returns false
    /// if no more are wanted.
    pub(crate) fn push(&mut self, key: &[u8], value: &[u8], counters: &[Field]) -> bool {
        if self.bounds.skips_zeros && value.iter().all(|byte| *byte == 0) {
            return self.goes_on();
        }
        if self.room == 0 {
            // Twice as many as are kept, so that selecting takes no longer than collecting.
            self.room = self.most_of_twice(key.len() + value.len()).saturating_mul(2);
        }
        self.collecting.push(key, value);
        if self.collecting.len() >= self.room {
            self.choose(self.room / 2, counters);
        }
        self.goes_on()
    }

    /// Keeps at most the allowed number of entries after the last element.
    pub(crate) fn finish(&mut self, counters: &[Field]) {
        if self.collecting.len() > self.room / 2 {
            self.choose(self.room / 2, counters);
        }
        self.entries = self.collecting.take();
    }

    /// Keeps the `most` entries with the largest counts.
    fn choose(&mut self, most: usize, counters: &[Field]) {
        let count = |entry: &Entry| -> u128 {
            let counts = counters.iter().map(|counter| counter.unsigned(entry.value()));
            counts.fold(0, u128::saturating_add)
        };
        let mut entries = self.collecting.take();
        self.left_out += (entries.len() - most) as u64;
        entries.select_nth_unstable_by_key(most, |entry| Reverse(count(entry)));
        entries.truncate(most);
        // A block is freed with the last of its entries: what is kept moves to new blocks, one old
        // block after the other.
        entries.sort_unstable_by_key(Entry::position);
        for entry in entries {
            self.collecting.push(entry.key(), entry.value());
        }
    }

    /// Counts an element as left out. Returns false if no more are wanted.
    pub(crate) fn leave_out(&mut self) -> bool {
        self.left_out += 1;
        self.goes_on()
    }

    /// Whether more elements are wanted.
    pub(crate) fn goes_on(&mut self) -> bool {
        self.seen += 1;
        if !self.seen.is_multiple_of(LOOK) {
            return true;
        }
        if self.bounds.stop.wanted() > self.bounds.wanted {
            (self.is_given_up, self.has_more) = (true, true);
            return false;
        }
        let is_late = self.bounds.until.is_some_and(|until| Instant::now() >= until);
        if is_late && (self.left_out > 0 || self.is_large) {
            self.has_more = true;
            return false;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn push(taken: &mut Collected, key: u32, count: u64, counters: &[Field]) -> bool {
        taken.push(&key.to_le_bytes(), &count.to_le_bytes(), counters)
    }

    #[test]
    fn the_largest_stay_and_the_rest_is_counted() {
        let mut taken = Collected::new(&Bounds { most: 10, ..Bounds::none() }, 1);
        let counters = [Field { offset: 0, size: 8 }];
        for key in 0..10_000 {
            // In no order, each count once.
            assert!(push(&mut taken, key, u64::from(key) * 7919 % 10_000, &counters));
            assert!(taken.collecting.len() < 20);
        }
        taken.finish(&counters);
        let mut counts: Vec<u128> =
            { taken.entries.iter().map(|e| counters[0].unsigned(e.value())).collect() };
        counts.sort_unstable();
        assert_eq!(counts, (9990..10_000).collect::<Vec<u128>>());
        assert_eq!((taken.left_out, taken.has_more), (9990, false));
    }

    #[test]
    fn bytes_are_bounded_too() {
        let bounds = Bounds { bytes: 100_000, ..Bounds::none() };
        let mut taken = Collected::new(&bounds, 1);
        for key in 0..10_000 {
            push(&mut taken, key, 1, &[]);
        }
        taken.finish(&[]);
        let kept = taken.entries.len();
        assert!(kept * 2 * (12 + ENTRY) <= 2 * 100_000 && kept > 300, "{kept}");
        assert_eq!(taken.left_out, 10_000 - kept as u64);
        assert!(
            Collected::new(&Bounds { bytes: 1, ..bounds }, 1).has_room(0, 1 << 20),
            "one always"
        );
    }

    #[test]
    fn a_reading_ends_when_it_is_not_wanted_or_takes_too_long() {
        let bounds = Bounds { wanted: Wanted::All, ..Bounds::none() };
        let mut taken = Collected::new(&bounds, 1);
        bounds.stop.want(Wanted::Last);
        let pushed = (0..10_000).take_while(|key| push(&mut taken, *key, 1, &[])).count() as u64;
        assert!(pushed < LOOK && taken.is_given_up, "{pushed}");
        // The last reading is wanted, but not the number of elements that are left out.
        let late = Instant::now().checked_sub(Duration::from_secs(1));
        let bounds = Bounds { wanted: Wanted::Last, until: late, most: 2000, ..bounds };
        let mut taken = Collected::new(&bounds, 1);
        let pushed = (0..100_000).take_while(|key| push(&mut taken, *key, 1, &[])).count();
        assert!((4000..6000).contains(&pushed), "{pushed}");
        assert!(taken.has_more && !taken.is_given_up);
        // Reading a large map without counts stops, too.
        let bounds = Bounds { skips_zeros: true, ..bounds };
        for (max_entries, expected) in [(32_000, 100_000), (50_000_000, 1023)] {
            let mut taken = Collected::new(&bounds, max_entries);
            let pushed = (0..100_000).take_while(|key| push(&mut taken, *key, 0, &[])).count();
            assert_eq!((pushed, taken.has_more), (expected, expected == 1023));
            assert!(taken.collecting.is_empty() && taken.left_out == 0);
        }
        bounds.stop.want(Wanted::Nothing);
        assert!(bounds.stop.wanted() == Wanted::Nothing);
        bounds.stop.want(Wanted::All);
        assert!(bounds.stop.wanted() == Wanted::Nothing, "it never wants more again");
    }
}
