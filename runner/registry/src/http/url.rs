// SPDX-License-Identifier: MIT
//! URLs with the schemes http and https, and the references of redirects.

use std::fmt;

use ureq::http::Uri;

use super::HttpError;

/// The longest URL. Signed addresses of object stores have a few hundred bytes.
const MAX_LENGTH: usize = 8192;

/// How a URL is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Without encryption.
    Http,
    /// By TLS.
    Https,
}

impl Scheme {
    fn name(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    fn port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }
}

/// A URL whose scheme is http or https, without a user name. It is displayed without the part
/// after `?`, which often has a signature that nobody else may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    scheme: Scheme,
    /// In lower case; an IPv6 address is in brackets.
    host: String,
    port: u16,
    /// Path and query.
    path: String,
}

impl Url {
    /// Parses an absolute URL.
    ///
    /// # Errors
    /// Returns an error if the text is not a URL, has another scheme or a user name.
    pub fn parse(text: &str) -> Result<Url, HttpError> {
        let bad = |reason| HttpError::BadUrl { url: crate::text::short(text), reason };
        if text.len() > MAX_LENGTH {
            return Err(bad("it is too long"));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(bad("it has characters that must be escaped"));
        }
        let scheme = match scheme_of(text).map(str::to_ascii_lowercase).as_deref() {
            Some("http") => Scheme::Http,
            Some("https") => Scheme::Https,
            Some(other) => return Err(HttpError::Scheme(crate::text::short(other))),
            None => return Err(bad("it has no scheme")),
        };
        let uri = Uri::try_from(text).map_err(|_| bad("it has forbidden characters or parts"))?;
        let authority = uri.authority().ok_or_else(|| bad("it has no host"))?;
        if authority.as_str().contains('@') {
            return Err(bad("it has a user name or a password"));
        }
        let host = authority.host();
        if host.is_empty() || host == "[]" {
            return Err(bad("it has no host"));
        }
        let port = match authority.as_str()[host.len()..].strip_prefix(':') {
            Some(port) => port.parse().ok().filter(|port| *port != 0),
            None => Some(scheme.port()),
        };
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Url {
            scheme,
            host: host.to_ascii_lowercase(),
            port: port.ok_or_else(|| bad("its port is not a number from 1 to 65535"))?,
            path: if path.starts_with('/') { path.to_owned() } else { format!("/{path}") },
        })
    }

    /// Resolves the reference of a redirect: a URL, or a path on the same host.
    ///
    /// # Errors
    /// Returns an error if the result is not a URL that [`Url::parse`] accepts.
    pub fn join(&self, reference: &str) -> Result<Url, HttpError> {
        let Url { scheme, path, .. } = self;
        if scheme_of(reference).is_some() {
            return Url::parse(reference);
        }
        let scheme = scheme.name();
        if reference.starts_with("//") {
            return Url::parse(&format!("{scheme}:{reference}"));
        }
        let base = path.split('?').next().unwrap_or("/");
        let path = match reference.chars().next() {
            Some('/') => reference.to_owned(),
            Some('?') => format!("{base}{reference}"),
            Some('#') | None => path.clone(),
            Some(_) => {
                let end = base.rfind('/').map_or(0, |at| at + 1);
                format!("{}{reference}", &base[..end])
            }
        };
        Url::parse(&format!("{scheme}://{}{path}", self.authority()))
    }

    /// Adds a parameter to the query. `value` must need no escapes; see [`escape`].
    #[must_use]
    pub fn with_parameter(mut self, name: &str, value: &str) -> Url {
        self.path.push(if self.path.contains('?') { '&' } else { '?' });
        self.path.push_str(name);
        self.path.push('=');
        self.path.push_str(value);
        self
    }

    /// How it is fetched.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host, in lower case; an IPv6 address is in brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The host and, unless it is the scheme's own, the port.
    #[must_use]
    pub fn authority(&self) -> String {
        match self.port == self.scheme.port() {
            true => self.host.clone(),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    /// Whether both have the same scheme, host and port: the other server may receive what is meant
    /// for this one.
    #[must_use]
    pub fn is_same_origin(&self, other: &Url) -> bool {
        self.scheme == other.scheme && self.host == other.host && self.port == other.port
    }

    /// Whether the host is this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.host)
    }

    /// The complete text.
    pub(super) fn text(&self) -> String {
        format!("{}://{}{}", self.scheme.name(), self.authority(), self.path)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.split('?').next().unwrap_or("/");
        write!(f, "{}://{}{path}", self.scheme.name(), self.authority())
    }
}

/// Whether a host, without a port, is this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.eq_ignore_ascii_case("localhost")
        || bare.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

/// The scheme of an absolute URL (RFC 3986, 3.1).
fn scheme_of(text: &str) -> Option<&str> {
    let (scheme, _) = text.split_once(':')?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    is_scheme.then_some(scheme)
}

/// Escapes a text for a query: everything but unreserved characters (RFC 3986, 2.3).
#[must_use]
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(byte as char);
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(url: &str) -> String {
        Url::parse(url).map_or_else(|error| format!("error: {error}"), |url| url.text())
    }

    #[test]
    fn urls() {
        assert_eq!(text("https://Example.ORG"), "https://example.org/");
        assert_eq!(text("HTTPS://example.org:443/a?b=c#d"), "https://example.org/a?b=c");
        assert_eq!(text("http://[::1]:5000/v2/"), "http://[::1]:5000/v2/");
        assert_eq!(text("http://example.org?x"), "http://example.org/?x");
        assert_eq!(Url::parse("https://h/a?secret").unwrap().to_string(), "https://h/a");
    }

    #[test]
    fn hostile_urls() {
        for url in [
            "",
            "example.org",
            "file:///etc/passwd",
            "ftp://example.org/",
            "data:text/plain,x",
            "https:",
            "https://",
            "https:///x",
            "https://user@host/",
            "https://user:password@host/",
            "https://host:0/",
            "https://host:65536/",
            "https://host:/",
            "https://host/ a",
            "https://host/\r\nHost: other",
            "https://ho\u{200b}st/",
            "https://host/\u{202e}é",
        ] {
            assert!(text(url).starts_with("error: "), "{url}: {}", text(url));
        }
        assert!(text(&format!("https://h/{}", "a".repeat(MAX_LENGTH))).starts_with("error: "));
    }

    #[test]
    fn references() {
        let base = Url::parse("https://h:5000/v2/a/blobs?x=1").unwrap();
        let join = |reference| base.join(reference).unwrap().text();
        assert_eq!(join("http://other/x"), "http://other/x");
        assert_eq!(join("//other/x"), "https://other/x");
        assert_eq!(join("/x?y"), "https://h:5000/x?y");
        assert_eq!(join("?y"), "https://h:5000/v2/a/blobs?y");
        assert_eq!(join("up"), "https://h:5000/v2/a/up");
        assert!(base.join("up:1/x").is_err(), "a colon in the first part ends a scheme");
        assert!(base.join("file:///etc/passwd").is_err());
        assert!(base.join("javascript:x").is_err());
    }

    #[test]
    fn hosts_of_this_machine() {
        for host in ["localhost", "LOCALHOST", "127.0.0.1", "127.8.9.1", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["localhost.example.org", "128.0.0.1", "[::2]", "0.0.0.0", ""] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn escapes() {
        assert_eq!(
            escape("repository:a/b:pull,push é"),
            "repository%3Aa%2Fb%3Apull%2Cpush%20%C3%A9"
        );
    }
}
