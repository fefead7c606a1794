// SPDX-License-Identifier: MIT
//! Guesses addresses by name, and their family by the siblings.

use super::{Form, Sibling};
use crate::field::Field;
use crate::meaning::Meaning;

/// The family or IP version among the members of a record.
pub(crate) fn family(siblings: &[Sibling<'_>]) -> Option<Field> {
    let is_family = |sibling: &&Sibling<'_>| {
        let name = sibling.name.to_ascii_lowercase();
        let is_named = FAMILY.contains(&&*name) || IP_VERSION.contains(&&*name);
        is_named && matches!(sibling.size, 1 | 2 | 4)
    };
    let found = siblings.iter().find(is_family)?;
    Some(Field { offset: found.offset, size: found.size })
}

/// Names of families.
pub(super) const FAMILY: [&str; 6] =
    ["family", "sa_family", "sk_family", "addr_family", "address_family", "af"];

/// Names of IP versions: 4 and 6 instead of a family.
const IP_VERSION: [&str; 4] = ["ver", "ip_ver", "ip_version", "ipver"];

/// Names of addresses, without the IP version.
const ADDRESSES: [&str; 26] = [
    "saddr",
    "daddr",
    "laddr",
    "raddr",
    "src_addr",
    "dst_addr",
    "source_addr",
    "dest_addr",
    "local_addr",
    "remote_addr",
    "peer_addr",
    "client_addr",
    "server_addr",
    "src_ip",
    "dst_ip",
    "local_ip",
    "remote_ip",
    "peer_ip",
    "client_ip",
    "server_ip",
    "sip",
    "dip",
    "ip",
    "ip_addr",
    "ipaddr",
    "addr",
];

/// Suffixes that tell the IP version, longest first.
const VERSIONS: [(&str, u64); 8] = [
    ("_ipv4", 4),
    ("_ipv6", 16),
    ("_v4", 4),
    ("_v6", 16),
    ("v4", 4),
    ("v6", 16),
    ("4", 4),
    ("6", 16),
];

/// Guesses an address by its name. If four bytes and sixteen bytes share an offset, each is of its
/// own version. Sixteen bytes alone can hold either version.
pub(super) fn address(name: &str, form: Form, siblings: &[Sibling<'_>]) -> Option<Meaning> {
    let size = match form {
        Form::Int { size: 4, .. } | Form::Bytes(4) => 4,
        Form::Int { size: 16, .. } | Form::Bytes(16) | Form::Sixteen => 16,
        _ => return None,
    };
    let cut = |(end, version): &(&str, u64)| Some((name.strip_suffix(end)?, Some(*version)));
    let (base, version) = VERSIONS.iter().find_map(cut).unwrap_or((name, None));
    if !ADDRESSES.contains(&base) || version.is_some_and(|version| version != size) {
        return None;
    }
    // Memory has addresses, too.
    if name == "addr" && size == 4 && !is_network(siblings) {
        return None;
    }
    if size == 4 {
        return Some(Meaning::Ipv4(None));
    }
    let own = siblings.iter().find(|sibling| sibling.name.eq_ignore_ascii_case(name));
    let is_over = |own: &Sibling<'_>| {
        siblings.iter().any(|sibling| sibling.offset == own.offset && sibling.size == 4)
    };
    Some(if own.is_some_and(is_over) { Meaning::Ipv6(None) } else { Meaning::Ip(None) })
}

/// Whether a record is about a connection, so that `state` is a socket's and `proto` is a protocol
/// above IP.
pub(super) fn is_network(siblings: &[Sibling<'_>]) -> bool {
    siblings.iter().any(|sibling| {
        let name = sibling.name.to_ascii_lowercase();
        FAMILY.contains(&&*name)
            || ["port", "sport", "dport", "lport", "rport", "saddr", "daddr"].contains(&&*name)
            || ["saddr_", "daddr_", "src_port", "dst_port"]
                .iter()
                .any(|part| name.starts_with(part))
    })
}
