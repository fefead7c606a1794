// SPDX-License-Identifier: MIT
//! A server on this machine for tests: a function answers each request.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A request as it arrived.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// `GET /path`.
    pub(crate) line: String,
    /// In lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// A server that ends with the test.
#[derive(Debug)]
pub(crate) struct Server {
    port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// The bytes of an answer.
pub(crate) fn answer(status: u16, headers: &[&str], body: &[u8]) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {status} X\r\nConnection: close\r\n");
    if !headers.iter().any(|header| header.starts_with("Content-Length")) {
        text += &format!("Content-Length: {}\r\n", body.len());
    }
    headers.iter().for_each(|header| text += &format!("{header}\r\n"));
    [text.as_bytes(), b"\r\n", body].concat()
}

impl Server {
    /// Starts a server. `answers` gets each request and the port.
    pub(crate) fn start(answers: impl Fn(&Seen, u16) -> Vec<u8> + Send + 'static) -> Server {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let shared = seen.clone();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let request = read(&stream);
                shared.lock().unwrap().push(request.clone());
                // The client may end the connection early, which is often what is tested.
                let _ = stream.write_all(&answers(&request, port));
            }
        });
        Server { port, seen }
    }

    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.host())
    }

    /// The requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The lines of the requests so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.line).collect()
    }
}

fn read(stream: &TcpStream) -> Seen {
    let mut lines = BufReader::new(stream);
    let mut seen = Seen::default();
    let mut line = String::new();
    while lines.read_line(&mut line).is_ok_and(|len| len > 2) {
        match line.trim_end().split_once(": ") {
            Some((name, value)) if !seen.line.is_empty() => {
                seen.headers.push((name.to_lowercase(), value.to_owned()));
            }
            _ => seen.line = line.trim_end().trim_end_matches(" HTTP/1.1").to_owned(),
        }
        line.clear();
    }
    let length = seen.header("content-length").and_then(|length| length.parse().ok());
    seen.body = vec![0; length.unwrap_or(0)];
    let _ = lines.read_exact(&mut seen.body);
    seen
}
