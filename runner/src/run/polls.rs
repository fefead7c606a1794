// SPDX-License-Identifier: MIT
//! Groups of descriptors on which the loop of a run sleeps.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};

use crate::failure::{self, Failure};
use crate::os;

/// What ended a sleep.
#[derive(Debug, Default)]
pub(super) struct Wake {
    /// A signal that ends the run has arrived.
    pub(super) signal: bool,
    /// A signal has requested a reading.
    pub(super) asks: bool,
    /// The readings' thread has an event.
    pub(super) readings: bool,
    /// A buffer has records.
    pub(super) buffers: bool,
    /// A reader of an output has closed it.
    pub(super) gone: bool,
    /// The command has ended.
    pub(super) command: bool,
    /// Keys were pressed.
    pub(super) keys: bool,
    /// The terminal was resized.
    pub(super) size: bool,
    /// A client asks for data.
    pub(super) client: bool,
    /// A scrape asks for metrics.
    pub(super) scrape: bool,
}

/// Groups of descriptors, in the order in which they were added.
#[derive(Debug, Default)]
pub(super) struct Polls<'f> {
    fds: Vec<PollFd<'f>>,
    /// The end index of each group.
    ends: Vec<usize>,
}

impl<'f> Polls<'f> {
    /// Adds a group, which may be empty. Returns its index.
    pub(super) fn add(&mut self, fds: impl IntoIterator<Item = PollFd<'f>>) -> usize {
        self.fds.extend(fds);
        self.ends.push(self.fds.len());
        self.ends.len() - 1
    }

    /// Adds a group of descriptors to poll for reading.
    pub(super) fn add_reads(&mut self, fds: impl IntoIterator<Item = BorrowedFd<'f>>) -> usize {
        self.add(fds.into_iter().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)))
    }

    /// Sleeps until a descriptor is ready or the timeout is over. Returns false if a signal
    /// interrupted it.
    ///
    /// # Errors
    /// Returns the error of poll(2).
    pub(super) fn wait(&mut self, timeout: Option<Duration>) -> Result<bool, Failure> {
        match poll(&mut self.fds, timeout.map(os::timespec).as_ref()) {
            Ok(_) => Ok(true),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(failure::system("cannot wait for data")(error)),
        }
    }

    /// Whether a descriptor of a group is ready.
    pub(super) fn is_ready(&self, group: usize) -> bool {
        self.group(group).iter().any(|fd| !fd.revents().is_empty())
    }

    /// For each descriptor of a group, whether its other end is closed.
    pub(super) fn are_gone(&self, group: usize) -> Vec<bool> {
        let gone = |fd: &PollFd<'_>| fd.revents().intersects(PollFlags::ERR | PollFlags::HUP);
        self.group(group).iter().map(gone).collect()
    }

    fn group(&self, group: usize) -> &[PollFd<'f>] {
        let begin = group.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.fds[begin..self.ends[group]]
    }
}
