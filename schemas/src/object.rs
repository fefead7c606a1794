// SPDX-License-Identifier: MIT
//! Reads a BPF object: its programs, its sections, and the maps and variables that each program
//! uses.

pub mod helpers;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use object::elf::EM_BPF;
use object::read::elf::{ElfFile64, FileHeader as _};
use object::{
    LittleEndian, Object as _, ObjectSection as _, ObjectSymbol as _, RelocationTarget,
    SectionIndex, SectionKind, SymbolIndex, SymbolKind,
};

use crate::btf::{Btf, BtfError, SectionVar};

/// Size of a BPF instruction in bytes.
const INSN: u64 = 8;
/// The opcode of `call`.
const OP_CALL: u8 = 0x85;
/// `src_reg` of a call to a BPF function.
const PSEUDO_CALL: u8 = 1;

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

    /// The programs in libbpf's order: by section, then by address.
    #[must_use]
    pub fn programs(&self) -> Vec<Program> {
        let mut found: Vec<(usize, u64, Program)> = self
            .elf
            .symbols()
            .filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.size() > 0)
            .filter_map(|symbol| {
                let section = self.elf.section_by_index(symbol.section_index()?).ok()?;
                let (name, function) = (section.name().ok()?, symbol.name().ok()?);
                let program = Program { name: function.to_owned(), section: name.to_owned() };
                (name != ".text" && section.kind() == SectionKind::Text)
                    .then(|| (section.index().0, symbol.address(), program))
            })
            .collect();
        found.sort_by_key(|(section, address, _)| (*section, *address));
        found.into_iter().map(|(_, _, program)| program).collect()
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

    /// For each program, the names of the maps and mutable variables that it uses, directly or in
    /// functions that it calls. Constants (`.rodata`) do not count.
    #[must_use]
    pub fn state_of_programs(&self) -> BTreeMap<String, State> {
        let mut walk = Walk::new(&self.elf);
        let mut places = BTreeMap::new();
        for symbol in self.elf.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text) {
            if let (Ok(name), Some(section)) = (symbol.name(), symbol.section_index()) {
                places.entry(name).or_insert((section.0, symbol.address()));
            }
        }
        let state = |program: Program| {
            let start = *places.get(program.name.as_str())?;
            Some((program.name, walk.state(start)))
        };
        self.programs().into_iter().filter_map(state).collect()
    }
}

/// The state that a program uses: sorted numbers of maps and variables. Programs with the same
/// state share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State(Arc<[u32]>);

impl State {
    /// The state that consists of these numbers.
    #[must_use]
    pub fn new(mut numbers: Vec<u32>) -> State {
        numbers.sort_unstable();
        numbers.dedup();
        State(numbers.into())
    }

    /// Whether it is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether another state contains all of it.
    #[must_use]
    pub fn is_subset(&self, other: &State) -> bool {
        self.0.iter().all(|number| other.0.binary_search(number).is_ok())
    }
}

/// The position of a function: its section and its address there.
type CodeLocation = (usize, u64);

/// Follows calls through the object.
struct Walk<'e, 'd> {
    elf: &'e ElfFile64<'d, LittleEndian>,
    /// The end of the function that starts at a position.
    ends: BTreeMap<CodeLocation, u64>,
    /// Relocations by section: address and symbol.
    relocations: BTreeMap<usize, BTreeMap<u64, SymbolIndex>>,
    /// The numbers of maps and variables.
    names: BTreeMap<String, u32>,
    /// What each function uses directly, and what it calls.
    functions: BTreeMap<CodeLocation, Rc<Function>>,
    known: BTreeSet<Arc<[u32]>>,
}

/// What a function uses and calls.
#[derive(Default)]
struct Function {
    uses: Vec<u32>,
    calls: Vec<CodeLocation>,
}

impl<'e, 'd> Walk<'e, 'd> {
    fn new(elf: &'e ElfFile64<'d, LittleEndian>) -> Walk<'e, 'd> {
        let ends = elf
            .symbols()
            .filter(|symbol| symbol.kind() == SymbolKind::Text)
            .filter_map(|symbol| {
                let place = (symbol.section_index()?.0, symbol.address());
                Some((place, symbol.address().checked_add(symbol.size())?))
            })
            .collect();
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
        let (names, functions, known) = Default::default();
        Walk { elf, ends, relocations, names, functions, known }
    }

    /// The state that a function and its callees use.
    fn state(&mut self, start: CodeLocation) -> State {
        let (mut used, mut seen) = (BTreeSet::new(), BTreeSet::new());
        let mut todo = vec![start];
        while let Some(place) = todo.pop() {
            if seen.insert(place) {
                let function = self.function(place);
                used.extend(&function.uses);
                todo.extend(&function.calls);
            }
        }
        let state = State::new(used.into_iter().collect());
        match self.known.get(&state.0) {
            Some(known) => State(Arc::clone(known)),
            None => {
                self.known.insert(Arc::clone(&state.0));
                state
            }
        }
    }

    fn function(&mut self, place: CodeLocation) -> Rc<Function> {
        if let Some(known) = self.functions.get(&place) {
            return Rc::clone(known);
        }
        let (names, calls) = self.read(place).unwrap_or_default();
        let mut uses: Vec<u32> = names.into_iter().map(|name| self.number(name)).collect();
        uses.sort_unstable();
        uses.dedup();
        let function = Rc::new(Function { uses, calls });
        self.functions.insert(place, Rc::clone(&function));
        function
    }

    fn number(&mut self, name: String) -> u32 {
        let next = self.names.len() as u32;
        *self.names.entry(name).or_insert(next)
    }

    /// The names that a function uses, and the functions that it calls; `None` if there is no such
    /// function.
    fn read(&self, place: CodeLocation) -> Option<(Vec<String>, Vec<CodeLocation>)> {
        let (section, begin) = place;
        let end = *self.ends.get(&place)?;
        let code = self.elf.section_by_index(SectionIndex(section)).ok()?.data().ok()?;
        let relocations = self.relocations.get(&section);
        let (mut used, mut calls) = (Vec::new(), Vec::new());
        let mut at = begin;
        while at + INSN <= end
            && let Some(insn) = code.get(at as usize..(at + INSN) as usize)
        {
            let imm = i64::from(i32::from_le_bytes([insn[4], insn[5], insn[6], insn[7]]));
            let symbol = relocations.and_then(|by_address| by_address.get(&at));
            let is_call = insn[0] == OP_CALL && insn[1] >> 4 == PSEUDO_CALL;
            match symbol.and_then(|index| self.elf.symbol_by_index(*index).ok()) {
                Some(symbol) if is_call => {
                    // The section and the immediate of the call identify a static function.
                    let offset =
                        if symbol.kind() == SymbolKind::Section { (imm + 1) * 8 } else { 0 };
                    if let Some(target) = symbol.section_index() {
                        calls.push((target.0, symbol.address().wrapping_add_signed(offset)));
                    }
                }
                Some(symbol) => used.extend(self.state_name(&symbol)),
                None if is_call => {
                    calls.push((section, at.wrapping_add_signed((imm + 1) * INSN as i64)));
                }
                None => {}
            }
            at += INSN;
        }
        calls.sort_unstable();
        calls.dedup();
        Some((used, calls))
    }

    /// The name of a symbol that counts as state.
    fn state_name<'s>(&self, symbol: &impl object::ObjectSymbol<'s>) -> Option<String> {
        let section = self.elf.section_by_index(symbol.section_index()?).ok()?;
        let section = section.name().ok()?;
        let is_state = [".maps", ".bss", ".data"].iter().any(|stem| section.starts_with(stem));
        let name = match symbol.kind() {
            SymbolKind::Section => section,
            _ => symbol.name().ok()?,
        };
        is_state.then(|| name.to_owned())
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
