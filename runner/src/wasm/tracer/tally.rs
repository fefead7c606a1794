// SPDX-License-Identifier: MIT
//! The counts of a module's buffers, reported when the run ends, as for packages.

use super::buffer::PolledBuffer;
use crate::instrument::Counters;
use crate::losses;
use crate::talk::Talk;

/// The counts of a run.
#[derive(Debug, Default)]
pub(super) struct Tally {
    taken: u64,
    lost: u64,
    /// The number of buffers that were polled.
    buffers: usize,
    /// Whether the losses of some buffer are not counted.
    is_uncertain: bool,
    is_incomplete: bool,
    was_reported: bool,
}

impl Tally {
    /// Adds a buffer that is no longer read. Buffers that the module never polled do not count.
    pub(super) fn add(&mut self, name: &str, buffer: &PolledBuffer, counters: Option<&Counters>) {
        if !buffer.was_polled {
            return;
        }
        self.buffers += 1;
        self.taken += buffer.taken;
        match counters.map(|counters| counters.lost(name)).or_else(|| buffer.lost()) {
            Some(lost) => self.lost += lost,
            None => self.is_uncertain = true,
        }
    }

    /// Adds the counts of a whole object.
    pub(super) fn add_object(&mut self, counters: &Counters) {
        self.lost += counters.lost_somewhere();
        self.is_incomplete |= counters.is_incomplete();
    }

    /// Reports the first loss when it happens.
    pub(super) fn look(&mut self, name: &str, counters: &Counters, talk: &Talk) {
        if !self.was_reported && counters.lost(name) > 0 {
            self.was_reported = true;
            talk.warning(&format!(
                "the buffer `{name}` is full: some records are lost, and counted"
            ));
        }
    }

    /// Reports the counts.
    pub(super) fn close(&self, talk: &Talk) {
        if self.buffers == 0 {
            return;
        }
        let lost = losses::in_words(self.lost, self.is_uncertain);
        let mut text = format!("records: {} taken, {lost}", self.taken);
        if self.is_incomplete {
            text = format!("{text}, {}", losses::TOO_LONG);
        }
        match self.lost {
            0 => talk.note(&text),
            _ => talk.warning(&text),
        }
    }
}
