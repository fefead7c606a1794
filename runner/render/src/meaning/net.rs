// SPDX-License-Identifier: MIT
//! Addresses, families, states and protocols. The numbers are from include/linux/socket.h,
//! net/tcp_states.h and uapi/linux/in.h.

use std::io::Write as _;
use std::net::Ipv6Addr;

use super::number::{decimal, hex_digit};

/// Families, by number.
#[rustfmt::skip]
const FAMILIES: [&str; 46] = [
    "AF_UNSPEC", "AF_UNIX", "AF_INET", "AF_AX25", "AF_IPX", "AF_APPLETALK", "AF_NETROM",
    "AF_BRIDGE", "AF_ATMPVC", "AF_X25", "AF_INET6", "AF_ROSE", "AF_DECnet", "AF_NETBEUI",
    "AF_SECURITY", "AF_KEY", "AF_NETLINK", "AF_PACKET", "AF_ASH", "AF_ECONET", "AF_ATMSVC",
    "AF_RDS", "AF_SNA", "AF_IRDA", "AF_PPPOX", "AF_WANPIPE", "AF_LLC", "AF_IB", "AF_MPLS", "AF_CAN",
    "AF_TIPC", "AF_BLUETOOTH", "AF_IUCV", "AF_RXRPC", "AF_ISDN", "AF_PHONET", "AF_IEEE802154",
    "AF_CAIF", "AF_ALG", "AF_NFC", "AF_VSOCK", "AF_KCM", "AF_QIPCRTR", "AF_SMC", "AF_XDP",
    "AF_MCTP",
];

/// States of a TCP socket, starting at 1.
#[rustfmt::skip]
const STATES: [&str; 13] = [
    "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT", "CLOSE",
    "CLOSE_WAIT", "LAST_ACK", "LISTEN", "CLOSING", "NEW_SYN_RECV", "BOUND_INACTIVE",
];

/// The IP version of a family. Some programs store the version itself, 4 or 6; the families with
/// these numbers (IPX, NET/ROM) have no such addresses.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    Four,
    Six,
}

fn version(family: Option<u64>) -> Option<Version> {
    match family? {
        2 | 4 => Some(Version::Four),
        10 | 6 => Some(Version::Six),
        _ => None,
    }
}

/// Appends an IPv4 address, or `-` if the family is another.
pub(super) fn ipv4(bytes: &[u8], size: usize, family: Option<u64>, out: &mut Vec<u8>) -> bool {
    match (bytes, version(family)) {
        (_, Some(Version::Six)) => out.push(b'-'),
        ([a, b, c, d, ..], _) if size >= 4 => dotted([*a, *b, *c, *d], out),
        _ => return false,
    }
    true
}

/// Appends an IPv6 address, or `-` if the family is another.
pub(super) fn ipv6(bytes: &[u8], size: usize, family: Option<u64>, out: &mut Vec<u8>) -> bool {
    match (bytes.first_chunk::<16>(), version(family)) {
        (_, Some(Version::Four)) => out.push(b'-'),
        (Some(address), _) if size >= 16 => colons(*address, out),
        _ => return false,
    }
    true
}

/// Appends an address of a family. Without a family, 16 bytes are IPv4 if only the first four are
/// used: an IPv6 address that ends in 96 zero bits is a network's, not a host's, except `::`.
pub(super) fn ip(bytes: &[u8], size: usize, family: Option<u64>, out: &mut Vec<u8>) -> bool {
    let address = bytes.first_chunk::<16>().filter(|_| size >= 16);
    match (address, version(family)) {
        (Some([a, b, c, d, ..]), Some(Version::Four)) => dotted([*a, *b, *c, *d], out),
        (Some(address), Some(Version::Six)) => colons(*address, out),
        (Some(address), None) => {
            let (first, rest) = (&address[..4], &address[4..]);
            if rest.iter().all(|byte| *byte == 0) && first != [0; 4] {
                dotted([first[0], first[1], first[2], first[3]], out);
            } else {
                colons(*address, out);
            }
        }
        (None, _) => return size < 16 && ipv4(bytes, size, family, out),
    }
    true
}

fn dotted(address: [u8; 4], out: &mut Vec<u8>) {
    for (at, byte) in address.into_iter().enumerate() {
        if at > 0 {
            out.push(b'.');
        }
        decimal(byte.into(), out);
    }
}

fn colons(address: [u8; 16], out: &mut Vec<u8>) {
    let _ = write!(out, "{}", Ipv6Addr::from(address));
}

/// Appends a hardware address.
pub(super) fn mac(bytes: &[u8], size: usize, out: &mut Vec<u8>) -> bool {
    let Some(address) = bytes.first_chunk::<6>().filter(|_| size >= 6) else { return false };
    for (at, byte) in address.iter().enumerate() {
        if at > 0 {
            out.push(b':');
        }
        out.extend_from_slice(&[hex_digit(byte >> 4), hex_digit(*byte)]);
    }
    true
}

/// Appends a number in network byte order.
pub(super) fn swapped(value: u64, size: usize, out: &mut Vec<u8>) -> bool {
    decimal(value.swap_bytes() >> (64 - 8 * size.clamp(1, 8)), out)
}

/// The name of a family.
pub(super) fn family(number: u64) -> Option<&'static str> {
    FAMILIES.get(usize::try_from(number).ok()?).copied()
}

/// The name of a TCP socket's state.
pub(super) fn socket_state(number: u64) -> Option<&'static str> {
    STATES.get(usize::try_from(number).ok()?.checked_sub(1)?).copied()
}

/// The name of a protocol above IP.
pub(super) fn protocol(number: u64) -> Option<&'static str> {
    Some(match number {
        1 => "ICMP",
        2 => "IGMP",
        4 => "IPIP",
        6 => "TCP",
        17 => "UDP",
        41 => "IPV6",
        47 => "GRE",
        50 => "ESP",
        51 => "AH",
        58 => "ICMPV6",
        89 => "OSPF",
        103 => "PIM",
        112 => "VRRP",
        115 => "L2TP",
        132 => "SCTP",
        136 => "UDPLITE",
        137 => "MPLS",
        143 => "ETHERNET",
        255 => "RAW",
        262 => "MPTCP",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    type Write = fn(&[u8], usize, Option<u64>, &mut Vec<u8>) -> bool;

    fn text(write: Write, bytes: &[u8], family: Option<u64>) -> Option<String> {
        let mut out = Vec::new();
        let size = bytes.len();
        write(bytes, size, family, &mut out).then(|| String::from_utf8(out).unwrap())
    }

    fn sixteen(first: [u8; 4], last: u8) -> [u8; 16] {
        let mut address = [0; 16];
        address[..4].copy_from_slice(&first);
        address[15] = last;
        address
    }

    #[test]
    fn the_family_excludes() {
        let is = |text: Option<String>, wanted: &str| assert_eq!(text.as_deref(), Some(wanted));
        is(text(ipv4, &[10, 0, 0, 255], None), "10.0.0.255");
        is(text(ipv4, &[10, 0, 0, 255], Some(2)), "10.0.0.255");
        is(text(ipv4, &[10, 0, 0, 255], Some(10)), "-");
        is(text(ipv6, &sixteen([0x20, 1, 0xd, 0xb8], 1), None), "2001:db8::1");
        is(text(ipv6, &sixteen([1, 2, 3, 4], 0), Some(2)), "-");
        assert_eq!(text(ipv4, &[1, 2, 3], None), None);
        assert_eq!(text(ipv6, &[1, 2, 3, 4], None), None);
    }

    #[test]
    fn either_kind_in_sixteen_bytes() {
        let is = |text: Option<String>, wanted: &str| assert_eq!(text.as_deref(), Some(wanted));
        let local = sixteen([127, 0, 0, 1], 0);
        is(text(ip, &local, Some(2)), "127.0.0.1");
        is(text(ip, &local, Some(10)), "7f00:1::");
        is(text(ip, &local, None), "127.0.0.1");
        is(text(ip, &local, Some(0)), "127.0.0.1");
        is(text(ip, &sixteen([0; 4], 1), None), "::1");
        is(text(ip, &sixteen([0; 4], 0), None), "::");
        is(text(ip, &sixteen([0; 4], 0), Some(2)), "0.0.0.0");
        is(text(ip, &sixteen([0; 4], 0), Some(4)), "0.0.0.0");
        let mut mapped = sixteen([0; 4], 9);
        mapped[10..13].copy_from_slice(&[255, 255, 10]);
        is(text(ip, &mapped, None), "::ffff:10.0.0.9");
        is(text(ip, &[10, 1, 2, 3], None), "10.1.2.3");
        assert_eq!(text(ip, &[10, 1], None), None);
    }

    #[test]
    fn hardware_addresses_and_ports() {
        let mut out = Vec::new();
        assert!(mac(&[0, 0x1b, 2, 0xff, 4, 5, 9, 9], 6, &mut out));
        assert_eq!(out, b"00:1b:02:ff:04:05");
        out.clear();
        assert!(!mac(&[1, 2, 3], 6, &mut out) && out.is_empty());
        assert!(swapped(u16::from_be_bytes([0, 80]).swap_bytes().into(), 2, &mut out));
        assert_eq!(out, b"80");
        out.clear();
        assert!(swapped(u32::from_le_bytes([0, 0, 1, 2]).into(), 4, &mut out));
        assert_eq!(out, b"258");
    }

    #[test]
    fn names() {
        assert_eq!((family(2), family(45), family(46)), (Some("AF_INET"), Some("AF_MCTP"), None));
        assert_eq!(family(10), Some("AF_INET6"));
        assert_eq!(family(libc::AF_VSOCK as u64), Some("AF_VSOCK"));
        assert_eq!((socket_state(1), socket_state(0)), (Some("ESTABLISHED"), None));
        assert_eq!((socket_state(7), socket_state(10)), (Some("CLOSE"), Some("LISTEN")));
        assert_eq!((socket_state(13), socket_state(14)), (Some("BOUND_INACTIVE"), None));
        assert_eq!((protocol(17), protocol(0x800)), (Some("UDP"), None));
    }
}
