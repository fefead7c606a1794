// SPDX-License-Identifier: MIT
//! System calls that no safe library offers. Each function checks what it is given, or is `unsafe`.
//! What needs no unsafe code is in `os`.
#![allow(unsafe_code)]

pub mod map;
pub mod mapping;
pub mod os;
pub mod perf;
#[cfg(any(test, feature = "fixtures"))]
pub mod printer;
pub mod ring;
mod signals;

use std::ffi::{c_char, c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

pub use signals::Signals;

/// Attaches a program to what an interface receives, or sends, by a link of its own (tcx): it is
/// detached when the descriptor is closed.
///
/// # Errors
/// `EINVAL` where the kernel has no such links: before 6.6.
pub fn attach_tcx(program: BorrowedFd<'_>, interface: u32, is_egress: bool) -> io::Result<OwnedFd> {
    let kind = if is_egress { libbpf_sys::BPF_TCX_EGRESS } else { libbpf_sys::BPF_TCX_INGRESS };
    // SAFETY: the descriptor is open; options may be null.
    let fd = unsafe {
        libbpf_sys::bpf_link_create(program.as_raw_fd(), interface as c_int, kind, std::ptr::null())
    };
    if fd < 0 {
        return Err(io::Error::from_raw_os_error(-fd));
    }
    // SAFETY: the kernel just made this descriptor, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Whether a map that was not loaded yet is to be pinned, or to be one that others have pinned.
pub fn asks_for_pin(map: &mut libbpf_rs::OpenMapMut<'_>) -> bool {
    use libbpf_rs::AsRawLibbpf as _;
    // SAFETY: the map is live, and borrowed.
    unsafe { !libbpf_sys::bpf_map__pin_path(map.as_libbpf_object().as_ptr()).is_null() }
}

/// Has a map that was not loaded yet not be pinned, nor be one that others have pinned.
pub fn forget_pin(map: &mut libbpf_rs::OpenMapMut<'_>) {
    use libbpf_rs::AsRawLibbpf as _;
    let map = map.as_libbpf_object().as_ptr();
    // SAFETY: the map is live, and borrowed; libbpf frees the path that it had, which nobody else
    // has. Without a path, it cannot fail.
    unsafe { libbpf_sys::bpf_map__set_pin_path(map, std::ptr::null()) };
}

/// Hours, minutes and seconds of the local time of a number of seconds since 1970.
#[must_use]
pub fn local_time_of(seconds: i64) -> (u8, u8, u8) {
    let mut parts = MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: localtime_r fills the struct that it is given, which is valid as zeroes, too, should
    // it fail.
    let parts = unsafe {
        libc::localtime_r(&raw const seconds, parts.as_mut_ptr());
        parts.assume_init()
    };
    (parts.tm_hour as u8, parts.tm_min as u8, parts.tm_sec as u8)
}

/// Has libbpf's messages of a level up to `most` (0 warnings, 1 information, 2 debugging) sent to
/// `take`. What is no UTF-8 in them becomes U+FFFD: they quote the object, which may be damaged.
pub fn set_libbpf_print(most: u32, take: fn(String)) {
    static MOST: AtomicU32 = AtomicU32::new(0);
    static TAKE: OnceLock<fn(String)> = OnceLock::new();

    extern "C" fn print(level: u32, format: *const c_char, args: *mut c_void) -> c_int {
        if level <= MOST.load(Ordering::Relaxed)
            && let Some(take) = TAKE.get()
        {
            // SAFETY: libbpf passes a valid format with its arguments.
            let text = unsafe { vsprintf::vsprintf_raw(format, args) };
            take(text.map_or_else(
                |_| String::new(),
                |text| String::from_utf8_lossy(&text).into_owned(),
            ));
        }
        0
    }

    MOST.store(most, Ordering::Relaxed);
    let _ = TAKE.set(take);
    // SAFETY: bindgen's spelling of va_list differs by platform, its calling convention does not:
    // a pointer. The function has otherwise the type that libbpf calls.
    let print = unsafe {
        std::mem::transmute::<*const (), libbpf_sys::libbpf_print_fn_t>(print as *const ())
    };
    // SAFETY: the function lives as long as the program.
    unsafe { libbpf_sys::libbpf_set_print(print) };
}
