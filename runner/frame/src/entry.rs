// SPDX-License-Identifier: MIT
//! Entries of a reading. A reading may have a million of them, and one thread frees what
//! another allocates, so the entries of a map share blocks of memory instead of having one
//! allocation each.

use std::sync::Arc;

use bpfpack_decode::Field;
use bpfpack_decode::field::{combine, has_grown};

/// The size of a block in bytes, unless one entry needs more.
const BLOCK: usize = 64 << 10;

/// A key and its value. For a data section, the key is an index and the value has the variables'
/// elements there.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Contains the key at offset `at`, followed by the value.
    block: Arc<Vec<u8>>,
    at: u32,
    key_size: u32,
    value_size: u32,
}

impl Entry {
    /// An entry with copies of a key and a value.
    #[must_use]
    pub fn new(key: &[u8], value: &[u8]) -> Entry {
        let mut bytes = Vec::with_capacity(key.len() + value.len());
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(value);
        let (key_size, value_size) = (key.len() as u32, value.len() as u32);
        Entry { block: Arc::new(bytes), at: 0, key_size, value_size }
    }

    /// The key's bytes.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.block[self.at as usize..][..self.key_size as usize]
    }

    /// The value's bytes.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        let at = self.at as usize + self.key_size as usize;
        &self.block[at..][..self.value_size as usize]
    }

    /// The value's bytes for modification. If the entry shares a block, it is first copied to
    /// memory of its own.
    pub fn value_mut(&mut self) -> &mut [u8] {
        if Arc::get_mut(&mut self.block).is_none() {
            *self = Entry::new(self.key(), self.value());
        }
        let at = self.at as usize + self.key_size as usize;
        &mut Arc::make_mut(&mut self.block)[at..][..self.value_size as usize]
    }

    /// The entry's location in memory. Sorting by it puts entries of a block next to each other.
    #[must_use]
    pub fn position(&self) -> (usize, u32) {
        (Arc::as_ptr(&self.block).addr(), self.at)
    }

    /// Whether any of these counters in its value is not zero.
    #[must_use]
    pub fn has_counted(&self, counters: &[Field]) -> bool {
        counters.iter().any(|counter| counter.unsigned(self.value()) != 0)
    }

    /// Subtracts the counters of an earlier value, unless one of them has decreased.
    pub fn subtract(&mut self, before: &[u8], counters: &[Field]) {
        // Counters only grow. If one is smaller, the program has deleted the element and created
        // it again.
        let has_grown = |c: &Field| has_grown(c.size, c.unsigned(before), c.unsigned(self.value()));
        if counters.iter().all(has_grown) {
            combine(self.value_mut(), before, counters, u128::wrapping_sub);
        }
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Entry) -> bool {
        (self.key(), self.value()) == (other.key(), other.value())
    }
}

impl Eq for Entry {}

/// Makes entries that share blocks of memory.
#[derive(Debug, Default)]
pub struct Entries {
    /// The block that is being filled.
    block: Vec<u8>,
    /// The sizes of the key and value of each entry in `block`; these are not in `made` yet.
    sizes: Vec<(u32, u32)>,
    made: Vec<Entry>,
}

impl Entries {
    /// Appends an entry with copies of a key and a value.
    pub fn push(&mut self, key: &[u8], value: &[u8]) {
        let len = key.len() + value.len();
        if !self.block.is_empty() && self.block.len() + len > BLOCK {
            self.close();
        }
        if self.block.is_empty() && !self.made.is_empty() {
            // The first block grows with its entries, because many maps have only a few.
            self.block.reserve(len.max(BLOCK));
        }
        self.block.extend_from_slice(key);
        self.block.extend_from_slice(value);
        self.sizes.push((key.len() as u32, value.len() as u32));
    }

    /// The number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.made.len() + self.sizes.len()
    }

    /// Whether there are no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Removes all entries and returns them in the order in which they were pushed.
    pub fn take(&mut self) -> Vec<Entry> {
        self.close();
        std::mem::take(&mut self.made)
    }

    /// Closes the current block and moves its entries to `made`.
    fn close(&mut self) {
        let mut bytes = std::mem::take(&mut self.block);
        if bytes.capacity() - bytes.len() > BLOCK / 8 {
            bytes.shrink_to_fit();
        }
        let block = Arc::new(bytes);
        let mut at = 0;
        for (key_size, value_size) in self.sizes.drain(..) {
            self.made.push(Entry { block: Arc::clone(&block), at, key_size, value_size });
            at += key_size + value_size;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(entries: &[Entry]) -> Vec<(&[u8], &[u8])> {
        entries.iter().map(|entry| (entry.key(), entry.value())).collect()
    }

    #[test]
    fn entries_of_a_block_change_apart() {
        let mut made = Entries::default();
        made.push(&[1], &[10, 11]);
        made.push(&[2, 3], &[]);
        made.push(&[], &[20]);
        assert_eq!(made.len(), 3);
        let mut entries = made.take();
        assert!(made.is_empty());
        let before = entries.clone();
        assert_eq!(pairs(&entries), [(&[1][..], &[10, 11][..]), (&[2, 3], &[]), (&[], &[20])]);
        entries[0].value_mut()[1] = 12;
        entries[2].value_mut()[0] = 21;
        assert_eq!(pairs(&entries), [(&[1][..], &[10, 12][..]), (&[2, 3], &[]), (&[], &[21])]);
        assert_eq!(before[0], Entry::new(&[1], &[10, 11]));
        assert_ne!(before[0], entries[0]);
        let place = entries[0].position();
        entries[0].value_mut()[1] = 13;
        assert_eq!(entries[0].position(), place, "it has memory of its own");
    }

    #[test]
    fn blocks_are_closed_when_they_are_full() {
        let mut made = Entries::default();
        let large = vec![7; BLOCK];
        made.push(&[1], &large);
        for key in 0..3 * BLOCK as u32 / 100 {
            made.push(&key.to_le_bytes(), &[key as u8; 96]);
        }
        let entries = made.take();
        assert_eq!(entries[0].value(), large);
        let blocks: std::collections::BTreeSet<usize> =
            entries.iter().map(|entry| entry.position().0).collect();
        assert_eq!(blocks.len(), 5);
        assert!(entries.iter().all(|entry| entry.block.capacity() <= BLOCK + 1));
        for (key, entry) in (0u32..).zip(&entries[1..]) {
            assert_eq!(
                (entry.key(), entry.value()),
                (&key.to_le_bytes()[..], &[key as u8; 96][..])
            );
        }
    }
}
