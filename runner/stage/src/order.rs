// SPDX-License-Identifier: MIT
//! The order of a reading's entries, and their maximum number.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use bpfpack_failure::Failure;
use bpfpack_frame::{Comparison, Entry, Frame, Next, Reading, Stage};
use bpfpack_spec::View;

use crate::column::Column;
use crate::options::Sort;

/// The order of a view's entries.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// The column; `None` keeps the order of keys.
    pub column: Option<Column>,
    /// Whether the smallest comes first.
    pub is_ascending: bool,
}

impl Order {
    /// The order that the user requests, if the view has the column; otherwise the column of
    /// `otherwise`, largest first.
    #[must_use]
    pub fn of(view: &View, sort: Option<&Sort>, otherwise: fn(&View) -> Option<Column>) -> Order {
        let said =
            sort.and_then(|sort| Some((Column::find(view, &sort.column)?, sort.is_ascending)));
        match said {
            Some((column, is_ascending)) => Order { column: Some(column), is_ascending },
            None => Order { column: otherwise(view), is_ascending: false },
        }
    }

    /// The first `most` entries. Entries with equal columns keep their order.
    #[must_use]
    pub fn first(&self, view: &View, most: usize, mut entries: Vec<Entry>) -> Vec<Entry> {
        let Some(column) = &self.column else {
            entries.truncate(most);
            return entries;
        };
        let is_whole = column.has_whole_prefix();
        let rest = |a: &Entry, b: &Entry| match is_whole {
            true => Ordering::Equal,
            false => column.compare(a, b),
        };
        let prefix = |entry: &Entry| column.prefix(view, entry);
        Comparison { prefix, rest, is_ascending: self.is_ascending }.first(most, entries)
    }
}

/// Sorts the entries of readings, keeps the first ones, and numbers readings.
#[derive(Debug)]
pub(crate) struct Ordered {
    sort: Option<Sort>,
    top: Option<usize>,
    /// The order of each view.
    orders: Vec<(Arc<View>, Order)>,
    /// The number of readings of each view.
    readings: HashMap<usize, u64>,
}

impl Ordered {
    /// Sorts views that have the column of `sort`.
    pub(crate) fn new(sort: Option<Sort>, top: Option<usize>) -> Ordered {
        Ordered { sort, top, orders: Vec::new(), readings: HashMap::new() }
    }

    fn order(&mut self, view: &Arc<View>) -> usize {
        let known = self.orders.iter().position(|(known, _)| Arc::ptr_eq(known, view));
        known.unwrap_or_else(|| {
            let order = Order::of(view, self.sort.as_ref(), Column::usual);
            self.orders.push((Arc::clone(view), order));
            self.orders.len() - 1
        })
    }

    fn arrange(&mut self, reading: &mut Reading) {
        let number = self.readings.entry(reading.source.index).or_default();
        *number += 1;
        reading.number = *number;
        let at = self.order(&reading.source);
        let (view, order) = &self.orders[at];
        let found = reading.entries.len();
        let entries = std::mem::take(&mut reading.entries);
        reading.entries = order.first(view, self.top.unwrap_or(usize::MAX), entries);
        reading.hidden += (found - reading.entries.len()) as u64;
    }
}

impl Stage for Ordered {
    fn frame(&mut self, frame: Frame<'_>, next: &mut dyn Next) -> Result<(), Failure> {
        match frame {
            Frame::Reading(reading) => {
                let mut reading = Rc::unwrap_or_clone(reading);
                self.arrange(&mut reading);
                next.frame(Frame::Reading(reading.into()))
            }
            frame => next.frame(frame),
        }
    }

    fn sees_records(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use bpfpack_decode::{Layout, Member, Struct};
    use bpfpack_frame::Time;
    use bpfpack_spec::fixtures::counter_view;

    use super::*;
    use crate::fixtures::{Out, histogram_view};

    fn entry(key: u8, count: u64) -> Entry {
        Entry::new(&[key], &count.to_le_bytes())
    }

    fn keys(entries: &[Entry]) -> Vec<u8> {
        entries.iter().map(|entry| entry.key()[0]).collect()
    }

    fn arranged(stage: &mut Ordered, view: View, entries: Vec<Entry>) -> (Vec<u8>, u64, u64) {
        let mut out = Out::default();
        let reading = Reading::new(Arc::new(view), Time::default(), entries);
        stage.frame(Frame::Reading(reading.into()), &mut out).unwrap();
        let reading = out.0.pop().unwrap();
        (keys(&reading.entries), reading.number, reading.hidden)
    }

    #[test]
    fn tables_come_with_the_largest_first_and_readings_are_numbered() {
        let entries = || vec![entry(1, 5), entry(2, 900), entry(3, 5), entry(4, 70)];
        let mut stage = Ordered::new(None, None);
        assert_eq!(arranged(&mut stage, counter_view(), entries()), (vec![2, 4, 1, 3], 1, 0));
        assert_eq!(arranged(&mut stage, counter_view(), entries()), (vec![2, 4, 1, 3], 2, 0));
        let mut stage = Ordered::new(None, Some(2));
        assert_eq!(arranged(&mut stage, counter_view(), entries()), (vec![2, 4], 1, 2));
        assert!(arranged(&mut Ordered::new(None, Some(9)), counter_view(), vec![]).0.is_empty());
        let by = |column: &str, is_ascending| Some(Sort { column: column.into(), is_ascending });
        let mut stage = Ordered::new(by("KEY", false), Some(3));
        assert_eq!(arranged(&mut stage, counter_view(), entries()), (vec![4, 3, 2], 1, 1));
        let mut stage = Ordered::new(by("value", true), None);
        assert_eq!(arranged(&mut stage, counter_view(), entries()).0, [1, 3, 4, 2]);
    }

    #[test]
    fn choosing_and_sorting_all_agree() {
        let entries: Vec<Entry> =
            (0..200).map(|key| entry(key, u64::from(key) * 7919 % 50)).collect();
        let view = counter_view();
        for is_ascending in [false, true] {
            let order = Order { column: Column::usual(&view), is_ascending };
            let sorted = |most| order.first(&view, most, entries.clone());
            let all = sorted(usize::MAX);
            for most in [0, 1, 7, 199, 200, 201] {
                assert_eq!(sorted(most), all[..most.min(200)]);
            }
        }
    }

    #[test]
    fn histograms_are_sorted_by_what_is_computed_and_texts_by_all_of_them() {
        let histogram =
            |key: u8, slots: [u32; 3]| Entry::new(&[key], &slots.map(u32::to_le_bytes).concat());
        let entries =
            || vec![histogram(1, [9, 0, 0]), histogram(2, [1, 0, 9]), histogram(3, [0; 3])];
        let mut stage = Ordered::new(None, None);
        assert_eq!(arranged(&mut stage, histogram_view(), entries()).0, [2, 1, 3]);
        let p50 = Sort { column: "p50".into(), is_ascending: true };
        let mut stage = Ordered::new(Some(p50), None);
        assert_eq!(arranged(&mut stage, histogram_view(), entries()).0, [3, 1, 2]);
        let members = vec![Member::new("path", 0, Layout::Text { size: 32 })];
        let key = Some(Layout::Struct(Struct { size: 32, members }));
        let path = |last: u8| Entry::new(&[&[b'x'; 20][..], &[last]].concat(), &[0; 8]);
        let by = Sort { column: "path".into(), is_ascending: true };
        let mut stage = Ordered::new(Some(by), None);
        let mut out = Out::default();
        let view = Arc::new(View { key, ..counter_view() });
        let reading = Reading::new(view, Time::default(), vec![path(b'b'), path(b'a')]);
        stage.frame(Frame::Reading(reading.into()), &mut out).unwrap();
        assert_eq!(out.0[0].entries, [path(b'a'), path(b'b')]);
    }
}
