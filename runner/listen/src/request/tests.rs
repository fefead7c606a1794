// SPDX-License-Identifier: MIT

use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Result<Option<(Request, usize)>, BadRequest> {
    parse_head(text.as_bytes())
}

/// The request of a text that is complete.
fn one(text: &str) -> Request {
    let (request, length) = parse(text).unwrap().unwrap();
    assert_eq!(length, text.len());
    request
}

/// HTTP/1.1 with these headers.
fn with(headers: &str) -> Request {
    one(&format!("GET / HTTP/1.1\r\nHost: x\r\n{headers}\r\n"))
}

#[test]
fn requests() {
    let request = one("GET /metrics?a=b&c HTTP/1.1\r\nHost: x\r\nACCEPT: text/plain\r\n\r\n");
    assert_eq!(request.method(), Method::Get);
    assert_eq!((request.path(), request.query()), ("/metrics", Some("a=b&c")));
    assert_eq!(request.accept(), Some("text/plain"));
    assert_eq!(request.header("Accept"), Some("text/plain"));
    assert_eq!((request.header("none"), request.peer()), (None, None));
    assert_eq!(one("HEAD / HTTP/1.0\n\n").method(), Method::Head);
    let joined = with("Accept: a\r\naccept: b\r\nX: \u{e9}\r\n");
    assert_eq!(joined.accept(), Some("a, b"));
}

#[test]
fn targets() {
    for (target, path, query) in [
        ("/", "/", None),
        ("/a%2Fb", "/a%2Fb", None),
        ("//a", "//a", None),
        ("/?", "/", Some("")),
        ("/a?b?c", "/a", Some("b?c")),
        ("/a#b", "/a", None),
        ("http://h", "/", None),
        ("HTTP://h:1/a?b", "/a", Some("b")),
        ("https://h?b", "/", Some("b")),
    ] {
        let request = one(&format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert_eq!((request.path(), request.query()), (path, query), "{target}");
    }
}

#[test]
fn bad_requests() {
    let many = "X: y\r\n".repeat(MAX_HEADERS + 1);
    for (text, status) in [
        ("\u{16}\u{3}\u{1}", 400),
        ("GET", 0),
        ("GET / HTTP/1.1\r\nHost: x\r\n", 0),
        ("GET / HTTP/2.0\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: x\r\nhost: y\r\n\r\n", 400),
        ("GET / HTTP/1.0\r\nA b\r\n\r\n", 400),
        ("GET / HTTP/1.0\r\nA : b\r\n\r\n", 400),
        ("GET / HTTP/1.0\r\nA: b\0\r\n\r\n", 400),
        ("GET / HTTP/1.0\r\n A: b\r\n\r\n", 400),
        ("GET x HTTP/1.0\r\n\r\n", 400),
        ("GET * HTTP/1.0\r\n\r\n", 400),
        ("GET ftp://x/ HTTP/1.0\r\n\r\n", 400),
        ("GET / HTTP/1.0\r\nContent-Length: 1\r\n\r\n", 400),
        ("GET / HTTP/1.0\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n", 400),
        ("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("POST / HTTP/1.0\r\nContent-Length: 1\r\n\r\n", 405),
        ("get / HTTP/1.0\r\n\r\n", 405),
        ("OPTIONS * HTTP/1.0\r\n\r\n", 405),
        (&format!("GET / HTTP/1.0\r\n{many}\r\n"), 431),
        (&format!("GET /{}", "x".repeat(MAX_HEAD)), 431),
        (&format!("GET / HTTP/1.0\r\nA: {}", "x".repeat(MAX_HEAD)), 431),
    ] {
        let found = parse(text).map(|found| found.is_some()).map_err(BadRequest::status);
        let expected = if status == 0 { Ok(false) } else { Err(status) };
        assert_eq!(found, expected, "{text}");
    }
    with("Content-Length: 0\r\n");
}

#[test]
fn the_largest_head() {
    let head = |size: usize| {
        let text = "GET / HTTP/1.0\r\nA: \r\n\r\n";
        text.replace("A: ", &format!("A: {}", "x".repeat(size - text.len())))
    };
    assert_eq!(parse(&head(MAX_HEAD)).unwrap().unwrap().1, MAX_HEAD);
    assert_eq!(parse(&head(MAX_HEAD + 1)), Err(BadRequest::TooLarge));
}

#[test]
fn what_the_client_understands() {
    for (header, expected) in [
        ("gzip", true),
        ("deflate, GZIP;q=0.5", true),
        ("gzip;q=1.000", true),
        ("gzip;q=0", false),
        ("gzip; q=0.000, br", false),
        ("gzipped", false),
        ("", false),
    ] {
        let request = with(&format!("Accept-Encoding: {header}\r\n"));
        assert_eq!(request.accepts_gzip(), expected, "{header}");
    }
    assert!(!with("").accepts_gzip());
}

#[test]
fn how_long_a_connection_lasts() {
    assert!(with("").keeps_alive());
    assert!(!with("Connection: x, Close\r\n").keeps_alive());
    assert!(!one("GET / HTTP/1.0\r\n\r\n").keeps_alive());
    assert!(one("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").keeps_alive());
}

proptest! {
    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse_head(&bytes);
    }

    /// Nearly requests; and an answer does not change when more bytes arrive.
    #[test]
    fn any_text(
        line in "(GET|HEAD|P) [ -~]{0,20}( HTTP/1.[01])?",
        headers in "(\r?\n(Host|Content-Length|[A-Za-z:]{1,9}): ?[ -\u{ff}]{0,9}){0,5}(\r\n\r\n)?",
        cut in 0usize..100,
    ) {
        let text = format!("{line}{headers}");
        let whole = parse_head(text.as_bytes());
        let part = parse_head(&text.as_bytes()[..cut.min(text.len())]);
        if part != Ok(None) {
            prop_assert_eq!(part, whole);
        }
    }
}
