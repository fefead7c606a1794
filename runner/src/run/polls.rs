// SPDX-License-Identifier: MIT
//! What the loop of a run sleeps on: groups of descriptors.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};

use crate::failure::{self, Failure};
use crate::os;

/// What ended a sleep.
#[derive(Debug, Default)]
pub(super) struct Wake {
    /// A signal that ends the run has come.
    pub(super) signal: bool,
    /// A reading is asked for.
    pub(super) asks: bool,
    /// The readings' thread has something.
    pub(super) readings: bool,
    /// A buffer has something.
    pub(super) buffers: bool,
    /// A reader of an output has gone.
    pub(super) gone: bool,
    /// The command has ended.
    pub(super) command: bool,
    /// Keys were pressed.
    pub(super) keys: bool,
    /// The terminal has another size.
    pub(super) size: bool,
}

/// Groups of descriptors, in the order in which they were added.
#[derive(Debug, Default)]
pub(super) struct Polls<'f> {
    fds: Vec<PollFd<'f>>,
    /// Behind each group.
    ends: Vec<usize>,
}

impl<'f> Polls<'f> {
    /// Adds a group, which may have none; its number.
    pub(super) fn add(&mut self, fds: impl IntoIterator<Item = PollFd<'f>>) -> usize {
        self.fds.extend(fds);
        self.ends.push(self.fds.len());
        self.ends.len() - 1
    }

    /// Adds a group of what is to be read.
    pub(super) fn add_reads(&mut self, fds: impl IntoIterator<Item = BorrowedFd<'f>>) -> usize {
        self.add(fds.into_iter().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)))
    }

    /// Sleeps until something happens, or the time is over; false where a signal ended that.
    ///
    /// # Errors
    /// As of poll(2).
    pub(super) fn wait(&mut self, timeout: Option<Duration>) -> Result<bool, Failure> {
        match poll(&mut self.fds, timeout.map(os::timespec).as_ref()) {
            Ok(_) => Ok(true),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(failure::system("cannot wait for data")(error)),
        }
    }

    /// Whether something has happened in a group.
    pub(super) fn is_ready(&self, group: usize) -> bool {
        self.group(group).iter().any(|fd| !fd.revents().is_empty())
    }

    /// Whose other side has gone, of a group.
    pub(super) fn are_gone(&self, group: usize) -> Vec<bool> {
        let gone = |fd: &PollFd<'_>| fd.revents().intersects(PollFlags::ERR | PollFlags::HUP);
        self.group(group).iter().map(gone).collect()
    }

    fn group(&self, group: usize) -> &[PollFd<'f>] {
        let begin = group.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.fds[begin..self.ends[group]]
    }
}
