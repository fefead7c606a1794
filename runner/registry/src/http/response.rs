// SPDX-License-Identifier: MIT
//! The answer of a server, whose body is read within the limits of the caller.

use std::fmt;
use std::io::{self, Read};
use std::time::{Duration, Instant};

use ureq::http::HeaderMap;

use super::message::message;
use super::{HttpError, Phase, Status, Url};
use crate::text;

/// The number of bytes that are read of the body of an error.
const MESSAGE: u64 = 64 << 10;

/// How long the body of an error may take.
const MESSAGE_TIME: Duration = Duration::from_secs(5);

/// The largest block of memory that is reserved because a server announces a size.
const RESERVED: u64 = 1 << 20;

/// The answer of a server. Reading it fails once the limits are exceeded; the error is an
/// [`HttpError`] within an [`io::Error`].
pub struct Response {
    /// Where it came from, after redirects.
    url: Url,
    status: u16,
    headers: HeaderMap,
    body: ureq::BodyReader<'static>,
    limit: u64,
    read: u64,
    deadline: Instant,
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response").field("url", &self.url).field("status", &self.status).finish()
    }
}

impl Response {
    pub(super) fn new(
        response: ureq::http::Response<ureq::Body>,
        url: Url,
        limit: u64,
        deadline: Instant,
    ) -> Result<Response, HttpError> {
        let (parts, body) = response.into_parts();
        let response = Response {
            url,
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: body.into_reader(),
            limit,
            read: 0,
            deadline,
        };
        match response.header("Content-Encoding") {
            None => Ok(response),
            Some(encoding) if encoding.eq_ignore_ascii_case("identity") => Ok(response),
            Some(encoding) => Err(HttpError::Encoding {
                url: response.url.to_string(),
                encoding: text::short(encoding),
            }),
        }
    }

    /// Where it came from, after redirects.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// A header, if it is visible ASCII.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// All headers with this name.
    pub(crate) fn headers(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers.get_all(name).iter().filter_map(|value| value.to_str().ok())
    }

    /// The size that the server announces.
    #[must_use]
    pub fn content_length(&self) -> Option<u64> {
        self.header("Content-Length").and_then(|length| length.parse().ok())
    }

    /// Returns the response if its status is 200 to 299.
    ///
    /// # Errors
    /// Returns an error with the message of the server for any other status, and if the announced
    /// size exceeds the limit.
    pub fn success(self) -> Result<Response, HttpError> {
        if !(200..300).contains(&self.status) {
            return Err(self.failure());
        }
        match self.content_length() {
            Some(length) if length > self.limit => Err(self.too_large()),
            _ => Ok(self),
        }
    }

    /// The error for a status, with the message in the body.
    pub(crate) fn failure(mut self) -> HttpError {
        let mut body = Vec::new();
        self.limit = MESSAGE;
        self.deadline = self.deadline.min(Instant::now() + MESSAGE_TIME);
        // Without a message, there is still the status.
        let _ = (&mut self).take(MESSAGE).read_to_end(&mut body);
        let status = Status(self.status);
        HttpError::Status { url: self.url.to_string(), status, message: message(&body) }
    }

    /// Reads the whole body.
    ///
    /// # Errors
    /// Returns an error if the body exceeds the limits, or the connection fails.
    pub fn read_all(self) -> Result<Vec<u8>, HttpError> {
        self.read_all_and_tell(|_, _| ())
    }

    /// As [`Response::read_all`]. `at` is told how many bytes were read, and how many the server
    /// announced; 0 if it announced none.
    ///
    /// # Errors
    /// As [`Response::read_all`].
    pub fn read_all_and_tell(mut self, at: impl Fn(u64, u64)) -> Result<Vec<u8>, HttpError> {
        let mut all = Vec::new();
        let announced = self.content_length().unwrap_or(0).min(self.limit).min(RESERVED);
        all.reserve(announced as usize);
        let mut part = vec![0; 64 << 10];
        loop {
            match self.fill(&mut part)? {
                0 => return Ok(all),
                len => all.extend_from_slice(&part[..len]),
            }
            at(all.len() as u64, self.content_length().unwrap_or(0));
        }
    }

    /// Reads a part of the body; 0 is the end.
    pub(crate) fn fill(&mut self, part: &mut [u8]) -> Result<usize, HttpError> {
        let len = self.body.read(part).map_err(|error| HttpError::of(error.into(), &self.url))?;
        self.read += len as u64;
        if self.read > self.limit {
            return Err(self.too_large());
        }
        // Each read is bounded, but a server may send a byte at a time.
        if len > 0 && Instant::now() > self.deadline {
            let host = self.url.authority();
            return Err(HttpError::Timeout { host, phase: Phase::Whole });
        }
        Ok(len)
    }

    fn too_large(&self) -> HttpError {
        HttpError::TooLarge { url: self.url.to_string(), limit: self.limit }
    }
}

impl Read for Response {
    fn read(&mut self, part: &mut [u8]) -> io::Result<usize> {
        self.fill(part).map_err(io::Error::other)
    }
}
