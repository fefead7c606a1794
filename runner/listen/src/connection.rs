// SPDX-License-Identifier: MIT
//! One connection: reads requests, answers them, and never waits. `advance` does what is possible
//! now, and says what the connection waits for.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;

use crate::auth::Check;
use crate::request::{BadRequest, MAX_HEAD, Request, parse_head};
use crate::response::{Form, Response, encode};
use crate::service::Service;
use crate::transport::{Socket, Transport};
use crate::web::Rules;

/// Bytes that are read at once.
const CHUNK: usize = 4096;

/// Bytes that are written before others have their turn, and the deadline is looked at: the socket of
/// a client that reads all the time may never be full.
const MAX_WRITTEN: usize = 1 << 20;

/// After the last response, how long the client may take to close its side, and how many bytes of
/// it are discarded. If the server closed at once, the kernel would reset a connection with unread
/// bytes, and the client could lose the response.
const LINGER: Duration = Duration::from_secs(2);
const MAX_DISCARDED: usize = 256 << 10;

/// What a connection needs next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Its socket to become ready.
    Wait,
    /// A worker, after other connections have had one.
    Again,
    /// [`Connection::verify`], which takes long.
    Verify,
    /// Nothing.
    Close,
}

#[derive(Debug)]
enum Phase {
    /// Nothing was received.
    Start,
    Read,
    /// A password has to be checked.
    Verify(Box<Request>),
    /// It was checked.
    Verified(Box<Request>, bool),
    Write,
    /// Everything was sent.
    Linger,
}

/// A connection, with all that it waits for.
#[derive(Debug)]
pub(crate) struct Connection {
    /// `None` after a failure to begin TLS.
    transport: Option<Transport>,
    peer: Option<SocketAddr>,
    phase: Phase,
    /// When it is closed unless its socket becomes ready.
    deadline: Instant,
    /// Those of the handshake.
    rules: Option<Arc<Rules>>,
    input: Vec<u8>,
    /// Bytes of the input in which no head ends.
    scanned: usize,
    output: Vec<u8>,
    /// Bytes of the output that the transport has.
    sent: usize,
    /// Whether the response that is being sent is the last one.
    closes: bool,
    answered: bool,
    discarded: usize,
    /// Only held.
    _slot: Slot,
}

/// Counts a connection as long as it exists.
#[derive(Debug)]
pub(crate) struct Slot(Arc<AtomicUsize>);

impl Slot {
    /// Counts one more. Returns the number before, too.
    pub(crate) fn take(count: &Arc<AtomicUsize>) -> (Slot, usize) {
        let before = count.fetch_add(1, Ordering::Relaxed);
        (Slot(Arc::clone(count)), before)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Connection {
    /// A connection that has just been accepted, and does not block.
    pub(crate) fn new(
        socket: OwnedFd,
        peer: Option<SocketAddr>,
        slot: Slot,
        timeout: Duration,
    ) -> Connection {
        Connection {
            transport: Some(Transport::Plain(Socket(socket))),
            peer,
            phase: Phase::Start,
            deadline: Instant::now() + timeout,
            rules: None,
            input: Vec::new(),
            scanned: 0,
            output: Vec::new(),
            sent: 0,
            closes: false,
            answered: false,
            discarded: 0,
            _slot: slot,
        }
    }

    /// Answers without reading a request, and closes.
    pub(crate) fn refuse(&mut self, response: Response) {
        self.send(encode(response, &Form::default()), true, LINGER);
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// What the socket must be for [`Connection::advance`] to get further.
    pub(crate) fn interest(&self) -> PollFlags {
        let is_writing = matches!(self.phase, Phase::Write);
        self.transport.as_ref().map_or(PollFlags::IN, |it| it.interest(is_writing))
    }

    /// The socket, unless TLS failed.
    pub(crate) fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.transport.as_ref().map(Transport::as_fd)
    }

    /// Does what is possible without waiting.
    pub(crate) fn advance(&mut self, service: &Service) -> Next {
        loop {
            let result = match self.phase {
                Phase::Start => self.start(service),
                Phase::Read => self.read(service),
                Phase::Verify(_) => Ok(Some(Next::Verify)),
                Phase::Verified(..) => self.verified(service),
                Phase::Write => self.write(service),
                Phase::Linger => self.linger(),
            };
            match result {
                Ok(None) => {}
                Ok(Some(next)) => return next,
                Err(error) if is_temporary(&error) => return Next::Wait,
                // The client is gone, or does not speak TLS.
                Err(_) => return Next::Close,
            }
        }
    }

    /// Checks the password of the request. Only after [`Next::Verify`].
    pub(crate) fn verify(&mut self, service: &Service) {
        let Phase::Verify(request) = std::mem::replace(&mut self.phase, Phase::Read) else {
            return;
        };
        let rules = service.rules();
        let header = request.header("authorization");
        let is_right = match rules.as_ref().and_then(|rules| rules.users.as_ref()) {
            // Another connection may have had the same password.
            Some(users) => users.check(header) == Check::Accepted || users.verify(header),
            // Users do not come and go: `WebConfig`.
            None => false,
        };
        self.phase = Phase::Verified(request, is_right);
    }

    fn transport(&mut self) -> io::Result<&mut Transport> {
        self.transport.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Begins TLS if the server uses it.
    fn start(&mut self, service: &Service) -> io::Result<Option<Next>> {
        let Some(first) = self.transport()?.socket().peek()? else { return Ok(Some(Next::Close)) };
        self.rules = service.rules();
        let tls = self.rules.as_ref().and_then(|rules| rules.tls.clone());
        self.phase = Phase::Read;
        match tls {
            // TLS begins with 0x16; a request with its method.
            Some(_) if first.is_ascii_alphabetic() => {
                self.refuse(Response::text(400, "this server requires TLS: use https\n"));
            }
            Some(tls) => {
                let plain = self.transport.take();
                self.transport = plain.map(|plain| plain.secure(tls)).transpose()?;
            }
            None => {}
        }
        Ok(None)
    }

    fn read(&mut self, service: &Service) -> io::Result<Option<Next>> {
        loop {
            if self.may_have_head() {
                match parse_head(&self.input) {
                    Ok(Some((request, length))) => {
                        self.input.drain(..length);
                        self.scanned = 0;
                        return Ok(self.answer(request, service));
                    }
                    Ok(None) => {}
                    Err(bad) => {
                        self.reject(bad, service);
                        return Ok(None);
                    }
                }
            }
            let mut chunk = [0; CHUNK];
            let length = self.transport()?.read(&mut chunk)?;
            if length == 0 {
                return Ok(Some(Next::Close));
            }
            if self.input.is_empty() && self.answered {
                self.deadline = Instant::now() + service.config.head_timeout;
            }
            self.input.extend_from_slice(&chunk[..length]);
        }
    }

    /// Whether parsing may succeed or fail now. A head is not parsed again for each byte of a client
    /// that sends it in many parts.
    fn may_have_head(&mut self) -> bool {
        let is_new = self.scanned == 0;
        let bytes = &self.input[self.scanned.saturating_sub(2)..];
        self.scanned = self.input.len();
        let has_end = bytes.windows(2).any(|pair| pair == b"\n\n")
            || bytes.windows(3).any(|three| three == b"\n\r\n");
        // What does not begin with a method is refused without waiting for a line.
        let is_strange =
            is_new && self.input.first().is_some_and(|byte| !byte.is_ascii_uppercase());
        has_end || is_strange || self.input.len() >= MAX_HEAD
    }

    fn reject(&mut self, bad: BadRequest, service: &Service) {
        let headers: &[_] = self.rules.as_ref().map_or(&[], |rules| &rules.headers);
        let form = Form { headers, ..Form::default() };
        let bytes = encode(Response::text(bad.status(), &format!("{bad}\n")), &form);
        self.send(bytes, true, service.config.write_timeout);
    }

    fn answer(&mut self, mut request: Request, service: &Service) -> Option<Next> {
        request.set_peer(self.peer);
        let rules = service.rules();
        if self.is_outdated(rules.as_ref()) && rules.as_ref().is_some_and(|it| it.verifies_clients)
        {
            // Its certificate may not be accepted any more. Clients repeat a request on a new
            // connection if the previous one was closed.
            return Some(Next::Close);
        }
        let users = rules.as_ref().and_then(|rules| rules.users.as_ref());
        match users.map(|users| users.check(request.header("authorization"))) {
            None | Some(Check::Accepted) => self.respond(&request, true, rules.as_ref(), service),
            Some(Check::Refused) => self.respond(&request, false, rules.as_ref(), service),
            Some(Check::Unknown) => self.phase = Phase::Verify(Box::new(request)),
        }
        None
    }

    fn verified(&mut self, service: &Service) -> io::Result<Option<Next>> {
        if let Phase::Verified(request, is_right) = std::mem::replace(&mut self.phase, Phase::Read)
        {
            self.respond(&request, is_right, service.rules().as_ref(), service);
        }
        Ok(None)
    }

    /// Whether the handshake used certificates that are no longer current.
    fn is_outdated(&self, now: Option<&Arc<Rules>>) -> bool {
        let is_secure = self.transport.as_ref().is_some_and(Transport::is_secure);
        let same = self.rules.as_ref().map(Arc::as_ptr) == now.map(Arc::as_ptr);
        is_secure && !same
    }

    /// Sends the handler's response, or 401 if the client is not allowed.
    fn respond(
        &mut self,
        request: &Request,
        is_allowed: bool,
        rules: Option<&Arc<Rules>>,
        service: &Service,
    ) {
        let response = match is_allowed {
            true => (service.handler)(request),
            false => Response::text(401, "this server requires a user name and a password\n"),
        };
        let mut form = Form::of(request, rules.map_or(&[], |rules| &rules.headers));
        form.keeps_alive &= !self.is_outdated(rules);
        let bytes = encode(response, &form);
        self.send(bytes, !form.keeps_alive, service.config.write_timeout);
    }

    fn send(&mut self, bytes: Vec<u8>, closes: bool, timeout: Duration) {
        (self.output, self.sent, self.closes) = (bytes, 0, closes);
        self.phase = Phase::Write;
        self.deadline = Instant::now() + timeout;
    }

    fn write(&mut self, service: &Service) -> io::Result<Option<Next>> {
        let end = self.output.len().min(self.sent + MAX_WRITTEN);
        while self.sent < end {
            let rest = &self.output[self.sent..end];
            let transport = self.transport.as_mut().ok_or(io::ErrorKind::NotConnected)?;
            self.sent += transport.write(rest)?;
        }
        self.transport()?.flush()?;
        if end < self.output.len() {
            return Ok(Some(Next::Wait));
        }
        self.output = Vec::new();
        if self.closes {
            self.transport()?.shutdown();
            self.phase = Phase::Linger;
            self.deadline = Instant::now() + LINGER;
            return Ok(None);
        }
        self.phase = Phase::Read;
        self.answered = true;
        if self.input.is_empty() {
            self.input = Vec::new();
            self.deadline = Instant::now() + service.config.idle_timeout;
            return Ok(None);
        }
        // Others have their turn before the next request of this client.
        self.deadline = Instant::now() + service.config.head_timeout;
        Ok(Some(Next::Again))
    }

    fn linger(&mut self) -> io::Result<Option<Next>> {
        let mut chunk = [0; CHUNK];
        while self.discarded < MAX_DISCARDED {
            match self.transport()?.read(&mut chunk)? {
                0 => break,
                length => self.discarded += length,
            }
        }
        Ok(Some(Next::Close))
    }
}

fn is_temporary(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
