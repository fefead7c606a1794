// SPDX-License-Identifier: MIT
//! Columns of tables, and the kinds of values in them.

use std::collections::BTreeSet;

/// The kind of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// A number, also with a unit of size.
    Number,
    /// A time of day.
    Time,
    /// A number with a unit of time.
    Duration,
    /// The name of an error, such as `-ENOENT`.
    Error,
    Text,
}

impl Kind {
    /// The kind of a cell; `None` if it is empty.
    fn of(cell: &str) -> Option<Kind> {
        let digits = cell.trim_start_matches('-').trim_start_matches("0x");
        let end = digits.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(digits.len());
        let (number, unit) = digits.split_at(end);
        Some(match unit {
            _ if cell == "-" || cell.is_empty() => return None,
            _ if is_time(cell) => Kind::Time,
            _ if is_hexadecimal(cell) => Kind::Number,
            _ if digits.starts_with('E') && is_upper(digits) => Kind::Error,
            _ if number.is_empty() => Kind::Text,
            "" | "K" | "M" | "G" | "T" => Kind::Number,
            "ns" | "us" | "ms" | "s" | "m" | "h" | "d" => Kind::Duration,
            _ => Kind::Text,
        })
    }

    /// Whether both kinds can be in one column: zero has no unit, and a result is a number or an
    /// error.
    fn fits(self, other: Kind) -> bool {
        let bare = |kind| kind == Kind::Number;
        let special = |kind| matches!(kind, Kind::Duration | Kind::Error);
        self == other || bare(self) && special(other) || special(self) && bare(other)
    }
}

fn is_time(cell: &str) -> bool {
    let parts: Vec<_> = cell.split(':').collect();
    parts.len() == 3
        && parts.iter().all(|part| part.len() >= 2 && part.as_bytes()[0].is_ascii_digit())
}

fn is_hexadecimal(cell: &str) -> bool {
    cell.strip_prefix("0x").is_some_and(|rest| rest.chars().all(|c| c.is_ascii_hexdigit()))
}

fn is_upper(text: &str) -> bool {
    text.len() > 2 && text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
}

/// The columns of a table, with the kinds of cells that were seen in each.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) columns: Vec<String>,
    kinds: Vec<BTreeSet<Kind>>,
}

impl Table {
    pub(super) fn new<S: Into<String>>(columns: impl IntoIterator<Item = S>) -> Table {
        let columns: Vec<_> = columns.into_iter().map(Into::into).collect();
        Table { kinds: vec![BTreeSet::new(); columns.len()], columns }
    }

    /// The columns of a header: a line that has only names in capitals, as ecli writes them.
    pub(super) fn header(line: &str) -> Option<Table> {
        let is_name = |word: &str| {
            word.starts_with(|c: char| c.is_ascii_uppercase())
                && word.chars().all(|c| !c.is_ascii_lowercase() && !",:".contains(c))
        };
        let words: Vec<_> = line.split_whitespace().collect();
        let is_header = !words.is_empty() && words.iter().all(|word| is_name(word));
        is_header.then(|| Table::new(words))
    }

    /// Adds a row. Returns whether the line can be one.
    pub(super) fn row<'a>(&mut self, cells: impl IntoIterator<Item = &'a str>) -> bool {
        let cells: Vec<_> = cells.into_iter().collect();
        let has_time = self.columns.first().is_some_and(|column| column == "TIME");
        if has_time && cells.first().is_none_or(|cell| !is_time(cell)) {
            return false;
        }
        // If a cell is empty, the columns of the others are not known.
        if cells.len() >= self.columns.len() {
            for (kinds, cell) in self.kinds.iter_mut().zip(cells) {
                kinds.extend(Kind::of(cell));
            }
        }
        true
    }

    pub(super) fn add(&mut self, other: &Table) {
        for (kinds, others) in self.kinds.iter_mut().zip(&other.kinds) {
            kinds.extend(others);
        }
    }

    /// The first column whose cells are of other kinds in the other table.
    pub(super) fn differs(&self, other: &Table) -> Option<String> {
        let kinds = self.kinds.iter().zip(&other.kinds);
        let mut columns = self.columns.iter().zip(kinds);
        let fit = |these: &BTreeSet<Kind>, those: &BTreeSet<Kind>| {
            these.is_empty()
                || those.is_empty()
                || these.iter().any(|this| those.iter().any(|that| this.fits(*that)))
        };
        let (column, (these, those)) = columns.find(|(_, (these, those))| !fit(these, those))?;
        Some(format!("{column}: {these:?} here, {those:?} there"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_cells() {
        let kinds = |cells: &[&str]| cells.iter().map(|cell| Kind::of(cell)).collect::<Vec<_>>();
        let numbers = kinds(&["0", "-1", "1.5", "3.6M", "0xffff8881"]);
        assert_eq!(numbers, [Some(Kind::Number); 5]);
        assert_eq!(kinds(&["200ms", "2.32s", "16:38:43"])[..2], [Some(Kind::Duration); 2]);
        assert_eq!(Kind::of("16:38:43"), Some(Kind::Time));
        assert_eq!(Kind::of("-ENOENT"), Some(Kind::Error));
        assert_eq!(kinds(&["dd", "/etc/hostname", "7zip"]), [Some(Kind::Text); 3]);
        assert_eq!(kinds(&["-", ""]), [None; 2]);
    }

    #[test]
    fn a_header_is_capitals_alone() {
        assert_eq!(
            Table::header("TIME     PID  CALLS/S").unwrap().columns,
            ["TIME", "PID", "CALLS/S"]
        );
        for line in ["", "Kernel:", "COMM: dd", "15640  dd  2003", "TIME     0  2  4"] {
            assert!(Table::header(line).is_none(), "{line}");
        }
    }

    #[test]
    fn columns_hold_the_same_kinds() {
        let table = |rows: &[&str]| {
            let mut table = Table::new(["PID", "RET", "COMM"]);
            for row in rows {
                assert!(table.row(row.split_whitespace()));
            }
            table
        };
        let documented = table(&["1 -ENOENT cat", "2 3 cat"]);
        assert_eq!(documented.differs(&table(&["7 4 ls"])), None);
        assert_eq!(documented.differs(&table(&[])), None);
        let differs = documented.differs(&table(&["7 4 5"])).unwrap();
        assert!(differs.starts_with("COMM: "), "{differs}");
    }

    #[test]
    fn a_row_below_the_time_begins_with_one() {
        let mut table = Table::new(["TIME", "PID"]);
        assert!(table.row(["16:38:43", "1"]));
        assert!(!table.row(["19", "of", "40"]));
    }
}
