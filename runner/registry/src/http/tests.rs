// SPDX-License-Identifier: MIT
//! Requests to a server of the test.

use super::server::{Server, answer};
use super::*;

fn limits() -> Limits {
    Limits::size(1000)
}

fn failure(server: &Server, path: &str) -> String {
    let response = get(&server.url(path), &limits()).and_then(Response::read_all);
    response.unwrap_err().to_string()
}

#[test]
fn a_body_is_read() {
    let server = Server::start(|_, _| answer(200, &[], b"hello"));
    let response = get(&server.url("/a"), &limits()).unwrap();
    assert_eq!((response.status(), response.content_length()), (200, Some(5)));
    assert_eq!(response.read_all().unwrap(), b"hello");
    let seen = &server.seen()[0];
    assert_eq!(seen.header("accept-encoding"), Some("identity"));
    assert!(seen.header("user-agent").unwrap().starts_with("bpfpack/"));
}

#[test]
fn errors_have_the_message_of_the_server() {
    let server = Server::start(|_, _| {
        answer(404, &[], br#"{"errors":[{"code":"X","message":"no such thing"}]}"#)
    });
    let url = server.url("/a");
    assert_eq!(failure(&server, "/a?secret"), format!("`{url}`: not found (404): no such thing"));
}

#[test]
fn limits_hold_for_announced_and_for_endless_bodies() {
    let server = Server::start(|seen, _| match seen.line.as_str() {
        "GET /announced" => answer(200, &["Content-Length: 1001"], b""),
        "GET /lie" => answer(200, &["Content-Length: 900"], &[b'x'; 100]),
        _ => [&b"HTTP/1.1 200 OK\r\n\r\n"[..], &[b'x'; 5000]].concat(),
    });
    assert!(failure(&server, "/announced").contains("too large: the limit is 1000 bytes"));
    assert!(failure(&server, "/endless").contains("too large: the limit is 1000 bytes"));
    assert!(failure(&server, "/lie").contains("closed the connection"));
}

#[test]
fn a_body_that_takes_too_long_is_an_error() {
    let server = Server::start(|_, _| answer(200, &[], b"hello"));
    let limits = Limits { size: 1000, time: Duration::ZERO };
    let error = get(&server.url("/"), &limits).unwrap().read_all().unwrap_err();
    assert!(matches!(error, HttpError::Timeout { phase: Phase::Whole, .. }), "{error}");
}

#[test]
fn compressed_bodies_are_refused() {
    let server = Server::start(|_, _| answer(200, &["Content-Encoding: gzip"], b"x"));
    assert!(failure(&server, "/").contains("in the encoding `gzip`"));
}

#[test]
fn redirects_are_followed_five_times() {
    let server = Server::start(|seen, _| {
        let number: usize = seen.line.rsplit('/').next().unwrap().parse().unwrap();
        match number {
            0 => answer(200, &[], b"end"),
            _ => answer(302, &[&format!("Location: /{}", number - 1)], b""),
        }
    });
    let response = get(&server.url("/5"), &limits()).unwrap();
    assert_eq!(response.url().to_string(), server.url("/0"));
    assert_eq!(response.read_all().unwrap(), b"end");
    assert!(failure(&server, "/6").contains("only 5 redirects"));
}

#[test]
fn redirects_elsewhere_are_refused() {
    let server =
        Server::start(|_, _| answer(302, &["Location: file:///etc/passwd"], b"not this either"));
    let error = failure(&server, "/");
    assert!(error.contains("redirects to `file:///etc/passwd`"), "{error}");
    let request = Request::new(Method::Put, Url::parse(&server.url("/")).unwrap());
    let error = Http::default().send(&request.body("text/plain", b"x"), &limits()).unwrap_err();
    assert!(error.to_string().contains("data is sent only to"), "{error}");
}

#[test]
fn only_the_same_host_receives_credentials() {
    let other = Server::start(|_, _| answer(200, &[], b"blob"));
    let target = other.url("/blob");
    let server = Server::start(move |seen, _| match seen.line.as_str() {
        "GET /" => answer(307, &["Location: /again"], b""),
        _ => answer(307, &[&format!("Location: {target}")], b""),
    });
    let request = Request::new(Method::Get, Url::parse(&server.url("/")).unwrap())
        .authorization(Some("Bearer secret"));
    let response = Http::default().send(&request, &limits()).unwrap();
    assert_eq!(response.read_all().unwrap(), b"blob");
    let sent: Vec<_> =
        server.seen().iter().map(|seen| seen.header("authorization").is_some()).collect();
    assert_eq!(sent, [true, true]);
    assert_eq!(other.seen()[0].header("authorization"), None);
}

#[test]
fn unreachable_hosts() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let error = get(&format!("http://127.0.0.1:{port}/"), &limits()).unwrap_err();
    assert!(matches!(error, HttpError::Refused(_)), "{error}");
    #[cfg(feature = "tls")]
    {
        let server = Server::start(|_, _| answer(400, &[], b"plain HTTP"));
        let error = get(&format!("https://{}/", server.host()), &limits()).unwrap_err();
        assert!(matches!(error, HttpError::Tls { .. } | HttpError::NoCertificates(_)), "{error}");
    }
}
