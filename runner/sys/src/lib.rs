// SPDX-License-Identifier: MIT
//! System calls that no safe library offers. Each function checks its arguments or is `unsafe`.
//! Calls that need no unsafe code are in `os`.
#![allow(unsafe_code)]

pub mod command;
pub mod filters;
mod inherited;
pub mod link;
pub mod map;
pub mod mapping;
pub mod os;
pub mod packet;
pub mod perf;
#[cfg(any(test, feature = "fixtures"))]
pub mod printer;
pub mod program;
pub mod ring;
mod run_time;
mod signals;
pub mod xdp;

use std::ffi::{c_char, c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

pub use inherited::inherited;
pub use run_time::{RunTimes, measure_run_times, run_times};
pub use signals::{ServiceSignals, Signals};

/// Makes the allocator keep up to `bytes` of freed memory instead of returning it to the kernel at
/// once, so that a reading reuses what the previous one freed without a page fault for each page.
/// Has no effect unless the C library is glibc.
pub fn keep_freed_memory(bytes: u32) {
    let bytes = c_int::try_from(bytes).unwrap_or(c_int::MAX);
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt only sets parameters of the allocator, which checks their values.
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, bytes);
        libc::mallopt(libc::M_MMAP_THRESHOLD, bytes);
    }
    #[cfg(not(target_env = "gnu"))]
    let _ = bytes;
}

/// Keeps errors from capturing backtraces, whatever `RUST_BACKTRACE` says: nothing prints them, and a
/// release has no tables to make them from, at which the unwinder aborts. Call it before there are
/// other threads. The environment is the same afterwards.
pub fn capture_no_backtraces() {
    const NAME: &str = "RUST_LIB_BACKTRACE";
    let before = std::env::var_os(NAME);
    // SAFETY: there is only this thread, and no pointer into the environment is kept.
    unsafe { std::env::set_var(NAME, "0") };
    // The standard library looks at the variable once.
    drop(std::backtrace::Backtrace::capture());
    match before {
        // SAFETY: as above.
        Some(value) => unsafe { std::env::set_var(NAME, value) },
        // SAFETY: as above.
        None => unsafe { std::env::remove_var(NAME) },
    }
}

/// Makes the C library resolve the names of hosts by `/etc/hosts` and DNS only. A program that is
/// linked statically cannot safely load the other modules that `/etc/nsswitch.conf` names: they
/// belong to the C library of the machine. Has no effect unless the C library is glibc.
pub fn resolve_without_modules() {
    #[cfg(target_env = "gnu")]
    {
        unsafe extern "C" {
            fn __nss_configure_lookup(database: *const c_char, services: *const c_char) -> c_int;
        }
        // SAFETY: both are texts that end with zero, which the function only reads. It replaces the
        // services of a database, under a lock of the C library.
        unsafe { __nss_configure_lookup(c"hosts".as_ptr(), c"files dns".as_ptr()) };
    }
}

/// Attaches a program to an interface by a link; closing the descriptor detaches it. `kind` is the
/// kernel's `BPF_XDP`, `BPF_TCX_INGRESS` or similar; `flags` are those of an XDP program.
///
/// # Errors
/// Returns `EINVAL` if the kernel does not support such links (tcx before 6.6).
pub fn create_link(
    program: BorrowedFd<'_>,
    interface: u32,
    kind: u32,
    flags: u32,
) -> io::Result<OwnedFd> {
    let options = libbpf_sys::bpf_link_create_opts {
        sz: size_of::<libbpf_sys::bpf_link_create_opts>() as _,
        flags,
        ..Default::default()
    };
    // SAFETY: the descriptor is open; the options are valid and have the given size.
    let fd = unsafe {
        libbpf_sys::bpf_link_create(
            program.as_raw_fd(),
            interface as c_int,
            kind,
            if flags == 0 { std::ptr::null() } else { &raw const options },
        )
    };
    link::created(fd)
}

/// Whether the kernel supports uprobe_multi links (since 6.6). A kernel that does refuses a path
/// that is not a file; others do not check it.
#[must_use]
pub fn has_links_of_user_functions() -> bool {
    let kind = libbpf_sys::BPF_TRACE_UPROBE_MULTI;
    let ty = libbpf_sys::BPF_PROG_TYPE_KPROBE;
    let options = program::Options { ty, attach_type: kind, ..Default::default() };
    let Ok(program) = options.load_returning(0) else { return false };
    let link = link::user_function(program.as_fd(), kind, c"/", 0, 0);
    link.is_err_and(|error| error.raw_os_error() == Some(libc::EBADF))
}

/// Whether the kernel has a type of maps.
///
/// # Errors
/// Returns the kernel's error, or `EOPNOTSUPP` if libbpf does not know the type.
pub fn has_map_type(ty: u32) -> io::Result<bool> {
    // SAFETY: the call takes a number, and no options.
    supports(unsafe { libbpf_sys::libbpf_probe_bpf_map_type(ty, std::ptr::null()) })
}

/// Whether the kernel has a helper for programs of a type.
///
/// # Errors
/// Returns the kernel's error, or `EOPNOTSUPP` if libbpf does not know the type.
pub fn has_helper(program: u32, helper: u32) -> io::Result<bool> {
    // SAFETY: the call takes numbers, and no options.
    supports(unsafe { libbpf_sys::libbpf_probe_bpf_helper(program, helper, std::ptr::null()) })
}

/// The result of a probe: positive if the kernel supports something, or a negative error.
fn supports(result: c_int) -> io::Result<bool> {
    if result < 0 { Err(io::Error::from_raw_os_error(-result)) } else { Ok(result > 0) }
}

/// Detaches a program from a socket map. It ignores whether the program was attached.
pub fn detach_program(program: BorrowedFd<'_>, map: BorrowedFd<'_>, kind: u32) {
    // SAFETY: the descriptors are open, and the kernel writes nothing.
    unsafe { libbpf_sys::bpf_prog_detach2(program.as_raw_fd(), map.as_raw_fd(), kind) };
}

/// Starts reading the text of an iterator program, given its link.
///
/// # Errors
/// Returns the kernel's error.
pub fn begin_walk(link: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // SAFETY: the descriptor is open; the call uses no memory.
    let fd = unsafe { libbpf_sys::bpf_iter_create(link.as_raw_fd()) };
    link::created(fd)
}

/// Calls a `syscall` program. Returns its result.
///
/// # Errors
/// Returns the kernel's error.
pub fn call_program(program: BorrowedFd<'_>) -> io::Result<u32> {
    let mut options = libbpf_sys::bpf_test_run_opts {
        sz: size_of::<libbpf_sys::bpf_test_run_opts>() as _,
        ..Default::default()
    };
    // SAFETY: the descriptor is open; the options are valid, have the given size, and point to no
    // memory.
    let result =
        unsafe { libbpf_sys::bpf_prog_test_run_opts(program.as_raw_fd(), &raw mut options) };
    if result < 0 { Err(io::Error::from_raw_os_error(-result)) } else { Ok(options.retval) }
}

/// Whether libbpf attaches this map with the object by default.
pub fn attaches_by_itself(map: &libbpf_rs::MapMut<'_>) -> bool {
    use libbpf_rs::AsRawLibbpf as _;
    // SAFETY: the map is live and borrowed.
    unsafe { libbpf_sys::bpf_map__autoattach(map.as_libbpf_object().as_ptr()) }
}

/// Whether a map that is not loaded yet asks to be pinned, or to reuse a pinned map.
pub fn asks_for_pin(map: &mut libbpf_rs::OpenMapMut<'_>) -> bool {
    use libbpf_rs::AsRawLibbpf as _;
    // SAFETY: the map is live and borrowed.
    unsafe { !libbpf_sys::bpf_map__pin_path(map.as_libbpf_object().as_ptr()).is_null() }
}

/// Keeps a map that is not loaded yet from being pinned or reusing a pinned map.
pub fn forget_pin(map: &mut libbpf_rs::OpenMapMut<'_>) {
    use libbpf_rs::AsRawLibbpf as _;
    let map = map.as_libbpf_object().as_ptr();
    // SAFETY: the map is live and borrowed. libbpf frees the previous path, to which nothing else
    // refers. Without a path, the call cannot fail.
    unsafe { libbpf_sys::bpf_map__set_pin_path(map, std::ptr::null()) };
}

/// Hours, minutes and seconds of the local time, for a number of seconds since 1970.
#[must_use]
pub fn local_time_of(seconds: i64) -> (u8, u8, u8) {
    let mut parts = MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: localtime_r fills the struct. If it fails, the zeroed struct is valid, too.
    let parts = unsafe {
        libc::localtime_r(&raw const seconds, parts.as_mut_ptr());
        parts.assume_init()
    };
    (parts.tm_hour as u8, parts.tm_min as u8, parts.tm_sec as u8)
}

/// Sends libbpf's messages of levels up to `most` (0 warnings, 1 information, 2 debugging) to
/// `take`. Messages quote the object, which may be damaged; bytes that are not UTF-8 become U+FFFD.
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
    // SAFETY: bindgen's type for va_list differs by platform, but its calling convention does not:
    // a pointer. Otherwise the function has the type that libbpf calls.
    let print = unsafe {
        std::mem::transmute::<*const (), libbpf_sys::libbpf_print_fn_t>(print as *const ())
    };
    // SAFETY: the function lives as long as the program.
    unsafe { libbpf_sys::libbpf_set_print(print) };
}
