// SPDX-License-Identifier: MIT
//! Answers to challenges: a password for the registry itself, or a token from the server that the
//! registry names (distribution project, *Token Authentication*).
//!
//! A registry may name any token server. Stored credentials were given to the registry, so they go
//! only to a server in its domain; elsewhere, a token is asked for without them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::{Access, Client, SMALL};
use crate::challenge::Challenge;
use crate::credentials::Credentials;
use crate::error::Error;
use crate::http::{Limits, Method, Request, Scheme, Url, escape};
use crate::text;

/// The name of this program for token servers.
const CLIENT: &str = "bpfpack";

impl Client {
    /// Makes the header `Authorization`. Returns `None` if the challenge cannot be answered.
    pub(super) fn authenticate(
        &mut self,
        challenge: Option<Challenge>,
    ) -> Result<Option<String>, Error> {
        self.withheld = None;
        match (challenge, &self.credentials) {
            (Some(Challenge::Bearer { realm, service, scope }), _) => {
                let realm = self.realm(&realm)?;
                let is_other = self.are_stored && !self.is_ours(&realm);
                self.withheld = (is_other && self.credentials.is_some()).then(|| realm.clone());
                let token = self.token(realm, service.as_deref(), self.scope(scope))?;
                Ok(Some(format!("Bearer {token}")))
            }
            (Some(Challenge::Basic), Some(Credentials::Password { user, password })) => {
                Ok(Some(basic(user, password)))
            }
            _ => Ok(None),
        }
    }

    /// Checks the URL of the token server. It receives credentials, so it needs TLS, unless the
    /// registry itself has none.
    fn realm(&self, realm: &str) -> Result<Url, Error> {
        let refuse = |reason: String| Error::Realm {
            host: self.host.clone(),
            realm: text::short(realm),
            reason,
        };
        let url = Url::parse(realm).map_err(|error| refuse(error.to_string()))?;
        if self.base.scheme() == Scheme::Https && url.scheme() == Scheme::Http {
            return Err(refuse("it is not encrypted".to_owned()));
        }
        Ok(url)
    }

    /// Whether a token server is in the domain of the registry.
    fn is_ours(&self, realm: &Url) -> bool {
        let (ours, theirs) = (self.base.host(), realm.host());
        ours == theirs || domain(ours).is_some_and(|ours| domain(theirs) == Some(ours))
    }

    /// What the token must allow: what the registry asks for now, and what will be needed.
    fn scope(&self, asked: Option<String>) -> Option<String> {
        match asked {
            Some(scope) if self.access == Access::Push && scope.ends_with(":pull") => {
                Some(format!("{scope},push"))
            }
            Some(scope) => Some(scope),
            None if self.repository.is_empty() => None,
            None => {
                let actions = if self.access == Access::Push { "pull,push" } else { "pull" };
                Some(format!("repository:{}:{actions}", self.repository))
            }
        }
    }

    fn token(
        &self,
        realm: Url,
        service: Option<&str>,
        scope: Option<String>,
    ) -> Result<String, Error> {
        let mut parameters = Vec::new();
        parameters.extend(service.map(|service| ("service", service)));
        parameters.extend(scope.as_deref().map(|scope| ("scope", scope)));
        let limits = Limits::size(SMALL);
        let credentials = self.credentials.as_ref().filter(|_| self.withheld.is_none());
        let response = match credentials {
            Some(Credentials::IdentityToken(token)) => {
                parameters.extend([
                    ("grant_type", "refresh_token"),
                    ("refresh_token", token),
                    ("client_id", CLIENT),
                ]);
                let form = form(&parameters);
                let request = Request::new(Method::Post, realm)
                    .body("application/x-www-form-urlencoded", form.as_bytes());
                self.http.send(&request, &limits)?
            }
            credentials => {
                let url = parameters
                    .iter()
                    .fold(realm, |url, (name, value)| url.with_parameter(name, &escape(value)));
                let header = match credentials {
                    Some(Credentials::Password { user, password }) => Some(basic(user, password)),
                    _ => None,
                };
                let request = Request::new(Method::Get, url).authorization(header.as_deref());
                self.http.send(&request, &limits)?
            }
        };
        if matches!(response.status(), 401 | 403) {
            return Err(self.unauthorized(response));
        }
        let body = response.success()?.read_all()?;
        find_token(&body).ok_or_else(|| self.protocol("its token server sent no token"))
    }
}

/// The domain that one owner has, such as `example.org` of `auth.example.org`: two names, or three if
/// the last two are short, as in `example.co.uk`. An address has none.
fn domain(host: &str) -> Option<&str> {
    if host.starts_with('[') || host.parse::<std::net::IpAddr>().is_ok() {
        return None;
    }
    let mut dots = host.rmatch_indices('.').map(|(at, _)| at);
    let (last, second) = (dots.next()?, dots.next());
    let begin = second.map_or(0, |at| at + 1);
    let is_short = |name: &str| name.len() <= 3;
    match is_short(&host[last + 1..]) && is_short(&host[begin..last]) {
        false => Some(&host[begin..]),
        // `co.uk` alone is not a domain of one owner.
        true => second.map(|_| dots.next().map_or(host, |at| &host[at + 1..])),
    }
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

fn form(parameters: &[(&str, &str)]) -> String {
    let pairs = parameters.iter().map(|(name, value)| format!("{name}={}", escape(value)));
    pairs.collect::<Vec<_>>().join("&")
}

/// The token in the answer of a token server, which may have either name. It becomes a part of a
/// header, so it is checked.
pub(crate) fn find_token(body: &[u8]) -> Option<String> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let is_token =
        |token: &&str| !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    ["token", "access_token"]
        .into_iter()
        .filter_map(|name| value.get(name)?.as_str())
        .find(is_token)
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens() {
        let of = |body: &str| find_token(body.as_bytes());
        assert_eq!(of(r#"{"token":"a.b-c"}"#).as_deref(), Some("a.b-c"));
        assert_eq!(of(r#"{"token":"","access_token":"x"}"#).as_deref(), Some("x"));
        for body in
            ["", "{}", "[]", r#"{"token":3}"#, r#"{"token":"a\r\nHost: x"}"#, r#"{"token":"é"}"#]
        {
            assert_eq!(of(body), None, "{body}");
        }
    }

    #[test]
    fn domains() {
        for (host, expected) in [
            ("registry-1.docker.io", Some("docker.io")),
            ("docker.io", Some("docker.io")),
            ("gitlab.com", Some("gitlab.com")),
            ("a.b.registry.gitlab.com", Some("gitlab.com")),
            ("a.b.example.co.uk", Some("example.co.uk")),
            ("example.co.uk", Some("example.co.uk")),
            ("co.uk", None),
            ("h.io", None),
            ("localhost", None),
            ("127.0.0.1", None),
            ("[::1]", None),
        ] {
            assert_eq!(domain(host), expected, "{host}");
        }
    }

    #[test]
    fn headers_and_forms() {
        // RFC 7617 has this example.
        assert_eq!(basic("Aladdin", "open sesame"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!(form(&[("a", "b c"), ("d", "&")]), "a=b%20c&d=%26");
    }
}
