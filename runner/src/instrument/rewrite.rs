// SPDX-License-Identifier: MIT
//! Rewrites an object so that failing calls of the helpers that write to buffers are counted.
//!
//! A call is replaced by a jump to code at the end of its function, which makes the call, counts a
//! failure, and jumps back:
//!
//! ```text
//! goto L                L: call helper
//! …                        if r0 is no failure goto +4
//!                          r1 = address of the count
//!                          r2 = 1
//!                          lock *(u64 *)(r1 + 0) += r2
//!                          goto …
//! ```
//!
//! A call clobbers r1 to r5, and r0 keeps its value, so neither the verifier nor the program sees a
//! difference. Nothing moves within a function; functions move as a whole, and with them their
//! symbols, relocations, calls and line information. The verifier checks the code after the call
//! once for each outcome, which the program's own check of the result makes it do anyway.

use std::collections::{BTreeMap, BTreeSet};

use bpfpack_schemas::insn::{
    self, CALL, Call as Callee, GOTO, Insn, LOAD_64, MOVE, MOVE_REGISTER, PSEUDO_MAP_VALUE,
    SIZE as INSN,
};

use super::elf::{Elf, Section, Symbol};

/// Number of instructions that replace a call.
const DETOUR: usize = 7;
/// How many instructions back to look for the load of a call's argument.
const LOOK_BACK: usize = 256;

const IF_NOT_EQUAL: u8 = 0x55;
const IF_SIGNED_NOT_LESS: u8 = 0x75;
const ATOMIC: u8 = 0xdb;

/// A helper that writes to a buffer (include/uapi/linux/bpf.h).
#[derive(Debug, Clone, Copy)]
struct Helper {
    number: u32,
    /// The register with the buffer.
    buffer: u8,
    /// Whether it fails by returning null, not a negative number.
    returns_pointer: bool,
}

const HELPERS: [Helper; 4] = [
    Helper { number: 25, buffer: 2, returns_pointer: false }, // perf_event_output
    Helper { number: 130, buffer: 1, returns_pointer: false }, // ringbuf_output
    Helper { number: 131, buffer: 1, returns_pointer: true }, // ringbuf_reserve
    Helper { number: 198, buffer: 1, returns_pointer: false }, // ringbuf_reserve_dynptr
];

/// A call of such a helper.
#[derive(Debug)]
struct Call {
    /// The index of its instruction in the section.
    at: usize,
    helper: Helper,
    /// The buffer's map, if it is known.
    buffer: Option<String>,
}

/// A function: its begin and end, in instructions of its section.
#[derive(Debug)]
struct Function {
    begin: usize,
    end: usize,
    calls: Vec<Call>,
    /// The number of instructions that are inserted before it.
    shift: usize,
}

/// The code of a section.
#[derive(Debug)]
struct Code {
    functions: Vec<Function>,
}

/// The calls in an object.
#[derive(Debug)]
pub(crate) struct Calls {
    elf: Elf,
    /// The code by section index.
    code: BTreeMap<usize, Code>,
}

impl Function {
    /// The number of instructions that are added to it.
    fn added(&self) -> usize {
        DETOUR * self.calls.len()
    }
}

impl Code {
    /// Calculates how far functions move, once the calls to replace are known.
    fn settle(&mut self) {
        let mut shift = 0;
        for function in &mut self.functions {
            function.shift = shift;
            shift += function.added();
        }
    }

    /// The number of instructions that are inserted before an instruction.
    fn shift(&self, at: usize) -> usize {
        let place = self.functions.partition_point(|function| function.end <= at);
        match (self.functions.get(place), self.functions.last()) {
            (Some(function), _) => function.shift,
            (None, last) => last.map_or(0, |function| function.shift + function.added()),
        }
    }

    /// The new index of an instruction.
    fn moved(&self, at: usize) -> usize {
        at + self.shift(at)
    }
}

impl Calls {
    /// Finds the calls; `None` if there are none or the object cannot be parsed.
    pub(crate) fn find(object: &[u8]) -> Option<Calls> {
        let elf = Elf::parse(object)?;
        let mut code = BTreeMap::new();
        for (index, section) in elf.sections.iter().enumerate() {
            if section.is_code() {
                code.insert(index, Code { functions: functions(&elf, index, section)? });
            }
        }
        let any = code.values().flat_map(|code| &code.functions).any(|f| !f.calls.is_empty());
        any.then_some(Calls { elf, code })
    }

    /// The names of the buffers that are known.
    pub(crate) fn buffers(&self) -> Vec<String> {
        let functions = self.code.values().flat_map(|code| &code.functions);
        let calls = functions.flat_map(|function| &function.calls);
        let mut names: Vec<_> = calls.filter_map(|call| call.buffer.clone()).collect();
        names.sort();
        names.dedup();
        names
    }

    /// The number of calls.
    pub(crate) fn count(&self) -> usize {
        let functions = self.code.values().flat_map(|code| &code.functions);
        functions.map(|function| function.calls.len()).sum()
    }

    /// The number of instructions that are added to count them.
    pub(crate) fn added(&self) -> usize {
        DETOUR * self.count()
    }

    /// Returns the object with counted calls. The counters are in the value of the map `fd`, at the
    /// offset that `slot` returns for a buffer. Also returns whether some call is not counted
    /// because it is too far from the end of its function.
    pub(crate) fn counted(self, fd: i32, slot: impl Fn(Option<&str>) -> i32) -> (Vec<u8>, bool) {
        let Calls { mut elf, mut code } = self;
        let mut is_incomplete = false;
        for code in code.values_mut() {
            for function in &mut code.functions {
                let (end, before) = (function.end, function.calls.len());
                // The maximum distance of a jump is 32767 instructions.
                let reach = (i16::MAX as usize).saturating_sub(DETOUR * before);
                function.calls.retain(|call| end - call.at < reach);
                is_incomplete |= function.calls.len() < before;
            }
            code.settle();
        }
        let sections: Vec<(usize, Vec<u8>)> = code
            .iter()
            .map(|(index, of_section)| {
                (*index, section(&elf, &code, *index, of_section, fd, &slot))
            })
            .collect();
        for (index, bytes) in sections {
            elf.replace(index, bytes);
        }
        let moved = |section: usize, offset: u64| -> u64 {
            let at = usize::try_from(offset).unwrap_or(0) / INSN;
            let shift = code.get(&section).map_or(0, |code| code.shift(at));
            offset.saturating_add((shift * INSN) as u64)
        };
        let grown = |section: usize, offset: u64| -> u64 {
            let at = usize::try_from(offset).unwrap_or(0) / INSN;
            let functions = code.get(&section).map_or(&[][..], |code| &code.functions);
            let function = functions.binary_search_by_key(&at, |function| function.begin);
            (function.map_or(0, |place| functions[place].added()) * INSN) as u64
        };
        elf.move_symbols(&moved, &grown);
        elf.move_relocations(&moved);
        elf.move_line_information(&moved);
        (elf.bytes, is_incomplete)
    }
}

/// The functions of a section, with their calls.
fn functions(elf: &Elf, index: usize, section: &Section) -> Option<Vec<Function>> {
    let count = section.size / INSN;
    let mut begins: Vec<usize> = elf
        .symbols
        .iter()
        .filter(|symbol| symbol.section == index && symbol.is_function())
        .map(|symbol| symbol.value as usize / INSN)
        .filter(|begin| *begin < count)
        .chain([0])
        .collect();
    begins.sort_unstable();
    begins.dedup();
    let ends = begins.iter().skip(1).copied().chain([count]);
    let bytes = elf.section_bytes(section)?;
    let maps = map_relocations(elf, index);
    let function = |(begin, end): (usize, usize)| Function {
        begin,
        end,
        calls: calls(bytes, begin, end, &maps),
        shift: 0,
    };
    Some(begins.iter().copied().zip(ends).map(function).collect())
}

/// The maps that instructions of a section load, by instruction.
fn map_relocations(elf: &Elf, section: usize) -> BTreeMap<usize, String> {
    let of = |(offset, symbol): (u64, &Symbol)| {
        let is_map = elf.sections.get(symbol.section).is_some_and(|s| s.name == ".maps");
        is_map.then(|| (offset as usize / INSN, symbol.name.clone()))
    };
    elf.relocations_of(section).filter_map(of).collect()
}

fn calls(code: &[u8], begin: usize, end: usize, maps: &BTreeMap<usize, String>) -> Vec<Call> {
    let targets = targets(code, begin, end);
    let within = code.get(begin * INSN..end * INSN).unwrap_or_default();
    let call = |(index, insn): (usize, Insn)| {
        let at = begin + index;
        let Some(Callee::Helper(number)) = insn.call() else { return None };
        let helper = HELPERS.iter().find(|helper| helper.number == number)?;
        let buffer = buffer_of(code, begin, at, helper.buffer, maps, &targets);
        Some(Call { at, helper: *helper, buffer })
    };
    insn::all(within).filter_map(call).collect()
}

/// The map in a register before an instruction, if straight-line code before it loads one.
fn buffer_of(
    code: &[u8],
    begin: usize,
    call: usize,
    register: u8,
    maps: &BTreeMap<usize, String>,
    targets: &BTreeSet<usize>,
) -> Option<String> {
    let mut register = register;
    for at in (begin.max(call.saturating_sub(LOOK_BACK))..call).rev() {
        // A jump leads here and may bring another buffer.
        if targets.contains(&(at + 1)) {
            return None;
        }
        let insn = Insn::at(code, at)?;
        match insn.code {
            // The second half of a load; stores and jumps, which write no register.
            0 => {}
            CALL if register <= 5 => return None,
            LOAD_64 if insn.dst == register => return maps.get(&at).cloned(),
            MOVE_REGISTER if insn.dst == register => register = insn.src,
            _ if insn.dst == register && insn.writes() => return None,
            _ => {}
        }
    }
    None
}

/// The targets of jumps in a function.
fn targets(code: &[u8], begin: usize, end: usize) -> BTreeSet<usize> {
    (begin..end).filter_map(|at| Insn::at(code, at)?.target(at)).collect()
}

fn encode(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> [u8; INSN] {
    Insn { code, dst, src, off, imm }.to_bytes()
}

/// The new content of a section.
fn section(
    elf: &Elf,
    all: &BTreeMap<usize, Code>,
    index: usize,
    code: &Code,
    fd: i32,
    slot: &impl Fn(Option<&str>) -> i32,
) -> Vec<u8> {
    let old = elf.sections.get(index).and_then(|section| elf.section_bytes(section));
    let old = old.unwrap_or_default();
    let symbols: BTreeMap<usize, &Symbol> = elf
        .relocations_of(index)
        .map(|(offset, symbol)| (offset as usize / INSN, symbol))
        .collect();
    let mut new = Vec::with_capacity(old.len());
    for function in &code.functions {
        let begin = new.len();
        let mut at = function.begin;
        while at < function.end {
            let Some(mut insn) = Insn::at(old, at) else { break };
            retarget(&mut insn, at, code, all, symbols.get(&at).copied());
            new.extend_from_slice(&insn.to_bytes());
            at += 1;
            if insn.is_wide()
                && let Some(second) = Insn::at(old, at)
            {
                new.extend_from_slice(&second.to_bytes());
                at += 1;
            }
        }
        for call in &function.calls {
            let Some(made) = Insn::at(old, call.at) else { break };
            let here = (new.len() - begin) / INSN;
            let from = call.at - function.begin;
            let jump = encode(GOTO, 0, 0, (here - from - 1) as i16, 0);
            let place = begin + from * INSN;
            new[place..place + INSN].copy_from_slice(&jump);
            let back = -((here + DETOUR - from - 1) as i32);
            let test = match call.helper.returns_pointer {
                true => IF_NOT_EQUAL,
                false => IF_SIGNED_NOT_LESS,
            };
            let detour: [[u8; INSN]; DETOUR] = [
                made.to_bytes(),
                encode(test, 0, 0, 4, 0),
                encode(LOAD_64, 1, PSEUDO_MAP_VALUE, 0, fd),
                encode(0, 0, 0, 0, slot(call.buffer.as_deref())),
                encode(MOVE, 2, 0, 0, 1),
                encode(ATOMIC, 1, 2, 0, 0),
                encode(GOTO, 0, 0, back as i16, 0),
            ];
            new.extend(detour.iter().flatten());
        }
    }
    new
}

/// Adjusts a call, or the address of a function, to the new location of its target.
fn retarget(
    insn: &mut Insn,
    at: usize,
    own: &Code,
    all: &BTreeMap<usize, Code>,
    symbol: Option<&Symbol>,
) {
    let is_call = matches!(insn.call(), Some(Callee::Function(_)));
    // Targets outside of the code wrap; libbpf reports them.
    insn.imm = match symbol {
        // The symbol is the section, and the number is the location in it.
        Some(symbol) if symbol.is_section() => {
            let Some(code) = all.get(&symbol.section) else { return };
            match insn.code {
                CALL if is_call => {
                    let target = usize::try_from(i64::from(insn.imm) + 1).unwrap_or(0);
                    (code.moved(target) as i32).wrapping_sub(1)
                }
                LOAD_64 => {
                    let target = usize::try_from(insn.imm).unwrap_or(0) / INSN;
                    (code.moved(target) * INSN) as i32
                }
                _ => return,
            }
        }
        None if is_call => {
            let target = usize::try_from(at as i64 + 1 + i64::from(insn.imm)).unwrap_or(0);
            (own.moved(target) as i32).wrapping_sub(own.moved(at) as i32).wrapping_sub(1)
        }
        _ => return,
    };
}

#[cfg(test)]
mod tests;
