// SPDX-License-Identifier: MIT
//! Tests of whole members, guessed from BTF that the tests generate.

use bpfpack_schemas::btf::{Btf, Kind};

use super::*;

/// Types for members, by their names in C.
struct Types {
    bytes: Vec<u8>,
    ids: Vec<(&'static str, u32)>,
}

impl Types {
    fn new() -> Types {
        let mut types = Vec::new();
        let mut strings = vec![0];
        let mut ids: Vec<(&'static str, u32)> = Vec::new();
        let mut add = |called, name: &str, kind: Kind, size: u32, extra: &[u32]| {
            let at = strings.len() as u32;
            strings.extend(name.as_bytes());
            strings.push(0);
            for word in [at, (kind as u32) << 24, size].iter().chain(extra) {
                types.extend(word.to_le_bytes());
            }
            let id = ids.len() as u32 + 1;
            ids.push((called, id));
            id
        };
        let mut int = |name, size: u32, signed: u32| {
            add(name, name, Kind::Int, size, &[(signed << 24) | (size * 8)])
        };
        let (char, u8_, u16_) = (int("char", 1, 1), int("unsigned char", 1, 0), int("u16", 2, 0));
        let (u32_, _) = (int("u32", 4, 0), int("int", 4, 1));
        let (u64_, _, _) = (int("u64", 8, 0), int("long", 8, 1), int("u128", 16, 0));
        add("bool", "_Bool", Kind::Int, 1, &[4 << 24 | 8]);
        for (name, of) in [
            ("__be16", u16_),
            ("__be32", u32_),
            ("uid_t", u32_),
            ("gid_t", u32_),
            ("dev_t", u32_),
            ("sa_family_t", u16_),
        ] {
            add(name, name, Kind::Typedef, of, &[]);
        }
        for (called, of, len) in [
            ("char[16]", char, 16),
            ("u8[16]", u8_, 16),
            ("u8[6]", u8_, 6),
            ("u32[4]", u32_, 4),
            ("u32[20]", u32_, 20),
            ("u64[2]", u64_, 2),
        ] {
            add(called, "", Kind::Array, 0, &[of, u32_, len]);
        }
        add("void *", "", Kind::Ptr, 0, &[]);
        add("struct in_addr", "in_addr", Kind::Struct, 4, &[]);
        add("struct in6_addr", "in6_addr", Kind::Struct, 16, &[]);
        add("enum", "e", Kind::Enum, 4, &[]);
        let mut bytes = vec![0x9f, 0xeb, 1, 0];
        let (len, strings_len) = (types.len() as u32, strings.len() as u32);
        for word in [24, 0, len, len, strings_len] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(types);
        bytes.extend(strings);
        Types { bytes, ids }
    }

    fn guess(&self, called: &str, name: &str, siblings: &[Sibling<'_>]) -> Option<Meaning> {
        let btf = Btf::parse(&self.bytes).unwrap();
        let (_, id) = self.ids.iter().find(|(known, _)| *known == called).unwrap();
        Meaning::guess(&Hint { name, ty: btf.ty(*id), siblings })
    }
}

fn sibling(name: &str, offset: usize, size: usize) -> Sibling<'_> {
    Sibling { name, offset, size }
}

#[test]
fn types_tell() {
    let types = Types::new();
    let guess = |called, name| types.guess(called, name, &[]);
    assert_eq!(guess("__be16", "dport"), Some(Meaning::Port));
    assert_eq!(guess("__be16", "h_proto"), Some(Meaning::NetworkOrder));
    assert_eq!(guess("__be32", "src"), Some(Meaning::Ipv4(None)));
    assert_eq!(guess("__be32", "ack_seq"), Some(Meaning::NetworkOrder));
    assert_eq!(guess("__be32", "ports"), None);
    assert_eq!(guess("struct in_addr", "a"), Some(Meaning::Ipv4(None)));
    assert_eq!(guess("struct in6_addr", "a"), Some(Meaning::Ip(None)));
    assert_eq!(guess("uid_t", "owner"), Some(Meaning::User));
    assert_eq!((guess("gid_t", "g"), guess("gid_t", "tgid")), (Some(Meaning::Group), None));
    assert_eq!(guess("dev_t", "d"), Some(Meaning::Device));
    assert_eq!(guess("dev_t", "i_rdev"), Some(Meaning::DeviceNumber));
    assert_eq!(guess("sa_family_t", "f"), Some(Meaning::Family));
    assert_eq!(guess("void *", "file"), Some(Meaning::Hex));
    assert_eq!(guess("void *", "call_site"), Some(Meaning::KernelAddress));
    assert_eq!(guess("u8[6]", "hw"), Some(Meaning::Mac));
}

#[test]
fn names_tell_where_the_type_fits() {
    let types = Types::new();
    let guess = |called, name| types.guess(called, name, &[]);
    assert_eq!((guess("u32", "uid"), guess("u64", "uid")), (Some(Meaning::User), None));
    assert_eq!((guess("int", "ret"), guess("enum", "ret")), (Some(Meaning::Result), None));
    assert_eq!((guess("int", "err"), guess("u32", "err")), (Some(Meaning::Result), None));
    assert_eq!(guess("long", "result"), Some(Meaning::Result));
    assert_eq!(guess("int", "path_error"), Some(Meaning::Result));
    assert_eq!((guess("int", "sig"), guess("bool", "sig")), (Some(Meaning::Signal), None));
    assert_eq!(guess("u64", "syscall_nr"), Some(Meaning::Syscall));
    assert_eq!(
        (guess("u64", "cgroup_id"), guess("u32", "cgroup_id")),
        (Some(Meaning::Cgroup), None)
    );
    assert_eq!((guess("u32", "cap"), guess("u32", "captured")), (Some(Meaning::Capability), None));
    assert_eq!(guess("u32", "dev"), Some(Meaning::Device));
    assert_eq!(guess("u32", "rdev"), Some(Meaning::DeviceNumber));
    assert_eq!(types.guess("u32", "dev", &[sibling("sport", 4, 2)]), None);
    assert_eq!(guess("u32", "bound_dev_if"), Some(Meaning::Interface));
    assert_eq!((guess("int", "irq"), guess("u64", "irq")), (Some(Meaning::Interrupt), None));
    assert_eq!((guess("u32", "vec_nr"), guess("u32", "vec")), (Some(Meaning::Softirq), None));
    assert_eq!(
        (guess("u64", "ip"), guess("u64", "skaddr")),
        (Some(Meaning::KernelAddress), Some(Meaning::Hex))
    );
    assert_eq!((guess("u8[16]", "comm"), guess("char[16]", "comm")), (Some(Meaning::Text), None));
    assert_eq!((guess("u8[16]", "uuid"), guess("u8[6]", "name")), (None, Some(Meaning::Text)));
    for name in ["bytes", "len", "rx_b", "read_bytes", "bytes_sent", "data_len", "args_size"] {
        assert_eq!(guess("u64", name), Some(Meaning::Size), "{name}");
    }
    for name in
        ["qlen", "queue_len", "ring_size", "dport", "state", "proto", "flags", "pid", "time"]
    {
        assert_eq!((guess("u32", name), guess("u64", name)), (None, None), "{name}");
    }
}

#[test]
fn names_of_times_have_their_unit() {
    let types = Types::new();
    let guess = |called, name| types.guess(called, name, &[]);
    let duration = |unit| Some(Meaning::Duration(unit));
    let clock = |unit| Some(Meaning::Clock(unit));
    assert_eq!(guess("u64", "delta_us"), duration(Unit::Microseconds));
    assert_eq!(guess("u64", "max_wait_ns"), duration(Unit::Nanoseconds));
    assert_eq!(guess("u32", "latency_ms"), duration(Unit::Milliseconds));
    assert_eq!(guess("u64", "us"), duration(Unit::Microseconds));
    assert_eq!(guess("u64", "ts"), clock(Unit::Nanoseconds));
    assert_eq!(guess("u64", "ts_us"), clock(Unit::Microseconds));
    assert_eq!(guess("u64", "start_ts_ns"), clock(Unit::Nanoseconds));
    assert_eq!(guess("u64", "end_ns"), clock(Unit::Nanoseconds));
    assert_eq!(guess("u64", "span_timestamp_ns"), clock(Unit::Nanoseconds));
    assert_eq!(guess("u64", "exit_time"), clock(Unit::Nanoseconds));
    assert_eq!(guess("u64", "queued_at"), clock(Unit::Nanoseconds));
    for (called, name) in [
        ("u32", "mnt_ns"),
        ("u64", "pid_ns"),
        ("u64", "ns"),
        ("u32", "delta_ns"),
        ("u64", "delta"),
        ("u64", "latency"),
        ("u64", "total_time"),
        ("u32", "ts"),
        ("u32", "srtt_us"),
        ("u64", "start"),
    ] {
        assert_eq!(guess(called, name), None, "{name}");
    }
}

#[test]
fn addresses_and_their_neighbors() {
    let types = Types::new();
    let family = Some(Field { offset: 40, size: 2 });
    let siblings = [
        sibling("saddr_v4", 0, 4),
        sibling("saddr_v6", 0, 16),
        sibling("daddr", 16, 16),
        sibling("family", 40, 2),
    ];
    let guess = |called, name| types.guess(called, name, &siblings);
    assert_eq!(guess("u32", "saddr_v4"), Some(Meaning::Ipv4(family)));
    assert_eq!(guess("u8[16]", "saddr_v6"), Some(Meaning::Ipv6(family)));
    for called in ["u8[16]", "u32[4]", "u64[2]", "u128"] {
        assert_eq!(guess(called, "daddr"), Some(Meaning::Ip(family)), "{called}");
    }
    assert_eq!(guess("u16", "family"), Some(Meaning::Family));
    assert_eq!(
        (guess("int", "newstate"), guess("u32", "proto")),
        (Some(Meaning::SocketState), Some(Meaning::Protocol))
    );
    assert_eq!(
        (guess("u32", "addr"), types.guess("u32", "addr", &[])),
        (Some(Meaning::Ipv4(family)), None)
    );
    for (called, name) in
        [("u32", "saddr_v6"), ("u8[16]", "daddr_v4"), ("u32[20]", "daddr"), ("u16", "sport")]
    {
        assert_eq!(guess(called, name), None, "{name}");
    }
    let with_version = [sibling("addr", 0, 16), sibling("ver", 30, 1)];
    let place = Some(Field { offset: 30, size: 1 });
    assert_eq!(types.guess("u8[16]", "addr", &with_version), Some(Meaning::Ip(place)));
    assert_eq!(Meaning::named("ip").map(|ip| ip.beside(&with_version)), Some(Meaning::Ip(place)));
}

#[test]
fn names_of_annotations() {
    assert_eq!(Meaning::named("duration_ns"), Some(Meaning::Duration(Unit::Nanoseconds)));
    assert_eq!((Meaning::named("bytes"), Meaning::named("Size")), (Some(Meaning::Size), None));
    let names: Vec<_> = Meaning::all_names().collect();
    for (at, name) in names.iter().enumerate() {
        assert!(!names[..at].contains(name), "{name}");
    }
}

#[test]
fn the_format_has_the_same_names() {
    let names: Vec<_> = Meaning::all_names().collect();
    assert_eq!(names, bpfpack_schemas::meta::MEANINGS);
}
