// SPDX-License-Identifier: MIT
//! The connection to a worker: its process, and the messages in transit.

use std::collections::VecDeque;
use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Child;
use std::time::Instant;

use super::frame::CodeAddress;
use super::wire::{self, Reply};

/// A connection to a running worker.
#[derive(Debug)]
pub(crate) struct Link {
    pub stream: UnixStream,
    /// `None` in tests, in which the worker is a thread.
    child: Option<Child>,
    pub next: u32,
    /// Requests without a response, oldest first. Responses arrive in this order.
    pub pending: VecDeque<Pending>,
    /// When the worker began to handle the oldest request.
    pub since: Instant,
    /// The received part of a response.
    input: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Pending {
    pub id: u32,
    pub pid: u32,
    pub places: Vec<CodeAddress>,
}

impl Link {
    /// A connection without requests.
    pub(crate) fn new(stream: UnixStream, child: Option<Child>) -> Link {
        Link {
            stream,
            child,
            next: 0,
            pending: VecDeque::new(),
            since: Instant::now(),
            input: Vec::new(),
        }
    }

    /// The next response, if it is complete.
    ///
    /// # Errors
    /// Returns an error if the worker has ended, or if its response is malformed.
    pub(crate) fn receive(&mut self) -> io::Result<Option<Reply>> {
        let malformed = |_| io::Error::other("it sent an unknown message");
        loop {
            let wanted = match self.input.first_chunk() {
                None => 4,
                Some(length) => 4 + wire::length(*length).map_err(malformed)?,
            };
            if wanted > 4 && self.input.len() == wanted {
                let reply = Reply::decode(&self.input[4..]).map_err(malformed)?;
                self.input.clear();
                return Ok(Some(reply));
            }
            let have = self.input.len();
            let mut bytes = [0; 16 << 10];
            let room = (wanted - have).min(bytes.len());
            match self.stream.read(&mut bytes[..room]) {
                Ok(0) => return Err(io::Error::other("it has ended")),
                Ok(count) => self.input.extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Ends the worker. Returns the signal that had ended it before, if there was one.
    pub(crate) fn end(&mut self) -> Option<i32> {
        let child = self.child.as_mut()?;
        let ended = child.try_wait().ok().flatten();
        if ended.is_none() {
            // SIGKILL cannot be refused; if a file of another machine blocks the process, it ends
            // later.
            let _ = child.kill();
            let _ = child.try_wait();
        }
        ended?.signal()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // Without this, it would stay a zombie as long as ecli runs.
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.try_wait();
        }
    }
}
