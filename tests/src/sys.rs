// SPDX-License-Identifier: MIT
//! System calls for tests and benchmarks that no safe library offers.
#![allow(unsafe_code, clippy::unwrap_used)]

pub mod network;
pub mod probed;

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, FromRawFd as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ExitStatus};
use std::sync::atomic::AtomicU64;

/// A system call that does nothing except pass a number, which a program can see: `getpgid`.
pub fn carry(number: i32) {
    // SAFETY: getpgid accepts any number, and uses no memory.
    unsafe { libc::getpgid(number) };
}

/// The resource usage of a process.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// Maximum resident memory in bytes.
    pub peak_memory: u64,
    /// The number of voluntary context switches.
    pub sleeps: u64,
    /// CPU time.
    pub cpu: std::time::Duration,
}

/// Waits for a child, and returns its resource usage. If it does not end, it is killed, and the
/// test fails.
///
/// # Errors
/// Returns an error if it was waited for already.
pub fn wait_usage(mut child: Child) -> io::Result<Usage> {
    crate::wait::until_end(&mut child);
    wait_ended(child.id()).map(|(_, usage)| usage)
}

/// Waits for a child by its process ID. Returns its exit status and resource usage.
///
/// # Errors
/// Returns an error if there is no such child, or if it was waited for already.
pub fn wait_ended(pid: u32) -> io::Result<(ExitStatus, Usage)> {
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: both values outlive the call, and the zeroed struct is valid, too.
    let usage = unsafe {
        while libc::wait4(pid as i32, &raw mut status, 0, usage.as_mut_ptr()) < 0 {
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
        usage.assume_init()
    };
    let time = |time: libc::timeval| {
        std::time::Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000)
    };
    let usage = Usage {
        peak_memory: usage.ru_maxrss as u64 * 1024,
        sleeps: usage.ru_nvcsw as u64,
        cpu: time(usage.ru_utime) + time(usage.ru_stime),
    };
    Ok((ExitStatus::from_raw(status), usage))
}

/// The total CPU time of a process's threads so far. The kernel counts nanoseconds; `/proc` has
/// ticks of 10 ms.
pub fn cpu_of(pid: u32) -> io::Result<std::time::Duration> {
    let mut clock = 0;
    let mut time = MaybeUninit::<libc::timespec>::zeroed();
    // SAFETY: both calls write to the given value, for which zeros are valid, too.
    let time = unsafe {
        let error = libc::clock_getcpuclockid(pid as libc::pid_t, &raw mut clock);
        if error != 0 {
            return Err(io::Error::from_raw_os_error(error));
        }
        if libc::clock_gettime(clock, time.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error());
        }
        time.assume_init()
    };
    Ok(std::time::Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

/// Hours, minutes and seconds of the current local time.
#[must_use]
pub fn local_time() -> (i32, i32, i32) {
    let mut parts = MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: time accepts a null pointer; localtime_r fills the given struct, for which zeros are
    // valid, too.
    let parts = unsafe {
        let now = libc::time(std::ptr::null_mut());
        libc::localtime_r(&raw const now, parts.as_mut_ptr());
        parts.assume_init()
    };
    (parts.tm_hour, parts.tm_min, parts.tm_sec)
}

/// A kind of object with IDs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A BPF program.
    Program,
    /// A BPF map.
    Map,
    /// A BPF link.
    Link,
}

/// The next ID of a kind after `id`, if there is one.
#[must_use]
pub fn next_id(kind: Kind, id: u32) -> Option<u32> {
    let mut next = 0;
    // SAFETY: the kernel writes an ID to `next`.
    let result = unsafe {
        match kind {
            Kind::Program => libbpf_sys::bpf_prog_get_next_id(id, &raw mut next),
            Kind::Map => libbpf_sys::bpf_map_get_next_id(id, &raw mut next),
            Kind::Link => libbpf_sys::bpf_link_get_next_id(id, &raw mut next),
        }
    };
    (result == 0).then_some(next)
}

/// The next ID of a BPF link after `id`, if there is one.
#[must_use]
pub fn next_link(id: u32) -> Option<u32> {
    next_id(Kind::Link, id)
}

/// The IDs of all BPF links on the machine.
#[must_use]
pub fn links() -> Vec<u32> {
    std::iter::successors(next_link(0), |id| next_link(*id)).collect()
}

/// IDs and names of all loaded BPF programs. The kernel keeps 15 characters of a name.
#[must_use]
pub fn loaded_programs() -> Vec<(u32, String)> {
    libbpf_rs::query::ProgInfoIter::default()
        .map(|info| (info.id, info.name.to_string_lossy().into_owned()))
        .collect()
}

/// The ID of the calling thread. Tests may run as threads of one process, so it distinguishes them.
#[must_use]
pub fn thread_id() -> i32 {
    rustix::thread::gettid().as_raw_nonzero().get()
}

/// A system call that opens a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// `open`, which only x86 has.
    #[cfg(target_arch = "x86_64")]
    Old,
    /// `creat`, which only x86 has, and which has no flags.
    #[cfg(target_arch = "x86_64")]
    Creat,
    /// `openat`, as in the C library.
    At,
    /// `openat2`.
    At2,
}

/// Opens a file with this system call, and closes it. Returns the result: a descriptor, or a
/// negative error number. The mode of a new file is 0600.
#[must_use]
pub fn open(by: Open, path: &CStr, flags: i32) -> i32 {
    const MODE: u64 = 0o600;
    let mode = if flags & libc::O_CREAT == 0 { 0 } else { MODE };
    let how: [u64; 3] = [flags as u64, mode, 0];
    // SAFETY: the path is zero-terminated, `how` has openat2's layout and the given size, and both
    // outlive the call, which writes to neither.
    let result = unsafe {
        match by {
            #[cfg(target_arch = "x86_64")]
            Open::Old => libc::syscall(libc::SYS_open, path.as_ptr(), flags, mode),
            #[cfg(target_arch = "x86_64")]
            Open::Creat => libc::syscall(libc::SYS_creat, path.as_ptr(), MODE),
            Open::At => libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags, mode),
            Open::At2 => libc::syscall(
                libc::SYS_openat2,
                libc::AT_FDCWD,
                path.as_ptr(),
                how.as_ptr(),
                size_of_val(&how),
            ),
        }
    };
    let result = returned(result as i32);
    if result >= 0 {
        // SAFETY: the descriptor is new, and nothing else owns it.
        unsafe { libc::close(result) };
    }
    result
}

/// Moves this thread to a new mount namespace: its mounts are private, and gone when it ends.
///
/// # Errors
/// Returns an error without the required permission.
pub fn own_mounts() -> io::Result<()> {
    // SAFETY: the thread gets its own mounts, root and working directory; the call uses no memory.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } != 0 {
        return Err(io::Error::last_os_error());
    }
    match mount(c"none", c"/", c"", libc::MS_REC | libc::MS_PRIVATE) {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(-error)),
    }
}

/// Moves this thread, and what it starts, to a new network namespace, in which no interface is up.
///
/// # Errors
/// Returns an error without the required permission.
pub fn own_network() -> io::Result<()> {
    // SAFETY: the thread gets another network namespace; the call uses no memory.
    match unsafe { libc::unshare(libc::CLONE_NEWNET) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Opens a pseudoterminal: what is written to the second file can be read from the first, as a
/// terminal shows it.
///
/// # Errors
/// Returns an error if there are no pseudoterminals.
pub fn terminal() -> io::Result<(File, File)> {
    let master = File::options().read(true).write(true).open("/dev/ptmx")?;
    let (unlock, flags) = (0, libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC);
    // SAFETY: the first call reads an int that outlives it; the second takes a number, and returns
    // a descriptor that nothing else owns.
    let slave = unsafe {
        if libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlock) != 0 {
            return Err(io::Error::last_os_error());
        }
        match libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags) {
            fd if fd >= 0 => File::from_raw_fd(fd),
            _ => return Err(io::Error::last_os_error()),
        }
    };
    Ok((master, slave))
}

/// Maps a part of a file as code or, without a file, executable memory. Returns its address. It is
/// never unmapped, and only its address is used.
///
/// # Errors
/// Returns an error if the kernel refuses it.
pub fn map_code(file: Option<&File>, offset: u64, len: usize) -> io::Result<u64> {
    let (fd, kind) = file.map_or((-1, libc::MAP_ANONYMOUS), |file| (file.as_raw_fd(), 0));
    let (access, flags) = (libc::PROT_READ | libc::PROT_EXEC, libc::MAP_PRIVATE | kind);
    // SAFETY: the kernel chooses an unused address, and no reference to it is made.
    let place =
        unsafe { libc::mmap(std::ptr::null_mut(), len, access, flags, fd, offset as libc::off_t) };
    match place {
        libc::MAP_FAILED => Err(io::Error::last_os_error()),
        place => Ok(place as u64),
    }
}

/// Runs generated code forever, with a frame pointer to `frames`: pairs of the next frame's address
/// and a return address. A stack trace of this thread contains them.
///
/// # Errors
/// Returns an error if there is no executable memory.
pub fn spin_in_made_code(frames: &'static [AtomicU64]) -> io::Result<std::convert::Infallible> {
    #[cfg(target_arch = "x86_64")] // mov rbp, rdi; 1: pause; jmp 1b
    const CODE: &[u8] = &[0x48, 0x89, 0xfd, 0xf3, 0x90, 0xeb, 0xfc];
    #[cfg(target_arch = "aarch64")] // mov x29, x0; b .
    const CODE: &[u8] = &[0xfd, 0x03, 0x00, 0xaa, 0x00, 0x00, 0x00, 0x14];
    let access = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: the page is new and larger than the code. The code is complete and
    // position-independent, takes one pointer as in the C ABI, uses no memory, and never returns.
    unsafe {
        let page = libc::mmap(std::ptr::null_mut(), 4096, access, flags, -1, 0);
        if page == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        std::ptr::copy_nonoverlapping(CODE.as_ptr(), page.cast(), CODE.len());
        #[cfg(target_arch = "aarch64")]
        core::arch::asm!("dsb ish", "isb");
        let code: extern "C" fn(*const AtomicU64) -> ! = std::mem::transmute(page);
        code(frames.as_ptr())
    }
}

/// Lets the kernel run a program that only returns on a packet, this many times. The tracepoint
/// `bpf_test_finish` is passed each time.
///
/// # Errors
/// Returns an error if the kernel has no such call, or refuses it.
pub fn run_programs(count: u64) -> io::Result<()> {
    // r0 = 0; exit
    let code = [(0xb7, 0), (0x95, 0)].map(|(code, imm)| libbpf_sys::bpf_insn {
        code,
        imm,
        ..Default::default()
    });
    let kind = libbpf_sys::BPF_PROG_TYPE_SOCKET_FILTER;
    let name = c"returns".as_ptr();
    let packet = [0_u8; 64];
    let mut options = libbpf_sys::bpf_test_run_opts {
        sz: size_of::<libbpf_sys::bpf_test_run_opts>() as _,
        data_in: packet.as_ptr().cast(),
        data_size_in: packet.len() as u32,
        repeat: 1,
        ..Default::default()
    };
    // SAFETY: the program has two instructions, the options may be null, and what `options` names
    // outlives the calls. The descriptor is new.
    unsafe {
        let fd =
            libbpf_sys::bpf_prog_load(kind, name, name, code.as_ptr(), 2, std::ptr::null_mut());
        if fd < 0 {
            return Err(io::Error::from_raw_os_error(-fd));
        }
        let _program = File::from_raw_fd(fd);
        for _ in 0..count {
            match libbpf_sys::bpf_prog_test_run_opts(fd, &raw mut options) {
                0 => {}
                error => return Err(io::Error::from_raw_os_error(-error)),
            }
        }
    }
    Ok(())
}

/// Whether an interface has a clsact qdisc. A qdisc that this check creates is removed again.
#[must_use]
pub fn has_clsact(interface: i32) -> bool {
    let mut hook = libbpf_sys::bpf_tc_hook {
        sz: size_of::<libbpf_sys::bpf_tc_hook>() as _,
        ifindex: interface,
        attach_point: libbpf_sys::BPF_TC_INGRESS | libbpf_sys::BPF_TC_EGRESS,
        ..Default::default()
    };
    // SAFETY: the hook has the given size, and outlives the calls.
    unsafe {
        match libbpf_sys::bpf_tc_hook_create(&raw mut hook) {
            0 => {
                libbpf_sys::bpf_tc_hook_destroy(&raw mut hook);
                false
            }
            error => error == -libc::EEXIST,
        }
    }
}

/// `mount` without data. Returns 0, or a negative error number.
#[must_use]
pub fn mount(source: &CStr, target: &CStr, kind: &CStr, flags: u64) -> i32 {
    // SAFETY: the strings are zero-terminated and outlive the call; the data may be null.
    returned(unsafe {
        libc::mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, std::ptr::null())
    })
}

/// `umount2`. Returns 0, or a negative error number.
#[must_use]
pub fn unmount(target: &CStr, flags: i32) -> i32 {
    // SAFETY: the string is zero-terminated and outlives the call.
    returned(unsafe { libc::umount2(target.as_ptr(), flags) })
}

/// The kernel's result, from that of the C library and errno.
fn returned(result: i32) -> i32 {
    if result < 0 { -io::Error::last_os_error().raw_os_error().unwrap() } else { result }
}
