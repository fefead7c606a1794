// SPDX-License-Identifier: MIT
//! The order of a reading's entries, and how many of them are shown.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use bpfpack_failure::Failure;
use bpfpack_frame::{Entry, Frame, Next, Reading, Stage};
use bpfpack_spec::View;

use crate::column::Column;
use crate::options::Sort;

/// Sorts the entries of readings, leaves out those beyond the first, and numbers readings.
#[derive(Debug)]
pub(crate) struct Ordered {
    sort: Option<Sort>,
    top: Option<usize>,
    /// What each view is sorted by, and whether the smallest comes first.
    columns: Vec<(Arc<View>, Option<Column>, bool)>,
    /// Readings of each view so far.
    readings: HashMap<usize, u64>,
}

impl Ordered {
    /// Of views that have the column, where one is given.
    pub(crate) fn new(sort: Option<Sort>, top: Option<usize>) -> Ordered {
        Ordered { sort, top, columns: Vec::new(), readings: HashMap::new() }
    }

    /// What a view is sorted by.
    fn column(&mut self, view: &Arc<View>) -> usize {
        let known = self.columns.iter().position(|(known, ..)| Arc::ptr_eq(known, view));
        known.unwrap_or_else(|| {
            let wanted = self
                .sort
                .as_ref()
                .and_then(|sort| Some((Column::find(view, &sort.column)?, sort.is_ascending)));
            let (column, is_ascending) = match wanted {
                Some((column, is_ascending)) => (Some(column), is_ascending),
                None => (Column::usual(view), false),
            };
            self.columns.push((Arc::clone(view), column, is_ascending));
            self.columns.len() - 1
        })
    }

    fn arrange(&mut self, reading: &mut Reading) {
        let number = self.readings.entry(reading.source.index).or_default();
        *number += 1;
        reading.number = *number;
        let at = self.column(&reading.source);
        let (view, column, is_ascending) = &self.columns[at];
        let found = reading.entries.len();
        let most = self.top.unwrap_or(usize::MAX);
        let entries = std::mem::take(&mut reading.entries);
        reading.entries = sort_entries(view, column.as_ref(), *is_ascending, most, entries);
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

/// The first `most` entries by a column; where it is the same, and without a column, in the order
/// in which they are given.
#[must_use]
pub fn sort_entries(
    view: &View,
    column: Option<&Column>,
    is_ascending: bool,
    most: usize,
    mut entries: Vec<Entry>,
) -> Vec<Entry> {
    let Some(column) = column else {
        entries.truncate(most);
        return entries;
    };
    let mut order: Vec<(u128, u32)> =
        entries.iter().zip(0..).map(|(entry, at)| (column.prefix(view, entry), at)).collect();
    let is_whole = column.has_whole_prefix();
    let compare = |a: &(u128, u32), b: &(u128, u32)| {
        let rest = || match is_whole {
            true => Ordering::Equal,
            false => column.compare(&entries[a.1 as usize], &entries[b.1 as usize]),
        };
        let ascending = a.0.cmp(&b.0).then_with(rest);
        let order = if is_ascending { ascending } else { ascending.reverse() };
        order.then(a.1.cmp(&b.1))
    };
    if most < order.len() {
        // To choose takes as long as to look at each once; only what is chosen is sorted.
        if let Some(last) = most.checked_sub(1) {
            order.select_nth_unstable_by(last, compare);
        }
        order.truncate(most);
    }
    if !order.is_sorted_by(|a, b| compare(a, b) != Ordering::Greater) {
        order.sort_unstable_by(compare);
    }
    if order.len() == entries.len() && order.iter().zip(0..).all(|((_, at), place)| *at == place) {
        return entries;
    }
    let mut entries: Vec<Option<Entry>> = entries.into_iter().map(Some).collect();
    order.into_iter().filter_map(|(_, at)| entries[at as usize].take()).collect()
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
        let column = Column::usual(&view);
        for is_ascending in [false, true] {
            let sorted =
                |most| sort_entries(&view, column.as_ref(), is_ascending, most, entries.clone());
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
