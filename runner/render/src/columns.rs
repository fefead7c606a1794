// SPDX-License-Identifier: MIT
//! The columns of a value: one for each member of a struct. In text, each is as wide as its type
//! and meaning make likely, so that rows are aligned.

use std::borrow::Cow;
use std::collections::HashMap;

use bpfpack_decode::histogram::SLOTS;
use bpfpack_decode::layout::PER_SECOND;
use bpfpack_decode::{Layout, Member, Struct};
use bpfpack_schemas::printable;
use bpfpack_spec::{Shape, View};

use crate::meaning;
use crate::width;

/// The minimum width of a column.
const LEAST: usize = 6;

/// On a narrow terminal, text columns may be narrowed to this width.
const FLEXIBLE: usize = 12;

/// The maximum width for text.
const MOST_TEXT: usize = 32;

/// A column.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    /// Its heading.
    pub name: String,
    /// Its member; `None` if records of this kind have no value there.
    pub member: Option<Member>,
    /// Its width in characters.
    pub width: usize,
}

/// The heading of a member's column. If values are shown as durations with a unit, it omits the
/// unit in the name.
pub(crate) fn title(member: &Member, meanings: bool) -> String {
    let name = if meanings { member.shown_name() } else { Cow::Borrowed(&*member.name) };
    // Keeps the `/s` of a rate in lower case.
    let (name, per) = match name.strip_suffix(PER_SECOND) {
        Some(name) => (name, PER_SECOND),
        None => (&*name, ""),
    };
    printable::clean(&(name.to_uppercase() + per))
}

/// The members of a view's key, without its stacks if they are shown elsewhere.
pub(crate) fn keys(view: &View, hides_stacks: bool) -> Vec<Member> {
    let mut keys = view.key.as_ref().map_or(Vec::new(), |key| key.members("key"));
    if hides_stacks {
        keys.retain(|member| !view.stacks.iter().any(|stack| stack.is_made_of(member)));
    }
    keys
}

/// The members of a value, except a histogram's slots.
pub(crate) fn others(view: &View) -> impl Iterator<Item = &Member> {
    let members = match &view.value {
        Layout::Struct(Struct { members, .. }) => &members[..],
        _ => &[],
    };
    let slots = match &view.shape {
        Shape::Histogram { slots, .. } => Some(slots.offset),
        _ => None,
    };
    let is_slots = move |member: &Member| {
        member.name == SLOTS
            || Some(member.offset) == slots && matches!(member.layout, Layout::Array { .. })
    };
    members.iter().filter(move |member| !is_slots(member))
}

/// The columns of members. Shown meanings determine the width.
pub(crate) fn of<'m>(members: impl IntoIterator<Item = &'m Member>, meanings: bool) -> Vec<Column> {
    let column = |member: &Member| {
        let name = title(member, meanings);
        let meaning = member.meaning.filter(|_| meanings);
        let usual =
            meaning.map_or_else(|| usual(&member.layout, &member.name), |m| meaning::width(&m));
        Column {
            width: usual.max(width::of(name.as_bytes())).max(LEAST),
            name,
            member: Some(member.clone()),
        }
    };
    members.into_iter().map(column).collect()
}

/// Merges the columns of several kinds of records, so that members with the same name share a
/// column.
pub(crate) fn together(kinds: Vec<Vec<Column>>) -> Vec<Vec<Column>> {
    let mut all: Vec<Column> = Vec::new();
    let mut places = HashMap::new();
    for column in kinds.iter().flatten() {
        let place = *places.entry(&column.name).or_insert(all.len());
        match all.get_mut(place) {
            Some(known) => known.width = known.width.max(column.width),
            None => all.push(Column { member: None, ..column.clone() }),
        }
    }
    let of_kind = |columns: &Vec<Column>| {
        let mut row = all.clone();
        // If several members have the same name, the first is shown.
        for column in columns.iter().rev() {
            if let Some(place) = places.get(&column.name) {
                row[*place].member = column.member.clone();
            }
        }
        row
    };
    kinds.iter().map(of_kind).collect()
}

/// The width of most values of a type in characters.
fn usual(layout: &Layout, name: &str) -> usize {
    match layout {
        // Process IDs are less than 4194304 (include/linux/threads.h).
        Layout::Int { size: 4, .. } if ["pid", "tid", "tgid"].iter().any(|e| name.ends_with(e)) => {
            7
        }
        Layout::Int { size: 16, .. } => 20,
        // Times in nanoseconds since boot have this number of digits.
        Layout::Int { size: 8, .. } => 14,
        Layout::Pointer => 18,
        Layout::Text { size } => size.saturating_sub(1).min(MOST_TEXT),
        Layout::Bytes { size } => (size * 2).min(MOST_TEXT),
        Layout::Enum { names, .. } => {
            let longest = names
                .iter()
                .map(|(value, name)| name.chars().count() + 2 + value.to_string().len());
            longest.max().unwrap_or(0).min(MOST_TEXT)
        }
        Layout::Label { names, .. } => {
            names.iter().map(|name| name.chars().count()).max().unwrap_or(0).min(MOST_TEXT)
        }
        Layout::Float { .. } => 10,
        _ => LEAST,
    }
}

/// Narrows wide text columns until a row fits `room` characters, if possible. The last column needs
/// only the width of its heading.
pub(crate) fn fit(columns: &mut [Column], room: usize) {
    let Some((last, before_last)) = columns.split_last_mut() else { return };
    let last = width::of(last.name.as_bytes()).max(LEAST);
    loop {
        let total: usize = before_last.iter().map(|column| column.width + 1).sum();
        if total + last <= room {
            return;
        }
        let least = |column: &Column| width::of(column.name.as_bytes()).max(FLEXIBLE);
        let widest = before_last
            .iter_mut()
            .filter(|column| column.width > least(column))
            .max_by_key(|column| column.width);
        match widest {
            Some(column) => column.width -= 1,
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use bpfpack_decode::meaning::{Meaning, Unit};

    use super::*;

    #[test]
    fn widths_are_of_types_and_fit_where_they_can() {
        let members = [
            Member::new("pid", 0, Layout::Int { size: 4, signed: false }),
            Member::new("comm", 4, Layout::Text { size: 16 }),
            Member::new("a_long_name", 20, Layout::Bool),
            Member::new("path", 24, Layout::Text { size: 256 }),
            Member::new("last", 280, Layout::Int { size: 8, signed: true }),
        ];
        let mut columns = of(&members, true);
        let widths = |columns: &[Column]| columns.iter().map(|c| c.width).collect::<Vec<_>>();
        assert_eq!(widths(&columns), [7, 15, 11, 32, 14]);
        fit(&mut columns, 60);
        assert_eq!(widths(&columns), [7, 15, 11, 17, 14]);
        fit(&mut columns, 20);
        assert_eq!(widths(&columns), [7, 12, 11, 12, 14], "as far as it goes");
    }

    #[test]
    fn titles_name_no_unit_that_is_not_shown() {
        let span = Member {
            meaning: Some(Meaning::Duration(Unit::Nanoseconds)),
            ..Member::new("duration_ns", 0, Layout::Int { size: 8, signed: false })
        };
        assert_eq!((&*title(&span, true), &*title(&span, false)), ("DURATION", "DURATION_NS"));
        let rate = Member { name: "total_ns/s".into(), ..span.clone() };
        assert_eq!(title(&rate, true), "TOTAL/s");
        let bare = Member { meaning: None, ..span };
        assert_eq!(title(&bare, true), "DURATION_NS");
    }

    #[test]
    fn kinds_share_their_columns() {
        let int = || Layout::Int { size: 4, signed: false };
        let one = [Member::new("pid", 0, int()), Member::new("code", 4, int())];
        let other =
            [Member::new("path", 0, Layout::Text { size: 9 }), Member::new("pid", 12, int())];
        let columns = together(vec![of(&one, true), of(&other, true)]);
        let seen: Vec<Vec<(&str, Option<usize>)>> = columns
            .iter()
            .map(|columns| {
                let member = |column: &Column| column.member.as_ref().map(|m| m.offset);
                columns.iter().map(|c| (c.name.as_str(), member(c))).collect()
            })
            .collect();
        assert_eq!(seen[0], [("PID", Some(0)), ("CODE", Some(4)), ("PATH", None)]);
        assert_eq!(seen[1], [("PID", Some(12)), ("CODE", None), ("PATH", Some(0))]);
        assert_eq!(columns[0][2].width, columns[1][2].width);
    }
}
