// SPDX-License-Identifier: MIT
//! A ring or perf buffer of a module's object. Records are copied out of it before the module
//! handles them, because the module may be slow or call any function meanwhile.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};

use libbpf_rs::{MapCore, MapType};

use crate::sys::map::Map;
use crate::sys::perf::{PerfBuffer, PerfEvent};
use crate::sys::ring::Ring;

/// Pages of a perf buffer per CPU, as in existing runtimes.
const PAGES: usize = 64;

/// Records, and bytes, that are copied from a ring buffer at once.
const ROUND: usize = 512;
const MOST_BYTES: usize = 256 << 10;

/// A buffer, and the records that were copied but not passed to the module yet.
#[derive(Debug)]
pub(super) struct PolledBuffer {
    reader: ReaderState,
    /// The records, one after the other, and the end of each.
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// The index of the first record that was not passed to the module.
    next: usize,
    /// The position in a ring buffer where the records of this poll end.
    mark: u64,
    /// Whether there may be more of them.
    has_more: bool,
    /// The number of records that were passed to the module.
    pub taken: u64,
    /// Losses that the kernel has reported for a perf buffer.
    told: u64,
    /// Whether the module has polled it.
    pub was_polled: bool,
    /// The number of consecutive polls with timeout 0 that found nothing.
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
    /// Opens the buffer of a map. From now on, a perf buffer stores what is written to it.
    ///
    /// # Errors
    /// Returns an error if the map is not a buffer.
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

    /// The descriptor to poll.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        match &self.reader {
            ReaderState::Ring(ring) => ring.as_fd(),
            ReaderState::Perf(perf) => perf.as_fd(),
        }
    }

    /// Starts a poll, which passes the records that are there now. Returns whether there are any.
    pub(super) fn begin(&mut self) -> io::Result<bool> {
        if let ReaderState::Ring(ring) = &self.reader {
            self.mark = ring.end();
        }
        self.has_more = true;
        self.was_polled = true;
        self.refill()
    }

    /// The next record, already copied.
    pub(super) fn record(&mut self) -> Option<&[u8]> {
        let end = *self.ends.get(self.next)?;
        let begin = if self.next == 0 { 0 } else { self.ends[self.next - 1] };
        self.next += 1;
        self.taken += 1;
        Some(&self.bytes[begin..end])
    }

    /// Copies more records if all were passed. Returns false if this poll has no more.
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

    /// The maximum number of bytes that the kernel may append to a record: 7 in a perf buffer.
    pub(super) fn padding(&self) -> usize {
        match self.reader {
            ReaderState::Ring(_) => 0,
            ReaderState::Perf(_) => 7,
        }
    }

    /// The number of lost records according to the kernel; `None` if it does not count them.
    pub(super) fn lost(&self) -> Option<u64> {
        match &self.reader {
            ReaderState::Ring(_) => None,
            ReaderState::Perf(perf) => Some(perf.lost().unwrap_or(self.told)),
        }
    }
}
