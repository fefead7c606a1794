// SPDX-License-Identifier: MIT
//! ELF objects: the locations of fields that can be changed, and objects that no compiler
//! generates.

use super::random::Random;

/// Sizes of the parts of a 64-bit ELF file, in bytes.
pub(super) const HEADER: usize = 64;
const SECTION: usize = 64;
const SYMBOL: usize = 24;
const RELOCATION: usize = 16;

/// Section types.
const SYMTAB: u32 = 2;
const STRTAB: u32 = 3;
const REL: u32 = 9;
const DYNSYM: u32 = 11;

/// A section header.
#[derive(Debug, Clone)]
pub(super) struct Section {
    /// Its name.
    pub name: String,
    kind: u32,
    /// The offset of its header.
    header: usize,
    /// The offset of its bytes.
    pub offset: usize,
    /// The number of bytes.
    pub size: usize,
}

fn number(bytes: &[u8], at: usize, width: usize) -> u64 {
    let part = bytes.get(at..at.saturating_add(width)).unwrap_or_default();
    part.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Writes a number, if it fits.
pub(super) fn put(bytes: &mut [u8], at: usize, width: usize, number: u64) {
    if let Some(place) = bytes.get_mut(at..at.saturating_add(width)) {
        place.copy_from_slice(&number.to_le_bytes()[..width]);
    }
}

/// The sections of a valid object.
#[must_use]
pub(super) fn sections(bytes: &[u8]) -> Vec<Section> {
    let table = number(bytes, 40, 8) as usize;
    let count = number(bytes, 60, 2) as usize;
    let names = number(bytes, 62, 2) as usize;
    let names = number(bytes, table + names * SECTION + 24, 8) as usize;
    let section = |at: usize| {
        let header = table + at * SECTION;
        let name = bytes.get(names + number(bytes, header, 4) as usize..).unwrap_or_default();
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        Section {
            name: String::from_utf8_lossy(name).into_owned(),
            kind: number(bytes, header + 4, 4) as u32,
            header,
            offset: number(bytes, header + 24, 8) as usize,
            size: number(bytes, header + 32, 8) as usize,
        }
    };
    (0..count).map(section).collect()
}

/// Offset and width of each field of a section header.
const SECTION_FIELDS: [(usize, usize); 10] =
    [(0, 4), (4, 4), (8, 8), (16, 8), (24, 8), (32, 8), (40, 4), (44, 4), (48, 8), (56, 8)];
const SYMBOL_FIELDS: [(usize, usize); 6] = [(0, 4), (4, 1), (5, 1), (6, 2), (8, 8), (16, 8)];
const RELOCATION_FIELDS: [(usize, usize); 3] = [(0, 8), (8, 4), (12, 4)];
const HEADER_FIELDS: [(usize, usize); 14] = [
    (4, 1),
    (5, 1),
    (7, 1),
    (16, 2),
    (18, 2),
    (20, 4),
    (32, 8),
    (40, 8),
    (52, 2),
    (54, 2),
    (56, 2),
    (58, 2),
    (60, 2),
    (62, 2),
];

/// Changes some fields of a valid object. Without `with_code`, its instructions stay.
pub(super) fn change(bytes: &mut Vec<u8>, random: &mut Random, with_code: bool) {
    let sections = sections(bytes);
    if sections.is_empty() {
        return;
    }
    for _ in 0..=random.below(3) {
        let section = random.choose(&sections).clone();
        let of = |kinds: &[u32], random: &mut Random| {
            let all: Vec<&Section> =
                sections.iter().filter(|section| kinds.contains(&section.kind)).collect();
            (!all.is_empty()).then(|| (*random.choose(&all)).clone())
        };
        match random.below(12) {
            0 => field(bytes, 0, &HEADER_FIELDS, random),
            1..4 => field(bytes, section.header, &SECTION_FIELDS, random),
            4 => swap(bytes, &section, random.choose(&sections)),
            5 | 6 => {
                if let Some(table) = of(&[SYMTAB, DYNSYM], random) {
                    let at = table.offset + random.below(table.size / SYMBOL) * SYMBOL;
                    field(bytes, at, &SYMBOL_FIELDS, random);
                }
            }
            7 => {
                if let Some(table) = of(&[REL], random) {
                    let at = table.offset + random.below(table.size / RELOCATION) * RELOCATION;
                    field(bytes, at, &RELOCATION_FIELDS, random);
                }
            }
            8 => {
                if let Some(table) = of(&[STRTAB], random) {
                    let at = table.offset + random.below(table.size);
                    let byte = *random.choose(&[0, 0, 0xff, 0x1b, b'/', b'.']);
                    put(bytes, at, 1, byte.into());
                    if random.one_in(4) {
                        bytes
                            .get_mut(at..table.offset + table.size)
                            .into_iter()
                            .for_each(|b| b.fill(b'a'));
                    }
                }
            }
            9 => {
                let types = sections.iter().find(|section| section.name.starts_with(".BTF"));
                if let Some(types) = types {
                    let at = types.offset + random.below(types.size / 4) * 4;
                    put(bytes, at, 4, random.edge());
                }
            }
            10 => bytes.truncate(random.below(bytes.len())),
            _ if with_code || !section.name.contains(['/', '_']) => {
                let at = section.offset + random.below(section.size);
                let width = *random.choose(&[1, 4, 8]);
                put(bytes, at, width, random.edge());
            }
            _ => {}
        }
    }
}

fn field(bytes: &mut [u8], at: usize, fields: &[(usize, usize)], random: &mut Random) {
    let (offset, width) = *random.choose(fields);
    let now = number(bytes, at + offset, width);
    let new = match random.below(4) {
        0 => now.wrapping_add(random.below(9) as u64).wrapping_sub(4),
        1 => now ^ 1 << random.below(width * 8),
        _ => random.edge(),
    };
    put(bytes, at + offset, width, new);
}

/// Gives a section the offset and the size of another.
fn swap(bytes: &mut [u8], one: &Section, other: &Section) {
    put(bytes, one.header + 24, 8, other.offset as u64);
    put(bytes, one.header + 32, 8, other.size as u64);
}

/// Replaces the content of a section; the new content is appended to the file.
pub(super) fn replace(bytes: &mut Vec<u8>, section: &Section, content: &[u8]) {
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    let offset = bytes.len() as u64;
    bytes.extend(content);
    put(bytes, section.header + 24, 8, offset);
    put(bytes, section.header + 32, 8, content.len() as u64);
}

/// Helpers that affect other processes on the machine, not the attacked programs: signals to
/// whatever runs, writes to its memory, and calls that fail for it.
const HARMFUL: [u8; 4] = [36, 58, 109, 117];

/// Whether no instruction at any offset in these bytes calls a harmful helper.
#[must_use]
pub(super) fn is_harmless(bytes: &[u8]) -> bool {
    !bytes.windows(8).any(|code| {
        code[0] == 0x85 && code[1] >> 4 == 0 && HARMFUL.contains(&code[4]) && code[5..] == [0, 0, 0]
    })
}

/// Builds an ELF file for BPF from sections.
#[derive(Debug, Default)]
pub(super) struct Builder {
    sections: Vec<Built>,
}

#[derive(Debug)]
struct Built {
    name: String,
    kind: u32,
    /// The fields `sh_link` and `sh_info`.
    links: [u32; 2],
    content: Vec<u8>,
}

impl Builder {
    /// Adds a section. Returns its index.
    pub(super) fn add(&mut self, name: &str, kind: u32, content: Vec<u8>) -> u32 {
        self.sections.push(Built { name: name.to_owned(), kind, links: [0, 0], content });
        self.sections.len() as u32
    }

    /// Sets `sh_link` and `sh_info` of a section.
    pub(super) fn link(&mut self, section: u32, link: u32, info: u32) {
        if let Some(section) = self.sections.get_mut(section as usize - 1) {
            section.links = [link, info];
        }
    }

    /// Builds a program whose whole file is mapped as code and has only these sections.
    #[must_use]
    pub(super) fn build_program(self, machine: u16) -> Vec<u8> {
        let mut bytes = self.build(machine);
        let table = bytes.len() as u64;
        // One segment, which begins with the file.
        let mut segment = [0; 56];
        put(&mut segment, 0, 4, 1);
        put(&mut segment, 4, 4, 5);
        put(&mut segment, 32, 8, u64::from(u32::MAX));
        put(&mut segment, 40, 8, u64::from(u32::MAX));
        put(&mut segment, 48, 8, 4096);
        bytes.extend(segment);
        put(&mut bytes, 16, 2, 3);
        put(&mut bytes, 32, 8, table);
        put(&mut bytes, 54, 2, 56);
        put(&mut bytes, 56, 2, 1);
        bytes
    }

    /// Builds the file with this machine type; 247 is BPF.
    #[must_use]
    pub(super) fn build(mut self, machine: u16) -> Vec<u8> {
        let last = self.add(".shstrtab", STRTAB, Vec::new());
        let mut names = vec![0];
        let mut headers = vec![0; SECTION];
        let mut bytes = vec![0; HEADER];
        for (at, section) in self.sections.into_iter().enumerate() {
            let Built { name, kind, links: [link, info], content } = section;
            let name_at = names.len() as u64;
            names.extend(name.as_bytes());
            names.push(0);
            bytes.resize(bytes.len().next_multiple_of(8), 0);
            let offset = bytes.len() as u64;
            let content = if at as u32 + 1 == last { names.clone() } else { content };
            bytes.extend(&content);
            let size = content.len() as u64;
            // The names of code sections contain a slash.
            let flags = if name.contains('/') { 6 } else { 0 };
            let entry = match kind {
                SYMTAB => SYMBOL,
                REL => RELOCATION,
                _ => 0,
            };
            let (link, info, entry) = (link.into(), info.into(), entry as u64);
            let numbers = [name_at, kind.into(), flags, 0, offset, size, link, info, 8, entry];
            let mut header = [0; SECTION];
            for ((at, width), number) in SECTION_FIELDS.into_iter().zip(numbers) {
                put(&mut header, at, width, number);
            }
            headers.extend(header);
        }
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        let (table, count) = (bytes.len() as u64, (headers.len() / SECTION) as u64);
        bytes[..8].copy_from_slice(b"\x7fELF\x02\x01\x01\0");
        // If two bytes cannot hold the number of sections, the first section header has the
        // numbers.
        let is_large = count >= 0xff00;
        if is_large {
            put(&mut headers, 32, 8, count);
            put(&mut headers, 40, 4, u64::from(last));
        }
        let numbers = [(16, 1), (18, u64::from(machine)), (52, 64), (58, 64)];
        numbers.into_iter().for_each(|(at, number)| put(&mut bytes, at, 2, number));
        put(&mut bytes, 20, 4, 1);
        put(&mut bytes, 40, 8, table);
        put(&mut bytes, 60, 2, if is_large { 0 } else { count });
        put(&mut bytes, 62, 2, if is_large { 0xffff } else { u64::from(last) });
        bytes.extend(headers);
        bytes
    }
}

/// Equal symbols with these names: the string table, and the symbol table.
#[must_use]
pub(super) fn symbols(
    names: impl Iterator<Item = String>,
    section: u16,
    info: u8,
) -> (Vec<u8>, Vec<u8>) {
    let (mut strings, mut table) = (vec![0], vec![0; SYMBOL]);
    for (at, name) in names.enumerate() {
        let mut symbol = [0; SYMBOL];
        put(&mut symbol, 0, 4, strings.len() as u64);
        put(&mut symbol, 4, 1, info.into());
        put(&mut symbol, 6, 2, section.into());
        put(&mut symbol, 8, 8, at as u64 * 8);
        put(&mut symbol, 16, 8, 8);
        table.extend(symbol);
        strings.extend(name.as_bytes());
        strings.push(0);
    }
    (strings, table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::{Object as _, ObjectSection as _, ObjectSymbol as _};

    #[test]
    fn what_is_built_can_be_read() {
        let mut elf = Builder::default();
        let code = elf.add("tp/a/b", 1, vec![0x95, 0, 0, 0, 0, 0, 0, 0]);
        let (strings, table) = symbols(["one".into(), "two".into()].into_iter(), code as u16, 0x12);
        let strings = elf.add(".strtab", 3, strings);
        let table = elf.add(".symtab", 2, table);
        elf.link(table, strings, 1);
        let bytes = elf.build(247);
        let file = object::File::parse(&*bytes).unwrap();
        assert_eq!(file.section_by_name("tp/a/b").unwrap().data().unwrap().len(), 8);
        let names: Vec<&str> = file.symbols().map(|symbol| symbol.name().unwrap()).collect();
        assert_eq!(names[names.len() - 2..], ["one", "two"]);
        let found = sections(&bytes);
        assert_eq!(found[1].name, "tp/a/b");
        assert_eq!(&bytes[found[2].offset..][..5], b"\0one\0");
    }

    #[test]
    fn calls_that_harm_others_are_seen() {
        assert!(is_harmless(&[0x85, 0, 0, 0, 5, 0, 0, 0, 0x95]));
        assert!(!is_harmless(&[1, 0x85, 0, 0, 0, 109, 0, 0, 0]));
    }

    #[test]
    fn any_object_can_be_changed() {
        let mut elf = Builder::default();
        elf.add("maps", 1, vec![1; 100]);
        let good = elf.build(247);
        for case in 0..1000 {
            change(&mut good.clone(), &mut Random::new(1, "elf", case), true);
        }
    }
}
