// SPDX-License-Identifier: MIT
//! Programs that nothing in the kernel calls: those that walk over something when they are read, and
//! those that are called as a system call is.

use std::os::fd::{BorrowedFd, OwnedFd};

/// A program that is called by the clock.
#[derive(Debug)]
pub(crate) struct Called {
    /// Its name.
    pub(crate) name: String,
    /// How.
    pub(crate) how: How,
}

/// How a program is called.
#[derive(Debug)]
pub(crate) enum How {
    /// It is read, by its link.
    Walk(OwnedFd),
    /// As a system call is.
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
