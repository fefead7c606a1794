// SPDX-License-Identifier: MIT
//! For tests: a BPF program that prints, made without a compiler and run without an event.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use crate::link::created;

/// A loaded program.
#[derive(Debug)]
pub struct Printer(OwnedFd);

impl Printer {
    /// Loads a program that prints `text`, at most 400 bytes, with the value of `bpf_ktime_get_ns`
    /// for its first directive.
    ///
    /// # Errors
    /// Returns the kernel's error; `EPERM` if the user may not load programs.
    pub fn load(text: &str) -> io::Result<Printer> {
        let mut bytes = text.as_bytes().to_vec();
        bytes.push(0);
        let len = bytes.len();
        bytes.resize(len.next_multiple_of(8), 0);
        let insn = |code: u8, dst: u8, src: u8, offset: i16, imm: i32| {
            u64::from_le_bytes({
                let ([low, high], imm) = (offset.to_le_bytes(), imm.to_le_bytes());
                [code, src << 4 | dst, low, high, imm[0], imm[1], imm[2], imm[3]]
            })
        };
        let top = -(bytes.len() as i16);
        let mut code = vec![insn(0x85, 0, 0, 0, 5), insn(0xbf, 3, 0, 0, 0)]; // r3 = ktime_get_ns()
        for (word, offset) in bytes.chunks(4).zip((top..).step_by(4)) {
            let word = i32::from_le_bytes([word[0], word[1], word[2], word[3]]);
            code.push(insn(0x62, 10, 0, offset, word)); // *(u32 *)(r10 + offset) = word
        }
        code.extend([
            insn(0xbf, 1, 10, 0, 0),         // r1 = r10
            insn(0x07, 1, 0, 0, top.into()), // r1 += top
            insn(0xb7, 2, 0, 0, len as i32), // r2 = len
            insn(0x85, 0, 0, 0, 6),          // trace_printk(r1, r2, r3)
            insn(0xb7, 0, 0, 0, 0),          // r0 = 0
            insn(0x95, 0, 0, 0, 0),          // return
        ]);
        // SAFETY: an instruction is 8 bytes, and the array has the given number of them; the
        // strings are zero-terminated; there are no options.
        let fd = unsafe {
            libbpf_sys::bpf_prog_load(
                libbpf_sys::BPF_PROG_TYPE_SOCKET_FILTER,
                c"printer".as_ptr(),
                c"GPL".as_ptr(),
                code.as_ptr().cast(),
                code.len() as libbpf_sys::size_t,
                std::ptr::null_mut(),
            )
        };
        created(fd).map(Printer)
    }

    /// Makes it print this many times.
    pub fn run(&self, times: u32) -> io::Result<()> {
        let packet = [0u8; 64];
        let mut options = libbpf_sys::bpf_test_run_opts {
            sz: size_of::<libbpf_sys::bpf_test_run_opts>() as libbpf_sys::size_t,
            data_in: packet.as_ptr().cast(),
            data_size_in: packet.len() as u32,
            repeat: times as i32,
            ..Default::default()
        };
        // SAFETY: the packet outlives the call, and the kernel writes to no memory.
        let result =
            unsafe { libbpf_sys::bpf_prog_test_run_opts(self.0.as_raw_fd(), &raw mut options) };
        crate::map::answer(result)
    }
}
