// SPDX-License-Identifier: MIT
//! The time of a frame, on the clocks that formats and modules show.

use rustix::time::{ClockId, Timespec, clock_gettime};

/// When a frame was read, in nanoseconds. Under load, this may be a millisecond after the event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Time {
    /// Since 1970 (`CLOCK_REALTIME`).
    pub wall: u64,
    /// Since boot (`CLOCK_BOOTTIME`).
    pub boot: u64,
    /// On the clock of `bpf_ktime_get_ns` (`CLOCK_MONOTONIC`).
    pub monotonic: u64,
}

impl Time {
    /// The current time.
    #[must_use]
    pub fn now() -> Time {
        let read = |clock| nanoseconds(clock_gettime(clock));
        Time {
            wall: read(ClockId::Realtime),
            boot: read(ClockId::Boottime),
            monotonic: read(ClockId::Monotonic),
        }
    }
}

fn nanoseconds(time: Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}
