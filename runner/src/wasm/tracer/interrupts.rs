// SPDX-License-Identifier: MIT
//! Signals for a module that may ignore them. The module is told once, when it waits. Half a second
//! later, or with the next signal, it is ended wherever it is, because running code checks the
//! engine's epoch.
//!
//! A thread reads the signals and turns them into two events, each of which stays set.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};

use crate::os::timespec;
use crate::sys::Signals;

/// How long a module may run after the first signal.
const GRACE: Duration = Duration::from_millis(500);

/// An event that happens at most once.
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
        // The counter has room for it.
        let _ = rustix::io::write(&self.fd, &1u64.to_ne_bytes());
    }

    fn has_been(&self) -> bool {
        self.has_been.load(Ordering::Acquire)
    }
}

#[derive(Debug)]
struct Shared {
    /// The first signal has arrived.
    asked: Event,
    /// The module's time is over.
    over: Event,
    /// Whether a second signal has arrived.
    is_urgent: AtomicBool,
    /// The thread has to stop.
    stop: Event,
}

/// Watches signals.
#[derive(Debug)]
pub(super) struct Interrupts {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Interrupts {
    /// Starts watching; `end` makes running code check whether its time is over.
    ///
    /// # Errors
    /// Returns an error if a thread or a descriptor cannot be created.
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

    /// Whether a signal has arrived.
    pub(super) fn has_come(&self) -> bool {
        self.shared.asked.has_been()
    }

    /// Whether the module's time is over.
    pub(super) fn is_over(&self) -> bool {
        self.shared.over.has_been()
    }

    /// Whether a second signal has arrived.
    pub(super) fn is_urgent(&self) -> bool {
        self.shared.is_urgent.load(Ordering::Acquire)
    }

    /// A descriptor that is readable after the first signal.
    pub(super) fn first(&self) -> BorrowedFd<'_> {
        self.shared.asked.fd.as_fd()
    }

    /// A descriptor that is readable after the end of the module's time.
    pub(super) fn last(&self) -> BorrowedFd<'_> {
        self.shared.over.fd.as_fd()
    }

    /// Stops reading signals, so that others can.
    pub(super) fn stop(&mut self) {
        self.shared.stop.happen();
        if let Some(thread) = self.thread.take() {
            // The thread cannot panic, and its result does not matter.
            let _ = thread.join();
        }
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Waits for a signal. Returns false if the time is over or `stop` happened first.
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
            // If signals cannot be read, they could not end the module, so end it now.
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
        let signals = Signals::of_descriptor(fd.try_clone().unwrap());
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
            Interrupts::watch(&Signals::of_descriptor(fd), move || sender.send(()).unwrap())
                .unwrap();
        ended.recv_timeout(Duration::from_secs(10)).unwrap();
        assert!(begin.elapsed() >= GRACE);
        assert!(interrupts.is_over() && !interrupts.is_urgent());
    }

    #[test]
    fn stops_at_once() {
        let fd = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).unwrap();
        let interrupts = Interrupts::watch(&Signals::of_descriptor(fd), || ()).unwrap();
        drop(interrupts);
    }
}
