// SPDX-License-Identifier: MIT
//! The names that a binary module imports and exports (WebAssembly specification, binary format).

use super::{HEADER, MAGIC, Reader};

/// The names of a module. What is not understood ends a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outline<'m> {
    /// The imports: module, name.
    pub imports: Vec<(&'m str, &'m str)>,
    /// The exports.
    pub exports: Vec<&'m str>,
}

/// Reads the names of a module; `None` if it is text.
#[must_use]
pub fn outline(module: &[u8]) -> Option<Outline<'_>> {
    const IMPORTS: u8 = 2;
    const EXPORTS: u8 = 7;
    if !module.starts_with(MAGIC) {
        return None;
    }
    let mut outline = Outline::default();
    let mut rest = Reader(module.get(HEADER..).unwrap_or_default());
    while let Some((id, section)) = rest.section() {
        let _ = match id {
            IMPORTS => imports(section, &mut outline.imports),
            EXPORTS => exports(section, &mut outline.exports),
            _ => None,
        };
    }
    Some(outline)
}

fn imports<'m>(mut section: Reader<'m>, found: &mut Vec<(&'m str, &'m str)>) -> Option<()> {
    for _ in 0..section.number()? {
        let names = (section.name()?, section.name()?);
        found.push(names);
        section.import()?;
    }
    Some(())
}

fn exports<'m>(mut section: Reader<'m>, found: &mut Vec<&'m str>) -> Option<()> {
    for _ in 0..section.number()? {
        found.push(section.name()?);
        section.byte()?;
        section.number()?;
    }
    Some(())
}

impl<'m> Reader<'m> {
    fn name(&mut self) -> Option<&'m str> {
        let len = self.number()?;
        std::str::from_utf8(self.take(len)?.0).ok()
    }

    /// Skips the type of an import.
    fn import(&mut self) -> Option<()> {
        const TABLE: u8 = 1;
        const MEMORY: u8 = 2;
        const GLOBAL: u8 = 3;
        const TAG: u8 = 4;
        match self.byte()? {
            0 => drop(self.number()?),
            kind @ (TABLE | MEMORY) => {
                if kind == TABLE {
                    self.byte()?;
                }
                let has_maximum = self.byte()? & 1 != 0;
                self.number()?;
                if has_maximum {
                    self.number()?;
                }
            }
            GLOBAL => {
                self.byte()?;
                self.byte()?;
            }
            TAG => {
                self.byte()?;
                self.number()?;
            }
            _ => return None,
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_imports_and_exports() {
        // A function, a memory with a maximum, and a function; two exports.
        let imports = [
            &[3, 1, b'a', 1, b'f', 0, 5, 1, b'a', 1, b'm', 2, 1, 1, 2][..],
            &[1, b'b', 2, b'g', b'h', 0, 0],
        ]
        .concat();
        let exports = [2, 1, b'x', 0, 0, 1, b'y', 2, 0];
        let section = |id: u8, bytes: &[u8]| [&[id, bytes.len() as u8], bytes].concat();
        let header = [MAGIC, &[1, 0, 0, 0]].concat();
        let module = [header, section(2, &imports), section(7, &exports)].concat();
        let found = outline(&module).unwrap();
        assert_eq!(found.imports, [("a", "f"), ("a", "m"), ("b", "gh")]);
        assert_eq!(found.exports, ["x", "y"]);
        assert_eq!(outline(b"(module)"), None);
        for len in 4..module.len() {
            assert!(outline(&module[..len]).is_some());
        }
    }
}
