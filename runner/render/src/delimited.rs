// SPDX-License-Identifier: MIT
//! CSV (RFC 4180) and TSV: a header line, then a row for each record, entry, or slot of a
//! histogram. If rows of another source follow, its header precedes them.
//!
//! A cell that begins with `=`, `+`, `-` or `@` and is not a number gets a `'` in front:
//! spreadsheets would run it as a formula, and any process can call itself `=cmd|…`.

use std::io::Write as _;
use std::ops::Range;
use std::rc::Rc;

use bpfpack_decode::field::text;
use bpfpack_decode::{Layout, Member};
use bpfpack_frame::{Entry, Reading, Records, Time};
use bpfpack_schemas::printable;
use bpfpack_spec::{Shape, Source, Stack};

use crate::columns;
use crate::common::{Common, Of};
use crate::format::{Format, FormatKind, Heading, lines};
use crate::settings::Settings;
use crate::value::{json, text as words};

/// Cells are separated by commas, and quoted if necessary.
pub(crate) static CSV: FormatKind = FormatKind {
    name: "csv",
    has_meanings: false,
    is_structured: true,
    make: |settings| Box::new(Delimited::new(settings, Style::Csv)),
};

/// Cells are separated by tabs; tabs, line feeds and backslashes in them are `\t`, `\n`, `\\`.
pub(crate) static TSV: FormatKind = FormatKind {
    name: "tsv",
    has_meanings: false,
    is_structured: true,
    make: |settings| Box::new(Delimited::new(settings, Style::Tsv)),
};

/// The columns of a histogram's slot.
const HISTOGRAM: [&str; 3] = ["low", "high", "count"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Csv,
    Tsv,
}

/// A format with delimiters.
#[derive(Debug)]
struct Delimited {
    style: Style,
    common: Common,
    header_of: Option<Heading>,
    cell: Vec<u8>,
}

impl Delimited {
    fn new(settings: &Settings, style: Style) -> Delimited {
        Delimited { style, common: Common::new(settings), header_of: None, cell: Vec::new() }
    }

    /// Ends a cell: moves `self.cell` to the row.
    fn put(&mut self, out: &mut Vec<u8>) {
        if is_formula(&self.cell) {
            self.cell.insert(0, b'\'');
        }
        match self.style {
            Style::Csv => {
                if self.cell.iter().any(|byte| matches!(byte, b'"' | b',' | b'\n' | b'\r')) {
                    out.push(b'"');
                    for byte in &self.cell {
                        out.extend((*byte == b'"').then_some(b'"'));
                        out.push(*byte);
                    }
                    out.push(b'"');
                } else {
                    out.extend_from_slice(&self.cell);
                }
                out.push(b',');
            }
            Style::Tsv => {
                for byte in &self.cell {
                    match byte {
                        b'\t' => out.extend_from_slice(b"\\t"),
                        b'\n' => out.extend_from_slice(b"\\n"),
                        b'\r' => out.extend_from_slice(b"\\r"),
                        b'\\' => out.extend_from_slice(b"\\\\"),
                        byte => out.push(*byte),
                    }
                }
                out.push(b'\t');
            }
        }
        self.cell.clear();
    }

    /// Adds a cell with a text. Control characters except line feeds and tabs are escaped.
    fn put_text(&mut self, text: &[u8], out: &mut Vec<u8>) {
        if text.iter().all(|byte| matches!(byte, b' '..=b'~')) {
            self.cell.extend_from_slice(text);
        } else {
            let mut pieces = printable::Pieces::default();
            pieces.append(String::from_utf8_lossy(text).as_bytes(), &mut self.cell);
        }
        self.put(out);
    }

    fn put_time(&mut self, of: Of, time: Time, out: &mut Vec<u8>) {
        if let Some(text) = self.common.time(of, time) {
            self.cell.extend_from_slice(text);
            self.put(out);
        }
    }

    /// Adds a member's cell, which is empty if the record ends before it.
    fn put_member(&mut self, member: &Member, record: &[u8], out: &mut Vec<u8>) {
        if member.is_missing(record) {
            return self.put(out);
        }
        if let Some(text) = member.joined(record) {
            return self.put_text(&text, out);
        }
        let has_meaning = member.meaning.is_some() && self.common.names.is_some();
        match &member.layout {
            Layout::Text { size } if !has_meaning => {
                let mut number = [0; 16];
                return self.put_text(text(member.bytes(record, &mut number), *size), out);
            }
            Layout::Struct(_) | Layout::Array { .. } if !has_meaning => {
                json::write_member(member, record, &mut self.common.names, &mut self.cell);
            }
            _ => words::write_member(member, record, &mut self.common.names, &mut self.cell),
        }
        self.put(out);
    }

    fn put_stacks(&mut self, stacks: &[Stack], record: &[u8], out: &mut Vec<u8>) {
        if !self.common.names_frames() {
            return;
        }
        for stack in stacks {
            // Outermost first, as flame graphs need them.
            let mut frames = Vec::new();
            self.common.frames(stack, record, &mut |frame| frames.push(frame.to_vec()));
            frames.reverse();
            self.put_text(&frames.join(&b';'), out);
        }
    }

    /// Adds a row with one cell from a stage.
    fn single(&mut self, name: &'static str, time: Time, text: &[u8], out: &mut Vec<u8>) {
        if self.header_of != Some(Heading::Stage(name)) {
            let has_time = self.common.clock.is_some();
            self.header(Heading::Stage(name), has_time, &[name], &[], out);
        }
        self.put_time(Of::Record, time, out);
        self.put_text(text, out);
        self.end_row(out);
    }

    /// Begins a row of a reading with its time, map and key. The header precedes the first row.
    fn begin_row(
        &mut self,
        reading: &Reading,
        entry: &Entry,
        keys: &[Member],
        values: &[Member],
        out: &mut Vec<u8>,
    ) {
        let view = &*reading.source;
        if self.header_of != Some(Heading::View(view.index)) {
            let members = keys.iter().chain(values);
            let mut names: Vec<&str> = members.map(|member| member.name.as_str()).collect();
            if view.is_histogram() {
                names.extend(HISTOGRAM);
            }
            let has_time = self.common.stamps.is_some();
            self.header(Heading::View(view.index), has_time, &names, &view.stacks, out);
        }
        self.put_time(Of::Reading, reading.time, out);
        if self.common.stamps.is_some() {
            let _ = write!(self.cell, "{}", reading.number);
            self.put(out);
        }
        if self.common.several {
            self.put_text(view.name.as_bytes(), out);
        }
        for member in keys {
            self.put_member(member, entry.key(), out);
        }
    }

    /// Ends a row: removes the delimiter after the last cell. A row may have no cells.
    fn end_row(&self, out: &mut Vec<u8>) {
        out.pop_if(|byte| *byte != b'\n');
        out.push(b'\n');
    }

    /// Appends a header line.
    fn header(
        &mut self,
        heading: Heading,
        has_time: bool,
        names: &[&str],
        stacks: &[Stack],
        out: &mut Vec<u8>,
    ) {
        let time = has_time.then_some("time");
        let is_of_source = !matches!(heading, Heading::Stage(_));
        let map = (self.common.several && is_of_source).then_some("map");
        let is_of_view = matches!(heading, Heading::View(_));
        let number = time.filter(|_| is_of_view).map(|_| "reading");
        for name in time.into_iter().chain(number).chain(map).chain(names.iter().copied()) {
            self.put_text(name.as_bytes(), out);
        }
        if self.common.names_frames() {
            for stack in stacks {
                self.put_text(format!("{}.frames", stack.name).as_bytes(), out);
            }
        }
        self.end_row(out);
        self.header_of = Some(heading);
    }
}

/// Whether a spreadsheet treats a cell as a formula: it begins with a sign, perhaps after spaces,
/// and is not a number. A lone `-` stands for no value.
fn is_formula(cell: &[u8]) -> bool {
    let cell = cell.trim_ascii();
    let begins = matches!(cell.first(), Some(b'=' | b'+' | b'-' | b'@')) && cell != b"-";
    let text = || std::str::from_utf8(cell).unwrap_or_default();
    // Words for numbers, as `-inf`, are not accepted.
    begins && !(cell.get(1).is_some_and(u8::is_ascii_digit) && text().parse::<f64>().is_ok())
}

impl Format for Delimited {
    fn start(&mut self, sources: &[Source], _out: &mut Vec<u8>) {
        self.common.several = sources.len() > 1;
    }

    fn records(&mut self, records: &Records<'_>, out: &mut Vec<u8>) {
        let ty = records.record_type();
        let single;
        let members = match &ty.layout {
            Layout::Struct(layout) => &layout.members[..],
            other => {
                single = [Member::new("value", 0, other.clone())];
                &single
            }
        };
        let heading = Heading::Records(records.source.index, records.ty);
        if self.header_of != Some(heading) {
            let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
            self.header(heading, self.common.clock.is_some(), &names, &ty.stacks, out);
        }
        for bytes in records.bytes {
            self.put_time(Of::Record, records.time, out);
            if self.common.several {
                self.put_text(records.source.name.as_bytes(), out);
            }
            for member in members {
                self.put_member(member, bytes, out);
            }
            self.put_stacks(&ty.stacks, bytes, out);
            self.end_row(out);
        }
    }

    fn entries(&mut self, reading: &Rc<Reading>, part: Range<usize>, out: &mut Vec<u8>) {
        let view = &*reading.source;
        let keys = view.key.as_ref().map_or(Vec::new(), |key| key.members("key"));
        let (values, slots) = match &view.shape {
            Shape::Histogram { slots, edges, .. } => {
                (columns::others(view).cloned().collect(), Some((slots, edges)))
            }
            _ => (view.value.members("value"), None),
        };
        for entry in &reading.entries[part] {
            // The slots of a histogram are rows. Values for all slots get a row of their own, so
            // that the sum of a column counts nothing twice.
            if slots.is_none() || !values.is_empty() {
                self.begin_row(reading, entry, &keys, &values, out);
                for member in &values {
                    self.put_member(member, entry.value(), out);
                }
                if slots.is_some() {
                    (0..HISTOGRAM.len()).for_each(|_| self.put(out));
                }
                self.put_stacks(&view.stacks, entry.key(), out);
                self.end_row(out);
            }
            let Some((slots, edges)) = slots else { continue };
            let counts: Vec<u64> = slots.counts(entry.value()).collect();
            let end = counts.iter().rposition(|count| *count > 0).map_or(0, |at| at + 1);
            for (slot, count) in counts.into_iter().enumerate().take(end) {
                self.begin_row(reading, entry, &keys, &values, out);
                values.iter().for_each(|_| self.put(out));
                let (low, high) = edges.of(slot);
                for number in [low, high, count.into()] {
                    let _ = write!(self.cell, "{number}");
                    self.put(out);
                }
                self.put_stacks(&view.stacks, entry.key(), out);
                self.end_row(out);
            }
        }
    }

    fn text(&mut self, time: Time, text: &[u8], out: &mut Vec<u8>) {
        for line in lines(text) {
            self.single("text", time, line, out);
        }
    }

    fn json(&mut self, time: Time, json: &[u8], out: &mut Vec<u8>) {
        self.single("json", time, json, out);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bpfpack_decode::{Edges, Slots, Struct};
    use bpfpack_spec::fixtures::{counter_view, stream_of};
    use bpfpack_spec::{Stream, View};

    use super::*;
    use crate::clock::tests::TIME;
    use crate::format::tests::show;

    fn format(style: Style, several: bool) -> Delimited {
        let common = Common { several, ..Common::default() };
        Delimited { style, common, header_of: None, cell: Vec::new() }
    }

    fn stream() -> Stream {
        let members = vec![
            Member::new("pid", 0, Layout::Int { size: 4, signed: false }),
            Member::new("name", 4, Layout::Text { size: 8 }),
            Member::new("last", 12, Layout::Bool),
        ];
        stream_of(Struct { size: 13, members })
    }

    fn record(format: &mut Delimited, bytes: &[u8], out: &mut Vec<u8>) {
        show(format, &stream(), &[bytes], out);
    }

    #[test]
    fn rows_and_their_quotes() {
        let mut out = Vec::new();
        let mut csv = format(Style::Csv, false);
        record(&mut csv, b"\x07\0\0\0a,\"b\"\n\0\0\x01", &mut out);
        record(&mut csv, b"\x08\0\0\0\xffb\0\0\0", &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "pid,name,last\n7,\"a,\"\"b\"\"\n\",true\n8,\u{fffd}b,\n"
        );
        let mut out = Vec::new();
        record(&mut csv, b"\x07\0\0\0=cmd|a\0\0\x01", &mut out);
        record(&mut csv, "\x07\0\0\0-\u{202e}\x1b\u{9b}\0\x01".as_bytes(), &mut out);
        record(&mut csv, b"\x07\0\0\0-12.5\0\0\0\x01", &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "7,'=cmd|a,true\n7,'-\\u{202e}\\x1b\\x9b,true\n7,-12.5,true\n"
        );
        for (cell, expected) in [
            ("@a", true),
            ("+1", false),
            ("-", false),
            ("-inf", true),
            ("\t =a", true),
            ("", false),
        ] {
            assert_eq!(is_formula(cell.as_bytes()), expected, "{cell}");
        }
        let mut out = Vec::new();
        record(&mut format(Style::Tsv, false), b"\x07\0\0\0a\tb\\\n\0\0\0\x01", &mut out);
        assert_eq!(out, b"pid\tname\tlast\n7\ta\\tb\\\\\\n\ttrue\n");
    }

    #[test]
    fn slots_are_rows_and_names_come_again_for_another_source() {
        let value = Layout::Array {
            element: Box::new(Layout::Int { size: 4, signed: false }),
            stride: 4,
            len: 3,
        };
        let view = View {
            shape: Shape::Histogram {
                slots: Slots::of_array(&value, 0).unwrap(),
                edges: Edges::Log2,
                unit: "usecs".into(),
            },
            value,
            ..counter_view()
        };
        let mut csv = format(Style::Csv, true);
        let entries = vec![Entry::new(&[3], &[1, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0])];
        let reading = Reading::new(Arc::new(View { index: 1, ..view }), TIME, entries);
        let mut out = Vec::new();
        for _ in 0..2 {
            csv.reading(reading.clone(), &mut out);
        }
        record(&mut csv, b"\x07\0\0\0a\0\0\0\0\0\0\0\x01", &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "map,key,low,high,count\ncounts,3,0,1,1\ncounts,3,2,3,5\ncounts,3,0,1,1\n\
             counts,3,2,3,5\nmap,pid,name,last\nrb,7,a,true\n"
        );
    }

    #[test]
    fn counters_beside_a_histogram_have_a_row_of_their_own() {
        let number = |size| Layout::Int { size, signed: false };
        let slots = Layout::Array { element: Box::new(number(4)), stride: 4, len: 2 };
        let members = vec![Member::new("hits", 0, number(4)), Member::new("slots", 4, slots)];
        let value = Layout::Struct(Struct { size: 12, members });
        let slots = Slots { offset: 4, size: 4, len: 2 };
        let shape = Shape::Histogram { slots, edges: Edges::Log2, unit: "usecs".into() };
        let view = View { shape, value, ..counter_view() };
        let entries = vec![
            Entry::new(&[3], &[5, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0]),
            Entry::new(&[4], &[6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        ];
        let mut out = Vec::new();
        let reading = Reading::new(Arc::new(view), TIME, entries);
        format(Style::Csv, false).reading(reading.clone(), &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "key,hits,low,high,count\n3,5,,,\n3,,0,1,0\n3,,2,3,4\n4,6,,,\n"
        );
    }
}
