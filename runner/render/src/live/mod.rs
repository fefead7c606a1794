// SPDX-License-Identifier: MIT
//! Readings that are drawn in place on a terminal: as many rows as fit, with keys for sorting and
//! scrolling. At the end, the last readings are printed below the command as text.

mod screen;
mod shown;

use std::collections::HashSet;
use std::ops::Range;
use std::rc::Rc;

use bpfpack_frame::{Reading, Records, Time};
use bpfpack_spec::{Source, View};
use bpfpack_stage::{Column, Order, Sort};

use crate::format::{Format, FormatKind};
use crate::keys::Key;
use crate::put;
use crate::settings::{LastMessage, LiveSettings, Settings, Terminal};
use crate::text::table::Rows;
use crate::text::{Text, is_table};
use crate::width;
use screen::{Line, Look, Screen};
use shown::Shown;

/// The live screen.
pub(crate) static KIND: FormatKind = FormatKind {
    name: "live",
    has_meanings: true,
    is_structured: true,
    make: |settings| Box::new(Live::new(settings)),
};

/// The last line, unless there is a message.
const HELP: &str = " q quit  p pause  s sort  r reverse  c since start/last interval  ↑↓ scroll";
const HELP_OF_PARTS: &str = " q quit  p pause  s sort  r reverse  ↑↓ scroll";
const NO_KEYS: &str = " Ctrl-C ends it";

/// The size if a terminal does not tell it.
const SIZE: (usize, usize) = (24, 80);

/// The format with its state.
struct Live {
    /// Renders the rows, and the text at the end.
    text: Text,
    terminal: Option<Terminal>,
    message: Option<LastMessage>,
    screen: Screen,
    /// Views by index, in order of their first readings.
    views: Vec<(usize, Shown)>,
    several: bool,
    /// The column and order that the user has chosen.
    chosen: Option<Sort>,
    live: LiveSettings,
    /// Whether views show the alternative to their default: see [`Shown::arrange`].
    is_turned: bool,
    is_paused: bool,
    /// The number of entries of each view above the first row.
    skipped: usize,
    /// The largest number of entries of a view on the screen.
    page: usize,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").field("screen", &self.screen).finish_non_exhaustive()
    }
}

/// The lines of a view.
#[derive(Debug, Default)]
struct Content {
    /// Lines above the entries.
    head: Vec<Line>,
    /// The lines of each entry.
    entries: Vec<Vec<Line>>,
    /// The number of all entries in the reading, and of those above the first row.
    found: usize,
    skipped: usize,
}

impl Content {
    fn len(&self) -> usize {
        self.head.len() + self.entries.iter().map(Vec::len).sum::<usize>()
    }

    /// The lines that fit, and the number of their entries. If the first entry is too long, it is
    /// cut.
    fn take(self, rows: usize) -> (Vec<Line>, usize) {
        let (mut lines, mut shown) = (self.head, 0);
        for entry in self.entries {
            if shown > 0 && lines.len() + entry.len() > rows {
                break;
            }
            lines.extend(entry);
            shown += 1;
        }
        lines.truncate(rows);
        (lines, shown)
    }
}

/// Distributes `rows` according to `needs`: none gets more than it needs, and those that need more
/// share the rest equally.
fn share(rows: usize, needs: &[usize]) -> Vec<usize> {
    let mut shares = vec![0; needs.len()];
    let mut order: Vec<usize> = (0..needs.len()).collect();
    order.sort_by_key(|at| needs[*at]);
    let mut left = rows;
    for (done, at) in order.into_iter().enumerate() {
        shares[at] = needs[at].min(left / (needs.len() - done));
        left -= shares[at];
    }
    shares
}

impl Live {
    fn new(settings: &Settings) -> Live {
        Live {
            text: Text::new(settings),
            terminal: settings.terminal,
            message: settings.message.clone(),
            screen: Screen::new(settings.terminal.is_some_and(|terminal| terminal.has_colors)),
            views: Vec::new(),
            several: false,
            chosen: settings.live.sort.clone(),
            live: settings.live.clone(),
            is_turned: false,
            is_paused: false,
            skipped: 0,
            page: 1,
        }
    }

    fn size(&self) -> (usize, usize) {
        self.terminal.and_then(|terminal| (terminal.size)()).unwrap_or(SIZE)
    }

    /// Updates what each view shows.
    fn arrange(&mut self) {
        let (chosen, given) = (self.chosen.as_ref(), self.live.sort.as_ref());
        self.views.iter_mut().for_each(|(_, it)| it.arrange(self.is_turned, chosen, given));
    }

    /// Whether some view can show the alternative to its default.
    fn can_turn(&self) -> bool {
        !self.live.is_cut && self.views.iter().any(|(_, shown)| shown.can_turn())
    }

    /// Draws the screen.
    fn draw(&mut self, out: &mut Vec<u8>) {
        let (rows, columns) = self.size();
        let room = rows.saturating_sub(2);
        let mut contents: Vec<Content> = Vec::new();
        for at in 0..self.views.len() {
            contents.push(self.content(at, room, columns));
        }
        let needs: Vec<usize> = contents.iter().map(|content| content.len() + 1).collect();
        let shares = if self.several { share(room, &needs) } else { vec![room; needs.len()] };
        let mut lines = vec![Line::default()];
        let mut of_one = String::new();
        self.page = 1;
        for (at, (content, share)) in contents.into_iter().zip(shares).enumerate() {
            let (found, skipped) = (content.found, content.skipped);
            let title_rows = usize::from(self.several);
            let (rows, shown) = content.take(share.saturating_sub(title_rows));
            self.page = self.page.max(shown);
            let range = rows_of(found, skipped, shown, self.views[at].1.drawn().hidden);
            match self.several {
                true => {
                    let name = &self.views[at].1.drawn().source.name;
                    lines.push(frame(&format!(" {name}  {range}"), columns, Look::Names));
                }
                false => of_one = range,
            }
            lines.extend(rows);
        }
        lines[0] = frame(&self.status(&of_one), columns, Look::Frame);
        lines.resize(rows.saturating_sub(1).max(1), Line::default());
        let message = self.message.as_ref().and_then(|message| message());
        let help = match (self.live.has_keys, self.can_turn()) {
            (false, _) => NO_KEYS,
            (true, true) => HELP,
            (true, false) => HELP_OF_PARTS,
        };
        let last = message.map_or_else(|| help.to_owned(), |text| format!(" {text}"));
        lines.push(frame(&last, columns, Look::Frame));
        self.screen.show((rows, columns), lines, out);
    }

    /// The first line: what was read when, and how it is shown.
    fn status(&mut self, range: &str) -> String {
        let Some((_, shown)) = self.views.first() else { return String::new() };
        let reading = Rc::clone(shown.drawn());
        let is_of_interval = shown.shows_differences() != (self.is_turned && shown.can_turn());
        let span = if is_of_interval { "last interval" } else { "since start" };
        let time = String::from_utf8_lossy(self.text.stamp(reading.time)).into_owned();
        let Order { column, is_ascending } = self.order(&reading.source);
        let column = column.as_ref().map_or("key", Column::name);
        let end = if is_ascending { ", smallest first" } else { "" };
        let pause = if self.is_paused { "  PAUSED" } else { "" };
        let number = reading.number;
        format!(" {time}{pause}  reading {number}  {span}  by {column}{end}  {range}")
    }

    /// The order of a view's entries.
    fn order(&self, view: &View) -> Order {
        Order::of(view, self.chosen.as_ref(), Column::leading)
    }

    /// The lines of a view, for at most `most` entries.
    fn content(&mut self, at: usize, most: usize, columns: usize) -> Content {
        let reading = Rc::clone(self.views[at].1.drawn());
        let (view, entries) = (&*reading.source, &reading.entries);
        let skipped = self.skipped.min(entries.len().saturating_sub(1));
        let shown = &entries[skipped..entries.len().min(skipped + most)];
        let mut content = Content { found: entries.len(), skipped, ..Content::default() };
        if entries.is_empty() {
            content.head.push(frame(" nothing", columns, Look::Still));
            return content;
        }
        if view.is_histogram() && !is_table(view, shown) {
            for entry in shown {
                let mut picture = Vec::new();
                self.text.histograms(view, std::slice::from_ref(entry), &mut picture);
                content.entries.push(lines(&picture, columns));
                if content.len() >= most {
                    break;
                }
            }
            return content;
        }
        let table = self.text.table_columns(view);
        let mut rows = Rows::new(&table);
        for entry in shown {
            rows.push(self.text.cells(&table, entry));
        }
        let state = &mut self.views[at].1;
        rows.keep_widths(&mut state.widths);
        rows.fit(columns);
        for (at, line) in rows.lines().enumerate() {
            let Some(entry) = at.checked_sub(1).map(|at| &shown[at]) else {
                content.head.push(Line { look: Look::Names, text: line });
                continue;
            };
            // The counts of an interval are new each time.
            let is_still = state.is_still(entry) && !view.differences && !self.is_turned;
            let look = if is_still { Look::Still } else { Look::Plain };
            let mut lines_of = vec![Line { look, text: line }];
            let mut frames = Vec::new();
            self.text.frames(&view.stacks, entry.key(), &mut frames);
            lines_of.extend(lines(&frames, columns));
            content.entries.push(lines_of);
        }
        content
    }

    /// The names of all columns of all views that can be sorted by.
    fn columns(&self) -> Vec<String> {
        let (mut names, mut known) = (Vec::new(), HashSet::new());
        for column in self.views.iter().flat_map(|(_, it)| Column::all(&it.drawn().source)) {
            if known.insert(column.name().to_ascii_lowercase()) {
                names.push(column.name().to_owned());
            }
        }
        names
    }

    fn sort(&mut self, key: Key) {
        let Some((_, shown)) = self.views.first() else { return };
        let Order { column, is_ascending } = self.order(&shown.drawn().source);
        let names = self.columns();
        let is_it = |known: &String| {
            column.as_ref().is_some_and(|column| known.eq_ignore_ascii_case(column.name()))
        };
        let at = names.iter().position(is_it).unwrap_or(0);
        let count = names.len().max(1);
        let by = |at: usize, is_ascending| {
            let column = names.get(at % count).cloned().unwrap_or_default();
            Some(Sort { column, is_ascending })
        };
        self.chosen = match key {
            Key::NextColumn => by(at + 1, false),
            Key::PreviousColumn => by(at + count - 1, false),
            _ => by(at, !is_ascending),
        };
    }

    fn scroll(&mut self, key: Key) {
        let page = isize::try_from(self.page).unwrap_or(isize::MAX);
        let rows = match key {
            Key::Scroll(rows) => rows,
            Key::Page(is_down) => {
                if is_down {
                    page
                } else {
                    -page
                }
            }
            _ => isize::MIN,
        };
        let most = self.views.iter().map(|(_, it)| it.drawn().entries.len()).max().unwrap_or(0);
        let most = most.saturating_sub(self.page);
        self.skipped = self.skipped.saturating_add_signed(rows).min(most);
    }
}

/// Text for the range of shown rows.
fn rows_of(found: usize, skipped: usize, shown: usize, hidden: u64) -> String {
    let all = found as u64 + hidden;
    match shown {
        0 => format!("0 of {all}"),
        shown if shown as u64 == all => format!("all {all}"),
        shown => format!("{} to {} of {all}", skipped + 1, skipped + shown),
    }
}

/// A line with the width of the screen.
fn frame(text: &str, columns: usize, look: Look) -> Line {
    let mut text = width::clip(&put::text(text.as_bytes()), columns);
    if look == Look::Frame {
        text.push_str(&" ".repeat(columns.saturating_sub(width::of(text.as_bytes()))));
    }
    Line { look, text }
}

/// The lines of a text, clipped to the width of the screen.
fn lines(text: &[u8], columns: usize) -> Vec<Line> {
    let text = String::from_utf8_lossy(text);
    let line = |text: &str| Line { look: Look::Plain, text: width::clip(text, columns) };
    text.lines().map(line).collect()
}

impl Format for Live {
    fn start(&mut self, sources: &[Source], out: &mut Vec<u8>) {
        self.several = sources.len() > 1;
        self.text.start(sources, out);
    }

    /// A live screen shows only readings.
    fn records(&mut self, _records: &Records<'_>, _out: &mut Vec<u8>) {}

    fn entries(&mut self, reading: &Rc<Reading>, _part: Range<usize>, out: &mut Vec<u8>) {
        let index = reading.source.index;
        let found = self.views.iter().position(|(known, _)| *known == index);
        match found.map(|at| &mut self.views[at].1) {
            Some(shown) => {
                shown.take(Rc::clone(reading));
                if self.is_paused {
                    return;
                }
            }
            None => {
                let at = self.views.partition_point(|(known, _)| *known < index);
                self.views.insert(at, (index, Shown::new(Rc::clone(reading))));
            }
        }
        self.arrange();
        self.draw(out);
    }

    fn most_entries(&self, _reading: &Reading) -> usize {
        usize::MAX
    }

    fn text(&mut self, _time: Time, _text: &[u8], _out: &mut Vec<u8>) {}

    fn json(&mut self, _time: Time, _json: &[u8], _out: &mut Vec<u8>) {}

    fn press(&mut self, key: Key, out: &mut Vec<u8>) {
        match key {
            Key::Quit => return,
            Key::Pause => {
                self.is_paused = !self.is_paused;
                self.views.iter_mut().for_each(|(_, shown)| shown.pin(self.is_paused));
            }
            Key::NextColumn | Key::PreviousColumn | Key::Reverse => self.sort(key),
            Key::Turn if self.can_turn() => self.is_turned = !self.is_turned,
            Key::Turn => {}
            Key::Scroll(_) | Key::Page(_) | Key::Home => {
                self.scroll(key);
                return self.redraw(out);
            }
        }
        self.arrange();
        self.redraw(out);
    }

    fn redraw(&mut self, out: &mut Vec<u8>) {
        if !self.views.is_empty() {
            self.draw(out);
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        let (rows, _) = self.size();
        self.screen.leave(out);
        self.is_paused = false;
        self.views.iter_mut().for_each(|(_, shown)| shown.pin(false));
        self.arrange();
        for (_, shown) in std::mem::take(&mut self.views) {
            let mut reading = (**shown.drawn()).clone();
            let is_picture = reading.source.is_histogram();
            let most =
                if is_picture { reading.entries.len() } else { rows.saturating_sub(4).max(1) };
            reading.hidden += reading.entries.len().saturating_sub(most) as u64;
            reading.entries.truncate(most);
            self.text.reading(reading, out);
        }
    }
}
