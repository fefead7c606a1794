// SPDX-License-Identifier: MIT
//! Removes DWARF from an object; BTF stays. The same as `llvm-strip -g`, without needing LLVM's
//! tools on the machine.

use anyhow::Context as _;
use object::build::elf::{Builder, SectionData};
use object::elf::{SHT_STRTAB, STT_SECTION};

use crate::failure::{Failure, exit_code};

/// The object without its `.debug_*` sections, their relocations and their symbols.
pub fn debug_sections(data: &[u8]) -> Result<Vec<u8>, Failure> {
    strip(data)
        .context("can not remove the debug information from clang's object")
        .map_err(|error| Failure::new(exit_code::OTHER, error))
}

fn strip(data: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut builder = Builder::read(data)?;
    let debug: Vec<_> = builder
        .sections
        .iter()
        .filter(|section| section.name.starts_with(b".debug_"))
        .map(|section| section.id())
        .collect();
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
    // clang keeps the sections' names with the symbols' names; the writer wants a table for each.
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
    Ok(out)
}
