// SPDX-License-Identifier: MIT
//! Limits on the contents of an object. A few bytes of an object can take much memory, and names
//! can share their bytes. An object that has more of something than any BPF program is refused
//! before it is processed, and the message names the limit.

use bpfpack_schemas::btf::{Btf, Kind};
use bpfpack_schemas::meta::ExportType;
use bpfpack_schemas::package::MAX_OBJECT_SIZE;
use object::read::elf::ElfFile64;
use object::{LittleEndian, Object as _, ObjectSection as _, ObjectSymbol as _, SymbolKind};

/// Sections: clang creates about thirty, plus two for each program.
const MAX_SECTIONS: usize = 4096;

/// Symbols: clang creates one for each block of a program.
const MAX_SYMBOLS: usize = 128 << 10;

/// Relocations in all sections.
const MAX_RELOCATIONS: usize = 1 << 20;

/// Functions; also maps and variables.
const MAX_FUNCTIONS: usize = 4096;
const MAX_VARIABLES: usize = 4096;

/// The length of a name in bytes; the kernel accepts 512.
const MAX_NAME: usize = 1024;

/// The size of exported types in bytes, including their names and those of the types of members.
const MAX_EXPORTED: usize = 4 << 20;

/// The size of a member in bytes, in addition to its names.
const MEMBER: usize = 200;

/// An object has more of something than any BPF program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TooMuch(String);

impl std::fmt::Display for TooMuch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TooMuch {}

/// Fails if there are more than the limit.
fn at_most(what: &str, count: usize, most: usize) -> Result<(), TooMuch> {
    match count > most {
        true => Err(TooMuch(format!("it has more than {most} {what}"))),
        false => Ok(()),
    }
}

/// Checks an object of this size in bytes before it is processed.
///
/// # Errors
/// The object has more of something than any BPF program.
pub(crate) fn check(elf: &ElfFile64<'_, LittleEndian>, size: usize) -> Result<(), TooMuch> {
    at_most("sections", elf.sections().count(), MAX_SECTIONS)?;
    at_most("symbols", elf.symbols().count(), MAX_SYMBOLS)?;
    let is_function = |kind: SymbolKind| kind == SymbolKind::Text;
    let functions = elf.symbols().filter(|symbol| is_function(symbol.kind())).count();
    at_most("functions", functions, MAX_FUNCTIONS)?;
    let relocations = elf.sections().map(|section| section.relocations().count());
    at_most("relocations", relocations.sum(), MAX_RELOCATIONS)?;
    let of_sections = elf.sections().map(|section| section.name_bytes().map_or(0, <[u8]>::len));
    let of_symbols = elf.symbols().map(|symbol| symbol.name_bytes().map_or(0, <[u8]>::len));
    let mut sum = 0;
    for len in of_sections.chain(of_symbols) {
        at_most("bytes in a name", len, MAX_NAME)?;
        sum += len;
        at_most("bytes in the names of sections and symbols", sum, size)?;
    }
    Ok(())
}

/// Checks the types of an object before they are processed.
///
/// # Errors
/// As [`check`].
pub(crate) fn check_types(btf: &Btf<'_>) -> Result<(), TooMuch> {
    let mut variables = 0;
    for ty in btf.types() {
        // Tags are text and have their own limit.
        if !matches!(ty.kind, Kind::DeclTag | Kind::TypeTag) {
            at_most("bytes in a name", ty.name().len(), MAX_NAME)?;
        }
        for name in ty.members().map(|member| member.name).chain(ty.enumerators().map(|e| e.0)) {
            at_most("bytes in a name", name.len(), MAX_NAME)?;
        }
        if ty.kind == Kind::Datasec {
            variables += ty.vars().len();
            at_most("maps and variables", variables, MAX_VARIABLES)?;
        }
    }
    Ok(())
}

/// Checks that a package may hold an object of this size.
///
/// # Errors
/// ecli would refuse the object.
pub(crate) fn check_size(object: &[u8]) -> Result<(), TooMuch> {
    match object.len() as u64 > MAX_OBJECT_SIZE {
        true => Err(TooMuch(format!(
            "it has {} bytes without debug information; a package holds an object of at most \
             {MAX_OBJECT_SIZE}",
            object.len()
        ))),
        false => Ok(()),
    }
}

/// The size of exported types so far.
#[derive(Debug, Default)]
pub(crate) struct Exported(usize);

impl Exported {
    /// Adds one.
    ///
    /// # Errors
    /// The limit is exceeded.
    pub(crate) fn add(&mut self, ty: &ExportType) -> Result<(), TooMuch> {
        let members = ty.members.iter();
        self.0 += members.map(|m| MEMBER + m.name.len() + m.ty.len()).sum::<usize>();
        at_most("bytes in the descriptions of its structs", self.0, MAX_EXPORTED)
    }
}

#[cfg(test)]
mod tests {
    use object::Endianness;
    use object::build::elf::{Builder, SectionData};
    use object::elf::{SHT_PROGBITS, SHT_STRTAB};

    use super::*;

    /// An object with sections of these names.
    fn object<'d>(names: impl Iterator<Item = &'d [u8]>) -> Vec<u8> {
        let mut builder = Builder::new(Endianness::Little, true);
        builder.header.e_type = object::elf::ET_REL;
        for (name, ty, data) in names
            .map(|name| (name, SHT_PROGBITS, SectionData::Data(b"data"[..].into())))
            .chain([(&b".shstrtab"[..], SHT_STRTAB, SectionData::SectionString)])
        {
            let section = builder.sections.add();
            (section.name, section.sh_type, section.sh_addralign) = (name.into(), ty, 1);
            section.data = data;
        }
        let mut bytes = Vec::new();
        builder.write(&mut bytes).unwrap();
        bytes
    }

    fn checked(object: &[u8]) -> Result<(), TooMuch> {
        check(&ElfFile64::parse(object).unwrap(), object.len())
    }

    fn refused(object: &[u8]) -> String {
        checked(object).unwrap_err().to_string()
    }

    #[test]
    fn what_no_program_has_is_named() {
        assert_eq!(checked(&object([&b".text"[..]].into_iter())), Ok(()));
        let many = object(std::iter::repeat_n(&b".data"[..], MAX_SECTIONS));
        assert_eq!(refused(&many), "it has more than 4096 sections");
        let long = vec![b'n'; MAX_NAME + 1];
        let long = object([&long[..]].into_iter());
        assert_eq!(refused(&long), "it has more than 1024 bytes in a name");
        // All sections share one name.
        let shared = vec![b'n'; MAX_NAME];
        let shared = object(std::iter::repeat_n(&shared[..], 100));
        assert_eq!(
            refused(&shared),
            format!("it has more than {} bytes in the names of sections and symbols", shared.len())
        );
    }

    #[test]
    fn sizes_that_a_package_has() {
        assert!(check_size(b"small").is_ok());
        let member = |len| bpfpack_schemas::meta::ExportMember {
            name: "n".repeat(len),
            ty: "int".to_owned(),
            other: Default::default(),
        };
        let ty = |members| ExportType {
            name: "s".to_owned(),
            members,
            size: 4,
            type_id: 1,
            other: Default::default(),
        };
        let mut exported = Exported::default();
        assert!(exported.add(&ty(vec![member(10); 1000])).is_ok());
        assert!(exported.add(&ty(vec![member(MAX_NAME); 4000])).is_err());
    }
}
