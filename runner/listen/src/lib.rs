// SPDX-License-Identifier: MIT
//! The HTTP server from which metrics are scraped: small, blocking, and bounded in all that a client
//! can make it use.
//!
//! ```
//! use bpfpack_listen::{Activation, Address, Config, Listener, Response, Server};
//!
//! let address: Address = "127.0.0.1:0".parse()?;
//! let listener = Listener::bind(&address, &Activation::none())?;
//! let server = Server::start(listener, Config::default(), |request| match request.path() {
//!     "/metrics" => Response::new(200, "text/plain; version=0.0.4", "up 1\n"),
//!     _ => Response::text(404, "see /metrics\n"),
//! })?;
//! println!("listening at {}", server.addresses()[0]);
//! server.stop();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! One thread waits for all sockets by poll(2); a few workers do what a connection has to do until
//! it would block, and give it back. So no client, however slow, holds a worker, and a server
//! without requests uses no CPU time. [`Config`] has the limits, and [`WebConfig`] reads the *web
//! configuration file* of Prometheus exporters: TLS, certificates of clients, and users with
//! passwords.
//!
//! This crate knows neither metrics nor the kernel's BPF. It does not write to standard error, and
//! keeps no state outside of its values.
#![forbid(unsafe_code)]

mod activation;
mod address;
mod auth;
mod connection;
mod date;
mod error;
#[cfg(fuzzing)]
pub mod fuzzing;
mod listener;
mod poller;
mod pool;
mod request;
mod response;
mod server;
mod service;
mod transport;
mod web;

pub use activation::Activation;
pub use address::{Address, BadAddress};
pub use error::ListenError;
pub use listener::{Listener, LocalAddress};
pub use request::{BadRequest, MAX_HEAD, Method, Request, parse_head};
pub use response::Response;
pub use server::Server;
pub use service::Config;
pub use web::{WebConfig, WebError};
