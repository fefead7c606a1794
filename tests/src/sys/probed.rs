// SPDX-License-Identifier: MIT
//! A function to probe.
#![allow(unsafe_code)]

/// The name of [`bpfpack_probed`].
pub const FUNCTION: &str = "bpfpack_probed";
/// The provider and the name of the USDT probe in [`bpfpack_probed`].
pub const USDT: &str = "bpfpack:probed";

/// Does nothing, except that a USDT probe is there. `strip --strip-debug` keeps its name.
// SAFETY: nothing else in these programs has this name.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn bpfpack_probed() {
    // A note for each probe says where it is: lengths of the owner and of the rest, and the type 3;
    // addresses of the instruction, of a section for prelinking, and of a counter of tracers, of which
    // there are none; the names, and the description of arguments.
    // SAFETY: the instruction does nothing, and the section is not loaded.
    unsafe {
        core::arch::asm!(
            "990: nop",
            ".pushsection .note.stapsdt, \"\", \"note\"",
            ".balign 4",
            ".4byte 992f - 991f, 994f - 993f, 3",
            "991: .asciz \"stapsdt\"",
            "992: .balign 4",
            "993: .8byte 990b, 0, 0",
            ".asciz \"bpfpack\", \"probed\", \"\"",
            "994: .balign 4",
            ".popsection",
            options(nostack, preserves_flags)
        );
    }
}
