// SPDX-License-Identifier: MIT
//! What a reading of a map may take: entries, bytes and time. A map has as many elements as its
//! package says, and keys are often made by processes that anybody can start.

use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

use bpfpack_decode::Field;
use bpfpack_frame::Entry;

/// Bytes that an entry takes beside its key and value.
const ENTRY: usize = size_of::<Entry>() + 32;

/// Elements between two looks at the clock.
const LOOK: u64 = 1024;

/// A map that can have so many times as many elements as are shown is large.
const LARGE: usize = 16;

/// Tells the readings' thread what is still wanted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop(Arc<AtomicU8>);

/// What is wanted, each less than the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wanted {
    /// Readings by the clock.
    All,
    /// The last reading: another that is being made is of no use.
    Last,
    /// What was read so far.
    Nothing,
}

impl Stop {
    /// Wants no more than this from now on.
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
    /// Entries.
    pub(crate) most: usize,
    /// Bytes of all entries.
    pub(crate) bytes: usize,
    /// Elements that nobody has touched are passed over.
    pub(crate) skips_zeros: bool,
    /// When elements beyond these are no longer counted, and a map that can have more than
    /// [`LARGE`] times as many is read no further.
    pub(crate) until: Option<Instant>,
    /// What is wanted, and what was when the reading began.
    pub(crate) stop: Stop,
    /// It is given up when less than this is wanted.
    pub(crate) wanted: Wanted,
}

impl Bounds {
    /// None but the machine's.
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

/// Entries that were taken of a map.
#[derive(Debug)]
pub(crate) struct Collected {
    /// Those that are kept.
    pub(crate) entries: Vec<Entry>,
    /// How many elements were left out.
    pub(crate) left_out: u64,
    /// There may be more of them.
    pub(crate) has_more: bool,
    /// The reading was given up: nobody wants it any more.
    pub(crate) is_given_up: bool,
    bounds: Bounds,
    /// Entries that are collected before the smallest go; 0 before the first one: all are as large.
    room: usize,
    /// The map can have more elements than can be read in time.
    is_large: bool,
    seen: u64,
}

impl Collected {
    /// Nothing yet, of a map that can have so many elements.
    pub(crate) fn new(bounds: &Bounds, max_entries: u32) -> Collected {
        Collected {
            is_large: max_entries as usize / LARGE > bounds.most,
            entries: Vec::new(),
            left_out: 0,
            has_more: false,
            is_given_up: false,
            bounds: bounds.clone(),
            room: 0,
            seen: 0,
        }
    }

    /// Bytes that all entries may have.
    pub(crate) fn most_bytes(&self) -> usize {
        self.bounds.bytes
    }

    /// How many entries of this size may be kept.
    fn most(&self, size: usize) -> usize {
        self.bounds.most.min(self.bounds.bytes / (size + ENTRY)).max(1)
    }

    /// How many entries like this may be kept, where twice as many are collected.
    fn most_of(&self, entry: &Entry) -> usize {
        self.most(2 * (entry.key().len() + entry.value().len()))
    }

    /// Whether there is room for one more entry of this size, beside `count` others.
    pub(crate) fn has_room(&self, count: usize, size: usize) -> bool {
        count < self.most(size)
    }

    /// Takes an entry. Where they are too many, those with the largest counts stay. False when no
    /// more are to come.
    pub(crate) fn push(&mut self, entry: Entry, counters: &[Field]) -> bool {
        if self.bounds.skips_zeros && entry.value().iter().all(|byte| *byte == 0) {
            return self.goes_on();
        }
        if self.room == 0 {
            // Twice as many as are kept: to choose takes as long as to collect.
            self.room = self.most_of(&entry).saturating_mul(2);
        }
        self.entries.push(entry);
        if self.entries.len() >= self.room {
            self.choose(self.room / 2, counters);
        }
        self.goes_on()
    }

    /// All elements have come.
    pub(crate) fn finish(&mut self, counters: &[Field]) {
        let Some(entry) = self.entries.first() else { return };
        let most = self.most_of(entry);
        if self.entries.len() > most {
            self.choose(most, counters);
        }
    }

    /// Leaves all out but so many, those with the largest counts.
    fn choose(&mut self, most: usize, counters: &[Field]) {
        let count = |entry: &Entry| -> u128 {
            let counts = counters.iter().map(|counter| counter.unsigned(entry.value()));
            counts.fold(0, u128::saturating_add)
        };
        self.left_out += (self.entries.len() - most) as u64;
        self.entries.select_nth_unstable_by_key(most, |entry| Reverse(count(entry)));
        self.entries.truncate(most);
    }

    /// Leaves an element out. False when no more are to come.
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

    fn entry(key: u32, count: u64) -> Entry {
        Entry::new(&key.to_le_bytes(), &count.to_le_bytes())
    }

    #[test]
    fn the_largest_stay_and_the_rest_is_counted() {
        let mut taken = Collected::new(&Bounds { most: 10, ..Bounds::none() }, 1);
        let counters = [Field { offset: 0, size: 8 }];
        for key in 0..10_000 {
            // In no order, each count once.
            assert!(taken.push(entry(key, u64::from(key) * 7919 % 10_000), &counters));
            assert!(taken.entries.len() < 20);
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
            taken.push(entry(key, 1), &[]);
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
        let pushed = (0..10_000).take_while(|key| taken.push(entry(*key, 1), &[])).count() as u64;
        assert!(pushed < LOOK && taken.is_given_up, "{pushed}");
        // The last one is wanted, but nobody waits for the count of what is left out.
        let late = Instant::now().checked_sub(Duration::from_secs(1));
        let bounds = Bounds { wanted: Wanted::Last, until: late, most: 2000, ..bounds };
        let mut taken = Collected::new(&bounds, 1);
        let pushed = (0..100_000).take_while(|key| taken.push(entry(*key, 1), &[])).count();
        assert!((4000..6000).contains(&pushed), "{pushed}");
        assert!(taken.has_more && !taken.is_given_up);
        // A large map without a count in it is read no further either.
        let bounds = Bounds { skips_zeros: true, ..bounds };
        for (max_entries, expected) in [(32_000, 100_000), (50_000_000, 1023)] {
            let mut taken = Collected::new(&bounds, max_entries);
            let pushed = (0..100_000).take_while(|key| taken.push(entry(*key, 0), &[])).count();
            assert_eq!((pushed, taken.has_more), (expected, expected == 1023));
            assert!(taken.entries.is_empty() && taken.left_out == 0);
        }
        bounds.stop.want(Wanted::Nothing);
        assert!(bounds.stop.wanted() == Wanted::Nothing);
        bounds.stop.want(Wanted::All);
        assert!(bounds.stop.wanted() == Wanted::Nothing, "it never wants more again");
    }
}
