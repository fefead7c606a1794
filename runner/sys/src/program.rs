// SPDX-License-Identifier: MIT
//! Programs that are made without a compiler.

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd};

/// The name of the programs that only show how the kernel shows them.
pub const PROBE: &str = "ecli_probe";

/// Loads a program that calls a helper with a text of one byte, of which it knows the length, and
/// zeros. It is not attached to anything.
///
/// # Errors
/// What the kernel answers, where it has no such helper, too.
pub fn load_caller(helper: i32) -> io::Result<OwnedFd> {
    let insn = |code: u8, registers: u8, offset: i16, imm: i32| {
        let ([low, high], imm) = (offset.to_le_bytes(), imm.to_le_bytes());
        [code, registers, low, high, imm[0], imm[1], imm[2], imm[3]]
    };
    let code = [
        insn(0x72, 0x0a, -1, 0),     // *(u8 *)(r10 - 1) = 0
        insn(0xbf, 0xa1, 0, 0),      // r1 = r10
        insn(0x07, 0x01, 0, -1),     // r1 += -1
        insn(0xb7, 0x02, 0, 1),      // r2 = 1
        insn(0xb7, 0x03, 0, 0),      // r3 = 0
        insn(0xb7, 0x04, 0, 0),      // r4 = 0
        insn(0x85, 0x00, 0, helper), // helper(r1, r2, r3, r4)
        insn(0xb7, 0x00, 0, 0),      // r0 = 0
        insn(0x95, 0x00, 0, 0),      // return
    ];
    let name = std::ffi::CString::new(PROBE)?;
    // SAFETY: an instruction is 8 bytes, and as many as are told of are there; strings end with a
    // zero; no options.
    let fd = unsafe {
        libbpf_sys::bpf_prog_load(
            libbpf_sys::BPF_PROG_TYPE_SOCKET_FILTER,
            name.as_ptr(),
            c"GPL".as_ptr(),
            code.as_ptr().cast(),
            code.len() as libbpf_sys::size_t,
            std::ptr::null_mut(),
        )
    };
    if fd < 0 {
        return Err(io::Error::from_raw_os_error(-fd));
    }
    // SAFETY: the call just made this descriptor, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
