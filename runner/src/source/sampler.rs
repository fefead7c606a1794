// SPDX-License-Identifier: MIT
//! Periodic readings of a view: totals, or differences from the previous reading.
//!
//! Differences are calculated here from the previous reading; the map is not cleared. Reading and
//! then clearing would lose what is counted in between, and what a program adds through a pointer
//! to an element that was just deleted. Only if a map is nearly full are elements removed, in one
//! step with reading them, and only elements that did not change: see [`Sampler::relieve`].

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;

use bpfpack_frame::{Entry, in_key_order};
use bpfpack_spec::View;

use super::bounds::{Bounds, Collected, Wanted};
use super::maps::Reader;

/// A view that is read repeatedly.
#[derive(Debug)]
pub(crate) struct Sampler {
    /// The view.
    pub(crate) view: Arc<View>,
    /// The reader of its map.
    pub(crate) reader: Reader,
    /// The values at the last reading, if differences are shown.
    before: HashMap<Vec<u8>, Vec<u8>>,
}

impl Sampler {
    /// A view that has not been read.
    pub(crate) fn new(view: Arc<View>, reader: Reader) -> Sampler {
        Sampler { view, reader, before: HashMap::new() }
    }

    /// Makes a reading: the entries to show, in order of their keys.
    ///
    /// # Errors
    /// Returns the kernel's error.
    pub(crate) fn read(&mut self, bounds: &Bounds) -> io::Result<Collected> {
        // If differences are shown, an unchanged element counts as zero.
        let skips_zeros = self.view.leave_out_zeros && !self.view.differences;
        let mut reading = self.reader.read(&Bounds { skips_zeros, ..bounds.clone() })?;
        if matches!(&self.reader, Reader::Map(reader) if !reader.per_cpu && !skips_zeros) {
            reading.elements = Some(reading.entries.len() as u64 + reading.left_out);
        }
        if reading.is_given_up && bounds.wanted == Wanted::All {
            // The last reading follows; it shows the difference from the one before this.
            return Ok(reading);
        }
        if self.view.differences {
            let taken = self.relieve(&mut reading)?;
            let before = std::mem::take(&mut self.before);
            reading.entries = self.difference(std::mem::take(&mut reading.entries), &before);
            if reading.left_out > 0 || reading.has_more {
                self.remember(before, bounds.most);
            }
            // A new element with this key starts at zero.
            self.before.retain(|key, _| !taken.contains(key));
        }
        if let Some(key) = &self.view.key {
            reading.entries = in_key_order(key, std::mem::take(&mut reading.entries));
        }
        Ok(reading)
    }

    /// Makes room in a hash map that is three quarters full: removes the elements that have not
    /// changed since the last reading. If one changes at that moment, the reading shows its new
    /// value.
    fn relieve(&self, reading: &mut Collected) -> io::Result<HashSet<Vec<u8>>> {
        let mut taken = HashSet::new();
        let Reader::Map(reader) = &self.reader else {
            return Ok(taken);
        };
        let count = reading.entries.len() as u64 + reading.left_out;
        // A per-CPU entry is not an element of the map, so nothing is removed.
        if !reader.is_hash || reader.per_cpu || count * 4 < u64::from(reader.map.max_entries()) * 3
        {
            return Ok(taken);
        }
        for entry in &mut reading.entries {
            let unchanged = self.before.get(entry.key()).is_some_and(|old| old == entry.value());
            if !unchanged {
                continue;
            }
            match reader.take(entry.key()) {
                Ok(Some(value)) => {
                    entry.value_mut().copy_from_slice(&value);
                    taken.insert(entry.key().to_vec());
                }
                Ok(None) => {}
                // This kernel cannot read and remove in one step, so nothing is removed.
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(taken)
    }

    /// Keeps the values of elements that are not in this reading but may still be in the map, so
    /// that they are not counted again when they reappear.
    fn remember(&mut self, before: HashMap<Vec<u8>, Vec<u8>>, most: usize) {
        for (key, value) in before {
            if self.before.len() >= most.saturating_mul(2) {
                return;
            }
            self.before.entry(key).or_insert(value);
        }
    }

    /// The differences from `old_values`.
    fn difference(
        &mut self,
        entries: Vec<Entry>,
        old_values: &HashMap<Vec<u8>, Vec<u8>>,
    ) -> Vec<Entry> {
        let counters = &self.view.counters;
        let mut before = HashMap::with_capacity(entries.len());
        let mut shown = Vec::new();
        for mut entry in entries {
            let now = entry.value().to_vec();
            if let Some(old) = old_values.get(entry.key()) {
                entry.subtract(old, counters);
            }
            before.insert(entry.key().to_vec(), now);
            if entry.has_counted(counters) {
                shown.push(entry);
            }
        }
        self.before = before;
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::super::maps::SectionReader;
    use super::*;
    use crate::sys::map::Map;
    use bpfpack_spec::fixtures::counter_view;
    use libbpf_rs::MapType;

    fn entry(key: u8, count: u64) -> Entry {
        Entry::new(&[key], &count.to_le_bytes())
    }

    #[test]
    fn differences_add_up_to_the_total() {
        let map = Map::fake(MapType::Array, 4, 8, 1);
        let reader = Reader::Section(SectionReader { map, parts: Vec::new(), len: 0 });
        let mut sampler = Sampler::new(Arc::new(counter_view()), reader);
        let mut next = |entries: Vec<Entry>, has_more: bool| {
            let before = std::mem::take(&mut sampler.before);
            let shown = sampler.difference(entries, &before);
            if has_more {
                sampler.remember(before, 9);
            }
            shown
        };
        assert_eq!(next(vec![entry(1, 5), entry(2, 0)], false), [entry(1, 5)]);
        assert_eq!(next(vec![entry(1, 7), entry(2, 1)], false), [entry(1, 2), entry(2, 1)]);
        assert_eq!(next(vec![entry(1, 7), entry(2, 1)], false), []);
        // deleted, and created again by the program
        assert_eq!(next(vec![entry(1, 3)], false), [entry(1, 3)]);
        // gone and back
        assert_eq!(next(vec![entry(2, 1)], false), [entry(2, 1)]);
        // Left out of a partial reading, and then among the largest again.
        assert_eq!(next(vec![entry(1, 9)], true), [entry(1, 9)]);
        assert_eq!(next(vec![entry(2, 5)], false), [entry(2, 4)]);
    }
}
