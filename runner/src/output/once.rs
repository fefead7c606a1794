// SPDX-License-Identifier: MIT
//! `--once`: what is shown is the first record, or of each view one reading, from the first on that
//! has data. It is decided behind the stages: what they leave out is no data.

use std::collections::HashSet;

use bpfpack_frame::Reading;

/// What a run that shows one round has shown.
#[derive(Debug)]
pub(super) struct Once {
    /// Views of the package.
    views: usize,
    /// Those that were read since there was data.
    read: HashSet<usize>,
    has_data: bool,
}

impl Once {
    pub(super) fn new(views: usize) -> Once {
        Once { views, read: HashSet::new(), has_data: false }
    }

    /// Whether a reading is a part of what is shown.
    pub(super) fn shows(&mut self, reading: &Reading) -> bool {
        self.has_data |= has_data(reading);
        self.has_data && !self.read.contains(&reading.source.index)
    }

    /// A reading of a view has gone through the stages, whatever they have made of it.
    pub(super) fn note_read(&mut self, view: usize) {
        if self.has_data {
            self.read.insert(view);
        }
    }

    /// Whether there was a reading with data: records are not shown any more.
    pub(super) fn has_begun(&self) -> bool {
        self.has_data
    }

    /// Whether all was shown.
    pub(super) fn is_over(&self) -> bool {
        self.has_data && self.read.len() >= self.views
    }
}

/// Whether anything was counted. Elements that count nothing are data by being there.
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
        // A table of a stage, which has no view of the package.
        assert!(once.shows(&reading(7, &[1])) && once.has_begun());
        assert!(!once.is_over());
        once.note_read(0);
        assert!(once.is_over());
    }
}
