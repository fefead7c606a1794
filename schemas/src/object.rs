// SPDX-License-Identifier: MIT
//! Reads a BPF object: its programs, its sections, and the maps and variables that each program
//! uses.

mod code;
pub mod helpers;
mod state;

use std::collections::{BTreeMap, BTreeSet};

use object::elf::EM_BPF;
use object::read::elf::{ElfFile64, FileHeader as _};
use object::{
    LittleEndian, Object as _, ObjectSection as _, ObjectSymbol as _, SectionKind, SymbolKind,
};

use crate::btf::{Btf, BtfError, SectionVar};

pub use code::{Code, CodeLocation, Function, Reference};
pub use state::State;

/// Why bytes are not a BPF object.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// Not ELF, or malformed.
    #[error("not a valid ELF object")]
    Elf(#[from] object::Error),
    /// ELF for another machine.
    #[error("an ELF object, but not one for BPF (machine {0})")]
    NotBpf(u16),
    /// Compiled without `-g`.
    #[error("the object has no BTF type information (compile it with `clang -g`)")]
    NoBtf,
    /// The BTF is malformed.
    #[error(transparent)]
    Btf(#[from] BtfError),
}

/// A program: a function in a section that names its attach point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// The function's name.
    pub name: String,
    /// The section's name: `tp_btf/irq_handler_entry`.
    pub section: String,
}

/// A section that becomes a map in libbpf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataSectionHeader {
    /// Its name, with the dot.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
}

/// The ELF part of an object.
#[derive(Debug)]
pub struct BpfObject<'d> {
    elf: ElfFile64<'d, LittleEndian>,
}

impl<'d> BpfObject<'d> {
    /// Reads the ELF headers.
    ///
    /// # Errors
    /// The object is not a little-endian 64-bit ELF object for BPF.
    pub fn parse(data: &'d [u8]) -> Result<BpfObject<'d>, ObjectError> {
        let elf = ElfFile64::<LittleEndian>::parse(data)?;
        let machine = elf.elf_header().e_machine(LittleEndian);
        if machine != EM_BPF {
            return Err(ObjectError::NotBpf(machine.0));
        }
        Ok(BpfObject { elf })
    }

    /// The ELF file, for other readers.
    #[must_use]
    pub fn elf(&self) -> &ElfFile64<'d, LittleEndian> {
        &self.elf
    }

    /// The object's type information.
    ///
    /// # Errors
    /// The object has no BTF, or its BTF is malformed.
    pub fn btf(&self) -> Result<Btf<'d>, ObjectError> {
        let section = self.elf.section_by_name(".BTF").ok_or(ObjectError::NoBtf)?;
        Ok(Btf::parse(section.data()?)?)
    }

    /// Checks that readers of the object's types terminate. An object without BTF passes.
    ///
    /// # Errors
    /// [`BtfError::Type`] names a type that contains itself.
    pub fn check_types(&self) -> Result<(), ObjectError> {
        match self.btf() {
            Err(ObjectError::NoBtf) => Ok(()),
            Err(error) => Err(error),
            Ok(btf) => btf
                .endless()
                .map_or(Ok(()), |id| Err(BtfError::Type { id, why: "it contains itself" }.into())),
        }
    }

    /// The license that it states.
    #[must_use]
    pub fn license(&self) -> Option<String> {
        let text = self.section_data("license")?;
        let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
        Some(String::from_utf8_lossy(&text[..end]).into_owned())
    }

    /// The programs in libbpf's order: by section, then by address.
    #[must_use]
    pub fn programs(&self) -> Vec<Program> {
        self.located_programs().into_iter().map(|(_, program)| program).collect()
    }

    /// The programs with their positions, in the same order.
    #[must_use]
    pub fn located_programs(&self) -> Vec<(CodeLocation, Program)> {
        let mut found: Vec<(CodeLocation, Program)> = self
            .elf
            .symbols()
            .filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.size() > 0)
            .filter_map(|symbol| {
                let section = self.elf.section_by_index(symbol.section_index()?).ok()?;
                let (name, function) = (section.name().ok()?, symbol.name().ok()?);
                let program = Program { name: function.to_owned(), section: name.to_owned() };
                (name != ".text" && section.kind() == SectionKind::Text)
                    .then(|| ((section.index().0, symbol.address()), program))
            })
            .collect();
        found.sort_by_key(|(place, _)| *place);
        found
    }

    /// The names of the programs that are initial elements of maps, such as programs that tail-call
    /// each other.
    pub fn programs_in_maps(&self) -> BTreeSet<String> {
        let maps = self.elf.section_by_name(".maps");
        let symbols = maps.into_iter().flat_map(|maps| maps.relocations());
        let symbols = symbols.filter_map(|(_, relocation)| match relocation.target() {
            object::RelocationTarget::Symbol(index) => self.elf.symbol_by_index(index).ok(),
            _ => None,
        });
        let functions = symbols.filter(|symbol| symbol.kind() == SymbolKind::Text);
        functions.filter_map(|symbol| symbol.name().ok().map(str::to_owned)).collect()
    }

    /// The sections that become maps (`.data`, `.rodata`, `.bss`, with or without a suffix), in
    /// order. Empty sections are omitted, as libbpf does.
    #[must_use]
    pub fn data_sections(&self) -> Vec<DataSectionHeader> {
        let is_data = |name: &str| {
            [".data", ".rodata", ".bss"].iter().any(|stem| {
                name.strip_prefix(stem).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            })
        };
        self.elf
            .sections()
            .filter_map(|section| Some((section.name().ok()?.to_owned(), section.size())))
            .filter(|(name, size)| *size > 0 && is_data(name))
            .map(|(name, size)| DataSectionHeader { name, size })
            .collect()
    }

    /// The variables of a section, by offset. In an object that was not linked, only the symbols
    /// have the offsets, not BTF.
    #[must_use]
    pub fn variables<'b>(&self, btf: &'b Btf<'_>, section: &str) -> Vec<SectionVar<'b>> {
        let mut variables = btf.section_vars(section);
        let index = self.elf.section_by_name(section).map(|section| section.index());
        let addresses: BTreeMap<&str, u64> = self
            .elf
            .symbols()
            .filter(|symbol| symbol.section_index() == index && index.is_some())
            .filter_map(|symbol| Some((symbol.name().ok()?, symbol.address())))
            .collect();
        for variable in &mut variables {
            let address = addresses.get(variable.name).and_then(|at| u32::try_from(*at).ok());
            variable.offset = address.unwrap_or(variable.offset);
        }
        variables.sort_by_key(|variable| variable.offset);
        variables
    }

    /// The index of a section in the file.
    #[must_use]
    pub fn section_index(&self, name: &str) -> Option<usize> {
        Some(self.elf.section_by_name(name)?.index().0)
    }

    /// The bytes of a section; `None` if it does not exist, or has no bytes in the file (`.bss`).
    #[must_use]
    pub fn section_data(&self, name: &str) -> Option<&'d [u8]> {
        let section = self.elf.section_by_name(name)?;
        section.data().ok().filter(|data| !data.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_object_is_refused() {
        assert!(matches!(BpfObject::parse(b""), Err(ObjectError::Elf(_))));
        assert!(matches!(BpfObject::parse(b"\x7fELF"), Err(ObjectError::Elf(_))));
        let exe = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(matches!(BpfObject::parse(&exe), Err(ObjectError::NotBpf(_))));
    }
}
