// SPDX-License-Identifier: MIT
//! Ring buffers, read without copies and without system calls.
//!
//! The layout is the kernel's (kernel/bpf/ringbuf.c): a page with the consumer's position, a page
//! with the producer's, and the data, mapped twice in a row so that every record is contiguous.
//! libbpf's reader releases the room of each record at once, so the producer's CPU has to fetch the
//! cache line with the consumer's position for each record. This reader releases larger pieces.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU32, Ordering};

use libbpf_rs::MapType;

use super::map::Map;
use super::mapping::{Access, Mapping};

/// Bytes before each record: its length with two flags, and its page offset.
const HEADER: usize = 8;
/// Flag in a record's length: its program has not submitted it yet.
const BUSY: u32 = 1 << 31;
/// Flag in a record's length: its program has discarded it.
const DISCARDED: u32 = 1 << 30;

/// Bytes from a record to the memory that is prefetched meanwhile: some records.
const AHEAD: usize = 512;

/// Size of a CPU cache line in bytes.
const LINE: usize = 64;

/// Maximum number, and approximate size in bytes, of the records that are passed together. They are
/// still in the CPU cache when they are rendered.
const BATCH: usize = 64;
const BATCH_BYTES: usize = 16 << 10;

/// Records that are passed together.
struct Batch<'r> {
    records: [&'r [u8]; BATCH],
    len: usize,
    /// The number of records including discarded ones.
    seen: usize,
    /// The position of the next record.
    position: u64,
    /// Whether there may be more.
    more: bool,
}

/// A ring buffer that this process reads.
#[derive(Debug)]
pub struct Ring {
    map: Map,
    /// The consumer's position, in a page of its own.
    consumer: Mapping,
    /// The producer's position, followed by the data, twice.
    producer: Mapping,
    /// The position of the next record. Every process with the map can write to the page that tells
    /// the kernel, so it is read only once.
    position: u64,
    /// Size of the data in bytes, a power of two.
    size: usize,
    page: usize,
}

impl Ring {
    /// Maps the memory of a ring buffer.
    ///
    /// # Errors
    /// Returns an error if the map is not a ring buffer, or if its position is not valid.
    pub fn open(map: Map) -> io::Result<Ring> {
        let page = rustix::param::page_size();
        let size = map.max_entries() as usize;
        if map.map_type() != MapType::RingBuf || !size.is_power_of_two() || size < page {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // SAFETY: the kernel's layout of this map type begins with a writable page, which begins
        // with the consumer's position.
        let consumer = unsafe { Mapping::new(map.as_fd(), page, Access::Write, 0)? };
        // SAFETY: as above; this is the page with the producer's position and the data, to which
        // only the kernel writes.
        let producer = unsafe { Mapping::new(map.as_fd(), page + 2 * size, Access::Read, page)? };
        let position = consumer.number().load(Ordering::Acquire);
        if !position.is_multiple_of(8) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(Ring { map, consumer, producer, position, size, page })
    }

    /// Size of the buffer in bytes.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Bytes that are written but not read yet.
    pub fn pending(&self) -> usize {
        self.written().saturating_sub(self.position) as usize
    }

    /// The current end of the data.
    pub fn end(&self) -> u64 {
        self.written()
    }

    /// Whether everything before a position was read.
    pub fn has_reached(&self, end: u64) -> bool {
        self.position >= end
    }

    fn written(&self) -> u64 {
        self.producer.number().load(Ordering::Acquire)
    }

    /// Prefetches the memory at an offset, where another CPU has just written. The offset is in the
    /// mapping, or slightly behind it.
    #[inline]
    fn fetch(&self, at: usize) {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            let address = self.producer.start.as_ptr().wrapping_add(at).cast_const().cast();
            // SAFETY: a prefetch reads nothing, and accepts any address.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(address) };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = at;
    }

    /// Passes up to `most` records to `take` in order, some at a time, and releases their room.
    /// Stops if `take` returns false. Returns how many were passed, and whether there may be more.
    /// Discarded records are skipped, but only a limited number per call.
    pub fn consume(
        &mut self,
        most: usize,
        mut take: impl FnMut(&[&[u8]]) -> bool,
    ) -> (usize, bool) {
        // A batch is no larger than the room that is released at once.
        let room = (self.size / 8).min(BATCH_BYTES);
        let (mut taken, mut seen) = (0, 0);
        let mut given_back = self.position;
        let mut more = true;
        let mut is_enough = false;
        while more && seen < most && !is_enough {
            let batch = self.batch(most - seen, room);
            seen += batch.seen;
            taken += batch.len;
            more = batch.more;
            if batch.len > 0 {
                is_enough = !take(&batch.records[..batch.len]);
            }
            let position = batch.position;
            if (position - given_back) as usize >= self.size / 8 {
                self.consumer.number().store(position, Ordering::Release);
                given_back = position;
            }
            self.position = position;
        }
        if self.position != given_back {
            self.consumer.number().store(self.position, Ordering::Release);
        }
        (taken, more)
    }

    /// The next records, up to `most`, with about `room` bytes. Their room is not released.
    #[inline]
    fn batch(&self, most: usize, room: usize) -> Batch<'_> {
        let begin = self.position;
        let mut position = begin;
        let mut end = self.written();
        let mut more = true;
        let mut records: [&[u8]; BATCH] = [&[]; BATCH];
        let (mut len, mut seen) = (0, 0);
        while seen < most && len < BATCH && position - begin < room as u64 {
            if position >= end {
                end = self.written();
                if position >= end {
                    more = false;
                    break;
                }
            }
            let at = self.page + (position as usize & (self.size - 1));
            self.fetch(at + AHEAD);
            self.fetch(at + AHEAD + LINE);
            // SAFETY: `at` is a multiple of 8 in the first copy of the data, because positions
            // begin at a multiple of 8 and grow by multiples of 8. The memory stays mapped as long
            // as `self`.
            let length = unsafe { self.producer.start.byte_add(at).cast::<AtomicU32>().as_ref() }
                .load(Ordering::Acquire);
            if length & BUSY != 0 {
                more = false;
                break;
            }
            let size = (length & !DISCARDED) as usize;
            seen += 1;
            if length & DISCARDED == 0 {
                // SAFETY: the record begins in the first copy of the data and is not longer than
                // the data, so it ends in the second copy at the latest. It was submitted and its
                // room was not released, so nobody writes to it.
                records[len] = unsafe {
                    std::slice::from_raw_parts(
                        self.producer.start.byte_add(at + HEADER).as_ptr(),
                        size.min(self.size - HEADER),
                    )
                };
                len += 1;
            }
            position += (size + HEADER).next_multiple_of(8) as u64;
        }
        Batch { records, len, seen, position, more }
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.map.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = 4096 * 4;

    /// A file that looks like the memory of a ring buffer, but with only one copy of the data.
    struct Fake {
        file: std::fs::File,
        at: u64,
    }

    impl Fake {
        fn new() -> Fake {
            let fd = rustix::fs::memfd_create("ring", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
            let file = std::fs::File::from(fd);
            file.set_len((2 * 4096 + 2 * SIZE) as u64).unwrap();
            Fake { file, at: 0 }
        }

        fn put(&mut self, record: &[u8], flags: u32) {
            use std::os::unix::fs::FileExt as _;
            let at = 2 * 4096 + self.at;
            let length = (record.len() as u32 | flags).to_le_bytes();
            self.file.write_all_at(&length, at).unwrap();
            self.file.write_all_at(record, at + 8).unwrap();
            self.at += (record.len() + 8).next_multiple_of(8) as u64;
            self.file.write_all_at(&self.at.to_le_bytes(), 4096).unwrap();
        }
    }

    #[test]
    fn records_in_order_without_those_that_were_thrown_away() {
        if rustix::param::page_size() != 4096 {
            println!("skipped: needs pages of 4096 bytes");
            return;
        }
        let mut fake = Fake::new();
        fake.put(b"first", 0);
        fake.put(b"gone", DISCARDED);
        fake.put(b"second record", 0);
        fake.put(b"not yet", BUSY);
        fake.put(b"behind it", 0);
        let map = |size: usize| {
            let map = Map::fake(MapType::RingBuf, 0, 0, size as u32);
            map.in_file(fake.file.try_clone().unwrap().into())
        };
        let mut ring = Ring::open(map(SIZE)).unwrap();
        let pending = ring.pending();
        let mut seen: Vec<Vec<u8>> = Vec::new();
        let mut take = |records: &[&[u8]]| {
            seen.extend(records.iter().map(|record| record.to_vec()));
            true
        };
        assert_eq!(ring.consume(1, &mut take), (1, true));
        assert_eq!(ring.consume(1, &mut take), (0, true), "one was thrown away");
        assert_eq!(ring.consume(100, &mut take), (1, false));
        assert_eq!(ring.consume(100, &mut take), (0, false), "one is not there yet");
        assert_eq!(seen, [&b"first"[..], b"second record"]);
        assert_eq!(pending - ring.pending(), 16 + 16 + 24, "room is given back");
        assert!(Ring::open(map(1000)).is_err());
        assert!(Ring::open(Map::fake(MapType::Array, 4, 8, SIZE as u32)).is_err());
    }
}
