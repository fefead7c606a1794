// SPDX-License-Identifier: MIT
//! Which kernel functions for BPF programs (helpers, numbered in linux/bpf.h) an object calls.

use object::{Object as _, ObjectSection as _, SectionKind};

use super::{BpfObject, INSN, OP_CALL};

/// Helpers that print.
pub const PRINTING: [u32; 2] = [TRACE_PRINTK, TRACE_VPRINTK];
/// Helpers that write to a ring buffer or a perf buffer.
pub const RECORDING: [u32; 4] =
    [PERF_EVENT_OUTPUT, RINGBUF_OUTPUT, RINGBUF_RESERVE, RINGBUF_RESERVE_DYNPTR];

const TRACE_PRINTK: u32 = 6;
const PERF_EVENT_OUTPUT: u32 = 25;
const RINGBUF_OUTPUT: u32 = 130;
const RINGBUF_RESERVE: u32 = 131;
const TRACE_VPRINTK: u32 = 177;
const RINGBUF_RESERVE_DYNPTR: u32 = 198;

/// The opcode of a 64-bit load, the only instruction that takes two slots.
const OP_LOAD_64: u8 = 0x18;
/// `src_reg` of a call to a helper.
const HELPER_CALL: u8 = 0;

impl BpfObject<'_> {
    /// Whether a program or another function of the object calls one of these helpers.
    #[must_use]
    pub fn calls_helper(&self, numbers: &[u32]) -> bool {
        self.elf
            .sections()
            .filter(|section| section.kind() == SectionKind::Text)
            .filter_map(|section| section.data().ok())
            .any(|code| helpers(code).any(|helper| numbers.contains(&helper)))
    }
}

/// The numbers of the helpers that the instructions of a section call.
fn helpers(code: &[u8]) -> impl Iterator<Item = u32> {
    let mut is_second = false;
    code.chunks_exact(INSN as usize).filter_map(move |insn| {
        if std::mem::take(&mut is_second) {
            return None;
        }
        is_second = insn[0] == OP_LOAD_64;
        let is_call = insn[0] == OP_CALL && insn[1] >> 4 == HELPER_CALL;
        is_call.then(|| u32::from_le_bytes([insn[4], insn[5], insn[6], insn[7]]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_told_from_what_looks_like_them() {
        let code = [
            [0x85, 0, 0, 0, 14, 0, 0, 0],               // a helper
            [0x85, 0x10, 0, 0, 6, 0, 0, 0],             // a function of the object's
            [0x85, 0x20, 0, 0, 7, 0, 0, 0],             // a kernel function
            [0x18, 1, 0, 0, 0, 0, 0, 0],                // a number of 64 bits,
            [0x85, 0, 0, 0, 8, 0, 0, 0],                // and its second half
            [0xb7, 0, 0, 0, 0x85, 0, 0, 0],             // a number that is like a call's code
            [0x85, 0, 0, 0, 177, 0, 0, 0],              // a helper
            [0x85, 0x10, 0, 0, 0xff, 0xff, 0xff, 0xff], // a call of a function that the linker resolves
            [0x95, 0, 0, 0, 0, 0, 0, 0],
        ];
        assert_eq!(helpers(code.as_flattened()).collect::<Vec<_>>(), [14, 177]);
        // Truncated.
        assert_eq!(helpers(&code.as_flattened()[..7]).count(), 0);
        assert_eq!(helpers(&code.as_flattened()[..9]).count(), 1);
        assert_eq!(helpers(&[]).count(), 0);
    }
}
