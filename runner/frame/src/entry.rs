// SPDX-License-Identifier: MIT
//! Entries of a reading. A reading may have a million of them, and one thread makes what another
//! frees: the entries of a map share blocks of memory, so that none has an allocation of its own.

use std::sync::Arc;

use bpfpack_decode::Field;
use bpfpack_decode::field::combine;

/// Bytes of a block, unless one entry needs more.
const BLOCK: usize = 64 << 10;

/// A key and its value. For a data section, the key is an index and the value has the variables'
/// elements there.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Has the key at `at`, and the value behind it.
    block: Arc<Vec<u8>>,
    at: u32,
    key_size: u32,
    value_size: u32,
}

impl Entry {
    /// An entry with copies of both.
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

    /// The value's bytes, to be changed. The entry gets memory of its own if it shares a block.
    pub fn value_mut(&mut self) -> &mut [u8] {
        if Arc::get_mut(&mut self.block).is_none() {
            *self = Entry::new(self.key(), self.value());
        }
        let at = self.at as usize + self.key_size as usize;
        &mut Arc::make_mut(&mut self.block)[at..][..self.value_size as usize]
    }

    /// Where the entry is in memory: entries of one block are neighbors in this order.
    #[must_use]
    pub fn position(&self) -> (usize, u32) {
        (Arc::as_ptr(&self.block).addr(), self.at)
    }

    /// Returns whether any of these counters in its value is not zero.
    #[must_use]
    pub fn has_counted(&self, counters: &[Field]) -> bool {
        counters.iter().any(|counter| counter.unsigned(self.value()) != 0)
    }

    /// Subtracts the counters of an earlier value.
    pub fn subtract(&mut self, before: &[u8], counters: &[Field]) {
        // Counters only grow. A smaller one is of an element that the program has deleted and
        // created again.
        let has_grown = |c: &Field| c.unsigned(self.value()) >= c.unsigned(before);
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
    /// Sizes of the entries in it, which are not among `made` yet.
    sizes: Vec<(u32, u32)>,
    made: Vec<Entry>,
}

impl Entries {
    /// Appends an entry with copies of both.
    pub fn push(&mut self, key: &[u8], value: &[u8]) {
        let len = key.len() + value.len();
        if !self.block.is_empty() && self.block.len() + len > BLOCK {
            self.close();
        }
        if self.block.is_empty() && !self.made.is_empty() {
            // The first block grows with its entries: many maps have few.
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

    /// Returns whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entries, in the order in which they were pushed. Nothing is left.
    pub fn take(&mut self) -> Vec<Entry> {
        self.close();
        std::mem::take(&mut self.made)
    }

    /// Makes the entries of a full block.
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
