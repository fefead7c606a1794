// SPDX-License-Identifier: MIT
//! The columns of readings, for sorting and filters.

use std::cmp::Ordering;

use bpfpack_decode::{Layout, Member, Quantile};
use bpfpack_frame::Entry;
use bpfpack_spec::{Shape, View};

/// A column of a view.
#[derive(Debug, Clone, PartialEq)]
pub enum Column {
    /// A member of the key, or the key itself.
    Key(Member),
    /// A member of the value, or the value itself.
    Value(Member),
    /// The sum of a histogram's slots. If all are zero, entries are shown as a table, sorted by the
    /// first number of the value.
    Total {
        /// That number.
        first: Option<Member>,
    },
    /// The average of a histogram's values.
    Average,
    /// The slot of a quantile.
    Quantile(Quantile),
}

/// The first number of a view's values.
fn first_number(view: &View) -> Option<Member> {
    let is_number =
        |member: &Member| matches!(member.layout, Layout::Int { .. } | Layout::Float { .. });
    view.value.members("value").into_iter().find(is_number)
}

impl Column {
    /// The columns of a view: values first, which usually are sorted by; then keys, and columns
    /// that are calculated from a histogram.
    #[must_use]
    pub fn all(view: &View) -> Vec<Column> {
        let is_slots =
            |member: &Member| view.is_histogram() && matches!(member.layout, Layout::Array { .. });
        let values = view.value.members("value").into_iter().filter(|member| !is_slots(member));
        let keys = view.key.iter().flat_map(|key| key.members("key"));
        let mut all: Vec<Column> = values.map(Column::Value).chain(keys.map(Column::Key)).collect();
        if view.is_histogram() {
            all.push(Column::total(view));
            all.extend(view.average.map(|_| Column::Average));
            all.extend(Quantile::ALL.map(Column::Quantile));
        }
        all
    }

    fn total(view: &View) -> Column {
        Column::Total { first: first_number(view) }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Column::Key(member) | Column::Value(member) => &member.name,
            Column::Total { .. } => "total",
            Column::Average => "average",
            Column::Quantile(quantile) => quantile.name(),
        }
    }

    /// The column with this name, in any case; otherwise the one that is shown under this name.
    #[must_use]
    pub fn find(view: &View, name: &str) -> Option<Column> {
        let is_shown = |column: &&Column| match column {
            Column::Key(member) | Column::Value(member) => member.is_called(name),
            _ => false,
        };
        let all = Column::all(view);
        let named = all.iter().find(|column| column.name().eq_ignore_ascii_case(name));
        named.or_else(|| all.iter().find(is_shown)).cloned()
    }

    /// The default column for sorting, largest first: a histogram's total, or a table's first
    /// number. `None` sorts by key.
    #[must_use]
    pub fn usual(view: &View) -> Option<Column> {
        match view.shape {
            Shape::KeyValue => None,
            _ => Column::leading(view),
        }
    }

    /// The most significant column of a view: the one in its annotation, a histogram's total, or
    /// the first number of its values.
    #[must_use]
    pub fn leading(view: &View) -> Option<Column> {
        let annotated = view.sort.as_ref().and_then(|name| Column::find(view, name));
        annotated.or_else(|| match view.shape {
            Shape::Histogram { .. } => Some(Column::total(view)),
            _ => first_number(view).map(Column::Value),
        })
    }

    /// The value of an entry as a number, which decides the order of two entries if it differs.
    #[must_use]
    pub fn prefix(&self, view: &View, entry: &Entry) -> u128 {
        let Shape::Histogram { slots, .. } = &view.shape else {
            return self.member_prefix(entry);
        };
        match self {
            Column::Total { first } => {
                let first = first.as_ref().map_or(0, |member| member.prefix(entry.value()));
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

    /// Whether entries with equal prefixes are equal in this column.
    #[must_use]
    pub fn has_whole_prefix(&self) -> bool {
        match self {
            Column::Key(member) | Column::Value(member) => {
                member.bits.is_some() || member.layout.has_whole_prefix()
            }
            _ => true,
        }
    }

    /// The order of two entries with equal prefixes.
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
