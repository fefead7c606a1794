// SPDX-License-Identifier: MIT
//! BTF that tests build.

use super::*;
use crate::argument::Argument;

/// Builds BTF for tests.
#[derive(Default)]
pub(crate) struct Builder {
    types: Vec<u8>,
    strings: Vec<u8>,
    count: u32,
}

impl Builder {
    pub(crate) fn add(
        &mut self,
        kind: Kind,
        name: &str,
        vlen: u32,
        size: u32,
        extra: &[u32],
    ) -> u32 {
        if self.strings.is_empty() {
            self.strings.push(0);
        }
        let at = if name.is_empty() { 0 } else { self.name(name) };
        for word in [at, (kind as u32) << 24 | vlen, size].iter().chain(extra) {
            self.types.extend(word.to_le_bytes());
        }
        self.count += 1;
        self.count
    }

    pub(crate) fn name(&mut self, name: &str) -> u32 {
        if self.strings.is_empty() {
            self.strings.push(0);
        }
        let at = self.strings.len() as u32;
        self.strings.extend(name.as_bytes());
        self.strings.push(0);
        at
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = vec![0x9f, 0xeb, 1, 0];
        let (types, strings) = (self.types.len() as u32, self.strings.len() as u32);
        for word in [24, 0, types, types, strings] {
            out.extend(word.to_le_bytes());
        }
        out.extend(&self.types);
        out.extend(&self.strings);
        out
    }
}

#[test]
fn spellings_and_sizes() {
    let mut b = Builder::default();
    let int = b.add(Kind::Int, "unsigned int", 0, 4, &[32]);
    let u32_ = b.add(Kind::Typedef, "__u32", 0, int, &[]);
    let volatile = b.add(Kind::Volatile, "", 0, u32_, &[]);
    let slots = b.add(Kind::Array, "", 0, 0, &[u32_, int, 20]);
    let grid = b.add(Kind::Array, "", 0, 0, &[slots, int, 3]);
    let member = [b.name("slots"), slots, 0];
    let info = b.add(Kind::Struct, "info", 1, 80, &member);
    let constant = b.add(Kind::Const, "", 0, info, &[]);
    let pointer = b.add(Kind::Ptr, "", 0, constant, &[]);
    let void = b.add(Kind::Ptr, "", 0, 0, &[]);
    let bytes = b.bytes();
    let btf = Btf::parse(&bytes).unwrap();
    let spelling = |id| btf.ty(id).spelling();
    assert_eq!(spelling(volatile), "__u32");
    assert_eq!(spelling(slots), "__u32[20]");
    assert_eq!(spelling(grid), "__u32[3][20]");
    assert_eq!(spelling(pointer), "struct info *");
    assert_eq!(spelling(void), "void *");
    assert_eq!(btf.ty(grid).size(), Some(240));
    assert_eq!(btf.ty(info).size(), Some(80));
    assert_eq!(btf.ty(99).kind, Kind::Void);
    let member = btf.ty(info).members().next().unwrap();
    assert_eq!((member.name, member.ty, member.bit_offset), ("slots", slots, 0));
}

#[test]
fn endless_chains_end() {
    let mut b = Builder::default();
    b.add(Kind::Typedef, "a", 0, 2, &[]);
    b.add(Kind::Typedef, "b", 0, 1, &[]);
    b.add(Kind::Array, "", 0, 0, &[3, 3, 2]);
    b.add(Kind::Ptr, "", 0, 4, &[]);
    let bytes = b.bytes();
    let btf = Btf::parse(&bytes).unwrap();
    for ty in btf.types() {
        let _ = (ty.resolved().kind, ty.size(), ty.spelling());
    }
    assert_eq!(btf.ty(1).resolved().kind, Kind::Void);
    assert_eq!(btf.ty(3).size(), None);
    assert!(btf.endless().is_some());
}

#[test]
fn types_that_are_made_of_themselves_are_found() {
    let of = |types: &[(Kind, u32, &[u32])]| {
        let mut b = Builder::default();
        for (kind, target, extra) in types {
            b.add(*kind, "", 0, *target, extra);
        }
        let bytes = b.bytes();
        Btf::parse(&bytes).unwrap().endless()
    };
    assert_eq!(of(&[(Kind::Typedef, 1, &[])]), Some(1));
    assert_eq!(
        of(&[(Kind::Int, 4, &[32]), (Kind::Const, 3, &[]), (Kind::Typedef, 2, &[])]),
        Some(2)
    );
    assert_eq!(of(&[(Kind::Array, 0, &[1, 1, 2])]), Some(1));
    // A chain that leads into a cycle; two chains with the same end; a cycle through a pointer is
    // valid, as in lists.
    assert_eq!(of(&[(Kind::Const, 2, &[]), (Kind::Volatile, 2, &[])]), Some(2));
    assert_eq!(of(&[(Kind::Const, 3, &[]), (Kind::Const, 3, &[]), (Kind::Typedef, 0, &[])]), None);
    assert_eq!(of(&[(Kind::Ptr, 2, &[]), (Kind::Const, 1, &[])]), None);
    assert_eq!(of(&[(Kind::Const, 99, &[])]), None);
}

#[test]
fn enums_by_tag_and_by_enumerator() {
    let mut b = Builder::default();
    let names = [b.name("HI"), 0, b.name("TIMER"), 1];
    let anonymous = b.add(Kind::Enum, "", 2, 4, &names);
    let names = [b.name("A"), u32::MAX];
    let tagged = b.add(Kind::Enum, "color", 1, 4, &names);
    let bytes = b.bytes();
    let btf = Btf::parse(&bytes).unwrap();
    assert_eq!(btf.find_enum("TIMER").unwrap().id, anonymous);
    assert_eq!(btf.find_enum("color").unwrap().id, tagged);
    assert!(btf.find_enum("A").is_none(), "a tagged enum goes by its tag");
    assert_eq!(btf.ty(anonymous).enumerators().last(), Some(("TIMER", 1)));
}

#[test]
fn externs_are_what_libbpf_finds_in_the_kernel() {
    let mut b = Builder::default();
    let int = b.add(Kind::Int, "int", 0, 4, &[0x0100_0020]);
    let proto = b.add(Kind::FuncProto, "", 0, int, &[]);
    // Linkage 2: extern.
    let kfunc = b.add(Kind::Func, "bpf_kfunc", 2, proto, &[]);
    let variable = b.add(Kind::Var, "runqueues", 0, int, &[2]);
    b.add(Kind::Func, "elsewhere", 2, proto, &[]);
    let config = b.add(Kind::Var, "CONFIG_HZ", 0, int, &[2]);
    let own = b.add(Kind::Var, "own", 0, int, &[1]);
    b.add(Kind::Datasec, ".ksyms", 2, 0, &[kfunc, 0, 0, variable, 0, 4]);
    b.add(Kind::Datasec, ".kconfig", 1, 4, &[config, 0, 4]);
    b.add(Kind::Datasec, ".bss", 1, 4, &[own, 0, 4]);
    let bytes = b.bytes();
    let btf = Btf::parse(&bytes).unwrap();
    let found: Vec<&str> = btf.externs().into_iter().collect();
    assert_eq!(found, ["CONFIG_HZ", "bpf_kfunc", "runqueues"]);
    assert!(Btf::parse(&Builder::default().bytes()).unwrap().externs().is_empty());
}

#[test]
fn what_is_larger_than_a_path_is_no_argument() {
    let mut b = Builder::default();
    let char = b.add(Kind::Int, "char", 0, 1, &[0x0100_0008]);
    let text = b.add(Kind::Array, "", 0, 0, &[char, char, u32::MAX]);
    let bool = b.add(Kind::Int, "_Bool", 0, 1, &[0x0400_0008]);
    let bytes = b.bytes();
    let btf = Btf::parse(&bytes).unwrap();
    for id in [text, bool] {
        assert!(Argument::of(btf.ty(id), 4096).is_some());
        assert!(Argument::of(btf.ty(id), 4097).is_none());
        assert!(Argument::of(btf.ty(id), u32::MAX as usize).is_none());
    }
}

#[test]
fn bad_headers() {
    assert_eq!(Btf::parse(&[]).unwrap_err(), BtfError::Header);
    assert_eq!(Btf::parse(&[0xeb, 0x9f, 1, 0]).unwrap_err(), BtfError::BigEndian);
    let mut bytes = Builder::default().bytes();
    bytes[12] = 200;
    assert_eq!(Btf::parse(&bytes).unwrap_err(), BtfError::Header);
    let mut b = Builder::default();
    b.add(Kind::Struct, "s", 3, 4, &[]);
    assert!(matches!(Btf::parse(&b.bytes()), Err(BtfError::Type { id: 1, .. })));
}

proptest::proptest! {
    #[test]
    fn any_types_parse_or_fail(records in proptest::collection::vec((0u32..20, 0u32..4, 0u32..12, proptest::array::uniform12(0u32..12)), 0..12)) {
        let mut b = Builder::default();
        for (kind, vlen, size, extra) in records {
            let kind = Kind::from_raw(kind as u8).unwrap();
            let len = kind.extra_len(vlen as usize) / 4;
            b.add(kind, "x", vlen, size, &extra[..len.min(12)]);
        }
        let bytes = b.bytes();
        if let Ok(btf) = Btf::parse(&bytes) {
            for ty in btf.types() {
                let _ = (ty.size(), ty.spelling(), ty.resolved().id, ty.vars().len());
                let _ = (ty.members().count(), ty.enumerators().count());
            }
            let _ = (btf.find_enum("x").is_some(), btf.externs().len());
        }
    }
}
