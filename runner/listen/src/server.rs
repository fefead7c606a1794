// SPDX-License-Identifier: MIT
//! A running server.

use std::io;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use crate::listener::{Listener, LocalAddress};
use crate::poller::Poller;
use crate::pool::Pool;
use crate::request::Request;
use crate::response::Response;
use crate::service::{Config, Service};

/// A running server. It stops when it is dropped.
#[derive(Debug)]
pub struct Server {
    addresses: Vec<LocalAddress>,
    pool: Arc<Pool>,
    threads: Vec<JoinHandle<()>>,
}

impl Server {
    /// Answers the requests of GET and HEAD at `listener`. `handler` is called by several threads;
    /// the others go on while one of them is in it.
    ///
    /// The new threads have the signal mask of this one.
    ///
    /// # Errors
    /// Returns an error if the threads cannot be started.
    pub fn start(
        listener: Listener,
        config: Config,
        handler: impl Fn(&Request) -> Response + Send + Sync + 'static,
    ) -> io::Result<Server> {
        Server::start_service(listener, Service { config, handler: Box::new(handler) })
    }

    /// Not generic, so it is compiled once and as this crate is.
    fn start_service(listener: Listener, service: Service) -> io::Result<Server> {
        let workers = service.config.workers.max(1);
        let addresses = listener.addresses().to_vec();
        let pool = Arc::new(Pool::new(service)?);
        // Dropping it stops the threads that were started before a failure.
        let mut server = Server { addresses, pool: Arc::clone(&pool), threads: Vec::new() };
        for _ in 0..workers {
            let pool = Arc::clone(&pool);
            server.spawn("http-worker", move || pool.work())?;
        }
        let poller = Poller::new(listener, pool);
        server.spawn("http-poller", move || poller.run())?;
        Ok(server)
    }

    fn spawn(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.threads.push(Builder::new().name(name.to_owned()).spawn(run)?);
        Ok(())
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> &[LocalAddress] {
        &self.addresses
    }

    /// Closes all sockets, and waits for the threads: for the handlers that run, and a password
    /// that is being checked, but not for clients.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.pool.stop();
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
