// SPDX-License-Identifier: MIT
//! Analyzes how BPF programs use maps, from their instructions: the buffer and the size of each
//! record that they write, and how they use the elements of other maps.
//!
//! Each function is walked once, with the known values of its registers: constants, addresses of
//! maps, variables and elements, and sums of them with values read from there. Where paths with
//! different values join, the value is unknown, unless they are the same position in several maps.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use object::read::elf::ElfFile64;
use object::{LittleEndian, Object as _, ObjectSection as _, ObjectSymbol as _};
use object::{RelocationTarget, SectionKind, SymbolIndex, SymbolKind};

use super::code::{Insn, decode};
use super::stack::Stack;
use super::value::{Groups, Origin, Spot, Symbol, Value, arithmetic, origin};

/// The number of instructions of an object that are walked, including repeated walks after joins.
const MAX_STEPS: usize = 4 << 20;

/// The number of instructions of a function, and of its jump targets. Larger functions are not
/// analyzed.
const MAX_INSNS: usize = 64 << 10;
const MAX_LEADERS: usize = 4 << 10;

/// The number of calls that are kept.
const MAX_CALLS: usize = 16 << 10;

/// The number of lookups of a map that are kept.
const MAX_LOOKUPS: usize = 64;

/// A call of a kernel helper.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// Number of the helper (`enum bpf_func_id`).
    pub(crate) helper: i32,
    /// The section and the offset of the instruction.
    pub(crate) at: (usize, u64),
    /// The function, as an index in [`Flow::functions`].
    pub(crate) function: usize,
    /// r1 to r5.
    pub(crate) arguments: [Value; 5],
}

/// How programs use the elements of a map.
#[derive(Debug, Clone, Default)]
pub(crate) struct Usage {
    /// The numbers of the helpers that are called with it.
    pub(crate) helpers: BTreeSet<i32>,
    /// Positions in its elements that programs add to.
    pub(crate) added: BTreeSet<Spot>,
    /// Whether they add something else than one.
    pub(crate) adds_more: bool,
    /// Of each call that looks an element up: the constants in its key, by their offset.
    pub(crate) lookups: Vec<BTreeMap<i32, i64>>,
    /// Whether programs use the address of an element, or a number read from it.
    pub(crate) is_read: bool,
    /// Whether programs write to its elements in other ways.
    pub(crate) is_written: bool,
    /// The functions that use it.
    pub(crate) functions: BTreeSet<usize>,
}

/// A function.
#[derive(Debug, Clone)]
pub(crate) struct Function {
    /// Its name.
    pub(crate) name: String,
    /// The index of its section.
    pub(crate) section: usize,
    /// The offset of its first byte there.
    pub(crate) start: u64,
    /// The offset after its last byte.
    pub(crate) end: u64,
    /// Its callers: section and offset of each call instruction.
    pub(crate) called_from: Vec<(usize, u64)>,
}

/// The facts about an object's programs.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    /// Its functions.
    pub(crate) functions: Vec<Function>,
    /// Calls of helpers that write records, in order.
    pub(crate) calls: Vec<Call>,
    /// Maps by name.
    pub(crate) maps: BTreeMap<String, Usage>,
    /// Positions in data sections that programs add to, by section, and the functions that add.
    pub(crate) counted: BTreeMap<usize, BTreeMap<Spot, BTreeSet<usize>>>,
    /// The names of maps, by symbol.
    pub(crate) names: BTreeMap<Symbol, String>,
    groups: Groups,
}

/// Numbers of helpers in the kernel's `enum bpf_func_id`.
pub(crate) mod helper {
    pub(crate) const MAP_LOOKUP: i32 = 1;
    pub(crate) const MAP_UPDATE: i32 = 2;
    pub(crate) const MAP_DELETE: i32 = 3;
    pub(crate) const PERF_EVENT_OUTPUT: i32 = 25;
    pub(crate) const SKB_OUTPUT: i32 = 111;
    pub(crate) const XDP_OUTPUT: i32 = 121;
    pub(crate) const RINGBUF_OUTPUT: i32 = 130;
    pub(crate) const RINGBUF_RESERVE: i32 = 131;
    pub(crate) const MAP_LOOKUP_PERCPU: i32 = 195;
    pub(crate) const RINGBUF_RESERVE_DYNPTR: i32 = 198;
    pub(crate) const DYNPTR_WRITE: i32 = 202;
    pub(crate) const DYNPTR_DATA: i32 = 203;
}

/// Helpers whose calls are kept.
const KEPT: [i32; 8] = [
    helper::PERF_EVENT_OUTPUT,
    helper::SKB_OUTPUT,
    helper::XDP_OUTPUT,
    helper::RINGBUF_OUTPUT,
    helper::RINGBUF_RESERVE,
    helper::RINGBUF_RESERVE_DYNPTR,
    helper::DYNPTR_WRITE,
    helper::DYNPTR_DATA,
];

/// Walks all functions of an object.
pub(crate) fn walk(elf: &ElfFile64<'_, LittleEndian>) -> Flow {
    let mut flow = Flow { functions: functions(elf), ..Flow::default() };
    for symbol in elf.symbols() {
        let section = symbol.section_index().and_then(|at| elf.section_by_index(at).ok());
        let in_maps = section.is_some_and(|section| section.name().is_ok_and(|n| n == ".maps"));
        if in_maps && symbol.kind() != SymbolKind::Section {
            flow.names.insert(symbol.index().0, symbol.name().unwrap_or_default().to_owned());
        }
    }
    let mut relocations: BTreeMap<usize, BTreeMap<u64, SymbolIndex>> = BTreeMap::new();
    for section in elf.sections().filter(|section| section.kind() == SectionKind::Text) {
        let symbols =
            section.relocations().filter_map(|(at, relocation)| match relocation.target() {
                RelocationTarget::Symbol(symbol) => Some((at, symbol)),
                _ => None,
            });
        relocations.insert(section.index().0, symbols.collect());
    }
    let mut steps = MAX_STEPS;
    let mut behind = (0, 0);
    for index in 0..flow.functions.len() {
        let function = flow.functions[index].clone();
        // Functions do not overlap, but symbols of a malformed object can.
        if (function.section, function.start) < behind {
            continue;
        }
        behind = (function.section, function.end);
        let section = elf.section_by_index(object::SectionIndex(function.section));
        let data = section.and_then(|section| section.data()).unwrap_or_default();
        let range = function.start as usize..function.end as usize;
        let Some(code) = data.get(range).filter(|code| code.len() / 8 <= MAX_INSNS) else {
            continue;
        };
        let relocated = relocations.get(&function.section);
        let code = decode(elf, code, &function, relocated);
        steps = Walk { code: &code, flow: &mut flow, index, function: &function }.run(steps);
    }
    flow.calls.sort_by_key(|call| (call.function, call.at));
    flow
}

fn functions(elf: &ElfFile64<'_, LittleEndian>) -> Vec<Function> {
    let mut found: Vec<Function> = elf
        .symbols()
        .filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.size() > 0)
        .filter_map(|symbol| {
            Some(Function {
                name: symbol.name().ok()?.to_owned(),
                section: symbol.section_index()?.0,
                start: symbol.address(),
                end: symbol.address().checked_add(symbol.size())?,
                called_from: Vec::new(),
            })
        })
        .collect();
    found.sort_by_key(|function| (function.section, function.start));
    found
}

/// The known values before an instruction.
#[derive(Debug, Clone, PartialEq)]
struct State {
    registers: [Value; 11],
    stack: Stack,
}

impl State {
    /// Keeps what both states know. Returns whether this state changed.
    fn join(&mut self, other: &State, groups: &mut Groups) -> bool {
        let mut changed = false;
        for (mine, theirs) in self.registers.iter_mut().zip(&other.registers) {
            let joined = groups.join(*mine, *theirs);
            changed |= joined != *mine;
            *mine = joined;
        }
        self.stack.join(&other.stack) || changed
    }
}

struct Walk<'w> {
    code: &'w [Insn],
    flow: &'w mut Flow,
    index: usize,
    function: &'w Function,
}

/// The successors of an instruction.
enum Next {
    Behind(usize),
    Both(usize, usize),
    End,
}

impl Walk<'_> {
    /// Walks the function in at most `steps` steps. Returns the number of steps left.
    fn run(&mut self, budget: usize) -> usize {
        let mut registers = [Value::Unknown; 11];
        for (at, register) in registers[1..6].iter_mut().enumerate() {
            *register = Value::Argument(at as u8);
        }
        registers[10] = Value::Stack(0);
        let first = State { registers, stack: Stack::default() };
        let leaders = self.leaders();
        if leaders.len() > MAX_LEADERS {
            return budget;
        }
        let mut states: BTreeMap<usize, State> = BTreeMap::from([(0, first)]);
        let mut todo = VecDeque::from([0]);
        let mut waiting = BTreeSet::from([0]);
        let mut steps = 0;
        while let Some(leader) = todo.pop_front() {
            waiting.remove(&leader);
            let mut state = states[&leader].clone();
            let mut at = leader;
            loop {
                steps += 1;
                if steps > budget || at >= self.code.len() {
                    break;
                }
                let targets = match self.step(&mut state, at, false) {
                    Next::End => [None, None],
                    Next::Behind(next) if !leaders.contains(&next) => {
                        at = next;
                        continue;
                    }
                    Next::Behind(next) => [Some(next), None],
                    Next::Both(a, b) => [Some(a), Some(b)],
                };
                for target in targets.into_iter().flatten() {
                    let is_news = match states.get_mut(&target) {
                        Some(known) => known.join(&state, &mut self.flow.groups),
                        None => states.insert(target, state.clone()).is_none(),
                    };
                    if is_news && waiting.insert(target) {
                        todo.push_back(target);
                    }
                }
                break;
            }
        }
        // The known values are final now: record the facts.
        for (leader, mut state) in states {
            let mut at = leader;
            while at < self.code.len() {
                match self.step(&mut state, at, true) {
                    Next::Behind(next) if !leaders.contains(&next) => at = next,
                    _ => break,
                }
            }
        }
        budget.saturating_sub(steps)
    }

    /// Instructions that are jump targets, or follow a jump.
    fn leaders(&self) -> BTreeSet<usize> {
        let mut found = BTreeSet::from([0]);
        for at in 0..self.code.len() {
            if let Some(target) = self.jump(at) {
                found.extend([target, at + 1]);
            }
        }
        found
    }

    /// The target of a jump; `None` for other instructions.
    fn jump(&self, at: usize) -> Option<usize> {
        let insn = self.code[at];
        let distance = match insn.op {
            0x85 | 0x8d | 0x95 => return None,
            0x06 => i64::from(insn.imm),
            op if matches!(op & 7, 5 | 6) => i64::from(insn.off),
            _ => return None,
        };
        usize::try_from(at as i64 + 1 + distance).ok().filter(|to| *to < self.code.len())
    }

    fn step(&mut self, state: &mut State, at: usize, note: bool) -> Next {
        let insn = self.code[at];
        let (dst, src) = (insn.dst, insn.src.min(10));
        match insn.op & 7 {
            0 => {
                if insn.op == 0x18 {
                    state.registers[dst] = insn.wide;
                    return Next::Behind(at + 2);
                }
                state.registers[0] = Value::Unknown;
            }
            1 => {
                let size = access_size(insn.op);
                let from = state.registers[src];
                state.registers[dst] = match from {
                    Value::Stack(base) if size == 8 => {
                        state.stack.load(base.wrapping_add(i32::from(insn.off)))
                    }
                    other => origin(other, insn.off).map_or(Value::Unknown, Value::Loaded),
                };
                if note && let Value::Element(map, _) = from {
                    self.usage(map, |usage| usage.is_read = true);
                }
            }
            2 | 3 => {
                let to = state.registers[dst];
                let is_register = insn.op & 7 == 3;
                let is_atomic = is_register && insn.op & 0xe0 == 0xc0;
                let value = match is_register {
                    true => state.registers[src],
                    false => Value::Const(i64::from(insn.imm)),
                };
                if let Value::Stack(base) = to {
                    let slot = base.wrapping_add(i32::from(insn.off));
                    let value = if is_atomic { Value::Unknown } else { value };
                    state.stack.store(slot, access_size(insn.op), value);
                } else if note && let Some(location) = origin(to, insn.off) {
                    let adds = match value {
                        Value::Sum(from, is_one) if !is_atomic && from == location => Some(is_one),
                        _ if is_atomic && insn.imm & 0xf0 == 0 => Some(value == Value::Const(1)),
                        _ => None,
                    };
                    self.store(location, adds);
                }
                if is_atomic && insn.imm & 1 == 1 {
                    state.registers[src] = Value::Unknown;
                }
            }
            4 | 7 => {
                let operand = match insn.op & 8 {
                    0 => Value::Const(i64::from(insn.imm)),
                    _ => state.registers[src],
                };
                let is_wide = insn.op & 7 == 7;
                let value = arithmetic(insn.op & 0xf0, state.registers[dst], operand, is_wide);
                state.registers[dst] = value;
            }
            _ => match insn.op {
                0x95 => return Next::End,
                0x85 | 0x8d => self.call(state, at, note),
                0x05 | 0x06 => {
                    return self.jump(at).map_or(Next::End, Next::Behind);
                }
                _ => {
                    return match self.jump(at) {
                        Some(target) => Next::Both(at + 1, target),
                        None => Next::End,
                    };
                }
            },
        }
        Next::Behind(at + 1)
    }

    fn call(&mut self, state: &mut State, at: usize, note: bool) {
        let insn = self.code[at];
        let mut arguments = [Value::Unknown; 5];
        arguments.copy_from_slice(&state.registers[1..6]);
        let location = (self.function.section, self.function.start + 8 * at as u64);
        let is_helper = insn.op == 0x85 && insn.src == 0;
        if note {
            if let Some((section, start)) = insn.target {
                let target = self.flow.functions.iter_mut();
                let mut target = target.filter(|f| f.section == section && f.start == start);
                if let Some(function) = target.next() {
                    function.called_from.push(location);
                }
            }
            for argument in arguments {
                match argument {
                    Value::Map(map) if is_helper => self.usage(map, |usage| {
                        usage.helpers.insert(insn.imm);
                    }),
                    // Code that has the address of an element may write to it.
                    Value::Element(map, _) if !(is_helper && writes_nothing(insn.imm)) => {
                        self.usage(map, |usage| usage.is_written = true);
                    }
                    Value::Element(map, _) => self.usage(map, |usage| usage.is_read = true),
                    _ => {}
                }
            }
            if is_helper && KEPT.contains(&insn.imm) && self.flow.calls.len() < MAX_CALLS {
                let arguments = arguments.map(|value| self.flow.groups.single(value));
                let call = Call { helper: insn.imm, at: location, function: self.index, arguments };
                self.flow.calls.push(call);
            }
        }
        let looks_up = matches!(insn.imm, helper::MAP_LOOKUP | helper::MAP_LOOKUP_PERCPU);
        if note
            && is_helper
            && looks_up
            && let (Value::Map(map), Value::Stack(key)) = (arguments[0], arguments[1])
        {
            let constants = state.stack.constants(key);
            self.usage(map, |usage| {
                if usage.lookups.len() < MAX_LOOKUPS {
                    usage.lookups.push(constants.clone());
                }
            });
        }
        for register in &mut state.registers[..6] {
            *register = Value::Unknown;
        }
        if is_helper
            && looks_up
            && let Value::Map(map) = arguments[0]
        {
            state.registers[0] = Value::Element(map, Spot { offset: 0, indexed: false });
        }
    }

    /// Notes a store. `adds` is whether exactly one was added; `None` if it is not a sum.
    fn store(&mut self, location: Origin, adds: Option<bool>) {
        match location {
            Origin::Element(map, spot) => self.usage(map, |usage| match adds {
                Some(is_one) => {
                    usage.added.insert(spot);
                    usage.adds_more |= !is_one;
                }
                None => usage.is_written = true,
            }),
            Origin::Variable(variable) if adds.is_some() => {
                let counted = self.flow.counted.entry(variable.section).or_default();
                counted.entry(variable.spot).or_default().insert(self.index);
            }
            Origin::Variable(_) => {}
        }
    }

    fn usage(&mut self, map: Symbol, note: impl Fn(&mut Usage)) {
        // The number of a group has no name.
        let group = self.flow.groups.members(map).into_iter().flatten();
        for name in group.chain([&map]).filter_map(|map| self.flow.names.get(map)) {
            let usage = self.flow.maps.entry(name.clone()).or_default();
            usage.functions.insert(self.index);
            note(usage);
        }
    }
}

/// Helpers that only read through their arguments.
fn writes_nothing(number: i32) -> bool {
    use helper::*;
    matches!(number, MAP_LOOKUP | MAP_UPDATE | MAP_DELETE | PERF_EVENT_OUTPUT | RINGBUF_OUTPUT)
        || matches!(number, SKB_OUTPUT | XDP_OUTPUT | DYNPTR_WRITE)
}

fn access_size(op: u8) -> i32 {
    match op & 0x18 {
        0x00 => 4,
        0x08 => 2,
        0x10 => 1,
        _ => 8,
    }
}
