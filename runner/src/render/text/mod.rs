// SPDX-License-Identifier: MIT
//! Text for people, as existing loaders and bcc's tools have it: a line of names above columns.

mod readings;

use std::io::Write as _;

use super::clock::Clock;
use super::columns::{self, Column};
use super::{Chunk, Format, Heading, PerKind, Piece, Settings};
use crate::args::TimeColumn;
use crate::collect::maps::Entry;
use crate::decode::flat::{Flat, Part};
use crate::decode::layout::{text, unsigned};
use crate::decode::meaning::Names;
use crate::decode::put::{self, Short};
use crate::decode::text as words;
use crate::os;
use crate::render::tracer::Tracer;
use crate::view::{RecordKind, Stack, StackEvent, Stream, View};
use readings::is_table;

/// So many kinds of records of a buffer share their columns; of more, each has its own.
const MOST_TOGETHER: usize = 6;

/// The text format and what it remembers.
#[derive(Debug)]
pub struct Text {
    /// Print the time before each reading.
    timestamps: bool,
    /// Several views: each reading says which it is.
    several: bool,
    clock: Clock,
    names: Option<Names>,
    tracer: Option<Tracer>,
    /// What finds the addresses of stacks where they are shown without names.
    bare: Option<Tracer>,
    /// What the names were printed for last.
    header_of: Option<Heading>,
    /// Columns of records, by stream and kind.
    tables: PerKind<Table>,
    terminal: Option<Terminal>,
    has_colors: bool,
}

/// The columns of a kind of records.
#[derive(Debug)]
struct Table {
    columns: Vec<Column>,
    /// The same, to be written in one go.
    flat: Option<Flat>,
    /// The kind whose names stand above: where all kinds share their columns, the first.
    heading: usize,
}

/// The terminal that the text goes to.
#[derive(Debug)]
struct Terminal {
    rows: usize,
    columns: usize,
    /// Lines since the names were printed.
    lines: usize,
}

impl Text {
    /// Nothing was printed yet.
    pub fn new(settings: &Settings) -> Text {
        let (names, tracer) = settings.words();
        let size = settings.is_terminal.then(os::terminal_size).flatten();
        Text {
            timestamps: settings.timestamps,
            several: settings.several,
            clock: Clock::new(settings.time.unwrap_or(TimeColumn::Wall)),
            bare: tracer.is_none().then(|| settings.tracer()),
            names,
            tracer,
            header_of: None,
            tables: PerKind::default(),
            terminal: size.map(|(rows, columns)| Terminal { rows, columns, lines: 0 }),
            has_colors: settings.has_colors,
        }
    }

    /// A line with names above columns.
    fn header(&self, columns: &[Column]) -> Vec<u8> {
        let mut line = Vec::new();
        let time = self.clock.width();
        if time > 0 {
            let _ = write!(line, "{:<time$} ", "TIME");
        }
        for Column { name, width, .. } in columns {
            words::string(name.to_uppercase().as_bytes(), &mut line);
            let used = name.chars().count();
            line.resize(line.len() + width.saturating_sub(used) + 1, b' ');
        }
        trim(&mut line, 0);
        if self.has_colors {
            line = [b"\x1b[1m", &line[..], b"\x1b[0m"].concat();
        }
        line.push(b'\n');
        line
    }

    /// Prints the names where others, or a screenful, stand above what comes.
    fn head(&mut self, stream: &Stream, at: usize, out: &mut Vec<u8>) {
        let is_full = self.terminal.as_ref().is_some_and(|t| t.lines + 2 > t.rows);
        if is_full && let Some(terminal) = &mut self.terminal {
            if let Some((rows, columns)) = os::terminal_size() {
                if columns != terminal.columns {
                    self.tables.clear();
                }
                (terminal.rows, terminal.columns) = (rows, columns);
            }
            self.header_of = None;
        }
        let shape = Shape {
            meanings: self.names.is_some(),
            hides_stacks: self.tracer.is_some(),
            room: self.terminal.as_ref().map(|t| t.columns.saturating_sub(self.clock.width() + 1)),
        };
        let table = self.tables.get(stream.index, at, || Table::new(stream, at, &shape));
        let heading = Heading::Records(stream.index, table.heading);
        if self.header_of.as_ref() == Some(&heading) {
            return;
        }
        let columns = table.columns.clone();
        out.extend(self.header(&columns));
        self.header_of = Some(heading);
        if let Some(terminal) = &mut self.terminal {
            terminal.lines = 1;
        }
    }

    /// The frames of the stacks of a record, indented below it.
    fn stacks(&mut self, stacks: &[Stack], record: &[u8], out: &mut Vec<u8>) {
        let Some(tracer) = &mut self.tracer else { return };
        let mut lines = 0;
        for stack in stacks {
            tracer.frames(stack, record, &mut |frame| {
                out.extend_from_slice(b"    ");
                words::string(frame, out);
                out.push(b'\n');
                lines += 1;
            });
        }
        self.count(lines);
    }

    fn count(&mut self, lines: usize) {
        if let Some(terminal) = &mut self.terminal {
            terminal.lines += lines;
        }
    }

    /// A stack with its process, as existing loaders print it.
    fn event(&mut self, kind: &RecordKind, event: &StackEvent, record: &[u8], out: &mut Vec<u8>) {
        let number = |place: Option<(usize, usize)>| {
            place.map(|(at, size)| unsigned(record.get(at..).unwrap_or_default(), size))
        };
        let Some(tracer) = self.tracer.as_mut().or(self.bare.as_mut()) else { return };
        let addresses = event.sides.map(|side| {
            side.map_or(Vec::new(), |at| tracer.addresses(&kind.stacks[at], record).to_vec())
        });
        out.extend_from_slice(b"COMM: ");
        if let Some((at, size)) = event.comm {
            words::string(text(record.get(at..).unwrap_or_default(), size), out);
        }
        let _ = write!(out, " (pid={})", number(event.pid).unwrap_or(0));
        if let Some(cpu) = number(event.cpu) {
            let _ = write!(out, " @ CPU {cpu}");
        }
        out.push(b'\n');
        for ((title, none), addresses) in
            [("Kernel:", "No Kernel Stack"), ("Userspace:", "No Userspace Stack")]
                .into_iter()
                .zip(&addresses)
        {
            if addresses.is_empty() {
                out.extend_from_slice(none.as_bytes());
                out.push(b'\n');
                continue;
            }
            out.extend_from_slice(title.as_bytes());
            out.push(b'\n');
            let pid = number(event.pid).map(|pid| pid as u32);
            let named = event.with_symbols && self.names.is_some();
            tracer.numbered(pid, addresses, named, &mut |line| {
                words::string(line, out);
                out.push(b'\n');
            });
        }
        out.push(b'\n');
    }
}

/// What the columns depend on.
struct Shape {
    meanings: bool,
    /// Stacks are shown below the row.
    hides_stacks: bool,
    /// Characters of a line.
    room: Option<usize>,
}

impl Table {
    fn new(stream: &Stream, at: usize, shape: &Shape) -> Table {
        let columns = |kind: &RecordKind| {
            let mut members = columns::members(&kind.layout, "value");
            if shape.hides_stacks {
                members.retain(|member| !kind.stacks.iter().any(|s| s.is_made_of(member)));
            }
            columns::of(&members, shape.meanings)
        };
        let is_shared = (2..=MOST_TOGETHER).contains(&stream.kinds.len());
        let mut columns = match is_shared {
            true => columns::together(stream.kinds.iter().map(columns).collect()).swap_remove(at),
            false => columns(&stream.kinds[at]),
        };
        if let Some(room) = shape.room {
            columns::fit(&mut columns, room);
        }
        let nothing = Short::new(b"");
        let last = columns.len().saturating_sub(1);
        let flat = Flat::new(columns.iter().enumerate().map(|(at, column)| Part {
            member: column.member.as_ref(),
            before: &nothing,
            width: (at < last).then_some(column.width),
            quoted: false,
            has_meaning: shape.meanings
                && column.member.as_ref().is_some_and(|member| member.meaning.is_some()),
        }));
        Table { columns, flat, heading: if is_shared { 0 } else { at } }
    }
}

/// Takes the spaces from the end of a line that begins at `from`.
fn trim(line: &mut Vec<u8>, from: usize) {
    while line.len() > from && line.last() == Some(&b' ') {
        line.pop();
    }
}

/// Appends spaces up to a column's width, and one; `from` is where its cell begins.
fn pad(out: &mut Vec<u8>, from: usize, width: usize) {
    let cell = &out[from..];
    let used = match cell.is_ascii() {
        true => cell.len(),
        false => String::from_utf8_lossy(cell).chars().count(),
    };
    put::spaces(width.saturating_sub(used) + 1, out);
}

/// Appends a value's columns, all but the last padded.
fn cells(columns: &[Column], record: &[u8], names: &mut Option<Names>, out: &mut Vec<u8>) {
    for column in columns {
        let from = out.len();
        cell(column, record, names, out);
        pad(out, from, column.width);
    }
}

/// Appends a value's column.
fn cell(column: &Column, record: &[u8], names: &mut Option<Names>, out: &mut Vec<u8>) {
    match &column.member {
        Some(member) => words::write_member(member, record, names, out),
        None => out.extend_from_slice(words::MISSING),
    }
}

impl Format for Text {
    fn tracer(&mut self) -> Option<&mut Tracer> {
        self.tracer.as_mut()
    }

    fn now(&mut self) {
        self.clock.tick();
    }

    fn record(&mut self, stream: &Stream, record: &[u8], out: &mut Vec<u8>) -> bool {
        let at = stream.kind(record);
        let kind = &stream.kinds[at];
        if kind.is_malformed(record) {
            return false;
        }
        if let Some(event) = &kind.event {
            self.event(kind, event, record, out);
            return true;
        }
        self.head(stream, at, out);
        let from = out.len();
        if self.clock.width() > 0 {
            let text = self.clock.text();
            out.extend_from_slice(text);
            let used = text.len();
            put::spaces(self.clock.width().saturating_sub(used) + 1, out);
        }
        let Text { tables, names, .. } = self;
        if let Some(Table { columns, flat, .. }) = tables.known(stream.index, at) {
            let other = |at: usize, out: &mut Vec<u8>| cell(&columns[at], record, names, out);
            if !flat.as_mut().is_some_and(|flat| flat.write(record, out, other)) {
                cells(columns, record, names, out);
            }
        }
        trim(out, from);
        out.push(b'\n');
        self.count(1);
        self.stacks(&kind.stacks, record, out);
        true
    }

    fn has_pieces(&self, view: &View, entries: &[Entry]) -> bool {
        // The columns of a table are as wide as what stands in all of its rows.
        !is_table(view, entries)
    }

    fn piece(&mut self, view: &View, entries: &[Entry], piece: Piece) -> Chunk {
        self.draw(view, entries, piece)
    }

    fn chunk(&mut self, chunk: Chunk, out: &mut Vec<u8>) {
        if let Some((heading, header)) = chunk.header {
            if self.header_of.as_ref() != Some(&heading) {
                out.extend(header);
                self.header_of = Some(heading);
            }
        } else if !chunk.body.is_empty() {
            // A picture stands between: what comes next has its names above it.
            self.header_of = None;
        }
        out.extend(chunk.body);
    }

    fn lines(&mut self, text: &[u8], out: &mut Vec<u8>) {
        for line in super::lines(text) {
            // A terminal must not obey what processes call themselves; tabs are spaces to it.
            for (at, part) in line.split(|byte| *byte == b'\t').enumerate() {
                out.extend((at > 0).then_some(b'\t'));
                words::string(part, out);
            }
            out.push(b'\n');
            self.count(1);
        }
    }

    fn value(&mut self, json: &[u8], out: &mut Vec<u8>) {
        words::string(json, out);
        out.push(b'\n');
        self.count(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::meaning::Meaning;
    use crate::decode::{Layout, Member, Record};
    use crate::view::StreamKind;

    pub(super) fn format() -> Text {
        let mut clock = Clock::still(TimeColumn::Wall);
        clock.text();
        Text {
            timestamps: false,
            several: false,
            clock,
            names: Some(Names::default()),
            tracer: None,
            bare: None,
            header_of: None,
            tables: PerKind::default(),
            terminal: None,
            has_colors: false,
        }
    }

    pub(super) fn u32_() -> Layout {
        Layout::Int { size: 4, signed: false }
    }

    fn stream() -> Stream {
        let ret = Layout::Int { size: 4, signed: true };
        let members = vec![
            Member::new("pid", 0, u32_()),
            Member::new("comm", 4, Layout::Text { size: 8 }),
            Member { meaning: Some(Meaning::Result), ..Member::new("ret", 12, ret) },
            Member::new("last", 16, u32_()),
        ];
        let layout = Layout::Record(Record { size: 20, members });
        Stream {
            index: 0,
            name: "rb".into(),
            kinds: vec![RecordKind::new("event", layout, None)],
            tag: None,
            kind: StreamKind::Ring,
        }
    }

    fn shown(format: &mut Text, records: &[&[u8]]) -> String {
        let mut out = Vec::new();
        for record in records {
            format.record(&stream(), record, &mut out);
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn records() {
        let records: [&[u8]; 2] =
            [b"\x07\0\0\0bash\0\0\0\0\xfe\xff\xff\xff\x02\0\0\0", b"\x07\0\0\0b\x1bsh"];
        insta::assert_snapshot!(shown(&mut format(), &records), @r"
        TIME     PID     COMM    RET        LAST
        09:05:07 7       bash    -ENOENT    2
        09:05:07 7       b\x1bsh -          -
        ");
        let mut raw = Text { names: None, clock: Clock::still(TimeColumn::None), ..format() };
        insta::assert_snapshot!(shown(&mut raw, &records), @r"
        PID     COMM    RET    LAST
        7       bash    -2     2
        7       b\x1bsh -      -
        ");
        assert!(!format().record(&stream(), b"", &mut Vec::new()), "there is nothing in it");
    }

    #[test]
    fn names_come_again_after_a_screenful() {
        let terminal = Some(Terminal { rows: 4, columns: 80, lines: 0 });
        let mut format = Text { terminal, has_colors: true, ..format() };
        let record: &[u8] = b"\x07\0\0\0bash\0\0\0\0\x01\0\0\0\x02\0\0\0";
        let text = shown(&mut format, &[record; 5]);
        let is_header = |line: &str| line.contains("\x1b[1mTIME") && line.ends_with("\x1b[0m");
        let headers: Vec<bool> = text.lines().map(is_header).collect();
        assert_eq!(headers, [true, false, false, true, false, false, true, false]);
    }
}
