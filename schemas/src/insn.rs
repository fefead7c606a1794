// SPDX-License-Identifier: MIT
//! Decodes BPF instructions. The encoding is that of the kernel
//! (Documentation/bpf/standardization/instruction-set.rst), little-endian.

/// Size of an instruction in bytes. A 64-bit load takes two.
pub const SIZE: usize = 8;

/// The opcode of a 64-bit load, the only instruction that takes two slots.
pub const LOAD_64: u8 = 0x18;
/// The opcode of `call`.
pub const CALL: u8 = 0x85;
/// The opcode of `exit`.
pub const EXIT: u8 = 0x95;
/// The opcode of `goto` with a 16-bit offset.
pub const GOTO: u8 = 0x05;
/// The opcode of `goto` with a 32-bit offset.
pub const GOTO_FAR: u8 = 0x06;
/// The opcode of a 64-bit move of a number to a register.
pub const MOVE: u8 = 0xb7;
/// The opcode of a 64-bit move of a register to a register.
pub const MOVE_REGISTER: u8 = 0xbf;

/// `src` of a call to a function of the object.
pub const PSEUDO_CALL: u8 = 1;
/// `src` of a call to a function of the kernel that BTF describes.
pub const PSEUDO_KFUNC: u8 = 2;
/// `src` of a 64-bit load of an address in a map's value.
pub const PSEUDO_MAP_VALUE: u8 = 2;

/// An instruction, or half of a 64-bit load.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Insn {
    /// The opcode.
    pub code: u8,
    /// The destination register.
    pub dst: u8,
    /// The source register, or what the immediate means.
    pub src: u8,
    /// An offset: in memory in bytes, of a jump in instructions.
    pub off: i16,
    /// The immediate.
    pub imm: i32,
}

/// What an instruction calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// A helper of the kernel, by its number in linux/bpf.h.
    Helper(u32),
    /// A function of the object, by the distance from the next instruction.
    Function(i32),
    /// A function of the kernel that BTF describes; a relocation names it.
    Kernel,
}

impl Insn {
    /// Decodes the bytes of an instruction.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; SIZE]) -> Insn {
        let [code, registers, a, b, c, d, e, f] = bytes;
        Insn {
            code,
            dst: registers & 0xf,
            src: registers >> 4,
            off: i16::from_le_bytes([a, b]),
            imm: i32::from_le_bytes([c, d, e, f]),
        }
    }

    /// Its bytes.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; SIZE] {
        let [a, b] = self.off.to_le_bytes();
        let [c, d, e, f] = self.imm.to_le_bytes();
        [self.code, self.dst | self.src << 4, a, b, c, d, e, f]
    }

    /// The instruction with an index in a section; `None` after the end.
    #[must_use]
    pub fn at(code: &[u8], index: usize) -> Option<Insn> {
        code.get(index.checked_mul(SIZE)?..)?.first_chunk().copied().map(Insn::from_bytes)
    }

    /// Whether it is a 64-bit load; then the next slot is its second half.
    #[must_use]
    pub const fn is_wide(&self) -> bool {
        self.code == LOAD_64
    }

    /// What it calls, if it is a call.
    #[must_use]
    pub const fn call(&self) -> Option<Call> {
        match (self.code, self.src) {
            (CALL, 0) => Some(Call::Helper(self.imm as u32)),
            (CALL, PSEUDO_CALL) => Some(Call::Function(self.imm)),
            (CALL, PSEUDO_KFUNC) => Some(Call::Kernel),
            _ => None,
        }
    }

    /// The index to which the instruction with index `at` jumps, if it does.
    #[must_use]
    pub fn target(&self, at: usize) -> Option<usize> {
        let offset = match self.code {
            CALL | EXIT => return None,
            GOTO_FAR => self.imm as isize,
            code if matches!(code & 7, 5 | 6) => self.off.into(),
            _ => return None,
        };
        at.checked_add(1)?.checked_add_signed(offset)
    }

    /// Whether it writes its destination register, as loads and arithmetic do.
    #[must_use]
    pub const fn writes(&self) -> bool {
        matches!(self.code & 7, 0 | 1 | 4 | 7)
    }
}

/// All instructions of a section with their indexes, without second halves of 64-bit loads.
pub fn all(code: &[u8]) -> impl Iterator<Item = (usize, Insn)> {
    let mut is_second = false;
    let of = |bytes: &[u8]| bytes.first_chunk().copied().map(Insn::from_bytes);
    let slots = code.chunks_exact(SIZE).filter_map(of).enumerate();
    slots.filter(move |(_, insn)| {
        let is_first = !std::mem::take(&mut is_second);
        is_second = is_first && insn.is_wide();
        is_first
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_are_decoded_and_encoded() {
        let bytes = [0x63, 0x1a, 0xfc, 0xff, 0, 0, 0, 0x80];
        let insn = Insn::from_bytes(bytes);
        assert_eq!(insn, Insn { code: 0x63, dst: 10, src: 1, off: -4, imm: i32::MIN });
        assert_eq!(insn.to_bytes(), bytes);
        assert_eq!(Insn::at(&bytes, 0), Some(insn));
        assert_eq!(Insn::at(&bytes, 1), None);
        assert_eq!(Insn::at(&bytes, usize::MAX), None);
    }

    #[test]
    fn calls_are_told_from_what_looks_like_them() {
        let code = [
            [0x85, 0, 0, 0, 14, 0, 0, 0],               // a helper
            [0x85, 0x10, 0, 0, 6, 0, 0, 0],             // a function of the object
            [0x85, 0x20, 0, 0, 7, 0, 0, 0],             // a kernel function
            [0x18, 1, 0, 0, 0, 0, 0, 0],                // a number of 64 bits,
            [0x85, 0, 0, 0, 8, 0, 0, 0],                // and its second half
            [0xb7, 0, 0, 0, 0x85, 0, 0, 0],             // a number that is like a call's code
            [0x85, 0x10, 0, 0, 0xff, 0xff, 0xff, 0xff], // a call that the linker resolves
            [0x95, 0, 0, 0, 0, 0, 0, 0],
        ];
        let calls: Vec<_> = all(code.as_flattened()).filter_map(|(_, insn)| insn.call()).collect();
        let wanted = [Call::Helper(14), Call::Function(6), Call::Kernel, Call::Function(-1)];
        assert_eq!(calls, wanted);
        let indexes: Vec<_> = all(code.as_flattened()).map(|(at, _)| at).collect();
        assert_eq!(indexes, [0, 1, 2, 3, 5, 6, 7]);
        // Truncated.
        assert_eq!(all(&code.as_flattened()[..7]).count(), 0);
        assert_eq!(all(&code.as_flattened()[..9]).count(), 1);
    }

    #[test]
    fn jumps_have_targets() {
        let insn = |code, off, imm| Insn { code, off, imm, ..Insn::default() };
        assert_eq!(insn(GOTO, -3, 0).target(5), Some(3));
        assert_eq!(insn(GOTO_FAR, 0, 70_000).target(0), Some(70_001));
        assert_eq!(insn(0x15, 2, 9).target(1), Some(4));
        assert_eq!(insn(GOTO, -3, 0).target(0), None);
        assert_eq!(insn(CALL, 0, 5).target(0), None);
        assert_eq!(insn(EXIT, 0, 0).target(0), None);
        assert_eq!(insn(MOVE, 2, 0).target(0), None);
    }
}
