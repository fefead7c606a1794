// SPDX-License-Identifier: MIT
//! To become another program.

use std::ffi::CString;
use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};

/// A copy of a descriptor that the process was started with, by its number. The descriptor itself is
/// closed when the process becomes another program.
///
/// # Errors
/// When there is none.
pub fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: any number may be asked for; nothing that somebody owns is closed.
    let copy = unsafe {
        libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC);
        libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3)
    };
    if copy < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: fcntl just made this descriptor, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// Replaces this process by a program, which gets these words and this process's environment. The
/// signals whose bits are set in `blocked` are blocked for it, the lowest bit for signal 1; SIGPIPE
/// does what it does by default, and not what Rust has set. Returns only where that fails.
pub fn exec(path: &CString, words: &[CString], blocked: u64) -> io::Error {
    let mut pointers: Vec<_> = words.iter().map(|word| word.as_ptr()).collect();
    pointers.push(std::ptr::null());
    let signals: Vec<i32> = (1..=64).filter(|signal| blocked >> (signal - 1) & 1 == 1).collect();
    let set = super::signals::set(&signals);
    // SAFETY: the set is valid; the strings end with zeros, and their list with a null.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
        libc::execvp(path.as_ptr(), pointers.as_ptr());
    }
    io::Error::last_os_error()
}
