// SPDX-License-Identifier: MIT
//! Descriptors that the process has inherited, and knows by their numbers only.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};

use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};

/// Duplicates an inherited descriptor, such as those that systemd passes. The inherited one
/// remains open until the process ends, because something else could own it; the processes that this
/// one executes do not get it.
///
/// # Errors
/// Returns `EBADF` if it is not open.
pub fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    if number < 0 {
        return Err(rustix::io::Errno::BADF.into());
    }
    // SAFETY: it is not -1, and used for two calls only, which say EBADF if nothing is open. Neither
    // reads, writes or closes it.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    let own = fcntl_dupfd_cloexec(borrowed, 0)?;
    fcntl_setfd(borrowed, FdFlags::CLOEXEC)?;
    Ok(own)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;

    use super::*;

    #[test]
    fn any_number() {
        let file = std::fs::File::open("/dev/null").unwrap();
        let own = inherited(file.as_raw_fd()).unwrap();
        assert_ne!(own.as_raw_fd(), file.as_raw_fd());
        for number in [-1, RawFd::MIN, RawFd::MAX] {
            assert_eq!(inherited(number).unwrap_err().raw_os_error(), Some(9), "{number}");
        }
    }
}
