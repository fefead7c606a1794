// SPDX-License-Identifier: MIT
//! Elements of a map, one by one, for those whose sizes are not to be trusted: they are compared with
//! the map's own.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use libbpf_rs::{MapCore, MapType};

use super::{answer, is_per_cpu, place};

/// A map, kept open, with the sizes of what it holds.
#[derive(Debug)]
pub struct Elements {
    map: OwnedFd,
    /// The map's type.
    pub ty: MapType,
    key: usize,
    value: usize,
}

impl Elements {
    /// Of a map of an object that was loaded.
    ///
    /// # Errors
    /// When there is no room for another descriptor.
    pub fn of(map: &impl MapCore) -> io::Result<Elements> {
        let ty = map.map_type();
        let mut value = map.value_size() as usize;
        if is_per_cpu(ty) {
            let cpus = libbpf_rs::num_possible_cpus().map_err(io::Error::other)?;
            value = value.next_multiple_of(8) * cpus;
        }
        let key = map.key_size() as usize;
        Ok(Elements { map: map.as_fd().try_clone_to_owned()?, ty, key, value })
    }

    /// The map.
    pub fn map(&self) -> BorrowedFd<'_> {
        self.map.as_fd()
    }

    /// Bytes of a key; 0 where there are none.
    pub fn key_size(&self) -> usize {
        self.key
    }

    /// Bytes of a value, of all CPUs where there is one for each.
    pub fn value_size(&self) -> usize {
        self.value
    }

    fn check(&self, key: &[u8], value: Option<&[u8]>) -> io::Result<()> {
        let fits = key.len() == self.key && value.is_none_or(|value| value.len() == self.value);
        if fits { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::EINVAL)) }
    }

    /// Reads a value.
    ///
    /// # Errors
    /// `ENOENT` where there is no such key, `EINVAL` for sizes that are not the map's; otherwise
    /// what the kernel says, here and below.
    pub fn lookup(&self, key: &[u8], value: &mut [u8], flags: u64) -> io::Result<()> {
        self.check(key, Some(value))?;
        // SAFETY: key and value are as large as the kernel reads and writes for this map, as was
        // just compared; the map is open.
        answer(unsafe {
            libbpf_sys::bpf_map_lookup_elem_flags(
                self.map.as_raw_fd(),
                place(key),
                value.as_mut_ptr().cast(),
                flags,
            )
        })
    }

    /// Reads a value, and removes it in the same step.
    ///
    /// # Errors
    /// As above.
    pub fn take(&self, key: &[u8], value: &mut [u8], flags: u64) -> io::Result<()> {
        self.check(key, Some(value))?;
        // SAFETY: as in `lookup`.
        answer(unsafe {
            libbpf_sys::bpf_map_lookup_and_delete_elem_flags(
                self.map.as_raw_fd(),
                place(key),
                value.as_mut_ptr().cast(),
                flags,
            )
        })
    }

    /// Writes a value.
    ///
    /// # Errors
    /// As above.
    pub fn update(&self, key: &[u8], value: &[u8], flags: u64) -> io::Result<()> {
        self.check(key, Some(value))?;
        // SAFETY: as in `lookup`; the kernel writes to neither.
        answer(unsafe {
            libbpf_sys::bpf_map_update_elem(
                self.map.as_raw_fd(),
                place(key),
                value.as_ptr().cast(),
                flags,
            )
        })
    }

    /// Removes a key.
    ///
    /// # Errors
    /// As above.
    pub fn delete(&self, key: &[u8], flags: u64) -> io::Result<()> {
        self.check(key, None)?;
        // SAFETY: as in `update`.
        answer(unsafe {
            libbpf_sys::bpf_map_delete_elem_flags(self.map.as_raw_fd(), place(key), flags)
        })
    }

    /// The key behind `key`, or the first one.
    ///
    /// # Errors
    /// `ENOENT` behind the last one.
    pub fn next(&self, key: Option<&[u8]>, next: &mut [u8]) -> io::Result<()> {
        self.check(key.unwrap_or(next), None)?;
        self.check(next, None)?;
        super::next_key(self.map(), key, next)
    }
}
