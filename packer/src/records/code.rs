// SPDX-License-Identifier: MIT
//! BPF instructions, with their relocations.

use std::collections::BTreeMap;

use object::read::elf::ElfFile64;
use object::{LittleEndian, Object as _, ObjectSection as _, ObjectSymbol as _};
use object::{SymbolIndex, SymbolKind};

use super::flow::Function;
use super::value::{Spot, Value, Variable};

/// An instruction of eight bytes. The second half of a wide one is a jump to nowhere.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Insn {
    /// The opcode.
    pub(crate) op: u8,
    /// The destination register.
    pub(crate) dst: usize,
    /// The source register, or an extension of the opcode.
    pub(crate) src: usize,
    /// The offset.
    pub(crate) off: i16,
    /// The immediate.
    pub(crate) imm: i32,
    /// The value that a wide instruction loads.
    pub(crate) wide: Value,
    /// The function that a call refers to: its section and offset.
    pub(crate) target: Option<(usize, u64)>,
}

/// Decodes a function.
pub(crate) fn decode(
    elf: &ElfFile64<'_, LittleEndian>,
    code: &[u8],
    function: &Function,
    relocations: Option<&BTreeMap<u64, SymbolIndex>>,
) -> Vec<Insn> {
    let imm = |raw: &[u8]| i32::from_le_bytes([raw[4], raw[5], raw[6], raw[7]]);
    let mut found = Vec::with_capacity(code.len() / 8);
    for (slot, raw) in code.chunks_exact(8).enumerate() {
        let at = function.start + 8 * slot as u64;
        let symbol = relocations.and_then(|all| all.get(&at));
        let symbol = symbol.and_then(|index| elf.symbol_by_index(*index).ok());
        let mut insn = Insn {
            op: raw[0],
            dst: usize::from(raw[1] & 15).min(10),
            src: usize::from(raw[1] >> 4),
            off: i16::from_le_bytes([raw[2], raw[3]]),
            imm: imm(raw),
            wide: Value::Unknown,
            target: None,
        };
        if insn.op == 0x18 {
            let high = code.get(8 * (slot + 1)..8 * (slot + 2)).map_or(0, imm);
            let number = i64::from(high) << 32 | i64::from(insn.imm as u32);
            insn.wide = match &symbol {
                None => Value::Const(number),
                Some(symbol) => value_of(elf, symbol, number),
            };
        }
        if insn.op == 0x85 && insn.src == 1 {
            let next = (i64::from(insn.imm) + 1) * 8;
            insn.target = match &symbol {
                Some(symbol) => {
                    let offset = if symbol.kind() == SymbolKind::Section { next } else { 0 };
                    let start = symbol.address().wrapping_add_signed(offset);
                    symbol.section_index().map(|section| (section.0, start))
                }
                None => Some((function.section, at.wrapping_add_signed(next))),
            };
        }
        found.push(insn);
    }
    found
}

/// The value of the address of a symbol.
fn value_of<'s>(
    elf: &ElfFile64<'_, LittleEndian>,
    symbol: &impl object::ObjectSymbol<'s>,
    addend: i64,
) -> Value {
    let Some(index) = symbol.section_index() else { return Value::Unknown };
    let Ok(section) = elf.section_by_index(index) else { return Value::Unknown };
    match section.name() {
        Ok(".maps") => Value::Map(symbol.index().0),
        Ok(name) if [".bss", ".data"].iter().any(|stem| name.starts_with(stem)) => {
            let offset = (symbol.address() as i64).wrapping_add(addend);
            let spot = Spot { offset, indexed: false };
            Value::Variable(Variable { section: index.0, spot })
        }
        _ => Value::Unknown,
    }
}
