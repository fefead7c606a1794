// SPDX-License-Identifier: MIT
//! What the operating system says and takes, by calls that safe libraries offer; others are in `sys`.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::Timespec;
use rustix::fs::{Mode, OFlags};

/// Opens what a descriptor of a path (`O_PATH`) stands for, and nothing else that may be at that
/// path by now.
///
/// # Errors
/// As of open(2); `ENOENT` where there is no /proc.
pub fn reopen(file: BorrowedFd<'_>, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty())
}

/// Rows and columns of the terminal that standard output is; none where it is none.
#[must_use]
pub fn terminal_size() -> Option<(usize, usize)> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    Some((size.ws_row.into(), size.ws_col.into()))
        .filter(|(rows, columns)| *rows > 0 && *columns > 0)
}

/// A time as poll(2) takes it.
#[must_use]
pub fn timespec(time: Duration) -> Timespec {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    Timespec { tv_sec: seconds, tv_nsec: time.subsec_nanos().into() }
}

/// Nanoseconds of a time.
#[must_use]
pub fn nanoseconds(time: Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}

/// The index of the network interface of a name, or of a number, in the network namespace of this
/// process.
///
/// # Errors
/// `ENODEV` when there is none.
pub fn interface_index(name: &str) -> io::Result<u32> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, netdevice};
    // Any socket does.
    let (family, flags) = (AddressFamily::UNIX, SocketFlags::CLOEXEC);
    let socket = rustix::net::socket_with(family, SocketType::DGRAM, flags, None)?;
    let index = netdevice::name_to_index(&socket, name).or_else(|error| {
        let index: u32 = name.parse().map_err(|_| error)?;
        netdevice::index_to_name(&socket, index).map(|_| index)
    });
    Ok(index?)
}
