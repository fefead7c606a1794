// SPDX-License-Identifier: MIT
//! Any bytes as an object whose losses are to be counted. What is made of a valid object is valid:
//! the same programs, each helper called as often, and each function as it was, but for its
//! detours.
#![no_main]

use std::collections::{BTreeMap, BTreeSet};

use bpfpack_runner::fuzzing::count_losses;
use bpfpack_schemas::object::BpfObject;
use libfuzzer_sys::fuzz_target;
use object::elf::{FileHeader64, SHF_EXECINSTR, SHT_NOBITS, SHT_PROGBITS, STT_FUNC};
use object::read::elf::{ElfFile64, FileHeader as _, SectionHeader as _};
use object::{LittleEndian, Object as _, ObjectSection as _, ObjectSymbol as _};

/// Bytes of an instruction.
const INSN: usize = 8;
/// Bytes of what a call is replaced by.
const DETOUR: usize = 7 * INSN;
const CALL: u8 = 0x85;
const GOTO: u8 = 0x05;
/// A load of 64 bits, which takes two places.
const LOAD_64: u8 = 0x18;
const ENDIAN: LittleEndian = LittleEndian;

type Insn = [u8; INSN];

fuzz_target!(|data: &[u8]| {
    let before = Code::of(data);
    let Some(counted) = count_losses(data) else { return };
    assert!(counted.len() <= 16 * data.len() + 4096, "{} of {}", counted.len(), data.len());
    let _ = count_losses(&counted);
    let Some(before) = before else { return };
    let object = BpfObject::parse(data).expect("it was read before");
    let again = BpfObject::parse(&counted).expect("an object is made");
    assert_eq!(again.programs(), object.programs());
    assert_eq!(again.data_sections(), object.data_sections());
    assert_eq!(again.section_data(".BTF"), object.section_data(".BTF"));
    let after = Code::of(&counted).expect("the object is valid as before");
    assert_eq!(after.helpers(), before.helpers());
    assert_eq!(after.functions.len(), before.functions.len());
    for (new, old) in after.functions.iter().zip(&before.functions) {
        same(new, old);
    }
});

/// A new function begins as the old one, but for calls: one that is counted goes to a detour behind
/// the end, and others may have their targets moved.
fn same(new: &[Insn], old: &[Insn]) {
    let mut detours = 0;
    for (at, (new_insn, old_insn)) in new.iter().zip(old).enumerate() {
        if new_insn[0] != old_insn[0] {
            assert_eq!((old_insn[0], new_insn[0]), (CALL, GOTO));
            let offset = i16::from_le_bytes([new_insn[2], new_insn[3]]);
            let detour = at.checked_add_signed(isize::from(offset) + 1).expect("a place");
            assert!(detour >= old.len(), "a detour inside of its function");
            assert_eq!(new.get(detour), Some(old_insn));
            detours += 1;
        } else if !matches!(old_insn[0], CALL | LOAD_64) {
            assert_eq!(new_insn, old_insn);
        }
    }
    assert_eq!(new.len(), old.len() + detours * DETOUR / INSN);
}

/// The functions of a valid object, by section and place.
struct Code {
    functions: Vec<Vec<Insn>>,
}

impl Code {
    /// Takes an object apart; none where a compiler would not have made it.
    fn of(data: &[u8]) -> Option<Code> {
        BpfObject::parse(data).ok()?.btf().ok()?;
        let elf = ElfFile64::<LittleEndian>::parse(data).ok()?;
        is_laid_out(&elf, data)?;
        let mut functions = Vec::new();
        for section in elf.sections() {
            let header = section.elf_section_header();
            let is_code = header.sh_type(ENDIAN) == SHT_PROGBITS
                && header.sh_size(ENDIAN) > 0
                && header.sh_flags(ENDIAN).0 & SHF_EXECINSTR.0 != 0;
            if !is_code {
                continue;
            }
            let name = section.name().ok()?;
            if [".BTF", ".bss", ".data", ".maps", ".rodata"].iter().any(|n| name.starts_with(n)) {
                return None;
            }
            let (insns, rest) = section.data().ok()?.as_chunks::<INSN>();
            let starts = starts(insns)?;
            if !rest.is_empty() {
                return None;
            }
            // The ends of functions, by where they begin.
            let mut known = BTreeMap::new();
            for symbol in elf.symbols().filter(|s| s.section_index() == Some(section.index())) {
                let at = usize::try_from(symbol.address()).ok()?;
                let end = at.checked_add(usize::try_from(symbol.size()).ok()?)?;
                if at % INSN != 0 || end > insns.len() * INSN {
                    return None;
                }
                if symbol.elf_symbol().st_type() == STT_FUNC {
                    let is_same = *known.entry(at / INSN).or_insert(end) == end;
                    (is_same && starts.contains(&(at / INSN))).then_some(())?;
                }
            }
            let begins: BTreeSet<usize> = known.keys().copied().chain([0]).collect();
            let ends = begins.iter().skip(1).copied().chain([insns.len()]);
            for (begin, end) in begins.iter().copied().zip(ends) {
                known.get(&begin).is_none_or(|known| *known == end * INSN).then_some(())?;
                functions.push(insns[begin..end].into());
            }
        }
        Some(Code { functions })
    }

    /// How often each helper is called.
    fn helpers(&self) -> BTreeMap<i32, usize> {
        let mut found = BTreeMap::new();
        for function in &self.functions {
            let mut is_second = false;
            for insn in function {
                if std::mem::take(&mut is_second) {
                    continue;
                }
                is_second = insn[0] == LOAD_64;
                if insn[0] == CALL && insn[1] >> 4 == 0 {
                    let number = i32::from_le_bytes([insn[4], insn[5], insn[6], insn[7]]);
                    *found.entry(number).or_default() += 1;
                }
            }
        }
        found
    }
}

/// Where instructions begin; none where the last one is cut off.
fn starts(insns: &[Insn]) -> Option<BTreeSet<usize>> {
    let mut starts = BTreeSet::new();
    let mut at = 0;
    while at < insns.len() {
        starts.insert(at);
        at += if insns[at][0] == LOAD_64 { 2 } else { 1 };
    }
    (at == insns.len()).then_some(starts)
}

/// Nothing in the file lies over something else.
fn is_laid_out(elf: &ElfFile64<'_, LittleEndian>, data: &[u8]) -> Option<()> {
    let header = elf.elf_header();
    let table = header.e_shoff(ENDIAN);
    let size = u64::from(header.e_shnum(ENDIAN)) * 64;
    let mut ranges = vec![(0, size_of::<FileHeader64<LittleEndian>>() as u64)];
    ranges.push((table, table.checked_add(size)?));
    for section in elf.sections() {
        let header = section.elf_section_header();
        if header.sh_type(ENDIAN) != SHT_NOBITS {
            let offset = header.sh_offset(ENDIAN);
            ranges.push((offset, offset.checked_add(header.sh_size(ENDIAN))?));
        }
    }
    ranges.retain(|(begin, end)| begin < end);
    ranges.sort_unstable();
    let is_apart = ranges.is_sorted_by(|a, b| a.1 <= b.0);
    let is_inside = ranges.iter().all(|(_, end)| *end <= data.len() as u64);
    (is_apart && is_inside).then_some(())
}
