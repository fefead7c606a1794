// SPDX-License-Identifier: MIT
//! The text that says where a server listens. Parsing does no I/O, and resolves no names.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// The first descriptor that systemd passes (sd_listen_fds(3): `SD_LISTEN_FDS_START`).
pub(crate) const FIRST_DESCRIPTOR: i32 = 3;

/// Where a server listens. TCP port 0 is a free port, which the kernel chooses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// `127.0.0.1:9435`, `[::1]:9435`: one address of this machine.
    Tcp(SocketAddr),
    /// `:9435`: all addresses of this machine, IPv6 and IPv4.
    All(u16),
    /// `localhost:9435`: 127.0.0.1, or ::1 if this machine has no IPv4.
    Localhost(u16),
    /// `unix:/run/x.sock`: a socket in the file system.
    Unix(PathBuf),
    /// `systemd` and `fd://`: all sockets that systemd passes; `fd://3`: one of them.
    Activated(Option<i32>),
}

/// Why a text is not an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not an address: {reason}", .text.escape_debug())]
pub struct BadAddress {
    text: String,
    reason: &'static str,
}

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Address, BadAddress> {
        parse(text).map_err(|reason| BadAddress { text: text.to_owned(), reason })
    }
}

fn parse(text: &str) -> Result<Address, &'static str> {
    if text == "systemd" {
        return Ok(Address::Activated(None));
    }
    if let Some(number) = text.strip_prefix("fd://") {
        return match number.parse() {
            _ if number.is_empty() => Ok(Address::Activated(None)),
            Ok(number) if number >= FIRST_DESCRIPTOR => Ok(Address::Activated(Some(number))),
            _ => Err("the descriptors that systemd passes are numbers from 3"),
        };
    }
    if let Some(path) = text.strip_prefix("unix:") {
        return match path.starts_with('/') && !path.ends_with('/') && !path.contains('\0') {
            true => Ok(Address::Unix(path.into())),
            false => Err("`unix:` must be followed by the absolute path of a socket"),
        };
    }
    if let Some((host, port)) = text.rsplit_once(':') {
        // `u16` also parses `+1`.
        let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|_| is_number);
        if host.is_empty() {
            return port.map(Address::All).ok_or("its port is not a number from 0 to 65535");
        }
        if host.eq_ignore_ascii_case("localhost") {
            return port.map(Address::Localhost).ok_or("its port is not a number from 0 to 65535");
        }
    }
    if let Ok(address) = text.parse() {
        return Ok(Address::Tcp(address));
    }
    Err(match text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
        true => "a port alone is written with a colon, as :9435",
        false => "use IP:PORT, :PORT, localhost:PORT, unix:PATH or systemd; IPv6 is in brackets",
    })
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => write!(f, "{address}"),
            Address::All(port) => write!(f, ":{port}"),
            Address::Localhost(port) => write!(f, "localhost:{port}"),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
            Address::Activated(None) => f.write_str("systemd"),
            Address::Activated(Some(number)) => write!(f, "fd://{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for text in [
            "127.0.0.1:9435",
            "0.0.0.0:0",
            "[::1]:9435",
            ":9435",
            "localhost:9435",
            "unix:/run/x.sock",
            "systemd",
            "fd://3",
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        assert_eq!("fd://".parse(), Ok(Address::Activated(None)));
        assert_eq!("LocalHost:1".parse(), Ok(Address::Localhost(1)));
    }

    #[test]
    fn bad_addresses() {
        for (text, reason) in [
            ("", "use IP:PORT"),
            ("9435", "as :9435"),
            (":", "its port"),
            (":+1", "its port"),
            (":65536", "its port"),
            ("localhost:", "its port"),
            ("localhost", "use IP:PORT"),
            ("example.org:80", "use IP:PORT"),
            ("::1:9435", "in brackets"),
            ("[::1]", "use IP:PORT"),
            ("127.0.0.1", "use IP:PORT"),
            ("http://127.0.0.1:80", "use IP:PORT"),
            ("unix:", "absolute path"),
            ("unix:x.sock", "absolute path"),
            ("unix:/run/", "absolute path"),
            ("fd://2", "from 3"),
            ("fd://-3", "from 3"),
            ("fd://x", "from 3"),
            ("\u{1b}[2J", "\\u{1b}"),
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
