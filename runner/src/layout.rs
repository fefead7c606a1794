// SPDX-License-Identifier: MIT
//! Lines of at most 80 columns, with indents, labels and tables.

use bpfpack_schemas::printable::one_line;

/// The largest number of columns.
const WIDTH: usize = 80;

/// A text that grows by lines. Everything that is added is escaped.
#[derive(Debug, Default)]
pub(crate) struct Page(String);

impl Page {
    /// The text.
    pub(crate) fn text(self) -> String {
        self.0
    }

    /// Adds an empty line and a title.
    pub(crate) fn title(&mut self, text: &str) {
        self.0.push('\n');
        self.line(0, text);
    }

    /// Adds a section with its items, unless there are none.
    pub(crate) fn section<T>(&mut self, title: &str, items: &[T], add: impl Fn(&mut Page, &T)) {
        if !items.is_empty() {
            self.title(title);
            items.iter().for_each(|item| add(self, item));
        }
    }

    /// Adds a text, in several lines if it is long.
    pub(crate) fn line(&mut self, indent: usize, text: &str) {
        self.wrapped(&" ".repeat(indent), indent, text);
    }

    /// Adds a label in a column of this width, and a text behind it.
    pub(crate) fn labeled(&mut self, indent: usize, label: &str, width: usize, text: &str) {
        let start = format!("{}{label:width$} ", " ".repeat(indent));
        self.wrapped(&start, indent + width + 1, text);
    }

    /// Adds a text behind `start`; further lines begin with `indent` spaces. A word that does not fit
    /// a line is not divided.
    fn wrapped(&mut self, start: &str, indent: usize, text: &str) {
        let text = one_line(text);
        self.0.push_str(start);
        let mut column = start.chars().count();
        let mut is_first = true;
        for word in text.split(' ') {
            let width = word.chars().count();
            if !is_first && column + 1 + width > WIDTH {
                self.0.push('\n');
                self.0.push_str(&" ".repeat(indent));
                column = indent;
                is_first = true;
            }
            if !is_first {
                self.0.push(' ');
                column += 1;
            }
            self.0.push_str(word);
            column += width;
            is_first = false;
        }
        let len = self.0.trim_end_matches(' ').len();
        self.0.truncate(len);
        self.0.push('\n');
    }

    /// Adds rows with aligned columns: the first two to the left, numbers to the right.
    pub(crate) fn table<const N: usize>(&mut self, indent: usize, rows: &[[String; N]]) {
        const LEFT: usize = 2;
        let mut widths = [0; N];
        for row in rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        for row in rows {
            let mut line = " ".repeat(indent);
            for (at, (width, cell)) in widths.iter().zip(row).enumerate() {
                let pad = " ".repeat(width - cell.chars().count());
                match at < LEFT {
                    true => line.extend([cell.as_str(), &pad, "  "]),
                    false => line.extend([pad.as_str(), cell, "  "]),
                }
            }
            self.0.push_str(one_line(line.trim_end()).as_ref());
            self.0.push('\n');
        }
    }
}

/// A number of bytes: `960 B`, `12.5 KB`, `1.0 MB`.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KB", "MB", "GB", "TB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_wrapped_and_escaped() {
        let mut page = Page::default();
        page.labeled(2, "runs", 6, &"word ".repeat(20));
        page.line(4, "a\x1b[31m");
        let long = "x".repeat(100);
        page.line(2, &format!("a {long} b"));
        let text = page.text();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("  runs   word word"), "{text}");
        assert!(lines[1].starts_with("         word"), "{text}");
        assert!(lines[0].chars().count() <= 80);
        assert_eq!(lines[2..], ["    a\\x1b[31m", "  a", &format!("  {long}"), "  b"]);
    }

    #[test]
    fn columns_are_aligned() {
        let mut page = Page::default();
        let row = |cells: [&str; 3]| cells.map(str::to_owned);
        page.table(2, &[row(["name", "type", "key"]), row(["a", "hash", "1024"])]);
        assert_eq!(page.text(), "  name  type   key\n  a     hash  1024\n");
    }

    #[test]
    fn bytes_in_words() {
        assert_eq!([0, 1023, 1024, 1 << 20].map(bytes), ["0 B", "1023 B", "1.0 KB", "1.0 MB"]);
        assert_eq!(bytes(u64::MAX), "16777216.0 TB");
    }
}
