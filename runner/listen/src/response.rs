// SPDX-License-Identifier: MIT
//! Responses, and their bytes.

use std::io::Write as _;
use std::time::SystemTime;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::date::http_date;
use crate::request::{Method, Request};

/// A smaller body is sent as it is: it fits into a packet.
const MIN_COMPRESSED: usize = 1024;

/// What a handler answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status, from 200 to 599.
    pub status: u16,
    /// The value of `Content-Type`.
    pub content_type: &'static str,
    /// The content, not compressed.
    pub body: Vec<u8>,
}

impl Response {
    /// A response with any content.
    pub fn new(status: u16, content_type: &'static str, body: impl Into<Vec<u8>>) -> Response {
        Response { status, content_type, body: body.into() }
    }

    /// A text for people.
    #[must_use]
    pub fn text(status: u16, text: &str) -> Response {
        Response::new(status, "text/plain; charset=utf-8", text)
    }
}

/// What decides how a response is sent, beside the response.
#[derive(Debug, Default)]
pub(crate) struct Form<'a> {
    /// Whether the content is left out.
    pub(crate) is_head: bool,
    /// Whether the content may be compressed.
    pub(crate) gzip: bool,
    /// Whether the connection remains open.
    pub(crate) keeps_alive: bool,
    /// More headers, whose names and values are valid.
    pub(crate) headers: &'a [(String, String)],
}

impl<'a> Form<'a> {
    pub(crate) fn of(request: &Request, headers: &'a [(String, String)]) -> Form<'a> {
        Form {
            is_head: request.method() == Method::Head,
            gzip: request.accepts_gzip(),
            keeps_alive: request.keeps_alive(),
            headers,
        }
    }
}

/// The bytes of a response.
pub(crate) fn encode(response: Response, form: &Form<'_>) -> Vec<u8> {
    let Response { status, content_type, mut body } = response;
    let has_content = !matches!(status, 204 | 304);
    let is_compressed = form.gzip && has_content && body.len() >= MIN_COMPRESSED;
    if is_compressed {
        body = gzip(&body);
    }
    let mut head = format!(
        "HTTP/1.1 {status} {}\r\nDate: {}\r\nConnection: {}\r\n",
        reason(status),
        http_date(SystemTime::now()),
        if form.keeps_alive { "keep-alive" } else { "close" }
    );
    let mut header = |name: &str, value: &str| {
        for text in [name, ": ", value, "\r\n"] {
            head.push_str(text);
        }
    };
    if has_content {
        header("Content-Type", content_type);
        header("Content-Length", &body.len().to_string());
        header("Vary", "Accept, Accept-Encoding");
        // Browsers must not guess that it is HTML.
        if !form.headers.iter().any(|(name, _)| name == "X-Content-Type-Options") {
            header("X-Content-Type-Options", "nosniff");
        }
    }
    if is_compressed {
        header("Content-Encoding", "gzip");
    }
    match status {
        401 => header("WWW-Authenticate", "Basic realm=\"metrics\", charset=\"UTF-8\""),
        405 => header("Allow", "GET, HEAD"),
        503 => header("Retry-After", "1"),
        _ => {}
    }
    for (name, value) in form.headers {
        header(name, value);
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    if has_content && !form.is_head {
        bytes.append(&mut body);
    }
    bytes
}

/// Metrics are repetitive: the fastest level makes them a tenth as large.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::fast());
    // A Vec accepts everything.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

/// The reason phrase of a status, which only people who look at a connection need (RFC 9112, 4).
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn split(bytes: &[u8]) -> (String, &[u8]) {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
        (String::from_utf8(bytes[..end].to_vec()).unwrap(), &bytes[end..])
    }

    #[test]
    fn responses() {
        let form = Form { keeps_alive: true, ..Form::default() };
        let bytes = encode(Response::text(200, "up 1\n"), &form);
        let (head, body) = split(&bytes);
        assert!(head.starts_with("HTTP/1.1 200 OK\r\nDate: "), "{head}");
        assert!(head.contains("\r\nConnection: keep-alive\r\n"), "{head}");
        assert!(head.contains("\r\nContent-Length: 5\r\n"), "{head}");
        assert_eq!(body, b"up 1\n");
        let bytes = encode(Response::text(405, "no"), &Form { is_head: true, ..Form::default() });
        let (head, body) = split(&bytes);
        assert!(head.contains("\r\nContent-Length: 2\r\n"), "{head}");
        assert!(head.contains("\r\nConnection: close\r\n"), "{head}");
        assert!(head.contains("\r\nAllow: GET, HEAD\r\n"), "{head}");
        assert_eq!(body, b"");
    }

    #[test]
    fn responses_without_content() {
        let bytes = encode(Response::text(204, "ignored"), &Form::default());
        let (head, body) = split(&bytes);
        assert!(!head.contains("Content-"), "{head}");
        assert_eq!(body, b"");
    }

    #[test]
    fn additional_headers_replace() {
        let headers = [("X-Content-Type-Options".to_owned(), "nosniff".to_owned())];
        let bytes = encode(Response::text(200, ""), &Form { headers: &headers, ..Form::default() });
        assert_eq!(split(&bytes).0.matches("nosniff").count(), 1);
    }

    #[test]
    fn compressed_content() {
        let text = "some_total{label=\"value\"} 1\n".repeat(1000);
        let bytes = encode(Response::text(200, &text), &Form { gzip: true, ..Form::default() });
        let (head, body) = split(&bytes);
        assert!(head.contains("\r\nContent-Encoding: gzip\r\n"), "{head}");
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
        assert!(body.len() < text.len() / 10);
        let mut decoded = String::new();
        flate2::read::GzDecoder::new(body).read_to_string(&mut decoded).unwrap();
        assert_eq!(decoded, text);
        let bytes = encode(Response::text(200, "x"), &Form { gzip: true, ..Form::default() });
        assert!(!split(&bytes).0.contains("gzip"));
    }
}
