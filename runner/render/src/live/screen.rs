// SPDX-License-Identifier: MIT
//! A screen of lines that is updated: only changes are written.

use crate::width;

/// The look of a line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Look {
    /// Normal text.
    #[default]
    Plain,
    /// The header.
    Names,
    /// A row that has not changed since the previous reading.
    Still,
    /// The first and the last line.
    Frame,
}

impl Look {
    fn begin(self) -> &'static str {
        match self {
            Look::Plain => "",
            Look::Names => "\x1b[1m",
            Look::Still => "\x1b[2m",
            Look::Frame => "\x1b[7m",
        }
    }
}

/// A line of the screen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) look: Look,
    /// At most as wide as the terminal, without control characters.
    pub(super) text: String,
}

/// The current content of the screen.
#[derive(Debug, Default)]
pub(super) struct Screen {
    lines: Vec<Line>,
    /// Rows and columns; `None` while the screen is not in use.
    size: Option<(usize, usize)>,
    has_colors: bool,
}

impl Screen {
    pub(super) fn new(has_colors: bool) -> Screen {
        Screen { has_colors, ..Screen::default() }
    }

    /// Updates the screen to these lines, writing only the differences.
    pub(super) fn show(&mut self, size: (usize, usize), mut lines: Vec<Line>, out: &mut Vec<u8>) {
        // Terminals with synchronized updates show all changes at once.
        out.extend_from_slice(b"\x1b[?2026h");
        if self.size != Some(size) {
            if self.size.is_none() {
                // The alternate screen, without a cursor, and without wrapping.
                out.extend_from_slice(b"\x1b[?1049h\x1b[?25l\x1b[?7l");
            }
            out.extend_from_slice(b"\x1b[2J");
            self.lines.clear();
            self.size = Some(size);
        }
        self.lines.resize(size.0, Line::default());
        lines.resize(size.0, Line::default());
        for (row, (old, new)) in self.lines.iter().zip(&lines).enumerate() {
            if old != new {
                self.change(row, old, new, out);
            }
        }
        self.lines = lines;
        out.extend_from_slice(b"\x1b[?2026l");
    }

    /// Writes the difference in a row.
    fn change(&self, row: usize, old: &Line, new: &Line, out: &mut Vec<u8>) {
        let (begin, end) = match old.look == new.look {
            true => changed(&old.text, &new.text),
            false => (0, new.text.len()),
        };
        let column = width::of(&new.text.as_bytes()[..begin]);
        out.extend_from_slice(format!("\x1b[{};{}H", row + 1, column + 1).as_bytes());
        let look = if self.has_colors { new.look.begin() } else { "" };
        out.extend_from_slice(look.as_bytes());
        out.extend_from_slice(&new.text.as_bytes()[begin..end]);
        if !look.is_empty() {
            out.extend_from_slice(b"\x1b[0m");
        }
        if end == new.text.len() && width::of(old.text.as_bytes()) > width::of(new.text.as_bytes())
        {
            out.extend_from_slice(b"\x1b[K");
        }
    }

    /// Restores the normal screen.
    pub(super) fn leave(&mut self, out: &mut Vec<u8>) {
        if self.size.take().is_some() {
            out.extend_from_slice(b"\x1b[?7h\x1b[?25h\x1b[?1049l");
        }
    }
}

/// The byte range of a line that has changed. What follows it has not moved.
fn changed(old: &str, new: &str) -> (usize, usize) {
    let same = old.chars().zip(new.chars()).take_while(|(a, b)| a == b);
    let begin: usize = same.map(|(a, _)| a.len_utf8()).sum();
    if !(old.is_ascii() && new.is_ascii() && old.len() == new.len()) {
        return (begin, new.len());
    }
    let ends = old.bytes().rev().zip(new.bytes().rev()).take_while(|(a, b)| a == b).count();
    (begin, (new.len() - ends).max(begin))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line {
        Line { text: text.to_owned(), ..Line::default() }
    }

    fn shown(screen: &mut Screen, lines: &[&str]) -> String {
        let mut out = Vec::new();
        screen.show((3, 20), lines.iter().map(|text| line(text)).collect(), &mut out);
        let text = String::from_utf8(out).unwrap();
        text.replace("\x1b[?2026h", "").replace("\x1b[?2026l", "")
    }

    #[test]
    fn only_what_has_changed_is_written() {
        let mut screen = Screen::new(true);
        let first = shown(&mut screen, &["NAME  COUNT", "a       100"]);
        assert_eq!(
            first,
            "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J\x1b[1;1HNAME  COUNT\x1b[2;1Ha       100"
        );
        assert_eq!(shown(&mut screen, &["NAME  COUNT", "a       100"]), "");
        assert_eq!(shown(&mut screen, &["NAME  COUNT", "a       190"]), "\x1b[2;10H9");
        assert_eq!(shown(&mut screen, &["NAME  COUNT", "a"]), "\x1b[2;2H\x1b[K");
        assert_eq!(shown(&mut screen, &["NAME", "日本 1"]), "\x1b[1;5H\x1b[K\x1b[2;1H日本 1");
        assert_eq!(shown(&mut screen, &["NAME", "日本 2"]), "\x1b[2;6H2");
        let mut out = Vec::new();
        screen.leave(&mut out);
        screen.leave(&mut out);
        assert_eq!(out, b"\x1b[?7h\x1b[?25h\x1b[?1049l", "once");
    }

    #[test]
    fn another_size_draws_all_again_and_looks_are_colors_alone() {
        let mut screen = Screen::new(false);
        shown(&mut screen, &["a"]);
        let mut out = Vec::new();
        let names = Line { look: Look::Names, text: "a".to_owned() };
        screen.show((2, 20), vec![names.clone()], &mut out);
        assert_eq!(out, b"\x1b[?2026h\x1b[2J\x1b[1;1Ha\x1b[?2026l");
        screen.has_colors = true;
        out.clear();
        screen.show((2, 20), vec![line("a")], &mut out);
        screen.show((2, 20), vec![names], &mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("\x1b[1;1H\x1b[1ma\x1b[0m"), "{text:?}");
    }
}
