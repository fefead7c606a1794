// SPDX-License-Identifier: MIT
//! The time that stands before a record: when ecli read it, which under load may be a millisecond
//! after it happened.

use std::io::Write as _;

use rustix::time::{ClockId, clock_gettime};

use crate::args::TimeColumn;
use crate::os;

/// A clock for a column.
#[derive(Debug)]
pub struct Clock {
    column: TimeColumn,
    /// Nanoseconds since boot.
    boot: u64,
    /// The same at the record before.
    before: Option<u64>,
    /// What is written before a record.
    text: Vec<u8>,
    wall: fn() -> (u8, u8, u8),
}

impl Clock {
    /// A clock that shows nothing yet.
    pub fn new(column: TimeColumn) -> Clock {
        Clock { column, boot: 0, before: None, text: Vec::new(), wall: os::local_time }
    }

    /// A clock that stands still, for tests.
    #[cfg(test)]
    pub fn still(column: TimeColumn) -> Clock {
        let mut clock = Clock { wall: || (9, 5, 7), ..Clock::new(column) };
        clock.set(61_000_000_123);
        clock
    }

    /// Characters of its column; 0 where there is none.
    pub fn width(&self) -> usize {
        match self.column {
            TimeColumn::None => 0,
            TimeColumn::Wall => 8,
            TimeColumn::Boot => 14,
            TimeColumn::Delta => 11,
        }
    }

    /// Records that follow were read now.
    pub fn tick(&mut self) {
        let boot = match self.column {
            TimeColumn::None | TimeColumn::Wall => 0,
            TimeColumn::Boot | TimeColumn::Delta => {
                let now = clock_gettime(ClockId::Boottime);
                now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
            }
        };
        self.set(boot);
    }

    fn set(&mut self, boot: u64) {
        self.boot = boot;
        self.text.clear();
        match self.column {
            TimeColumn::None | TimeColumn::Delta => {}
            TimeColumn::Wall => {
                let (hours, minutes, seconds) = (self.wall)();
                let _ = write!(self.text, "{hours:02}:{minutes:02}:{seconds:02}");
            }
            TimeColumn::Boot => seconds(boot, &mut self.text),
        }
    }

    /// The text for the next record.
    pub fn text(&mut self) -> &[u8] {
        if self.column == TimeColumn::Delta {
            let passed = self.boot.saturating_sub(self.before.unwrap_or(self.boot));
            self.before = Some(self.boot);
            self.text.clear();
            self.text.push(b'+');
            seconds(passed, &mut self.text);
        }
        &self.text
    }

    /// The time as a value of JSON: a string, or seconds.
    pub fn json(&mut self, out: &mut Vec<u8>) {
        let is_text = self.column == TimeColumn::Wall;
        let text = self.text();
        let text = text.strip_prefix(b"+").unwrap_or(text);
        out.extend(is_text.then_some(b'"'));
        out.extend_from_slice(text);
        out.extend(is_text.then_some(b'"'));
    }
}

/// Seconds with six digits behind the point.
fn seconds(nanoseconds: u64, out: &mut Vec<u8>) {
    let micros = nanoseconds / 1000;
    let _ = write!(out, "{}.{:06}", micros / 1_000_000, micros % 1_000_000);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns() {
        let text = |clock: &mut Clock| String::from_utf8(clock.text().to_vec()).unwrap();
        assert_eq!(text(&mut Clock::still(TimeColumn::Wall)), "09:05:07");
        assert_eq!(text(&mut Clock::still(TimeColumn::Boot)), "61.000000");
        assert_eq!(text(&mut Clock::still(TimeColumn::None)), "");
        let mut clock = Clock::still(TimeColumn::Delta);
        assert_eq!(text(&mut clock), "+0.000000");
        clock.set(61_000_250_123);
        assert_eq!(text(&mut clock), "+0.000250");
        assert_eq!(text(&mut clock), "+0.000000", "read together");
        let mut out = Vec::new();
        Clock::still(TimeColumn::Wall).json(&mut out);
        Clock::still(TimeColumn::Boot).json(&mut out);
        assert_eq!(out, b"\"09:05:07\"61.000000");
    }
}
