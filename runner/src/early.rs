// SPDX-License-Identifier: MIT
//! Signals before anything is traced. They are blocked, so that none ends ecli between attaching and
//! detaching; but to read, to verify and to load a package can take seconds, and then there is
//! nothing to detach: a signal ends ecli at once.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::JoinHandle;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};

use crate::sys::Signals;

/// Ends this process when a signal comes, until it is dropped.
#[derive(Debug)]
pub(crate) struct Early {
    stop: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Early {
    /// Watches signals that were caught.
    ///
    /// # Errors
    /// When there is no descriptor, or no thread, for that.
    pub(crate) fn watch(signals: &Signals) -> io::Result<Early> {
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC)?);
        let (signals, stopped) = (signals.try_clone()?, Arc::clone(&stop));
        let watch = move || {
            loop {
                let mut fds =
                    [PollFd::new(&*stopped, PollFlags::IN), PollFd::new(&signals, PollFlags::IN)];
                if poll(&mut fds, None).is_err() {
                    continue;
                }
                if !fds[0].revents().is_empty() {
                    return;
                }
                if let Some(number) = signals.next() {
                    std::process::exit(128 + number);
                }
            }
        };
        let thread = std::thread::Builder::new().name("early".into()).spawn(watch)?;
        Ok(Early { stop, thread: Some(thread) })
    }
}

impl Drop for Early {
    fn drop(&mut self) {
        let _ = rustix::io::write(&*self.stop, &1u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
