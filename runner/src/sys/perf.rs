// SPDX-License-Identifier: MIT
//! Perf buffers, with the event's attributes set here: libbpf 1.7's own choice leaves the sample
//! period 0, and then kernels (6.18 for one) never wake a reader up.

use std::ffi::c_void;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};

use libbpf_sys::{bpf_perf_event_ret, perf_event_header};

/// What comes out of a perf buffer.
#[derive(Debug)]
pub enum PerfEvent<'a> {
    /// A record. The kernel pads it with up to 7 bytes.
    Record(&'a [u8]),
    /// So many records were lost before the next one.
    Lost(u64),
}

type Callback = Box<dyn FnMut(PerfEvent<'_>)>;

/// A perf event array, opened for all CPUs.
pub struct PerfBuffer {
    buffer: *mut libbpf_sys::perf_buffer,
    /// What libbpf hands to `on_event`; boxed twice, so that its address is a thin pointer that
    /// stays.
    _callback: Box<Callback>,
}

impl PerfBuffer {
    /// Opens the buffer of a map, with this many pages for each CPU.
    pub fn open(map: BorrowedFd<'_>, pages: usize, callback: Callback) -> io::Result<PerfBuffer> {
        let mut callback = Box::new(callback);
        let mut attr = libbpf_sys::perf_event_attr {
            size: size_of::<libbpf_sys::perf_event_attr>() as u32,
            type_: libbpf_sys::PERF_TYPE_SOFTWARE,
            config: libbpf_sys::PERF_COUNT_SW_BPF_OUTPUT.into(),
            sample_type: libbpf_sys::PERF_SAMPLE_RAW.into(),
            ..Default::default()
        };
        attr.__bindgen_anon_1.sample_period = 1;
        attr.__bindgen_anon_2.wakeup_events = 1;
        // SAFETY: `attr` is valid and copied; the callback lives as long as the buffer, at the same
        // address, and is used by nobody else.
        let buffer = unsafe {
            libbpf_sys::perf_buffer__new_raw(
                map.as_raw_fd(),
                pages as libbpf_sys::size_t,
                &raw mut attr,
                Some(on_event),
                std::ptr::from_mut(callback.as_mut()).cast(),
                std::ptr::null(),
            )
        };
        if buffer.is_null() {
            return Err(io::Error::last_os_error());
        }
        Ok(PerfBuffer { buffer, _callback: callback })
    }

    /// Takes all that there is, of all CPUs.
    pub fn consume(&self) -> io::Result<()> {
        // SAFETY: the buffer is live.
        let result = unsafe { libbpf_sys::perf_buffer__consume(self.buffer) };
        if result < 0 { Err(io::Error::from_raw_os_error(-result)) } else { Ok(()) }
    }
}

impl AsFd for PerfBuffer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the buffer is live, and keeps its descriptor open as long as it is.
        unsafe { BorrowedFd::borrow_raw(libbpf_sys::perf_buffer__epoll_fd(self.buffer)) }
    }
}

impl Drop for PerfBuffer {
    fn drop(&mut self) {
        // SAFETY: made by perf_buffer__new_raw, freed once.
        unsafe { libbpf_sys::perf_buffer__free(self.buffer) }
    }
}

extern "C" fn on_event(
    ctx: *mut c_void,
    _cpu: i32,
    event: *mut perf_event_header,
) -> bpf_perf_event_ret {
    /// The header of every event: type, flags, size.
    const HEADER: usize = size_of::<perf_event_header>();
    // SAFETY: `ctx` is the callback that `open` passed; it is alive, and not running already.
    let callback = unsafe { &mut *ctx.cast::<Callback>() };
    // SAFETY: libbpf passes a whole event: a header, and as many bytes as its size says.
    let (kind, bytes) = unsafe {
        let header = &*event;
        (header.type_, std::slice::from_raw_parts(event.cast::<u8>(), header.size.into()))
    };
    let body = bytes.get(HEADER..).unwrap_or_default();
    match (kind, body) {
        (libbpf_sys::PERF_RECORD_SAMPLE, [a, b, c, d, record @ ..]) => {
            let size = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
            callback(PerfEvent::Record(&record[..record.len().min(size)]));
        }
        // An id, then the count.
        (libbpf_sys::PERF_RECORD_LOST, _) => {
            let count = body.get(8..16).and_then(|bytes| bytes.try_into().ok());
            callback(PerfEvent::Lost(count.map_or(0, u64::from_le_bytes)));
        }
        _ => {}
    }
    libbpf_sys::LIBBPF_PERF_EVENT_CONT
}
