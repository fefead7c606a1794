// SPDX-License-Identifier: MIT
//! What all connections share: the limits, who may connect, and what answers.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::request::Request;
use crate::response::Response;
use crate::web::{Rules, WebConfig};

/// The limits of a server, and who may connect. The defaults are those of a process that a few
/// servers scrape.
#[derive(Debug)]
pub struct Config {
    /// Threads that answer; 4 by default, and at least one. One more waits for the sockets.
    pub workers: usize,
    /// Connections at the same time; 64 by default. Beyond that, clients get the status 503.
    pub max_connections: usize,
    /// For a request, from its first byte to the end of its head, and from a new connection to its
    /// first request; 10 seconds by default.
    pub head_timeout: Duration,
    /// For the next request on a connection; 60 seconds by default.
    pub idle_timeout: Duration,
    /// For a client to receive a response; 30 seconds by default.
    pub write_timeout: Duration,
    /// TLS and users; by default none.
    pub web: Option<WebConfig>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            workers: 4,
            max_connections: 64,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(30),
            web: None,
        }
    }
}

/// Answers requests, on several threads at the same time.
pub(crate) type Handler = dyn Fn(&Request) -> Response + Send + Sync;

/// What all connections share.
pub(crate) struct Service {
    pub(crate) config: Config,
    pub(crate) handler: Box<Handler>,
}

impl Service {
    /// The rules of now.
    pub(crate) fn rules(&self) -> Option<Arc<Rules>> {
        self.config.web.as_ref().map(WebConfig::rules)
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("config", &self.config).finish_non_exhaustive()
    }
}
