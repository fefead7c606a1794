// SPDX-License-Identifier: MIT
//! Requests by HTTP: the only place that opens connections. It decides how long a server may
//! take, how large an answer may be, which redirects are followed, and who receives credentials.
//!
//! The time limits bound waiting, not the size of a download: 10 s for an address and a
//! connection, 30 s for the head of a response, 30 s without any data, and [`Limits::time`] for
//! the whole body. The proxy is the one of the environment (`HTTPS_PROXY`, `NO_PROXY`), except for
//! hosts that are this machine.

mod error;
mod message;
mod redirect;
mod response;
#[cfg(test)]
pub(crate) mod server;
mod tls;
mod url;

use std::cell::OnceCell;
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::{Agent, Proxy};

pub use error::{HttpError, Phase, Status};
#[cfg(fuzzing)]
pub(crate) use message::message;
pub use response::Response;
pub(crate) use url::is_loopback;
pub use url::{Scheme, Url, escape};

/// The time limit for an address, and again for a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// The time limit for the head of a response, and for a pause within a body.
const STALL: Duration = Duration::from_secs(30);

/// What the caller accepts.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The largest body, in bytes.
    pub size: u64,
    /// The time limit for the whole answer.
    pub time: Duration,
}

impl Limits {
    /// Up to `size` bytes, within ten minutes.
    #[must_use]
    pub fn size(size: u64) -> Limits {
        Limits { size, time: Duration::from_secs(600) }
    }
}

/// The method of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Fetch.
    Get,
    /// Ask whether it exists.
    Head,
    /// Send, in order to create.
    Post,
    /// Send to this address.
    Put,
}

/// A request.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    method: Method,
    url: Url,
    headers: Vec<(&'a str, &'a str)>,
    /// Sent only to the origin of `url`.
    authorization: Option<&'a str>,
    body: &'a [u8],
}

impl<'a> Request<'a> {
    /// A request without a body.
    #[must_use]
    pub fn new(method: Method, url: Url) -> Request<'a> {
        Request { method, url, headers: Vec::new(), authorization: None, body: &[] }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &'a str, value: &'a str) -> Request<'a> {
        self.headers.push((name, value));
        self
    }

    /// Sets the header `Authorization`. It is not sent to other hosts after a redirect.
    #[must_use]
    pub fn authorization(mut self, value: Option<&'a str>) -> Request<'a> {
        self.authorization = value;
        self
    }

    /// Sets the body and its type.
    #[must_use]
    pub fn body(self, media_type: &'a str, body: &'a [u8]) -> Request<'a> {
        let mut request = self.header("Content-Type", media_type);
        request.body = body;
        request
    }
}

/// Sends requests, and reuses connections.
#[derive(Debug, Default)]
pub struct Http {
    /// One for each combination of https and proxy, made when it is needed: reading certificates
    /// takes milliseconds.
    agents: [OnceCell<Agent>; 4],
}

/// Fetches a URL. Follows up to five redirects, never from https to http. A status other than 200
/// is an error.
///
/// # Errors
/// Returns an error if the URL is wrong, or the server cannot be reached or refuses.
pub fn get(url: &str, limits: &Limits) -> Result<Response, HttpError> {
    let request = Request::new(Method::Get, Url::parse(url)?);
    Http::default().send(&request, limits)?.success()
}

impl Http {
    /// Sends a request, and follows redirects of `GET` and `HEAD`. The status is not checked.
    ///
    /// # Errors
    /// Returns an error if there is no response, or a redirect that is not followed.
    pub fn send(&self, request: &Request<'_>, limits: &Limits) -> Result<Response, HttpError> {
        let deadline = Instant::now() + limits.time;
        let mut url = request.url.clone();
        for followed in 0.. {
            let authorization = request.authorization.filter(|_| url.is_same_origin(&request.url));
            let response = self.once(request, &url, authorization)?;
            if !redirect::is_redirect(response.status().as_u16()) {
                return Response::new(response, url, limits.size, deadline);
            }
            let location = response.headers().get("location").and_then(|to| to.to_str().ok());
            let is_fetch = matches!(request.method, Method::Get | Method::Head);
            url = redirect::next(&url, location, is_fetch, followed)?;
        }
        unreachable!("`next` ends the loop with an error");
    }

    /// Sends a request once.
    fn once(
        &self,
        request: &Request<'_>,
        url: &Url,
        authorization: Option<&str>,
    ) -> Result<ureq::http::Response<ureq::Body>, HttpError> {
        let method = match request.method {
            Method::Get => ureq::http::Method::GET,
            Method::Head => ureq::http::Method::HEAD,
            Method::Post => ureq::http::Method::POST,
            Method::Put => ureq::http::Method::PUT,
        };
        let mut built = ureq::http::Request::builder().method(method).uri(url.text());
        let authorization = authorization.map(|value| ("Authorization", value));
        for (name, value) in request.headers.iter().copied().chain(authorization) {
            built = built.header(name, value);
        }
        let agent = self.agent(url)?;
        let sent = match request.method {
            Method::Get | Method::Head => {
                built.body(()).map_err(ureq::Error::from).and_then(|request| agent.run(request))
            }
            Method::Post | Method::Put => built
                .body(request.body)
                .map_err(ureq::Error::from)
                .and_then(|request| agent.run(request)),
        };
        sent.map_err(|error| match proxy_for(agent, url) {
            Some(proxy) => HttpError::of(error, url).through(&proxy),
            None => HttpError::of(error, url),
        })
    }

    fn agent(&self, url: &Url) -> Result<&Agent, HttpError> {
        let is_secure = url.scheme() == Scheme::Https;
        let agent = &self.agents[usize::from(is_secure) + 2 * usize::from(url.is_loopback())];
        if let Some(agent) = agent.get() {
            return Ok(agent);
        }
        let config = config(is_secure, !url.is_loopback())?;
        Ok(agent.get_or_init(|| config.new_agent()))
    }
}

/// Host and port of the proxy that a request for a URL takes.
fn proxy_for(agent: &Agent, url: &Url) -> Option<String> {
    let proxy = agent.config().proxy()?;
    let uri = ureq::http::Uri::try_from(url.text()).ok()?;
    (!proxy.is_no_proxy(&uri)).then(|| format!("{}:{}", proxy.host(), proxy.port()))
}

fn config(is_secure: bool, by_proxy: bool) -> Result<Config, HttpError> {
    let config = Agent::config_builder()
        .user_agent(concat!("bpfpack/", env!("CARGO_PKG_VERSION")))
        // The digest of a layer is that of the bytes as they are stored.
        .accept_encoding("identity")
        .http_status_as_error(false)
        // `Http::send` follows them.
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_resolve(Some(CONNECT))
        .timeout_connect(Some(CONNECT))
        .timeout_recv_response(Some(STALL))
        .timeout_per_read(Some(STALL))
        .timeout_per_write(Some(STALL))
        .proxy(if by_proxy { Proxy::try_from_env() } else { None });
    #[cfg(feature = "tls")]
    let config = if is_secure { config.tls_config(tls::config()?) } else { config };
    #[cfg(not(feature = "tls"))]
    if is_secure {
        return Err(HttpError::NoTls);
    }
    Ok(config.build())
}

#[cfg(test)]
mod tests;
