// SPDX-License-Identifier: MIT
//! Finds names that the code of an object uses and that neither the object nor the kernel defines.
//! clang leaves them to a linker, which BPF objects do not need, and no loader accepts such an
//! object.

use std::collections::BTreeSet;

use bpfpack_schemas::btf::Btf;
use object::read::elf::ElfFile64;
use object::{LittleEndian, Object as _, ObjectSection as _, ObjectSymbol as _};
use object::{RelocationTarget, SectionKind};
use serde::{Deserialize, Serialize};

use super::flow::Function;

/// The number of names in a message, and of users of each: a message is one line.
const MAX_NAMES: usize = 4;
const MAX_USES: usize = 3;

/// The opcode of a call.
const OP_CALL: u8 = 0x85;

/// An undefined function or variable that is used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Undefined {
    /// Its name.
    pub(crate) name: String,
    /// Whether it is called; otherwise its address is taken.
    pub(crate) is_called: bool,
    /// The functions that use it, each once.
    pub(crate) uses: Vec<Use>,
}

/// A function that uses it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Use {
    /// Its name; the name of the section if no function contains the instruction.
    pub(crate) function: String,
    /// The position of its first use there, as `file:line`, if it is known.
    pub(crate) location: Option<String>,
}

/// Finds the first undefined names. `location` returns the position of an instruction by section
/// and offset.
pub(super) fn find(
    elf: &ElfFile64<'_, LittleEndian>,
    btf: &Btf<'_>,
    functions: &[Function],
    location: impl Fn(usize, u64) -> Option<String>,
) -> Vec<Undefined> {
    let mut found: Vec<Undefined> = Vec::new();
    let mut externs: Option<BTreeSet<&str>> = None;
    for section in elf.sections().filter(|section| section.kind() == SectionKind::Text) {
        let index = section.index().0;
        for (at, relocation) in section.relocations() {
            let RelocationTarget::Symbol(symbol) = relocation.target() else { continue };
            let Ok(symbol) = elf.symbol_by_index(symbol) else { continue };
            let name = symbol.name().unwrap_or_default();
            // Most objects have none, and do not need a set of names.
            if !symbol.is_undefined()
                || name.is_empty()
                || externs.get_or_insert_with(|| btf.externs()).contains(name)
            {
                continue;
            }
            let known = found.iter().position(|known| known.name == name);
            let known = match known {
                None if found.len() == MAX_NAMES => continue,
                None => {
                    found.push(Undefined { name: name.to_owned(), ..Undefined::default() });
                    found.len() - 1
                }
                Some(known) => known,
            };
            let undefined = &mut found[known];
            let code = section.data().unwrap_or_default();
            undefined.is_called |= code.get(at as usize) == Some(&OP_CALL);
            if undefined.uses.len() == MAX_USES {
                continue;
            }
            let is_it = |f: &&Function| f.section == index && (f.start..f.end).contains(&at);
            let function = functions.iter().find(is_it).map(|function| function.name.as_str());
            let function = function.or(section.name().ok()).unwrap_or_default().to_owned();
            if undefined.uses.iter().all(|used| used.function != function) {
                undefined.uses.push(Use { function, location: location(index, at) });
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use object::Endianness;
    use object::build::elf::{Builder, Relocation, SectionData};
    use object::elf::{
        EM_BPF, ET_REL, R_BPF_64_32, R_BPF_64_64, SHF_ALLOC, SHF_EXECINSTR, SHT_PROGBITS, SHT_REL,
        SHT_STRTAB, SHT_SYMTAB, STB_GLOBAL, STT_NOTYPE, SymbolInfo,
    };

    use super::*;

    /// A call, and the load of an address.
    const CALL: [u8; 8] = [0x85, 0x10, 0, 0, 0xff, 0xff, 0xff, 0xff];
    const LOAD: [u8; 16] = [0x18, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

    /// An object with these instructions in its only section; each refers to an undefined symbol.
    fn object(code: &[(&[u8], &str)], is_code: bool) -> Vec<u8> {
        let mut builder = Builder::new(Endianness::Little, true);
        (builder.header.e_type, builder.header.e_machine) = (ET_REL, EM_BPF);
        let (mut bytes, mut relocations) = (Vec::new(), Vec::new());
        for (insn, name) in code {
            let known = builder.symbols.iter().find(|symbol| *symbol.name == *name.as_bytes());
            let symbol = known.map(object::build::elf::Symbol::id).unwrap_or_else(|| {
                let symbol = builder.symbols.add();
                symbol.name = name.as_bytes().to_vec().into();
                symbol.st_info = SymbolInfo::new(STB_GLOBAL, STT_NOTYPE);
                symbol.id()
            });
            let r_type = if insn.len() == 8 { R_BPF_64_32 } else { R_BPF_64_64 };
            let r_offset = bytes.len() as u64;
            relocations.push(Relocation { r_offset, symbol: Some(symbol), r_type, r_addend: 0 });
            bytes.extend_from_slice(insn);
        }
        let mut add = |name: &[u8], ty, data| {
            let section = builder.sections.add();
            (section.name, section.sh_type) = (name.to_vec().into(), ty);
            (section.sh_addralign, section.data) = (8, data);
            section.id()
        };
        let section = add(b"tp/x", SHT_PROGBITS, SectionData::Data(bytes.into()));
        let relocations = add(b".reltp/x", SHT_REL, SectionData::Relocation(relocations));
        let symbols = add(b".symtab", SHT_SYMTAB, SectionData::Symbol);
        add(b".strtab", SHT_STRTAB, SectionData::String);
        add(b".shstrtab", SHT_STRTAB, SectionData::SectionString);
        let flags = if is_code { SHF_ALLOC | SHF_EXECINSTR } else { SHF_ALLOC };
        builder.sections.get_mut(section).sh_flags = flags;
        let relocations = builder.sections.get_mut(relocations);
        relocations.sh_info_section = Some(section);
        relocations.sh_link_section = Some(symbols);
        let mut bytes = Vec::new();
        builder.write(&mut bytes).unwrap();
        bytes
    }

    /// An empty BTF header.
    const NO_TYPES: [u8; 24] =
        [0x9f, 0xeb, 1, 0, 24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

    fn found(code: &[(&[u8], &str)], is_code: bool, functions: &[Function]) -> Vec<Undefined> {
        let object = object(code, is_code);
        let elf = ElfFile64::parse(&*object).unwrap();
        find(&elf, &Btf::parse(&NO_TYPES).unwrap(), functions, |_, at| Some(format!("x.c:{at}")))
    }

    fn function(name: &str, start: u64, end: u64) -> Function {
        Function { name: name.to_owned(), section: 1, start, end, called_from: Vec::new() }
    }

    #[test]
    fn calls_and_addresses_are_found_in_code_alone() {
        let code = [(&CALL[..], "memcmp"), (&LOAD[..], "table"), (&CALL[..], "memcmp")];
        let all = found(&code, true, &[function("f", 0, 8), function("g", 24, 32)]);
        let used = |function: &str, location: &str| Use {
            function: function.to_owned(),
            location: Some(location.to_owned()),
        };
        assert_eq!(all.len(), 2, "{all:?}");
        assert_eq!((all[0].name.as_str(), all[0].is_called), ("memcmp", true));
        assert_eq!(all[0].uses, [used("f", "x.c:0"), used("g", "x.c:24")]);
        assert_eq!((all[1].name.as_str(), all[1].is_called), ("table", false));
        assert_eq!(all[1].uses, [used("tp/x", "x.c:8")], "no function is there");
        assert!(found(&code, false, &[]).is_empty(), "data is no code");
        assert!(found(&[(&CALL[..], "")], true, &[]).is_empty(), "what has no name");
    }

    #[test]
    fn however_many_there_are_few_are_told() {
        let names: Vec<String> = (0..100).map(|number| format!("f{number}")).collect();
        let code: Vec<(&[u8], &str)> =
            names.iter().chain(&names).map(|name| (&CALL[..], name.as_str())).collect();
        let all = found(&code, true, &[]);
        assert_eq!(all.len(), MAX_NAMES);
        assert!(all.iter().all(|one| one.uses.len() == 1), "{all:?}");
        let code = vec![(&CALL[..], "f"); 100];
        let functions: Vec<Function> =
            (0..100).map(|at| function(&format!("g{at}"), 8 * at, 8 * at + 8)).collect();
        assert_eq!(found(&code, true, &functions)[0].uses.len(), MAX_USES);
    }
}
