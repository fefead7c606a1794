// SPDX-License-Identifier: MIT
//! A small HTTP server for downloads: each path has an answer that the test chooses.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
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
}

/// A server on a port of its own. It ends with the process.
#[derive(Debug)]
pub struct Server {
    port: u16,
    answers: Arc<Mutex<HashMap<String, Answer>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Starts a server without answers.
    #[must_use]
    pub fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = Server { port, answers: Arc::default(), asked: Arc::default() };
        let (answers, asked) = (Arc::clone(&server.answers), Arc::clone(&server.asked));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (answers, asked) = (Arc::clone(&answers), Arc::clone(&asked));
                // The client may go away at any time.
                std::thread::spawn(move || drop(serve(&stream.unwrap(), &answers, &asked)));
            }
        });
        server
    }

    /// Answers a path from now on.
    pub fn answer(&self, path: &str, answer: Answer) {
        self.answers.lock().unwrap().insert(path.to_owned(), answer);
    }

    /// The URL of a path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The paths that were asked for since the last call.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

fn serve(
    mut stream: &TcpStream,
    answers: &Mutex<HashMap<String, Answer>>,
    asked: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut head = BufReader::new(stream).lines();
    let line = head.next().transpose()?.unwrap_or_default();
    while head.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let answer = answers.lock().unwrap().get(&path).cloned();
    asked.lock().unwrap().push(path);
    let end = "Connection: close\r\n\r\n";
    match answer {
        None => write!(stream, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n{end}"),
        Some(Answer::Redirect(to)) => {
            write!(stream, "HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n{end}")
        }
        Some(Answer::Bytes(bytes)) => {
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{end}", bytes.len())?;
            stream.write_all(&bytes)
        }
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
