// SPDX-License-Identifier: MIT
//! Tests with small objects, valid and damaged.

use bpfpack_schemas::insn::PSEUDO_CALL;

use super::*;

const EXIT: [u8; INSN] = [0x95, 0, 0, 0, 0, 0, 0, 0];

fn reserve() -> [u8; INSN] {
    encode(CALL, 0, 0, 0, 131)
}

/// A section for [`object`]: its type, flags, link, info and content.
struct Part(u32, u64, u32, u32, Vec<u8>);

/// An object with these sections after an empty one. All names are empty except the first string of
/// the last section.
fn object(parts: &[Part]) -> Vec<u8> {
    let mut bytes = vec![0; 64];
    let mut headers = vec![0; 64];
    for Part(kind, flags, link, info, content) in parts {
        headers.extend(0u32.to_le_bytes());
        headers.extend(kind.to_le_bytes());
        for word in [*flags, 0, bytes.len() as u64, content.len() as u64] {
            headers.extend(word.to_le_bytes());
        }
        headers.extend([link.to_le_bytes(), info.to_le_bytes()].concat());
        headers.extend([0; 16]);
        bytes.extend(content);
    }
    let table = bytes.len() as u64;
    bytes[0x28..0x30].copy_from_slice(&table.to_le_bytes());
    let count = parts.len() as u16;
    for (at, word) in [(0x3a, 64), (0x3c, count + 1), (0x3e, count)] {
        bytes[at..at + 2].copy_from_slice(&word.to_le_bytes());
    }
    bytes.extend(headers);
    bytes
}

fn code(insns: &[[u8; INSN]]) -> Part {
    Part(1, 6, 0, 0, insns.concat())
}

/// Symbols of section 1: whether each is a function, its value and its size. The strings are in
/// section 3.
fn symbols(symbols: &[(bool, u64, u64)]) -> Part {
    let mut content = Vec::new();
    for (is_function, value, size) in symbols {
        content.extend([0, 0, 0, 0, if *is_function { 2 } else { 3 }, 0, 1, 0]);
        content.extend([value.to_le_bytes(), size.to_le_bytes()].concat());
    }
    Part(2, 0, 3, 0, content)
}

fn strings() -> Part {
    Part(3, 0, 0, 0, vec![0])
}

fn counted(object: &[u8]) -> Elf {
    let (bytes, is_incomplete) = Calls::find(object).unwrap().counted(7, |_| 8);
    assert!(!is_incomplete);
    Elf::parse(&bytes).unwrap()
}

#[test]
fn functions_move_with_their_symbols_and_calls() {
    let call = |distance| encode(CALL, 0, PSEUDO_CALL, 0, distance);
    let insns = [call(2), reserve(), EXIT, call(-4), EXIT];
    let old = [(true, 0, 24), (true, 24, 16), (false, 0, 0), (true, u64::MAX - 7, 8)];
    let elf = counted(&object(&[code(&insns), symbols(&old), strings()]));
    let new: Vec<[u8; INSN]> = elf.section_bytes(&elf.sections[1]).unwrap().as_chunks().0.into();
    let mut wanted = vec![call(9), encode(GOTO, 0, 0, 1, 0), EXIT];
    wanted.extend([
        reserve(),
        encode(IF_NOT_EQUAL, 0, 0, 4, 0),
        encode(LOAD_64, 1, PSEUDO_MAP_VALUE, 0, 7),
        encode(0, 0, 0, 0, 8),
        encode(MOVE, 2, 0, 0, 1),
        encode(ATOMIC, 1, 2, 0, 0),
        encode(GOTO, 0, 0, -8, 0),
        call(-11),
        EXIT,
    ]);
    assert_eq!(new, wanted);
    let places: Vec<u64> = elf.symbols.iter().map(|symbol| symbol.value).collect();
    assert_eq!(places, [0, 80, 0, u64::MAX], "and one that is nowhere stays there");
}

#[test]
fn targets_that_are_nowhere_are_no_matter() {
    let call = |distance| encode(CALL, 0, PSEUDO_CALL, 0, distance);
    // Also with the section as symbol, with a relocation for each instruction.
    let insns = [call(i32::MAX), call(i32::MIN), reserve(), call(i32::MAX), EXIT];
    let mut relocations = Vec::new();
    for at in [0u64, 8] {
        relocations.extend([at.to_le_bytes(), (10u64).to_le_bytes()].concat());
    }
    let relocations = Part(9, 0, 2, 1, relocations);
    counted(&object(&[code(&insns), symbols(&[(false, 0, 0)]), strings(), relocations, strings()]));
    counted(&object(&[code(&insns), symbols(&[(false, 0, 0)]), strings()]));
}

#[test]
fn sections_that_share_their_bytes_are_refused() {
    let mut bytes = object(&[code(&[reserve(), EXIT]), code(&[EXIT; 90]), strings()]);
    assert!(Calls::find(&bytes).is_some());
    let table = bytes.len() - 4 * 64;
    for section in [1, 2] {
        let header = table + section * 64;
        bytes[header + 0x18..header + 0x20].copy_from_slice(&0u64.to_le_bytes());
        let all = bytes.len() as u64;
        bytes[header + 0x20..header + 0x28].copy_from_slice(&all.to_le_bytes());
    }
    assert!(Calls::find(&bytes).is_none());
}

#[test]
fn names_do_not_go_on_without_end() {
    let text = Part(3, 0, 0, 0, vec![b'a'; 100_000]);
    let elf = Elf::parse(&object(&[code(&[EXIT]), symbols(&[(true, 0, 8)]), text])).unwrap();
    assert!(elf.symbols[0].name.len() < 2000 && elf.sections[0].name.len() < 2000);
}
