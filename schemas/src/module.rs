// SPDX-License-Identifier: MIT
//! Limits what compiling a Wasm module costs. A function of four bytes takes 6 KB in the compiler,
//! and a module of 4 MB with a million such functions takes 5 GB. The contents are therefore
//! counted first, from the headers of the module's sections.
//!
//! [`outline()`] reads the names of imports and exports, without a compiler.
//!
//! The compiler decides whether a module is valid. This check skips what it does not understand.

mod outline;

use crate::package::MAX_MODULE_SIZE;

pub use outline::{Outline, outline};

/// The largest number of types, functions, tables, memories, globals, imports, exports, segments,
/// and elements of segments other than the usual ones that fill a table with functions, all
/// together. The compiled form of one takes up to 11 KB. Go programs have the most: some thousand
/// functions.
pub const MAX_ITEMS: u64 = 20_000;

/// The largest number of local variables of all functions together. One takes up to 16 bytes of
/// code.
pub const MAX_LOCALS: u64 = 1_000_000;

/// The largest module in text form, in bytes: parsing it takes 80 times as much memory.
pub const MAX_TEXT_MODULE: usize = 1 << 20;

/// The first bytes of a binary module.
const MAGIC: &[u8] = b"\0asm";

/// The number of bytes before the sections of a binary module.
const HEADER: usize = 8;

/// Why a module is too large to compile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ModuleError {
    /// It has more bytes than [`MAX_MODULE_SIZE`], or than [`MAX_TEXT_MODULE`].
    #[error("it has {size} bytes; the limit is {most}")]
    Size {
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        most: u64,
    },
    /// It has more than [`MAX_ITEMS`].
    #[error("it has {0} functions, types, exports and the like; the limit is {MAX_ITEMS}")]
    Items(u64),
    /// It has more than [`MAX_LOCALS`].
    #[error("its functions have {0} local variables; the limit is {MAX_LOCALS}")]
    Locals(u64),
}

/// Checks that a module, binary or text, is small enough to compile.
///
/// # Errors
/// See [`ModuleError`].
pub fn check(module: &[u8]) -> Result<(), ModuleError> {
    let is_binary = module.starts_with(MAGIC);
    let most = if is_binary { MAX_MODULE_SIZE } else { MAX_TEXT_MODULE as u64 };
    if module.len() as u64 > most {
        return Err(ModuleError::Size { size: module.len() as u64, most });
    }
    let counts = match is_binary {
        true => Counts::of_binary(module),
        false => Counts::of_text(module),
    };
    match counts {
        Counts { items, .. } if items > MAX_ITEMS => Err(ModuleError::Items(items)),
        Counts { locals, .. } if locals > MAX_LOCALS => Err(ModuleError::Locals(locals)),
        _ => Ok(()),
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    items: u64,
    locals: u64,
}

impl Counts {
    /// Every function contains the word. Text with many of them and little else is rare.
    fn of_text(text: &[u8]) -> Counts {
        let words = text.windows(4).filter(|word| word == b"func").count();
        Counts { items: words as u64, locals: 0 }
    }

    fn of_binary(module: &[u8]) -> Counts {
        let mut counts = Counts::default();
        let mut rest = Reader(module.get(HEADER..).unwrap_or_default());
        while let Some((id, section)) = rest.section() {
            // The compiler reports truncated modules.
            let _ = counts.add(id, section);
        }
        counts
    }

    /// Counts what a section has, up to the first part that is not understood.
    fn add(&mut self, id: u8, mut section: Reader<'_>) -> Option<()> {
        // The sections of a module (WebAssembly specification, binary format).
        const CUSTOM: u8 = 0;
        const START: u8 = 8;
        const ELEMENTS: u8 = 9;
        const CODE: u8 = 10;
        const DATA_COUNT: u8 = 12;
        if matches!(id, CUSTOM | START | DATA_COUNT) {
            return None;
        }
        let count = section.number()?;
        match id {
            // Already counted as functions.
            CODE => {
                for _ in 0..count {
                    let len = section.number()?;
                    self.locals = self.locals.saturating_add(section.take(len)?.locals());
                }
            }
            ELEMENTS => {
                self.items = self.items.saturating_add(count);
                for _ in 0..count {
                    let all = section.0.len();
                    if section.functions_for_table().is_none() {
                        // Each takes at least one byte.
                        self.items = self.items.saturating_add(all as u64);
                        break;
                    }
                }
            }
            _ => self.items = self.items.saturating_add(count),
        }
        Some(())
    }
}

/// The rest of a module, or of a part of it.
#[derive(Debug)]
struct Reader<'m>(&'m [u8]);

impl<'m> Reader<'m> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// An unsigned LEB128 number of up to 32 bits.
    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..35).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn take(&mut self, len: u64) -> Option<Reader<'m>> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(len).ok()?)?;
        self.0 = rest;
        Some(Reader(taken))
    }

    /// The id and content of the next section.
    fn section(&mut self) -> Option<(u8, Reader<'m>)> {
        let id = self.byte()?;
        let len = self.number()?;
        Some((id, self.take(len)?))
    }

    /// The local variables of a function's body.
    fn locals(&mut self) -> u64 {
        /// Types that are followed by an index.
        const REFERENCES: [u8; 2] = [0x63, 0x64];
        let mut sum: u64 = 0;
        let groups = self.number().unwrap_or(0);
        for _ in 0..groups {
            let (Some(count), Some(kind)) = (self.number(), self.byte()) else { break };
            sum = sum.saturating_add(count);
            if REFERENCES.contains(&kind) && self.number().is_none() {
                break;
            }
        }
        sum
    }

    /// Skips a segment that puts functions into the first table at a constant offset. `None` for
    /// any other segment.
    fn functions_for_table(&mut self) -> Option<()> {
        const I32_CONST: u8 = 0x41;
        const END: u8 = 0x0b;
        let is_usual = self.number()? == 0 && self.byte()? == I32_CONST;
        // Signed and unsigned numbers end at the same byte.
        let (_, end, count) = (self.number()?, self.byte()?, self.number()?);
        if !is_usual || end != END {
            return None;
        }
        for _ in 0..count {
            self.number()?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leb(mut number: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while number >= 0x80 {
            bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        bytes.push(number as u8);
        bytes
    }

    /// A module with these sections.
    fn module(sections: &[(u8, Vec<u8>)]) -> Vec<u8> {
        let mut module = b"\0asm\x01\0\0\0".to_vec();
        for (id, content) in sections {
            module.push(*id);
            module.extend(leb(content.len() as u64));
            module.extend(content);
        }
        module
    }

    fn many(count: u64, item: &[u8]) -> Vec<u8> {
        [leb(count), item.repeat(count as usize)].concat()
    }

    #[test]
    fn items_of_all_sections_are_counted() {
        let functions = |count| module(&[(1, many(1, b"\x60\0\0")), (3, many(count, b"\0"))]);
        assert_eq!(check(&functions(MAX_ITEMS - 1)), Ok(()));
        assert_eq!(check(&functions(MAX_ITEMS)), Err(ModuleError::Items(MAX_ITEMS + 1)));
        for (id, item) in [(1, &b"\x60\0\0"[..]), (2, b"\x01a\x01b\0\0"), (7, b"\x01a\0\0")] {
            let module = module(&[(id, many(MAX_ITEMS + 1, item))]);
            assert_eq!(check(&module), Err(ModuleError::Items(MAX_ITEMS + 1)), "{id}");
        }
        // Custom sections are not counted, whatever their size.
        assert_eq!(check(&module(&[(0, many(1 << 20, b"x")), (12, leb(1 << 30))])), Ok(()));
        // Truncated parts are not counted.
        assert_eq!(check(&module(&[(10, leb(u64::from(u32::MAX)))])), Ok(()));
    }

    #[test]
    fn local_variables_are_counted() {
        let group = [leb(50_000), vec![0x7f]].concat();
        let body = |groups: u64| {
            let body = [many(groups, &group), vec![0x0b]].concat();
            [leb(body.len() as u64), body].concat()
        };
        let of = |functions: u64| check(&module(&[(10, many(functions, &body(2)))]));
        assert_eq!(of(10), Ok(()));
        assert_eq!(of(11), Err(ModuleError::Locals(1_100_000)));
        let typed = [many(1, &[leb(1_000_001), vec![0x64, 0]].concat()), vec![0x0b]].concat();
        let typed = module(&[(10, many(1, &[leb(typed.len() as u64), typed].concat()))]);
        assert_eq!(check(&typed), Err(ModuleError::Locals(1_000_001)));
    }

    #[test]
    fn only_usual_segments_may_be_long() {
        let elements = many(MAX_ITEMS * 2, b"\0");
        let usual = [&b"\0\x41\xff\0\x0b"[..], &elements].concat();
        assert_eq!(check(&module(&[(9, many(2, &usual))])), Ok(()));
        for other in [&b"\x01\0"[..], b"\x02\0\x41\0\x0b\0", b"\x05\x70", b"\0\x23\0\x0b"] {
            let other = [&[2][..], &usual, other, &elements].concat();
            assert!(matches!(check(&module(&[(9, other)])), Err(ModuleError::Items(_))));
        }
    }

    #[test]
    fn text_is_short() {
        assert_eq!(check(b"(module (func))"), Ok(()));
        let long = " ".repeat(MAX_TEXT_MODULE + 1);
        assert!(matches!(check(long.as_bytes()), Err(ModuleError::Size { .. })));
        let many = "(func)".repeat(MAX_ITEMS as usize + 1);
        assert_eq!(check(many.as_bytes()), Err(ModuleError::Items(MAX_ITEMS + 1)));
        let large = [b"\0asm\x01\0\0\0".to_vec(), vec![0; MAX_MODULE_SIZE as usize]].concat();
        assert!(matches!(check(&large), Err(ModuleError::Size { .. })));
    }
}
