// SPDX-License-Identifier: MIT
//! Tables of readings: a column for each member of keys and values, as wide as its cells.

use bpfpack_decode::field::float;
use bpfpack_decode::layout::PER_SECOND;
use bpfpack_decode::meaning::Meaning;
use bpfpack_decode::{Layout, Member};
use bpfpack_frame::Entry;
use bpfpack_spec::{Shape, View};

use crate::columns::{self, others, title};
use crate::meaning::Names;
use crate::value::text;
use crate::width;

/// Spaces between two columns.
const GAP: usize = 2;

/// A column of a table.
#[derive(Debug)]
pub(crate) struct Column {
    /// The heading.
    pub(crate) title: String,
    member: Member,
    is_key: bool,
    /// Whether it is right-aligned, as numbers are.
    is_number: bool,
}

impl Column {
    fn new(member: Member, is_key: bool, has_names: bool) -> Column {
        let is_number = matches!(member.layout, Layout::Int { .. } | Layout::Float { .. })
            && match member.meaning {
                _ if !has_names => true,
                None | Some(Meaning::Plain | Meaning::Size | Meaning::Duration(_)) => true,
                Some(_) => false,
            };
        Column { title: title(&member, has_names), member, is_key, is_number }
    }

    /// Rates have one decimal, so that they are aligned.
    fn is_rate(&self) -> bool {
        self.member.name.ends_with(PER_SECOND)
    }

    /// The text of an entry's cell.
    pub(crate) fn cell(&self, entry: &Entry, names: &mut Option<Names>) -> String {
        let mut cell = Vec::new();
        let bytes = if self.is_key { entry.key() } else { entry.value() };
        if let (Layout::Float { size }, true) = (&self.member.layout, self.is_rate()) {
            return format!(
                "{:.1}",
                float(bytes.get(self.member.offset..).unwrap_or_default(), *size)
            );
        }
        text::write_member(&self.member, bytes, names, &mut cell);
        String::from_utf8_lossy(&cell).into_owned()
    }
}

/// The columns of a view: the key's members first, without stacks if they are shown elsewhere.
pub(crate) fn columns(view: &View, hides_stacks: bool, has_names: bool) -> Vec<Column> {
    let values = match (&view.value, &view.shape) {
        (Layout::Struct(_), _) => others(view).cloned().collect(),
        (_, Shape::Table) => vec![Member::new(view.name.clone(), 0, view.value.clone())],
        (value, _) => value.members("value"),
    };
    let keys = columns::keys(view, hides_stacks).into_iter();
    let keys = keys.map(|member| Column::new(member, true, has_names));
    keys.chain(values.into_iter().map(|member| Column::new(member, false, has_names))).collect()
}

/// Rows of cells.
#[derive(Debug)]
pub(crate) struct Rows {
    /// The first row has the headings.
    rows: Vec<Vec<String>>,
    are_numbers: Vec<bool>,
    widths: Vec<usize>,
    /// The maximum length of a line in columns of the terminal.
    room: usize,
}

impl Rows {
    /// The headings of columns.
    pub(crate) fn new(columns: &[Column]) -> Rows {
        let mut rows = Rows {
            rows: Vec::new(),
            are_numbers: columns.iter().map(|column| column.is_number).collect(),
            widths: vec![0; columns.len()],
            room: usize::MAX,
        };
        rows.push(columns.iter().map(|column| column.title.clone()).collect());
        rows
    }

    /// Adds a row.
    pub(crate) fn push(&mut self, row: Vec<String>) {
        for (width, cell) in self.widths.iter_mut().zip(&row) {
            *width = (*width).max(width::of(cell.as_bytes()));
        }
        self.rows.push(row);
    }

    /// Makes columns at least as wide as `kept`, which grows with them, so that a live table does
    /// not jump.
    pub(crate) fn keep_widths(&mut self, kept: &mut Vec<usize>) {
        kept.resize(self.widths.len(), 0);
        for (width, kept) in self.widths.iter_mut().zip(kept) {
            *kept = (*kept).max(*width);
            *width = *kept;
        }
    }

    /// Narrows the widest columns until a row fits `room` columns of the terminal, but not below a
    /// minimum. Numbers keep their digits. A line that is still too long is cut.
    pub(crate) fn fit(&mut self, room: usize) {
        const LEAST: usize = 8;
        self.room = room;
        let total = |most: usize| {
            let widths = self.widths.iter().zip(&self.are_numbers);
            let shown = widths.map(|(width, is_number)| match is_number {
                true => *width,
                false => (*width).min(most),
            });
            shown.fold(0, |sum: usize, width| sum.saturating_add(width + GAP))
        };
        let fits = |most: usize| total(most) <= room.saturating_add(GAP);
        if fits(usize::MAX) {
            return;
        }
        // A terminal has some hundred columns; a cell may have a million characters.
        let most = (LEAST..=room.max(LEAST)).rev().find(|most| fits(*most)).unwrap_or(LEAST);
        for (width, is_number) in self.widths.iter_mut().zip(&self.are_numbers) {
            if !is_number {
                *width = (*width).min(most);
            }
        }
    }

    /// The lines, beginning with the headings.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> {
        self.rows.iter().map(|row| self.line(row))
    }

    fn line(&self, row: &[String]) -> String {
        let mut line = String::new();
        for ((cell, width), is_number) in row.iter().zip(&self.widths).zip(&self.are_numbers) {
            let cell = width::clip(cell, *width);
            // `{cell:width$}` would panic for a width of more than 65535.
            let padding = " ".repeat(width.saturating_sub(width::of(cell.as_bytes())));
            let (before, behind) = if *is_number { (&*padding, "") } else { ("", &*padding) };
            line.extend([before, &cell, behind, "  "]);
        }
        line.truncate(line.trim_end().len());
        if self.room < usize::MAX { width::clip(&line, self.room) } else { line }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(cells: &[[&str; 2]]) -> Rows {
        let mut rows = Rows {
            rows: Vec::new(),
            are_numbers: vec![false, true],
            widths: vec![0; 2],
            room: usize::MAX,
        };
        cells.iter().for_each(|row| rows.push(row.iter().map(|cell| (*cell).to_owned()).collect()));
        rows
    }

    #[test]
    fn columns_stand_below_each_other_whatever_their_characters_are() {
        let rows = rows(&[["NAME", "COUNT"], ["日本語", "7"], ["a", "12345678"]]);
        let lines: Vec<String> = rows.lines().collect();
        assert_eq!(lines, ["NAME       COUNT", "日本語         7", "a       12345678"]);
    }

    #[test]
    fn texts_are_cut_where_there_is_no_room_and_numbers_are_not() {
        let mut rows = rows(&[["NAME", "COUNT"], ["a long name of a file", "123456789"]]);
        rows.fit(21);
        let lines: Vec<String> = rows.lines().collect();
        assert_eq!(lines, ["NAME            COUNT", "a long na…  123456789"]);
        rows.fit(3);
        assert_eq!(rows.widths, [8, 9]);
        let mut kept = vec![11, 2];
        rows.keep_widths(&mut kept);
        assert_eq!((&*rows.widths, &*kept), (&[11, 9][..], &[11, 9][..]));
    }
}
