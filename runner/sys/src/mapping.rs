// SPDX-License-Identifier: MIT
//! Memory of a map, mapped into this process.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use libbpf_rs::MapType;

use super::map::Map;

/// Memory that is shared with the kernel.
#[derive(Debug)]
pub struct Mapping {
    pub(super) start: NonNull<u8>,
    len: usize,
}

/// What this process does with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    /// Reads, and writes.
    Write,
}

// SAFETY: the memory belongs to the process, not to a thread, and is only reached through a
// reference to its owner.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Maps all elements of an array that was made for it ([`Map::array_in_memory`]), to be read.
    ///
    /// # Errors
    /// `EINVAL` where the map is no such array.
    pub fn of_array(map: &Map) -> io::Result<Mapping> {
        if map.map_type() != MapType::Array {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        // The kernel lays elements out so; it maps no memory beyond the last one's page.
        let len = map.value_size().next_multiple_of(8).saturating_mul(map.max_entries() as usize);
        // SAFETY: the memory of an array is elements alone, and stays as large as it is.
        unsafe { Mapping::new(map.as_fd(), len, Access::Read, 0) }
    }

    /// Maps `len` bytes of a map from an offset on.
    ///
    /// # Safety
    /// The map has memory of that length there, which stays; its first number, and those that are
    /// reached by [`Mapping::numbers`], are changed by atomic operations only.
    pub(super) unsafe fn new(
        map: BorrowedFd<'_>,
        len: usize,
        access: Access,
        offset: usize,
    ) -> io::Result<Mapping> {
        let protection = match access {
            Access::Read => libc::PROT_READ,
            Access::Write => libc::PROT_READ | libc::PROT_WRITE,
        };
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
    pub(super) fn number(&self) -> &AtomicU64 {
        // SAFETY: a mapping begins at a page, holds at least one, and lives as long as `self`. The
        // kernel and this process change the number by atomic operations only.
        unsafe { self.start.cast().as_ref() }
    }

    /// The numbers of 8 bytes in it, which the kernel may change at any time.
    pub fn numbers(&self) -> &[AtomicU64] {
        // SAFETY: as in `number`; there are `len` bytes.
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

    #[test]
    fn only_arrays_are_mapped() {
        let of_type = |map_type| Mapping::of_array(&Map::fake(map_type, 4, 8, 1)).unwrap_err();
        for map_type in [MapType::RingBuf, MapType::Hash, MapType::PercpuArray, MapType::Unknown] {
            assert_eq!(of_type(map_type).raw_os_error(), Some(libc::EINVAL), "{map_type:?}");
        }
    }
}
