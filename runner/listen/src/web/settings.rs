// SPDX-License-Identifier: MIT
//! The settings of a web configuration file (exporter-toolkit, docs/web-configuration.md). A
//! setting that this server does not have is an error, never ignored, because that could weaken security.

use super::node::Node;
use crate::auth::Hash;

/// Bytes that can begin something new in YAML; the parser keeps about 100 bytes for each. A file
/// with a hundred users has a few hundred.
const MAX_MARKS: usize = 20_000;

/// What a file says.
#[derive(Debug, Default)]
pub(super) struct Settings {
    /// `tls_server_config`.
    pub(super) tls: Option<Tls>,
    /// `headers` of `http_server_config`.
    pub(super) headers: Vec<(String, String)>,
    /// `basic_auth_users`.
    pub(super) users: Vec<(String, Hash)>,
}

/// Certificates, as paths that may be relative to the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tls {
    /// `cert_file`.
    pub(super) certificate: String,
    /// `key_file`.
    pub(super) key: String,
    /// `client_auth_type` with `client_ca_file`.
    pub(super) clients: Clients,
    /// `min_version` is TLS13.
    pub(super) without_12: bool,
    /// `max_version` is TLS12.
    pub(super) without_13: bool,
}

/// Which clients may connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Clients {
    /// All.
    Any,
    /// Those with a certificate of an authority in the file.
    Verified {
        /// `client_ca_file`.
        authorities: String,
        /// Also those without a certificate.
        optional: bool,
    },
}

/// What cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BadSettings {
    /// It is not YAML.
    Syntax(String),
    /// A key, with those above it, or its value.
    Key(String, String),
}

type Result<T> = std::result::Result<T, BadSettings>;

fn bad<T>(key: &str, reason: &str) -> Result<T> {
    Err(BadSettings::Key(key.to_owned(), reason.to_owned()))
}

/// Parses a file.
pub(super) fn parse(text: &[u8]) -> Result<Settings> {
    let is_mark = |byte: &&u8| b"\n,[{:-?&*".contains(byte);
    if text.iter().filter(is_mark).take(MAX_MARKS + 1).count() > MAX_MARKS {
        return Err(BadSettings::Syntax("it has too many keys and values".to_owned()));
    }
    let value: Node = yaml_serde::from_slice(text)
        .map_err(|error| BadSettings::Syntax(error.to_string().escape_debug().to_string()))?;
    let mut settings = Settings::default();
    for (key, value) in entries("", &value)? {
        match key.as_str() {
            "tls_server_config" => settings.tls = tls(&key, value)?,
            "http_server_config" => settings.headers = http(&key, value)?,
            "basic_auth_users" => settings.users = users(&key, value)?,
            "rate_limit" => return bad(&key, UNSUPPORTED),
            _ => return bad(&key, UNKNOWN),
        }
    }
    Ok(settings)
}

const UNSUPPORTED: &str = "this server does not have this setting; remove it";
const UNKNOWN: &str = "there is no such setting";

/// The entries of a mapping, whose keys are returned with those above them; none if it is empty.
fn entries<'v>(above: &str, value: &'v Node) -> Result<Vec<(String, &'v Node)>> {
    let entries = match value {
        Node::Null => return Ok(Vec::new()),
        Node::Map(entries) => entries.iter(),
        _ => return bad(above, "it is not a mapping of keys to values"),
    };
    let full = |key: &str| match above.is_empty() {
        true => key.to_owned(),
        false => format!("{above}.{key}"),
    };
    Ok(entries.map(|(key, value)| (full(key), value)).collect())
}

/// The last part of a key; names of users may contain dots.
fn last<'k>(above: &str, key: &'k str) -> &'k str {
    key.get(above.len() + 1..).unwrap_or_default()
}

fn text(key: &str, value: &Node) -> Result<String> {
    match value {
        Node::Text(text) if !text.is_empty() => Ok(text.clone()),
        _ => bad(key, "it is not a text"),
    }
}

fn tls(above: &str, value: &Node) -> Result<Option<Tls>> {
    let entries = entries(above, value)?;
    if entries.is_empty() {
        return Ok(None);
    }
    let (mut certificate, mut key_file, mut authorities, mut kind) = (None, None, None, None);
    let (mut without_12, mut without_13) = (false, false);
    for (key, value) in entries {
        match last(above, &key) {
            "cert_file" => certificate = Some(text(&key, value)?),
            "key_file" => key_file = Some(text(&key, value)?),
            "client_ca_file" => authorities = Some(text(&key, value)?),
            "client_auth_type" => kind = Some((text(&key, value)?, key)),
            "min_version" => without_12 = is_13(&key, value)?,
            "max_version" => without_13 = !is_13(&key, value)?,
            "cert" | "key" | "client_ca" => {
                return bad(&key, "this server reads certificates and keys from files only");
            }
            "client_allowed_sans"
            | "cipher_suites"
            | "curve_preferences"
            | "prefer_server_cipher_suites" => return bad(&key, UNSUPPORTED),
            _ => return bad(&key, UNKNOWN),
        }
    }
    if without_12 && without_13 {
        return bad(above, "min_version is higher than max_version");
    }
    let clients = clients(above, kind, authorities)?;
    match (certificate, key_file) {
        (Some(certificate), Some(key)) => {
            Ok(Some(Tls { certificate, key, clients, without_12, without_13 }))
        }
        (None, _) => bad(above, "cert_file is missing"),
        (_, None) => bad(above, "key_file is missing"),
    }
}

fn clients(
    above: &str,
    kind: Option<(String, String)>,
    authorities: Option<String>,
) -> Result<Clients> {
    let (name, key) = kind.as_ref().map_or(("", above), |(name, key)| (name, key));
    let optional = match name {
        "" | "NoClientCert" if authorities.is_some() => {
            return bad(above, "client_ca_file needs client_auth_type: RequireAndVerifyClientCert");
        }
        "" | "NoClientCert" => return Ok(Clients::Any),
        "RequireAndVerifyClientCert" => false,
        "VerifyClientCertIfGiven" => true,
        "RequestClientCert" | "RequireAnyClientCert" | "RequireClientCert" => {
            return bad(
                key,
                "certificates that are not verified protect nothing; use \
                RequireAndVerifyClientCert",
            );
        }
        _ => return bad(key, "it is not NoClientCert or RequireAndVerifyClientCert"),
    };
    match authorities {
        Some(authorities) => Ok(Clients::Verified { authorities, optional }),
        None => bad(above, "client_ca_file is missing"),
    }
}

/// Whether a version is TLS13 rather than TLS12.
fn is_13(key: &str, value: &Node) -> Result<bool> {
    match text(key, value)?.as_str() {
        "TLS12" => Ok(false),
        "TLS13" => Ok(true),
        _ => bad(key, "it is not TLS12 or TLS13"),
    }
}

fn http(above: &str, value: &Node) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for (key, value) in entries(above, value)? {
        match last(above, &key) {
            "http2" if *value == Node::Bool(false) => {}
            "http2" => return bad(&key, "this server has HTTP/1.1 only; write false"),
            "headers" => found = headers(&key, value)?,
            _ => return bad(&key, UNKNOWN),
        }
    }
    Ok(found)
}

/// The headers that the format allows.
fn headers(above: &str, value: &Node) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for (key, value) in entries(above, value)? {
        let name = last(above, &key).to_owned();
        let allowed: &[&str] = match name.as_str() {
            "Content-Security-Policy" | "X-XSS-Protection" | "Strict-Transport-Security" => &[],
            "X-Frame-Options" => &["deny", "sameorigin"],
            "X-Content-Type-Options" => &["nosniff"],
            _ => return bad(&key, "this header cannot be set"),
        };
        // A blank value does not set the header.
        if *value == Node::Null || *value == Node::Text(String::new()) {
            continue;
        }
        let text = text(&key, value)?;
        if !text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
            return bad(&key, "it has characters that a header cannot have");
        }
        if !allowed.is_empty() && !allowed.contains(&text.as_str()) {
            return bad(&key, &format!("it is not {}", allowed.join(" or ")));
        }
        found.push((name, text));
    }
    Ok(found)
}

fn users(above: &str, value: &Node) -> Result<Vec<(String, Hash)>> {
    let mut found = Vec::new();
    for (key, value) in entries(above, value)? {
        let name = last(above, &key);
        if name.is_empty() || name.contains(':') {
            return bad(&key, "the name of a user has no colon, and is not empty");
        }
        match Hash::parse(&text(&key, value)?) {
            Ok(hash) => found.push((name.to_owned(), hash)),
            Err(reason) => return bad(&key, reason),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
