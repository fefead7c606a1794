// SPDX-License-Identifier: MIT
//! What a module's buffers brought and lost, told when the run ends, as for packages.

use super::buffer::PolledBuffer;
use crate::instrument::Counters;
use crate::losses;
use crate::talk::Talk;

/// The counts of a run.
#[derive(Debug, Default)]
pub(super) struct Tally {
    taken: u64,
    lost: u64,
    /// Buffers that were polled.
    buffers: usize,
    /// Nobody counts what one of them lost.
    is_uncertain: bool,
    is_incomplete: bool,
    was_told: bool,
}

impl Tally {
    /// Adds a buffer that is not read any more. Those that the module never asked for do not count.
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

    /// Adds what concerns an object as a whole.
    pub(super) fn add_object(&mut self, counters: &Counters) {
        self.lost += counters.lost_somewhere();
        self.is_incomplete |= counters.is_incomplete();
    }

    /// Tells of the first loss while it happens.
    pub(super) fn look(&mut self, name: &str, counters: &Counters, talk: &Talk) {
        if !self.was_told && counters.lost(name) > 0 {
            self.was_told = true;
            talk.warning(&format!(
                "the buffer `{name}` is full: some records are lost, and counted"
            ));
        }
    }

    /// Tells what there was.
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
