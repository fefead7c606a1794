// SPDX-License-Identifier: MIT
//! Sorts entries. A number that is calculated once per entry usually decides.

use std::cmp::Ordering;

use bpfpack_decode::Layout;

use crate::entry::Entry;

/// The order of two entries.
#[derive(Debug, Clone, Copy)]
pub struct Comparison<P, R> {
    /// A number of an entry, which decides the order if two differ.
    pub prefix: P,
    /// The order of two entries with the same number. If they are equal here too, they keep their
    /// order.
    pub rest: R,
    /// Whether the smallest comes first.
    pub is_ascending: bool,
}

impl<P: Fn(&Entry) -> u128, R: Fn(&Entry, &Entry) -> Ordering> Comparison<P, R> {
    /// The first `most` entries in this order.
    #[must_use]
    pub fn first(&self, most: usize, entries: Vec<Entry>) -> Vec<Entry> {
        let mut order: Vec<(u128, u32)> =
            entries.iter().zip(0..).map(|(entry, at)| ((self.prefix)(entry), at)).collect();
        let compare = |a: &(u128, u32), b: &(u128, u32)| {
            let rest = || (self.rest)(&entries[a.1 as usize], &entries[b.1 as usize]);
            let ascending = a.0.cmp(&b.0).then_with(rest);
            let order = if self.is_ascending { ascending } else { ascending.reverse() };
            order.then(a.1.cmp(&b.1))
        };
        if most < order.len() {
            // Selecting takes linear time; only the selected entries are sorted.
            if let Some(last) = most.checked_sub(1) {
                order.select_nth_unstable_by(last, compare);
            }
            order.truncate(most);
        }
        if !order.is_sorted_by(|a, b| compare(a, b).is_le()) {
            if let Some(mut packed) = Packed::new(&order, self.is_ascending) {
                packed.sort(&mut order);
                for equals in order.chunk_by_mut(|a, b| a.0 == b.0) {
                    equals.sort_unstable_by(compare);
                }
            } else {
                order.sort_unstable_by(compare);
            }
        }
        if order.len() == entries.len()
            && order.iter().zip(0..).all(|((_, at), place)| *at == place)
        {
            return entries;
        }
        let mut entries: Vec<Option<Entry>> = entries.into_iter().map(Some).collect();
        order.into_iter().filter_map(|(_, at)| entries[at as usize].take()).collect()
    }
}

/// The numbers of entries, each packed into a word with its index in the previous order. Words are
/// sorted several times as fast as pairs.
struct Packed {
    words: Vec<u64>,
    /// The number of low bits of a word that contain the index.
    place_bits: u32,
}

impl Packed {
    /// Returns `None` if the differences between numbers and the indexes do not fit in a word.
    fn new(order: &[(u128, u32)], is_ascending: bool) -> Option<Packed> {
        let numbers = || order.iter().map(|(number, _)| *number);
        let (least, most) = (numbers().min()?, numbers().max()?);
        // Short numbers and texts are in the upper bits; the bits below are zero.
        let shift = numbers().fold(0, |bits, number| bits | (number - least)).trailing_zeros();
        let place_bits = usize::BITS - order.len().leading_zeros();
        let largest = (most - least).checked_shr(shift)?;
        if u128::BITS - largest.leading_zeros() + place_bits > u64::BITS {
            return None;
        }
        let word = |(place, number): (u64, u128)| {
            let distance = if is_ascending { number - least } else { most - number };
            ((distance >> shift) as u64) << place_bits | place
        };
        Some(Packed { words: (0..).zip(numbers()).map(word).collect(), place_bits })
    }

    /// Sorts pairs by number. Pairs with equal numbers keep their order.
    fn sort(&mut self, order: &mut Vec<(u128, u32)>) {
        self.words.sort_unstable();
        let places = (1 << self.place_bits) - 1;
        *order = self.words.iter().map(|word| order[(word & places) as usize]).collect();
    }
}

/// Sorts entries by key.
#[must_use]
pub fn in_key_order(key: &Layout, entries: Vec<Entry>) -> Vec<Entry> {
    let is_whole = key.has_whole_prefix();
    let rest = |a: &Entry, b: &Entry| match is_whole {
        true => Ordering::Equal,
        false => key.compare(a.key(), b.key()).then_with(|| a.key().cmp(b.key())),
    };
    let prefix = |entry: &Entry| key.prefix(entry.key());
    Comparison { prefix, rest, is_ascending: true }.first(usize::MAX, entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_one_word_or_more_are_ordered_alike() {
        let mut seed = 1u128;
        let mut next = || {
            seed = seed.wrapping_mul(0x2d99_787c_82f1_d8ac_9b3c_1f3a_5e0d_7c35).wrapping_add(12345);
            seed >> 40
        };
        for bits in [1, 3, 40, 62, 63, 64, 88] {
            for shift in [0, 7, 127 - bits] {
                let numbers: Vec<u128> =
                    (0..100).map(|_| (next() & ((1 << bits) - 1)) << shift).collect();
                let entry = |number: &u128| Entry::new(&number.to_le_bytes(), &[]);
                let entries: Vec<Entry> = numbers.iter().map(entry).collect();
                let number = |entry: &Entry| u128::from_le_bytes(entry.key().try_into().unwrap());
                for is_ascending in [true, false] {
                    // If numbers are equal, `rest` decides, here by the location in memory.
                    let rest = |a: &Entry, b: &Entry| b.position().cmp(&a.position());
                    let comparison = Comparison { prefix: number, rest, is_ascending };
                    let sorted = comparison.first(usize::MAX, entries.clone());
                    let mut expected = entries.clone();
                    expected.sort_by(|a, b| {
                        let order = number(a).cmp(&number(b)).then_with(|| rest(a, b));
                        if is_ascending { order } else { order.reverse() }
                    });
                    let places = |entries: &[Entry]| -> Vec<(usize, u32)> {
                        entries.iter().map(Entry::position).collect()
                    };
                    assert_eq!(places(&sorted), places(&expected), "{bits} {shift}");
                }
            }
        }
    }

    #[test]
    fn keys_are_ordered_by_all_of_them() {
        let text = |name: &[u8; 20]| Entry::new(name, &[]);
        let layout = Layout::Text { size: 20 };
        let entries = vec![
            text(b"a name of twenty bb\0"),
            text(b"a name of twenty aa\0"),
            text(b"a\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
        ];
        let sorted = in_key_order(&layout, entries.clone());
        assert_eq!(sorted, [entries[2].clone(), entries[1].clone(), entries[0].clone()]);
        // Entries in order are returned as they are.
        let place = sorted.as_ptr();
        let again = in_key_order(&layout, sorted);
        assert_eq!(again.as_ptr(), place);
    }
}
