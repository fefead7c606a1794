// SPDX-License-Identifier: MIT
//! Guesses the meaning of a member without an annotation. Types that determine it come first, then
//! names that programs use consistently, with the type that goes with them. A wrong guess is worse
//! than none: a name with several uses, or a number whose unit or byte order is not known, stays a
//! plain number.

mod address;
mod time;

use bpfpack_schemas::btf::{Kind, Type};

use super::Meaning;
pub(super) use address::family;
use address::{FAMILY, address, is_network};
use time::time;

/// A member to guess the meaning of.
#[derive(Debug, Clone, Copy)]
pub struct Hint<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its type, including typedefs.
    pub ty: Type<'a>,
    /// All members of its record, including itself.
    pub siblings: &'a [Sibling<'a>],
}

/// A member of the same record.
#[derive(Debug, Clone, Copy)]
pub struct Sibling<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its offset in the record.
    pub offset: usize,
    /// Its size in bytes.
    pub size: usize,
}

/// The property of a type that a name must fit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// An integer of this many bytes.
    Int { size: u64, signed: bool },
    /// `u8[N]`.
    Bytes(u64),
    /// Another type of 16 bytes: `u32[4]`, `u64[2]`.
    Sixteen,
}

/// See [`Meaning::guess`].
pub(super) fn guess(member: &Hint<'_>) -> Option<Meaning> {
    let name = member.name.to_ascii_lowercase();
    let meaning = by_type(&name, member.ty).or_else(|| {
        let form = form(member.ty)?;
        address(&name, form, member.siblings).or_else(|| match form {
            Form::Int { size, signed } => {
                // Only a few names depend on the siblings, which may be thousands.
                let is_network = || is_network(member.siblings);
                number(&name, size, signed, is_network).or_else(|| time(&name, size))
            }
            Form::Bytes(6) if !is_text(&name) => Some(Meaning::Mac),
            Form::Bytes(2..) if is_text(&name) => Some(Meaning::Text),
            _ => None,
        })
    });
    meaning.map(|meaning| meaning.beside(member.siblings))
}

fn by_type(name: &str, ty: Type<'_>) -> Option<Meaning> {
    let resolved = ty.resolved();
    let size = resolved.size();
    match resolved.kind {
        Kind::Ptr if is_code(name) => return Some(Meaning::KernelAddress),
        Kind::Ptr => return Some(Meaning::Hex),
        Kind::Struct if resolved.name() == "in_addr" => return Some(Meaning::Ipv4(None)),
        Kind::Struct if resolved.name() == "in6_addr" => return Some(Meaning::Ip(None)),
        Kind::Union if resolved.name() == "nf_inet_addr" => return Some(Meaning::Ip(None)),
        _ => {}
    }
    let is = |names: &[&str]| ty.is_named(names);
    if is(&["__be16", "in_port_t"]) {
        let is_port = name.contains("port");
        return Some(if is_port { Meaning::Port } else { Meaning::NetworkOrder });
    }
    if is(&["__be32", "in_addr_t"]) {
        // Two ports in one member, as in a packet, are not a number.
        return match name {
            _ if name.contains("port") => None,
            _ if words(name).any(|word| OTHER_BE32.contains(&word)) => Some(Meaning::NetworkOrder),
            _ => Some(Meaning::Ipv4(None)),
        };
    }
    if is(&["__be64"]) {
        return Some(Meaning::NetworkOrder);
    }
    // Programs use gid_t for process IDs, too.
    let is_process = words(name).any(|word| ["pid", "tgid", "tid", "ppid"].contains(&word));
    if is(&["uid_t", "kuid_t"]) && !is_process {
        return Some(Meaning::User);
    }
    if is(&["gid_t", "kgid_t"]) && !is_process {
        return Some(Meaning::Group);
    }
    if is(&["sa_family_t", "__kernel_sa_family_t"]) {
        return Some(Meaning::Family);
    }
    // User programs have another dev_t, of eight bytes.
    if is(&["dev_t"]) && size == Some(4) {
        return Some(device(name));
    }
    None
}

/// Numbers in network byte order that are not addresses.
const OTHER_BE32: [&str; 12] = [
    "seq",
    "ack",
    "spi",
    "id",
    "xid",
    "vni",
    "flow",
    "flowinfo",
    "flowlabel",
    "key",
    "mark",
    "len",
];

fn form(ty: Type<'_>) -> Option<Form> {
    let resolved = ty.resolved();
    let size = resolved.size()?;
    let int = |ty: Type<'_>| ty.kind == Kind::Int && !ty.int_encoding().bool;
    match resolved.kind {
        Kind::Int if int(resolved) && !ty.is_plain_char() => {
            Some(Form::Int { size, signed: resolved.int_encoding().signed })
        }
        Kind::Array => {
            let element = resolved.target().resolved();
            match element.size() {
                Some(1) if int(element) && !element.is_plain_char() => Some(Form::Bytes(size)),
                Some(4 | 8) if int(element) && size == 16 => Some(Form::Sixteen),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Numbers without a unit.
fn number(name: &str, size: u64, signed: bool, is_network: impl Fn() -> bool) -> Option<Meaning> {
    let ends = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
    let meaning = match (name, size) {
        (name, 1 | 2 | 4) if FAMILY.contains(&name) => Meaning::Family,
        ("oldstate" | "newstate" | "old_state" | "new_state" | "state", 1..=4) if is_network() => {
            Meaning::SocketState
        }
        ("sk_state" | "tcp_state" | "sock_state", 1..=4) => Meaning::SocketState,
        ("proto" | "protocol", 1..=4) if is_network() => Meaning::Protocol,
        ("ip_proto" | "ipproto" | "l4_proto" | "l4proto", 1..=4) => Meaning::Protocol,
        ("uid" | "euid" | "ruid" | "suid" | "fsuid" | "auid" | "loginuid", 4) => Meaning::User,
        ("old_uid" | "new_uid" | "user_id", 4) => Meaning::User,
        ("gid" | "egid" | "rgid" | "sgid" | "fsgid" | "old_gid" | "new_gid" | "group_id", 4) => {
            Meaning::Group
        }
        ("sig" | "signal" | "signo" | "sig_no" | "signum" | "sig_num" | "exit_signal", 4) => {
            Meaning::Signal
        }
        ("syscall" | "syscall_nr" | "syscall_id" | "syscall_no" | "sysno" | "sys_nr", 4 | 8) => {
            Meaning::Syscall
        }
        ("cap" | "capability", 4) => Meaning::Capability,
        ("ret" | "retval" | "ret_val" | "rc" | "return_value", 4 | 8) => Meaning::Result,
        ("err" | "error" | "result", 4 | 8) if signed => Meaning::Result,
        (_, 4) if signed && ends(&["_err", "_error", "_ret"]) => Meaning::Result,
        ("errno", 4 | 8) => Meaning::Errno,
        ("cgroup_id" | "cgroupid" | "cgroup" | "cgrp_id" | "cgid", 8) => Meaning::Cgroup,
        ("dev" | "s_dev" | "i_dev" | "st_dev" | "rdev" | "i_rdev" | "st_rdev", 4)
            if !signed && !is_network() =>
        {
            device(name)
        }
        ("ifindex" | "if_index" | "ifidx" | "bound_dev_if" | "iif" | "oif", 4) => {
            Meaning::Interface
        }
        ("irq" | "irq_nr" | "irq_no" | "irq_id", 4) => Meaning::Interrupt,
        ("softirq" | "softirq_nr" | "softirq_vec" | "vec_nr", 4) => Meaning::Softirq,
        (_, 4) if ends(&["_ifindex"]) => Meaning::Interface,
        ("bytes" | "size" | "len" | "rx_b" | "tx_b", 4 | 8) => Meaning::Size,
        (_, 4 | 8) if ends(&["_bytes"]) || name.starts_with("bytes_") => Meaning::Size,
        (_, 4 | 8) if ends(&["_len", "_length", "_size", "_sz"]) && words(name).any(is_data) => {
            Meaning::Size
        }
        (_, 8) if is_code(name) => Meaning::KernelAddress,
        (_, 8) if ends(&["addr", "ptr"]) || name == "address" => Meaning::Hex,
        _ => return None,
    };
    Some(meaning)
}

/// Names of addresses of kernel code.
fn is_code(name: &str) -> bool {
    ["ip", "kip", "call_site", "callsite", "kaddr", "caller", "caller_ip", "parent_ip", "func_ip"]
        .contains(&name)
}

fn device(name: &str) -> Meaning {
    // The target of a special file is as often a terminal as a disk, with the same numbers.
    if name.ends_with("rdev") { Meaning::DeviceNumber } else { Meaning::Device }
}

/// Names of data that is measured in bytes, while a length may also be of a queue.
fn is_data(word: &str) -> bool {
    const DATA: [&str; 22] = [
        "alloc",
        "allocated",
        "args",
        "buf",
        "buffer",
        "data",
        "file",
        "filename",
        "header",
        "io",
        "kstack",
        "msg",
        "packet",
        "path",
        "payload",
        "pkt",
        "req",
        "skb",
        "stack",
        "text",
        "total",
        "ustack",
    ];
    DATA.contains(&word)
}

fn is_text(name: &str) -> bool {
    const WHOLE: [&str; 16] = [
        "str", "string", "text", "line", "cmd", "cmdline", "args", "argv", "host", "file", "disk",
        "task", "msg", "message", "exe", "query",
    ];
    WHOLE.contains(&name) || ["comm", "name", "path"].iter().any(|end| name.ends_with(end))
}

fn words(name: &str) -> impl Iterator<Item = &str> {
    name.split('_')
}
