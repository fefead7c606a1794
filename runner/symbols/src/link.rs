// SPDX-License-Identifier: MIT
//! The connection to a worker: its process, and the messages on their way.

use std::collections::VecDeque;
use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Child;
use std::time::Instant;

use super::frame::CodeAddress;
use super::wire::{self, Reply};

/// A connection to a worker that runs.
#[derive(Debug)]
pub(crate) struct Link {
    pub stream: UnixStream,
    /// None in tests, whose worker is a thread.
    child: Option<Child>,
    pub next: u32,
    /// Questions without an answer, oldest first: they are answered in order.
    pub pending: VecDeque<Pending>,
    /// When the oldest of them began to be worked on.
    pub since: Instant,
    /// What was read of an answer.
    input: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Pending {
    pub id: u32,
    pub pid: u32,
    pub places: Vec<CodeAddress>,
}

impl Link {
    /// Nothing was asked yet.
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

    /// The next answer, if all of it is there.
    ///
    /// # Errors
    /// When the worker has ended, or its answer is none.
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

    /// Ends the worker. Returns the signal that ended it before, if one did.
    pub(crate) fn end(&mut self) -> Option<i32> {
        let child = self.child.as_mut()?;
        let ended = child.try_wait().ok().flatten();
        if ended.is_none() {
            // It cannot refuse; where a file of another machine holds it, it is gone later.
            let _ = child.kill();
            let _ = child.try_wait();
        }
        ended?.signal()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // Left alone, it would be a zombie as long as ecli runs.
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.try_wait();
        }
    }
}
