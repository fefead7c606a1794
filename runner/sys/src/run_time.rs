// SPDX-License-Identifier: MIT
//! The run time of BPF programs, which the kernel measures while a process asks for it.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::time::Duration;

use crate::link::created;
use crate::map::answer;

/// What the kernel measured of a program since it was loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunTimes {
    /// How often it ran.
    pub runs: u64,
    /// How long it ran, in total.
    pub time: Duration,
}

/// Makes the kernel measure the run time of all programs as long as the descriptor is open. Each run
/// of a program takes some nanoseconds longer.
///
/// # Errors
/// Returns the kernel's error: `EINVAL` before Linux 5.8.
pub fn measure_run_times() -> io::Result<OwnedFd> {
    // SAFETY: the call takes a number.
    let fd = unsafe { libbpf_sys::bpf_enable_stats(libbpf_sys::BPF_STATS_RUN_TIME) };
    created(fd)
}

/// What the kernel measured of a program.
///
/// # Errors
/// Returns the kernel's error.
pub fn run_times(program: impl AsFd) -> io::Result<RunTimes> {
    let mut info = libbpf_sys::bpf_prog_info::default();
    let mut size = size_of_val(&info) as u32;
    // SAFETY: `info` is zeroed, so it has no pointers that the kernel would fill; the kernel writes
    // at most `size` bytes.
    answer(unsafe {
        libbpf_sys::bpf_prog_get_info_by_fd(
            program.as_fd().as_raw_fd(),
            &raw mut info,
            &raw mut size,
        )
    })?;
    Ok(RunTimes { runs: info.run_cnt, time: Duration::from_nanos(info.run_time_ns) })
}
