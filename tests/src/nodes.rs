// SPDX-License-Identifier: MIT
//! Simulated nodes: a recorded scrape with other numbers for each node, served at as many paths.

use std::net::SocketAddr;

use bpfpack_listen::{
    Activation, Address, Config, Listener, LocalAddress, Request, Response, Server,
};

use crate::servers::Job;

/// A scrape in the text format.
#[derive(Debug, Clone)]
pub struct Recorded(Vec<Line>);

#[derive(Debug, Clone)]
enum Line {
    /// A comment, or a sample that may shrink.
    Fixed(String),
    /// A sample that only grows: its name with its labels, and its value.
    Growing(String, f64),
}

impl Recorded {
    /// Reads the text of a scrape.
    #[must_use]
    #[track_caller]
    pub fn read(text: &str) -> Recorded {
        let mut grows = false;
        let line = |line: &str| {
            if line.starts_with("# TYPE ") {
                grows = line.ends_with(" counter") || line.ends_with(" histogram");
            }
            if line.starts_with('#') || !grows {
                return Line::Fixed(line.to_owned());
            }
            let (name, value) = line.rsplit_once(' ').unwrap();
            Line::Growing(name.to_owned(), value.parse().unwrap())
        };
        Recorded(text.lines().map(line).collect())
    }

    /// The number of samples.
    #[must_use]
    pub fn samples(&self) -> usize {
        let is_sample = |line: &&Line| !matches!(line, Line::Fixed(text) if text.starts_with('#'));
        self.0.iter().filter(is_sample).count()
    }

    /// The same scrape with other values of what only grows.
    #[must_use]
    pub fn with(&self, change: impl Fn(&str, f64) -> f64) -> String {
        let mut text = String::new();
        for line in &self.0 {
            match line {
                Line::Fixed(line) => text.push_str(line),
                Line::Growing(name, value) => {
                    text.push_str(&format!("{name} {}", change(name, *value)));
                }
            }
            text.push('\n');
        }
        text
    }
}

/// Simulated nodes. They end when this is dropped.
#[derive(Debug)]
pub struct Nodes {
    server: Server,
}

impl Nodes {
    /// Serves bodies: that of the node N at `/N`.
    #[must_use]
    #[track_caller]
    pub fn serve(body: impl Fn(usize) -> String + Send + Sync + 'static) -> Nodes {
        let address: Address = "127.0.0.1:0".parse().unwrap();
        let listener = Listener::bind(&address, &Activation::none()).unwrap();
        // Prometheus keeps a connection for each target.
        let config = Config { max_connections: 2000, ..Config::default() };
        let answer = move |request: &Request| match request.path()[1..].parse() {
            Ok(node) => Response::new(200, "text/plain; version=0.0.4", body(node)),
            Err(_) => Response::text(404, "no node\n"),
        };
        Nodes { server: Server::start(listener, config, answer).unwrap() }
    }

    fn address(&self) -> SocketAddr {
        match &self.server.addresses()[0] {
            LocalAddress::Tcp(address) => *address,
            LocalAddress::Unix(path) => panic!("{} has no address", path.display()),
        }
    }

    /// A job that scrapes some of the nodes.
    #[must_use]
    pub fn job(&self, name: &str, nodes: std::ops::Range<usize>) -> Job {
        let target = |node| (format!("node-{node}"), self.address(), format!("/{node}"));
        Job { name: name.to_owned(), targets: nodes.map(target).collect() }
    }
}
