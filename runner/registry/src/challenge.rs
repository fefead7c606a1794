// SPDX-License-Identifier: MIT
//! Parses the header `WWW-Authenticate`: what a registry wants to see before it answers (RFC 9110,
//! 11.6.1, and the token authentication of the distribution project).

/// The largest header that is read.
const MAX_HEADER: usize = 4096;

/// What a registry asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// A token of the server `realm`.
    Bearer {
        /// The URL of the token server.
        realm: String,
        /// The name of the registry there.
        service: Option<String>,
        /// What the token must allow.
        scope: Option<String>,
    },
    /// User name and password.
    Basic,
}

/// Finds a challenge that can be answered; a token is preferred to a password.
pub(crate) fn find<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Challenge> {
    let mut found = None;
    for challenge in headers.flat_map(parse) {
        if matches!(challenge, Challenge::Bearer { .. }) {
            return Some(challenge);
        }
        found = Some(challenge);
    }
    found
}

/// The challenges of one header that are understood.
fn parse(header: &str) -> Vec<Challenge> {
    let mut found = Vec::new();
    if header.len() > MAX_HEADER {
        return found;
    }
    let mut schemes: Vec<(String, Vec<(String, String)>)> = Vec::new();
    let mut rest = header;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let (word, after) = token(rest);
        if word.is_empty() {
            break;
        }
        rest = after.trim_start();
        match (rest.strip_prefix('='), schemes.last_mut()) {
            (Some(value), Some((_, parameters))) => {
                let Some((value, after)) = self::value(value.trim_start()) else { break };
                parameters.push((word.to_ascii_lowercase(), value));
                rest = after;
            }
            (Some(_), None) => break,
            (None, _) => schemes.push((word.to_ascii_lowercase(), Vec::new())),
        }
    }
    for (scheme, parameters) in schemes {
        let get = |name: &str| {
            let found = parameters.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.clone())
        };
        match (scheme.as_str(), get("realm")) {
            ("bearer", Some(realm)) => found.push(Challenge::Bearer {
                realm,
                service: get("service"),
                scope: get("scope"),
            }),
            ("basic", _) => found.push(Challenge::Basic),
            _ => {}
        }
    }
    found
}

/// Splits off a token (RFC 9110, 5.6.2).
fn token(text: &str) -> (&str, &str) {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    text.split_at(text.find(|c| !is_token(c)).unwrap_or(text.len()))
}

/// Splits off a token or a quoted text. Returns `None` if the quotes do not end.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (word, rest) = token(text);
        return Some((word.to_owned(), rest));
    };
    let mut out = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((out, &quoted[at + 1..])),
            '\\' => out.push(chars.next()?.1),
            _ => out.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(header: &str) -> Option<Challenge> {
        find([header].into_iter())
    }

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Option<Challenge> {
        let [service, scope] = [service, scope].map(|text| text.map(str::to_owned));
        Some(Challenge::Bearer { realm: realm.to_owned(), service, scope })
    }

    #[test]
    fn challenges() {
        let ghcr = r#"Bearer realm="https://ghcr.io/token",service="ghcr.io",scope="repository:a/b:pull,push""#;
        let scope = "repository:a/b:pull,push";
        assert_eq!(one(ghcr), bearer("https://ghcr.io/token", Some("ghcr.io"), Some(scope)));
        assert_eq!(one(r#"Basic realm="Registry Realm""#), Some(Challenge::Basic));
        assert_eq!(one("bearer REALM=x , Service = y"), bearer("x", Some("y"), None));
        assert_eq!(one(r#"Bearer realm="a\"b""#), bearer(r#"a"b"#, None, None));
        let both = r#"Basic realm="x", Bearer realm="y""#;
        assert_eq!(one(both), bearer("y", None, None));
        assert_eq!(find([r#"Basic realm="x""#, both].into_iter()), bearer("y", None, None));
    }

    #[test]
    fn hostile_challenges() {
        for header in [
            "",
            ",,,",
            "=",
            "Bearer",
            "Bearer realm",
            r#"Bearer realm="x"#,
            r#"Bearer realm="x\"#,
            "Bearer service=x",
            "realm=x",
            "Negotiate",
            "Digest realm=\"x\"",
            "Bearér realm=x",
            &format!("Bearer realm=\"{}\"", "x".repeat(MAX_HEADER)),
        ] {
            assert_eq!(one(header), None, "{header}");
        }
    }
}
