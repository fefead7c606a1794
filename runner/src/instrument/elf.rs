// SPDX-License-Identifier: MIT
//! The bytes of an object, and the locations of its sections, symbols, relocations and line
//! information, so that they can be changed in place. (The `object` crate only reads objects or
//! writes new ones; here, all but a few numbers must stay as they are.)
//!
//! The layout is that of 64-bit little-endian ELF, and of `.BTF.ext` (Documentation/bpf/btf.rst).

use std::ops::Range;

const SHT_PROGBITS: u32 = 1;
const SHT_SYMTAB: u32 = 2;
const SHT_REL: u32 = 9;
const SHF_EXECINSTR: u64 = 4;
const STT_FUNC: u8 = 2;
const STT_SECTION: u8 = 3;
const SECTION_HEADER: usize = 64;
const SYMBOL: usize = 24;
const RELOCATION: usize = 16;
const BTF_EXT_MAGIC: u64 = 0xeb9f;

/// An object and its parts.
#[derive(Debug)]
pub(super) struct Elf {
    /// The bytes of the object.
    pub bytes: Vec<u8>,
    /// Its sections, by index.
    pub sections: Vec<Section>,
    /// Its symbols, by index.
    pub symbols: Vec<Symbol>,
}

/// A section.
#[derive(Debug, Clone)]
pub(super) struct Section {
    /// Its name.
    pub name: String,
    /// Its size in bytes.
    pub size: usize,
    kind: u32,
    flags: u64,
    offset: usize,
    /// The section that a relocation section applies to.
    info: usize,
    /// The offset of its header.
    header: usize,
}

/// A symbol.
#[derive(Debug, Clone)]
pub(super) struct Symbol {
    /// Its name.
    pub name: String,
    /// The index of its section.
    pub section: usize,
    /// Its offset in the section.
    pub value: u64,
    kind: u8,
    /// Its offset in the object.
    at: usize,
}

impl Section {
    /// Whether it contains instructions.
    pub(super) fn is_code(&self) -> bool {
        self.kind == SHT_PROGBITS && self.flags & SHF_EXECINSTR != 0 && self.size > 0
    }

    fn range(&self) -> Range<usize> {
        self.offset..self.offset.saturating_add(self.size)
    }
}

impl Symbol {
    /// Whether it is a function.
    pub(super) fn is_function(&self) -> bool {
        self.kind == STT_FUNC
    }

    /// Whether it stands for a whole section.
    pub(super) fn is_section(&self) -> bool {
        self.kind == STT_SECTION
    }
}

/// Reads a number of up to 8 bytes.
fn number(bytes: &[u8], at: usize, len: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(len)?)?;
    Some(bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

fn size(bytes: &[u8], at: usize, len: usize) -> Option<usize> {
    usize::try_from(number(bytes, at, len)?).ok()
}

/// Names are read up to this number of bytes: many may share one string, which may not end.
const LONGEST_NAME: usize = 1024;

fn text(bytes: &[u8], at: usize) -> String {
    let rest = bytes.get(at..).unwrap_or_default();
    let rest = &rest[..rest.len().min(LONGEST_NAME)];
    let end = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
    String::from_utf8_lossy(&rest[..end]).into_owned()
}

impl Elf {
    /// Parses an object; `None` if it is damaged.
    pub(super) fn parse(object: &[u8]) -> Option<Elf> {
        let table = size(object, 0x28, 8)?;
        let count = size(object, 0x3c, 2)?;
        let names = size(object, 0x3e, 2)?;
        if size(object, 0x3a, 2)? != SECTION_HEADER {
            return None;
        }
        let mut sections = Vec::new();
        let mut name_offsets = Vec::new();
        for index in 0..count {
            let header = table.checked_add(index * SECTION_HEADER)?;
            let field = |at: usize, len: usize| number(object, header + at, len);
            name_offsets.push(size(object, header, 4)?);
            sections.push(Section {
                name: String::new(),
                kind: field(4, 4)? as u32,
                flags: field(8, 8)?,
                offset: size(object, header + 0x18, 8)?,
                size: size(object, header + 0x20, 8)?,
                info: size(object, header + 0x2c, 4)?,
                header,
            });
        }
        // Overlapping sections could be many times as large as the object.
        let is_read =
            |section: &&Section| section.is_code() || matches!(section.kind, SHT_SYMTAB | SHT_REL);
        let sizes = sections.iter().filter(is_read).map(|section| section.size);
        if sizes.fold(0, usize::saturating_add) > object.len() {
            return None;
        }
        let strings = object.get(sections.get(names)?.range())?;
        for (section, at) in sections.iter_mut().zip(name_offsets) {
            section.name = text(strings, at);
        }
        let mut symbols = Vec::new();
        if let Some(table) = sections.iter().find(|section| section.kind == SHT_SYMTAB) {
            let link = size(object, table.header + 0x28, 4)?;
            let strings = object.get(sections.get(link)?.range())?;
            object.get(table.range())?;
            for at in table.range().step_by(SYMBOL) {
                symbols.push(Symbol {
                    name: text(strings, size(object, at, 4)?),
                    kind: number(object, at + 4, 1)? as u8 & 0xf,
                    section: size(object, at + 6, 2)?,
                    value: number(object, at + 8, 8)?,
                    at,
                });
            }
        }
        Some(Elf { bytes: object.to_vec(), sections, symbols })
    }

    /// The content of a section.
    pub(super) fn section_bytes(&self, section: &Section) -> Option<&[u8]> {
        self.bytes.get(section.range())
    }

    /// The relocations of a section: offset and symbol.
    pub(super) fn relocations_of(&self, section: usize) -> impl Iterator<Item = (u64, &Symbol)> {
        self.relocation_places(Some(section)).filter_map(|(at, _)| {
            let symbol = size(&self.bytes, at + 12, 4)?;
            Some((number(&self.bytes, at, 8)?, self.symbols.get(symbol)?))
        })
    }

    /// The offsets of relocations in the object, and the section that each applies to.
    fn relocation_places(&self, only: Option<usize>) -> impl Iterator<Item = (usize, usize)> {
        self.sections
            .iter()
            .filter(move |section| {
                section.kind == SHT_REL && only.is_none_or(|o| o == section.info)
            })
            .filter(|section| self.section_bytes(section).is_some())
            .flat_map(|section| {
                let places = section.range().step_by(RELOCATION);
                places.map(|at| (at, section.info))
            })
    }

    fn put(&mut self, at: usize, len: usize, value: u64) {
        if let Some(place) = self.bytes.get_mut(at..at + len) {
            place.copy_from_slice(&value.to_le_bytes()[..len]);
        }
    }

    /// Replaces the content of a section; the new content is appended to the object.
    pub(super) fn replace(&mut self, index: usize, content: Vec<u8>) {
        let Some(section) = self.sections.get_mut(index) else { return };
        self.bytes.resize(self.bytes.len().next_multiple_of(16), 0);
        (section.offset, section.size) = (self.bytes.len(), content.len());
        let Section { header, offset, size, .. } = *section;
        self.bytes.extend(content);
        self.put(header + 0x18, 8, offset as u64);
        self.put(header + 0x20, 8, size as u64);
    }

    /// Moves symbols by `moved(section, offset)`, and enlarges functions by `grown`.
    pub(super) fn move_symbols(
        &mut self,
        moved: &impl Fn(usize, u64) -> u64,
        grown: &impl Fn(usize, u64) -> u64,
    ) {
        for index in 0..self.symbols.len() {
            let Symbol { section, value, at, .. } = self.symbols[index];
            let is_function = self.symbols[index].is_function();
            self.put(at + 8, 8, moved(section, value));
            if is_function && let Some(len) = number(&self.bytes, at + 16, 8) {
                self.put(at + 16, 8, len.saturating_add(grown(section, value)));
            }
        }
    }

    /// Moves the offsets of relocations.
    pub(super) fn move_relocations(&mut self, moved: &impl Fn(usize, u64) -> u64) {
        let places: Vec<_> = self.relocation_places(None).collect();
        for (at, section) in places {
            if let Some(offset) = number(&self.bytes, at, 8) {
                self.put(at, 8, moved(section, offset));
            }
        }
    }

    /// Moves the offsets of functions, lines and CO-RE relocations in `.BTF.ext`.
    pub(super) fn move_line_information(&mut self, moved: &impl Fn(usize, u64) -> u64) {
        // libbpf reports damaged information.
        let places = self.line_places().unwrap_or_default();
        for (at, section) in places {
            if let Some(offset) = number(&self.bytes, at, 4) {
                self.put(at, 4, moved(section, offset));
            }
        }
    }

    /// The locations of instruction offsets in `.BTF.ext`, with the section of each.
    fn line_places(&self) -> Option<Vec<(usize, usize)>> {
        let range = |name: &str| {
            let section = self.sections.iter().find(|section| section.name == name)?;
            self.bytes.get(section.range()).map(|_| section.range())
        };
        let (ext, btf) = (range(".BTF.ext")?, range(".BTF")?);
        let bytes = &self.bytes;
        let btf_header = size(bytes, btf.start + 4, 4)?;
        let strings = btf.start.checked_add(btf_header)?;
        let strings = strings.checked_add(size(bytes, btf.start + 16, 4)?)?;
        if number(bytes, ext.start, 2)? != BTF_EXT_MAGIC {
            return None;
        }
        let header = size(bytes, ext.start + 4, 4)?;
        let mut places = Vec::new();
        // Offset and length of the information on functions, lines and CO-RE relocations. Short
        // headers lack the last.
        for part in [8, 16, 24] {
            if part + 8 > header {
                break;
            }
            let len = size(bytes, ext.start + part + 4, 4)?;
            if len == 0 {
                continue;
            }
            let begin = (ext.start + header).checked_add(size(bytes, ext.start + part, 4)?)?;
            let end = begin.checked_add(len)?;
            if end > ext.end {
                return None;
            }
            let record = size(bytes, begin, 4)?;
            let mut at = begin + 4;
            while at < end {
                let name = text(bytes, strings.checked_add(size(bytes, at, 4)?)?);
                let count = size(bytes, at + 4, 4)?;
                at += 8;
                let section = self.sections.iter().position(|section| section.name == name)?;
                if record < 4 || count.checked_mul(record)? > end.saturating_sub(at) {
                    return None;
                }
                places.extend((0..count).map(|index| (at + index * record, section)));
                at += count * record;
            }
        }
        Some(places)
    }
}
