// SPDX-License-Identifier: MIT
//! CSV (RFC 4180) and TSV: a line of names, then a row for each record, element, or slot of a
//! histogram. Where another source's rows follow, its names come first.
//!
//! A cell that begins with `=`, `+`, `-` or `@`, and is no number, has a `'` before it: spreadsheets
//! would run it as a formula, and any process can call itself `=cmd|…`.

use std::io::Write as _;

use bpfpack_schemas::printable;

use super::clock::Clock;
use super::{Chunk, Format, Heading, Piece, Settings, columns};
use crate::collect::maps::Entry;
use crate::decode::layout::text;
use crate::decode::meaning::Names;
use crate::decode::{Layout, Member, json, text as words};
use crate::render::tracer::Tracer;
use crate::view::{Shape, Stack, Stream, View};

/// How cells are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// By commas; in quotes where they hold one.
    Csv,
    /// By tabs; those inside, line feeds and backslashes are `\t`, `\n`, `\\`.
    Tsv,
}

/// The formats with delimiters.
#[derive(Debug)]
pub struct Delimited {
    style: Style,
    several: bool,
    clock: Option<Clock>,
    stamps: Option<Clock>,
    names: Option<Names>,
    tracer: Option<Tracer>,
    header_of: Option<Heading>,
    cell: Vec<u8>,
}

impl Delimited {
    /// With what the settings ask for.
    pub fn new(settings: &Settings, style: Style) -> Delimited {
        let (names, tracer) = settings.words();
        let (clock, stamps) = settings.clocks();
        Delimited {
            style,
            several: settings.several,
            clock,
            stamps,
            names,
            tracer,
            header_of: None,
            cell: Vec::new(),
        }
    }

    /// Ends a cell: `self.cell` goes to a row.
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

    /// A cell with a text. What it may not hold as it is, is escaped; lines and tabs stay.
    fn put_text(&mut self, text: &[u8], out: &mut Vec<u8>) {
        if text.iter().all(|byte| matches!(byte, b' '..=b'~')) {
            self.cell.extend_from_slice(text);
        } else {
            let mut pieces = printable::Pieces::default();
            pieces.append(String::from_utf8_lossy(text).as_bytes(), &mut self.cell);
        }
        self.put(out);
    }

    fn put_time(&mut self, of_reading: bool, out: &mut Vec<u8>) {
        let clock = if of_reading { &mut self.stamps } else { &mut self.clock };
        if let Some(clock) = clock {
            self.cell.extend_from_slice(clock.text());
            self.put(out);
        }
    }

    /// A member's cell: empty where the record ends before it.
    fn put_member(&mut self, member: &Member, record: &[u8], out: &mut Vec<u8>) {
        if member.is_missing(record) {
            return self.put(out);
        }
        if let Some(text) = member.joined(record) {
            return self.put_text(&text, out);
        }
        let has_meaning = member.meaning.is_some() && self.names.is_some();
        match &member.layout {
            Layout::Text { size } if !has_meaning => {
                let mut number = [0; 16];
                return self.put_text(text(member.bytes(record, &mut number), *size), out);
            }
            Layout::Record(_) | Layout::Array { .. } if !has_meaning => {
                json::write_member(member, record, &mut self.names, &mut self.cell);
            }
            _ => words::write_member(member, record, &mut self.names, &mut self.cell),
        }
        self.put(out);
    }

    fn put_stacks(&mut self, stacks: &[Stack], record: &[u8], out: &mut Vec<u8>) {
        let Some(mut tracer) = self.tracer.take() else { return };
        for stack in stacks {
            // Outermost first, as flame graphs take them.
            let mut frames = Vec::new();
            tracer.frames(stack, record, &mut |frame| frames.push(frame.to_vec()));
            frames.reverse();
            self.put_text(&frames.join(&b';'), out);
        }
        self.tracer = Some(tracer);
    }

    /// A row of one cell that a module made.
    fn single(&mut self, name: &'static str, text: &[u8], out: &mut Vec<u8>) {
        let heading = Heading::Module(name);
        if self.header_of.as_ref() != Some(&heading) {
            let several = std::mem::replace(&mut self.several, false);
            let header = self.header(self.clock.is_some(), &[name], &[]);
            self.several = several;
            out.extend(header);
            self.header_of = Some(heading);
        }
        self.put_time(false, out);
        self.put_text(text, out);
        self.end(out);
    }

    /// Ends a row: the delimiter behind the last cell goes. A row may have no cells.
    fn end(&self, out: &mut Vec<u8>) {
        out.pop_if(|byte| *byte != b'\n');
        out.push(b'\n');
    }

    /// The line of names.
    fn header(&mut self, has_time: bool, names: &[&str], stacks: &[Stack]) -> Vec<u8> {
        let mut out = Vec::new();
        let time = has_time.then_some("time");
        let map = self.several.then_some("map");
        for name in time.into_iter().chain(map).chain(names.iter().copied()) {
            self.put_text(name.as_bytes(), &mut out);
        }
        if self.tracer.is_some() {
            for stack in stacks {
                self.put_text(format!("{}.frames", stack.name).as_bytes(), &mut out);
            }
        }
        self.end(&mut out);
        out
    }
}

/// Whether a spreadsheet takes a cell for a formula: it begins with a sign, perhaps behind spaces,
/// and is no number. A lone `-` is what stands for nothing.
fn is_formula(cell: &[u8]) -> bool {
    let cell = cell.trim_ascii();
    let begins = matches!(cell.first(), Some(b'=' | b'+' | b'-' | b'@')) && cell != b"-";
    let text = || std::str::from_utf8(cell).unwrap_or_default();
    // Words that a number may have, as `-inf`, are none here.
    begins && !(cell.get(1).is_some_and(u8::is_ascii_digit) && text().parse::<f64>().is_ok())
}

impl Format for Delimited {
    fn tracer(&mut self) -> Option<&mut Tracer> {
        self.tracer.as_mut()
    }

    fn now(&mut self) {
        if let Some(clock) = &mut self.clock {
            clock.tick();
        }
    }

    fn record(&mut self, stream: &Stream, bytes: &[u8], out: &mut Vec<u8>) -> bool {
        let at = stream.kind(bytes);
        let kind = &stream.kinds[at];
        if kind.is_malformed(bytes) {
            return false;
        }
        let single;
        let members = match &kind.layout {
            Layout::Record(record) => &record.members[..],
            other => {
                single = [Member::new("value", 0, other.clone())];
                &single
            }
        };
        let heading = Heading::Records(stream.index, at);
        if self.header_of.as_ref() != Some(&heading) {
            let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
            let header = self.header(self.clock.is_some(), &names, &kind.stacks);
            out.extend(header);
            self.header_of = Some(heading);
        }
        self.put_time(false, out);
        if self.several {
            self.put_text(stream.name.as_bytes(), out);
        }
        for member in members {
            self.put_member(member, bytes, out);
        }
        self.put_stacks(&kind.stacks, bytes, out);
        self.end(out);
        true
    }

    fn piece(&mut self, view: &View, entries: &[Entry], piece: Piece) -> Chunk {
        if let Some(clock) = self.stamps.as_mut().filter(|_| piece.begins()) {
            clock.tick();
        }
        let keys = view.key.as_ref().map_or(Vec::new(), |key| columns::members(key, "key"));
        let (values, slots) = match &view.shape {
            Shape::Histogram { slots, edges, .. } => (Vec::new(), Some((slots, edges))),
            _ => (columns::members(&view.value, "value"), None),
        };
        let mut names: Vec<&str> =
            keys.iter().chain(&values).map(|member| member.name.as_str()).collect();
        names.extend(slots.iter().flat_map(|_| ["low", "high", "count"]));
        let header = self.header(self.stamps.is_some(), &names, &view.stacks);
        let mut body = Vec::new();
        for entry in entries {
            let counts: Vec<Option<(usize, u64)>> = match slots {
                Some((slots, _)) => {
                    let counts: Vec<u64> = slots.counts(&entry.value).collect();
                    let end = counts.iter().rposition(|count| *count > 0).map_or(0, |at| at + 1);
                    counts.into_iter().enumerate().take(end).map(Some).collect()
                }
                None => vec![None],
            };
            for count in counts {
                self.put_time(true, &mut body);
                if self.several {
                    self.put_text(view.name.as_bytes(), &mut body);
                }
                for member in &keys {
                    self.put_member(member, &entry.key, &mut body);
                }
                for member in &values {
                    self.put_member(member, &entry.value, &mut body);
                }
                if let (Some((slot, count)), Some((_, edges))) = (count, slots) {
                    let (low, high) = edges.of(slot);
                    for number in [low, high, count.into()] {
                        let _ = write!(self.cell, "{number}");
                        self.put(&mut body);
                    }
                }
                self.put_stacks(&view.stacks, &entry.key, &mut body);
                self.end(&mut body);
            }
        }
        Chunk { header: Some((Heading::View(view.name.clone()), header)), body }
    }

    fn chunk(&mut self, chunk: Chunk, out: &mut Vec<u8>) {
        if chunk.body.is_empty() {
            return;
        }
        if let Some((heading, header)) = chunk.header
            && self.header_of.as_ref() != Some(&heading)
        {
            out.extend(header);
            self.header_of = Some(heading);
        }
        out.extend(chunk.body);
    }

    fn lines(&mut self, text: &[u8], out: &mut Vec<u8>) {
        for line in super::lines(text) {
            self.single("text", line, out);
        }
    }

    fn value(&mut self, json: &[u8], out: &mut Vec<u8>) {
        self.single("json", json, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{Edges, Record, Slots};
    use crate::view::tests::counter_view;
    use crate::view::{RecordKind, StreamKind};

    fn format(style: Style, several: bool) -> Delimited {
        Delimited {
            style,
            several,
            clock: None,
            stamps: None,
            names: None,
            tracer: None,
            header_of: None,
            cell: Vec::new(),
        }
    }

    fn stream() -> Stream {
        let members = vec![
            Member::new("pid", 0, Layout::Int { size: 4, signed: false }),
            Member::new("name", 4, Layout::Text { size: 8 }),
            Member::new("last", 12, Layout::Bool),
        ];
        Stream {
            index: 0,
            name: "rb".into(),
            kinds: vec![RecordKind::new(
                "event",
                Layout::Record(Record { size: 13, members }),
                None,
            )],
            tag: None,
            kind: StreamKind::Ring,
        }
    }

    #[test]
    fn rows_and_their_quotes() {
        let mut out = Vec::new();
        let mut csv = format(Style::Csv, false);
        csv.record(&stream(), b"\x07\0\0\0a,\"b\"\n\0\0\x01", &mut out);
        csv.record(&stream(), b"\x08\0\0\0\xffb\0\0\0", &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "pid,name,last\n7,\"a,\"\"b\"\"\n\",true\n8,\u{fffd}b,\n"
        );
        let mut out = Vec::new();
        csv.record(&stream(), b"\x07\0\0\0=cmd|a\0\0\x01", &mut out);
        csv.record(&stream(), "\x07\0\0\0-\u{202e}\x1b\u{9b}\0\x01".as_bytes(), &mut out);
        csv.record(&stream(), b"\x07\0\0\0-12.5\0\0\0\x01", &mut out);
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
        format(Style::Tsv, false).record(&stream(), b"\x07\0\0\0a\tb\\\n\0\0\0\x01", &mut out);
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
        let entries = [Entry { key: vec![3], value: vec![1, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0] }];
        let mut out = Vec::new();
        for _ in 0..2 {
            let chunk = csv.reading(&view, &entries);
            csv.chunk(chunk, &mut out);
        }
        csv.record(&stream(), b"\x07\0\0\0a\0\0\0\0\0\0\0\x01", &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "map,key,low,high,count\ncounts,3,0,1,1\ncounts,3,2,3,5\ncounts,3,0,1,1\n\
             counts,3,2,3,5\nmap,pid,name,last\nrb,7,a,true\n"
        );
    }
}
