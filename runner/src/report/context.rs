// SPDX-License-Identifier: MIT
//! Whether a program may write to its context. Since 6.18, programs for user functions may, and so
//! change the registers of processes (kernel/trace/bpf_trace.c: `kprobe_prog_is_valid_access`).
//!
//! The analysis follows the context through registers, the stack and calls. Where it is not sure, it
//! answers that the program may write.

use std::collections::BTreeMap;

use bpfpack_schemas::insn::{Call, EXIT, Insn, MOVE_REGISTER, SIZE};
use bpfpack_schemas::object::{Code, CodeLocation, Reference};

/// The maximum depth of calls that is followed; the kernel allows 8.
const DEPTH: usize = 16;

/// The maximum number of functions that are followed with different contexts.
const MOST: usize = 100_000;

const R0: u16 = 1 << 0;
const R1: u16 = 1 << 1;
/// The registers that a call clobbers, and those that pass arguments.
const CALLER_SAVED: u16 = 0x3f;
const ARGUMENTS: u16 = 0x3e;
const FRAME: u8 = 10;

/// What registers and the stack may hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct State {
    /// Registers that may hold the context.
    context: u16,
    /// Registers that may point to the stack.
    stack: u16,
    /// Slots of the stack, 8 bytes each from its end, that may hold the context.
    slots: u64,
}

impl State {
    fn joined(self, other: State) -> State {
        State {
            context: self.context | other.context,
            stack: self.stack | other.stack,
            slots: self.slots | other.slots,
        }
    }

    /// Makes a register hold what `from` holds; `None` is a number.
    fn set(&mut self, register: u8, from: Option<u8>) {
        let bit = 1u16 << register;
        let holds = |mask: u16| from.is_some_and(|from| mask & 1 << from != 0);
        let (context, stack) = (holds(self.context), holds(self.stack));
        self.context = self.context & !bit | if context { bit } else { 0 };
        self.stack = self.stack & !bit | if stack { bit } else { 0 };
    }
}

/// The result of a function.
#[derive(Debug, Clone, Copy, Default)]
struct Outcome {
    writes: bool,
    returns_context: bool,
    /// Whether it puts the context where its caller may read it.
    spills: bool,
}

const UNSURE: Outcome = Outcome { writes: true, returns_context: true, spills: true };

/// Follows the contexts of an object's programs.
#[derive(Debug)]
pub(super) struct Contexts<'c, 'e, 'd> {
    code: &'c Code<'e, 'd>,
    known: BTreeMap<(CodeLocation, State), Outcome>,
}

impl<'c, 'e, 'd> Contexts<'c, 'e, 'd> {
    pub(super) fn new(code: &'c Code<'e, 'd>) -> Contexts<'c, 'e, 'd> {
        Contexts { code, known: BTreeMap::new() }
    }

    /// Whether a program may write to its context.
    pub(super) fn may_write(&mut self, program: CodeLocation) -> bool {
        let entry = State { context: R1, stack: 1 << FRAME, slots: 0 };
        self.function(program, entry, 0).writes
    }

    fn function(&mut self, place: CodeLocation, entry: State, depth: usize) -> Outcome {
        if let Some(known) = self.known.get(&(place, entry)) {
            return *known;
        }
        // A function that gets no context cannot write to it.
        if entry.context & ARGUMENTS == 0 && entry.slots == 0 {
            return Outcome::default();
        }
        if depth > DEPTH || self.known.len() > MOST {
            return UNSURE;
        }
        let outcome = self.read(place, entry, depth).unwrap_or(UNSURE);
        self.known.insert((place, entry), outcome);
        outcome
    }

    /// Follows all ways through a function; `None` if it is not what compilers make.
    fn read(&mut self, place: CodeLocation, entry: State, depth: usize) -> Option<Outcome> {
        let function = self.code.function(place)?;
        let mut outcome = Outcome::default();
        let mut states: BTreeMap<usize, State> = BTreeMap::from([(0, entry)]);
        let mut todo = vec![0];
        while let Some(at) = todo.pop() {
            let mut state = *states.get(&at)?;
            let insn = Insn::at(function.code, at)?;
            let target = insn.target(at);
            let offset = place.1.checked_add((at * SIZE) as u64)?;
            let reference = self.code.reference((place.0, offset), &insn);
            if insn.code == EXIT {
                outcome.returns_context |= state.context & R0 != 0;
                continue;
            }
            match insn.call() {
                Some(call) => {
                    let called = self.call(call, reference, state, depth);
                    outcome.writes |= called.writes;
                    state.context &= !CALLER_SAVED;
                    state.stack &= !CALLER_SAVED;
                    if called.returns_context {
                        state.context |= R0;
                    }
                    if called.spills {
                        state.slots = u64::MAX;
                    }
                }
                None => {
                    if let (true, Some(Reference::Function(callback))) = (insn.is_wide(), reference)
                    {
                        // It gets pointers to the stack of this function.
                        let entry = State { context: 0, stack: ARGUMENTS, slots: state.slots };
                        outcome.writes |= self.function(callback, entry, depth + 1).writes;
                    }
                    outcome.writes |= step(&mut state, &insn);
                }
            }
            outcome.spills |= entry.slots != u64::MAX && state.slots == u64::MAX;
            if outcome.writes {
                return Some(outcome);
            }
            let next = at + if insn.is_wide() { 2 } else { 1 };
            let falls_through = !matches!(insn.code, 0x05 | 0x06);
            for next in target.into_iter().chain(falls_through.then_some(next)) {
                let known = states.get(&next).copied();
                let joined = known.map_or(state, |known| known.joined(state));
                if known != Some(joined) {
                    states.insert(next, joined);
                    todo.push(next);
                }
            }
        }
        Some(outcome)
    }

    fn call(
        &mut self,
        call: Call,
        reference: Option<Reference<'_>>,
        state: State,
        depth: usize,
    ) -> Outcome {
        match (call, reference) {
            (Call::Function(_), Some(Reference::Function(callee))) => {
                let entry = State {
                    context: state.context & ARGUMENTS,
                    stack: state.stack & ARGUMENTS | 1 << FRAME,
                    slots: if state.stack & ARGUMENTS == 0 { 0 } else { state.slots },
                };
                self.function(callee, entry, depth + 1)
            }
            // Helpers and kfuncs do not return a context that can be written to.
            _ => Outcome::default(),
        }
    }
}

/// Follows an instruction that is no call. Returns whether it may write to the context.
fn step(state: &mut State, insn: &Insn) -> bool {
    const LD: u8 = 0;
    const LDX: u8 = 1;
    const ST: u8 = 2;
    const STX: u8 = 3;
    const ALU: u8 = 4;
    const ALU64: u8 = 7;
    const OPERATION: u8 = 0xf0;
    const ADD_REGISTER: u8 = 0x0f;
    let holds = |mask: u16, register: u8| mask & 1 << register != 0;
    match insn.code & 7 {
        LD => state.set(insn.dst, None),
        LDX => {
            let of_stack = holds(state.stack, insn.src);
            let slots = if insn.src == FRAME { slot(insn.off) } else { u64::MAX };
            let is_context = insn.code >> 3 & 3 == 3 && of_stack && state.slots & slots != 0;
            state.set(insn.dst, None);
            if is_context {
                state.context |= 1 << insn.dst;
            }
        }
        class @ (ST | STX) => {
            if holds(state.context, insn.dst) {
                return true;
            }
            if holds(state.stack, insn.dst) {
                let is_context = class == STX && holds(state.context, insn.src);
                match (is_context, insn.dst == FRAME) {
                    (true, true) => state.slots |= slot(insn.off),
                    (true, false) => state.slots = u64::MAX,
                    // Another number takes the place of a whole slot.
                    (false, true) if insn.code >> 3 & 3 == 3 && insn.off % 8 == 0 => {
                        state.slots &= !slot(insn.off);
                    }
                    (false, _) => {}
                }
            }
        }
        ALU => state.set(insn.dst, None),
        ALU64 if insn.code == MOVE_REGISTER => state.set(insn.dst, Some(insn.src)),
        ALU64 if insn.code & OPERATION == MOVE_REGISTER & OPERATION => state.set(insn.dst, None),
        ALU64 if insn.code == ADD_REGISTER => {
            let from = |mask: u16| (mask >> insn.src & 1) << insn.dst;
            (state.context, state.stack) =
                (state.context | from(state.context), state.stack | from(state.stack));
        }
        // Other arithmetic keeps what the register points to.
        _ => {}
    }
    false
}

/// The slots of the stack that 8 bytes at an offset from its end are in; all for one that is not on
/// the stack.
fn slot(offset: i16) -> u64 {
    const SLOTS: i32 = 64;
    let first = (i32::from(offset)).div_euclid(8) + SLOTS;
    let last = (i32::from(offset) + 7).div_euclid(8) + SLOTS;
    match (0..SLOTS).contains(&first) && (0..SLOTS).contains(&last) {
        true => 1 << first | 1 << last,
        false => u64::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(insns: &[(u8, u8, u8, i16, i32)]) -> (bool, State) {
        let mut state = State { context: R1, stack: 1 << FRAME, slots: 0 };
        let mut writes = false;
        for (code, dst, src, off, imm) in insns {
            let (code, dst, src, off, imm) = (*code, *dst, *src, *off, *imm);
            writes |= step(&mut state, &Insn { code, dst, src, off, imm });
        }
        (writes, state)
    }

    #[test]
    fn the_context_is_followed() {
        const STORE: u8 = 0x7b;
        const LOAD: u8 = 0x79;
        let moved = (MOVE_REGISTER, 6, 1, 0, 0);
        assert!(run(&[(STORE, 1, 2, 16, 0)]).0, "directly");
        assert!(run(&[moved, (0x07, 6, 0, 0, 8), (0x62, 6, 0, 0, 1)]).0, "by a copy");
        let spilled = [(STORE, 10, 1, -24, 0), (LOAD, 3, 10, -24, 0), (STORE, 3, 2, 0, 0)];
        assert!(run(&spilled).0, "by the stack");
        let alias = [
            (STORE, 10, 1, -24, 0),
            (MOVE_REGISTER, 2, 10, 0, 0),
            (0x07, 2, 0, 0, -24),
            (LOAD, 3, 2, 0, 0),
            (STORE, 3, 4, 0, 0),
        ];
        assert!(run(&alias).0, "by a pointer to the stack");
        assert!(run(&[(0xb7, 2, 0, 0, 8), (0x0f, 2, 1, 0, 0), (STORE, 2, 3, 0, 0)]).0, "by a sum");
    }

    #[test]
    fn other_memory_is_not_the_context() {
        const STORE: u8 = 0x7b;
        const LOAD: u8 = 0x79;
        assert!(!run(&[(STORE, 10, 1, -8, 0)]).0);
        assert!(!run(&[(LOAD, 1, 1, 16, 0), (STORE, 1, 2, 0, 0)]).0, "what it points to");
        assert!(!run(&[(0xb7, 1, 0, 0, 0), (STORE, 1, 2, 0, 0)]).0);
        let other = [(STORE, 10, 1, -24, 0), (LOAD, 3, 10, -32, 0), (STORE, 3, 2, 0, 0)];
        assert!(!run(&other).0, "another slot");
        let gone = [(STORE, 10, 1, -24, 0), (STORE, 10, 2, -24, 0)];
        assert_eq!(run(&gone).1.slots, 0);
    }

    #[test]
    fn slots_of_offsets() {
        assert_eq!(slot(-8), 1 << 63);
        assert_eq!(slot(-512), 1);
        assert_eq!(slot(-12), 1 << 62 | 1 << 63);
        assert_eq!((slot(0), slot(-520)), (u64::MAX, u64::MAX));
    }
}
