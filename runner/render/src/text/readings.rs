// SPDX-License-Identifier: MIT
//! Readings: histograms with their keys, tables, and lines of keys and values.

use std::io::Write as _;
use std::ops::Range;

use bpfpack_decode::{Layout, Struct};
use bpfpack_frame::{Entry, Reading, Time};
use bpfpack_spec::{Shape, View};

use super::table::{self, Rows};
use super::{Text, cells};
use crate::columns;
use crate::columns::others;
use crate::format::Heading;
use crate::histogram::{self, Histogram};
use crate::put;
use crate::value::text;

/// Whether a reading is drawn as a table: one of counters, or of histograms that are all empty.
pub(crate) fn is_table(view: &View, entries: &[Entry]) -> bool {
    match &view.shape {
        Shape::Table => true,
        Shape::KeyValue => false,
        Shape::Histogram { slots, .. } => {
            !entries.iter().any(|e| slots.counts(e.value()).any(|count| count > 0))
        }
    }
}

impl Text {
    /// Appends a part of a reading's entries. A table is a single part.
    pub(super) fn draw(&mut self, reading: &Reading, part: Range<usize>, out: &mut Vec<u8>) {
        let (view, is_first) = (&*reading.source, part.start == 0);
        let is_last = part.end == reading.entries.len();
        let entries = &reading.entries[part];
        if entries.is_empty() {
            return;
        }
        if view.shape == Shape::KeyValue {
            self.key_values(reading, entries, out);
            if is_last {
                hidden(reading, out);
            }
            return;
        }
        let is_table = is_first && is_table(view, &reading.entries);
        // All histograms are empty and have no other members.
        if is_table && view.is_histogram() && others(view).next().is_none() {
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
        if is_last {
            hidden(reading, out);
        }
        if is_table || is_last && reading.hidden > 0 {
            out.push(b'\n');
        }
        // After a drawing, what follows needs a header.
        self.header_of = None;
    }

    /// Appends a line for each entry, with the time.
    fn key_values(&mut self, reading: &Reading, entries: &[Entry], out: &mut Vec<u8>) {
        let view = &*reading.source;
        let meanings = self.names.is_some();
        let keys = columns::of(&columns::keys(view, self.shows_frames), meanings);
        let values = columns::of(&view.value.members("value"), meanings);
        if self.header_of != Some(Heading::View(view.index)) {
            let columns: Vec<_> = keys.iter().chain(&values).cloned().collect();
            out.extend(self.header(&columns));
            self.header_of = Some(Heading::View(view.index));
        }
        for entry in entries {
            let from = out.len();
            self.stamps.column(reading.time, out);
            cells(&keys, entry.key(), &mut self.names, out);
            cells(&values, entry.value(), &mut self.names, out);
            put::trim(out, from);
            out.push(b'\n');
            self.frames(&view.stacks, entry.key(), out);
        }
    }

    /// Appends a drawing for each entry, below its key and the other members of its value.
    pub(crate) fn histograms(&mut self, view: &View, entries: &[Entry], out: &mut Vec<u8>) {
        let Some(histogram) = Histogram::of(view) else { return };
        let begin = out.len();
        let mut picture = String::new();
        for entry in entries {
            // An element of an array that has counted nothing.
            if others(view).next().is_none() && histogram.slots.total(entry.value()) == 0 {
                continue;
            }
            if let Some(key) = &view.key {
                out.extend_from_slice(b"key = ");
                text::write(key, entry.key(), &mut self.names, out);
                key_names(key, out);
                out.push(b'\n');
            }
            for member in others(view) {
                put::string(member.name.as_bytes(), out);
                out.extend_from_slice(b" = ");
                // Plain numbers, as in existing loaders.
                text::write_member(member, entry.value(), &mut None, out);
                out.push(b'\n');
            }
            picture.clear();
            histogram::draw(&histogram, entry.value(), &mut picture);
            if !picture.is_empty() {
                if out.len() > begin && !out[begin..].ends_with(b"\n\n") {
                    out.push(b'\n');
                }
                out.extend_from_slice(picture.as_bytes());
            }
            out.push(b'\n');
        }
    }

    /// Counters in columns, with the stacks of their keys below each row.
    fn table(&mut self, view: &View, entries: &[Entry], out: &mut Vec<u8>) {
        let columns = self.table_columns(view);
        let mut rows = Rows::new(&columns);
        for entry in entries {
            rows.push(self.cells(&columns, entry));
        }
        // A row must not wrap on a terminal.
        self.screen.iter().for_each(|screen| rows.fit(screen.columns));
        for (at, line) in rows.lines().enumerate() {
            out.extend_from_slice(line.as_bytes());
            out.push(b'\n');
            if let Some(entry) = at.checked_sub(1).map(|at| &entries[at]) {
                self.frames(&view.stacks, entry.key(), out);
            }
        }
    }

    /// The columns of a view as a table.
    pub(crate) fn table_columns(&self, view: &View) -> Vec<table::Column> {
        table::columns(view, self.shows_frames, self.names.is_some())
    }

    /// The cells of a row.
    pub(crate) fn cells(&mut self, columns: &[table::Column], entry: &Entry) -> Vec<String> {
        columns.iter().map(|column| column.cell(entry, &mut self.names)).collect()
    }

    /// The time of a reading.
    pub(crate) fn stamp(&mut self, time: Time) -> &[u8] {
        self.stamps.text(time)
    }
}

/// Appends the names of a key's members if it has several: `(pid, tid)`.
fn key_names(key: &Layout, out: &mut Vec<u8>) {
    let Layout::Struct(Struct { members, .. }) = key else { return };
    if members.len() < 2 {
        return;
    }
    let mut before = " (";
    for member in members {
        out.extend_from_slice(before.as_bytes());
        put::string(member.name.as_bytes(), out);
        before = ", ";
    }
    out.push(b')');
}

/// Appends the number of entries that are not shown.
fn hidden(reading: &Reading, out: &mut Vec<u8>) {
    match reading.hidden {
        0 => {}
        1 => out.extend_from_slice(b"(1 more is not shown)\n"),
        more => drop(writeln!(out, "({more} more are not shown)")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bpfpack_decode::{Edges, Member, Slots};
    use bpfpack_spec::fixtures::counter_view;

    use super::super::tests::{format, u32_};
    use bpfpack_decode::histogram::SLOTS;

    use super::*;
    use crate::clock::tests::TIME;
    use crate::format::Format as _;

    /// A map from names to a count and two slots.
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
        format.reading(Reading::new(source, TIME, entries), &mut out);
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
             total 6, p50 0 -> 1, p90 >= 2, p99 >= 2, max >= 2

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
        NAME  COUNT
        a         3
        bcd    1200
        e         3
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
        assert!(text.starts_with("NAME  A\\x1b  B\nk         3  [0,"), "{text}");
    }

    #[test]
    fn what_is_not_shown_is_counted() {
        let mut reading = Reading::new(
            Arc::new(histogram_view()),
            TIME,
            vec![entry(b"a\0\0\0\0\0\0\0", 3, [0, 0])],
        );
        reading.hidden = 34;
        let mut out = Vec::new();
        format().reading(reading, &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "NAME  COUNT\na         3\n(34 more are not shown)\n\n"
        );
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
