// SPDX-License-Identifier: MIT
//! `--once`: the first record is shown, or one reading of each view, beginning with the first that
//! has data. This is decided after the stages, so what they filter out is not data.

use std::collections::HashSet;

use bpfpack_frame::Reading;

/// The progress of a run with `--once`.
#[derive(Debug)]
pub(super) struct Once {
    /// The number of views in the package.
    views: usize,
    /// The views that were read since there was data.
    read: HashSet<usize>,
    has_data: bool,
}

impl Once {
    pub(super) fn new(views: usize) -> Once {
        Once { views, read: HashSet::new(), has_data: false }
    }

    /// Whether a reading is part of what is shown.
    pub(super) fn shows(&mut self, reading: &Reading) -> bool {
        self.has_data |= has_data(reading);
        self.has_data && !self.read.contains(&reading.source.index)
    }

    /// Notes that a reading of a view has passed the stages, whatever they made of it.
    pub(super) fn note_read(&mut self, view: usize) {
        if self.has_data {
            self.read.insert(view);
        }
    }

    /// Whether there was a reading with data; from then on, records are not shown.
    pub(super) fn has_begun(&self) -> bool {
        self.has_data
    }

    /// Whether everything was shown.
    pub(super) fn is_over(&self) -> bool {
        self.has_data && self.read.len() >= self.views
    }
}

/// Whether a reading has data: an entry that counted something, or any entry if it has no counters.
fn has_data(reading: &Reading) -> bool {
    let counters = &reading.source.counters;
    let entries = &reading.entries;
    entries.iter().any(|entry| counters.is_empty() || entry.has_counted(counters))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bpfpack_frame::{Entry, Time};
    use bpfpack_spec::fixtures::counter_view;

    use super::*;

    fn reading(index: usize, counts: &[u64]) -> Reading {
        let mut source = counter_view();
        source.index = index;
        let entry = |count: &u64| Entry::new(&[1], &count.to_le_bytes());
        let entries = counts.iter().map(entry).collect();
        Reading::new(Arc::new(source), Time::default(), entries)
    }

    #[test]
    fn the_first_round_with_data_is_shown() {
        let mut once = Once::new(2);
        let mut take = |index, counts: &[u64]| {
            let is_shown = once.shows(&reading(index, counts));
            once.note_read(index);
            (is_shown, once.is_over())
        };
        assert_eq!(take(0, &[]), (false, false));
        assert_eq!(take(1, &[0, 0]), (false, false), "nothing was counted");
        assert_eq!(take(1, &[0, 3]), (true, false));
        assert_eq!(take(1, &[5]), (false, false), "it was shown");
        assert_eq!(take(0, &[]), (true, true), "a part of the round, if an empty one");
    }

    #[test]
    fn what_a_stage_leaves_out_was_read() {
        let mut once = Once::new(1);
        // A table of a stage, which is not a view of the package.
        assert!(once.shows(&reading(7, &[1])) && once.has_begun());
        assert!(!once.is_over());
        once.note_read(0);
        assert!(once.is_over());
    }
}
