// SPDX-License-Identifier: MIT
//! Perf buffers, and perf events that run programs. The attributes of the buffer's event are set
//! here, because libbpf 1.7 leaves the sample period 0, and then some kernels (for example 6.18)
//! never wake a reader.

use std::ffi::{CStr, c_void};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use libbpf_rs::MapType;
use libbpf_sys::{bpf_perf_event_ret, perf_event_header};

use super::map::Map;

/// An event of a perf buffer.
#[derive(Debug)]
pub enum PerfEvent<'a> {
    /// A record with its CPU. The kernel pads it with up to 7 bytes.
    Record(i32, &'a [u8]),
    /// This number of records was lost before the next one.
    Lost(u64),
}

/// A perf event array, opened for all CPUs.
#[derive(Debug)]
pub struct PerfBuffer {
    buffer: *mut libbpf_sys::perf_buffer,
    /// libbpf clears the map's elements when the buffer is freed, and knows the map by this
    /// descriptor number. If it were closed before, the number could be another map's.
    _map: Map,
    /// Whether the kernel counts lost records (`PERF_FORMAT_LOST`, since 6.0).
    counts: bool,
}

/// The function that receives events. libbpf passes no context; a thread-local variable points to
/// this reference during a call and is null otherwise.
type Take<'t> = &'t mut dyn FnMut(PerfEvent<'_>);

thread_local! {
    /// The function that receives events of the buffer that is being read.
    static TAKE: std::cell::Cell<*mut c_void> = const { std::cell::Cell::new(std::ptr::null_mut()) };
}

impl PerfBuffer {
    /// Opens the buffer of a map, with this number of pages per CPU.
    ///
    /// # Errors
    /// Returns an error if the map is not a perf event array, if the number is not a power of two,
    /// or if memory is exhausted.
    pub fn open(map: Map, pages: usize) -> io::Result<PerfBuffer> {
        // libbpf does not check whether the length of the mapping overflows.
        let is_too_large = pages > isize::MAX as usize / (2 * rustix::param::page_size());
        if map.map_type() != MapType::PerfEventArray || map.key_size() != 4 || is_too_large {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        let counting = PerfBuffer::with_format(&map, pages, libbpf_sys::PERF_FORMAT_LOST.into());
        let (buffer, counts) = match counting {
            Ok(buffer) => (buffer, true),
            Err(_) => (PerfBuffer::with_format(&map, pages, 0)?, false),
        };
        Ok(PerfBuffer { buffer, _map: map, counts })
    }

    fn with_format(
        map: &Map,
        pages: usize,
        read_format: u64,
    ) -> io::Result<*mut libbpf_sys::perf_buffer> {
        let mut attr = libbpf_sys::perf_event_attr {
            size: size_of::<libbpf_sys::perf_event_attr>() as u32,
            type_: libbpf_sys::PERF_TYPE_SOFTWARE,
            config: libbpf_sys::PERF_COUNT_SW_BPF_OUTPUT.into(),
            sample_type: libbpf_sys::PERF_SAMPLE_RAW.into(),
            read_format,
            ..Default::default()
        };
        attr.__bindgen_anon_1.sample_period = 1;
        attr.__bindgen_anon_2.wakeup_events = 1;
        // SAFETY: the map is a perf event array; `attr` is valid and copied; the callback is a
        // function that needs no context.
        let buffer = unsafe {
            libbpf_sys::perf_buffer__new_raw(
                map.as_fd().as_raw_fd(),
                pages as libbpf_sys::size_t,
                &raw mut attr,
                Some(on_event),
                std::ptr::null_mut(),
                std::ptr::null(),
            )
        };
        if buffer.is_null() { Err(io::Error::last_os_error()) } else { Ok(buffer) }
    }

    /// Passes all available events of all CPUs to `take`.
    pub fn consume(&mut self, mut take: impl FnMut(PerfEvent<'_>)) -> io::Result<()> {
        let mut take: Take<'_> = &mut take;
        TAKE.set((&raw mut take).cast());
        // SAFETY: the buffer is live.
        let result = unsafe { libbpf_sys::perf_buffer__consume(self.buffer) };
        TAKE.set(std::ptr::null_mut());
        if result < 0 { Err(io::Error::from_raw_os_error(-result)) } else { Ok(()) }
    }

    /// The number of records that did not fit, as the kernel counts them; `None` if it does not.
    pub fn lost(&self) -> Option<u64> {
        if !self.counts {
            return None;
        }
        // SAFETY: the buffer is live.
        let cpus = unsafe { libbpf_sys::perf_buffer__buffer_cnt(self.buffer) };
        let mut lost = 0;
        for cpu in 0..cpus {
            // SAFETY: the buffer is live, and `cpu` is less than its count.
            let fd = unsafe { libbpf_sys::perf_buffer__buffer_fd(self.buffer, cpu) };
            // The format that `with_format` sets: the event's value, then the number of lost
            // records.
            let mut numbers = [0u8; 16];
            // SAFETY: the buffer keeps the descriptor open as long as it lives.
            let fd = (fd >= 0).then(|| unsafe { BorrowedFd::borrow_raw(fd) })?;
            let read = rustix::io::read(fd, &mut numbers).ok()?;
            let [.., a, b, c, d, e, f, g, h] = numbers;
            lost += if read == 16 { u64::from_le_bytes([a, b, c, d, e, f, g, h]) } else { 0 };
        }
        Some(lost)
    }
}

impl AsFd for PerfBuffer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the buffer is live, and keeps its descriptor open as long as it lives.
        unsafe { BorrowedFd::borrow_raw(libbpf_sys::perf_buffer__epoll_fd(self.buffer)) }
    }
}

impl Drop for PerfBuffer {
    fn drop(&mut self) {
        // SAFETY: perf_buffer__new_raw returned it, and it is freed once.
        unsafe { libbpf_sys::perf_buffer__free(self.buffer) }
    }
}

extern "C" fn on_event(
    _ctx: *mut c_void,
    cpu: i32,
    event: *mut perf_event_header,
) -> bpf_perf_event_ret {
    /// The header of every event: type, flags, size.
    const HEADER: usize = size_of::<perf_event_header>();
    let take = TAKE.get();
    if take.is_null() {
        return libbpf_sys::LIBBPF_PERF_EVENT_CONT;
    }
    // SAFETY: the pointer is not null only while `consume` runs on this thread, which set it and
    // does not use its target meanwhile.
    let take = unsafe { &mut *take.cast::<Take<'_>>() };
    // SAFETY: libbpf passes a whole event: a header, and as many bytes as its size says.
    let (kind, bytes) = unsafe {
        let header = &*event;
        (header.type_, std::slice::from_raw_parts(event.cast::<u8>(), header.size.into()))
    };
    let body = bytes.get(HEADER..).unwrap_or_default();
    match (kind, body) {
        (libbpf_sys::PERF_RECORD_SAMPLE, [a, b, c, d, record @ ..]) => {
            let size = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
            take(PerfEvent::Record(cpu, &record[..record.len().min(size)]));
        }
        // An ID, then the count.
        (libbpf_sys::PERF_RECORD_LOST, _) => {
            let count = body.get(8..16).and_then(|bytes| bytes.try_into().ok());
            take(PerfEvent::Lost(count.map_or(0, u64::from_le_bytes)));
        }
        _ => {}
    }
    libbpf_sys::LIBBPF_PERF_EVENT_CONT
}

/// An event that the kernel counts, by the numbers of `perf_event_attr`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// `PERF_TYPE_*`.
    pub ty: u32,
    /// The event among those of the type.
    pub config: u64,
}

/// How often an event runs a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    /// This many times per second.
    Frequency(u64),
    /// Once for this many events.
    Period(u64),
}

/// Opens an event on a CPU. A clock does not count while the CPU is idle.
///
/// # Errors
/// Returns `ENOENT` or `EOPNOTSUPP` if the machine cannot count this event, and `ENODEV` if the CPU
/// is offline.
pub fn counting_event(counted: Counted, rate: Rate, cpu: i32) -> io::Result<OwnedFd> {
    let mut attr = libbpf_sys::perf_event_attr {
        size: size_of::<libbpf_sys::perf_event_attr>() as u32,
        type_: counted.ty,
        config: counted.config,
        ..Default::default()
    };
    match rate {
        Rate::Frequency(frequency) => {
            attr.__bindgen_anon_1.sample_freq = frequency;
            attr.set_freq(1);
        }
        Rate::Period(period) => attr.__bindgen_anon_1.sample_period = period,
    }
    open(&attr, cpu)
}

/// Opens a tracepoint by its number in tracefs.
///
/// # Errors
/// Returns the kernel's error.
pub fn tracepoint_event(number: u64) -> io::Result<OwnedFd> {
    let attr = libbpf_sys::perf_event_attr {
        size: size_of::<libbpf_sys::perf_event_attr>() as u32,
        type_: libbpf_sys::PERF_TYPE_TRACEPOINT,
        config: number,
        ..Default::default()
    };
    // The program runs on all CPUs regardless of this one.
    open(&attr, 0)
}

/// A function with a probe.
#[derive(Debug, Clone, Copy)]
pub enum Probed<'n> {
    /// A function of the kernel.
    Kernel(&'n CStr),
    /// An offset in a file, in this process only.
    Own(&'n CStr, u64),
}

/// Opens a probe of a function. The event is of a type that the kernel assigns to its event source
/// `kprobe` or `uprobe`; `config` has a bit that makes it a probe of the function's return.
///
/// # Errors
/// Returns the kernel's error.
pub fn probe_event(ty: u32, config: u64, probed: Probed<'_>) -> io::Result<OwnedFd> {
    let mut attr = libbpf_sys::perf_event_attr {
        size: size_of::<libbpf_sys::perf_event_attr>() as u32,
        type_: ty,
        config,
        ..Default::default()
    };
    let (name, offset, process, cpu) = match probed {
        Probed::Kernel(name) => (name, 0, -1, 0),
        Probed::Own(path, offset) => (path, offset, 0, -1),
    };
    attr.__bindgen_anon_3.config1 = name.as_ptr() as u64;
    attr.__bindgen_anon_4.config2 = offset;
    open_for(&attr, process, cpu)
}

/// Makes an event run a program until the event is closed.
///
/// # Errors
/// Returns the kernel's error.
pub fn set_program(event: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    /// `PERF_EVENT_IOC_SET_BPF` (linux/perf_event.h): `_IOW('$', 8, __u32)`.
    const SET_BPF: u32 = 0x4004_2408;
    // SAFETY: both descriptors are open; the call uses no memory.
    let result =
        unsafe { libc::ioctl(event.as_raw_fd(), SET_BPF as libc::Ioctl, program.as_raw_fd()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn open(attr: &libbpf_sys::perf_event_attr, cpu: i32) -> io::Result<OwnedFd> {
    open_for(attr, -1, cpu)
}

/// Opens an event of a process (0 is this one, -1 are all) on a CPU (-1 are all).
fn open_for(attr: &libbpf_sys::perf_event_attr, process: i32, cpu: i32) -> io::Result<OwnedFd> {
    // SAFETY: the kernel reads `attr`, which is valid and has the given size, and the text that a
    // probe's `attr` points to, which ends with zero and outlives the call.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            std::ptr::from_ref(attr),
            process,
            cpu,
            -1,
            libbpf_sys::PERF_FLAG_FD_CLOEXEC,
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: perf_event_open has just created this descriptor, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_perf_event_arrays_of_sane_sizes_are_opened() {
        let open = |map_type, key, pages| {
            let error = PerfBuffer::open(Map::fake(map_type, key, 4, 1), pages).unwrap_err();
            error.raw_os_error()
        };
        assert_eq!(open(MapType::Array, 4, 1), Some(libc::EINVAL));
        assert_eq!(open(MapType::PerfEventArray, 8, 1), Some(libc::EINVAL));
        assert_eq!(open(MapType::PerfEventArray, 4, 1 << 62), Some(libc::EINVAL));
        assert_eq!(open(MapType::PerfEventArray, 4, 3), Some(libc::EINVAL), "no power of two");
    }
}
