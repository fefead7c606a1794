// SPDX-License-Identifier: MIT
//! Functions of the operating system that safe libraries offer; others are in `sys`.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::Timespec;
use rustix::fs::{Mode, OFlags};

/// Opens exactly the file that an `O_PATH` descriptor refers to, whatever is at its path by now.
///
/// # Errors
/// Returns the error of open(2); `ENOENT` if there is no /proc.
pub fn reopen(file: BorrowedFd<'_>, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty())
}

/// Rows and columns of the terminal on standard output; `None` if it is not a terminal.
#[must_use]
pub fn terminal_size() -> Option<(usize, usize)> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    Some((size.ws_row.into(), size.ws_col.into()))
        .filter(|(rows, columns)| *rows > 0 && *columns > 0)
}

/// Converts a time for poll(2).
#[must_use]
pub fn timespec(time: Duration) -> Timespec {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    Timespec { tv_sec: seconds, tv_nsec: time.subsec_nanos().into() }
}

/// Converts a time to nanoseconds.
#[must_use]
pub fn nanoseconds(time: Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}

/// What this process uses.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// CPU time since it began, in user and kernel mode.
    pub cpu: Duration,
    /// Bytes of memory that are resident.
    pub resident: u64,
}

/// What this process uses; `None` without /proc.
#[must_use]
pub fn usage() -> Option<Usage> {
    let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    let resident: u64 = pages.split(' ').nth(1)?.parse().ok()?;
    let page = rustix::param::page_size() as u64;
    Some(Usage { cpu: Duration::from_nanos(nanoseconds(cpu)), resident: resident * page })
}

/// Returns the index of a network interface, given its name or number, in the network namespace of
/// this process.
///
/// # Errors
/// Returns `ENODEV` if there is no such interface.
pub fn interface_index(name: &str) -> io::Result<u32> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, netdevice};
    // A socket of any kind works.
    let (family, flags) = (AddressFamily::UNIX, SocketFlags::CLOEXEC);
    let socket = rustix::net::socket_with(family, SocketType::DGRAM, flags, None)?;
    let index = netdevice::name_to_index(&socket, name).or_else(|error| {
        let index: u32 = name.parse().map_err(|_| error)?;
        netdevice::index_to_name(&socket, index).map(|_| index)
    });
    Ok(index?)
}
