// SPDX-License-Identifier: MIT
//! The debug sections of an object that was not linked.

use std::borrow::Cow;
use std::collections::BTreeMap;

use gimli::SectionId;
use object::read::elf::ElfFile64;
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, RelocationFlags};

use super::debug::address;

/// The debug sections with their relocations applied.
#[derive(Debug)]
pub(crate) struct Sections<'d>(BTreeMap<&'static str, Cow<'d, [u8]>>);

impl<'d> Sections<'d> {
    /// Reads the debug sections; `None` if the object has no debug information.
    pub(crate) fn read(elf: &ElfFile64<'d, object::LittleEndian>) -> Option<Sections<'d>> {
        let mut found = BTreeMap::new();
        for id in [
            SectionId::DebugAbbrev,
            SectionId::DebugAddr,
            SectionId::DebugInfo,
            SectionId::DebugLine,
            SectionId::DebugLineStr,
            SectionId::DebugRanges,
            SectionId::DebugRngLists,
            SectionId::DebugStr,
            SectionId::DebugStrOffsets,
        ] {
            let Some(section) = elf.section_by_name(id.name()) else { continue };
            let mut data = Cow::Borrowed(section.data().ok()?);
            for (at, relocation) in section.relocations() {
                let RelocationFlags::Elf { r_type } = relocation.flags() else { continue };
                let object::RelocationTarget::Symbol(symbol) = relocation.target() else {
                    continue;
                };
                let Ok(symbol) = elf.symbol_by_index(symbol) else { continue };
                let in_text = symbol
                    .section_index()
                    .filter(|index| is_text(elf, *index))
                    .map_or(0, |index| address(index.0, 0));
                let base = symbol.address().wrapping_add(in_text);
                // The kernel defines the numbers (Documentation/bpf/llvm_reloc.rst):
                // R_BPF_64_ABS64, R_BPF_64_ABS32 and R_BPF_64_NODYLD32. The addend is in place.
                let size = match r_type.0 {
                    2 => 8,
                    3 | 4 => 4,
                    _ => continue,
                };
                let at = usize::try_from(at).ok()?;
                let Some(location) = data.to_mut().get_mut(at..at.checked_add(size)?) else {
                    continue;
                };
                let addend =
                    location.iter().rev().fold(0u64, |value, b| value << 8 | u64::from(*b));
                location.copy_from_slice(&base.wrapping_add(addend).to_le_bytes()[..size]);
            }
            found.insert(id.name(), data);
        }
        found.contains_key(SectionId::DebugInfo.name()).then_some(Sections(found))
    }

    /// The bytes of a section; `None` if the object does not have it.
    pub(crate) fn get(&self, id: SectionId) -> &[u8] {
        self.0.get(id.name()).map_or(&[], |data| data)
    }
}

fn is_text(elf: &ElfFile64<'_, object::LittleEndian>, index: object::SectionIndex) -> bool {
    elf.section_by_index(index).is_ok_and(|section| section.kind() == object::SectionKind::Text)
}
