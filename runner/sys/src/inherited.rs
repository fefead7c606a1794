// SPDX-License-Identifier: MIT
//! Descriptors that the process has inherited, and knows by their numbers only.

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};

/// Duplicates an inherited descriptor, such as those that systemd passes. The inherited one
/// remains open until the process ends, because something else could own it; the processes that this
/// one executes do not get it.
///
/// # Errors
/// Returns `EBADF` if it is not open.
pub fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: fcntl accepts any number, and closes no descriptor that somebody owns.
    let copy = unsafe {
        libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC);
        libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3)
    };
    if copy < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: fcntl has just created this descriptor, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
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
