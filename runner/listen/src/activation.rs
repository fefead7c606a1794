// SPDX-License-Identifier: MIT
//! Sockets that systemd opens and passes to the service (sd_listen_fds(3)): descriptors from 3,
//! whose number is in `LISTEN_FDS`, for the process that `LISTEN_PID` names.

use std::ffi::{OsStr, OsString};
use std::os::fd::{OwnedFd, RawFd};
use std::{fmt, io};

use rustix::net::{AddressFamily, SocketType, sockopt};

use crate::address::FIRST_DESCRIPTOR;
use crate::error::ListenError;

/// As many descriptors as a service has sockets for this; a larger number is an error of whoever set
/// the variable.
const MAX_DESCRIPTORS: i32 = 16;

/// What says which sockets this process was given.
pub struct Activation<'a> {
    /// The variable `LISTEN_PID`.
    pub process: Option<OsString>,
    /// The variable `LISTEN_FDS`.
    pub descriptors: Option<OsString>,
    /// Duplicates a descriptor that the process has inherited. That needs unsafe code, which
    /// this crate does not have.
    pub inherit: &'a dyn Fn(RawFd) -> io::Result<OwnedFd>,
}

impl fmt::Debug for Activation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Activation { process, descriptors, .. } = self;
        f.debug_struct("Activation")
            .field("process", process)
            .field("descriptors", descriptors)
            .finish_non_exhaustive()
    }
}

impl Activation<'static> {
    /// No sockets.
    #[must_use]
    pub fn none() -> Activation<'static> {
        let inherit = &|_| Err(io::ErrorKind::Unsupported.into());
        Activation { process: None, descriptors: None, inherit }
    }
}

impl<'a> Activation<'a> {
    /// The sockets that the environment of this process tells of.
    pub fn of_environment(inherit: &'a dyn Fn(RawFd) -> io::Result<OwnedFd>) -> Activation<'a> {
        let [process, descriptors] = ["LISTEN_PID", "LISTEN_FDS"].map(std::env::var_os);
        Activation { process, descriptors, inherit }
    }

    /// The socket with the number, or all of them. They no longer block.
    pub(crate) fn sockets(&self, number: Option<RawFd>) -> Result<Vec<OwnedFd>, ListenError> {
        let count = self.count().map_err(ListenError::NotActivated)?;
        let passed = FIRST_DESCRIPTOR..FIRST_DESCRIPTOR + count;
        let numbers = match number {
            Some(number) if passed.contains(&number) => number..number + 1,
            Some(number) => {
                let reason = format!("systemd passed {count} sockets, which are numbered from 3");
                return Err(ListenError::Descriptor { number, reason });
            }
            None => passed,
        };
        numbers
            .map(|number| {
                let bad = |reason| ListenError::Descriptor { number, reason };
                let socket = (self.inherit)(number).map_err(|error| bad(error.to_string()))?;
                check(&socket).map_err(bad)?;
                Ok(socket)
            })
            .collect()
    }

    /// How many descriptors are for this process.
    fn count(&self) -> Result<i32, &'static str> {
        let number = |text: &OsStr| text.to_str().and_then(|text| text.parse::<i32>().ok());
        let process = self.process.as_deref().ok_or("the variable LISTEN_PID is not set")?;
        // The variables of a parent that was activated itself are inherited, too.
        if number(process).and_then(|process| u32::try_from(process).ok())
            != Some(std::process::id())
        {
            return Err("the variable LISTEN_PID names another process");
        }
        let count = self.descriptors.as_deref().ok_or("the variable LISTEN_FDS is not set")?;
        match number(count) {
            Some(count @ 1..=MAX_DESCRIPTORS) => Ok(count),
            _ => Err("the variable LISTEN_FDS is not a number from 1 to 16"),
        }
    }
}

/// Checks that a descriptor is a socket that listens, and makes it one that does not block.
fn check(socket: &OwnedFd) -> Result<(), String> {
    let listens = sockopt::socket_acceptconn(socket)
        .map_err(|error| format!("it is not a socket: {}", io::Error::from(error)))?;
    let is_stream = sockopt::socket_type(socket).is_ok_and(|kind| kind == SocketType::STREAM);
    let families = [AddressFamily::INET, AddressFamily::INET6, AddressFamily::UNIX];
    let is_known = rustix::net::getsockname(socket)
        .is_ok_and(|address| families.contains(&address.address_family()));
    if !is_stream || !is_known {
        return Err("it is not a TCP or Unix stream socket".to_owned());
    }
    if !listens {
        return Err("it is not a socket that listens".to_owned());
    }
    rustix::io::ioctl_fionbio(socket, true).map_err(|error| io::Error::from(error).to_string())
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};

    use super::*;

    fn error(process: &str, descriptors: &str, number: Option<i32>) -> String {
        let [process, descriptors] = [process, descriptors]
            .map(|text| Some(OsString::from(text)).filter(|text| !text.is_empty()));
        let inherit = &|_| Err(io::Error::from_raw_os_error(9));
        let activation = Activation { process, descriptors, inherit };
        activation.sockets(number).unwrap_err().to_string()
    }

    #[test]
    fn the_environment_is_checked() {
        let own = std::process::id().to_string();
        for (process, descriptors, number, reason) in [
            ("", "1", None, "LISTEN_PID is not set"),
            ("1", "1", None, "another process"),
            ("x", "1", None, "another process"),
            ("-1", "1", None, "another process"),
            (&own, "", None, "LISTEN_FDS is not set"),
            (&own, "0", None, "LISTEN_FDS is not a number"),
            (&own, "2147483647", None, "LISTEN_FDS is not a number"),
            (&own, "x", None, "LISTEN_FDS is not a number"),
            (&own, "2", Some(5), "passed 2 sockets"),
            (&own, "2", Some(2), "passed 2 sockets"),
            (&own, "2", Some(4), "Bad file descriptor"),
            (&own, "1", None, "Bad file descriptor"),
        ] {
            let error = error(process, descriptors, number);
            assert!(error.contains(reason), "{process}, {descriptors}: {error}");
        }
    }

    #[test]
    fn only_listening_stream_sockets_are_accepted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(check(&listener.try_clone().unwrap().into()), Ok(()));
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
        let file = std::fs::File::open("/dev/null").unwrap();
        for (other, reason) in [
            (OwnedFd::from(stream), "listens"),
            (datagrams.into(), "stream socket"),
            (file.into(), "not a socket"),
        ] {
            assert!(check(&other).unwrap_err().contains(reason));
        }
    }

    #[test]
    fn sockets_are_passed_in_their_order() {
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let inherit = |number: i32| {
            listeners[usize::try_from(number - 3).unwrap()].try_clone().map(OwnedFd::from)
        };
        let process = Some(std::process::id().to_string().into());
        let activation = Activation { process, descriptors: Some("2".into()), inherit: &inherit };
        let ports = |number| {
            let sockets = activation.sockets(number).unwrap().into_iter();
            sockets.map(|fd| TcpListener::from(fd).local_addr().unwrap()).collect::<Vec<_>>()
        };
        let expected = listeners.each_ref().map(|listener| listener.local_addr().unwrap());
        assert_eq!(ports(None), expected);
        assert_eq!(ports(Some(4)), expected[1..]);
    }
}
