// SPDX-License-Identifier: MIT
//! The destination of rendered bytes: standard output, or a file. Only this module writes there.
//!
//! A slow reader of a pipe or terminal must not block ecli. Writes do not block, and bytes that do
//! not fit wait here, up to [`ROOM`]. Beyond that, ecli stops reading from the kernel, whose
//! buffers then fill up and count their losses.

use std::fs::File;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::SendFlags;

use crate::failure::{self, Failure, exit_code};
use crate::os::timespec;
use crate::sys::Signals;
use crate::talk::Talk;

/// Bytes that may wait for a slow reader before rendering stops.
const ROOM: usize = 4 << 20;

/// Number of bytes for which a write is worthwhile.
const WORTH: usize = 128 << 10;

/// How long a reader may be slow before the user is told.
const PATIENCE: Duration = Duration::from_secs(1);

/// The size to which a pipe grows if its reader is too slow for the default of 64 KB. Any user may
/// request this size.
const PIPE: usize = 1 << 20;

/// A destination of rendered bytes.
#[derive(Debug)]
pub(crate) struct Sink {
    file: File,
    /// The name in messages.
    name: String,
    /// Whether a write returns if the reader is slow.
    never_blocks: bool,
    is_pipe: bool,
    is_socket: bool,
    /// Rendered bytes; the first `written` of them are written.
    pub(crate) bytes: Vec<u8>,
    written: usize,
    /// Whether the reader was slow at the last write.
    is_full: bool,
}

/// Whether the reader is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReaderState {
    /// It is.
    There,
    /// It has closed the pipe.
    Gone,
}

/// How waiting for a slow reader ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// All was written.
    All,
    /// The reader has gone.
    Gone,
    /// A signal arrived or the time ran out while the reader took nothing.
    GivenUp,
}

impl Sink {
    /// Opens and truncates a file, or opens standard output.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written.
    pub(crate) fn open(path: Option<&PathBuf>) -> Result<Sink, Failure> {
        let (file, name) = match path {
            Some(path) => {
                // With `O_NONBLOCK`, opening a pipe without a reader is an error instead of a wait.
                let mut options = File::options();
                options.write(true).create(true).truncate(true).custom_flags(libc::O_NONBLOCK);
                (options.open(path), format!("`{}`", path.display()))
            }
            None => {
                let stdout = io::stdout().as_fd().try_clone_to_owned();
                (stdout.map(File::from), "the output".to_owned())
            }
        };
        let file = file
            .with_context(|| format!("cannot write {name}"))
            .map_err(|error| Failure::new(exit_code::OUTPUT, error))?;
        let is_pipe = file.metadata().is_ok_and(|metadata| metadata.file_type().is_fifo());
        // `O_NONBLOCK` belongs to the open file description, which other processes share, so open
        // it again.
        let own = (is_pipe || file.is_terminal()).then(|| {
            use std::os::fd::AsRawFd as _;
            let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
            let path = format!("/proc/self/fd/{}", file.as_raw_fd());
            File::options().write(true).custom_flags(flags).open(path).ok()
        });
        let own = own.flatten();
        let is_socket = file.metadata().is_ok_and(|metadata| metadata.file_type().is_socket());
        let never_blocks = own.is_some() || is_socket;
        let file = own.unwrap_or(file);
        Ok(Sink {
            file,
            name,
            never_blocks,
            is_pipe,
            is_socket,
            bytes: Vec::new(),
            written: 0,
            is_full: false,
        })
    }

    /// The socket of a client.
    pub(crate) fn of_socket(socket: UnixStream) -> Sink {
        Sink {
            file: File::from(OwnedFd::from(socket)),
            name: "a client".to_owned(),
            never_blocks: true,
            is_pipe: false,
            is_socket: true,
            bytes: Vec::new(),
            written: 0,
            is_full: false,
        }
    }

    /// The file, and the bytes that are not written yet.
    pub(super) fn into_rest(self) -> (File, Vec<u8>) {
        let rest = self.bytes.get(self.written..).unwrap_or_default().to_vec();
        (self.file, rest)
    }

    /// Whether the destination is a terminal.
    pub(crate) fn is_terminal(&self) -> bool {
        self.file.is_terminal()
    }

    /// The name in messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Device and inode of a regular file.
    pub(crate) fn file(&self) -> Option<(u64, u64)> {
        let metadata = self.file.metadata().ok().filter(|metadata| metadata.is_file())?;
        Some((metadata.dev(), metadata.ino()))
    }

    /// Bytes that are not written yet.
    pub(crate) fn left(&self) -> usize {
        self.bytes.len() - self.written
    }

    /// Whether there is room for more.
    pub(crate) fn has_room(&self) -> bool {
        self.left() < ROOM
    }

    /// Whether there are enough bytes for a write to be worthwhile.
    pub(crate) fn is_worth(&self) -> bool {
        self.left() >= WORTH
    }

    /// What to poll for: room to write, if the reader was slow.
    pub(crate) fn waits_for(&self) -> (BorrowedFd<'_>, PollFlags) {
        (self.file.as_fd(), if self.is_full { PollFlags::OUT } else { PollFlags::empty() })
    }

    /// Writes until at most `rest` bytes are left. It waits for a slow reader until a signal
    /// arrives or `until` is reached.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written.
    pub(crate) fn write_all(
        &mut self,
        rest: usize,
        until: Option<Instant>,
        signals: &Signals,
        talk: &Talk,
    ) -> Result<Written, Failure> {
        let mut was_reported = false;
        loop {
            if self.flush()? == ReaderState::Gone {
                return Ok(Written::Gone);
            }
            if self.left() <= rest {
                return Ok(Written::All);
            }
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(Written::GivenUp);
            }
            let time = left.into_iter().chain((!was_reported).then_some(PATIENCE)).min();
            let (sink, for_sink) = self.waits_for();
            let mut fds =
                [PollFd::new(signals, PollFlags::IN), PollFd::from_borrowed_fd(sink, for_sink)];
            match poll(&mut fds, time.map(timespec).as_ref()) {
                Ok(0) if left.is_none() => {
                    was_reported = true;
                    talk.note("waiting for the reader of the output; Ctrl-C gives up");
                }
                Ok(_) if !fds[0].revents().is_empty() => return Ok(Written::GivenUp),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(failure::system("cannot wait for the output")(error)),
            }
        }
    }

    /// Writes what it can without waiting for the reader.
    pub(crate) fn flush(&mut self) -> Result<ReaderState, Failure> {
        self.is_full = false;
        while self.written < self.bytes.len() {
            let rest = &self.bytes[self.written..];
            let result = match self.is_socket {
                // Standard output of a service may be a socket. It cannot be opened again, so each
                // call requests a write that does not block.
                true => {
                    rustix::net::send(&self.file, rest, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)
                        .map_err(io::Error::from)
                }
                false => self.file.write(rest),
            };
            match result {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && self.never_blocks => {
                    self.is_full = true;
                    if self.is_pipe {
                        // Try only once, whether it succeeds or not.
                        self.is_pipe = false;
                        let _ = rustix::pipe::fcntl_setpipe_size(&self.file, PIPE);
                        continue;
                    }
                    break;
                }
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
                    ) =>
                {
                    return Ok(ReaderState::Gone);
                }
                Err(error) => {
                    let error = anyhow::Error::new(error);
                    let error = error.context(format!("cannot write {}", self.name));
                    return Err(Failure::new(exit_code::OUTPUT, error));
                }
            }
        }
        if self.written == self.bytes.len() {
            self.bytes.clear();
            self.written = 0;
            self.is_full = false;
        } else if self.written > self.bytes.len() / 2 {
            self.bytes.drain(..self.written);
            self.written = 0;
        }
        Ok(ReaderState::There)
    }
}

/// Writes a text to standard output, however slow its reader is. A closed pipe is not an error.
///
/// # Errors
/// Returns an error if it cannot be written, as on a full disk.
pub(crate) fn print(text: &[u8]) -> Result<(), Failure> {
    let mut sink = Sink::open(None)?;
    sink.bytes.extend_from_slice(text);
    while sink.flush()? == ReaderState::There && sink.left() > 0 {
        let _ = poll(&mut [PollFd::new(&sink.file, PollFlags::OUT)], None);
    }
    Ok(())
}
