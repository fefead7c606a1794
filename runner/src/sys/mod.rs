// SPDX-License-Identifier: MIT
//! System calls that no safe library offers. The only unsafe code of the runner.
#![allow(unsafe_code)]

#[cfg(feature = "wasm")]
pub mod elements;
pub mod perf;
#[cfg(test)]
pub mod printer;
pub mod ring;

use std::ffi::{c_char, c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use libbpf_rs::MapType;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// SIGINT, SIGTERM and SIGHUP as something to poll.
#[derive(Debug)]
pub struct Signals(OwnedFd);

impl Signals {
    /// Blocks the signals for this process, and opens a descriptor that tells of them.
    pub fn catch() -> io::Result<Signals> {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: sigemptyset makes a valid set of the memory that is given; the other calls take
        // it by reference.
        let fd = unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            libc::sigaddset(set.as_mut_ptr(), libc::SIGINT);
            libc::sigaddset(set.as_mut_ptr(), libc::SIGTERM);
            // Where it is ignored, as below nohup, it stays so.
            libc::sigaddset(set.as_mut_ptr(), libc::SIGHUP);
            if libc::sigprocmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut()) != 0 {
                return Err(io::Error::last_os_error());
            }
            libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: signalfd just made this descriptor, and nobody else has it.
        Ok(Signals(unsafe { OwnedFd::from_raw_fd(fd) }))
    }
}

impl Signals {
    /// Takes the signals that have come, so that only another one is seen again.
    pub fn take(&self) {
        let mut signals = [0u8; 128 * 4];
        while rustix::io::read(&self.0, &mut signals).is_ok_and(|len| len > 0) {}
    }
}

impl Signals {
    /// The number of a signal that has come, which is taken.
    pub fn next(&self) -> Option<i32> {
        // signalfd(2): a `signalfd_siginfo` of 128 bytes, whose first number is the signal's.
        let mut signal = [0u8; 128];
        let len = rustix::io::read(&self.0, &mut signal).ok()?;
        let number = signal.first_chunk().filter(|_| len == 128)?;
        Some(i32::from_ne_bytes(*number))
    }

    /// Whether there are some to be taken.
    pub fn have_come(&self) -> bool {
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&at_once)) == Ok(1)
    }

    /// The same signals, for another owner.
    pub fn try_clone(&self) -> io::Result<Signals> {
        self.0.try_clone().map(Signals)
    }

    /// Signals that a test sends by writing to a descriptor, which must not block when it is read.
    #[cfg(any(test, fuzzing))]
    pub fn fake(fd: OwnedFd) -> Signals {
        Signals(fd)
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A call of `BPF_MAP_LOOKUP_BATCH`.
#[derive(Debug)]
pub struct Batch<'a> {
    /// Where to go on, from the call before; none at first.
    pub from: Option<&'a [u8]>,
    /// Where to go on the next time. At least 4 bytes, and at least a key.
    pub next: &'a mut [u8],
    /// Room for `count` keys.
    pub keys: &'a mut [u8],
    /// Room for `count` values.
    pub values: &'a mut [u8],
    /// How many elements there is room for.
    pub count: u32,
}

/// Reads many elements of a map; returns how many, and whether it was the last of them.
///
/// # Errors
/// `ENOSPC` when a bucket holds more elements than there is room for, `EINVAL` when the kernel or
/// the map's type has no such call.
pub fn lookup_batch(
    map: BorrowedFd<'_>,
    sizes: (usize, usize),
    batch: Batch<'_>,
) -> io::Result<(u32, bool)> {
    let (key, value) = sizes;
    let room = batch.count as usize;
    let fits = batch.keys.len() >= key * room
        && batch.values.len() >= value * room
        && batch.next.len() >= key.max(4)
        && batch.from.is_none_or(|from| from.len() >= key.max(4));
    if !fits {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut count = batch.count;
    let from = batch.from.map_or(std::ptr::null(), <[u8]>::as_ptr);
    // SAFETY: the buffers are as large as the kernel may write, as was just checked: `count`
    // elements of the sizes that the caller took from the map itself.
    let result = unsafe {
        libbpf_sys::bpf_map_lookup_batch(
            map.as_raw_fd(),
            from.cast_mut().cast(),
            batch.next.as_mut_ptr().cast(),
            batch.keys.as_mut_ptr().cast(),
            batch.values.as_mut_ptr().cast(),
            &raw mut count,
            std::ptr::null(),
        )
    };
    match io::Error::from_raw_os_error(-result) {
        _ if result == 0 => Ok((count, false)),
        end if end.raw_os_error() == Some(libc::ENOENT) => Ok((count, true)),
        error => Err(error),
    }
}

/// Makes an array of one element of this many bytes, which can be mapped into memory.
///
/// # Errors
/// `EINVAL` where the kernel has no such maps: before 5.5.
pub fn array_in_memory(name: &str, size: usize) -> io::Result<OwnedFd> {
    let name = std::ffi::CString::new(name)?;
    let options = libbpf_sys::bpf_map_create_opts {
        sz: size_of::<libbpf_sys::bpf_map_create_opts>() as libbpf_sys::size_t,
        map_flags: libbpf_sys::BPF_F_MMAPABLE,
        ..Default::default()
    };
    // SAFETY: the name ends in a zero, the options are as large as they say; both are copied.
    let fd = unsafe {
        libbpf_sys::bpf_map_create(
            libbpf_sys::BPF_MAP_TYPE_ARRAY,
            name.as_ptr(),
            4,
            size as u32,
            1,
            &raw const options,
        )
    };
    if fd < 0 {
        return Err(io::Error::from_raw_os_error(-fd));
    }
    // SAFETY: the kernel just made this descriptor, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

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
#[cfg(feature = "wasm")]
pub fn forget_pin(map: &mut libbpf_rs::OpenMapMut<'_>) {
    use libbpf_rs::AsRawLibbpf as _;
    let map = map.as_libbpf_object().as_ptr();
    // SAFETY: the map is live, and borrowed; libbpf frees the path that it had, which nobody else
    // has. Without a path, it cannot fail.
    unsafe { libbpf_sys::bpf_map__set_pin_path(map, std::ptr::null()) };
}

/// Opens what a descriptor of a path (`O_PATH`) stands for, and nothing else that may be at that
/// path by now.
///
/// # Errors
/// As of open(2); `ENOENT` where there is no /proc.
pub fn reopen(file: BorrowedFd<'_>, flags: rustix::fs::OFlags) -> rustix::io::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    rustix::fs::open(path, flags | rustix::fs::OFlags::CLOEXEC, rustix::fs::Mode::empty())
}

/// Rows and columns of the terminal that standard output is; none where it is none.
#[must_use]
pub fn terminal_size() -> Option<(usize, usize)> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    Some((size.ws_row.into(), size.ws_col.into()))
        .filter(|(rows, columns)| *rows > 0 && *columns > 0)
}

/// Hours, minutes and seconds of the local time now.
#[must_use]
pub fn local_time() -> (u8, u8, u8) {
    // SAFETY: time takes a null pointer.
    local_time_of(unsafe { libc::time(std::ptr::null_mut()) })
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

/// A time as poll(2) takes it.
#[must_use]
pub fn timespec(time: Duration) -> Timespec {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    Timespec { tv_sec: seconds, tv_nsec: time.subsec_nanos().into() }
}

/// Nanoseconds of a time.
#[must_use]
pub fn nanoseconds(time: Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}

/// Whether a map's elements have a value for each CPU.
#[must_use]
pub fn is_per_cpu(ty: MapType) -> bool {
    matches!(
        ty,
        MapType::PercpuHash
            | MapType::PercpuArray
            | MapType::LruPercpuHash
            | MapType::PercpuCgroupStorage
    )
}

/// Where a key is; null for maps without keys, queues for one, as the kernel wants it.
fn place(key: &[u8]) -> *const c_void {
    if key.is_empty() { std::ptr::null() } else { key.as_ptr().cast() }
}

/// What libbpf's calls return: 0, or an error's number below it.
fn answer(result: c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(-result)) }
}

/// The key behind `key` in a map, or the first one.
///
/// # Errors
/// `ENOENT` behind the last one.
pub fn next_key(map: BorrowedFd<'_>, key: Option<&[u8]>, next: &mut [u8]) -> io::Result<()> {
    let key = key.map_or(std::ptr::null(), <[u8]>::as_ptr);
    // SAFETY: both buffers have the size of the map's keys, which the caller took from the map.
    let result = unsafe {
        libbpf_sys::bpf_map_get_next_key(map.as_raw_fd(), key.cast(), next.as_mut_ptr().cast())
    };
    answer(result)
}

/// The value of a key; `value` has room for all CPUs' where the map has a value for each.
///
/// # Errors
/// `ENOENT` where the map has no such key.
pub fn lookup(map: BorrowedFd<'_>, key: &[u8], value: &mut [u8]) -> io::Result<()> {
    // SAFETY: both buffers have the sizes of the map's keys and values, which the caller took from
    // the map.
    let result = unsafe {
        libbpf_sys::bpf_map_lookup_elem(map.as_raw_fd(), place(key), value.as_mut_ptr().cast())
    };
    answer(result)
}

/// The value of a key, which the kernel removes in the same step.
///
/// # Errors
/// `ENOENT` where the map has no such key, `EINVAL` where the kernel has no such call.
pub fn take(map: BorrowedFd<'_>, key: &[u8], value: &mut [u8]) -> io::Result<()> {
    // SAFETY: as in `lookup`.
    let result = unsafe {
        libbpf_sys::bpf_map_lookup_and_delete_elem(
            map.as_raw_fd(),
            place(key),
            value.as_mut_ptr().cast(),
        )
    };
    answer(result)
}

/// A module whose code was compiled before.
///
/// # Errors
/// When the code is of another version of the engine, or for another processor.
#[cfg(feature = "wasm")]
pub fn compiled_module(
    engine: &wasmtime::Engine,
    code: &[u8],
) -> wasmtime::Result<wasmtime::Module> {
    // SAFETY: the bytes are what `Module::serialize` has made: they come from a folder that only
    // this user or root can write to, and their sum was checked (`wasm::cache`).
    unsafe { wasmtime::Module::deserialize(engine, code) }
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
