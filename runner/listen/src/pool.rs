// SPDX-License-Identifier: MIT
//! The workers, and the connections that need one.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use rustix::event::EventfdFlags;

use crate::connection::{Connection, Next};
use crate::service::Service;

/// What workers and the poller share.
#[derive(Debug)]
pub(crate) struct Pool {
    service: Service,
    queue: Mutex<Queue>,
    /// That something is in the queue, or the server stops.
    changed: Condvar,
    /// Wakes the poller.
    wake: OwnedFd,
}

#[derive(Debug, Default)]
struct Queue {
    ready: VecDeque<Connection>,
    /// Connections whose passwords have to be checked. One worker at a time does that, in their
    /// order; the others remain for clients whose passwords are known. So clients that guess
    /// passwords cost one CPU at most.
    unverified: VecDeque<Connection>,
    is_verifying: bool,
    /// Connections that wait for their sockets, for the poller.
    parked: Vec<Connection>,
    is_stopped: bool,
}

impl Pool {
    pub(crate) fn new(service: Service) -> rustix::io::Result<Pool> {
        let wake = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Pool { service, queue: Mutex::default(), changed: Condvar::new(), wake })
    }

    pub(crate) fn service(&self) -> &Service {
        &self.service
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a connection to a worker.
    pub(crate) fn push(&self, connection: Connection) {
        self.queue().ready.push_back(connection);
        self.changed.notify_one();
    }

    /// Makes all threads end.
    pub(crate) fn stop(&self) {
        self.queue().is_stopped = true;
        self.changed.notify_all();
        self.wake();
    }

    /// Readable when connections were parked, or the server stops.
    pub(crate) fn wakes(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// The connections that workers gave back; `None` when the server stops.
    pub(crate) fn take_parked(&self) -> Option<Vec<Connection>> {
        // It fails if nothing was written; look anyway.
        let _ = rustix::io::read(&self.wake, &mut [0; 8]);
        // Only now: what was read may have been the wake-up of a stop, and there is no other one.
        let mut queue = self.queue();
        (!queue.is_stopped).then(|| std::mem::take(&mut queue.parked))
    }

    fn park(&self, connection: Connection) {
        self.queue().parked.push(connection);
        self.wake();
    }

    fn wake(&self) {
        // It fails if the counter is full, and so readable.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    /// What a worker does until the server stops.
    pub(crate) fn work(&self) {
        while let Some(mut connection) = self.next() {
            match connection.advance(&self.service) {
                Next::Wait => self.park(connection),
                Next::Again => self.push(connection),
                Next::Verify => self.verify(connection),
                Next::Close => {}
            }
        }
    }

    fn next(&self) -> Option<Connection> {
        let mut queue = self.queue();
        loop {
            if queue.is_stopped {
                return None;
            }
            if let Some(connection) = queue.ready.pop_front() {
                return Some(connection);
            }
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Checks passwords, if no other worker does.
    fn verify(&self, mut connection: Connection) {
        let mut queue = self.queue();
        if queue.is_verifying {
            queue.unverified.push_back(connection);
            return;
        }
        queue.is_verifying = true;
        loop {
            drop(queue);
            connection.verify(&self.service);
            self.push(connection);
            queue = self.queue();
            match queue.unverified.pop_front() {
                Some(next) if !queue.is_stopped => connection = next,
                _ => break,
            }
        }
        queue.is_verifying = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Response};

    #[test]
    fn a_stop_is_not_forgotten_with_its_wake_up() {
        let handler = Box::new(|_: &_| Response::text(200, ""));
        let pool = Pool::new(Service { config: Config::default(), handler }).unwrap();
        assert!(pool.take_parked().is_some());
        pool.stop();
        assert!(pool.take_parked().is_none());
        assert!(pool.take_parked().is_none(), "the wake-up was read");
        assert!(pool.next().is_none());
    }
}
