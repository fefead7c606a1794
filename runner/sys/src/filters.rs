// SPDX-License-Identifier: MIT
//! Queries the traffic filters of an interface by rtnetlink(7).

use std::io;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

/// `RTM_GETTFILTER` and `RTM_NEWTFILTER` (linux/rtnetlink.h).
const GET: u16 = 46;
const NEW: u16 = 44;

/// `NLM_F_REQUEST | NLM_F_DUMP`, and the messages that end a response (linux/netlink.h).
const DUMP: u16 = 0x301;
const ERROR: u16 = 2;
const DONE: u16 = 3;

/// The two hooks of the clsact qdisc (linux/pkt_sched.h: `TC_H_MIN_INGRESS`, `TC_H_MIN_EGRESS`).
const INGRESS: u32 = 0xffff_fff2;
const EGRESS: u32 = 0xffff_fff3;

/// Size of a message header in bytes.
const HEADER: usize = 16;

/// Whether the clsact qdisc of an interface has filters.
///
/// # Errors
/// Returns an error if the kernel does not respond.
pub fn has_filters(interface: i32) -> io::Result<bool> {
    for hook in [INGRESS, EGRESS] {
        // Protocol 0 is `NETLINK_ROUTE`.
        let (family, flags) = (AddressFamily::NETLINK, SocketFlags::CLOEXEC);
        let socket = rustix::net::socket_with(family, SocketType::RAW, flags, None)?;
        rustix::net::send(&socket, &request(interface, hook), SendFlags::empty())?;
        loop {
            let mut answer = vec![0; 32 << 10];
            let (_, length) = rustix::net::recv(&socket, &mut answer[..], RecvFlags::empty())?;
            match read(&answer[..length.min(answer.len())]) {
                Answer::Filter => return Ok(true),
                Answer::End => break,
                Answer::More => {}
            }
        }
    }
    Ok(false)
}

fn request(interface: i32, hook: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(36u32.to_ne_bytes());
    bytes.extend(GET.to_ne_bytes());
    bytes.extend(DUMP.to_ne_bytes());
    // Sequence number and sender.
    bytes.extend([0; 8]);
    // `struct tcmsg`: family and padding, interface, handle, parent, info.
    bytes.extend([0; 4]);
    bytes.extend(interface.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend(hook.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes
}

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    /// A filter.
    Filter,
    /// The end of the list.
    End,
    /// More messages follow.
    More,
}

fn read(mut bytes: &[u8]) -> Answer {
    while let Some((header, _)) = bytes.split_at_checked(HEADER) {
        let length = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]) as usize;
        match u16::from_ne_bytes([header[4], header[5]]) {
            NEW => return Answer::Filter,
            ERROR | DONE => return Answer::End,
            _ => {}
        }
        let next = length.next_multiple_of(4).max(HEADER);
        bytes = bytes.get(next..).unwrap_or_default();
    }
    if bytes.is_empty() { Answer::More } else { Answer::End }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_the_kernel() {
        let message = |ty: u16| {
            let mut bytes = vec![0; 20];
            bytes[..4].copy_from_slice(&20u32.to_ne_bytes());
            bytes[4..6].copy_from_slice(&ty.to_ne_bytes());
            bytes
        };
        assert_eq!(read(&[message(1), message(NEW)].concat()), Answer::Filter);
        assert_eq!(read(&message(DONE)), Answer::End);
        assert_eq!(read(&message(1)), Answer::More);
        assert_eq!(read(&[0; 5]), Answer::End, "no whole message");
        assert_eq!(read(&[0; HEADER]), Answer::More, "no endless loop");
        assert_eq!(request(1, INGRESS).len(), 36);
        assert!(!has_filters(i32::MAX).unwrap(), "there is no such interface");
    }
}
