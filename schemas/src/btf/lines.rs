// SPDX-License-Identifier: MIT
//! What `.BTF.ext` says about instructions: lines of source, and the CO-RE relocations that libbpf
//! applies (Documentation/bpf/btf.rst). It is not trusted: what is damaged ends the information.

use super::{Btf, Kind, Type, u32_at};

const MAGIC: u16 = 0xeb9f;

/// A line of source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// The offset in the section of the first instruction that belongs to it, in bytes.
    pub offset: u32,
    /// The path of the file.
    pub file: &'a str,
    /// The text of the line.
    pub text: &'a str,
    /// The number of the line, from 1.
    pub number: u32,
}

impl<'a> Line<'a> {
    /// The name of the file, without directories.
    #[must_use]
    pub fn file_name(&self) -> &'a str {
        self.file.rsplit('/').next().unwrap_or(self.file)
    }
}

/// An instruction whose immediate or offset depends on the types of the running kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relocation {
    /// The offset of the instruction in the section, in bytes.
    pub offset: u32,
    /// The type and its member: `struct task_struct.comm`.
    pub path: String,
    /// What libbpf puts there (`enum bpf_core_relo_kind`): `offset`, `exists`, `size` ….
    pub what: &'static str,
}

/// The lines of a section.
#[must_use]
pub fn lines<'a>(btf: &'a Btf<'_>, ext: &[u8], section: &str) -> Vec<Line<'a>> {
    let line = |record: &[u8]| {
        let place = u32_at(record, 12);
        Line {
            offset: u32_at(record, 0),
            file: btf.string(u32_at(record, 4)),
            text: btf.string(u32_at(record, 8)).trim(),
            // The lower 10 bits are the column.
            number: place >> 10,
        }
    };
    records(btf, ext, 16, section).iter().map(|record| line(record)).collect()
}

/// The CO-RE relocations of a section.
#[must_use]
pub fn relocations(btf: &Btf<'_>, ext: &[u8], section: &str) -> Vec<Relocation> {
    let relocation = |record: &[u8]| Relocation {
        offset: u32_at(record, 0),
        path: path(btf.ty(u32_at(record, 4)), btf.string(u32_at(record, 8)), u32_at(record, 12)),
        what: what(u32_at(record, 12)),
    };
    records(btf, ext, 24, section).iter().map(|record| relocation(record)).collect()
}

/// The first of the kinds of relocations that concern a type, not a member.
const FIRST_OF_TYPES: u32 = 6;
/// The kinds that concern an enumerator.
const ENUMERATORS: [u32; 2] = [10, 11];

fn what(kind: u32) -> &'static str {
    const KINDS: [&str; 13] = [
        "offset",
        "size",
        "exists",
        "signed",
        "left shift",
        "right shift",
        "local type",
        "target type",
        "type exists",
        "type size",
        "enumerator exists",
        "enumerator",
        "type matches",
    ];
    KINDS.get(kind as usize).copied().unwrap_or("unknown")
}

/// The type and member that an access string such as `0:1:2` names. The first number is an index of
/// the type, as if it was an array.
fn path(ty: Type<'_>, access: &str, kind: u32) -> String {
    let mut path = ty.spelling();
    let mut indexes = access.split(':').map_while(|part| part.parse::<usize>().ok());
    if ENUMERATORS.contains(&kind) {
        let at = indexes.next().unwrap_or(0);
        let name = ty.resolved().enumerators().nth(at).map_or("?", |(name, _)| name);
        return format!("{path}.{name}");
    }
    if kind >= FIRST_OF_TYPES {
        return path;
    }
    let mut ty = ty.resolved();
    for index in indexes.skip(1).take(super::MAX_DEPTH) {
        ty = match ty.kind {
            Kind::Array => {
                path.push_str(&format!("[{index}]"));
                ty.target().resolved()
            }
            _ => {
                let Some(member) = ty.members().nth(index) else { break };
                if !member.name.is_empty() {
                    path.push('.');
                    path.push_str(member.name);
                }
                ty.sibling(member.ty).resolved()
            }
        };
    }
    path
}

/// The records of a section in one part of `.BTF.ext`, whose position is in the header at `part`.
fn records<'e>(btf: &Btf<'_>, ext: &'e [u8], part: usize, section: &str) -> Vec<&'e [u8]> {
    read(btf, ext, part, section).unwrap_or_default()
}

fn read<'e>(btf: &Btf<'_>, ext: &'e [u8], part: usize, wanted: &str) -> Option<Vec<&'e [u8]>> {
    let magic = u16::from_le_bytes(*ext.first_chunk()?);
    let header = u32_at(ext, 4) as usize;
    if magic != MAGIC || part + 8 > header {
        return None;
    }
    let begin = header.checked_add(u32_at(ext, part) as usize)?;
    let end = begin.checked_add(u32_at(ext, part + 4) as usize)?;
    let mut rest = ext.get(begin..end)?;
    let size = u32_at(rest, 0) as usize;
    rest = rest.get(4..)?;
    let mut found = Vec::new();
    while rest.len() >= 8 && size >= 16 {
        let (name, count) = (btf.string(u32_at(rest, 0)), u32_at(rest, 4) as usize);
        let len = count.checked_mul(size)?;
        let Some(records) = rest.get(8..8usize.checked_add(len)?) else { break };
        if name == wanted {
            found.extend(records.chunks_exact(size));
        }
        rest = &rest[8 + len..];
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::super::tests::Builder;
    use super::*;

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// A `.BTF.ext` with one record of lines and one of CO-RE relocations.
    fn ext(section: u32, line: [u32; 4], relocation: [u32; 4]) -> Vec<u8> {
        let part = |record: [u32; 4]| words(&[&[16, section, 1], &record[..]].concat());
        let (lines, relocations) = (part(line), part(relocation));
        let len = lines.len() as u32;
        let header = words(&[0x0001_eb9f, 32, 0, 0, 0, len, len, relocations.len() as u32]);
        [header, lines, relocations].concat()
    }

    #[test]
    fn lines_and_relocations_are_read_and_damage_is_no_matter() {
        let mut b = Builder::default();
        let int = b.add(Kind::Int, "int", 0, 4, &[32]);
        let members = [b.name("pid"), int, 0, b.name("comm"), int, 32];
        let task = b.add(Kind::Struct, "task", 2, 8, &members);
        let (section, file, text) = (b.name("tp/x"), b.name("a.bpf.c"), b.name("  return 0;"));
        let access = b.name("0:1");
        let bytes = b.bytes();
        let btf = Btf::parse(&bytes).unwrap();
        let ext = ext(section, [8, file, text, 7 << 10 | 3], [16, task, access, 0]);
        let line = Line { offset: 8, file: "a.bpf.c", text: "return 0;", number: 7 };
        assert_eq!(lines(&btf, &ext, "tp/x"), [line]);
        assert!(lines(&btf, &ext, "tp/y").is_empty());
        let path = "struct task.comm".to_owned();
        assert_eq!(
            relocations(&btf, &ext, "tp/x"),
            [Relocation { offset: 16, path, what: "offset" }]
        );
        for len in 0..ext.len() {
            let _ = (lines(&btf, &ext[..len], "tp/x"), relocations(&btf, &ext[..len], "tp/x"));
        }
    }
}
