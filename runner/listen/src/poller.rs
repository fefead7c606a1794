// SPDX-License-Identifier: MIT
//! The thread that waits for all sockets: it accepts connections, gives those that are ready to the
//! workers, and closes those whose time is over.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{SocketFlags, sockopt};

use crate::connection::{Connection, Slot};
use crate::listener::Listener;
use crate::pool::Pool;
use crate::response::Response;

/// How many connections beyond the limit may wait for their 503 at once.
const MAX_REFUSED: usize = 16;

/// Connections that are accepted before others are looked at.
const MAX_ACCEPTED: usize = 16;

/// How long nothing is accepted if the process has no descriptors left: the socket remains readable.
const PAUSE: Duration = Duration::from_millis(100);

/// The state of the thread.
#[derive(Debug)]
pub(crate) struct Poller {
    listener: Listener,
    pool: Arc<Pool>,
    /// Connections that wait.
    waiting: Vec<Connection>,
    /// How many connections there are, here and with workers.
    count: Arc<AtomicUsize>,
    /// Nothing is accepted before.
    paused: Option<Instant>,
}

/// What is ready.
struct Ready {
    listeners: Vec<bool>,
    connections: Vec<bool>,
}

impl Poller {
    pub(crate) fn new(listener: Listener, pool: Arc<Pool>) -> Poller {
        Poller { listener, pool, waiting: Vec::new(), count: Arc::default(), paused: None }
    }

    /// Runs until the server stops.
    pub(crate) fn run(mut self) {
        while let Some(mut parked) = self.pool.take_parked() {
            let now = Instant::now();
            self.waiting.append(&mut parked);
            self.waiting.retain(|connection| connection.deadline() > now);
            self.paused = self.paused.filter(|until| *until > now);
            match self.wait(now) {
                Ok(ready) => self.dispatch(&ready),
                Err(Errno::INTR) => {}
                // Out of memory: try again.
                Err(_) => std::thread::sleep(PAUSE),
            }
        }
    }

    fn wait(&self, now: Instant) -> rustix::io::Result<Ready> {
        let deadlines = self.waiting.iter().map(Connection::deadline).chain(self.paused);
        let timeout = deadlines.min().and_then(|deadline| Timespec::try_from(deadline - now).ok());
        let wakes = self.pool.wakes();
        let listeners = self.listener.sockets();
        let mut polled = Vec::with_capacity(1 + listeners.len() + self.waiting.len());
        polled.push(PollFd::new(&wakes, PollFlags::IN));
        let accept = if self.paused.is_some() { PollFlags::empty() } else { PollFlags::IN };
        polled.extend(listeners.iter().map(|socket| PollFd::new(socket, accept)));
        polled.extend(self.waiting.iter().map(|connection| match connection.socket() {
            Some(socket) => PollFd::from_borrowed_fd(socket, connection.interest()),
            // A worker closes it.
            None => PollFd::from_borrowed_fd(wakes, PollFlags::OUT),
        }));
        rustix::event::poll(&mut polled, timeout.as_ref())?;
        let mut ready = polled.iter().skip(1).map(|fd| !fd.revents().is_empty());
        Ok(Ready {
            listeners: ready.by_ref().take(listeners.len()).collect(),
            connections: ready.collect(),
        })
    }

    fn dispatch(&mut self, ready: &Ready) {
        // From the end, because the last one takes the place of one that is removed.
        for (at, _) in ready.connections.iter().enumerate().rev().filter(|(_, ready)| **ready) {
            self.pool.push(self.waiting.swap_remove(at));
        }
        for (at, _) in ready.listeners.iter().enumerate().filter(|(_, ready)| **ready) {
            for _ in 0..MAX_ACCEPTED {
                let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
                match rustix::net::acceptfrom_with(&self.listener.sockets()[at], flags) {
                    Ok((socket, peer)) => self.admit(socket, peer),
                    Err(Errno::AGAIN) => break,
                    // Of the client that gave up (accept(2)).
                    Err(Errno::INTR | Errno::CONNABORTED | Errno::PROTO) => {}
                    Err(_) => {
                        self.paused = Some(Instant::now() + PAUSE);
                        return;
                    }
                }
            }
        }
    }

    /// Takes a connection, or says that there are too many.
    fn admit(&mut self, socket: OwnedFd, peer: Option<rustix::net::SocketAddrAny>) {
        let config = &self.pool.service().config;
        let (slot, others) = Slot::take(&self.count);
        if others >= config.max_connections.saturating_add(MAX_REFUSED) {
            return;
        }
        let peer = peer.and_then(|peer| std::net::SocketAddr::try_from(peer).ok());
        if peer.is_some() {
            // A response is written at once; without it the end would wait for the client.
            let _ = sockopt::set_tcp_nodelay(&socket, true);
        }
        let mut connection = Connection::new(socket, peer, slot, config.head_timeout);
        if others < config.max_connections {
            self.waiting.push(connection);
        } else if !config.web.as_ref().is_some_and(crate::web::WebConfig::uses_tls) {
            connection.refuse(Response::text(503, "too many connections\n"));
            self.waiting.push(connection);
        }
    }
}
