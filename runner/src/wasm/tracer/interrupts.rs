// SPDX-License-Identifier: MIT
//! Signals, for a module that may not look at them. It is told once, where it waits; half a second
//! later, or with the next signal, it is ended, wherever it is: running code looks at the engine's
//! epoch.
//!
//! A thread reads the signals and makes two events of them, each of which stays once it has been.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};

use crate::os::timespec;
use crate::sys::Signals;

/// What a module has for its last words.
const GRACE: Duration = Duration::from_millis(500);

/// Something that has happened, or not yet.
#[derive(Debug)]
struct Event {
    fd: OwnedFd,
    has_been: AtomicBool,
}

impl Event {
    fn new() -> io::Result<Event> {
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Event { fd, has_been: AtomicBool::new(false) })
    }

    fn happen(&self) {
        self.has_been.store(true, Ordering::Release);
        // There is room for one.
        let _ = rustix::io::write(&self.fd, &1u64.to_ne_bytes());
    }

    fn has_been(&self) -> bool {
        self.has_been.load(Ordering::Acquire)
    }
}

#[derive(Debug)]
struct Shared {
    /// The first signal.
    asked: Event,
    /// The module's time is over.
    over: Event,
    /// There was a second signal.
    is_urgent: AtomicBool,
    /// The thread is not needed any more.
    stop: Event,
}

/// What signals have come.
#[derive(Debug)]
pub(super) struct Interrupts {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Interrupts {
    /// Begins to watch; `end` makes running code look whether its time is over.
    ///
    /// # Errors
    /// When the system has no room for a thread or a descriptor.
    pub(super) fn watch(
        signals: &Signals,
        end: impl Fn() + Send + 'static,
    ) -> io::Result<Interrupts> {
        let shared = Arc::new(Shared {
            asked: Event::new()?,
            over: Event::new()?,
            is_urgent: AtomicBool::new(false),
            stop: Event::new()?,
        });
        let signals = signals.try_clone()?;
        let watched = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            if !wait(&signals, &watched.stop, None) {
                return;
            }
            signals.take();
            watched.asked.happen();
            let is_urgent = wait(&signals, &watched.stop, Some(GRACE));
            watched.is_urgent.store(is_urgent, Ordering::Release);
            if !watched.stop.has_been() {
                watched.over.happen();
                end();
            }
        })?;
        Ok(Interrupts { shared, thread: Some(thread) })
    }

    /// Whether a signal has come.
    pub(super) fn has_come(&self) -> bool {
        self.shared.asked.has_been()
    }

    /// Whether the module's time is over.
    pub(super) fn is_over(&self) -> bool {
        self.shared.over.has_been()
    }

    /// Whether there was a second signal.
    pub(super) fn is_urgent(&self) -> bool {
        self.shared.is_urgent.load(Ordering::Acquire)
    }

    /// To be polled for the first signal.
    pub(super) fn first(&self) -> BorrowedFd<'_> {
        self.shared.asked.fd.as_fd()
    }

    /// To be polled for the end of the module's time.
    pub(super) fn last(&self) -> BorrowedFd<'_> {
        self.shared.over.fd.as_fd()
    }

    /// Reads no more signals: from now on they are somebody else's.
    pub(super) fn stop(&mut self) {
        self.shared.stop.happen();
        if let Some(thread) = self.thread.take() {
            // It cannot panic, and its end is all that counts.
            let _ = thread.join();
        }
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Waits for a signal; false where there was none in time, or `stop` came first.
fn wait(signals: &Signals, stop: &Event, time: Option<Duration>) -> bool {
    let deadline = time.map(|time| Instant::now() + time);
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let timeout = left.map(timespec);
        let mut fds = [PollFd::new(signals, PollFlags::IN), PollFd::new(&stop.fd, PollFlags::IN)];
        match poll(&mut fds, timeout.as_ref()) {
            Ok(0) => return false,
            Ok(_) => return fds[1].revents().is_empty() && !fds[0].revents().is_empty(),
            Err(rustix::io::Errno::INTR) => {}
            // Without it the module could not be ended by a signal: better it ends now.
            Err(_) => return true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn asked_first_and_ended_later_or_by_the_next_signal() {
        let fd = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).unwrap();
        let signals = Signals::fake(fd.try_clone().unwrap());
        let (sender, ended) = channel();
        let interrupts = Interrupts::watch(&signals, move || sender.send(()).unwrap()).unwrap();
        assert!(!interrupts.has_come() && !interrupts.is_over());
        rustix::io::write(&fd, &1u64.to_ne_bytes()).unwrap();
        let mut fds = [PollFd::from_borrowed_fd(interrupts.first(), PollFlags::IN)];
        assert_eq!(poll(&mut fds, Some(&timespec(Duration::from_secs(10)))), Ok(1));
        assert!(interrupts.has_come() && !interrupts.is_over());
        rustix::io::write(&fd, &1u64.to_ne_bytes()).unwrap();
        ended.recv_timeout(Duration::from_secs(10)).unwrap();
        assert!(interrupts.is_over() && interrupts.is_urgent());
    }

    #[test]
    fn half_a_second_for_last_words() {
        let fd = eventfd(1, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).unwrap();
        let (sender, ended) = channel();
        let begin = Instant::now();
        let interrupts =
            Interrupts::watch(&Signals::fake(fd), move || sender.send(()).unwrap()).unwrap();
        ended.recv_timeout(Duration::from_secs(10)).unwrap();
        assert!(begin.elapsed() >= GRACE);
        assert!(interrupts.is_over() && !interrupts.is_urgent());
    }

    #[test]
    fn stops_at_once() {
        let fd = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).unwrap();
        let interrupts = Interrupts::watch(&Signals::fake(fd), || ()).unwrap();
        drop(interrupts);
    }
}
