// SPDX-License-Identifier: MIT
//! Programs that are made without a compiler.

use std::io;
use std::os::fd::OwnedFd;

use crate::link::created;

/// The name of the programs that are loaded only to see what the kernel does with them.
pub const PROBE: &str = "ecli_probe";

/// An instruction: code, registers, offset and immediate value.
pub type Instruction = (u8, u8, i16, i32);

/// What the kernel is told about a program in addition to its instructions.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// `BPF_PROG_TYPE_*`.
    pub ty: u32,
    /// How it is going to be attached: `BPF_*` of `enum bpf_attach_type`.
    pub attach_type: u32,
    /// `BPF_F_*` of programs.
    pub flags: u32,
    /// The type in the kernel's BTF that it attaches to; 0 for none.
    pub btf: u32,
}

impl Options {
    /// Loads a program with these instructions, and the name [`PROBE`]. It is not attached.
    ///
    /// # Errors
    /// Returns the kernel's error.
    pub fn load(&self, code: &[Instruction]) -> io::Result<OwnedFd> {
        let bytes = |&(code, registers, offset, imm): &Instruction| {
            let ([low, high], imm) = (offset.to_le_bytes(), imm.to_le_bytes());
            [code, registers, low, high, imm[0], imm[1], imm[2], imm[3]]
        };
        let code: Vec<[u8; 8]> = code.iter().map(bytes).collect();
        let name = std::ffi::CString::new(PROBE)?;
        let mut options = libbpf_sys::bpf_prog_load_opts {
            sz: size_of::<libbpf_sys::bpf_prog_load_opts>() as libbpf_sys::size_t,
            expected_attach_type: self.attach_type,
            prog_flags: self.flags,
            attach_btf_id: self.btf,
            ..Default::default()
        };
        // SAFETY: an instruction is 8 bytes, and the array has the given number of them; the strings
        // are zero-terminated; the options have the given size, and point to no memory.
        let fd = unsafe {
            libbpf_sys::bpf_prog_load(
                self.ty,
                name.as_ptr(),
                c"GPL".as_ptr(),
                code.as_ptr().cast(),
                code.len() as libbpf_sys::size_t,
                &raw mut options,
            )
        };
        created(fd)
    }

    /// Loads a program that only returns a number.
    ///
    /// # Errors
    /// Returns the kernel's error.
    pub fn load_returning(&self, number: i32) -> io::Result<OwnedFd> {
        self.load(&[(0xb7, 0x00, 0, number), (0x95, 0x00, 0, 0)])
    }
}

/// Loads a program that calls a helper with a text of one byte, its length, and zeros. It is not
/// attached.
///
/// # Errors
/// Returns the kernel's error, also if it does not have this helper.
pub fn load_caller(helper: i32) -> io::Result<OwnedFd> {
    let options = Options { ty: libbpf_sys::BPF_PROG_TYPE_SOCKET_FILTER, ..Options::default() };
    options.load(&[
        (0x72, 0x0a, -1, 0),     // *(u8 *)(r10 - 1) = 0
        (0xbf, 0xa1, 0, 0),      // r1 = r10
        (0x07, 0x01, 0, -1),     // r1 += -1
        (0xb7, 0x02, 0, 1),      // r2 = 1
        (0xb7, 0x03, 0, 0),      // r3 = 0
        (0xb7, 0x04, 0, 0),      // r4 = 0
        (0x85, 0x00, 0, helper), // helper(r1, r2, r3, r4)
        (0xb7, 0x00, 0, 0),      // r0 = 0
        (0x95, 0x00, 0, 0),      // return
    ])
}
