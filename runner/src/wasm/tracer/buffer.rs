// SPDX-License-Identifier: MIT
//! A ring or perf buffer of a module's object. Records are copied out of it before the module runs:
//! it may take its time, and do anything meanwhile.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};

use libbpf_rs::{MapCore, MapType};

use crate::sys::map::Map;
use crate::sys::perf::{PerfBuffer, PerfEvent};
use crate::sys::ring::Ring;

/// Pages of a perf buffer for each CPU: as many as existing runtimes give it.
const PAGES: usize = 64;

/// Records, and bytes, that are copied out of a ring buffer at once.
const ROUND: usize = 512;
const MOST_BYTES: usize = 256 << 10;

/// A buffer, with what was copied out of it and not handed over yet.
#[derive(Debug)]
pub(super) struct PolledBuffer {
    reader: ReaderState,
    /// Records behind each other, and where each ends.
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// The first record that was not handed over.
    next: usize,
    /// Where the records of this poll end in a ring buffer.
    mark: u64,
    /// Whether there may be more of them.
    has_more: bool,
    /// Records that were handed over.
    pub taken: u64,
    /// What the kernel said was lost in a perf buffer.
    told: u64,
    /// The module has asked for records.
    pub was_polled: bool,
    /// Polls in a row that waited for nothing and found nothing.
    pub idle: u32,
}

#[derive(Debug)]
enum ReaderState {
    Ring(Ring),
    Perf(PerfBuffer),
}

/// Whether a map is a buffer.
pub(super) fn is_buffer(map: &impl MapCore) -> bool {
    matches!(map.map_type(), MapType::RingBuf | MapType::PerfEventArray)
}

impl PolledBuffer {
    /// Opens the buffer of a map. From now on a perf buffer keeps what is written to it.
    ///
    /// # Errors
    /// When the map is none.
    pub(super) fn open(map: &impl MapCore) -> io::Result<PolledBuffer> {
        let reader = match map.map_type() {
            MapType::RingBuf => ReaderState::Ring(Ring::open(Map::of(map)?)?),
            MapType::PerfEventArray => ReaderState::Perf(PerfBuffer::open(Map::of(map)?, PAGES)?),
            _ => return Err(io::Error::from_raw_os_error(libc::EINVAL)),
        };
        Ok(PolledBuffer {
            reader,
            bytes: Vec::new(),
            ends: Vec::new(),
            next: 0,
            mark: 0,
            has_more: false,
            taken: 0,
            told: 0,
            was_polled: false,
            idle: 0,
        })
    }

    /// What to poll.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        match &self.reader {
            ReaderState::Ring(ring) => ring.as_fd(),
            ReaderState::Perf(perf) => perf.as_fd(),
        }
    }

    /// Begins a poll: what is there now is what it will hand over. Tells whether that is something.
    pub(super) fn begin(&mut self) -> io::Result<bool> {
        if let ReaderState::Ring(ring) = &self.reader {
            self.mark = ring.end();
        }
        self.has_more = true;
        self.was_polled = true;
        self.refill()
    }

    /// The next record, copied out already.
    pub(super) fn record(&mut self) -> Option<&[u8]> {
        let end = *self.ends.get(self.next)?;
        let begin = if self.next == 0 { 0 } else { self.ends[self.next - 1] };
        self.next += 1;
        self.taken += 1;
        Some(&self.bytes[begin..end])
    }

    /// Copies more out, if all was handed over; false where nothing is left of this poll.
    pub(super) fn refill(&mut self) -> io::Result<bool> {
        if self.next < self.ends.len() {
            return Ok(true);
        }
        self.bytes.clear();
        self.ends.clear();
        self.next = 0;
        let PolledBuffer { reader, bytes, ends, mark, has_more, told, .. } = self;
        if !*has_more {
            return Ok(false);
        }
        let mut keep = |records: &[&[u8]]| {
            for record in records {
                bytes.extend_from_slice(record);
                ends.push(bytes.len());
            }
            bytes.len() < MOST_BYTES
        };
        match reader {
            ReaderState::Ring(ring) => {
                let (_, more) = ring.consume(ROUND, keep);
                *has_more = more && !ring.has_reached(*mark);
            }
            ReaderState::Perf(perf) => {
                *has_more = false;
                perf.consume(|event| match event {
                    PerfEvent::Record(_, record) => {
                        keep(&[record]);
                    }
                    PerfEvent::Lost(count) => *told += count,
                })?;
            }
        }
        Ok(!self.ends.is_empty())
    }

    /// Bytes that the kernel may have put behind a record: up to 7 in a perf buffer.
    pub(super) fn padding(&self) -> usize {
        match self.reader {
            ReaderState::Ring(_) => 0,
            ReaderState::Perf(_) => 7,
        }
    }

    /// What the kernel says was lost; none where it does not count.
    pub(super) fn lost(&self) -> Option<u64> {
        match &self.reader {
            ReaderState::Ring(_) => None,
            ReaderState::Perf(perf) => Some(perf.lost().unwrap_or(self.told)),
        }
    }
}
