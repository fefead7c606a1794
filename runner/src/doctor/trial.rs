// SPDX-License-Identifier: MIT
//! Attaches programs that only return to something that hardly ever happens, and detaches them at
//! once.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use crate::kernel;
use crate::sys::perf::{Counted, Probed, Rate};
use crate::sys::{self, link, packet, perf};

/// The tracepoint for trials, which programs of several kinds can be attached to: a process executes
/// another program.
pub(super) const CATEGORY: &str = "sched";
pub(super) const EVENT: &str = "sched_process_exec";

/// The function for trials. Only tests of the kernel call it (net/bpf/test_run.c).
pub(super) const FUNCTION: &str = "bpf_fentry_test1";

/// Where a program is attached for a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Nowhere, because others would notice it; the text says where such programs belong.
    None(&'static str),
    /// To what it was loaded for.
    Typed,
    /// To the tracepoint, by its name.
    Raw,
    /// To the tracepoint, by its number in tracefs.
    Tracepoint,
    /// To a function of the kernel; to its return, if set.
    Function(bool),
    /// To a function of the kernel by a link.
    FunctionLink(u32),
    /// To a function of this process; to its return, if set.
    Own(bool),
    /// To a function of this process by a link.
    OwnLink(u32),
    /// To a clock that fires only once an hour.
    Clock,
    /// To an iterator that nobody reads.
    Iterator,
    /// To a socket that is not connected.
    Socket,
    /// Nowhere: it is called.
    Call,
    /// To an interface that does not exist: the kernel refuses links that it does not know before it
    /// searches for the interface.
    NoInterface(u32),
}

impl Place {
    /// Whether the kernel answers `EINVAL` if it does not know such links.
    pub(super) fn is_link(self) -> bool {
        matches!(self, Place::FunctionLink(_) | Place::OwnLink(_) | Place::NoInterface(_))
    }

    /// Attaches a program, and detaches it. Returns `None` if this is not tried.
    pub(super) fn attempt(self, program: BorrowedFd<'_>) -> Option<io::Result<()>> {
        let closed = |result: io::Result<OwnedFd>| Some(result.map(drop));
        match self {
            Place::None(_) => None,
            Place::Typed => closed(link::raw(program, None)),
            Place::Raw => closed(
                CString::new(EVENT)
                    .map_err(io::Error::other)
                    .and_then(|name| link::raw(program, Some(&name))),
            ),
            Place::Tracepoint => {
                Some(tracepoint().and_then(|event| perf::set_program(event.as_fd(), program)))
            }
            Place::Function(is_return) => Some(function(program, is_return)),
            Place::FunctionLink(kind) => closed(
                CString::new(FUNCTION)
                    .map_err(io::Error::other)
                    .and_then(|name| link::function(program, kind, &name)),
            ),
            Place::Own(is_return) => Some(own(program, is_return)),
            Place::OwnLink(kind) => {
                let process = std::process::id();
                closed(
                    own_offset()
                        .and_then(|at| link::user_function(program, kind, OWN, at, process)),
                )
            }
            Place::Clock => {
                Some(clock().and_then(|event| perf::set_program(event.as_fd(), program)))
            }
            Place::Iterator => closed(sys::create_link(program, 0, libbpf_sys::BPF_TRACE_ITER, 0)),
            Place::Socket => Some(socket(program)),
            Place::Call => Some(sys::call_program(program).map(drop)),
            Place::NoInterface(kind) => {
                const NONE: u32 = i32::MAX as u32;
                match sys::create_link(program, NONE, kind, 0) {
                    Err(error) if error.raw_os_error() != Some(libc::ENODEV) => Some(Err(error)),
                    _ => Some(Ok(())),
                }
            }
        }
    }
}

/// Opens the tracepoint.
pub(super) fn tracepoint() -> io::Result<OwnedFd> {
    let root = kernel::tracefs().ok_or_else(|| io::Error::other("tracefs cannot be reached"))?;
    let number = fs::read_to_string(root.join("events").join(CATEGORY).join(EVENT).join("id"))?;
    perf::tracepoint_event(number.trim().parse().map_err(io::Error::other)?)
}

/// The type number of an event source of the kernel.
fn source(name: &str) -> io::Result<u32> {
    let text = fs::read_to_string(format!("/sys/bus/event_source/devices/{name}/type"))
        .map_err(|_| io::Error::other(format!("the kernel has no event source `{name}`")))?;
    text.trim().parse().map_err(io::Error::other)
}

fn function(program: BorrowedFd<'_>, is_return: bool) -> io::Result<()> {
    let name = CString::new(FUNCTION)?;
    let event = perf::probe_event(source("kprobe")?, is_return.into(), Probed::Kernel(&name))?;
    perf::set_program(event.as_fd(), program)
}

const OWN: &std::ffi::CStr = c"/proc/self/exe";

/// A function of this program that can be probed. Nobody calls it.
#[inline(never)]
extern "C" fn probed() {
    std::hint::black_box(());
}

fn own(program: BorrowedFd<'_>, is_return: bool) -> io::Result<()> {
    let probed = Probed::Own(OWN, own_offset()?);
    let event = perf::probe_event(source("uprobe")?, is_return.into(), probed)?;
    perf::set_program(event.as_fd(), program)
}

/// The offset of the function in the file of this program.
fn own_offset() -> io::Result<u64> {
    let maps = fs::read_to_string("/proc/self/maps")?;
    offset_of(probed as *const () as u64, &maps)
        .ok_or_else(|| io::Error::other("/proc/self/maps does not have the code of ecli"))
}

/// The offset in a file of an address, by a text in the format of `/proc/PID/maps` (proc_pid_maps(5)).
fn offset_of(address: u64, maps: &str) -> Option<u64> {
    maps.lines().find_map(|line| {
        let mut words = line.split(' ');
        let (begin, end) = words.next()?.split_once('-')?;
        let number = |text: &str| u64::from_str_radix(text, 16).ok();
        let (begin, end, offset) = (number(begin)?, number(end)?, number(words.nth(1)?)?);
        (begin..end).contains(&address).then(|| address - begin + offset)
    })
}

fn clock() -> io::Result<OwnedFd> {
    let config = libbpf_sys::PERF_COUNT_SW_CPU_CLOCK.into();
    // Nanoseconds, so an hour.
    let rate = Rate::Period(3_600_000_000_000);
    perf::counting_event(Counted { ty: libbpf_sys::PERF_TYPE_SOFTWARE, config }, rate, 0)
}

fn socket(program: BorrowedFd<'_>) -> io::Result<()> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    packet::set_filter(&socket, program)
}

/// Whether a perf event and a program become a link, which can be listed.
pub(super) fn event_link(program: BorrowedFd<'_>) -> io::Result<()> {
    let event = clock()?;
    sys::create_link(program, event.as_raw_fd() as u32, libbpf_sys::BPF_PERF_EVENT, 0).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_in_files() {
        let maps = "1000-3000 r-xp 00005000 fe:00 7 /bin/x\n3000-4000 rw-p 0 fe:00 7 /bin/x\n";
        assert_eq!(offset_of(0x2010, maps), Some(0x6010));
        assert_eq!(offset_of(0x3000, maps), Some(0));
        assert_eq!(offset_of(0x4000, maps), None);
        assert!(own_offset().is_ok());
    }
}
