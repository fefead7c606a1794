// SPDX-License-Identifier: MIT
//! Readings: histograms with their keys, tables, and lines of keys and values.

use std::cmp::Reverse;
use std::ops::Range;

use bpfpack_decode::field::{part, unsigned};
use bpfpack_decode::{Layout, Member};
use bpfpack_frame::{Entry, Reading};
use bpfpack_schemas::printable;
use bpfpack_spec::{Shape, View};

use super::{Text, cells, pad, trim};
use crate::columns::others;
use crate::format::Heading;
use crate::put;
use crate::value::text;
use crate::{columns, histogram};

/// Whether a reading is drawn as a table: one of counters, or of histograms that are all empty.
pub(super) fn is_table(view: &View, entries: &[Entry]) -> bool {
    match &view.shape {
        Shape::Table => true,
        Shape::KeyValue => false,
        Shape::Histogram { slots, .. } => {
            !entries.iter().any(|e| slots.counts(e.value()).any(|count| count > 0))
        }
    }
}

impl Text {
    /// Appends a part of a reading's entries. A table is one part.
    pub(super) fn draw(&mut self, reading: &Reading, part: Range<usize>, out: &mut Vec<u8>) {
        let (view, is_first) = (&*reading.source, part.start == 0);
        let entries = &reading.entries[part];
        if entries.is_empty() {
            return;
        }
        if view.shape == Shape::KeyValue {
            return self.key_values(reading, entries, out);
        }
        let is_table = is_first && is_table(view, &reading.entries);
        // Histograms that are all empty, and nothing beside them.
        if is_table
            && matches!(view.shape, Shape::Histogram { .. })
            && others(view).next().is_none()
        {
            return;
        }
        if is_first && self.timestamps {
            out.extend_from_slice(self.stamps.text(reading.time));
            out.push(b'\n');
        }
        if is_first && self.several {
            out.extend_from_slice(b"map = ");
            put::string(view.name.as_bytes(), out);
            out.push(b'\n');
        }
        match is_table {
            true => self.table(view, entries, out),
            false => self.histograms(view, entries, out),
        }
        // A picture stands between: what comes next has its names above it.
        self.header_of = None;
    }

    /// A line for each element, with the time.
    fn key_values(&mut self, reading: &Reading, entries: &[Entry], out: &mut Vec<u8>) {
        let view = &*reading.source;
        let meanings = self.names.is_some();
        let mut keys = view.key.as_ref().map_or(Vec::new(), |key| columns::members(key, "key"));
        if self.shows_frames {
            keys.retain(|member| !view.stacks.iter().any(|stack| stack.is_made_of(member)));
        }
        let keys = columns::of(&keys, meanings);
        let values = columns::of(&columns::members(&view.value, "value"), meanings);
        if self.header_of != Some(Heading::View(view.index)) {
            let columns: Vec<_> = keys.iter().chain(&values).cloned().collect();
            out.extend(self.header(&columns));
            self.header_of = Some(Heading::View(view.index));
        }
        let width = self.stamps.width();
        for entry in entries {
            let from = out.len();
            if width > 0 {
                out.extend_from_slice(self.stamps.text(reading.time));
                pad(out, from, width);
            }
            cells(&keys, entry.key(), &mut self.names, out);
            cells(&values, entry.value(), &mut self.names, out);
            trim(out, from);
            out.push(b'\n');
            self.frames(&view.stacks, entry.key(), out);
        }
    }

    fn histograms(&mut self, view: &View, entries: &[Entry], out: &mut Vec<u8>) {
        let Shape::Histogram { slots, edges, unit } = &view.shape else { return };
        let begin = out.len();
        let mut picture = String::new();
        for entry in entries {
            let counts: Vec<u64> = slots.counts(entry.value()).collect();
            if let Some(key) = &view.key {
                out.extend_from_slice(b"key = ");
                text::write(key, entry.key(), &mut self.names, out);
                out.push(b'\n');
            }
            for member in others(view) {
                put::string(member.name.as_bytes(), out);
                out.extend_from_slice(b" = ");
                // As existing loaders have it: numbers.
                text::write_member(member, entry.value(), &mut None, out);
                out.push(b'\n');
            }
            picture.clear();
            histogram::draw(&counts, *edges, unit, &mut picture);
            if !picture.is_empty() {
                if out.len() > begin && !out[begin..].ends_with(b"\n\n") {
                    out.push(b'\n');
                }
                out.extend_from_slice(picture.as_bytes());
            }
            out.push(b'\n');
        }
    }

    /// Counters in columns, largest first, with the stacks of their keys below each row.
    fn table(&mut self, view: &View, entries: &[Entry], out: &mut Vec<u8>) {
        let single = [Member::new(view.name.clone(), 0, view.value.clone())];
        let columns: Vec<&Member> = match &view.value {
            Layout::Struct(_) => others(view).collect(),
            _ => single.iter().collect(),
        };
        let mut sorted: Vec<&Entry> = entries.iter().collect();
        // Entries come in order of their keys, and stay so where the counts are the same.
        let is_number = |m: &&&Member| matches!(m.layout, Layout::Int { .. });
        let named = columns.iter().find(|member| Some(&member.name) == view.sort.as_ref());
        if let Some(first) = named.filter(is_number).or_else(|| columns.iter().find(is_number)) {
            sorted.sort_by_key(|entry| {
                let bytes = part(entry.value(), first.offset);
                Reverse(unsigned(bytes, first.layout.size().min(16)))
            });
        }
        let has_stacks = !view.stacks.is_empty() && self.shows_frames;
        let keys = self.keys(view);
        let mut rows: Vec<Vec<String>> = Vec::new();
        let names = keys.iter().map(|(name, _)| name.clone());
        rows.push(names.chain(columns.iter().map(|m| title(&m.name))).collect());
        for entry in &sorted {
            let mut row = Vec::new();
            let mut cell = Vec::new();
            for (_, key) in &keys {
                match key {
                    Key::Member(member) => {
                        text::write_member(member, entry.key(), &mut self.names, &mut cell);
                    }
                    Key::All(layout) => {
                        text::write(layout, entry.key(), &mut self.names, &mut cell);
                    }
                }
                row.push(String::from_utf8_lossy(&cell).into_owned());
                cell.clear();
            }
            for column in &columns {
                text::write_member(column, entry.value(), &mut self.names, &mut cell);
                row.push(String::from_utf8_lossy(&cell).into_owned());
                cell.clear();
            }
            rows.push(row);
        }
        let is_number = |at: usize| {
            let column = at.checked_sub(keys.len());
            column.is_some_and(|at| matches!(columns[at].layout, Layout::Int { .. }))
        };
        for (at, line) in align(&rows, is_number).into_iter().enumerate() {
            out.extend_from_slice(line.as_bytes());
            out.push(b'\n');
            if let Some(entry) = at.checked_sub(1).map(|at| sorted[at]).filter(|_| has_stacks) {
                self.frames(&view.stacks, entry.key(), out);
            }
        }
        out.push(b'\n');
    }

    /// The columns of a table's key: one, unless it is a struct with stacks, which stand elsewhere.
    fn keys<'v>(&self, view: &'v View) -> Vec<(String, Key<'v>)> {
        let Some(key) = &view.key else { return Vec::new() };
        match key {
            Layout::Struct(record) if !view.stacks.is_empty() && self.shows_frames => record
                .members
                .iter()
                .filter(|member| !view.stacks.iter().any(|stack| stack.is_made_of(member)))
                .map(|member| (title(&member.name), Key::Member(member)))
                .collect(),
            _ => vec![("KEY".to_owned(), Key::All(key))],
        }
    }
}

/// What stands above the column of a member.
fn title(name: &str) -> String {
    printable::clean(&name.to_uppercase())
}

/// What a column of a key holds.
enum Key<'v> {
    Member(&'v Member),
    All(&'v Layout),
}

/// Rows as lines, columns as wide as their widest cell: numbers to the right.
fn align(rows: &[Vec<String>], is_number: impl Fn(usize) -> bool) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |at: usize| {
        let lens = rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count());
        lens.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let mut line = String::new();
        for (at, cell) in row.iter().enumerate() {
            // Not by `{cell:width$}`, which panics where a list is wider than 65535 characters.
            let padding = " ".repeat(widths[at] - cell.chars().count());
            let (before, behind) = if is_number(at) { (&*padding, "") } else { ("", &*padding) };
            line.extend([before, cell, behind, "  "]);
        }
        line.truncate(line.trim_end().len());
        line
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bpfpack_decode::{Edges, Slots};
    use bpfpack_spec::fixtures::counter_view;

    use super::super::tests::{format, u32_};
    use bpfpack_decode::Struct;
    use bpfpack_decode::histogram::SLOTS;

    use super::*;
    use crate::clock::tests::TIME;
    use crate::format::Format as _;

    /// A map of names to a count and two slots.
    fn histogram_view() -> View {
        let slots = Layout::Array { element: Box::new(u32_()), stride: 4, len: 2 };
        let members = vec![
            Member::new("count", 0, Layout::Int { size: 8, signed: false }),
            Member::new(SLOTS, 8, slots),
        ];
        let value = Layout::Struct(Struct { size: 16, members });
        View {
            key: Some(Layout::Struct(Struct {
                size: 8,
                members: vec![Member::new("name", 0, Layout::Text { size: 8 })],
            })),
            shape: Shape::Histogram {
                slots: Slots::of(&value).unwrap(),
                edges: Edges::Log2,
                unit: "usecs".into(),
            },
            value,
            ..counter_view()
        }
    }

    fn entry(name: &[u8; 8], count: u64, slots: [u32; 2]) -> Entry {
        let mut value = count.to_le_bytes().to_vec();
        value.extend(slots.iter().flat_map(|slot| slot.to_le_bytes()));
        Entry::new(name, &value)
    }

    fn rendered(format: &mut Text, view: &View, entries: &[Entry]) -> String {
        let mut out = Vec::new();
        let (source, entries) = (Arc::new(view.clone()), entries.to_vec());
        format.reading(&Reading::new(source, TIME, entries), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn histograms_with_their_keys_and_members() {
        let entries = [entry(b"timer\0\0\0", 0, [4, 2]), entry(b"disk\0\0\0\0", 3, [0, 0])];
        insta::assert_snapshot!(rendered(&mut format(), &histogram_view(), &entries), @r"
        key = timer
        count = 0

             usecs               : count    distribution
                 0 -> 1          : 4        |****************************************|
                 2 -> 3          : 2        |********************                    |

        key = disk
        count = 3
        ");
    }

    #[test]
    fn counters_alone_are_a_table() {
        let entries = [
            entry(b"a\0\0\0\0\0\0\0", 3, [0, 0]),
            entry(b"bcd\0\0\0\0\0", 1200, [0, 0]),
            entry(b"e\0\0\0\0\0\0\0", 3, [0, 0]),
        ];
        let mut format = Text { several: true, ..format() };
        insta::assert_snapshot!(rendered(&mut format, &histogram_view(), &entries), @r"
        map = counts
        KEY  COUNT
        bcd   1200
        a        3
        e        3
        ");
        assert_eq!(rendered(&mut format, &histogram_view(), &[]), "");
        format.timestamps = true;
        let text = rendered(&mut format, &histogram_view(), &entries);
        assert_eq!(text.lines().next(), Some("09:05:07"));
    }

    #[test]
    fn titles_are_obeyed_no_more_than_values_and_cells_may_be_long() {
        let long = Layout::Array { element: Box::new(u32_()), stride: 4, len: 40_000 };
        let members = vec![Member::new("a\x1b", 0, u32_()), Member::new("b", 4, long)];
        let value = Layout::Struct(Struct { size: 160_004, members });
        let view = View { value, shape: Shape::Table, ..histogram_view() };
        let text = rendered(&mut format(), &view, &[entry(b"k\0\0\0\0\0\0\0", 3, [0, 0])]);
        assert!(text.starts_with("KEY  A\\x1b  B\nk        3  [0,"), "{}", &text[..60]);
    }

    #[test]
    fn keys_and_values_with_the_time() {
        let view = View { shape: Shape::KeyValue, ..histogram_view() };
        let entries = [entry(b"a\0\0\0\0\0\0\0", 3, [1, 2])];
        let mut format = format();
        insta::assert_snapshot!(rendered(&mut format, &view, &entries), @r"
        TIME     NAME    COUNT          SLOTS
        09:05:07 a       3              [1,2]
        ");
        assert!(!rendered(&mut format, &view, &entries).contains("TIME"), "the header comes once");
    }
}
