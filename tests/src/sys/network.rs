// SPDX-License-Identifier: MIT
//! Interfaces and packets, without other programs: a virtual machine has none.
#![allow(unsafe_code, clippy::unwrap_used)]

use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

/// `RTM_NEWLINK`, `NLM_F_REQUEST | NLM_F_ACK`, `NLM_F_CREATE | NLM_F_EXCL` (linux/netlink.h).
const NEW_LINK: u16 = 16;
const REQUEST: u16 = 0x5;
const CREATE: u16 = 0x600;
/// Attributes (linux/if_link.h).
const IFLA_IFNAME: u16 = 3;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;

/// Sets all interfaces of this network namespace up.
///
/// # Errors
/// Returns an error without the required permission.
pub fn all_up() -> io::Result<()> {
    for index in indices()? {
        // Its flags are set to, and only changed in, `IFF_UP`.
        configure(0, &interface(index, libc::IFF_UP as u32), &[])?;
    }
    Ok(())
}

/// Creates an interface of a kind. It has a peer if the kind has peers. The namespace of this thread
/// removes them when it ends.
///
/// # Errors
/// Returns an error if the kernel has no such kind.
pub fn create(name: &str, kind: &str) -> io::Result<()> {
    let kind = attribute(IFLA_INFO_KIND, kind.as_bytes());
    let attributes = [
        attribute(IFLA_IFNAME, &[name.as_bytes(), b"\0"].concat()),
        attribute(IFLA_LINKINFO, &kind),
    ];
    configure(CREATE, &interface(0, 0), &attributes.concat())
}

/// Sends packets of this length through an interface, past routes and addresses.
///
/// # Errors
/// Returns an error without the required permission.
pub fn send_raw(name: &str, packet: &[u8], count: u64) -> io::Result<()> {
    let protocol = u16::to_be(libc::ETH_P_IP as u16);
    // SAFETY: the call uses no memory.
    let socket = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_DGRAM, protocol.into()) };
    if socket < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new, and nothing else owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    let index = rustix::net::netdevice::name_to_index(&socket, name)?;
    // SAFETY: zeros are valid.
    let mut to: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    to.sll_family = libc::AF_PACKET as u16;
    to.sll_protocol = protocol;
    to.sll_ifindex = index as i32;
    to.sll_halen = 6;
    for _ in 0..count {
        // SAFETY: the packet and the address have the given sizes and outlive the call.
        let sent = unsafe {
            libc::sendto(
                socket.as_raw_fd(),
                packet.as_ptr().cast(),
                packet.len(),
                0,
                (&raw const to).cast(),
                size_of_val(&to) as u32,
            )
        };
        if sent < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

fn indices() -> io::Result<Vec<i32>> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    // The thread may have left the namespace of its process.
    let text = fs::read_to_string("/proc/thread-self/net/dev")?;
    let names = text.lines().filter_map(|line| Some(line.split_once(':')?.0.trim()));
    names.map(|name| Ok(rustix::net::netdevice::name_to_index(&socket, name)? as i32)).collect()
}

/// `struct ifinfomsg`: family, padding, type, index, flags, and the mask of flags to change.
fn interface(index: i32, flags: u32) -> [u8; 16] {
    let mut message = [0; 16];
    message[4..8].copy_from_slice(&index.to_ne_bytes());
    message[8..12].copy_from_slice(&flags.to_ne_bytes());
    message[12..].copy_from_slice(&flags.to_ne_bytes());
    message
}

/// `struct nlattr`, and the value, padded.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(((4 + value.len()) as u16).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// Sends a message to the kernel, and reads its answer.
fn configure(flags: u16, interface: &[u8], attributes: &[u8]) -> io::Result<()> {
    let (family, kind) = (AddressFamily::NETLINK, SocketType::RAW);
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    let mut message = Vec::new();
    message.extend((16 + interface.len() as u32 + attributes.len() as u32).to_ne_bytes());
    message.extend(NEW_LINK.to_ne_bytes());
    message.extend((REQUEST | flags).to_ne_bytes());
    // A sequence number and a port, which one request does not need.
    message.extend([0; 8]);
    message.extend(interface);
    message.extend(attributes);
    rustix::net::send(&socket, &message, SendFlags::empty())?;
    // A header, and the negative error number.
    let mut answer = [0; 1024];
    let (len, _) = rustix::net::recv(&socket, &mut answer, RecvFlags::empty())?;
    let error = answer[..len].get(16..20).and_then(|bytes| bytes.try_into().ok());
    match error.map(i32::from_ne_bytes) {
        Some(0) => Ok(()),
        Some(error) => Err(io::Error::from_raw_os_error(-error)),
        None => Err(io::Error::other("the kernel's answer is too short")),
    }
}
