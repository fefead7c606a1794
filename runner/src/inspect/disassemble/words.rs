// SPDX-License-Identifier: MIT
//! An instruction as text, in the notation of the kernel (kernel/bpf/disasm.c).

use bpfpack_schemas::insn::{CALL, Call, EXIT, GOTO, GOTO_FAR, Insn, LOAD_64};
use bpfpack_schemas::object::helpers;

/// What an instruction refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Operand {
    /// A function of the object.
    Function(String),
    /// A map.
    Map(String),
    /// A variable, or a place in a data section.
    Data(String),
    /// A function or variable of the kernel.
    Extern(String),
}

/// The class of an instruction, the lower three bits of its code.
const LD: u8 = 0;
const LDX: u8 = 1;
const ST: u8 = 2;
const STX: u8 = 3;
const ALU: u8 = 4;
const JMP: u8 = 5;
const JMP32: u8 = 6;
const ALU64: u8 = 7;

/// Whether the operand is a register: bit 3 of arithmetic and jumps.
const IS_REGISTER: u8 = 8;

/// An instruction. `second` is the second half of a 64-bit load.
pub(super) fn instruction(insn: &Insn, second: Option<Insn>, operand: Option<&Operand>) -> String {
    let words = match insn.code & 7 {
        LD => load(insn, second, operand),
        LDX => load_memory(insn),
        ST | STX => store(insn),
        ALU | ALU64 => arithmetic(insn),
        JMP | JMP32 => jump(insn, operand),
        _ => None,
    };
    words.unwrap_or_else(|| "(unknown)".to_owned())
}

fn size(code: u8) -> u8 {
    match code >> 3 & 3 {
        0 => 32,
        1 => 16,
        2 => 8,
        _ => 64,
    }
}

fn load(insn: &Insn, second: Option<Insn>, operand: Option<&Operand>) -> Option<String> {
    let Insn { code, dst, src, imm, .. } = *insn;
    const ABSOLUTE: u8 = 0x20;
    const INDIRECT: u8 = 0x40;
    let bits = size(code);
    Some(match code {
        LOAD_64 => match operand {
            Some(Operand::Map(name)) => format!("r{dst} = map[{name}]"),
            Some(Operand::Data(name) | Operand::Function(name) | Operand::Extern(name)) => {
                format!("r{dst} = &{name}")
            }
            None => {
                let high = second.map_or(0, |second| second.imm as u32);
                format!("r{dst} = {:#x}", u64::from(high) << 32 | u64::from(imm as u32))
            }
        },
        _ if code & 0xe0 == ABSOLUTE => format!("r0 = *(u{bits} *)skb[{imm}]"),
        _ if code & 0xe0 == INDIRECT => format!("r0 = *(u{bits} *)skb[r{src} + {imm}]"),
        _ => return None,
    })
}

fn load_memory(insn: &Insn) -> Option<String> {
    let Insn { code, dst, src, off, .. } = *insn;
    const MEMORY: u8 = 0x60;
    const SIGNED: u8 = 0x80;
    let letter = match code & 0xe0 {
        MEMORY => 'u',
        SIGNED => 's',
        _ => return None,
    };
    Some(format!("r{dst} = *({letter}{} *)(r{src} {off:+})", size(code)))
}

fn store(insn: &Insn) -> Option<String> {
    let Insn { code, dst, src, off, imm } = *insn;
    const MEMORY: u8 = 0x60;
    const ATOMIC: u8 = 0xc0;
    let bits = size(code);
    match (code & 7, code & 0xe0) {
        (ST, MEMORY) => Some(format!("*(u{bits} *)(r{dst} {off:+}) = {imm}")),
        (STX, MEMORY) => Some(format!("*(u{bits} *)(r{dst} {off:+}) = r{src}")),
        (STX, ATOMIC) => atomic(insn, bits),
        _ => None,
    }
}

fn atomic(insn: &Insn, bits: u8) -> Option<String> {
    let Insn { dst, src, off, imm, .. } = *insn;
    const FETCH: i32 = 1;
    let place = format!("(u{bits} *)(r{dst} {off:+})");
    let kind = if bits == 64 { "atomic64" } else { "atomic" };
    let (sign, name) = match imm & !FETCH {
        0x00 => ("+=", "add"),
        0x40 => ("|=", "or"),
        0x50 => ("&=", "and"),
        0xa0 => ("^=", "xor"),
        0xe0 => return Some(format!("r{src} = {kind}_xchg({place}, r{src})")),
        0xf0 => return Some(format!("r0 = {kind}_cmpxchg({place}, r0, r{src})")),
        0x100 => match imm & FETCH {
            0 => return Some(format!("r{dst} = load_acquire((u{bits} *)(r{src} {off:+}))")),
            _ => return None,
        },
        0x110 => return Some(format!("store_release({place}, r{src})")),
        _ => return None,
    };
    Some(match imm & FETCH {
        0 => format!("lock *{place} {sign} r{src}"),
        _ => format!("r{src} = {kind}_fetch_{name}({place}, r{src})"),
    })
}

fn arithmetic(insn: &Insn) -> Option<String> {
    let Insn { code, dst, src, off, imm } = *insn;
    const SIGNS: [&str; 13] =
        ["+=", "-=", "*=", "/=", "|=", "&=", "<<=", ">>=", "neg", "%=", "^=", "=", "s>>="];
    const NEGATE: u8 = 8;
    const MOVE: u8 = 11;
    const SWAP: u8 = 13;
    let is_64 = code & 7 == ALU64;
    let is_register = code & IS_REGISTER != 0;
    let letter = if is_64 { 'r' } else { 'w' };
    let operation = code >> 4;
    if operation == SWAP {
        let order = match (is_64, is_register) {
            (true, _) => "bswap",
            (false, true) => "be",
            (false, false) => "le",
        };
        return Some(format!("r{dst} = {order}{imm} r{dst}"));
    }
    let sign = *SIGNS.get(usize::from(operation))?;
    // The kernel writes signed divisions and moves by the offset.
    let sign = match (sign, off) {
        ("/=", 1) => "s/=",
        ("%=", 1) => "s%=",
        (sign, _) => sign,
    };
    Some(match (operation, is_register) {
        (NEGATE, _) => format!("{letter}{dst} = -{letter}{dst}"),
        (MOVE, true) if off != 0 => format!("{letter}{dst} = (s{off}){letter}{src}"),
        (_, true) => format!("{letter}{dst} {sign} {letter}{src}"),
        (_, false) => format!("{letter}{dst} {sign} {imm}"),
    })
}

fn jump(insn: &Insn, operand: Option<&Operand>) -> Option<String> {
    let Insn { code, dst, src, off, imm } = *insn;
    const SIGNS: [&str; 14] =
        ["", "==", ">", ">=", "&", "!=", "s>", "s>=", "", "", "<", "<=", "s<", "s<="];
    const MAY_GOTO: u8 = 0xe5;
    Some(match code {
        CALL => return call(insn, operand),
        EXIT => "exit".to_owned(),
        GOTO => format!("goto pc{off:+}"),
        GOTO_FAR => format!("gotol pc{imm:+}"),
        MAY_GOTO => format!("may_goto pc{off:+}"),
        _ => {
            let letter = if code & 7 == JMP { 'r' } else { 'w' };
            let sign = SIGNS.get(usize::from(code >> 4)).filter(|sign| !sign.is_empty())?;
            match code & IS_REGISTER != 0 {
                true => format!("if {letter}{dst} {sign} {letter}{src} goto pc{off:+}"),
                false => format!("if {letter}{dst} {sign} {imm:#x} goto pc{off:+}"),
            }
        }
    })
}

fn call(insn: &Insn, operand: Option<&Operand>) -> Option<String> {
    Some(match (operand, insn.call()) {
        (Some(Operand::Function(name)), _) => format!("call {name}"),
        (Some(Operand::Extern(name)), _) => format!("call {name} (kfunc)"),
        (_, Some(Call::Helper(number))) => match helpers::name(number) {
            Some(name) => format!("call {name}#{number}"),
            None => format!("call unknown#{number}"),
        },
        (_, Some(Call::Function(distance))) => format!("call pc{distance:+}"),
        (_, Some(Call::Kernel)) => format!("call kernel-function#{}", insn.imm),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> String {
        instruction(&Insn { code, dst, src, off, imm }, None, None)
    }

    #[test]
    fn arithmetic_and_moves() {
        assert_eq!(words(0xbf, 0, 1, 0, 0), "r0 = r1");
        assert_eq!(words(0xb7, 1, 0, 0, -5), "r1 = -5");
        assert_eq!(words(0xbc, 2, 3, 0, 0), "w2 = w3");
        assert_eq!(words(0x07, 2, 0, 0, -8), "r2 += -8");
        assert_eq!(words(0x87, 4, 0, 0, 0), "r4 = -r4");
        assert_eq!(words(0xc7, 1, 0, 0, 32), "r1 s>>= 32");
        assert_eq!(words(0xdc, 3, 0, 0, 16), "r3 = be16 r3");
        assert_eq!(words(0x3f, 1, 2, 1, 0), "r1 s/= r2");
        assert_eq!(words(0xbf, 1, 2, 8, 0), "r1 = (s8)r2");
    }

    #[test]
    fn memory() {
        assert_eq!(words(0x79, 1, 6, 8, 0), "r1 = *(u64 *)(r6 +8)");
        assert_eq!(words(0x91, 1, 6, 0, 0), "r1 = *(s8 *)(r6 +0)");
        assert_eq!(words(0x63, 10, 1, -4, 0), "*(u32 *)(r10 -4) = r1");
        assert_eq!(words(0x6a, 10, 0, -2, 7), "*(u16 *)(r10 -2) = 7");
        assert_eq!(words(0xdb, 1, 2, 0, 0), "lock *(u64 *)(r1 +0) += r2");
        assert_eq!(words(0xc3, 1, 2, 4, 1), "r2 = atomic_fetch_add((u32 *)(r1 +4), r2)");
        assert_eq!(words(0xdb, 1, 2, 0, 0xf1), "r0 = atomic64_cmpxchg((u64 *)(r1 +0), r0, r2)");
        assert_eq!(words(0x30, 0, 0, 0, 14), "r0 = *(u8 *)skb[14]");
    }

    #[test]
    fn jumps_and_calls() {
        assert_eq!(words(0x95, 0, 0, 0, 0), "exit");
        assert_eq!(words(0x05, 0, 0, -3, 0), "goto pc-3");
        assert_eq!(words(0x15, 1, 0, 4, 255), "if r1 == 0xff goto pc+4");
        assert_eq!(words(0x6e, 1, 2, 1, 0), "if w1 s> w2 goto pc+1");
        assert_eq!(words(0x85, 0, 0, 0, 109), "call bpf_send_signal#109");
        assert_eq!(words(0x85, 0, 0, 0, 999), "call unknown#999");
        assert_eq!(words(0x85, 0, 1, 0, 5), "call pc+5");
        let kfunc = Operand::Extern("bpf_rcu_read_lock".into());
        let call = Insn { code: 0x85, src: 1, imm: -1, ..Insn::default() };
        assert_eq!(instruction(&call, None, Some(&kfunc)), "call bpf_rcu_read_lock (kfunc)");
    }

    #[test]
    fn loads_of_64_bits() {
        let load = Insn { code: LOAD_64, dst: 1, imm: -1, ..Insn::default() };
        let second = Some(Insn { imm: 2, ..Insn::default() });
        assert_eq!(instruction(&load, second, None), "r1 = 0x2ffffffff");
        let map = Operand::Map("events".into());
        assert_eq!(instruction(&load, second, Some(&map)), "r1 = map[events]");
        let data = Operand::Data(".rodata[8]".into());
        assert_eq!(instruction(&load, second, Some(&data)), "r1 = &.rodata[8]");
    }

    #[test]
    fn every_code_has_a_text() {
        for code in 0..=u8::MAX {
            for src in 0..4 {
                assert!(!words(code, 1, src, -1, 1).is_empty());
            }
        }
    }
}
