// SPDX-License-Identifier: MIT
//! A small HTTP server for downloads, which also plays registries that lie: each path has answers
//! that the test chooses.

use std::collections::{HashMap, VecDeque};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// An answer.
#[derive(Debug, Clone)]
pub enum Answer {
    /// These bytes.
    Bytes(Vec<u8>),
    /// Go there.
    Redirect(String),
    /// Bytes without an end.
    Endless,
    /// A part of what the head announces.
    Short,
    /// A status, headers such as `A: b`, and a body.
    Full(u16, Vec<String>, Vec<u8>),
}

/// A request that was received.
#[derive(Debug, Clone)]
pub struct Request {
    /// Path and query.
    pub path: String,
    /// As they were sent.
    pub headers: Vec<String>,
    /// Of a request that has one.
    pub body: Vec<u8>,
}

impl Request {
    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find_map(|header| {
            let (found, value) = header.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

#[derive(Debug, Default)]
struct State {
    /// For each path, the answers to come, of which the last one stays.
    answers: Mutex<HashMap<String, VecDeque<Answer>>>,
    requests: Mutex<Vec<Request>>,
}

/// A server on a port of its own. It ends with the process.
#[derive(Debug)]
pub struct Server {
    host: String,
    state: Arc<State>,
}

impl Server {
    /// Starts a server without answers.
    #[must_use]
    pub fn start() -> Server {
        Server::start_at("127.0.0.1:0")
    }

    /// Starts a server at an address of this machine, `HOST:PORT`. For a client, each is another
    /// host.
    #[must_use]
    pub fn start_at(address: &str) -> Server {
        let listener = TcpListener::bind(address).unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let server = Server { host, state: Arc::default() };
        let state = Arc::clone(&server.state);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let state = Arc::clone(&state);
                // The client may go away at any time.
                std::thread::spawn(move || drop(serve(&stream.unwrap(), &state)));
            }
        });
        server
    }

    /// Answers a path from now on.
    pub fn answer(&self, path: &str, answer: Answer) {
        self.answer_in_turn(path, vec![answer]);
    }

    /// Gives each answer to one request for a path, and the last one to all others.
    pub fn answer_in_turn(&self, path: &str, answers: Vec<Answer>) {
        self.state.answers.lock().unwrap().insert(path.to_owned(), answers.into());
    }

    /// Address and port.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The URL of a path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.host)
    }

    /// The requests since the last call of this or of [`Server::asked`].
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut *self.state.requests.lock().unwrap())
    }

    /// Their paths.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.requests().into_iter().map(|request| request.path).collect()
    }
}

/// Reads the only request of a connection.
fn receive(stream: &TcpStream) -> io::Result<Request> {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let mut lines = lines.into_iter();
    let path = lines.next().and_then(|line| Some(line.split(' ').nth(1)?.to_owned()));
    let path = path.ok_or(io::ErrorKind::InvalidData)?;
    let mut request = Request { path, headers: lines.collect(), body: Vec::new() };
    let length = request.header("Content-Length").and_then(|length| length.parse().ok());
    reader.take(length.unwrap_or(0)).read_to_end(&mut request.body)?;
    Ok(request)
}

fn serve(mut stream: &TcpStream, state: &State) -> io::Result<()> {
    let request = receive(stream)?;
    let answer = state.answers.lock().unwrap().get_mut(&request.path).and_then(|answers| {
        if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() }
    });
    state.requests.lock().unwrap().push(request);
    let end = "Connection: close\r\n\r\n";
    match answer {
        None => write!(stream, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n{end}"),
        Some(Answer::Redirect(to)) => {
            write!(stream, "HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n{end}")
        }
        Some(Answer::Bytes(bytes)) => send(stream, 200, &[], &bytes),
        Some(Answer::Full(status, headers, body)) => send(stream, status, &headers, &body),
        Some(Answer::Short) => {
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n{end}{{")
        }
        Some(Answer::Endless) => {
            write!(stream, "HTTP/1.1 200 OK\r\n{end}")?;
            let zeros = vec![b' '; 1 << 16];
            loop {
                stream.write_all(&zeros)?;
            }
        }
    }
}

fn send(mut stream: &TcpStream, status: u16, headers: &[String], body: &[u8]) -> io::Result<()> {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let length = body.len();
    let end = "Connection: close\r\n\r\n";
    write!(stream, "HTTP/1.1 {status} X\r\n{headers}Content-Length: {length}\r\n{end}")?;
    stream.write_all(body)
}
