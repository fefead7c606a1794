// SPDX-License-Identifier: MIT

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::*;
use crate::{Activation, Method};

mod web;

fn server_with(config: Config) -> Server {
    let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap(), &Activation::none()).unwrap();
    Server::start(listener, config, |request| match request.path() {
        // More than the kernel keeps for two sockets (net.ipv4.tcp_wmem and tcp_rmem).
        "/huge" => Response::text(200, &"line\n".repeat(8 << 20)),
        "/large" => Response::text(200, &"line\n".repeat(1 << 20)),
        "/peer" => Response::text(200, if request.peer().is_some() { "tcp" } else { "unix" }),
        path => Response::text(200, &format!("path {path}\n")),
    })
    .unwrap()
}

fn server() -> Server {
    server_with(Config::default())
}

fn connect(server: &Server) -> TcpStream {
    let LocalAddress::Tcp(address) = server.addresses()[0] else { panic!() };
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

/// Sends something, and reads until the server closes. A connection that is reset also ends.
fn talk(server: &Server, request: &[u8]) -> String {
    let mut stream = connect(server);
    stream.write_all(request).unwrap();
    rest(&mut stream)
}

fn rest(stream: &mut impl std::io::Read) -> String {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// One response: head and body.
fn response(stream: &mut impl std::io::Read) -> (String, Vec<u8>) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    let mut body = vec![0; length.unwrap().parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    (head, body)
}

const GET: &[u8] = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n";

#[test]
fn a_connection_has_several_requests() {
    let server = server();
    let mut stream = connect(&server);
    for _ in 0..3 {
        stream.write_all(GET).unwrap();
        let (head, body) = response(&mut stream);
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.contains("\r\nConnection: keep-alive\r\n"), "{head}");
        assert_eq!(body, b"path /a\n");
    }
    stream.write_all(b"GET /b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let last = rest(&mut stream);
    assert!(last.contains("\r\nConnection: close\r\n") && last.ends_with("path /b\n"), "{last}");
    // HTTP/1.0 closes unless it is asked not to; and a client may end its side first.
    let mut stream = connect(&server);
    stream.write_all(b"GET /c HTTP/1.0\r\n\r\n").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(rest(&mut stream).ends_with("path /c\n"));
}

#[test]
fn requests_are_answered_in_their_order() {
    let server = server();
    let mut requests = Vec::new();
    for number in 0..50 {
        requests.extend(format!("GET /{number} HTTP/1.1\r\nHost: x\r\n\r\n").bytes());
    }
    let mut stream = connect(&server);
    stream.write_all(&requests).unwrap();
    for number in 0..50 {
        assert_eq!(response(&mut stream).1, format!("path /{number}\n").as_bytes());
    }
}

#[test]
fn only_get_and_head_are_served() {
    let server = server();
    let head = talk(&server, b"HEAD /a HTTP/1.0\r\n\r\n");
    assert!(head.contains("\r\nContent-Length: 8\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    let post = talk(&server, b"POST /a HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello");
    assert!(post.starts_with("HTTP/1.1 405 "), "{post}");
    assert!(post.contains("\r\nAllow: GET, HEAD\r\n"), "{post}");
    let body = talk(&server, b"GET /a HTTP/1.0\r\nContent-Length: 27\r\n\r\nGET /b HTTP/1.0\r\n");
    assert!(body.starts_with("HTTP/1.1 400 ") && !body.contains("path"), "{body}");
}

#[test]
fn large_heads_are_refused_and_the_client_hears_of_it() {
    let server = server();
    let large = format!("GET / HTTP/1.0\r\nA: {}\r\n\r\n", "x".repeat(100_000));
    assert!(talk(&server, large.as_bytes()).starts_with("HTTP/1.1 431 "));
    let tls = talk(&server, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
    assert!(tls.starts_with("HTTP/1.1 400 "), "{tls}");
}

#[test]
fn slow_clients_hold_no_worker_and_are_closed() {
    let timeout = Duration::from_millis(300);
    let config = Config {
        workers: 1,
        head_timeout: timeout,
        write_timeout: timeout,
        idle_timeout: timeout,
        ..Config::default()
    };
    let server = server_with(config);
    // One never sends, one sends a byte at a time, one does not read, one is idle.
    let mut silent = connect(&server);
    let start = Instant::now();
    let mut slow = connect(&server);
    let mut deaf = connect(&server);
    deaf.write_all(b"GET /huge HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut idle = connect(&server);
    idle.write_all(GET).unwrap();
    response(&mut idle);
    let mut bytes = b"GET / HTTP/1.0\r\nA: ".iter().copied().chain(std::iter::repeat(b'x'));
    while slow.write_all(&[bytes.next().unwrap()]).is_ok() {
        assert!(start.elapsed() < Duration::from_secs(30), "it is not closed");
        assert!(talk(&server, b"GET /a HTTP/1.0\r\n\r\n").ends_with("path /a\n"));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(start.elapsed() >= timeout);
    assert_eq!(rest(&mut silent), "");
    assert_eq!(rest(&mut idle), "");
    // Its time began before the first of the answers above.
    std::thread::sleep(timeout);
    assert!(rest(&mut deaf).len() < 40 << 20, "the rest was not sent");
    // Nor is one served longer that reads what it can.
    let mut busy = connect(&server);
    busy.write_all(b"GET /huge HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let (mut chunk, mut received) = (vec![0; 64 << 10], 0);
    while let Ok(length @ 1..) = busy.read(&mut chunk) {
        received += length;
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(received < 40 << 20, "{received}");
}

#[test]
fn large_responses_are_complete_and_compressed() {
    let server = server();
    let plain = talk(&server, b"GET /large HTTP/1.0\r\n\r\n");
    assert_eq!(plain.split_once("\r\n\r\n").unwrap().1.len(), 5 << 20);
    let mut stream = connect(&server);
    stream.write_all(b"GET /large HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n").unwrap();
    let (head, body) = response(&mut stream);
    assert!(head.contains("\r\nContent-Encoding: gzip\r\n"), "{head}");
    let mut decoded = Vec::new();
    flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut decoded).unwrap();
    assert_eq!(decoded.len(), 5 << 20);
}

#[test]
fn connections_are_limited() {
    let server = server_with(Config { max_connections: 2, ..Config::default() });
    let mut kept: Vec<_> = (0..2).map(|_| connect(&server)).collect();
    for stream in &mut kept {
        stream.write_all(GET).unwrap();
        response(stream);
    }
    let refused = talk(&server, b"GET /a HTTP/1.0\r\n\r\n");
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    // Those that are there go on, and leave room.
    kept[0].write_all(GET).unwrap();
    response(&mut kept[0]);
    kept.clear();
    let start = Instant::now();
    while !talk(&server, b"GET /a HTTP/1.0\r\n\r\n").ends_with("path /a\n") {
        assert!(start.elapsed() < Duration::from_secs(30), "there is no room");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn it_stops_while_clients_are_connected() {
    let server = server();
    let mut idle = connect(&server);
    idle.write_all(GET).unwrap();
    response(&mut idle);
    let mut deaf = connect(&server);
    deaf.write_all(b"GET /huge HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let address = server.addresses()[0].to_string();
    let start = Instant::now();
    server.stop();
    assert!(start.elapsed() < Config::default().write_timeout, "it waits for no client");
    assert_eq!(rest(&mut idle), "");
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn it_stops_at_any_time() {
    for number in 0..200 {
        let server = server();
        let stream = (number % 2 == 0).then(|| connect(&server));
        for _ in 0..number * 50 {
            std::hint::spin_loop();
        }
        server.stop();
        drop(stream);
    }
}

#[test]
fn unix_sockets() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.sock");
    let address = format!("unix:{}", path.display()).parse().unwrap();
    let listener = Listener::bind(&address, &Activation::none()).unwrap();
    let seen = Arc::new(Mutex::new(None));
    let inner = Arc::clone(&seen);
    let server = Server::start(listener, Config::default(), move |request| {
        *inner.lock().unwrap() = Some((request.peer(), request.method()));
        Response::text(200, "")
    })
    .unwrap();
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    assert!(rest(&mut stream).starts_with("HTTP/1.1 200 "));
    assert_eq!(*seen.lock().unwrap(), Some((None, Method::Get)));
    server.stop();
    assert!(!path.exists());
}

#[test]
fn handlers_run_at_the_same_time() {
    let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap(), &Activation::none()).unwrap();
    let barrier = std::sync::Barrier::new(4);
    let count = Arc::new(AtomicUsize::new(0));
    let inner = Arc::clone(&count);
    let server = Server::start(listener, Config::default(), move |_| {
        barrier.wait();
        inner.fetch_add(1, Ordering::Relaxed);
        Response::text(200, "")
    })
    .unwrap();
    let mut streams: Vec<_> = (0..4).map(|_| connect(&server)).collect();
    for stream in &mut streams {
        stream.write_all(GET).unwrap();
    }
    for stream in &mut streams {
        response(stream);
    }
    assert_eq!(count.load(Ordering::Relaxed), 4);
}

#[test]
fn any_bytes_leave_the_server_as_it_was() {
    let server = server();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let samples: [&[u8]; 4] = [GET, b"GET ", b"\r\n\r\n", b"HTTP/1.1\r\nContent-Length: 9"];
    for _ in 0..200 {
        let mut bytes = Vec::new();
        for _ in 0..random() % 8 {
            bytes.extend(samples[(random() % 4) as usize]);
            bytes.extend(random().to_ne_bytes());
        }
        let mut stream = connect(&server);
        // The server may close before it has read everything.
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        rest(&mut stream);
    }
    assert!(talk(&server, b"GET /a HTTP/1.0\r\n\r\n").ends_with("path /a\n"));
}
