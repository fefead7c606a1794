// SPDX-License-Identifier: MIT
//! Text for people, as existing loaders and bcc's tools have it.

use std::cmp::Reverse;
use std::fmt::Write as _;

use super::{Format, histogram};
use crate::collect::maps::Entry;
use crate::decode::histogram::SLOTS;
use crate::decode::layout::{part, unsigned};
use crate::decode::{Edges, Layout, Member, Record, Slots, text};
use crate::sys;
use crate::view::{Shape, Stream, View};

/// Columns of records are at least as wide as this.
const LEAST_WIDTH: usize = 6;

/// The text format and what it remembers.
#[derive(Debug)]
pub struct Text {
    /// Print the time before each reading.
    timestamps: bool,
    /// Several views: each reading says which it is.
    several: bool,
    /// The name of the stream or view whose header was printed last.
    header_of: Option<String>,
    now: fn() -> (u8, u8, u8),
}

impl Text {
    /// Nothing was printed yet.
    pub fn new(timestamps: bool, several: bool) -> Text {
        Text { timestamps, several, header_of: None, now: sys::local_time }
    }

    fn time(&self) -> String {
        let (hours, minutes, seconds) = (self.now)();
        format!("{hours:02}:{minutes:02}:{seconds:02}")
    }

    fn histograms(
        &self,
        view: &View,
        entries: &[Entry],
        slots: &Slots,
        edges: Edges,
        unit: &str,
    ) -> String {
        let mut out = String::new();
        for entry in entries {
            let counts: Vec<u64> = slots.counts(&entry.value).collect();
            if let Some(key) = &view.key {
                out.push_str("key = ");
                text::write(key, &entry.key, &mut out);
                out.push('\n');
            }
            for member in others(view) {
                let _ = write!(out, "{} = ", member.name);
                write_member(member, &entry.value, &mut out);
                out.push('\n');
            }
            let mut picture = String::new();
            histogram::draw(&counts, edges, unit, &mut picture);
            if !picture.is_empty() {
                if !out.is_empty() && !out.ends_with("\n\n") {
                    out.push('\n');
                }
                out.push_str(&picture);
            }
            out.push('\n');
        }
        out
    }

    /// Counters in columns, largest first.
    fn table(view: &View, entries: &[Entry]) -> String {
        let single =
            [Member { name: view.name.clone(), offset: 0, bits: None, layout: view.value.clone() }];
        let columns: Vec<&Member> = match &view.value {
            Layout::Record(_) => others(view).collect(),
            _ => single.iter().collect(),
        };
        let mut sorted: Vec<&Entry> = entries.iter().collect();
        // Entries come in order of their keys, and stay so where the counts are the same.
        let is_number = |m: &&&Member| matches!(m.layout, Layout::Int { .. });
        let named = columns.iter().find(|member| Some(&member.name) == view.sort.as_ref());
        if let Some(first) = named.filter(is_number).or_else(|| columns.iter().find(is_number)) {
            sorted.sort_by_key(|entry| {
                let bytes = part(&entry.value, first.offset);
                Reverse(unsigned(bytes, first.layout.size().min(16)))
            });
        }
        let mut rows: Vec<Vec<String>> = Vec::new();
        let mut header: Vec<String> = columns.iter().map(|m| m.name.to_uppercase()).collect();
        if view.key.is_some() {
            header.insert(0, "KEY".into());
        }
        rows.push(header);
        for entry in sorted {
            let mut row = Vec::new();
            if let Some(key) = &view.key {
                let mut cell = String::new();
                text::write(key, &entry.key, &mut cell);
                row.push(cell);
            }
            for column in &columns {
                let mut cell = String::new();
                write_member(column, &entry.value, &mut cell);
                row.push(cell);
            }
            rows.push(row);
        }
        let is_number = |at: usize| {
            let column = at.checked_sub(usize::from(view.key.is_some()));
            column.is_some_and(|at| matches!(columns[at].layout, Layout::Int { .. }))
        };
        align(&rows, is_number)
    }

    /// A line with names above the first record or reading of this kind.
    fn header(&mut self, name: &str, columns: &[String], out: &mut String) {
        if self.header_of.as_deref() != Some(name) {
            self.header_of = Some(name.to_owned());
            let mut line = String::from("TIME     ");
            for column in columns {
                let _ = write!(line, "{:<LEAST_WIDTH$} ", column.to_uppercase());
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
    }
}

impl Format for Text {
    fn reading(&mut self, view: &View, entries: &[Entry], out: &mut Vec<u8>) {
        if entries.is_empty() {
            return;
        }
        let mut text = String::new();
        match &view.shape {
            Shape::Histogram { slots, edges, unit } => {
                let any = entries.iter().any(|e| slots.counts(&e.value).any(|count| count > 0));
                if any {
                    text = self.histograms(view, entries, slots, *edges, unit);
                } else if others(view).next().is_some() {
                    text = Text::table(view, entries) + "\n";
                }
            }
            Shape::Table => text = Text::table(view, entries) + "\n",
            Shape::KeyValue => {
                let key = view.key.as_ref().map(|key| columns_of(key, "key")).unwrap_or_default();
                let value = columns_of(&view.value, "value");
                let names: Vec<_> =
                    key.iter().chain(&value).map(|(name, _)| name.clone()).collect();
                self.header(&view.name, &names, &mut text);
                let time = self.time();
                for entry in entries {
                    let mut line = format!("{time} ");
                    if let Some(layout) = &view.key {
                        cells(layout, &key, &entry.key, &mut line);
                    }
                    cells(&view.value, &value, &entry.value, &mut line);
                    text.push_str(line.trim_end());
                    text.push('\n');
                }
            }
        }
        if text.is_empty() {
            return;
        }
        if view.shape != Shape::KeyValue {
            if self.timestamps {
                out.extend_from_slice(format!("{}\n", self.time()).as_bytes());
            }
            if self.several {
                out.extend_from_slice(format!("map = {}\n", view.name).as_bytes());
            }
        }
        out.extend_from_slice(text.as_bytes());
    }

    fn record(&mut self, stream: &Stream, bytes: &[u8], out: &mut Vec<u8>) {
        let kind = &stream.kinds[stream.kind(bytes)];
        let columns = columns_of(&kind.layout, "value");
        let names: Vec<_> = columns.iter().map(|(name, _)| name.clone()).collect();
        let mut text = String::new();
        match stream.kinds.len() {
            1 => self.header(&stream.name, &names, &mut text),
            _ => self.header(&format!("{} {}", stream.name, kind.name), &names, &mut text),
        }
        let mut line = format!("{} ", self.time());
        cells(&kind.layout, &columns, bytes, &mut line);
        text.push_str(line.trim_end());
        text.push('\n');
        out.extend_from_slice(text.as_bytes());
    }
}

/// The members of a value, but for a histogram's slots.
fn others(view: &View) -> impl Iterator<Item = &Member> {
    let members = match &view.value {
        Layout::Record(Record { members, .. }) => &members[..],
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

/// Names and widths of the columns that a value takes.
fn columns_of(layout: &Layout, name: &str) -> Vec<(String, usize)> {
    let width = |name: &str| name.chars().count().max(LEAST_WIDTH);
    match layout {
        Layout::Record(record) => {
            record.members.iter().map(|member| (member.name.clone(), width(&member.name))).collect()
        }
        _ => vec![(name.to_owned(), width(name))],
    }
}

/// Appends a value's columns.
fn cells(layout: &Layout, columns: &[(String, usize)], bytes: &[u8], line: &mut String) {
    let mut cell = String::new();
    for (at, (_, width)) in columns.iter().enumerate() {
        cell.clear();
        match layout {
            Layout::Record(record) => write_member(&record.members[at], bytes, &mut cell),
            _ => text::write(layout, bytes, &mut cell),
        }
        let _ = write!(line, "{cell:<width$} ");
    }
}

fn write_member(member: &Member, bytes: &[u8], out: &mut String) {
    match member.bits {
        Some(_) => text::write(&member.layout, &member.widened(bytes), out),
        None => text::write(&member.layout, part(bytes, member.offset), out),
    }
}

/// Rows as lines, columns as wide as their widest cell: numbers to the right.
fn align(rows: &[Vec<String>], is_number: impl Fn(usize) -> bool) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |at: usize| {
        let lens = rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count());
        lens.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (at, cell) in row.iter().enumerate() {
            let width = widths[at];
            let _ = match is_number(at) {
                true => write!(line, "{cell:>width$}  "),
                false => write!(line, "{cell:<width$}  "),
            };
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::RecordKind;
    use crate::view::tests::counter_view;

    fn text() -> Text {
        Text { now: || (9, 5, 7), ..Text::new(false, false) }
    }

    fn member(name: &str, offset: usize, layout: Layout) -> Member {
        Member { name: name.into(), offset, bits: None, layout }
    }

    fn u32_() -> Layout {
        Layout::Int { size: 4, signed: false }
    }

    /// A map of names to a count and two slots.
    fn histogram_view() -> View {
        let slots = Layout::Array { element: Box::new(u32_()), stride: 4, len: 2 };
        let members = vec![
            member("count", 0, Layout::Int { size: 8, signed: false }),
            member(SLOTS, 8, slots),
        ];
        let value = Layout::Record(Record { size: 16, members });
        View {
            key: Some(Layout::Record(Record {
                size: 8,
                members: vec![member("name", 0, Layout::Text { size: 8 })],
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
        Entry { key: name.to_vec(), value }
    }

    fn rendered(format: &mut Text, view: &View, entries: &[Entry]) -> String {
        let mut out = Vec::new();
        format.reading(view, entries, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn histograms_with_their_keys_and_members() {
        let entries = [entry(b"timer\0\0\0", 0, [4, 2]), entry(b"disk\0\0\0\0", 3, [0, 0])];
        insta::assert_snapshot!(rendered(&mut text(), &histogram_view(), &entries), @r"
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
        let mut format = Text { timestamps: true, several: true, ..text() };
        insta::assert_snapshot!(rendered(&mut format, &histogram_view(), &entries), @r"
        09:05:07
        map = counts
        KEY  COUNT
        bcd   1200
        a        3
        e        3
        ");
        assert_eq!(rendered(&mut format, &histogram_view(), &[]), "");
    }

    #[test]
    fn keys_and_values_with_the_time() {
        let view = View { shape: Shape::KeyValue, ..histogram_view() };
        let entries = [entry(b"a\0\0\0\0\0\0\0", 3, [1, 2])];
        let mut format = text();
        insta::assert_snapshot!(rendered(&mut format, &view, &entries), @r"
        TIME     NAME   COUNT  SLOTS
        09:05:07 a      3      [1,2]
        ");
        assert!(!rendered(&mut format, &view, &entries).contains("TIME"), "the header comes once");
    }

    #[test]
    fn records() {
        let stream = Stream {
            name: "rb".into(),
            kinds: vec![RecordKind {
                name: "event".into(),
                layout: Layout::Record(Record {
                    size: 20,
                    members: vec![
                        member("pid", 0, u32_()),
                        member("comm", 4, Layout::Text { size: 8 }),
                        member("exit_code", 12, u32_()),
                        member("last", 16, u32_()),
                    ],
                }),
                tag: None,
            }],
            tag: None,
            is_perf: false,
            pages: 1,
        };
        let mut out = Vec::new();
        let mut format = text();
        format.record(&stream, b"\x07\0\0\0bash\0\0\0\0\x01\0\0\0\x02\0\0\0", &mut out);
        format.record(&stream, b"\x07\0\0\0bash", &mut out);
        insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r"
        TIME     PID    COMM   EXIT_CODE LAST
        09:05:07 7      bash   1         2
        09:05:07 7      bash   0         0
        ");
    }
}
