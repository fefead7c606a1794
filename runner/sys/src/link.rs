// SPDX-License-Identifier: MIT
//! Links for programs that are not part of a libbpf object. Closing the descriptor detaches
//! the program.

use std::ffi::{CStr, c_int};
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use libbpf_sys::bpf_link_create_opts;

fn options() -> bpf_link_create_opts {
    bpf_link_create_opts { sz: size_of::<bpf_link_create_opts>() as _, ..Default::default() }
}

/// Takes the result of a call that creates a descriptor, or returns a negative error.
pub(crate) fn created(fd: c_int) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::from_raw_os_error(-fd));
    }
    // SAFETY: the call has just created this descriptor, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Attaches a program to a raw tracepoint, or without a name to what it was loaded for: a tracepoint,
/// a function or a hook with types.
///
/// # Errors
/// Returns the kernel's error.
pub fn raw(program: BorrowedFd<'_>, tracepoint: Option<&CStr>) -> io::Result<OwnedFd> {
    let name = tracepoint.map_or(std::ptr::null(), CStr::as_ptr);
    // SAFETY: the descriptor is open; the name is zero-terminated or null, and is copied.
    created(unsafe { libbpf_sys::bpf_raw_tracepoint_open(name, program.as_raw_fd()) })
}

/// Attaches a program to a function of the kernel. `kind` is `BPF_TRACE_KPROBE_MULTI` or similar.
///
/// # Errors
/// Returns `EINVAL` if the kernel does not support such links.
pub fn function(program: BorrowedFd<'_>, kind: u32, name: &CStr) -> io::Result<OwnedFd> {
    let mut names = [name.as_ptr()];
    let mut options = options();
    options.__bindgen_anon_1.kprobe_multi.syms = names.as_mut_ptr();
    options.__bindgen_anon_1.kprobe_multi.cnt = 1;
    // SAFETY: everything that the options point to outlives the call.
    created(unsafe {
        libbpf_sys::bpf_link_create(program.as_raw_fd(), 0, kind, &raw const options)
    })
}

/// Attaches a program to an offset in a file, for one process; 0 means all. `kind` is
/// `BPF_TRACE_UPROBE_MULTI` or similar.
///
/// # Errors
/// Returns `EINVAL` if the kernel does not support such links, and `EBADF` if the path is not a file.
pub fn user_function(
    program: BorrowedFd<'_>,
    kind: u32,
    path: &CStr,
    offset: u64,
    process: u32,
) -> io::Result<OwnedFd> {
    let mut options = options();
    options.__bindgen_anon_1.uprobe_multi.path = path.as_ptr();
    options.__bindgen_anon_1.uprobe_multi.offsets = &raw const offset;
    options.__bindgen_anon_1.uprobe_multi.cnt = 1;
    options.__bindgen_anon_1.uprobe_multi.pid = process;
    // SAFETY: everything that the options point to outlives the call.
    created(unsafe {
        libbpf_sys::bpf_link_create(program.as_raw_fd(), -1, kind, &raw const options)
    })
}
