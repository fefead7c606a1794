// SPDX-License-Identifier: MIT
//! One repository of a registry (OCI distribution 1.1): requests with authentication.

mod auth;
mod pull;
mod push;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::credentials::{Credentials, Login, Store};
use crate::error::Error;
use crate::http::{Http, HttpError, Limits, Method, Request, Response, Url};
use crate::{Reference, challenge};
#[cfg(fuzzing)]
pub(crate) use auth::find_token;
pub use pull::{Pulled, pull_package};
pub use push::push;

/// The limit for answers without a content.
const SMALL: u64 = 64 << 10;

/// Where Docker Hub has its registry.
const DOCKER_HUB: (&str, &str) = ("docker.io", "registry-1.docker.io");

/// Is told how much was transferred.
pub trait Progress: fmt::Debug {
    /// `done` of `total` bytes were transferred.
    fn at(&self, done: u64, total: u64);
}

/// How to reach a registry, and what to accept from it.
#[derive(Debug, Clone)]
pub struct Options<'a> {
    /// The credentials.
    pub login: Login,
    /// Connect without TLS. A registry on this machine is always tried without TLS first.
    pub insecure: bool,
    /// The largest package or module, in bytes.
    pub max_size: u64,
    /// Is told how much was transferred.
    pub progress: Option<&'a dyn Progress>,
}

impl Options<'_> {
    /// With stored credentials, by TLS.
    #[must_use]
    pub fn with_max_size(max_size: u64) -> Options<'static> {
        Options { login: Login::Stored, insecure: false, max_size, progress: None }
    }
}

/// What is done with a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Pull,
    Push,
}

/// A connection to a repository.
#[derive(Debug)]
struct Client {
    http: Http,
    /// `https://HOST/`.
    base: Url,
    host: String,
    repository: String,
    access: Access,
    credentials: Option<Credentials>,
    /// Whether the credentials are from a file, where the user gave them to this registry.
    are_stored: bool,
    /// The token server that did not receive them.
    withheld: Option<Url>,
    /// The header of requests, once the registry has asked for one.
    authorization: Option<String>,
}

impl Client {
    fn new(reference: &Reference, options: &Options<'_>, access: Access) -> Result<Client, Error> {
        let (host, repository) = (reference.host(), reference.repository());
        let credentials = match &options.login {
            Login::Anonymous => None,
            Login::Given(credentials) => Some(credentials.clone()),
            Login::Stored => Store::of_environment().find(host, repository)?,
        };
        let is_plain = options.insecure || reference.is_loopback();
        let mut client = Client::to_host(host, is_plain, credentials)?;
        client.repository = match host == DOCKER_HUB.0 && !repository.contains('/') {
            true => format!("library/{repository}"),
            false => repository.to_owned(),
        };
        client.access = access;
        client.are_stored = matches!(options.login, Login::Stored);
        Ok(client)
    }

    /// A client for a registry, without a repository.
    fn to_host(
        host: &str,
        is_plain: bool,
        credentials: Option<Credentials>,
    ) -> Result<Client, Error> {
        let http = Http::default();
        let address = if host == DOCKER_HUB.0 { DOCKER_HUB.1 } else { host };
        let base = match is_plain && answers_plainly(&http, address)? {
            true => Url::parse(&format!("http://{address}/"))?,
            false => Url::parse(&format!("https://{address}/"))?,
        };
        Ok(Client {
            http,
            base,
            host: host.to_owned(),
            repository: String::new(),
            access: Access::Pull,
            credentials,
            are_stored: false,
            withheld: None,
            authorization: None,
        })
    }

    /// The URL of something in the repository.
    fn url(&self, path: &str) -> Result<Url, HttpError> {
        self.base.join(&format!("/v2/{}/{path}", self.repository))
    }

    /// Sends a request. If the registry asks for authentication, sends it once more.
    fn send(&mut self, request: &Request<'_>, limits: &Limits) -> Result<Response, Error> {
        let response = self.once(request, limits)?;
        if !self.asks(&response) {
            return Ok(response);
        }
        let challenge = challenge::find(response.headers("WWW-Authenticate"));
        let Some(authorization) = self.authenticate(challenge)? else {
            return Err(self.unauthorized(response));
        };
        self.authorization = Some(authorization);
        let response = self.once(request, limits)?;
        match self.asks(&response) {
            true => Err(self.unauthorized(response)),
            false => Ok(response),
        }
    }

    /// Whether the registry asks for authentication. After a redirect to an object store, the answer
    /// is not the registry's.
    fn asks(&self, response: &Response) -> bool {
        response.status() == 401 && response.url().is_same_origin(&self.base)
    }

    fn once(&self, request: &Request<'_>, limits: &Limits) -> Result<Response, HttpError> {
        self.http.send(&request.clone().authorization(self.authorization.as_deref()), limits)
    }

    fn unauthorized(&self, response: Response) -> Error {
        if let Some(realm) = &self.withheld {
            return Error::Withheld { host: self.host.clone(), realm: realm.to_string() };
        }
        let message = match response.failure() {
            HttpError::Status { message, .. } => message,
            _ => None,
        };
        let had_credentials = self.credentials.is_some();
        Error::Unauthorized { host: self.host.clone(), had_credentials, message }
    }

    fn protocol(&self, reason: impl Into<String>) -> Error {
        Error::Protocol { host: self.host.clone(), reason: reason.into() }
    }
}

/// Whether a server answers without TLS. Servers that expect TLS answer with status 400; nothing
/// secret is sent.
fn answers_plainly(http: &Http, host: &str) -> Result<bool, HttpError> {
    let request = Request::new(Method::Get, Url::parse(&format!("http://{host}/v2/"))?);
    Ok(http.send(&request, &Limits::size(SMALL))?.status() != 400)
}

/// Checks that a registry accepts a user name and a password.
///
/// # Errors
/// Returns an error if the registry cannot be reached, or refuses them.
pub fn check_login(host: &str, insecure: bool, credentials: &Credentials) -> Result<(), Error> {
    let bad = |reason| crate::BadReference { text: crate::text::short(host), reason };
    crate::reference::check_host(host).map_err(bad)?;
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let is_plain = insecure || crate::http::is_loopback(name) || crate::http::is_loopback(host);
    let mut client = Client::to_host(host, is_plain, Some(credentials.clone()))?;
    let request = Request::new(Method::Get, client.base.join("/v2/")?);
    client.send(&request, &Limits::size(SMALL))?.success()?;
    Ok(())
}
