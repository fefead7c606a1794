// SPDX-License-Identifier: MIT
//! Sockets that listen, and the file of a Unix socket, which is removed with its listener.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::{fmt, io};

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};

use crate::activation::Activation;
use crate::address::Address;
use crate::error::ListenError;

/// Connections that the kernel keeps until the server accepts them.
const BACKLOG: i32 = 128;

/// The address of a socket that listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LocalAddress {
    /// IP address and port; the port is never 0.
    Tcp(SocketAddr),
    /// The path of a Unix socket; empty if it has none.
    Unix(PathBuf),
}

impl fmt::Display for LocalAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LocalAddress::Tcp(address) => write!(f, "{address}"),
            LocalAddress::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// One or, with socket activation, several sockets that listen. The file of a Unix socket that this
/// listener created is removed when it is dropped.
#[derive(Debug)]
pub struct Listener {
    sockets: Vec<OwnedFd>,
    addresses: Vec<LocalAddress>,
    /// Only held.
    _file: Option<SocketFile>,
}

impl Listener {
    /// Opens the sockets of an address. `activation` is asked only by [`Address::Activated`].
    ///
    /// A Unix socket can be used by this user only (mode 0600). The socket that a process left
    /// behind when it was killed is replaced.
    ///
    /// # Errors
    /// Returns an error if the address is in use, does not belong to this machine, may not be used
    /// by this user, or if systemd passed no such socket.
    pub fn bind(address: &Address, activation: &Activation<'_>) -> Result<Listener, ListenError> {
        let error = |error| ListenError::of(address, error);
        let mut file = None;
        let sockets = match address {
            Address::Tcp(at) => vec![tcp(*at).map_err(error)?],
            Address::Localhost(port) => {
                vec![either(Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST, *port).map_err(error)?]
            }
            // A socket of IPv6 also accepts IPv4.
            Address::All(port) => {
                vec![either(Ipv6Addr::UNSPECIFIED, Ipv4Addr::UNSPECIFIED, *port).map_err(error)?]
            }
            Address::Unix(path) => {
                let (socket, created) = unix(address, path)?;
                file = Some(created);
                vec![socket]
            }
            Address::Activated(number) => activation.sockets(*number)?,
        };
        let addresses = sockets.iter().map(local).collect::<Result<_, _>>().map_err(error)?;
        Ok(Listener { sockets, addresses, _file: file })
    }

    /// Where it listens; one address for each socket.
    #[must_use]
    pub fn addresses(&self) -> &[LocalAddress] {
        &self.addresses
    }

    /// The sockets; none of them blocks.
    pub(crate) fn sockets(&self) -> &[OwnedFd] {
        &self.sockets
    }
}

fn socket(family: AddressFamily) -> rustix::io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    rustix::net::socket_with(family, SocketType::STREAM, flags, None)
}

/// Listens at the first address, or at the second one if this machine does not have that kind.
fn either(
    first: impl Into<IpAddr>,
    second: impl Into<IpAddr>,
    port: u16,
) -> rustix::io::Result<OwnedFd> {
    match tcp(SocketAddr::new(first.into(), port)) {
        Err(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL) => tcp(SocketAddr::new(second.into(), port)),
        result => result,
    }
}

fn tcp(address: SocketAddr) -> rustix::io::Result<OwnedFd> {
    let socket = socket(match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    })?;
    // Connections of a previous run, which the kernel keeps for a minute, are not in the way.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv6() {
        // Whatever net.ipv6.bindv6only is.
        sockopt::set_ipv6_v6only(&socket, !address.ip().is_unspecified())?;
    }
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}

fn unix(address: &Address, path: &Path) -> Result<(OwnedFd, SocketFile), ListenError> {
    let error = |error| ListenError::of(address, error);
    let name = SocketAddrUnix::new(path).map_err(error)?;
    let socket = self::socket(AddressFamily::UNIX).map_err(error)?;
    // The kernel creates the file with the mode of the socket (unix_bind), so it never has another
    // one, and the umask of the process need not change.
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR).map_err(error)?;
    let mut bound = rustix::net::bind(&socket, &name);
    if bound == Err(Errno::ADDRINUSE) {
        remove_left_behind(address, path, &name)?;
        bound = rustix::net::bind(&socket, &name);
    }
    bound.map_err(error)?;
    let file = SocketFile::of(path).map_err(|error| {
        let address = address.clone();
        ListenError::Io { address, error }
    })?;
    rustix::net::listen(&socket, BACKLOG).map_err(error)?;
    Ok((socket, file))
}

/// Removes a socket that no process serves any more.
fn remove_left_behind(
    address: &Address,
    path: &Path,
    name: &SocketAddrUnix,
) -> Result<(), ListenError> {
    let exists = |reason| ListenError::Exists { path: path.to_owned(), reason };
    let data = fs::symlink_metadata(path).map_err(|_| exists("cannot be looked at"))?;
    if !data.file_type().is_socket() {
        return Err(exists("is not a socket"));
    }
    if data.uid() != rustix::process::geteuid().as_raw() {
        return Err(exists("belongs to another user"));
    }
    let client = socket(AddressFamily::UNIX).map_err(|error| ListenError::of(address, error))?;
    match rustix::net::connect(&client, name) {
        Err(Errno::CONNREFUSED) => fs::remove_file(path).map_err(|_| exists("cannot be removed")),
        _ => Err(ListenError::InUse(address.clone())),
    }
}

fn local(socket: &OwnedFd) -> rustix::io::Result<LocalAddress> {
    let any = rustix::net::getsockname(socket)?;
    if any.address_family() == AddressFamily::UNIX {
        let unix = SocketAddrUnix::try_from(any)?;
        let path = unix.path_bytes().unwrap_or_default();
        return Ok(LocalAddress::Unix(std::ffi::OsStr::from_bytes(path).into()));
    }
    SocketAddr::try_from(any).map(LocalAddress::Tcp)
}

/// The file of a Unix socket that this process created.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<SocketFile> {
        Ok(SocketFile { path: path.to_owned(), identity: identity(path)? })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Another process may have replaced it.
        if identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            // A failure cannot be reported here.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let data = fs::symlink_metadata(path)?;
    Ok((data.dev(), data.ino()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    fn bind(text: &str) -> Result<Listener, ListenError> {
        Listener::bind(&text.parse().unwrap(), &Activation::none())
    }

    #[test]
    fn tcp_sockets() {
        for text in ["127.0.0.1:0", ":0", "localhost:0"] {
            let listener = bind(text).unwrap();
            let LocalAddress::Tcp(address) = listener.addresses()[0] else { panic!() };
            assert_ne!(address.port(), 0);
            let target = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), address.port());
            std::net::TcpStream::connect(target).unwrap();
            let again = bind(&format!("127.0.0.1:{}", address.port())).unwrap_err();
            assert!(matches!(again, ListenError::InUse(_)), "{again}");
            assert!(again.hint().is_some());
        }
        let error = bind("192.0.2.1:0").unwrap_err();
        assert!(matches!(error, ListenError::NotLocal(_)), "{error}");
        assert!(matches!(bind("systemd"), Err(ListenError::NotActivated(_))));
    }

    #[test]
    fn unix_sockets() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.sock");
        let text = format!("unix:{}", path.display());
        let listener = bind(&text).unwrap();
        assert_eq!(listener.addresses(), [LocalAddress::Unix(path.clone())]);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        UnixStream::connect(&path).unwrap();
        assert!(matches!(bind(&text), Err(ListenError::InUse(_))));
        drop(listener);
        assert!(!path.exists());
        // What another process put there is not removed.
        let listener = bind(&text).unwrap();
        fs::remove_file(&path).unwrap();
        let _other = UnixListener::bind(&path).unwrap();
        drop(listener);
        assert!(path.exists());
    }

    #[test]
    fn what_is_in_the_way() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.sock");
        let text = format!("unix:{}", path.display());
        // The standard library does not remove the file: as after a crash.
        drop(UnixListener::bind(&path).unwrap());
        drop(bind(&text).unwrap());
        fs::write(&path, "precious").unwrap();
        let error = bind(&text).unwrap_err().to_string();
        assert!(error.ends_with("is not a socket"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"precious");
        let missing = bind(&format!("unix:{}/none/x", directory.path().display())).unwrap_err();
        assert!(matches!(missing, ListenError::Io { .. }), "{missing}");
        let long = bind(&format!("unix:/{}", "x".repeat(200))).unwrap_err();
        assert!(matches!(long, ListenError::Io { .. }), "{long}");
    }
}
