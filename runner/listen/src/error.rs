// SPDX-License-Identifier: MIT
//! Why a server cannot listen.

use std::io;
use std::path::PathBuf;

use rustix::io::Errno;

use crate::address::Address;

/// Why a server cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another socket has the address.
    #[error("cannot listen at `{0}`: the address is in use")]
    InUse(Address),
    /// The address belongs to another machine.
    #[error("cannot listen at `{0}`: it is not an address of this machine")]
    NotLocal(Address),
    /// This user may not listen there.
    #[error("cannot listen at `{0}`: permission denied")]
    Permission(Address),
    /// At the path of the socket, there is something that this server did not leave there.
    #[error("cannot listen at `unix:{}`: the path exists, and {reason}", .path.display())]
    Exists {
        /// The path.
        path: PathBuf,
        /// What is there.
        reason: &'static str,
    },
    /// systemd passed no sockets to this process.
    #[error("systemd passed no socket: {0}")]
    NotActivated(&'static str),
    /// A descriptor that systemd passed cannot be used.
    #[error("cannot listen at `fd://{number}`: {reason}")]
    Descriptor {
        /// Its number.
        number: i32,
        /// What is wrong.
        reason: String,
    },
    /// The kernel refuses for another reason.
    #[error("cannot listen at `{address}`: {error}")]
    Io {
        /// The address.
        address: Address,
        /// The reason.
        error: io::Error,
    },
}

impl ListenError {
    /// What the error of bind(2) or listen(2) means.
    pub(crate) fn of(address: &Address, error: Errno) -> ListenError {
        let address = address.clone();
        match error {
            Errno::ADDRINUSE => ListenError::InUse(address),
            Errno::ADDRNOTAVAIL => ListenError::NotLocal(address),
            Errno::ACCESS | Errno::PERM => ListenError::Permission(address),
            error => ListenError::Io { address, error: error.into() },
        }
    }

    /// What the user can do.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            ListenError::InUse(Address::Unix(_)) => "another process serves this socket",
            ListenError::InUse(_) => {
                "`ss -ltnp` shows which process listens there; choose another port"
            }
            ListenError::NotLocal(_) => {
                "`ip address` shows the addresses of this machine; `:PORT` is all of them"
            }
            ListenError::Permission(Address::Unix(_)) => {
                "the directory must be one in which this user can create files"
            }
            ListenError::Permission(_) => {
                "ports below 1024 need CAP_NET_BIND_SERVICE; choose a higher one"
            }
            ListenError::Exists { .. } => "remove it, or choose another path",
            ListenError::NotActivated(_) => {
                "run it as the service of a .socket unit, or name an address"
            }
            ListenError::Descriptor { .. } => "the .socket unit needs ListenStream=, and Accept=no",
            ListenError::Io { .. } => return None,
        })
    }
}
