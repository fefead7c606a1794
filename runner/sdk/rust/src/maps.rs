// SPDX-License-Identifier: MIT
//! Maps of the package, symbols, clocks, and the run.

use crate::{border, About, Error, Json};

/// A map of the package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Map {
    number: u32,
    key_size: usize,
    value_size: usize,
}

/// A positive error number of Linux: 2 (ENOENT) if the key does not exist.
pub(crate) type Errno = i32;

fn result(code: i32) -> Result<(), Errno> {
    match code {
        0 => Ok(()),
        code => Err(code.wrapping_neg()),
    }
}

impl Map {
    /// Finds a map by name. Its sizes come from the description.
    ///
    /// # Errors
    /// [`Error::NoMap`] if it does not exist.
    pub fn named(about: &About<'_>, name: &'static str) -> Result<Map, Error> {
        let number = u32::try_from(border::map(name)).map_err(|_| Error::NoMap(name))?;
        let maps = about.json().get("maps").unwrap_or_else(|| Json::new("[]"));
        let mut items = maps.items();
        let map = items
            .find(|map| map.get("name").and_then(Json::as_str) == Some(name))
            .ok_or(Error::NoMap(name))?;
        let size =
            |name| map.get(name).and_then(Json::as_u64).and_then(|n| usize::try_from(n).ok());
        let key_size = size("key_size").ok_or(Error::NoMap(name))?;
        let mut value_size = size("value_size").ok_or(Error::NoMap(name))?;
        let ty = map.get("type").and_then(Json::as_str).unwrap_or("");
        if ty.contains("percpu") || ty.contains("per_cpu") {
            value_size = ((value_size + 7) & !7) * about.cpus() as usize;
        }
        Ok(Map { number, key_size, value_size })
    }

    /// The size of a key in bytes.
    #[must_use]
    pub fn key_size(&self) -> usize {
        self.key_size
    }

    /// The size of a value in bytes. In a per-CPU map: the size for one CPU, rounded up to a
    /// multiple of 8, times the number of CPUs.
    #[must_use]
    pub fn value_size(&self) -> usize {
        self.value_size
    }

    fn check(&self, key: Option<usize>, value: Option<usize>) -> Result<(), Errno> {
        const EINVAL: Errno = 22;
        let fits = key.map_or(true, |size| size == self.key_size)
            && value.map_or(true, |size| size == self.value_size);
        fits.then_some(()).ok_or(EINVAL)
    }

    /// Reads an element.
    ///
    /// # Errors
    /// EINVAL (22) if a size differs from the map's; otherwise the error of the kernel.
    pub fn lookup(&self, key: &[u8], value: &mut [u8]) -> Result<(), Errno> {
        self.check(Some(key.len()), Some(value.len()))?;
        result(border::map_lookup(self.number, key, value))
    }

    /// Writes an element. `flags` are those of bpf(2): 0 always, 1 only a new key, 2 only an
    /// existing key.
    ///
    /// # Errors
    /// As [`Map::lookup`].
    pub fn update(&self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        self.check(Some(key.len()), Some(value.len()))?;
        result(border::map_update(self.number, key, value, flags))
    }

    /// Removes an element.
    ///
    /// # Errors
    /// As [`Map::lookup`].
    pub fn delete(&self, key: &[u8]) -> Result<(), Errno> {
        self.check(Some(key.len()), None)?;
        result(border::map_delete(self.number, key))
    }

    /// Writes the key after `key` to `next`; the first one if `key` is `None`.
    ///
    /// # Errors
    /// As [`Map::lookup`]; ENOENT (2) after the last key.
    pub fn next(&self, key: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
        self.check(key.map(<[u8]>::len), None)?;
        self.check(Some(next.len()), None)?;
        result(border::map_next(self.number, key, next))
    }
}

/// A clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// CLOCK_MONOTONIC, the clock of records and of `bpf_ktime_get_ns`.
    Monotonic,
    /// CLOCK_REALTIME, the time since 1970.
    Realtime,
    /// CLOCK_BOOTTIME, which includes the time that the machine was suspended.
    Boottime,
}

/// The time of a clock in nanoseconds.
#[must_use]
pub fn clock(which: Clock) -> u64 {
    border::clock(match which {
        Clock::Monotonic => 0,
        Clock::Realtime => 1,
        Clock::Boottime => 2,
    })
}

/// Sets the interval of [`crate::Module::tick`]; 0 ends the calls.
pub fn every(milliseconds: u32) {
    border::every(milliseconds);
}

/// Ends the run as [`crate::Flow::Stop`] does, with this exit code of ecli.
pub fn stop(code: u8) {
    border::stop(code.into());
}

/// The name of the function at an address of a process, or of the kernel (pid 0); `None` if it is
/// unknown. The name is truncated to the size of `room`.
pub fn symbol(address: u64, pid: u32, room: &mut [u8]) -> Option<&str> {
    let len = usize::try_from(border::symbol(address, pid, room)).ok()?;
    core::str::from_utf8(room.get(..len).unwrap_or(room)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_checked() {
        let map = Map { number: 0, key_size: 4, value_size: 8 };
        assert_eq!(map.lookup(&[0; 4], &mut [0; 7]), Err(22));
        assert_eq!(map.lookup(&[0; 4], &mut [0; 8]), Err(2));
        assert_eq!(map.update(&[0; 3], &[0; 8], 0), Err(22));
        assert_eq!(map.next(None, &mut [0; 5]), Err(22));
        assert_eq!(map.next(Some(&[0; 4]), &mut [0; 4]), Err(2));
        assert_eq!(map.delete(&[]), Err(22));
    }
}
