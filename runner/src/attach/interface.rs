// SPDX-License-Identifier: MIT
//! Network interfaces by their names.

use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::error::AttachError;

/// The index of the interface of a name, in the network namespace of this process.
///
/// # Errors
/// When there is none.
pub(super) fn index(name: &str) -> Result<u32, AttachError> {
    // Any socket does.
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    );
    let index = socket.and_then(|socket| rustix::net::netdevice::name_to_index(&socket, name));
    index.map_err(|error| AttachError::BadTarget { named: name.to_owned(), error: error.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_by_name() {
        assert_eq!(index("no-such-one").unwrap_err().errno(), libc::ENODEV);
    }
}
