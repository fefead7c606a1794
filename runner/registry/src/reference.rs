// SPDX-License-Identifier: MIT
//! Names of images: `oci://HOST[:PORT]/REPOSITORY[:TAG][@DIGEST]`, also without `oci://`. The
//! grammar is that of OCI distribution 1.1 and, for hosts, of the reference implementation
//! (github.com/distribution/reference).

use std::fmt;
use std::str::FromStr;

use crate::http::is_loopback;
use crate::{Digest, text};

/// The scheme of URLs that name an image.
pub const SCHEME: &str = "oci://";

/// The tag of an image whose name has neither a tag nor a digest.
const LATEST: &str = "latest";

/// The longest name: host and repository.
const MAX_NAME: usize = 255;
const MAX_TAG: usize = 128;

/// The name of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Host and, if given, port.
    host: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a text is not the name of an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not the name of an image: {reason}")]
pub struct BadReference {
    /// The text.
    pub text: String,
    /// The reason.
    pub reason: &'static str,
}

impl Reference {
    /// The registry: its host and, if given, its port.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The path of the repository in the registry.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag; `None` if there is only a digest.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest that the image must have.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// Whether the registry is this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        is_loopback(without_port(&self.host))
    }

    /// The same image, by its digest.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> Reference {
        Reference { digest: Some(digest), ..self.clone() }
    }
}

impl FromStr for Reference {
    type Err = BadReference;

    fn from_str(text: &str) -> Result<Reference, BadReference> {
        parse(text).map_err(|reason| BadReference { text: text::short(text), reason })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.repository)?;
        self.tag.iter().try_for_each(|tag| write!(f, ":{tag}"))?;
        self.digest.iter().try_for_each(|digest| write!(f, "@{digest}"))
    }
}

fn parse(text: &str) -> Result<Reference, &'static str> {
    let name = text.strip_prefix(SCHEME).unwrap_or(text);
    if name.contains("://") {
        return Err("it has another scheme than oci://");
    }
    let (name, digest) = match name.split_once('@') {
        Some((name, digest)) => {
            let digest = digest.parse().map_err(
                |_| "after @, there must be sha256: and 64 hexadecimal digits in lower case",
            )?;
            (name, Some(digest))
        }
        None => (name, None),
    };
    let (host, path) = name.split_once('/').ok_or("it must have a registry and a repository")?;
    let (repository, tag) = match path.split_once(':') {
        Some((repository, tag)) => (repository, Some(tag.to_owned())),
        None => (path, None),
    };
    check_host(host)?;
    if !repository.split('/').all(is_component) {
        return Err("the repository must consist of a-z, 0-9, and single separators between them");
    }
    if host.len() + 1 + repository.len() > MAX_NAME {
        return Err("it is too long");
    }
    if tag.as_deref().is_some_and(|tag| !is_tag(tag)) {
        return Err("the tag must consist of up to 128 letters, digits, `_`, `.` and `-`");
    }
    let tag = tag.or_else(|| digest.is_none().then(|| LATEST.to_owned()));
    Ok(Reference { host: host.to_lowercase(), repository: repository.to_owned(), tag, digest })
}

/// Checks the host of a registry, with an optional port. A name without a dot is a part of a
/// repository for most programs, and means different registries to them.
pub(crate) fn check_host(host: &str) -> Result<(), &'static str> {
    let name = without_port(host);
    let port = &host[name.len()..];
    let is_port = |port: &str| {
        port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse().is_ok_and(|p: u16| p > 0)
    };
    if !port.is_empty() && !port.strip_prefix(':').is_some_and(is_port) {
        return Err("the port must be a number from 1 to 65535");
    }
    if let Some(address) = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        let is_address = address.parse::<std::net::Ipv6Addr>().is_ok();
        return if is_address { Ok(()) } else { Err("in brackets, there must be an address") };
    }
    let is_label = |label: &str| {
        let is_edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
        is_edge(label.bytes().next())
            && is_edge(label.bytes().next_back())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    if !name.split('.').all(is_label) {
        return Err("the registry is not the name of a host");
    }
    if !name.contains('.') && port.is_empty() && !name.eq_ignore_ascii_case("localhost") {
        return Err("it must begin with the host of a registry, for example ghcr.io/");
    }
    Ok(())
}

fn without_port(host: &str) -> &str {
    match host.rfind(']') {
        Some(end) => &host[..=end],
        None => host.split(':').next().unwrap_or(host),
    }
}

/// A part of a repository: `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`.
fn is_component(text: &str) -> bool {
    let is_word = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    let ends = bytes.first().is_some_and(is_word) && bytes.last().is_some_and(is_word);
    ends && bytes.split(is_word).all(|separator| {
        matches!(separator, b"" | b"." | b"_" | b"__") || separator.iter().all(|byte| *byte == b'-')
    })
}

/// `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
fn is_tag(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= MAX_TAG
        && text.bytes().next().is_some_and(is_word)
        && text.bytes().all(|byte| is_word(byte) || byte == b'.' || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

    fn shown(text: &str) -> String {
        text.parse::<Reference>().map_or_else(|error| format!("error: {error}"), |r| r.to_string())
    }

    #[test]
    fn references() {
        assert_eq!(shown("ghcr.io/eunomia-bpf/execve"), "ghcr.io/eunomia-bpf/execve:latest");
        assert_eq!(shown("oci://ghcr.io/a/b:V1.2_x-y"), "ghcr.io/a/b:V1.2_x-y");
        assert_eq!(shown("localhost:5000/a"), "localhost:5000/a:latest");
        assert_eq!(shown("registry:5000/a"), "registry:5000/a:latest");
        assert_eq!(shown("localhost/a__b-----c.d_e"), "localhost/a__b-----c.d_e:latest");
        assert_eq!(shown("[::1]:5000/a:b"), "[::1]:5000/a:b");
        assert_eq!(shown("GHCR.io/a"), "ghcr.io/a:latest");
        assert_eq!(shown(&format!("h.io/a@{DIGEST}")), format!("h.io/a@{DIGEST}"));
        assert_eq!(shown(&format!("h.io/a:b@{DIGEST}")), format!("h.io/a:b@{DIGEST}"));
        let reference: Reference = format!("127.0.0.1:5000/a@{DIGEST}").parse().unwrap();
        assert!(reference.is_loopback() && reference.tag().is_none());
        assert!(!"h.io/a".parse::<Reference>().unwrap().is_loopback());
        assert!("[::1]/a".parse::<Reference>().unwrap().is_loopback());
    }

    #[test]
    fn hostile_references() {
        let long = format!("h.io/{}", "a".repeat(255));
        let long_tag = format!("h.io/a:{}", "a".repeat(129));
        let two_digests = format!("h.io/a@{DIGEST}@{DIGEST}");
        for text in [
            "",
            "/",
            "oci://",
            "execve",
            "eunomia-bpf/execve",
            "ghcr.io",
            "ghcr.io/",
            "ghcr.io//a",
            "ghcr.io/a/",
            "ghcr.io/A",
            "ghcr.io/a..b",
            "ghcr.io/../a",
            "ghcr.io/a/./b",
            "ghcr.io/a___b",
            "ghcr.io/-a",
            "ghcr.io/a_",
            "ghcr.io/a%2e%2e",
            "ghcr.io/a?b",
            "ghcr.io/a#b",
            "ghcr.io/a b",
            "ghcr.io/a\r\nHost: x",
            "ghcr.io/a\0",
            "ghcr.io/é",
            "ghcr.io/a:",
            "ghcr.io/a:.b",
            "ghcr.io/a:b:c",
            "ghcr.io/a:b/c",
            "ghcr.io/a@",
            "ghcr.io/a@sha256:12",
            "ghcr.io/a@sha512:12",
            "ghcr.io:/a",
            "ghcr.io:0/a",
            "ghcr.io:65536/a",
            "ghcr.io:+80/a",
            "ghcr.io:5000:1/a",
            "ghcr..io/a",
            ".ghcr.io/a",
            "ghcr.io./a",
            "-ghcr.io/a",
            "user@ghcr.io/a",
            "user:password@ghcr.io/a",
            "[::1/a",
            "[example.org]/a",
            "[::1]x/a",
            "https://ghcr.io/a",
            "oci://oci://ghcr.io/a",
            &long,
            &long_tag,
            &two_digests,
        ] {
            assert!(shown(text).starts_with("error: "), "{text:?}: {}", shown(text));
        }
    }
}
