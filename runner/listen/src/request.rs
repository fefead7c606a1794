// SPDX-License-Identifier: MIT
//! The head of a request: the request line and the headers. There are no bodies: only GET and HEAD
//! are served.

use std::net::SocketAddr;

/// The largest head, in bytes.
pub const MAX_HEAD: usize = 16 << 10;

/// Headers in one head.
const MAX_HEADERS: usize = 64;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// The content.
    Get,
    /// Only the head of the response.
    Head,
}

/// A request that can be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    method: Method,
    path: String,
    query: Option<String>,
    /// HTTP/1.1, not 1.0.
    is_current: bool,
    /// Names in lower case.
    headers: Vec<(String, String)>,
    peer: Option<SocketAddr>,
}

impl Request {
    /// The method. A handler may ignore it: the server does not send the body of a response to HEAD.
    #[must_use]
    pub fn method(&self) -> Method {
        self.method
    }

    /// The path, beginning with `/`. Escapes (`%2F`) are as they were sent.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The text after `?`, as it was sent.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// A header; upper and lower case are the same. The values of a header that was sent several
    /// times are joined by commas (RFC 9110, 5.2), and bytes that are not UTF-8 are replaced.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The formats that the client understands.
    #[must_use]
    pub fn accept(&self) -> Option<&str> {
        self.header("accept")
    }

    /// The address of the client; `None` at a Unix socket.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    pub(crate) fn set_peer(&mut self, peer: Option<SocketAddr>) {
        self.peer = peer;
    }

    /// Whether the client understands gzip (RFC 9110, 12.5.3).
    pub(crate) fn accepts_gzip(&self) -> bool {
        let Some(header) = self.header("accept-encoding") else { return false };
        header.split(',').any(|item| {
            let mut parts = item.split(';').map(str::trim);
            let is_gzip = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
            is_gzip && !parts.any(is_weight_zero)
        })
    }

    /// Whether the client may send another request on this connection (RFC 9112, 9.3).
    pub(crate) fn keeps_alive(&self) -> bool {
        let has = |option: &str| {
            let header = self.header("connection").unwrap_or_default();
            header.split(',').any(|word| word.trim().eq_ignore_ascii_case(option))
        };
        !has("close") && (self.is_current || has("keep-alive"))
    }
}

/// Whether a parameter is `q=0`, with up to three zeros behind a point.
fn is_weight_zero(parameter: &str) -> bool {
    let value = parameter.strip_prefix("q=").or_else(|| parameter.strip_prefix("Q="));
    value.is_some_and(|value| value.starts_with('0') && value.bytes().all(|c| b"0.".contains(&c)))
}

/// Why a request cannot be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadRequest {
    /// It is not HTTP, or contradicts itself.
    #[error("bad request: {0}")]
    Malformed(&'static str),
    /// Only GET and HEAD are served.
    #[error("only GET and HEAD are served")]
    Method,
    /// The head is larger than [`MAX_HEAD`], or has more than 64 headers.
    #[error("the head of the request is too large")]
    TooLarge,
}

impl BadRequest {
    /// The status of the response (RFC 9110 and RFC 6585).
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            BadRequest::Malformed(_) => 400,
            BadRequest::Method => 405,
            BadRequest::TooLarge => 431,
        }
    }
}

/// Parses the head of a request at the beginning of `bytes`. Returns it with its length, or `None`
/// if bytes are missing. `bytes` may be anything.
///
/// # Errors
/// Returns an error if these bytes do not begin a request that can be answered, whatever follows.
pub fn parse_head(bytes: &[u8]) -> Result<Option<(Request, usize)>, BadRequest> {
    let head = &bytes[..bytes.len().min(MAX_HEAD)];
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let length = match parsed.parse(head) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if head.len() == MAX_HEAD => {
            return Err(BadRequest::TooLarge);
        }
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(BadRequest::TooLarge),
        Err(httparse::Error::Version) => return Err(BadRequest::Malformed("unknown version")),
        Err(_) => return Err(BadRequest::Malformed("it is not HTTP/1.1")),
    };
    request(&parsed).map(|request| Some((request, length)))
}

fn request(parsed: &httparse::Request<'_, '_>) -> Result<Request, BadRequest> {
    let method = match parsed.method {
        Some("GET") => Method::Get,
        Some("HEAD") => Method::Head,
        _ => return Err(BadRequest::Method),
    };
    let is_current = parsed.version == Some(1);
    let (path, query) = target(parsed.path.unwrap_or_default())?;
    let mut headers: Vec<(String, String)> = Vec::with_capacity(parsed.headers.len());
    let mut hosts = 0;
    for header in parsed.headers.iter() {
        let name = header.name.to_ascii_lowercase();
        let value = String::from_utf8_lossy(header.value);
        hosts += usize::from(name == "host");
        match headers.iter_mut().find(|(known, _)| *known == name) {
            Some((_, before)) => {
                before.push_str(", ");
                before.push_str(&value);
            }
            None => headers.push((name, value.into_owned())),
        }
    }
    // RFC 9112, 3.2: a proxy in front may have understood another host.
    if hosts > 1 || (is_current && hosts == 0) {
        return Err(BadRequest::Malformed("it needs one header Host"));
    }
    let request = Request { method, path, query, is_current, headers, peer: None };
    // A body that is not read would be taken for the next request.
    let has_body = request.header("content-length").is_some_and(|length| length != "0");
    if has_body || request.header("transfer-encoding").is_some() {
        return Err(BadRequest::Malformed("GET and HEAD have no body"));
    }
    Ok(request)
}

/// Path and query of a target, which may be a complete URL (RFC 9112, 3.2.2).
fn target(text: &str) -> Result<(String, Option<String>), BadRequest> {
    let local = match text.split_once("://") {
        _ if text.starts_with('/') => text,
        Some((scheme, rest)) if ["http", "https"].contains(&&*scheme.to_ascii_lowercase()) => {
            rest.find(['/', '?']).map_or("", |at| &rest[at..])
        }
        _ => return Err(BadRequest::Malformed("its target is not a path")),
    };
    let local = local.split('#').next().unwrap_or_default();
    let (path, query) = match local.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (local, None),
    };
    Ok((if path.is_empty() { "/" } else { path }.to_owned(), query))
}

#[cfg(test)]
mod tests;
