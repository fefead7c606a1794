// SPDX-License-Identifier: MIT
//! Which kernel functions for BPF programs (helpers, numbered in linux/bpf.h) an object calls.

use object::{Object as _, ObjectSection as _, SectionKind};

use super::BpfObject;
use crate::insn::{self, Call};

/// Helpers that print.
pub const PRINTING: [u32; 2] = [TRACE_PRINTK, TRACE_VPRINTK];
/// Helpers that write to a ring buffer or a perf buffer.
pub const RECORDING: [u32; 4] =
    [PERF_EVENT_OUTPUT, RINGBUF_OUTPUT, RINGBUF_RESERVE, RINGBUF_RESERVE_DYNPTR];
/// The helper that writes to the memory of a process.
pub const PROBE_WRITE_USER: u32 = 36;

const TRACE_PRINTK: u32 = 6;
const PERF_EVENT_OUTPUT: u32 = 25;
const RINGBUF_OUTPUT: u32 = 130;
const RINGBUF_RESERVE: u32 = 131;
const TRACE_VPRINTK: u32 = 177;
const RINGBUF_RESERVE_DYNPTR: u32 = 198;

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
    insn::all(code).filter_map(|(_, insn)| match insn.call() {
        Some(Call::Helper(number)) => Some(number),
        _ => None,
    })
}
