// SPDX-License-Identifier: MIT
//! The output and the waits of a tracer module. Its standard output is ecli's, through [`Sink`],
//! which never blocks. A signal or a closed reader ends every wait.

use std::io::{self, IsTerminal as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::{Duration, Instant};

use bpfpack_schemas::printable::Pieces;
use rustix::event::{PollFd, PollFlags, poll};

use super::interrupts::Interrupts;
use crate::failure::{self, Failure};
use crate::os::timespec;
use crate::output::{ReaderState, Sink};
use crate::wasm::wasi::{Answer, Errno, Output, Streams, WasiError};

/// While records are passed to the module, output is collected for up to this time.
const GATHER: Duration = Duration::from_millis(10);

/// Bytes that a pipe or terminal accepts without blocking once it is writable.
const AT_ONCE: usize = 4096;

/// Why ecli ended a module.
#[derive(Debug)]
pub(super) enum End {
    /// By a signal.
    Signal,
    /// Nobody reads the output any more.
    Gone,
    /// A system call failed.
    Failed(Failure),
}

/// The error that ends the module's code; [`Console::end`] has the reason.
#[derive(Debug, thiserror::Error)]
#[error("the module was ended")]
pub(super) struct Ended;

/// What ended a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Woken {
    /// A descriptor is ready.
    Ready,
    /// The time is over.
    TimedOut,
}

/// The streams of a module.
#[derive(Debug)]
pub(super) struct Console {
    sink: Sink,
    /// Escapes control characters in standard output and standard error if they are terminals.
    printable: [Option<Pieces>; 2],
    interrupts: Interrupts,
    /// Whether the module has been notified of the signal.
    was_reported: bool,
    /// The nesting depth of callbacks.
    pub callbacks: usize,
    flushed: Instant,
    /// Why ecli ended the module, if it did.
    pub end: Option<End>,
}

impl Console {
    /// Makes streams that write to a sink.
    pub(super) fn new(sink: Sink, interrupts: Interrupts) -> Console {
        let pieces = |is_terminal: bool| is_terminal.then(Pieces::default);
        Console {
            printable: [pieces(sink.is_terminal()), pieces(io::stderr().is_terminal())],
            sink,
            interrupts,
            was_reported: false,
            callbacks: 0,
            flushed: Instant::now(),
            end: None,
        }
    }

    /// Returns the remaining output, the signals, and the reason for the end.
    pub(super) fn into_parts(self) -> (Sink, Interrupts, Option<End>) {
        (self.sink, self.interrupts, self.end)
    }

    /// Ends the module.
    fn ends(&mut self, end: End) -> WasiError {
        self.end.get_or_insert(end);
        WasiError::End(wasmtime::Error::new(Ended))
    }

    /// Writes what the reader accepts.
    pub(super) fn flush(&mut self) -> Answer<()> {
        if self.sink.left() == 0 {
            return Ok(());
        }
        self.flushed = Instant::now();
        match self.sink.flush() {
            Ok(ReaderState::There) => Ok(()),
            Ok(ReaderState::Gone) => Err(self.ends(End::Gone)),
            Err(failure) => Err(self.ends(End::Failed(failure))),
        }
    }

    /// Checks that the module has time left.
    pub(super) fn check_end(&mut self) -> Answer<()> {
        if self.interrupts.is_over() { Err(self.ends(End::Signal)) } else { Ok(()) }
    }

    /// Reports a signal, once.
    ///
    /// # Errors
    /// Returns [`Errno::Interrupted`] for the first signal.
    pub(super) fn check(&mut self) -> Answer<()> {
        self.check_end()?;
        if self.interrupts.has_come() && !self.was_reported {
            self.was_reported = true;
            return Err(Errno::Interrupted.into());
        }
        Ok(())
    }

    /// Waits until a descriptor is ready, or for a time.
    ///
    /// # Errors
    /// Returns [`Errno::Interrupted`] for the first signal. A module that waits again after that is
    /// ended.
    pub(super) fn wait_for(
        &mut self,
        wanted: &[BorrowedFd<'_>],
        time: Option<Duration>,
    ) -> Answer<Woken> {
        self.check()?;
        if self.was_reported {
            self.flush()?;
            return Err(self.ends(End::Signal));
        }
        let woken = self.sleep(wanted, time)?;
        self.check()?;
        Ok(woken)
    }

    /// The same, but a signal only ends the wait.
    pub(super) fn nap(&mut self, wanted: &[BorrowedFd<'_>], time: Duration) -> Answer<Woken> {
        match self.interrupts.has_come() {
            // Its descriptor stays readable and would end each nap at once.
            true => {
                self.flush()?;
                std::thread::sleep(time);
                Ok(Woken::TimedOut)
            }
            false => match self.sleep(wanted, Some(time))? {
                Woken::Ready if self.interrupts.has_come() => Ok(Woken::TimedOut),
                woken => Ok(woken),
            },
        }
    }

    fn sleep(&mut self, wanted: &[BorrowedFd<'_>], time: Option<Duration>) -> Answer<Woken> {
        // A time that overflows the clock is infinite.
        let deadline = time.and_then(|time| Instant::now().checked_add(time));
        loop {
            self.flush()?;
            let (sink, for_sink) = self.sink.waits_for();
            let mut fds = vec![
                PollFd::from_borrowed_fd(self.interrupts.first(), PollFlags::IN),
                PollFd::from_borrowed_fd(sink, for_sink),
            ];
            let wanted = wanted.iter().copied();
            fds.extend(wanted.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let result = poll(&mut fds, left.map(timespec).as_ref());
            let revents: Vec<PollFlags> = fds.iter().map(PollFd::revents).collect();
            match result {
                Ok(0) => return Ok(Woken::TimedOut),
                Ok(_) => {}
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => {
                    let failure = failure::system("cannot wait for data")(error);
                    return Err(self.ends(End::Failed(failure)));
                }
            }
            if revents[1].intersects(PollFlags::ERR | PollFlags::HUP) {
                return Err(self.ends(End::Gone));
            }
            if !revents[0].is_empty() || revents[2..].iter().any(|revents| !revents.is_empty()) {
                return Ok(Woken::Ready);
            }
        }
    }

    /// Waits until a stream is writable, as long as the module has time. The first signal does not
    /// interrupt a write.
    fn wait_to_write(&mut self, to: Output) -> Answer<()> {
        self.check_end()?;
        let stderr = io::stderr();
        let (fd, flags) = match to {
            Output::Stdout => self.sink.waits_for(),
            Output::Stderr => (stderr.as_fd(), PollFlags::OUT),
        };
        let mut fds = [
            PollFd::from_borrowed_fd(self.interrupts.last(), PollFlags::IN),
            PollFd::from_borrowed_fd(fd, flags),
        ];
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => {
                let failure = failure::system("cannot wait for the output")(error);
                Err(self.ends(End::Failed(failure)))
            }
        }
    }

    fn write_stderr(&mut self, bytes: &[u8]) -> Answer<usize> {
        let bytes = &bytes[..bytes.len().min(AT_ONCE)];
        let Some(pieces) = &mut self.printable[1] else { return self.write_some(bytes) };
        let mut safe = Vec::new();
        pieces.append(bytes, &mut safe);
        let mut rest = &safe[..];
        while !rest.is_empty() {
            rest = &rest[self.write_some(&rest[..rest.len().min(AT_ONCE)])?..];
        }
        Ok(bytes.len())
    }

    /// Writes the beginning of `bytes` to standard error. Returns the number of bytes.
    fn write_some(&mut self, bytes: &[u8]) -> Answer<usize> {
        loop {
            self.wait_to_write(Output::Stderr)?;
            match rustix::io::write(io::stderr(), bytes) {
                Ok(count) => return Ok(count),
                Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
                // As for ecli's own messages, a closed standard error does not end a trace.
                Err(_) => return Ok(bytes.len()),
            }
        }
    }
}

impl Streams for Console {
    fn write(&mut self, to: Output, bytes: &[u8]) -> Answer<usize> {
        if to == Output::Stderr {
            return self.write_stderr(bytes);
        }
        while !self.sink.has_room() {
            self.flush()?;
            if !self.sink.has_room() {
                self.wait_to_write(Output::Stdout)?;
            }
        }
        match &mut self.printable[0] {
            Some(pieces) => pieces.append(bytes, &mut self.sink.bytes),
            None => self.sink.bytes.extend(bytes),
        }
        let waits = self.callbacks > 0 && !self.sink.is_worth();
        if !waits || self.flushed.elapsed() >= GATHER {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn read(&mut self, room: &mut [u8]) -> Answer<usize> {
        let stdin = io::stdin();
        loop {
            self.wait_for(&[stdin.as_fd()], None)?;
            match rustix::io::read(&stdin, &mut *room) {
                Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
                result => return Ok(result?),
            }
        }
    }

    fn wait(&mut self, time: Option<Duration>, input: bool) -> Answer<bool> {
        let stdin = io::stdin();
        let wanted: &[BorrowedFd<'_>] = if input { &[stdin.as_fd()] } else { &[] };
        let woken = match time {
            // A check does not wait.
            Some(Duration::ZERO) => self.nap(wanted, Duration::ZERO)?,
            time => self.wait_for(wanted, time)?,
        };
        Ok(input && woken == Woken::Ready)
    }
}
