// SPDX-License-Identifier: MIT
//! Reads and writes the bytes of a connection, with or without TLS, without ever waiting.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::PollFlags;
use rustix::net::{RecvFlags, SendFlags, Shutdown};

/// The configuration of TLS connections.
#[cfg(feature = "tls")]
pub(crate) type TlsConfig = rustls::ServerConfig;

/// There is none: a build without TLS.
#[cfg(not(feature = "tls"))]
#[derive(Debug)]
pub(crate) enum TlsConfig {}

/// A socket that does not block.
#[derive(Debug)]
pub(crate) struct Socket(pub(crate) OwnedFd);

impl Socket {
    /// The first byte, which remains to be read; `None` at the end.
    pub(crate) fn peek(&self) -> io::Result<Option<u8>> {
        let mut byte = [0];
        let (_, length) = rustix::net::recv(&self.0, &mut byte[..], RecvFlags::PEEK)?;
        Ok((length > 0).then_some(byte[0]))
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (_, length) = rustix::net::recv(&self.0, buffer, RecvFlags::empty())?;
        Ok(length)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Whatever the process does with SIGPIPE.
        Ok(rustix::net::send(&self.0, bytes, SendFlags::NOSIGNAL)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The bytes of a connection. All functions return `WouldBlock` instead of waiting.
#[derive(Debug)]
pub(crate) enum Transport {
    /// Without TLS.
    Plain(Socket),
    /// With TLS.
    #[cfg(feature = "tls")]
    Tls(Box<rustls::ServerConnection>, Socket),
}

impl Transport {
    /// Begins TLS: the handshake happens when something is read.
    #[cfg(feature = "tls")]
    pub(crate) fn secure(self, config: Arc<TlsConfig>) -> io::Result<Transport> {
        let (Transport::Plain(socket) | Transport::Tls(_, socket)) = self;
        let session = rustls::ServerConnection::new(config).map_err(io::Error::other)?;
        Ok(Transport::Tls(Box::new(session), socket))
    }

    /// There are no values of the parameter.
    #[cfg(not(feature = "tls"))]
    pub(crate) fn secure(self, config: Arc<TlsConfig>) -> io::Result<Transport> {
        match *config {}
    }

    pub(crate) fn is_secure(&self) -> bool {
        !matches!(self, Transport::Plain(_))
    }

    pub(crate) fn socket(&self) -> &Socket {
        match self {
            Transport::Plain(socket) => socket,
            #[cfg(feature = "tls")]
            Transport::Tls(_, socket) => socket,
        }
    }

    /// Reads some bytes; 0 are the end.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Transport::Plain(socket) => socket.read(buffer),
            #[cfg(feature = "tls")]
            Transport::Tls(session, socket) => tls::read(session, socket, buffer),
        }
    }

    /// Accepts some bytes, some of which may wait for [`Transport::flush`].
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Transport::Plain(socket) => socket.write(bytes),
            #[cfg(feature = "tls")]
            Transport::Tls(session, socket) => {
                tls::flush(session, socket)?;
                session.writer().write(bytes)
            }
        }
    }

    /// Hands all bytes to the kernel.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        match self {
            Transport::Plain(_) => Ok(()),
            #[cfg(feature = "tls")]
            Transport::Tls(session, socket) => tls::flush(session, socket),
        }
    }

    /// Ends what is written. The other side may still send.
    pub(crate) fn shutdown(&mut self) {
        // Whether the client hears of it or not, nothing else is sent.
        #[cfg(feature = "tls")]
        if let Transport::Tls(session, socket) = self {
            session.send_close_notify();
            let _ = tls::flush(session, socket);
        }
        let _ = rustix::net::shutdown(&self.socket().0, Shutdown::Write);
    }

    /// What to wait for after `WouldBlock`.
    pub(crate) fn interest(&self, is_writing: bool) -> PollFlags {
        #[cfg(feature = "tls")]
        if let Transport::Tls(session, _) = self
            && session.wants_write()
        {
            return PollFlags::OUT;
        }
        if is_writing { PollFlags::OUT } else { PollFlags::IN }
    }
}

impl AsFd for Transport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket().0.as_fd()
    }
}

#[cfg(feature = "tls")]
mod tls {
    use std::io::{self, Read as _};

    use rustls::ServerConnection;

    use super::Socket;

    /// How often bytes are received at once, for a client that sends faster than they are decrypted.
    const MAX_RECEIVED: usize = 32;

    pub(super) fn read(
        session: &mut ServerConnection,
        socket: &mut Socket,
        buffer: &mut [u8],
    ) -> io::Result<usize> {
        for _ in 0..MAX_RECEIVED {
            flush(session, socket)?;
            match session.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
            if session.read_tls(socket)? == 0 {
                return Ok(0);
            }
            if let Err(error) = session.process_new_packets() {
                // Tells the client what is wrong, if the kernel has room for it.
                let _ = flush(session, socket);
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
        }
        // The socket is readable, so this one returns soon.
        Err(io::ErrorKind::WouldBlock.into())
    }

    pub(super) fn flush(session: &mut ServerConnection, socket: &mut Socket) -> io::Result<()> {
        while session.wants_write() {
            if session.write_tls(socket)? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }
}
