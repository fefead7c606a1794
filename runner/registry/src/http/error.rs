// SPDX-License-Identifier: MIT
//! Why a request failed.

use std::io;

use super::Url;
use crate::text;

/// What a request waited for when its time was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The address of the host.
    Resolve,
    /// The connection, with its TLS handshake.
    Connect,
    /// The server, while the request was sent.
    Send,
    /// The head of the response.
    Response,
    /// More of the body.
    Body,
    /// The end of the body.
    Whole,
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Phase::Resolve => "it could not be resolved in time",
            Phase::Connect => "no connection in time",
            Phase::Send => "it accepted no more data",
            Phase::Response => "no response in time",
            Phase::Body => "no more data arrived",
            Phase::Whole => "the download took too long",
        })
    }
}

/// Why a request failed. Texts of servers in it are short and printable.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The text is not a URL.
    #[error("`{url}` is not a usable URL: {reason}")]
    BadUrl {
        /// The text.
        url: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// The scheme is neither http nor https.
    #[error("URLs with the scheme `{0}` are not supported, only https and http")]
    Scheme(String),
    /// The host has no address.
    #[error("cannot resolve the host `{0}`")]
    Resolve(String),
    /// Nothing listens there.
    #[error("`{0}` refused the connection")]
    Refused(String),
    /// The server did not answer in time.
    #[error("`{host}`: {phase}")]
    Timeout {
        /// The host.
        host: String,
        /// What it waited for.
        phase: Phase,
    },
    /// No trusted connection.
    #[error("no trusted connection to `{host}`: {reason}")]
    Tls {
        /// The host.
        host: String,
        /// The reason of the TLS library.
        reason: String,
    },
    /// There are no certificates to trust.
    #[error("no certificates to trust: {0}")]
    NoCertificates(String),
    /// This program was built without TLS.
    #[error("https is not supported: the program was built without the feature `tls`")]
    NoTls,
    /// The server answered with an error.
    #[error("`{url}`: {status}{}", .message.as_ref().map(|text| format!(": {text}")).unwrap_or_default())]
    Status {
        /// The URL, without its query.
        url: String,
        /// The code and its name.
        status: Status,
        /// The message of the server.
        message: Option<String>,
    },
    /// The body exceeds the limit.
    #[error("`{url}` is too large: the limit is {}", text::size(*.limit))]
    TooLarge {
        /// The URL, without its query.
        url: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// A redirect that is not followed.
    #[error("`{from}` redirects to `{to}`: {reason}")]
    Redirect {
        /// The URL, without its query.
        from: String,
        /// The reference of the server.
        to: String,
        /// Why it is not followed.
        reason: String,
    },
    /// The body is compressed although the request does not allow it.
    #[error("`{url}` is sent in the encoding `{encoding}`, which was not asked for")]
    Encoding {
        /// The URL, without its query.
        url: String,
        /// The encoding.
        encoding: String,
    },
    /// The proxy of the environment does not connect.
    #[error("the proxy does not connect to `{host}`: {reason}")]
    Proxy {
        /// The host.
        host: String,
        /// Its answer.
        reason: String,
    },
    /// The connection ended early.
    #[error("`{0}` closed the connection before the end of its answer")]
    Closed(String),
    /// Anything else.
    #[error("`{host}`: {reason}")]
    Other {
        /// The host.
        host: String,
        /// The reason.
        reason: String,
    },
}

/// The status of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status(pub u16);

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let code = ureq::http::StatusCode::from_u16(self.0).ok();
        match code.and_then(|code| code.canonical_reason()) {
            Some(reason) => write!(f, "{} ({})", reason.to_lowercase(), self.0),
            None => write!(f, "status {}", self.0),
        }
    }
}

impl HttpError {
    /// The error for a failure of the HTTP library.
    pub(super) fn of(error: ureq::Error, url: &Url) -> HttpError {
        let host = url.authority();
        match error {
            ureq::Error::HostNotFound => HttpError::Resolve(host),
            ureq::Error::Timeout(timeout) => {
                let phase = match timeout {
                    ureq::Timeout::Resolve => Phase::Resolve,
                    ureq::Timeout::Connect => Phase::Connect,
                    ureq::Timeout::SendRequest
                    | ureq::Timeout::SendBody
                    | ureq::Timeout::PerWrite => Phase::Send,
                    ureq::Timeout::RecvResponse => Phase::Response,
                    _ => Phase::Body,
                };
                HttpError::Timeout { host, phase }
            }
            ureq::Error::Io(error) => HttpError::of_io(&error, host),
            ureq::Error::ConnectProxyFailed(reason) => {
                HttpError::Proxy { host, reason: text::short(&reason) }
            }
            #[cfg(feature = "tls")]
            ureq::Error::Rustls(error) => {
                HttpError::Tls { host, reason: text::short(&error.to_string()) }
            }
            error => HttpError::Other { host, reason: text::short(&error.to_string()) },
        }
    }

    /// Names the proxy if the error is its, not the server's.
    pub(super) fn through(self, proxy: &str) -> HttpError {
        let of = |host, reason: String| HttpError::Proxy { host, reason };
        match self {
            HttpError::Refused(host) => of(host, format!("`{proxy}` refused the connection")),
            HttpError::Resolve(host) => of(host, format!("cannot resolve the host of `{proxy}`")),
            HttpError::Timeout { host, phase: phase @ (Phase::Resolve | Phase::Connect) } => {
                of(host, format!("`{proxy}`: {phase}"))
            }
            other => other,
        }
    }

    fn of_io(error: &io::Error, host: String) -> HttpError {
        #[cfg(feature = "tls")]
        if let Some(error) = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>())
        {
            return HttpError::Tls { host, reason: text::short(&error.to_string()) };
        }
        match error.kind() {
            io::ErrorKind::ConnectionRefused => HttpError::Refused(host),
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe => HttpError::Closed(host),
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
                HttpError::Timeout { host, phase: Phase::Body }
            }
            // The resolver of the standard library has no kind of its own.
            _ if error.to_string().contains("lookup address") => HttpError::Resolve(host),
            _ => HttpError::Other { host, reason: text::short(&error.to_string()) },
        }
    }
}
