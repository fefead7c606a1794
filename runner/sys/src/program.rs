// SPDX-License-Identifier: MIT
//! Programs that are made without a compiler.

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd};

/// The name of the programs that are loaded only to see how the kernel shows them.
pub const PROBE: &str = "ecli_probe";

/// Loads a program that calls a helper with a text of one byte, its length, and zeros. It is not
/// attached.
///
/// # Errors
/// Returns the kernel's error, also if it does not have this helper.
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
    // SAFETY: an instruction is 8 bytes, and the array has the given number of them; the strings
    // are zero-terminated; there are no options.
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
    // SAFETY: the call has just created this descriptor, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
