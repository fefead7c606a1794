// SPDX-License-Identifier: MIT
//! Histograms over time: a line for each reading, with a cell for each slot; denser cells counted
//! more. Cells are characters, so a map can be read without colors.

use std::ops::Range;
use std::rc::Rc;

use bpfpack_decode::Edges;
use bpfpack_frame::{Reading, Records, Time};
use bpfpack_spec::{Source, View};

use crate::clock::{TimeColumn, TimeText};
use crate::format::{Format, FormatKind, lines};
use crate::histogram::Histogram;
use crate::meaning::Names;
use crate::put;
use crate::settings::{Settings, Terminal};
use crate::value::text;
use crate::width;

/// The heat map.
pub(crate) static KIND: FormatKind = FormatKind {
    name: "heatmap",
    has_meanings: true,
    is_structured: true,
    make: |settings| Box::new(HeatMap::new(settings)),
};

/// The characters of cells, by level.
const SHADES: [u8; 8] = *b".:-=+*#@";

/// The background colors of levels, from dark to bright (256-color palette); and the first level
/// with dark characters.
const COLORS: [u8; 8] = [53, 60, 66, 72, 71, 113, 148, 226];
const BRIGHT: usize = 3;

/// The initial scale of a map.
const LEAST_BITS: u32 = 8;

/// Columns if the size of a terminal is not known.
const COLUMNS: usize = 80;

/// The maximum width of a cell, and of a key.
const WIDEST: usize = 6;
const KEY: usize = 16;

/// The format with its state.
struct HeatMap {
    clock: TimeText,
    names: Option<Names>,
    terminal: Option<Terminal>,
    several: bool,
    maps: Vec<Option<Map>>,
    /// The view whose edges were printed last.
    head_of: Option<usize>,
}

impl std::fmt::Debug for HeatMap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HeatMap").field("maps", &self.maps).finish_non_exhaustive()
    }
}

/// The scale of a view's map. It only grows, so that lines can be compared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Map {
    /// The slots with counts.
    slots: Range<usize>,
    /// Counts up to 2^bits have different shades: level n of 8 begins at 2^(n · bits / 8).
    bits: u32,
    /// Columns of the terminal that cells can use.
    room: usize,
}

impl Map {
    /// Extends the scale for counts.
    fn grow(&mut self, counts: &[u64], room: usize) {
        self.room = room;
        let first = counts.iter().position(|count| *count > 0);
        let last = counts.iter().rposition(|count| *count > 0);
        if let (Some(first), Some(last)) = (first, last) {
            // One additional slot on each side, so that the scale does not change for each new one.
            let (low, high) = (first.saturating_sub(1), (last + 2).min(counts.len()));
            self.slots = match self.slots.clone() {
                slots if slots.is_empty() => low..high,
                Range { start, end } => {
                    let start = if first < start { low } else { start };
                    start..if last >= end { high } else { end }
                }
            };
        }
        let most = self.cells(counts).max().unwrap_or(0).max(1);
        // In steps of four bits, so that the scale rarely changes.
        self.bits = self.bits.max(LEAST_BITS).max((most.ilog2() + 1).next_multiple_of(4));
    }

    /// The number of slots in a cell.
    fn merged(&self) -> usize {
        self.slots.len().div_ceil(self.room.max(1)).max(1)
    }

    /// The width of a cell in columns.
    fn width(&self) -> usize {
        let cells = self.slots.len().div_ceil(self.merged()).max(1);
        (self.room / cells).clamp(1, WIDEST)
    }

    fn cells(&self, counts: &[u64]) -> impl Iterator<Item = u64> {
        let slots = counts.get(self.slots.clone()).unwrap_or_default();
        slots
            .chunks(self.merged())
            .map(|cell| cell.iter().fold(0, |a: u64, b| a.saturating_add(*b)))
    }

    /// The level of a count; `None` for zero.
    fn level(&self, count: u64) -> Option<usize> {
        let mut levels = (0..SHADES.len()).rev();
        (count > 0).then(|| levels.find(|it| count >= self.begin(*it)).unwrap_or(0))
    }

    /// The smallest count of a level.
    fn begin(&self, level: usize) -> u64 {
        let exponent = level as f64 * f64::from(self.bits) / SHADES.len() as f64;
        exponent.exp2().round() as u64
    }

    /// The lower edges of cells, as far as they fit.
    fn edges(&self, edges: Edges) -> String {
        let (width, merged) = (self.width(), self.merged());
        let mut line = String::new();
        for (at, slot) in self.slots.clone().step_by(merged).enumerate() {
            let text = short(edges.of(slot).0);
            // Keep a space after the previous edge.
            if line.is_empty() || line.len() < at * width {
                line.push_str(&" ".repeat((at * width).saturating_sub(line.len())));
                line.push_str(&text);
            }
        }
        line
    }
}

/// A short number: `950`, `1K`, `1.5K`, `16M`. For multiples of 1024, the units are powers of 1024.
fn short(number: i128) -> String {
    const UNITS: [&str; 7] = ["", "K", "M", "G", "T", "P", "E"];
    let base: i128 = if number % 1024 == 0 { 1024 } else { 1000 };
    let (mut whole, mut part, mut unit) = (number, 0, 0);
    while whole.abs() >= base && unit + 1 < UNITS.len() {
        part = (whole % base).abs() * 10 / base;
        whole /= base;
        unit += 1;
    }
    match part {
        1.. if whole.abs() < 10 => format!("{whole}.{part}{}", UNITS[unit]),
        _ => format!("{whole}{}", UNITS[unit]),
    }
}

impl HeatMap {
    fn new(settings: &Settings) -> HeatMap {
        HeatMap {
            clock: settings.clock(settings.time.unwrap_or(TimeColumn::Wall)),
            names: settings.names(false),
            terminal: settings.terminal,
            several: false,
            maps: Vec::new(),
            head_of: None,
        }
    }

    /// Columns for cells, without the time and the key.
    fn room(&self, view: &View) -> usize {
        let size = self.terminal.and_then(|terminal| (terminal.size)());
        let columns = size.map_or(COLUMNS, |(_, columns)| columns);
        let key = if view.key.is_some() { KEY + 1 } else { 0 };
        // The last column stays free, because some terminals wrap there.
        columns.saturating_sub(self.clock.width() + 1 + key + 1).max(1)
    }

    /// Extends the scale of a view for a reading. Returns whether it changed.
    fn grow(&mut self, reading: &Reading, histogram: &Histogram<'_>) -> bool {
        let (index, room) = (reading.source.index, self.room(&reading.source));
        if self.maps.len() <= index {
            self.maps.resize(index + 1, None);
        }
        let map = self.maps[index].get_or_insert_default();
        let before = map.clone();
        for entry in &reading.entries {
            map.grow(&histogram.slots.counts(entry.value()).collect::<Vec<_>>(), room);
        }
        *map != before
    }

    /// Prints the scale: the meaning of shades, and the edges of cells.
    fn head(&mut self, view: &View, histogram: &Histogram<'_>, out: &mut Vec<u8>) {
        let Some(Some(map)) = self.maps.get(view.index) else { return };
        let name = if self.several { format!("{}: ", view.name) } else { String::new() };
        put::string(format!("{name}{}, counts from:", histogram.unit).as_bytes(), out);
        for level in 0..SHADES.len() {
            out.extend_from_slice(b"  ");
            self.cell(Some(level), 1, out);
            out.push(b' ');
            out.extend_from_slice(short(map.begin(level).into()).as_bytes());
        }
        out.push(b'\n');
        let key = if view.key.is_some() { KEY + 1 } else { 0 };
        let time = self.clock.width();
        let title = if time > 0 { "TIME" } else { "" };
        let key_title = if view.key.is_some() { "KEY" } else { "" };
        let begin = if time > 0 { format!("{title:<time$} ") } else { String::new() };
        let line = format!("{begin}{key_title:<key$}{}", map.edges(histogram.edges));
        out.extend_from_slice(line.trim_end().as_bytes());
        out.push(b'\n');
        self.head_of = Some(view.index);
    }

    fn cell(&self, level: Option<usize>, width: usize, out: &mut Vec<u8>) {
        let Some(level) = level else { return put::spaces(width, out) };
        let has_colors = self.terminal.is_some_and(|terminal| terminal.has_colors);
        if has_colors {
            let ink = if level < BRIGHT { 15 } else { 16 };
            let color = COLORS[level];
            out.extend_from_slice(format!("\x1b[38;5;{ink};48;5;{color}m").as_bytes());
        }
        out.resize(out.len() + width, SHADES[level]);
        if has_colors {
            out.extend_from_slice(b"\x1b[0m");
        }
    }

    /// Prints a line for an entry; without an entry, an empty line.
    fn line(&mut self, reading: &Reading, key: Option<&[u8]>, counts: &[u64], out: &mut Vec<u8>) {
        let view = &reading.source;
        let from = out.len();
        self.clock.column(reading.time, out);
        if let (Some(layout), Some(key)) = (&view.key, key) {
            let mut name = Vec::new();
            text::write(layout, key, &mut self.names, &mut name);
            let name = width::clip(&String::from_utf8_lossy(&name), KEY);
            out.extend_from_slice(name.as_bytes());
            put::spaces(KEY.saturating_sub(width::of(name.as_bytes())) + 1, out);
        }
        if let Some(Some(map)) = self.maps.get(view.index) {
            for count in map.cells(counts) {
                self.cell(map.level(count), map.width(), out);
            }
        }
        put::trim(out, from);
        out.push(b'\n');
    }
}

impl Format for HeatMap {
    fn start(&mut self, sources: &[Source], _out: &mut Vec<u8>) {
        self.several = sources.iter().filter(|source| source.is_histogram()).count() > 1;
    }

    /// A map cannot show records.
    fn records(&mut self, _records: &Records<'_>, _out: &mut Vec<u8>) {}

    fn entries(&mut self, reading: &Rc<Reading>, _part: Range<usize>, out: &mut Vec<u8>) {
        let Some(histogram) = Histogram::of(&reading.source) else { return };
        let has_changed = self.grow(reading, &histogram);
        let has_scale = self.maps[reading.source.index].as_ref().is_some_and(|it| it.bits > 0);
        if has_scale && (has_changed || self.head_of != Some(reading.source.index)) {
            self.head(&reading.source, &histogram, out);
        }
        for entry in &reading.entries {
            let counts: Vec<u64> = histogram.slots.counts(entry.value()).collect();
            self.line(reading, Some(entry.key()), &counts, out);
        }
        if reading.entries.is_empty() {
            self.line(reading, None, &[], out);
        }
    }

    /// All keys of a reading are shown on one scale.
    fn most_entries(&self, _reading: &Reading) -> usize {
        usize::MAX
    }

    fn text(&mut self, _time: Time, text: &[u8], out: &mut Vec<u8>) {
        for line in lines(text) {
            put::string(line, out);
            out.push(b'\n');
        }
        self.head_of = None;
    }

    fn json(&mut self, _time: Time, json: &[u8], out: &mut Vec<u8>) {
        put::string(json, out);
        out.push(b'\n');
        self.head_of = None;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bpfpack_decode::{Layout, Slots};
    use bpfpack_frame::Entry;
    use bpfpack_spec::Shape;
    use bpfpack_spec::fixtures::counter_view;

    use super::*;
    use crate::clock::tests::{TIME, clock};

    const SLOTS: usize = 27;

    fn view(key: Option<Layout>) -> Arc<View> {
        let element = Box::new(Layout::Int { size: 4, signed: false });
        let value = Layout::Array { element, stride: 4, len: SLOTS };
        let slots = Slots::of_array(&value, 0).unwrap();
        let shape = Shape::Histogram { slots, edges: Edges::Log2, unit: "usecs".into() };
        Arc::new(View { key, value, shape, ..counter_view() })
    }

    fn map(terminal: Option<Terminal>) -> HeatMap {
        HeatMap {
            clock: clock(TimeColumn::Wall),
            names: None,
            terminal,
            several: false,
            maps: Vec::new(),
            head_of: None,
        }
    }

    fn entry(key: &[u8], counts: &[(usize, u32)]) -> Entry {
        let mut slots = [0; SLOTS];
        counts.iter().for_each(|(slot, count)| slots[*slot] = *count);
        Entry::new(key, &slots.map(u32::to_le_bytes).concat())
    }

    fn shown(map: &mut HeatMap, view: &Arc<View>, entries: Vec<Entry>) -> String {
        let mut out = Vec::new();
        let reading = Rc::new(Reading::new(Arc::clone(view), TIME, entries));
        map.entries(&reading, 0..reading.entries.len(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_for_each_reading_on_a_scale_that_grows() {
        let (mut map, view) = (map(None), view(None));
        let mut text = shown(&mut map, &view, vec![entry(&[], &[(2, 1), (3, 40), (4, 250)])]);
        text += &shown(&mut map, &view, vec![entry(&[], &[(3, 2), (4, 100)])]);
        text += &shown(&mut map, &view, vec![]);
        text += &shown(&mut map, &view, vec![entry(&[], &[(1, 1), (12, 70_000)])]);
        insta::assert_snapshot!(text, @r"
        usecs, counts from:  . 1  : 2  - 4  = 8  + 16  * 32  # 64  @ 128
        TIME     2     4     8     16    32
        09:05:07       ......******@@@@@@
        09:05:07             ::::::######
        09:05:07
        usecs, counts from:  . 1  : 6  - 32  = 181  + 1K  * 5.7K  # 32K  @ 185K
        TIME     2    4    8    16   32   64   128  256  512  1K   2K   4K   8K
        09:05:07 .....                                                  #####
        ");
    }

    #[test]
    fn keys_have_lines_of_their_own_and_cells_fit_a_narrow_terminal() {
        let terminal = Terminal { size: || Some((24, 40)), has_colors: false };
        let view = view(Some(Layout::Text { size: 20 }));
        let name = |name: &str| {
            let mut key = name.as_bytes().to_vec();
            key.resize(20, 0);
            key
        };
        let all: Vec<(usize, u32)> = (0..SLOTS).map(|slot| (slot, 1 << slot)).collect();
        let entries =
            vec![entry(&name("a name of 20 letters"), &all), entry(&name("日本"), &[(9, 3)])];
        let text = shown(&mut map(Some(terminal)), &view, entries);
        assert!(text.lines().skip(1).all(|line| width::of(line.as_bytes()) < 40), "{text}");
        insta::assert_snapshot!(text, @r"
        usecs, counts from:  . 1  : 11  - 128  = 1.4K  + 16K  * 185K  # 2M  @ 23M
        TIME     KEY              0 64 32K
        09:05:07 a name of 20 le… .:-=+**#@
        09:05:07 日本                .
        ");
    }

    #[test]
    fn colors_stand_behind_the_same_characters() {
        let terminal = Terminal { size: || Some((24, 80)), has_colors: true };
        let mut map = map(Some(terminal));
        let text = shown(&mut map, &view(None), vec![entry(&[], &[(0, 1), (1, 200)])]);
        let last = text.lines().last().unwrap();
        assert_eq!(
            last,
            "09:05:07 \x1b[38;5;15;48;5;53m......\x1b[0m\x1b[38;5;16;48;5;226m@@@@@@\x1b[0m"
        );
    }

    #[test]
    fn numbers_are_short() {
        let all: Vec<String> =
            [0, 512, 999, 1000, 1024, 1 << 16, 1 << 20, 1 << 40, -5, 1_250, 1_024_000]
                .map(short)
                .into();
        assert_eq!(all, ["0", "512", "999", "1K", "1K", "64K", "1M", "1T", "-5", "1.2K", "1000K"]);
    }
}
