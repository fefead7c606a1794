// SPDX-License-Identifier: MIT
//! The functions of an object, and what their instructions refer to.

use std::collections::BTreeMap;

use object::read::elf::ElfFile64;
use object::{
    LittleEndian, Object as _, ObjectSection as _, ObjectSymbol as _, RelocationTarget,
    SectionIndex, SectionKind, SymbolIndex, SymbolKind,
};

use super::BpfObject;
use crate::insn::{self, Call, Insn};

/// The position of a function: the index of its section, and its offset there in bytes.
pub type CodeLocation = (usize, u64);

const INSN: u64 = insn::SIZE as u64;

/// The code of an object.
#[derive(Debug)]
pub struct Code<'e, 'd> {
    elf: &'e ElfFile64<'d, LittleEndian>,
    /// The end and the name of the function that starts at a position.
    functions: BTreeMap<CodeLocation, (u64, &'d str)>,
    /// The position of the first function with a name.
    names: BTreeMap<&'d str, CodeLocation>,
    /// Relocations by section: offset and symbol.
    relocations: BTreeMap<usize, BTreeMap<u64, SymbolIndex>>,
}

/// A function of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Function<'d> {
    /// Its name.
    pub name: &'d str,
    /// Its section.
    pub section: &'d str,
    /// Its position.
    pub location: CodeLocation,
    /// Its instructions.
    pub code: &'d [u8],
}

/// What an instruction refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reference<'d> {
    /// A function of the object.
    Function(CodeLocation),
    /// A map, or a variable.
    Data {
        /// The section that holds it.
        section: &'d str,
        /// Its name; the section's, if the instruction refers to an offset in it.
        name: &'d str,
    },
    /// A function or a variable that the object does not define.
    Extern(&'d str),
}

impl BpfObject<'_> {
    /// The code of the object.
    #[must_use]
    pub fn code(&self) -> Code<'_, '_> {
        Code::of(&self.elf)
    }
}

impl<'e, 'd> Code<'e, 'd> {
    pub(super) fn of(elf: &'e ElfFile64<'d, LittleEndian>) -> Code<'e, 'd> {
        let (mut functions, mut names) = (BTreeMap::new(), BTreeMap::new());
        for symbol in elf.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text) {
            let Some(section) = symbol.section_index() else { continue };
            let place = (section.0, symbol.address());
            let name = symbol.name().unwrap_or("?");
            names.entry(name).or_insert(place);
            if let Some(end) = symbol.address().checked_add(symbol.size()) {
                // Functions at one position are one function, as long as the longest.
                let known = functions.entry(place).or_insert((end, name));
                known.0 = end.max(known.0);
            }
        }
        let relocations = elf
            .sections()
            .filter(|section| section.kind() == SectionKind::Text)
            .map(|section| {
                let by_address = section
                    .relocations()
                    .filter_map(|(address, relocation)| match relocation.target() {
                        RelocationTarget::Symbol(symbol) => Some((address, symbol)),
                        _ => None,
                    })
                    .collect();
                (section.index().0, by_address)
            })
            .collect();
        Code { elf, functions, names, relocations }
    }

    /// The first function with a name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<CodeLocation> {
        self.names.get(name).copied()
    }

    /// The function at a position.
    #[must_use]
    pub fn function(&self, place: CodeLocation) -> Option<Function<'d>> {
        let (end, name) = *self.functions.get(&place)?;
        let section = self.elf.section_by_index(SectionIndex(place.0)).ok()?;
        let (section, code) = (section.name().ok()?, section.data().ok()?);
        let (begin, end) = (usize::try_from(place.1).ok()?, usize::try_from(end).ok()?);
        let code = code.get(begin..end.min(code.len()))?;
        Some(Function { name, section, location: place, code })
    }

    /// What an instruction refers to; `None` if to nothing. `at` is its position.
    #[must_use]
    pub fn reference(&self, at: CodeLocation, insn: &Insn) -> Option<Reference<'d>> {
        let (section, offset) = at;
        let is_call = matches!(insn.call(), Some(Call::Function(_)));
        let imm = i64::from(insn.imm);
        let symbol = self.relocations.get(&section).and_then(|all| all.get(&offset));
        let Some(symbol) = symbol.and_then(|index| self.elf.symbol_by_index(*index).ok()) else {
            let target = offset.wrapping_add_signed((imm + 1) * INSN as i64);
            return is_call.then_some(Reference::Function((section, target)));
        };
        let Some(defined) = symbol.section_index() else {
            return symbol.name().ok().map(Reference::Extern);
        };
        let holder = self.elf.section_by_index(defined).ok()?;
        if holder.kind() == SectionKind::Text {
            // A static function is identified by its section and the immediate: of a call in
            // instructions before the function, of a load in bytes.
            let within = match (symbol.kind(), is_call) {
                (SymbolKind::Section, true) => (imm + 1) * INSN as i64,
                (SymbolKind::Section, false) => imm,
                _ => 0,
            };
            let target = symbol.address().wrapping_add_signed(within);
            return Some(Reference::Function((defined.0, target)));
        }
        let section = holder.name().ok()?;
        let name = match symbol.kind() {
            SymbolKind::Section => section,
            _ => symbol.name().ok()?,
        };
        Some(Reference::Data { section, name })
    }

    /// The instructions of a function with what they refer to. The first number is the index in the
    /// function.
    pub fn instructions(
        &self,
        function: Function<'d>,
    ) -> impl Iterator<Item = (usize, Insn, Option<Reference<'d>>)> {
        let (section, begin) = function.location;
        insn::all(function.code).map(move |(at, insn)| {
            let place = (section, begin.wrapping_add(at as u64 * INSN));
            (at, insn, self.reference(place, &insn))
        })
    }
}
