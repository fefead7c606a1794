// SPDX-License-Identifier: MIT
//! Shows timestamps of kernel clocks as local time of day. bpf_ktime_get_ns returns the monotonic
//! clock; bpf_ktime_get_boot_ns returns the boot clock, which also advances while the machine
//! sleeps.

use std::time::Duration;

use bpfpack_decode::meaning::Unit;
use rustix::time::{ClockId, clock_gettime};

use super::number::padded;
use crate::clock::LocalTime;
use crate::put;

/// A time of day would be ambiguous for older times.
const OLDEST: u64 = 24 * 3600 * SECOND;

/// A value that is less than this part of the time since boot is not a timestamp, but a duration or
/// a time in a coarser unit.
const LEAST_PART: u64 = 1000;

const SECOND: u64 = 1_000_000_000;

/// The length of `HH:MM:SS.`.
const TEXT: usize = 9;

/// Differences between clocks are read again after this time, because the wall clock is adjusted.
const READ_AFTER: u64 = SECOND;

/// The state of the clocks, in nanoseconds.
#[derive(Debug)]
pub(super) struct KernelClock {
    local_time: LocalTime,
    /// The monotonic clock when the differences were read; 0 before.
    read_at: u64,
    /// The boot clock minus the monotonic clock.
    boot_ahead: u64,
    /// The wall clock minus the monotonic clock.
    wall_ahead: u64,
    /// The monotonic clock when it was last read.
    now: u64,
    /// The last second since 1970, and its text, which most records share.
    second: u64,
    text: [u8; TEXT],
}

impl KernelClock {
    /// Nothing was read yet.
    pub(super) fn new(local_time: LocalTime) -> KernelClock {
        KernelClock {
            local_time,
            read_at: 0,
            boot_ahead: 0,
            wall_ahead: 0,
            now: 0,
            second: 0,
            text: [0; TEXT],
        }
    }

    /// Appends a time as `HH:MM:SS.uuuuuu`. Returns false if it is in the future, more than a day
    /// ago, or before boot.
    pub(super) fn write(&mut self, value: u64, unit: Unit, out: &mut Vec<u8>) -> bool {
        let Some(value) = value.checked_mul(unit.nanoseconds()) else { return false };
        // The clocks are read again if a time is ahead of them, or if they are old.
        if value > self.now || value.saturating_sub(self.read_at) > READ_AFTER {
            self.now = read(ClockId::Monotonic);
            if self.read_at == 0 || self.now.saturating_sub(self.read_at) > READ_AFTER {
                self.read_at = self.now;
                self.boot_ahead = read(ClockId::Boottime).saturating_sub(self.now);
                self.wall_ahead = read(ClockId::Realtime).saturating_sub(self.now);
            }
        }
        let Some(age) = age(value, self.now, self.boot_ahead) else { return false };
        let wall = (self.now + self.wall_ahead).saturating_sub(age);
        let second = wall / SECOND;
        if self.second != second {
            self.second = second;
            let (hours, minutes, seconds) = (self.local_time)(second as i64);
            let mut text = Vec::with_capacity(TEXT);
            for part in [hours, minutes, seconds] {
                padded(part.into(), 2, &mut text);
                text.push(if text.len() < TEXT - 1 { b':' } else { b'.' });
            }
            self.text = text.first_chunk().copied().unwrap_or_default();
        }
        out.extend_from_slice(&self.text);
        put::micros((wall % SECOND / 1000) as u32, out);
        true
    }
}

/// The age of a time; `None` if it is not plausible. A time that is ahead of the monotonic clock is
/// of the boot clock.
fn age(value: u64, now: u64, boot_ahead: u64) -> Option<u64> {
    let now = if value > now { now + boot_ahead } else { now };
    let age = now.checked_sub(value)?;
    (age <= OLDEST && value > now / LEAST_PART).then_some(age)
}

fn read(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    let whole = Duration::try_from(time).unwrap_or_default();
    u64::try_from(whole.as_nanos()).unwrap_or(u64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::utc;

    #[test]
    fn what_can_be_a_time() {
        let hour = 3600 * SECOND;
        let now = 100 * hour;
        assert_eq!(age(now, now, 0), Some(0));
        assert_eq!(age(now - 5, now, 0), Some(5));
        assert_eq!(age(now + 1, now, 0), None, "in the future");
        assert_eq!(age(now + 1, now, hour), Some(hour - 1), "of the boot clock");
        assert_eq!(age(now + 2 * hour, now, hour), None);
        assert_eq!(age(70 * hour, now, 0), None, "over a day ago");
        assert_eq!(age(0, now, 0), None);
        assert_eq!(age(hour, 2 * hour, 0), Some(hour));
        assert_eq!(age(2 * hour / 1000, 2 * hour, 0), None, "a time in microseconds");
    }

    #[test]
    fn now() {
        let mut clock = KernelClock::new(utc);
        let at = |clock: &mut KernelClock, value, unit| {
            let mut out = Vec::new();
            assert_eq!(clock.write(value, unit, &mut out), !out.is_empty());
            String::from_utf8(out).unwrap()
        };
        let now = read(ClockId::Monotonic);
        let time = || utc((read(ClockId::Realtime) / SECOND) as i64);
        let (before, text, after) = (time(), at(&mut clock, now, Unit::Nanoseconds), time());
        let seconds = |(hours, minutes, seconds)| format!("{hours:02}:{minutes:02}:{seconds:02}");
        assert!([seconds(before), seconds(after)].contains(&text[..8].to_owned()), "{text}");
        assert_eq!(text.len(), 15);
        assert_eq!(at(&mut clock, now / 1000, Unit::Microseconds)[..8], text[..8]);
        assert_eq!(at(&mut clock, 0, Unit::Nanoseconds), "");
        assert_eq!(at(&mut clock, now + SECOND * 3600 * 24 * 365, Unit::Nanoseconds), "");
        assert_eq!(at(&mut clock, u64::MAX, Unit::Seconds), "");
    }
}
