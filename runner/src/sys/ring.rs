// SPDX-License-Identifier: MIT
//! Ring buffers, read without a copy and without a call into the kernel.
//!
//! The layout is the kernel's (kernel/bpf/ringbuf.c): a page with the consumer's position, a page
//! with the producer's, and the data, mapped twice in a row so that no record is torn at its end.
//! libbpf's reader gives the room of each record back at once, which makes the producer's CPU fetch
//! the line with the consumer's position for each of its records; this one gives it back in larger
//! pieces.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Bytes before each record: its length with two flags, and where its page is.
const HEADER: usize = 8;
/// Flag in a record's length: its program has not submitted it yet.
const BUSY: u32 = 1 << 31;
/// Flag in a record's length: its program has thrown it away.
const DISCARDED: u32 = 1 << 30;

/// Bytes from a record to what is fetched meanwhile: some records.
const AHEAD: usize = 512;

/// Bytes of a line of the processor's cache.
const LINE: usize = 64;

/// A ring buffer that this process reads.
#[derive(Debug)]
pub struct Ring {
    map: OwnedFd,
    /// The consumer's position, in a page of its own.
    consumer: Mapping,
    /// The producer's position, and behind it the data, twice.
    producer: Mapping,
    /// Where the next record begins. The page that says it to the kernel can be written by every
    /// process that has the map: it is read once.
    position: u64,
    /// Bytes of the data, a power of two.
    size: usize,
    page: usize,
}

impl Ring {
    /// Maps the buffer of a map that has `size` bytes.
    ///
    /// # Errors
    /// When the map is no ring buffer of that size, or somebody has made nonsense of it.
    pub fn open(map: BorrowedFd<'_>, size: usize) -> io::Result<Ring> {
        let page = rustix::param::page_size();
        if !size.is_power_of_two() || size < page {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let consumer = Mapping::new(map, page, libc::PROT_READ | libc::PROT_WRITE, 0)?;
        let producer = Mapping::new(map, page + 2 * size, libc::PROT_READ, page)?;
        let position = consumer.number().load(Ordering::Acquire);
        if !position.is_multiple_of(8) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(Ring { map: map.try_clone_to_owned()?, consumer, producer, position, size, page })
    }

    /// Bytes of the buffer.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Bytes that were written and not read yet.
    pub fn pending(&self) -> usize {
        self.written().saturating_sub(self.position) as usize
    }

    /// The position behind what was written until now.
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

    /// Has the processor bring the memory at an offset closer, while something else is done: another
    /// CPU has just written there. It is inside the mapping, or not far behind it.
    #[inline]
    fn fetch(&self, at: usize) {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            let place = self.producer.start.as_ptr().wrapping_add(at).cast_const().cast();
            // SAFETY: a hint reads nothing, and may be of any address.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(place) };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = at;
    }

    /// Hands up to `most` records to `take`, in order, and gives their room back; fewer where it
    /// answers that it has enough. Returns how many they were, and whether there may be more: what programs throw away is passed over, but not
    /// without end.
    pub fn consume(&mut self, most: usize, mut take: impl FnMut(&[u8]) -> bool) -> (usize, bool) {
        let mut position = self.position;
        let mut given_back = position;
        let (mut taken, mut passed) = (0, 0);
        let mut end = self.written();
        let mut more = true;
        let mut is_enough = false;
        while taken + passed < most && !is_enough {
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
            // SAFETY: `at` is a multiple of 8 inside the first copy of the data: positions begin at a
            // multiple of 8 and grow by such. The memory stays mapped as long as `self`.
            let length = unsafe { self.producer.start.byte_add(at).cast::<AtomicU32>().as_ref() }
                .load(Ordering::Acquire);
            if length & BUSY != 0 {
                more = false;
                break;
            }
            let len = (length & !DISCARDED) as usize;
            if length & DISCARDED != 0 {
                passed += 1;
            } else {
                let len = len.min(self.size - HEADER);
                // SAFETY: the record begins in the first copy of the data and is not longer than
                // the data, so that it ends in the second. It was submitted, and its room has not
                // been given back: nobody writes to it.
                let record = unsafe {
                    std::slice::from_raw_parts(
                        self.producer.start.byte_add(at + HEADER).as_ptr(),
                        len,
                    )
                };
                is_enough = !take(record);
                taken += 1;
            }
            position += (len + HEADER).next_multiple_of(8) as u64;
            if (position - given_back) as usize >= self.size / 8 {
                self.consumer.number().store(position, Ordering::Release);
                given_back = position;
            }
        }
        self.position = position;
        if position != given_back {
            self.consumer.number().store(position, Ordering::Release);
        }
        (taken, more)
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.map.as_fd()
    }
}

/// Memory that is shared with the kernel.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the memory belongs to the process, not to a thread, and is only reached through a
// reference to its owner.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Maps `len` bytes of a map from an offset on.
    pub fn new(
        map: BorrowedFd<'_>,
        len: usize,
        protection: i32,
        offset: usize,
    ) -> io::Result<Self> {
        // SAFETY: a new mapping at an address that the kernel chooses touches no other memory.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                protection,
                libc::MAP_SHARED,
                map.as_raw_fd(),
                offset as libc::off_t,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Mapping { start, len })
    }

    /// The number in the first 8 bytes.
    fn number(&self) -> &AtomicU64 {
        // SAFETY: a mapping begins at a page, holds at least one, and lives as long as `self`. The
        // kernel and this process change the number by atomic operations only.
        unsafe { self.start.cast().as_ref() }
    }

    /// The numbers of 8 bytes in it, which the kernel may change at any time.
    pub fn numbers(&self) -> &[AtomicU64] {
        // SAFETY: as in `number`; a multiple of a page holds so many of them.
        unsafe { std::slice::from_raw_parts(self.start.cast().as_ptr(), self.len / 8) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: made by mmap with this length, unmapped once, and no reference to it is left.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = 4096 * 4;

    /// A file that looks like the memory of a ring buffer, but that its data are there once only.
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
        let mut ring = Ring::open(fake.file.as_fd(), SIZE).unwrap();
        let pending = ring.pending();
        let mut seen: Vec<Vec<u8>> = Vec::new();
        let mut take = |record: &[u8]| {
            seen.push(record.to_vec());
            true
        };
        assert_eq!(ring.consume(1, &mut take), (1, true));
        assert_eq!(ring.consume(1, &mut take), (0, true), "one was thrown away");
        assert_eq!(ring.consume(100, &mut take), (1, false));
        assert_eq!(ring.consume(100, &mut take), (0, false), "one is not there yet");
        assert_eq!(seen, [&b"first"[..], b"second record"]);
        assert_eq!(pending - ring.pending(), 16 + 16 + 24, "room is given back");
        assert!(Ring::open(fake.file.as_fd(), 1000).is_err());
    }
}
