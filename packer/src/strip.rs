// SPDX-License-Identifier: MIT
//! Removes DWARF from an object and keeps BTF, as `llvm-strip -g` does, without the tools of LLVM.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};
use object::build::elf::{Builder, SectionData};
use object::elf::{SHT_STRTAB, STT_SECTION};

use crate::cache::temporary_directory;
use crate::failure::{Failure, exit_code};
use crate::message::shown;

/// Sections of BPF objects are aligned to 8 bytes, maps at most to a page.
const MAX_ALIGNMENT: u64 = 1 << 16;

/// Removes the `.debug_*` sections of an object, their relocations and their symbols. If `btf` is
/// given, it replaces the content of `.BTF`.
pub(crate) fn debug_sections(data: Vec<u8>, btf: Option<Vec<u8>>) -> Result<Vec<u8>, Failure> {
    strip(data, btf)
        .context("cannot remove the debug information from the object")
        .map_err(|error| Failure::new(exit_code::DESCRIBE, error))
}

/// Runs a program such as llvm-strip on the object.
pub(crate) fn with_program(program: &Path, object: &[u8]) -> Result<Vec<u8>, Failure> {
    let run = || -> anyhow::Result<Vec<u8>> {
        let directory = temporary_directory()?;
        let file = directory.path().join("object.bpf.o");
        fs::write(&file, object)?;
        let output = Command::new(program).arg("-g").arg(&file).output()?;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr);
            bail!("{}", words.trim().lines().collect::<Vec<_>>().join("; "));
        }
        Ok(fs::read(file)?)
    };
    run().with_context(|| format!("`{}` failed", shown(program))).map_err(|error| {
        Failure::new(exit_code::NO_COMPILER, error)
            .hint("without -l, ecc removes the debug information itself")
    })
}

/// clang's table of symbols whose addresses are taken, which is meant for linkers. The ELF writer
/// does not know its type, so it is removed.
const SHT_LLVM_ADDRSIG: u32 = 0x6fff_4c03;
const SHT_PROGBITS: u32 = 1;

/// The position of the type of clang's table in the section table. There is one such table; more
/// indicate damage.
fn address_tables(data: &[u8]) -> Vec<usize> {
    let number = |data: &[u8], at: usize, len: usize| {
        let bytes = data.get(at..at.checked_add(len)?)?;
        Some(bytes.iter().rev().fold(0u64, |value, byte| value << 8 | u64::from(*byte)))
    };
    // The fields e_shoff, e_shentsize and e_shnum of the header.
    let (Some(table), Some(size), Some(count)) =
        (number(data, 0x28, 8), number(data, 0x3a, 2), number(data, 0x3c, 2))
    else {
        return Vec::new();
    };
    let place = |index: u64| {
        let at = usize::try_from(table.checked_add(index * size)?).ok()?.checked_add(4)?;
        (number(data, at, 4) == Some(SHT_LLVM_ADDRSIG.into())).then_some(at)
    };
    (0..count).filter_map(place).collect()
}

fn strip(mut data: Vec<u8>, btf: Option<Vec<u8>>) -> anyhow::Result<Vec<u8>> {
    let tables = address_tables(&data);
    let set_type = |data: &mut [u8], ty: u32| {
        for at in &tables {
            data[*at..at + 4].copy_from_slice(&ty.to_le_bytes());
        }
    };
    set_type(&mut data, SHT_PROGBITS);
    match stripped(&data, btf)? {
        Some(stripped) => Ok(stripped),
        None => {
            set_type(&mut data, SHT_LLVM_ADDRSIG);
            Ok(data)
        }
    }
}

/// The object without debug information; `None` if it has none.
fn stripped(data: &[u8], btf: Option<Vec<u8>>) -> anyhow::Result<Option<Vec<u8>>> {
    let mut builder = Builder::read(data)?;
    // Objects of clang have neither; the writer would create a file of any size for them.
    if !builder.segments.is_empty() {
        bail!("it has program headers, like an executable");
    }
    for section in &mut builder.sections {
        // 0 means the same as 1, but the writer would round up to it.
        section.sh_addralign = section.sh_addralign.max(1);
        let alignment = section.sh_addralign;
        if alignment > MAX_ALIGNMENT || !alignment.is_power_of_two() {
            bail!("its section `{}` is aligned to {alignment} bytes", section.name);
        }
    }
    let is_same = btf.is_none();
    if let Some(btf) = btf
        && let Some(section) = builder.sections.iter_mut().find(|s| *s.name == *b".BTF")
    {
        section.data = SectionData::Data(btf.into());
    }
    let debug: Vec<_> = builder
        .sections
        .iter()
        .filter(|s| s.name.starts_with(b".debug_") || *s.name == *b".llvm_addrsig")
        .map(|section| section.id())
        .collect();
    if debug.is_empty() && is_same {
        return Ok(None);
    }
    for section in &mut builder.sections {
        let of_debug = matches!(&section.data, SectionData::Relocation(_))
            && section.sh_info_section.is_some_and(|target| debug.contains(&target));
        if of_debug || debug.contains(&section.id()) {
            section.delete = true;
        }
    }
    for symbol in &mut builder.symbols {
        if symbol.st_type() == STT_SECTION
            && symbol.section.is_some_and(|section| debug.contains(&section))
        {
            symbol.delete = true;
        }
    }
    // clang stores section names with symbol names; the writer requires separate tables.
    let tables: Vec<_> = builder.sections.iter().map(|section| &section.data).collect();
    if !tables.iter().any(|data| matches!(data, SectionData::SectionString)) {
        let names = builder.sections.add();
        names.name = b".shstrtab"[..].into();
        names.sh_type = SHT_STRTAB;
        names.sh_addralign = 1;
        names.data = SectionData::SectionString;
    }
    if !builder.sections.iter().any(|section| matches!(section.data, SectionData::String)) {
        let names = builder.sections.add();
        names.name = b".strtab"[..].into();
        names.sh_type = SHT_STRTAB;
        names.sh_addralign = 1;
        names.data = SectionData::String;
    }
    let mut out = Vec::new();
    builder.write(&mut out)?;
    Ok(Some(out))
}

#[cfg(test)]
mod tests {
    use object::Endianness;

    use super::*;

    /// An object with debug information and a section with this alignment.
    fn object(alignment: u64) -> Vec<u8> {
        let mut builder = Builder::new(Endianness::Little, true);
        builder.header.e_type = object::elf::ET_REL;
        for (name, ty, data) in [
            (
                &b".debug_info"[..],
                object::elf::SHT_PROGBITS,
                SectionData::Data(b"debug"[..].into()),
            ),
            (b".bss", object::elf::SHT_PROGBITS, SectionData::Data(b"12345"[..].into())),
            (b".shstrtab", SHT_STRTAB, SectionData::SectionString),
        ] {
            let section = builder.sections.add();
            section.name = name.into();
            section.sh_type = ty;
            section.sh_addralign = 1;
            section.data = data;
        }
        let mut bytes = Vec::new();
        builder.write(&mut bytes).unwrap();
        // The writer does not write an alignment of 0, so it is patched in the section table.
        let table = u64::from_le_bytes(bytes[0x28..0x30].try_into().unwrap()) as usize;
        let count = usize::from(u16::from_le_bytes([bytes[0x3c], bytes[0x3d]]));
        for index in 1..count {
            let at = table + index * 64 + 48;
            bytes[at..at + 8].copy_from_slice(&alignment.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn sections_of_any_alignment() {
        for alignment in [0, 1, 8, 4096] {
            let stripped = debug_sections(object(alignment), None).unwrap();
            assert!(!stripped.windows(5).any(|bytes| bytes == b"debug"), "{alignment}");
            assert!(stripped.windows(5).any(|bytes| bytes == b"12345"), "{alignment}");
        }
        for alignment in [3, 1 << 20, u64::MAX] {
            assert_eq!(
                debug_sections(object(alignment), None).unwrap_err().exit_code,
                exit_code::DESCRIBE
            );
        }
    }
}
