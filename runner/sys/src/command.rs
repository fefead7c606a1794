// SPDX-License-Identifier: MIT
//! Becoming another program.

use std::ffi::CString;
use std::io;

/// Replaces this process by a program with these arguments and this process's environment. In it,
/// the signals whose bits are set in `blocked` are blocked (the lowest bit is signal 1), and
/// SIGPIPE has its default action, which Rust had changed. Returns only if this fails.
pub fn exec(path: &CString, words: &[CString], blocked: u64) -> io::Error {
    let mut pointers: Vec<_> = words.iter().map(|word| word.as_ptr()).collect();
    pointers.push(std::ptr::null());
    let signals: Vec<i32> = (1..=64).filter(|signal| blocked >> (signal - 1) & 1 == 1).collect();
    let set = super::signals::set(&signals);
    // SAFETY: the set is valid; the strings are zero-terminated, and their list is null-terminated.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
        libc::execvp(path.as_ptr(), pointers.as_ptr());
    }
    io::Error::last_os_error()
}
