// SPDX-License-Identifier: MIT
//! Packet sockets (packet(7)) for programs that filter them.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

/// All protocols, in network byte order.
const ALL: u16 = (libc::ETH_P_ALL as u16).to_be();

/// Opens a packet socket of an interface with a program as its filter. Nobody reads the socket: the
/// program runs for each packet, whether the socket's queue has room or not.
///
/// # Errors
/// Returns the kernel's error.
pub fn filtered_socket(interface: u32, program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let index = i32::try_from(interface).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the call uses no memory. With protocol 0, the socket receives no packets yet.
    let fd = unsafe {
        libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, 0)
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just created this descriptor, and nothing else owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    // The smallest queue that the kernel allows, because nobody reads it.
    set(&socket, libc::SO_RCVBUF, 0)?;
    set_filter(&socket, program)?;
    // SAFETY: the struct has only integers, for which zeros are valid.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = ALL;
    address.sll_ifindex = index;
    // SAFETY: the address is valid and has the given size.
    let result = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(socket) }
}

/// Makes a program the filter of a socket until the socket is closed.
///
/// # Errors
/// Returns the kernel's error.
pub fn set_filter(socket: &OwnedFd, program: BorrowedFd<'_>) -> io::Result<()> {
    set(socket, libc::SO_ATTACH_BPF, program.as_raw_fd())
}

fn set(socket: &OwnedFd, option: i32, value: i32) -> io::Result<()> {
    // SAFETY: the value is an integer of the given size.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            (&raw const value).cast(),
            size_of::<i32>() as libc::socklen_t,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
