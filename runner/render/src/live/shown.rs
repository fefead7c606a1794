// SPDX-License-Identifier: MIT
//! The content of a view on a live screen: its last reading, as totals since the start or for the
//! last interval.

use std::collections::HashMap;
use std::rc::Rc;

use bpfpack_decode::field::combine;
use bpfpack_frame::{Entry, Reading};
use bpfpack_stage::{Column, Order, Sort};

/// The maximum number of keys with sums, for a view that shows differences. With more keys, totals
/// are not available.
const MOST_SUMS: usize = 1 << 18;

/// The readings of a view.
#[derive(Debug)]
pub(super) struct Shown {
    /// The last reading, as received.
    last: Rc<Reading>,
    /// The previous reading.
    before: Option<Rc<Reading>>,
    /// Both readings when the screen was paused.
    pinned: Option<(Rc<Reading>, Option<Rc<Reading>>)>,
    /// Whether some keys have no sums.
    is_partial: bool,
    /// For a view that shows differences, their sums.
    sums: HashMap<Box<[u8]>, Box<[u8]>>,
    /// The reading that is drawn.
    drawn: Rc<Reading>,
    /// The rows that were drawn for this reading and for the previous one, by key.
    rows: HashMap<Box<[u8]>, Box<[u8]>>,
    rows_before: HashMap<Box<[u8]>, Box<[u8]>>,
    /// The widths of a table's columns.
    pub(super) widths: Vec<usize>,
}

impl Shown {
    pub(super) fn new(reading: Rc<Reading>) -> Shown {
        let mut shown = Shown {
            drawn: Rc::clone(&reading),
            last: reading,
            before: None,
            pinned: None,
            is_partial: false,
            sums: HashMap::new(),
            rows: HashMap::new(),
            rows_before: HashMap::new(),
            widths: Vec::new(),
        };
        shown.sum(&Rc::clone(&shown.last));
        shown
    }

    /// Takes the next reading.
    pub(super) fn take(&mut self, reading: Rc<Reading>) {
        self.sum(&reading);
        self.before = Some(std::mem::replace(&mut self.last, reading));
        self.rows_before = std::mem::take(&mut self.rows);
    }

    /// The reading that is drawn.
    pub(super) fn drawn(&self) -> &Rc<Reading> {
        &self.drawn
    }

    /// Freezes or resumes what is shown.
    pub(super) fn pin(&mut self, is_paused: bool) {
        self.pinned = is_paused.then(|| (Rc::clone(&self.last), self.before.clone()));
    }

    /// The reading that is shown, and the previous one.
    fn current(&self) -> (&Rc<Reading>, Option<&Rc<Reading>>) {
        match &self.pinned {
            Some((last, before)) => (last, before.as_ref()),
            None => (&self.last, self.before.as_ref()),
        }
    }

    /// Whether the view can show the alternative to its default (totals or the last interval). If a
    /// reading does not have all entries, the difference between two readings is not known.
    pub(super) fn can_turn(&self) -> bool {
        let (last, before) = self.current();
        let is_whole = |reading: &Rc<Reading>| reading.hidden == 0;
        !last.source.counters.is_empty()
            && is_whole(last)
            && before.is_none_or(is_whole)
            && !self.is_partial
    }

    /// Whether the view shows differences by default.
    pub(super) fn shows_differences(&self) -> bool {
        self.last.source.differences
    }

    /// Notes that an entry is drawn. Returns whether it has not changed.
    pub(super) fn is_still(&mut self, entry: &Entry) -> bool {
        self.rows.insert(entry.key().into(), entry.value().into());
        self.rows_before.get(entry.key()).is_some_and(|before| **before == *entry.value())
    }

    /// Determines what is drawn: the reading as received; with `turned`, the alternative; sorted by
    /// `chosen`. Readings arrive sorted by `given`.
    pub(super) fn arrange(&mut self, turned: bool, chosen: Option<&Sort>, given: Option<&Sort>) {
        let turned = turned && self.can_turn();
        let last = Rc::clone(self.current().0);
        let view = &last.source;
        let order = Order::of(view, chosen, Column::leading);
        if !turned && order == Order::of(view, given, Column::usual) {
            self.drawn = last;
            return;
        }
        let entries = match (turned, view.differences) {
            (false, _) => last.entries.clone(),
            (true, true) => self.total(),
            (true, false) => self.difference(),
        };
        let entries = order.first(view, usize::MAX, entries);
        self.drawn = Rc::new(Reading { source: view.clone(), entries, ..*last });
    }

    /// Adds a reading to the sums, whether it is shown or not.
    fn sum(&mut self, reading: &Reading) {
        let view = &reading.source;
        if !view.differences || view.counters.is_empty() {
            return;
        }
        for entry in &reading.entries {
            let has_room = self.sums.len() < MOST_SUMS;
            match self.sums.get_mut(entry.key()) {
                Some(sum) => {
                    // Members that are not counters keep their last value.
                    let mut now: Box<[u8]> = entry.value().into();
                    combine(&mut now, sum, &view.counters, u128::wrapping_add);
                    *sum = now;
                }
                None if has_room => {
                    self.sums.insert(entry.key().into(), entry.value().into());
                }
                None => self.is_partial = true,
            }
        }
        self.is_partial |= reading.hidden > 0;
    }

    /// The sums of all differences.
    fn total(&self) -> Vec<Entry> {
        self.sums.iter().map(|(key, value)| Entry::new(key, value)).collect()
    }

    /// The differences from the previous reading.
    fn difference(&self) -> Vec<Entry> {
        let (last, before) = self.current();
        let view = &last.source;
        let before = before.into_iter().flat_map(|reading| &reading.entries);
        let before: HashMap<&[u8], &[u8]> =
            before.map(|entry| (entry.key(), entry.value())).collect();
        let mut entries = last.entries.clone();
        for entry in &mut entries {
            if let Some(old) = before.get(entry.key()) {
                entry.subtract(old, &view.counters);
            }
        }
        entries.retain(|entry| entry.has_counted(&view.counters));
        entries
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bpfpack_frame::Time;
    use bpfpack_spec::View;
    use bpfpack_spec::fixtures::counter_view;

    use super::*;

    fn reading(differences: bool, counts: &[(u8, u64)]) -> Rc<Reading> {
        let view = View { differences, ..counter_view() };
        let entries =
            counts.iter().map(|(key, count)| Entry::new(&[*key], &count.to_le_bytes())).collect();
        Rc::new(Reading::new(Arc::new(view), Time::default(), entries))
    }

    fn drawn(shown: &mut Shown, turned: bool, chosen: Option<&Sort>) -> Vec<(u8, u64)> {
        shown.arrange(turned, chosen, None);
        let number = |entry: &Entry| u64::from_le_bytes(entry.value().try_into().unwrap());
        shown.drawn().entries.iter().map(|entry| (entry.key()[0], number(entry))).collect()
    }

    #[test]
    fn totals_turn_into_what_came_last_and_back() {
        let mut shown = Shown::new(reading(false, &[(1, 5), (2, 3), (3, 9)]));
        assert_eq!(drawn(&mut shown, true, None), [(3, 9), (1, 5), (2, 3)]);
        shown.take(reading(false, &[(1, 6), (2, 33), (3, 9), (4, 2)]));
        assert_eq!(drawn(&mut shown, true, None), [(2, 30), (4, 2), (1, 1)]);
        assert_eq!(drawn(&mut shown, false, None), [(1, 6), (2, 33), (3, 9), (4, 2)]);
        let by_key = Sort { column: "key".to_owned(), is_ascending: false };
        assert_eq!(drawn(&mut shown, false, Some(&by_key)), [(4, 2), (3, 9), (2, 33), (1, 6)]);
    }

    #[test]
    fn differences_turn_into_what_they_add_up_to() {
        let mut shown = Shown::new(reading(true, &[(1, 5), (2, 3)]));
        shown.take(reading(true, &[(2, 4)]));
        assert_eq!(drawn(&mut shown, true, None), [(2, 7), (1, 5)]);
        assert_eq!(drawn(&mut shown, false, None), [(2, 4)]);
    }

    #[test]
    fn rows_are_still_where_nothing_has_changed() {
        let mut shown = Shown::new(reading(false, &[(1, 5), (2, 3)]));
        let entries = shown.drawn().entries.clone();
        assert!(entries.iter().all(|entry| !shown.is_still(entry)));
        shown.take(reading(false, &[(1, 5), (2, 4)]));
        shown.arrange(false, None, None);
        let entries = shown.drawn().entries.clone();
        let still: Vec<bool> = entries.iter().map(|entry| shown.is_still(entry)).collect();
        assert_eq!(still, [true, false]);
    }
}
