// SPDX-License-Identifier: MIT
//! Columns of readings: what entries are sorted by, and filters ask for.

use std::cmp::Ordering;

use bpfpack_decode::{Layout, Member, Quantile};
use bpfpack_frame::Entry;
use bpfpack_spec::{Shape, View};

/// What the sum of a histogram's slots is called.
const TOTAL: &str = "total";

/// What the average of its values is called.
const AVERAGE: &str = "average";

/// A column of a view.
#[derive(Debug, Clone, PartialEq)]
pub enum Column {
    /// A member of the key, or the key itself.
    Key(Member),
    /// A member of the value, or the value itself.
    Value(Member),
    /// The sum of a histogram's slots.
    Total,
    /// The average of its values.
    Average,
    /// The slot that a quantile is in.
    Quantile(Quantile),
}

/// The members of a struct; a value that is none is a member itself, with this name.
fn members(layout: &Layout, name: &str) -> Vec<Member> {
    match layout {
        Layout::Struct(record) => record.members.clone(),
        other => vec![Member::new(name, 0, other.clone())],
    }
}

fn is_number(member: &Member) -> bool {
    matches!(member.layout, Layout::Int { .. } | Layout::Float { .. })
}

impl Column {
    /// The columns of a view with their names: those of values first, which readings are mostly
    /// sorted by; then those of keys, and what is computed of a histogram.
    #[must_use]
    pub fn all(view: &View) -> Vec<(String, Column)> {
        let mut all = Vec::new();
        let is_histogram = matches!(view.shape, Shape::Histogram { .. });
        for member in members(&view.value, "value") {
            let is_slots = is_histogram && matches!(member.layout, Layout::Array { .. });
            if !is_slots {
                all.push((member.name.clone(), Column::Value(member)));
            }
        }
        for member in view.key.iter().flat_map(|key| members(key, "key")) {
            all.push((member.name.clone(), Column::Key(member)));
        }
        if is_histogram {
            all.push((TOTAL.to_owned(), Column::Total));
            if view.average.is_some() {
                all.push((AVERAGE.to_owned(), Column::Average));
            }
            let quantiles = Quantile::ALL.into_iter();
            all.extend(quantiles.map(|it| (it.name().to_owned(), Column::Quantile(it))));
        }
        all
    }

    /// The column of this name, in upper or lower case.
    #[must_use]
    pub fn find(view: &View, name: &str) -> Option<Column> {
        let all = Column::all(view);
        let is_named = |(known, _): &&(String, Column)| known.eq_ignore_ascii_case(name);
        let is_shown = |(_, column): &&(String, Column)| match column {
            Column::Key(member) | Column::Value(member) => member.is_called(name),
            _ => false,
        };
        let found = all.iter().find(is_named).or_else(|| all.iter().find(is_shown));
        found.map(|(_, column)| column.clone())
    }

    /// The column that a view is sorted by where nobody says another, largest first: a histogram's
    /// total, a table's first number. None where the keys decide.
    #[must_use]
    pub fn usual(view: &View) -> Option<Column> {
        match view.shape {
            Shape::KeyValue => None,
            _ => Column::leading(view),
        }
    }

    /// The column that says most of a view: what it is annotated to be sorted by, a histogram's
    /// total, else the first number of its values.
    #[must_use]
    pub fn leading(view: &View) -> Option<Column> {
        let annotated = view.sort.as_ref().and_then(|name| Column::find(view, name));
        annotated.or_else(|| match view.shape {
            Shape::Histogram { .. } => Some(Column::Total),
            _ => members(&view.value, "value").into_iter().find(is_number).map(Column::Value),
        })
    }

    /// The value of an entry as a number: where those of two entries differ, that is their order.
    #[must_use]
    pub fn prefix(&self, view: &View, entry: &Entry) -> u128 {
        let Shape::Histogram { slots, .. } = &view.shape else {
            return self.member_prefix(entry);
        };
        match self {
            // Where nothing is counted in slots, entries are shown as a table, by its first number.
            Column::Total => {
                let first = members(&view.value, "value").into_iter().find(is_number);
                let first = first.map_or(0, |member| member.prefix(entry.value()));
                let total = slots.total(entry.value()).min(u128::from(u64::MAX));
                total << 64 | first.min(u128::from(u64::MAX))
            }
            Column::Average => view.average.map_or(0, |average| {
                let total = slots.total(entry.value());
                average.of(entry.value(), total).unwrap_or(0.0).to_bits().into()
            }),
            Column::Quantile(quantile) => {
                let slot = slots.summary(entry.value()).map(|summary| summary.slot(*quantile));
                slot.map_or(0, |slot| slot as u128 + 1)
            }
            Column::Key(_) | Column::Value(_) => self.member_prefix(entry),
        }
    }

    fn member_prefix(&self, entry: &Entry) -> u128 {
        match self {
            Column::Key(member) => member.prefix(entry.key()),
            Column::Value(member) => member.prefix(entry.value()),
            _ => 0,
        }
    }

    /// Whether entries with the same prefix are equal in this column.
    #[must_use]
    pub fn has_whole_prefix(&self) -> bool {
        match self {
            Column::Key(member) | Column::Value(member) => {
                member.bits.is_some() || member.layout.has_whole_prefix()
            }
            _ => true,
        }
    }

    /// The order of two entries whose prefixes are the same.
    #[must_use]
    pub fn compare(&self, a: &Entry, b: &Entry) -> Ordering {
        let compare = |member: &Member, a: &[u8], b: &[u8]| match member.bits {
            Some(_) => Ordering::Equal,
            None => member.layout.compare(
                a.get(member.offset..).unwrap_or_default(),
                b.get(member.offset..).unwrap_or_default(),
            ),
        };
        match self {
            Column::Key(member) => compare(member, a.key(), b.key()),
            Column::Value(member) => compare(member, a.value(), b.value()),
            _ => Ordering::Equal,
        }
    }
}
