// SPDX-License-Identifier: MIT
//! A map with the sizes that the kernel reports. The kernel reads and writes buffers according to
//! these sizes, so each call first compares the buffers with them.

use std::ffi::c_void;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use libbpf_rs::MapType;

use crate::link::created;

/// A map, kept open, with the sizes of its elements.
#[derive(Debug)]
pub struct Map {
    fd: OwnedFd,
    sizes: Sizes,
}

/// The sizes of a map, which do not change as long as the map exists.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    map_type: MapType,
    /// Size of a key in bytes; 0 if there are no keys.
    key: usize,
    /// Size of a value in bytes; in a per-CPU map, on one CPU.
    value: usize,
    /// The number of values per key, in a per-CPU map.
    cpus: Option<usize>,
    max_entries: u32,
}

/// A call of `BPF_MAP_LOOKUP_BATCH`.
#[derive(Debug)]
pub struct Batch<'a> {
    /// The position after the previous call; `None` for the first call.
    pub from: Option<&'a [u8]>,
    /// Receives the position for the next call: at least [`Map::position_size`] bytes.
    pub next: &'a mut [u8],
    /// Receives `count` keys.
    pub keys: &'a mut [u8],
    /// Receives `count` values.
    pub values: &'a mut [u8],
    /// The maximum number of elements.
    pub count: u32,
}

impl Map {
    /// Duplicates the descriptor of a map, and queries its sizes.
    ///
    /// # Errors
    /// Returns `EINVAL` if the descriptor is not a BPF object, and `EMFILE` if no more files can be
    /// opened.
    pub fn of(map: &impl AsFd) -> io::Result<Map> {
        let fd = map.as_fd().try_clone_to_owned()?;
        let sizes = Sizes::of(fd.as_fd())?;
        Ok(Map { fd, sizes })
    }

    /// Creates an array with one element of this size in bytes, which can be mapped into memory.
    ///
    /// # Errors
    /// Returns `EINVAL` if the kernel does not support such maps, as before 5.5.
    pub fn array_in_memory(name: &str, size: usize) -> io::Result<Map> {
        let name = std::ffi::CString::new(name)?;
        let size = u32::try_from(size).map_err(|_| invalid())?;
        let options = libbpf_sys::bpf_map_create_opts {
            sz: size_of::<libbpf_sys::bpf_map_create_opts>() as libbpf_sys::size_t,
            map_flags: libbpf_sys::BPF_F_MMAPABLE,
            ..Default::default()
        };
        // SAFETY: the name is zero-terminated, the options have the given size; the kernel copies
        // both.
        let fd = unsafe {
            libbpf_sys::bpf_map_create(
                libbpf_sys::BPF_MAP_TYPE_ARRAY,
                name.as_ptr(),
                4,
                size,
                1,
                &raw const options,
            )
        };
        let fd = created(fd)?;
        let sizes = Sizes::of(fd.as_fd())?;
        Ok(Map { fd, sizes })
    }

    /// For tests: a map that does not exist, with these sizes. Each call that reaches the kernel
    /// fails, with `EBADF` if the user has permission.
    #[cfg(any(test, fuzzing, feature = "fixtures"))]
    pub fn fake(map_type: MapType, key: usize, value: usize, max_entries: u32) -> Map {
        use rustix::fs::{Mode, OFlags, open};
        let fd = open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).expect("there is a root");
        Map { fd, sizes: Sizes { map_type, key, value, cpus: None, max_entries } }
    }

    /// The same map, with a value for each of these CPUs.
    #[cfg(any(test, feature = "fixtures"))]
    pub fn on_cpus(mut self, cpus: usize) -> Map {
        self.sizes.cpus = Some(cpus);
        self
    }

    /// The same map with another file as its descriptor.
    #[cfg(test)]
    pub fn in_file(self, fd: OwnedFd) -> Map {
        Map { fd, ..self }
    }

    /// The map's type.
    pub fn map_type(&self) -> MapType {
        self.sizes.map_type
    }

    /// Size of a key in bytes; 0 if there are no keys.
    pub fn key_size(&self) -> usize {
        self.sizes.key
    }

    /// Size of a value in bytes; in a per-CPU map, on one CPU.
    pub fn value_size(&self) -> usize {
        self.sizes.value
    }

    /// The number of bytes that the kernel reads and writes for a value. In a per-CPU map, these
    /// are the values of all CPUs, each rounded up to a multiple of 8.
    pub fn value_bytes(&self) -> usize {
        let Sizes { value, cpus, .. } = self.sizes;
        cpus.map_or(value, |cpus| value.next_multiple_of(8) * cpus)
    }

    /// The number of values per key, in a per-CPU map.
    pub fn cpus(&self) -> Option<usize> {
        self.sizes.cpus
    }

    /// The maximum number of elements; in a ring buffer, bytes.
    pub fn max_entries(&self) -> u32 {
        self.sizes.max_entries
    }

    /// Size of a batch position in bytes: a key, or the index of a bucket.
    pub fn position_size(&self) -> usize {
        self.sizes.key.max(4)
    }

    /// Reads a value.
    ///
    /// # Errors
    /// Returns `ENOENT` if there is no such key, and `EINVAL` if a length is not the map's or the
    /// map's type is unknown; otherwise the kernel's error, here and below.
    pub fn lookup(&self, key: &[u8], value: &mut [u8], flags: u64) -> io::Result<()> {
        self.check(key, Some(value))?;
        // SAFETY: key and value are as large as the kernel reads and writes for this map, which was
        // just checked; the map is open.
        answer(unsafe {
            libbpf_sys::bpf_map_lookup_elem_flags(
                self.fd.as_raw_fd(),
                pointer(key),
                value.as_mut_ptr().cast(),
                flags,
            )
        })
    }

    /// Reads and removes a value in one step.
    ///
    /// # Errors
    /// As above; also `EINVAL` if the kernel does not support this call for the map's type.
    pub fn take(&self, key: &[u8], value: &mut [u8], flags: u64) -> io::Result<()> {
        self.check(key, Some(value))?;
        // SAFETY: as in `lookup`.
        answer(unsafe {
            libbpf_sys::bpf_map_lookup_and_delete_elem_flags(
                self.fd.as_raw_fd(),
                pointer(key),
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
                self.fd.as_raw_fd(),
                pointer(key),
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
            libbpf_sys::bpf_map_delete_elem_flags(self.fd.as_raw_fd(), pointer(key), flags)
        })
    }

    /// Returns the key after `key`, or the first one.
    ///
    /// # Errors
    /// Returns `ENOENT` after the last key.
    pub fn next_key(&self, key: Option<&[u8]>, next: &mut [u8]) -> io::Result<()> {
        self.check(key.unwrap_or(next), None)?;
        self.check(next, None)?;
        let key = key.map_or(std::ptr::null(), pointer);
        // SAFETY: both buffers have the size of the map's keys, which was just checked; the map is
        // open.
        answer(unsafe {
            libbpf_sys::bpf_map_get_next_key(self.fd.as_raw_fd(), key, next.as_mut_ptr().cast())
        })
    }

    /// Reads many elements in one call. Returns how many, and whether the map has no more.
    ///
    /// # Errors
    /// Returns `ENOSPC` if a bucket has more elements than fit; and `EINVAL` if the kernel or the
    /// map's type does not support this call, or if the buffers are smaller than `count` elements.
    pub fn lookup_batch(&self, batch: Batch<'_>) -> io::Result<(u32, bool)> {
        let room = batch.count as usize;
        let has_room = |buffer: &[u8], size: usize| {
            size.checked_mul(room).is_some_and(|bytes| buffer.len() >= bytes)
        };
        let is_position = |position: &[u8]| position.len() >= self.position_size();
        let fits = self.is_known()
            && has_room(batch.keys, self.key_size())
            && has_room(batch.values, self.value_bytes())
            && is_position(batch.next)
            && batch.from.is_none_or(is_position);
        if !fits {
            return Err(invalid());
        }
        let mut count = batch.count;
        let from = batch.from.map_or(std::ptr::null(), <[u8]>::as_ptr);
        // SAFETY: the buffers are as large as the kernel may read and write, which was just
        // checked: `count` elements of this map's sizes, and positions. The kernel does not write
        // to `from`.
        let result = unsafe {
            libbpf_sys::bpf_map_lookup_batch(
                self.fd.as_raw_fd(),
                from.cast_mut().cast(),
                batch.next.as_mut_ptr().cast(),
                batch.keys.as_mut_ptr().cast(),
                batch.values.as_mut_ptr().cast(),
                &raw mut count,
                std::ptr::null(),
            )
        };
        match io::Error::from_raw_os_error(-result) {
            _ if result == 0 => Ok((count, false)),
            end if end.raw_os_error() == Some(libc::ENOENT) => Ok((count, true)),
            error => Err(error),
        }
    }

    /// Whether [`Map::value_bytes`] is what the kernel reads and writes. Maps of unknown types may
    /// be per-CPU.
    fn is_known(&self) -> bool {
        self.map_type() != MapType::Unknown
    }

    fn check(&self, key: &[u8], value: Option<&[u8]>) -> io::Result<()> {
        let fits = self.is_known()
            && key.len() == self.key_size()
            && value.is_none_or(|value| value.len() == self.value_bytes());
        if fits { Ok(()) } else { Err(invalid()) }
    }
}

impl AsFd for Map {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Sizes {
    /// Queries the sizes of a map.
    fn of(map: BorrowedFd<'_>) -> io::Result<Sizes> {
        // For a program or a link, the kernel fills another struct, which is misread here. That
        // does no harm, because no map call accepts such a descriptor.
        let mut info = libbpf_sys::bpf_map_info::default();
        let mut len = size_of::<libbpf_sys::bpf_map_info>() as u32;
        // SAFETY: the kernel writes at most `len` bytes, and any bytes are valid in this struct.
        answer(unsafe {
            libbpf_sys::bpf_map_get_info_by_fd(map.as_raw_fd(), &raw mut info, &raw mut len)
        })?;
        let map_type = MapType::from(info.type_);
        let cpus = match is_per_cpu(map_type) {
            true => Some(libbpf_rs::num_possible_cpus().map_err(|error| {
                io::Error::other(format!("cannot find out the number of CPUs: {error}"))
            })?),
            false => None,
        };
        let (key, value) = (info.key_size as usize, info.value_size as usize);
        Ok(Sizes { map_type, key, value, cpus, max_entries: info.max_entries })
    }
}

/// Whether a map has a value for each CPU.
#[must_use]
pub fn is_per_cpu(ty: MapType) -> bool {
    matches!(
        ty,
        MapType::PercpuHash
            | MapType::PercpuArray
            | MapType::LruPercpuHash
            | MapType::PercpuCgroupStorage
    )
}

fn invalid() -> io::Error {
    io::Error::from_raw_os_error(libc::EINVAL)
}

/// The address of a key. For maps without keys, such as queues, the kernel requires null.
fn pointer(key: &[u8]) -> *const c_void {
    if key.is_empty() { std::ptr::null() } else { key.as_ptr().cast() }
}

/// Converts a result of libbpf: 0, or a negative error number.
pub(crate) fn answer(result: i32) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(-result)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks whether the size checks let a call pass. Then the kernel's error is one that they do
    /// not return.
    #[track_caller]
    fn is_checked<T: std::fmt::Debug>(result: io::Result<T>, passes: bool) {
        let error = result.unwrap_err().raw_os_error();
        assert_eq!(error != Some(libc::EINVAL), passes, "{error:?}");
    }

    #[test]
    fn wrong_lengths_do_not_reach_the_kernel() {
        let map = Map::fake(MapType::PercpuHash, 4, 12, 1).on_cpus(3);
        assert_eq!((map.value_size(), map.value_bytes(), map.cpus()), (12, 48, Some(3)));
        for (key_len, value_len) in [(4, 48), (0, 48), (3, 48), (5, 48), (4, 0), (4, 12), (4, 49)] {
            let passes = (key_len, value_len) == (4, 48);
            let (key, mut value) = (vec![0; key_len], vec![0; value_len]);
            is_checked(map.lookup(&key, &mut value, 0), passes);
            is_checked(map.take(&key, &mut value, 0), passes);
            is_checked(map.update(&key, &value, 0), passes);
            is_checked(map.delete(&key, 0), key_len == 4);
            is_checked(map.next_key(Some(&key), &mut [0; 4]), key_len == 4);
            is_checked(map.next_key(Some(&[0; 4]), &mut key.clone()), key_len == 4);
            is_checked(map.next_key(None, &mut key.clone()), key_len == 4);
        }
    }

    #[test]
    fn sizes_of_unknown_types_are_not_relied_on() {
        let map = Map::fake(MapType::Unknown, 4, 8, 1);
        is_checked(map.lookup(&[0; 4], &mut [0; 8], 0), false);
        let (next, keys, values) = (&mut [0; 4][..], &mut [0; 4][..], &mut [0; 8][..]);
        is_checked(map.lookup_batch(Batch { from: None, next, keys, values, count: 1 }), false);
    }

    #[test]
    fn batches_without_room_do_not_reach_the_kernel() {
        let map = Map::fake(MapType::Hash, 2, 8, 100);
        assert_eq!(map.position_size(), 4);
        let lookup = |lens: [usize; 4], has_from: bool, count: u32| {
            let [from, next, keys, values] = lens;
            map.lookup_batch(Batch {
                from: has_from.then_some(&vec![0; from]),
                next: &mut vec![0; next],
                keys: &mut vec![0; keys],
                values: &mut vec![0; values],
                count,
            })
        };
        is_checked(lookup([4, 4, 20, 80], true, 10), true);
        is_checked(lookup([0, 4, 20, 80], false, 10), true);
        is_checked(lookup([2, 4, 20, 80], true, 10), false);
        is_checked(lookup([4, 2, 20, 80], true, 10), false);
        is_checked(lookup([4, 4, 19, 80], true, 10), false);
        is_checked(lookup([4, 4, 20, 79], true, 10), false);
        is_checked(lookup([4, 4, 20, 80], true, u32::MAX), false);
        let huge = Map::fake(MapType::Hash, usize::MAX / 2, 8, 100);
        let (next, keys, values) = (&mut [0; 4][..], &mut [0; 4][..], &mut [0; 32][..]);
        is_checked(huge.lookup_batch(Batch { from: None, next, keys, values, count: 4 }), false);
    }

    #[test]
    fn sizes_are_the_kernels() {
        let map = match Map::array_in_memory("sizes", 24) {
            Ok(map) => map,
            Err(error) if !rustix::process::geteuid().is_root() => {
                println!("skipped: needs root: {error}");
                let is_ci = std::env::var_os("CI").is_some();
                assert!(!is_ci, "in CI nothing may be skipped: needs root: {error}");
                return;
            }
            Err(error) => panic!("{error}"),
        };
        assert_eq!((map.map_type(), map.cpus()), (MapType::Array, None));
        assert_eq!((map.key_size(), map.value_size(), map.max_entries()), (4, 24, 1));
        let again = Map::of(&map).unwrap();
        again.update(&[0; 4], &[7; 24], 0).unwrap();
        let mut value = [0; 24];
        map.lookup(&[0; 4], &mut value, 0).unwrap();
        assert_eq!(value, [7; 24]);
        is_checked(map.lookup(&[0; 4], &mut value[..23], 0), false);
        let mut next = [9; 4];
        map.next_key(None, &mut next).unwrap();
        assert_eq!(next, [0; 4]);
        let end = map.next_key(Some(&[0; 4]), &mut next).unwrap_err();
        assert_eq!(end.raw_os_error(), Some(libc::ENOENT));
        is_checked(Map::of(&std::fs::File::open("/dev/null").unwrap()), false);
        assert!(Map::array_in_memory("too_large", 1 << 32).is_err());
    }
}
