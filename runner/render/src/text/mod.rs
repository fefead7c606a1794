// SPDX-License-Identifier: MIT
//! Text for people, in the layout of existing loaders and bcc's tools: a header above columns.

mod readings;
mod stacks;
pub(crate) mod table;

use std::io::Write as _;
use std::ops::Range;
use std::rc::Rc;

use bpfpack_frame::{Reading, Records, Time};
use bpfpack_spec::{RecordType, Source, Stack, Stream};

use crate::clock::TimeColumn;
use crate::clock::TimeText;
use crate::columns::{self, Column};
use crate::format::{Format, FormatKind, Heading, PerType, lines};
use crate::meaning::Names;
use crate::put;
use crate::settings::{Settings, Terminal};
use crate::symbolize::SharedSymbolizer;
use crate::value::flat::{Flat, Part};
use crate::value::text as words;
use crate::width;
pub(crate) use readings::is_table;

/// The text format.
pub(crate) static KIND: FormatKind = FormatKind {
    name: "text",
    has_meanings: true,
    is_structured: true,
    make: |settings| Box::new(Text::new(settings)),
};

/// Up to this number of record types in a buffer share their columns; if there are more, each type
/// has its own.
const MOST_TOGETHER: usize = 6;

/// The number of lines of a reading, and of drawings, that are rendered at once.
const LINES: usize = 1024;
const PICTURES: usize = 128;

/// The text format with its state.
pub(crate) struct Text {
    /// Whether the time is printed before each reading.
    timestamps: bool,
    /// Whether there are several sources, so that each reading names its source.
    several: bool,
    clock: TimeText,
    stamps: TimeText,
    names: Option<Names>,
    symbolizer: Option<SharedSymbolizer>,
    /// Whether the frames of stacks are shown below their rows.
    shows_frames: bool,
    /// The frames that the last header was printed for.
    header_of: Option<Heading>,
    /// Columns of records, by stream and type.
    tables: PerType<Table>,
    screen: Option<Screen>,
    has_colors: bool,
}

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Text").field("several", &self.several).finish_non_exhaustive()
    }
}

/// The columns of a record type.
#[derive(Debug)]
struct Table {
    columns: Vec<Column>,
    /// The compiled columns.
    flat: Option<Flat>,
    /// The type for the header: the first one if all types share their columns.
    heading: usize,
}

/// The terminal of the output.
#[derive(Debug)]
struct Screen {
    terminal: Terminal,
    rows: usize,
    columns: usize,
    /// The number of lines since the last header.
    lines: usize,
}

impl Screen {
    fn new(terminal: Terminal) -> Option<Screen> {
        let (rows, columns) = (terminal.size)()?;
        Some(Screen { terminal, rows, columns, lines: 0 })
    }
}

impl Text {
    /// Nothing was printed yet.
    pub(crate) fn new(settings: &Settings) -> Text {
        let column = settings.time.unwrap_or(TimeColumn::Wall);
        Text {
            timestamps: settings.timestamps,
            several: false,
            clock: settings.clock(column),
            stamps: settings.clock(column),
            names: settings.names(false),
            shows_frames: settings.naming_symbolizer().is_some(),
            symbolizer: settings.symbolizer.clone(),
            header_of: None,
            tables: PerType::default(),
            screen: settings.terminal.and_then(Screen::new),
            has_colors: settings.terminal.is_some_and(|terminal| terminal.has_colors),
        }
    }

    /// A header line.
    fn header(&self, columns: &[Column]) -> Vec<u8> {
        let mut line = Vec::new();
        let time = self.clock.width();
        if time > 0 {
            let _ = write!(line, "{:<time$} ", "TIME");
        }
        for Column { name, width, .. } in columns {
            put::string(name.as_bytes(), &mut line);
            let used = width::of(name.as_bytes());
            line.resize(line.len() + width.saturating_sub(used) + 1, b' ');
        }
        put::trim(&mut line, 0);
        if self.has_colors {
            line = [b"\x1b[1m", &line[..], b"\x1b[0m"].concat();
        }
        line.push(b'\n');
        line
    }

    /// Prints a header if the last one was another or has scrolled off the screen.
    fn head(&mut self, stream: &Stream, ty: usize, out: &mut Vec<u8>) {
        if let Some(screen) = self.screen.as_mut().filter(|screen| screen.lines + 2 > screen.rows) {
            if let Some((rows, columns)) = (screen.terminal.size)() {
                if columns != screen.columns {
                    self.tables.clear();
                }
                (screen.rows, screen.columns) = (rows, columns);
            }
            self.header_of = None;
        }
        let shape = Shape {
            meanings: self.names.is_some(),
            hides_stacks: self.shows_frames,
            room: self.screen.as_ref().map(|s| s.columns.saturating_sub(self.clock.width() + 1)),
        };
        let table = self.tables.get(stream.index, ty, || Table::new(stream, ty, &shape));
        let heading = Heading::Records(stream.index, table.heading);
        if self.header_of == Some(heading) {
            return;
        }
        let columns = table.columns.clone();
        out.extend(self.header(&columns));
        self.header_of = Some(heading);
        if let Some(screen) = &mut self.screen {
            screen.lines = 1;
        }
    }

    /// Appends records as rows, with headers as a terminal needs them, and the frames of their
    /// stacks below.
    fn rows(&mut self, records: &Records<'_>, out: &mut Vec<u8>) {
        let mut time = Vec::new();
        let stacks = &records.record_type().stacks;
        // The time and the columns are determined once for records on which they do not depend; on
        // a terminal, a header may be due before each row.
        let at_once = match self.screen.is_none() && self.clock.repeats() {
            true => records.bytes.len(),
            false => 1,
        };
        for part in records.bytes.chunks(at_once.max(1)) {
            self.head(records.source, records.ty, out);
            time.clear();
            self.clock.column(records.time, &mut time);
            for record in part {
                self.row(records, &time, record, out);
                let lines =
                    1 + if stacks.is_empty() { 0 } else { self.frames(stacks, record, out) };
                self.count(lines);
            }
        }
    }

    /// Appends a row.
    #[inline]
    fn row(&mut self, records: &Records<'_>, time: &[u8], record: &[u8], out: &mut Vec<u8>) {
        let from = out.len();
        out.extend_from_slice(time);
        let Text { tables, names, .. } = self;
        if let Some(Table { columns, flat, .. }) = tables.known(records.source.index, records.ty) {
            let other = |at: usize, out: &mut Vec<u8>| cell(&columns[at], record, names, out);
            if !flat.as_mut().is_some_and(|flat| flat.write(record, out, other)) {
                cells(columns, record, names, out);
            }
        }
        put::trim(out, from);
        out.push(b'\n');
    }

    /// Appends the frames of a record's stacks, indented. Returns their number.
    pub(crate) fn frames(&self, stacks: &[Stack], record: &[u8], out: &mut Vec<u8>) -> usize {
        let symbolizer = self.symbolizer.as_ref().filter(|_| self.shows_frames);
        let Some(symbolizer) = symbolizer.filter(|_| !stacks.is_empty()) else { return 0 };
        let mut lines = 0;
        for stack in stacks {
            symbolizer.borrow_mut().frames(stack, record, &mut |frame| {
                out.extend_from_slice(b"    ");
                put::string(frame, out);
                out.push(b'\n');
                lines += 1;
            });
        }
        lines
    }

    fn count(&mut self, lines: usize) {
        if let Some(screen) = &mut self.screen {
            screen.lines += lines;
        }
    }
}

/// What the columns depend on.
struct Shape {
    meanings: bool,
    /// Whether stacks are shown below the row.
    hides_stacks: bool,
    /// Maximum length of a line in characters.
    room: Option<usize>,
}

impl Table {
    fn new(stream: &Stream, at: usize, shape: &Shape) -> Table {
        let columns = |ty: &RecordType| {
            let mut members = ty.layout.members("value");
            if shape.hides_stacks {
                members.retain(|member| !ty.stacks.iter().any(|s| s.is_made_of(member)));
            }
            columns::of(&members, shape.meanings)
        };
        let types = &stream.records;
        let is_shared = (2..=MOST_TOGETHER).contains(&types.len());
        let mut columns = match is_shared {
            true => columns::together(types.iter().map(columns).collect()).swap_remove(at),
            false => columns(&types[at]),
        };
        if let Some(room) = shape.room {
            columns::fit(&mut columns, room);
        }
        let last = columns.len().saturating_sub(1);
        let flat = Flat::new(columns.iter().enumerate().map(|(at, column)| Part {
            member: column.member.as_ref(),
            before: b"",
            width: (at < last).then_some(column.width),
            quoted: false,
            has_meaning: shape.meanings
                && column.member.as_ref().is_some_and(|member| member.meaning.is_some()),
        }));
        Table { columns, flat, heading: if is_shared { 0 } else { at } }
    }
}

/// Appends spaces up to a column's width, and one more; `from` is the beginning of its cell.
fn pad(out: &mut Vec<u8>, from: usize, width: usize) {
    let used = width::of(&out[from..]);
    put::spaces(width.saturating_sub(used) + 1, out);
}

/// Appends the columns of a value, padded.
fn cells(columns: &[Column], record: &[u8], names: &mut Option<Names>, out: &mut Vec<u8>) {
    for column in columns {
        let from = out.len();
        cell(column, record, names, out);
        pad(out, from, column.width);
    }
}

/// Appends a column of a value.
fn cell(column: &Column, record: &[u8], names: &mut Option<Names>, out: &mut Vec<u8>) {
    match &column.member {
        Some(member) => words::write_member(member, record, names, out),
        None => out.extend_from_slice(words::MISSING),
    }
}

impl Format for Text {
    fn start(&mut self, sources: &[Source], _out: &mut Vec<u8>) {
        self.several = sources.len() > 1;
    }

    fn records(&mut self, records: &Records<'_>, out: &mut Vec<u8>) {
        let ty = records.record_type();
        match &ty.event {
            Some(event) => records.bytes.iter().for_each(|it| self.event(ty, event, it, out)),
            None => self.rows(records, out),
        }
    }

    fn entries(&mut self, reading: &Rc<Reading>, part: Range<usize>, out: &mut Vec<u8>) {
        self.draw(reading, part, out);
    }

    fn most_entries(&self, reading: &Reading) -> usize {
        // The widths of a table's columns depend on all of its rows.
        match &reading.source.shape {
            _ if is_table(&reading.source, &reading.entries) => usize::MAX,
            bpfpack_spec::Shape::Histogram { .. } => PICTURES,
            _ => LINES,
        }
    }

    fn text(&mut self, _time: Time, text: &[u8], out: &mut Vec<u8>) {
        for line in lines(text) {
            // Control characters are escaped, because names come from processes; tabs stay.
            for (at, part) in line.split(|byte| *byte == b'\t').enumerate() {
                out.extend((at > 0).then_some(b'\t'));
                put::string(part, out);
            }
            out.push(b'\n');
            self.count(1);
        }
    }

    fn json(&mut self, _time: Time, json: &[u8], out: &mut Vec<u8>) {
        put::string(json, out);
        out.push(b'\n');
        self.count(1);
    }
}

#[cfg(test)]
mod tests {
    use bpfpack_decode::meaning::Meaning;
    use bpfpack_decode::{Layout, Member, Struct};
    use bpfpack_spec::fixtures::stream_of;

    use super::*;
    use crate::clock::tests::clock;
    use crate::format::tests::show;

    pub(super) fn format() -> Text {
        Text {
            timestamps: false,
            several: false,
            clock: clock(TimeColumn::Wall),
            stamps: clock(TimeColumn::Wall),
            names: Some(Names::default()),
            symbolizer: None,
            shows_frames: false,
            header_of: None,
            tables: PerType::default(),
            screen: None,
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
        stream_of(Struct { size: 20, members })
    }

    fn shown(format: &mut Text, records: &[&[u8]]) -> String {
        let mut out = Vec::new();
        show(format, &stream(), records, &mut out);
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
        let mut raw = Text { names: None, clock: clock(TimeColumn::None), ..format() };
        insta::assert_snapshot!(shown(&mut raw, &records), @r"
        PID     COMM    RET    LAST
        7       bash    -2     2
        7       b\x1bsh -      -
        ");
    }

    #[test]
    fn names_come_again_after_a_screenful() {
        let terminal = Terminal { size: || Some((4, 80)), has_colors: true };
        let mut format = Text { screen: Screen::new(terminal), has_colors: true, ..format() };
        let record: &[u8] = b"\x07\0\0\0bash\0\0\0\0\x01\0\0\0\x02\0\0\0";
        let text = shown(&mut format, &[record; 5]);
        let is_header = |line: &str| line.contains("\x1b[1mTIME") && line.ends_with("\x1b[0m");
        let headers: Vec<bool> = text.lines().map(is_header).collect();
        assert_eq!(headers, [true, false, false, true, false, false, true, false]);
    }
}
