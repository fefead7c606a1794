// SPDX-License-Identifier: MIT
//! Scrapes metrics as Prometheus does, through a Unix socket or TCP.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use crate::Running;

/// Where metrics are served.
#[derive(Debug, Clone)]
pub enum Target {
    /// A socket in the file system.
    Unix(PathBuf),
    /// An address.
    Tcp(SocketAddr),
}

/// A response.
#[derive(Debug)]
pub struct Scraped {
    /// The status.
    pub status: u16,
    /// The lines of the head, behind the first one.
    pub head: String,
    /// The content.
    pub body: Vec<u8>,
}

impl Target {
    /// A socket in a directory.
    #[must_use]
    pub fn unix(directory: &Path) -> Target {
        Target::Unix(directory.join("metrics.sock"))
    }

    /// Where a program serves that was started with `--listen 127.0.0.1:0`.
    #[must_use]
    #[track_caller]
    pub fn of(running: &mut Running) -> Target {
        let said =
            running.read_stderr("the URL of the metrics", |said| said.contains("/metrics\n"));
        let (_, url) = said.rsplit_once("http://").unwrap();
        Target::Tcp(url.split('/').next().unwrap().parse().unwrap())
    }

    /// The address, if it has one.
    #[must_use]
    #[track_caller]
    pub fn address(&self) -> SocketAddr {
        match self {
            Target::Tcp(address) => *address,
            Target::Unix(path) => panic!("{} has no address", path.display()),
        }
    }

    /// The value of `--listen`.
    #[must_use]
    pub fn argument(&self) -> String {
        match self {
            Target::Unix(path) => format!("unix:{}", path.display()),
            Target::Tcp(address) => address.to_string(),
        }
    }

    /// Asks for a path, with more header lines that each end with `\r\n`.
    #[must_use]
    #[track_caller]
    pub fn get(&self, path: &str, headers: &str) -> Scraped {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
        match self {
            Target::Unix(path) => exchange(UnixStream::connect(path).unwrap(), &request),
            Target::Tcp(address) => exchange(TcpStream::connect(address).unwrap(), &request),
        }
    }

    /// The samples of a scrape in the text format: each name with its labels, and its value.
    #[must_use]
    #[track_caller]
    pub fn samples(&self) -> BTreeMap<String, f64> {
        let scraped = self.get("/metrics", "");
        assert_eq!(scraped.status, 200, "{}", scraped.text());
        let text = scraped.text();
        let samples = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        });
        samples.collect()
    }
}

impl Scraped {
    /// The content as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Sends a request, and reads the answer to the end of the connection.
pub(crate) fn exchange(mut stream: impl Read + Write, request: &str) -> Scraped {
    stream.write_all(request.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let (first, head) = head.split_once("\r\n").unwrap();
    let status = first.split(' ').nth(1).unwrap().parse().unwrap();
    Scraped { status, head: head.to_owned(), body: bytes[end + 4..].to_vec() }
}
