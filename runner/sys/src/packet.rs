// SPDX-License-Identifier: MIT
//! Packet sockets (packet(7)), for programs that filter them.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

/// All protocols, as the kernel has it: in network order.
const ALL: u16 = (libc::ETH_P_ALL as u16).to_be();

/// A packet socket of an interface that hands packets to a program first. Nobody reads it: the
/// program is called for each packet, whether its queue has room or not.
///
/// # Errors
/// As the kernel has them.
pub fn filtered_socket(interface: u32, program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let index = i32::try_from(interface).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: no memory is handed over. Of protocol 0, it sees no packets yet.
    let fd = unsafe {
        libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, 0)
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just made this descriptor, and nobody else has it.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    // As small as the kernel has it: what is in the queue is of use to nobody.
    set(&socket, libc::SO_RCVBUF, 0)?;
    set(&socket, libc::SO_ATTACH_BPF, program.as_raw_fd())?;
    // SAFETY: plain numbers, for which zeroes are valid.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = ALL;
    address.sll_ifindex = index;
    // SAFETY: the address is valid, and as large as is said.
    let result = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(socket) }
}

fn set(socket: &OwnedFd, option: i32, value: i32) -> io::Result<()> {
    // SAFETY: the value is a number of the size that is said.
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
