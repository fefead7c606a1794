// SPDX-License-Identifier: MIT
//! Finds objects in the data of a Wasm module. A module can also make or unpack an object when it
//! runs, so what is found is not all that it can load; `--observe-only` checks that.

use bpfpack_schemas::object::BpfObject;

/// The first bytes of a 64-bit little-endian ELF file.
const ELF: &[u8] = b"\x7fELF\x02\x01";
/// The maximum number of objects that are searched.
const MOST: usize = 64;

/// The objects in the bytes of a module. They end where their section headers do, or later.
pub(super) fn objects(module: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut at = 0;
    while found.len() < MOST
        && let Some(next) = position(&module[at..])
    {
        at += next;
        let object = &module[at..];
        let len = len(object).unwrap_or(0).min(object.len());
        match BpfObject::parse(&object[..len]) {
            Ok(elf) if !elf.programs().is_empty() => {
                found.push(object[..len].to_vec());
                at += len;
            }
            _ => at += ELF.len(),
        }
    }
    found
}

fn position(bytes: &[u8]) -> Option<usize> {
    bytes.windows(ELF.len()).position(|window| window == ELF)
}

/// The length of an ELF file whose section headers are at its end, as compilers write it.
fn len(object: &[u8]) -> Option<usize> {
    let number = |at: usize, len: usize| {
        let bytes = object.get(at..at + len)?;
        let value = bytes.iter().rev().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
        usize::try_from(value).ok()
    };
    let (table, size, count) = (number(0x28, 8)?, number(0x3a, 2)?, number(0x3c, 2)?);
    table.checked_add(size.checked_mul(count)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_begins_like_an_object_is_skipped() {
        assert!(objects(b"").is_empty());
        assert!(objects(b"\0asm\x7fELF\x02\x01\x01\0\0").is_empty());
        assert!(objects(&ELF.repeat(100)).is_empty());
    }
}
