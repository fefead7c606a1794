// SPDX-License-Identifier: MIT
//! A map that drops entries which were not used for long.

use std::collections::HashMap;
use std::hash::Hash;
use std::mem;

/// Keeps at most `limit` values, among them the `limit / 2` that were used last. If the young half
/// is full, it becomes the old half, and the values left in the previous old half are dropped.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    half: usize,
}

impl<K: Eq + Hash, V> Recent<K, V> {
    pub(crate) fn new(limit: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), half: (limit / 2).max(1) }
    }

    /// The value of a key, which is marked as used.
    pub(crate) fn get(&mut self, key: &K) -> Option<&mut V> {
        if let Some((key, value)) = self.old.remove_entry(key) {
            self.insert(key, value);
        }
        self.young.get_mut(key)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        self.old.remove(&key);
        if self.young.len() >= self.half && !self.young.contains_key(&key) {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    pub(crate) fn remove(&mut self, key: &K) {
        self.young.remove(key);
        self.old.remove(key);
    }

    pub(crate) fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_rest_is_bounded() {
        let mut recent = Recent::new(8);
        for number in 0..100 {
            recent.insert(number, number * 2);
            assert_eq!(recent.get(&0), Some(&mut 0), "at {number}");
            assert!(recent.young.len() + recent.old.len() <= 8);
        }
        assert_eq!(recent.get(&99), Some(&mut 198));
        assert_eq!(recent.get(&50), None);
        recent.insert(99, 7);
        assert_eq!(recent.get(&99), Some(&mut 7));
        recent.remove(&99);
        assert_eq!(recent.get(&99), None);
    }
}
