// SPDX-License-Identifier: MIT
//! The order of entries. Each is looked at once for a number that mostly decides.

use std::cmp::Ordering;

use bpfpack_decode::Layout;

use crate::frame::Entry;

/// How two entries are ordered.
#[derive(Debug, Clone, Copy)]
pub struct Comparison<P, R> {
    /// A number of an entry: where those of two differ, that is their order.
    pub prefix: P,
    /// The order of two whose numbers are the same. Where it is equal, too, they stay as they are.
    pub rest: R,
    /// The smallest comes first.
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
            // To choose takes as long as to look at each once; only what is chosen is sorted.
            if let Some(last) = most.checked_sub(1) {
                order.select_nth_unstable_by(last, compare);
            }
            order.truncate(most);
        }
        if !order.is_sorted_by(|a, b| compare(a, b).is_le()) {
            order.sort_unstable_by(compare);
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

/// Entries in the order of their keys.
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
        // What is in order is handed back as it is.
        let place = sorted.as_ptr();
        let again = in_key_order(&layout, sorted);
        assert_eq!(again.as_ptr(), place);
    }
}
