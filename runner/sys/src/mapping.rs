// SPDX-License-Identifier: MIT
//! Memory of a map that is mapped into this process.

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

/// How this process accesses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    /// Reads and writes.
    Write,
}

// SAFETY: the memory belongs to the process, not to a thread, and is accessed only through a
// reference to its owner.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Maps all elements of an array that can be mapped ([`Map::array_in_memory`]), for reading.
    ///
    /// # Errors
    /// Returns `EINVAL` if the map is not such an array.
    pub fn of_array(map: &Map) -> io::Result<Mapping> {
        if map.map_type() != MapType::Array {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        // This is the kernel's layout; it maps no memory beyond the page of the last element.
        let len = map.value_size().next_multiple_of(8).saturating_mul(map.max_entries() as usize);
        // SAFETY: the memory of an array contains only elements, and its size does not change.
        unsafe { Mapping::new(map.as_fd(), len, Access::Read, 0) }
    }

    /// Maps `len` bytes of a map from an offset.
    ///
    /// # Safety
    /// The map must have memory of that length there, which stays. Its first number, and those that
    /// [`Mapping::numbers`] returns, must be changed only by atomic operations.
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
        // SAFETY: a new mapping at an address that the kernel chooses affects no other memory.
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
        // SAFETY: a mapping begins at a page, has at least one page, and lives as long as `self`.
        // The kernel and this process change the number only by atomic operations.
        unsafe { self.start.cast().as_ref() }
    }

    /// The 8-byte numbers in it, which the kernel may change at any time.
    pub fn numbers(&self) -> &[AtomicU64] {
        // SAFETY: as in `number`; the mapping has `len` bytes.
        unsafe { std::slice::from_raw_parts(self.start.cast().as_ptr(), self.len / 8) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mmap returned this address for this length. It is unmapped once, and no reference
        // to it is left.
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
