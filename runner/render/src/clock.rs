// SPDX-License-Identifier: MIT
//! The time before a record or reading: when it was read, which under load may be a millisecond
//! after the event.

use std::io::Write as _;

use bpfpack_frame::Time;

use crate::put;

/// The time column before a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeColumn {
    /// None.
    None,
    /// The local time of day.
    Wall,
    /// Seconds since boot.
    Boot,
    /// Seconds since the previous record.
    Delta,
}

impl TimeColumn {
    /// A column by its name on the command line.
    #[must_use]
    pub fn named(name: &str) -> Option<TimeColumn> {
        TIME_COLUMNS.into_iter().find(|(known, _)| *known == name).map(|(_, column)| column)
    }

    /// The names of all columns.
    pub fn names() -> impl Iterator<Item = &'static str> {
        TIME_COLUMNS.into_iter().map(|(name, _)| name)
    }
}

const TIME_COLUMNS: [(&str, TimeColumn); 4] = [
    ("none", TimeColumn::None),
    ("wall", TimeColumn::Wall),
    ("boot", TimeColumn::Boot),
    ("delta", TimeColumn::Delta),
];

/// Converts seconds since 1970 to hours, minutes and seconds of local time.
pub type LocalTime = fn(i64) -> (u8, u8, u8);

/// The same for UTC, if the time zone is not known.
#[must_use]
pub fn utc(seconds: i64) -> (u8, u8, u8) {
    let of_day = seconds.rem_euclid(24 * 3600);
    ((of_day / 3600) as u8, (of_day / 60 % 60) as u8, (of_day % 60) as u8)
}

/// Formats times for a column.
#[derive(Debug)]
pub(crate) struct TimeText {
    column: TimeColumn,
    local_time: LocalTime,
    for_programs: bool,
    /// The time that was shown last; `None` before the first.
    shown: Option<Time>,
    /// Its text.
    text: Vec<u8>,
}

impl TimeText {
    /// A clock that has shown nothing yet.
    pub(crate) fn new(column: TimeColumn, local_time: LocalTime) -> TimeText {
        TimeText { column, local_time, for_programs: false, shown: None, text: Vec::new() }
    }

    /// The width of its column in characters; 0 if there is none.
    pub(crate) fn width(&self) -> usize {
        match self.column {
            TimeColumn::None => 0,
            TimeColumn::Wall => 8,
            TimeColumn::Boot => 14,
            TimeColumn::Delta => 11,
        }
    }

    /// Whether frames with the same time have the same text.
    pub(crate) fn repeats(&self) -> bool {
        self.column != TimeColumn::Delta
    }

    /// The same clock for programs: wall time is shown as date and time in UTC (ISO 8601).
    pub(crate) fn for_programs(self) -> TimeText {
        TimeText { for_programs: true, ..self }
    }

    /// The text for a frame with this time.
    #[inline]
    pub(crate) fn text(&mut self, time: Time) -> &[u8] {
        // Frames that are read together have the same time, and so the same text, except for the
        // difference to the previous one.
        let is_same = |shown: Time| (shown.wall, shown.boot) == (time.wall, time.boot);
        if !self.shown.is_some_and(is_same) || self.column == TimeColumn::Delta {
            self.show(time);
        }
        &self.text
    }

    /// Appends the column and a space; nothing if there is no column.
    pub(crate) fn column(&mut self, time: Time, out: &mut Vec<u8>) {
        let width = self.width();
        if width > 0 {
            let text = self.text(time);
            out.extend_from_slice(text);
            put::spaces(width.saturating_sub(text.len()) + 1, out);
        }
    }

    fn show(&mut self, time: Time) {
        let before = self.shown.replace(time);
        let second = |time: Time| time.wall / 1_000_000_000;
        match self.column {
            TimeColumn::None => {}
            TimeColumn::Wall if self.for_programs => {
                self.text.clear();
                iso_8601(time.wall, &mut self.text);
            }
            TimeColumn::Wall if before.map(second) == Some(second(time)) => {}
            TimeColumn::Wall => {
                self.text.clear();
                let (hours, minutes, seconds) = (self.local_time)(second(time) as i64);
                let _ = write!(self.text, "{hours:02}:{minutes:02}:{seconds:02}");
            }
            TimeColumn::Boot => {
                self.text.clear();
                seconds(time.boot, &mut self.text);
            }
            TimeColumn::Delta => {
                self.text.clear();
                self.text.push(b'+');
                let before = before.map_or(time.boot, |before| before.boot);
                seconds(time.boot.saturating_sub(before), &mut self.text);
            }
        }
    }

    /// The time as a JSON value: a string, or seconds.
    pub(crate) fn json(&mut self, time: Time, out: &mut Vec<u8>) {
        let is_text = self.column == TimeColumn::Wall;
        let text = self.text(time);
        let text = text.strip_prefix(b"+").unwrap_or(text);
        out.extend(is_text.then_some(b'"'));
        out.extend_from_slice(text);
        out.extend(is_text.then_some(b'"'));
    }
}

/// Formats a time since 1970 with microseconds: `2026-11-29T15:04:05.123456Z`.
fn iso_8601(wall: u64, out: &mut Vec<u8>) {
    let (seconds, micros) = (wall / 1_000_000_000, wall / 1000 % 1_000_000);
    let (year, month, day) = date(seconds / (24 * 3600));
    let (hours, minutes, seconds) = utc(seconds as i64);
    let _ = write!(
        out,
        "{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{micros:06}Z"
    );
}

/// Converts days since 1970 to year, month and day in the Gregorian calendar. Years begin in March
/// here, so that a leap day is the last day of its year.
fn date(days: u64) -> (u64, u64, u64) {
    /// Days of 400, 100 and 4 years.
    const SPANS: [u64; 3] = [146_097, 36_524, 1_461];
    // Since March 1 of the year 0.
    let mut rest = days + 719_468;
    let mut year = rest / SPANS[0] * 400;
    rest %= SPANS[0];
    let hundreds = (rest / SPANS[1]).min(3);
    rest -= hundreds * SPANS[1];
    let fours = rest / SPANS[2];
    rest -= fours * SPANS[2];
    let ones = (rest / 365).min(3);
    rest -= ones * 365;
    year += hundreds * 100 + fours * 4 + ones;
    // The five months from March have 153 days, and so do the next five.
    let month = (5 * rest + 2) / 153;
    let day = rest - (153 * month + 2) / 5 + 1;
    match month {
        0..10 => (year, month + 3, day),
        _ => (year + 1, month - 9, day),
    }
}

/// Formats seconds with six decimals.
fn seconds(nanoseconds: u64, out: &mut Vec<u8>) {
    let micros = nanoseconds / 1000;
    let _ = write!(out, "{}.{:06}", micros / 1_000_000, micros % 1_000_000);
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// 09:05:07, 61 seconds after boot.
    pub(crate) const TIME: Time = Time {
        wall: (9 * 3600 + 5 * 60 + 7) * 1_000_000_000,
        boot: 61_000_000_123,
        monotonic: 61_000_000_123,
    };

    pub(crate) fn clock(column: TimeColumn) -> TimeText {
        TimeText::new(column, utc)
    }

    #[test]
    fn columns() {
        let at = |clock: &mut TimeText, time| String::from_utf8(clock.text(time).to_vec()).unwrap();
        let text = |column| at(&mut clock(column), TIME);
        assert_eq!(text(TimeColumn::Wall), "09:05:07");
        assert_eq!(text(TimeColumn::Boot), "61.000000");
        assert_eq!(text(TimeColumn::None), "");
        let mut delta = clock(TimeColumn::Delta);
        assert_eq!(at(&mut delta, TIME), "+0.000000");
        let later = Time { boot: TIME.boot + 250_000, ..TIME };
        assert_eq!(at(&mut delta, later), "+0.000250");
        assert_eq!(at(&mut delta, later), "+0.000000", "read together");
        let mut wall = clock(TimeColumn::Wall);
        let next = Time { wall: TIME.wall + 1_000_000_000, ..TIME };
        assert_eq!(
            (at(&mut wall, TIME), at(&mut wall, next)),
            ("09:05:07".into(), "09:05:08".into())
        );
        let mut out = Vec::new();
        clock(TimeColumn::Wall).json(TIME, &mut out);
        clock(TimeColumn::Boot).json(TIME, &mut out);
        assert_eq!(out, b"\"09:05:07\"61.000000");
        assert_eq!(utc(-1), (23, 59, 59));
        let mut iso = clock(TimeColumn::Wall).for_programs();
        assert_eq!(at(&mut iso, TIME), "1970-01-01T09:05:07.000000Z");
        let date =
            |seconds: u64| at(&mut iso, Time { wall: seconds * 1_000_000_000 + 1_500, ..TIME });
        // Results of date(1).
        let dates = [951_782_399, 951_782_400, 951_868_800, 1_709_251_199, 4_107_542_400].map(date);
        assert_eq!(
            dates,
            [
                "2000-02-28T23:59:59.000001Z",
                "2000-02-29T00:00:00.000001Z",
                "2000-03-01T00:00:00.000001Z",
                "2024-02-29T23:59:59.000001Z",
                "2100-03-01T00:00:00.000001Z"
            ]
        );
    }
}
