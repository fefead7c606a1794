// SPDX-License-Identifier: MIT
//! BTF that no compiler generates: cycles, chains, arrays of arrays, and invalid references. It is
//! added to the types of a valid object, and references are redirected to it.

use super::elf::put;
use super::random::Random;

const HEADER: usize = 24;

/// Kinds of types.
const INT: u32 = 1;
const PTR: u32 = 2;
const ARRAY: u32 = 3;
const STRUCT: u32 = 4;
const ENUM: u32 = 6;
const TYPEDEF: u32 = 8;
const CONST: u32 = 10;
const FUNC_PROTO: u32 = 13;
const DATASEC: u32 = 15;
const ENUM64: u32 = 19;

/// The types of an object.
#[derive(Debug)]
pub(super) struct Types {
    /// The bytes of each type.
    types: Vec<Vec<u8>>,
    strings: Vec<u8>,
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes)
}

/// The number of bytes after the first 12 of a type.
fn more(kind: u32, vlen: usize) -> usize {
    match kind {
        1 | 14 | 17 => 4,
        3 => 12,
        4 | 5 | 15 | 19 => 12 * vlen,
        6 | 13 => 8 * vlen,
        _ => 0,
    }
}

impl Types {
    /// Parses a valid section.
    #[must_use]
    pub(super) fn parse(section: &[u8]) -> Types {
        let part = |at: usize, len: usize| {
            let start = word(section, 4) as usize + word(section, at) as usize;
            section.get(start..start + word(section, len) as usize).unwrap_or_default()
        };
        let (mut rest, strings) = (part(8, 12), part(16, 20).to_vec());
        let mut types = Vec::new();
        while rest.len() >= 12 {
            let info = word(rest, 4);
            let len = (12 + more(info >> 24 & 31, (info & 0xffff) as usize)).min(rest.len());
            types.push(rest[..len].to_vec());
            rest = &rest[len..];
        }
        Types { types, strings }
    }

    /// The ID of the next type.
    fn next(&self) -> u32 {
        self.types.len() as u32 + 1
    }

    /// Adds a type. Returns its ID.
    fn add(&mut self, kind: u32, vlen: u32, size: u32, words: &[u32]) -> u32 {
        let mut bytes = Vec::with_capacity(12 + words.len() * 4);
        // Usually with a name, any existing one.
        let name = if kind == PTR || kind == ARRAY { 0 } else { 1 };
        for word in [name, kind << 24 | vlen & 0xffff, size].iter().chain(words) {
            bytes.extend(word.to_le_bytes());
        }
        self.types.push(bytes);
        self.types.len() as u32
    }

    /// Encodes the section.
    #[must_use]
    pub(super) fn build(&self) -> Vec<u8> {
        let types = self.types.concat();
        let mut section = vec![0x9f, 0xeb, 1, 0];
        let len = types.len() as u32;
        for word in [HEADER as u32, 0, len, len, self.strings.len() as u32] {
            section.extend(word.to_le_bytes());
        }
        section.extend(types);
        section.extend(&self.strings);
        section
    }

    /// Adds a hostile type. Returns its ID.
    pub(super) fn add_hostile(&mut self, random: &mut Random) -> u32 {
        let own = self.next();
        let count = 1u32 << random.below(17);
        let int = self.add(INT, 0, 4, &[32]);
        let edge = random.edge() as u32;
        match random.below(18) {
            // A cycle through other types.
            0 => {
                let kind = *random.choose(&[TYPEDEF, CONST, PTR, 9, 11, 18]);
                let length = random.below(4) as u32;
                let first = self.next();
                for step in 0..length {
                    self.add(kind, 0, first + step + 1, &[]);
                }
                self.add(kind, 0, first, &[])
            }
            // A chain.
            1 => {
                let kind = *random.choose(&[TYPEDEF, CONST, PTR]);
                (0..count).fold(int, |inner, _| self.add(kind, 0, inner, &[]))
            }
            // Arrays of arrays with a huge total size.
            2 => (0..random.between(1, 40)).fold(int, |inner, _| {
                let len = *random.choose(&[0, 1, 2, 0xffff, 0x1_0000, 0x8000_0000, u32::MAX]);
                self.add(ARRAY, 0, 0, &[inner, int, len])
            }),
            3 => (0..count.min(1 << 14))
                .fold(int, |inner, _| self.add(ARRAY, 0, 0, &[inner, int, 1])),
            4 => self.add(ARRAY, 0, 0, &[own + 1, int, edge]),
            // A struct that contains itself; nested structs, each twice, so that there are 2^n
            // members.
            5 => self.add(STRUCT, 1, edge, &[1, own + 1, 0]),
            6 => (0..random.between(1, 64))
                .fold(int, |inner, _| self.add(STRUCT, 2, 8, &[1, inner, 0, 2, inner, 32])),
            7 => {
                (0..count.min(1 << 13)).fold(int, |inner, _| self.add(STRUCT, 1, 4, &[0, inner, 0]))
            }
            // Many members, some at random offsets.
            8 => {
                let vlen = count.min(0xffff);
                let members =
                    (0..vlen).flat_map(|n| [n, int, if n % 7 == 3 { edge } else { n * 32 }]);
                self.add(STRUCT, vlen, vlen.wrapping_mul(4), &members.collect::<Vec<_>>())
            }
            9 => {
                let vlen = count.min(0xffff);
                let kind = *random.choose(&[ENUM, FUNC_PROTO]);
                self.add(kind, vlen, 4, &(0..vlen).flat_map(|n| [1, n]).collect::<Vec<_>>())
            }
            10 => self.add(ENUM64, 3, 8, &[1, 0, edge, edge, edge, edge, 0, 1, 2]),
            // Integers of unusual widths and bit offsets.
            11 => {
                let encoding = (edge & 7) << 24 | (random.number() as u32 & 0x00ff_00ff);
                let size = *random.choose(&[0, 1, 2, 3, 4, 8, 16, 17, u32::MAX]);
                self.add(INT, 0, size, &[encoding])
            }
            // Bitfields.
            12 => {
                let info = 1 << 31 | 3;
                let members =
                    [1, int, 0xff00_0000, 2, int, 1 << 24 | edge & 0x00ff_ffff, 0, int, edge];
                let id = self.add(STRUCT, 3, edge & 0xfff, &members);
                if let Some(bytes) = self.types.last_mut() {
                    put(bytes, 4, 4, (STRUCT << 24 | info).into());
                }
                id
            }
            // More members than bytes.
            13 => self.add(*random.choose(&[STRUCT, 5, ENUM, FUNC_PROTO, DATASEC]), 0xffff, 4, &[]),
            14 => {
                self.add(random.below(32) as u32, random.below(4) as u32, edge, &[edge, edge, edge])
            }
            15 => self.add(DATASEC, 2, edge, &[own, edge, 4, int, 0, edge]),
            // A name with an invalid offset, or without an end.
            16 => {
                let id = self.add(STRUCT, 1, 4, &[edge, int, 0]);
                if let Some(bytes) = self.types.last_mut() {
                    put(bytes, 0, 4, random.edge());
                }
                if random.one_in(2) {
                    let len = count as usize * 16;
                    self.strings.extend(std::iter::repeat_n(b'n', len));
                }
                id
            }
            _ => self.add(16, 0, edge, &[]),
        }
    }

    /// Redirects some references to a type: members, elements, targets.
    pub(super) fn refer_to(&mut self, id: u32, random: &mut Random) {
        let count = self.types.len();
        for _ in 0..random.between(1, 6) {
            let bytes = &mut self.types[random.below(count)];
            let info = word(bytes, 4);
            let (kind, vlen) = (info >> 24 & 31, (info & 0xffff) as usize);
            let at = match kind {
                PTR | 8..=12 | 14 | 17 | 18 => 8,
                ARRAY => 12,
                STRUCT | 5 => 16 + 12 * random.below(vlen),
                DATASEC => 12 + 12 * random.below(vlen),
                FUNC_PROTO => 16 + 8 * random.below(vlen),
                _ => continue,
            };
            put(bytes, at, 4, id.into());
        }
    }

    /// Changes a word of a type.
    pub(super) fn damage(&mut self, random: &mut Random) {
        let count = self.types.len();
        let bytes = &mut self.types[random.below(count)];
        let at = random.below(bytes.len() / 4) * 4;
        let now = u64::from(word(bytes, at));
        let new = match random.below(3) {
            0 => now ^ 1 << random.below(32),
            1 => random.below(count + 2) as u64,
            _ => random.edge(),
        };
        put(bytes, at, 4, new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taking_apart_and_building_changes_nothing() {
        let mut types = Types { types: Vec::new(), strings: b"\0name\0".to_vec() };
        let int = types.add(INT, 0, 4, &[32]);
        types.add(STRUCT, 2, 8, &[1, int, 0, 1, int, 32]);
        types.add(ARRAY, 0, 0, &[int, int, 4]);
        let section = types.build();
        let back = Types::parse(&section);
        assert_eq!((back.types.len(), back.build()), (3, section));
    }

    #[test]
    fn everything_hostile_is_made() {
        for case in 0..2000 {
            let mut types = Types { types: Vec::new(), strings: b"\0name\0".to_vec() };
            let mut random = Random::new(5, "btf", case);
            let id = types.add_hostile(&mut random);
            assert!(id as usize <= types.types.len());
            types.refer_to(id, &mut random);
            types.damage(&mut random);
        }
    }
}
