// SPDX-License-Identifier: MIT
//! Programs that no event calls: iterators, which run when they are read, and `syscall` programs,
//! which user space calls.

use std::os::fd::{BorrowedFd, OwnedFd};

/// A program that ecli calls at each interval.
#[derive(Debug)]
pub(crate) struct Called {
    /// Its name.
    pub(crate) name: String,
    /// How it is called.
    pub(crate) how: How,
}

/// How a program is called.
#[derive(Debug)]
pub(crate) enum How {
    /// By reading an iterator, which its link creates.
    Walk(OwnedFd),
    /// By `BPF_PROG_TEST_RUN`.
    Call(OwnedFd),
}

impl Called {
    pub(super) fn walk(name: &str, link: BorrowedFd<'_>) -> std::io::Result<Called> {
        Ok(Called { name: name.to_owned(), how: How::Walk(link.try_clone_to_owned()?) })
    }

    pub(super) fn call(name: &str, program: BorrowedFd<'_>) -> std::io::Result<Called> {
        Ok(Called { name: name.to_owned(), how: How::Call(program.try_clone_to_owned()?) })
    }
}
