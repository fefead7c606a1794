// SPDX-License-Identifier: MIT
//! A map of the kernel, with the sizes that the kernel says it has. The kernel reads and writes as
//! many bytes as the map's sizes say: each call compares the buffers with them first.

use std::ffi::c_void;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use libbpf_rs::MapType;

/// A map, kept open, with the sizes of its elements.
#[derive(Debug)]
pub struct Map {
    fd: OwnedFd,
    sizes: Sizes,
}

/// What a map can hold. It stays the same as long as the map exists.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    map_type: MapType,
    /// Bytes of a key; 0 where there are none.
    key: usize,
    /// Bytes of a value, on one CPU where there is one for each.
    value: usize,
    /// How many values a key has, where there is one for each CPU.
    cpus: Option<usize>,
    max_entries: u32,
}

/// A call of `BPF_MAP_LOOKUP_BATCH`.
#[derive(Debug)]
pub struct Batch<'a> {
    /// Where to go on, from the call before; none at first.
    pub from: Option<&'a [u8]>,
    /// Where to go on the next time: like `from`, at least [`Map::position_size`] bytes.
    pub next: &'a mut [u8],
    /// Room for `count` keys.
    pub keys: &'a mut [u8],
    /// Room for `count` values.
    pub values: &'a mut [u8],
    /// How many elements there is room for.
    pub count: u32,
}

impl Map {
    /// Keeps the map of a descriptor open, and asks the kernel for its sizes.
    ///
    /// # Errors
    /// `EINVAL` where the descriptor is no object of BPF, `EMFILE` when there is no room for another.
    pub fn of(map: &impl AsFd) -> io::Result<Map> {
        let fd = map.as_fd().try_clone_to_owned()?;
        let sizes = Sizes::of(fd.as_fd())?;
        Ok(Map { fd, sizes })
    }

    /// Makes an array of one element of this many bytes, which can be mapped into memory.
    ///
    /// # Errors
    /// `EINVAL` where the kernel has no such maps: before 5.5.
    pub fn array_in_memory(name: &str, size: usize) -> io::Result<Map> {
        let name = std::ffi::CString::new(name)?;
        let size = u32::try_from(size).map_err(|_| invalid())?;
        let options = libbpf_sys::bpf_map_create_opts {
            sz: size_of::<libbpf_sys::bpf_map_create_opts>() as libbpf_sys::size_t,
            map_flags: libbpf_sys::BPF_F_MMAPABLE,
            ..Default::default()
        };
        // SAFETY: the name ends in a zero, the options are as large as they say; both are copied.
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
        if fd < 0 {
            return Err(io::Error::from_raw_os_error(-fd));
        }
        // SAFETY: the kernel just made this descriptor, and nobody else has it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let sizes = Sizes::of(fd.as_fd())?;
        Ok(Map { fd, sizes })
    }

    /// A map that does not exist, with these sizes: each call that reaches the kernel fails, with
    /// `EBADF` where nothing keeps the user from it.
    #[cfg(any(test, fuzzing, feature = "fixtures"))]
    pub fn fake(map_type: MapType, key: usize, value: usize, max_entries: u32) -> Map {
        use rustix::fs::{Mode, OFlags, open};
        let fd = open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).expect("there is a root");
        Map { fd, sizes: Sizes { map_type, key, value, cpus: None, max_entries } }
    }

    /// The same with a value for each of these CPUs.
    #[cfg(any(test, feature = "fixtures"))]
    pub fn on_cpus(mut self, cpus: usize) -> Map {
        self.sizes.cpus = Some(cpus);
        self
    }

    /// The same with another file in its place.
    #[cfg(test)]
    pub fn in_file(self, fd: OwnedFd) -> Map {
        Map { fd, ..self }
    }

    /// The map's type.
    pub fn map_type(&self) -> MapType {
        self.sizes.map_type
    }

    /// Bytes of a key; 0 where there are none.
    pub fn key_size(&self) -> usize {
        self.sizes.key
    }

    /// Bytes of a value, on one CPU where there is one for each.
    pub fn value_size(&self) -> usize {
        self.sizes.value
    }

    /// Bytes that the kernel reads and writes for a value: those of all CPUs where there is one for
    /// each, every one rounded up to a multiple of 8.
    pub fn value_bytes(&self) -> usize {
        let Sizes { value, cpus, .. } = self.sizes;
        cpus.map_or(value, |cpus| value.next_multiple_of(8) * cpus)
    }

    /// How many values a key has, where there is one for each CPU.
    pub fn cpus(&self) -> Option<usize> {
        self.sizes.cpus
    }

    /// How many elements it can have; bytes in a ring buffer.
    pub fn max_entries(&self) -> u32 {
        self.sizes.max_entries
    }

    /// Bytes of a position in a batch: a key, or the number of a bucket.
    pub fn position_size(&self) -> usize {
        self.sizes.key.max(4)
    }

    /// Reads a value.
    ///
    /// # Errors
    /// `ENOENT` where there is no such key, `EINVAL` for lengths that are not the map's sizes, and
    /// for types that are not known here; otherwise what the kernel says, here and below.
    pub fn lookup(&self, key: &[u8], value: &mut [u8], flags: u64) -> io::Result<()> {
        self.check(key, Some(value))?;
        // SAFETY: key and value are as large as the kernel reads and writes for this map, as was
        // just compared; the map is open.
        answer(unsafe {
            libbpf_sys::bpf_map_lookup_elem_flags(
                self.fd.as_raw_fd(),
                pointer(key),
                value.as_mut_ptr().cast(),
                flags,
            )
        })
    }

    /// Reads a value, and removes it in the same step.
    ///
    /// # Errors
    /// As above; `EINVAL` also where the kernel has no such call for this type.
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

    /// The key behind `key`, or the first one.
    ///
    /// # Errors
    /// `ENOENT` behind the last one.
    pub fn next_key(&self, key: Option<&[u8]>, next: &mut [u8]) -> io::Result<()> {
        self.check(key.unwrap_or(next), None)?;
        self.check(next, None)?;
        let key = key.map_or(std::ptr::null(), pointer);
        // SAFETY: both buffers have the size of the map's keys, as was just compared; the map is
        // open.
        answer(unsafe {
            libbpf_sys::bpf_map_get_next_key(self.fd.as_raw_fd(), key, next.as_mut_ptr().cast())
        })
    }

    /// Reads many elements by one call; returns how many, and whether it was the last of them.
    ///
    /// # Errors
    /// `ENOSPC` when a bucket holds more elements than there is room for, `EINVAL` when the kernel
    /// or the map's type has no such call, or the buffers have no room for `count` elements.
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
        // SAFETY: the buffers are as large as the kernel may read and write, as was just checked:
        // `count` elements of this map's sizes, and positions. The kernel does not write to `from`.
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

    /// Whether [`Map::value_bytes`] is what the kernel reads and writes: types that are not known here
    /// may have a value for each CPU.
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
    /// What the kernel says of a map.
    fn of(map: BorrowedFd<'_>) -> io::Result<Sizes> {
        // For a program or a link the kernel answers with another struct, which is read wrongly here:
        // that does no harm, since no call on a map takes such a descriptor.
        let mut info = libbpf_sys::bpf_map_info::default();
        let mut len = size_of::<libbpf_sys::bpf_map_info>() as u32;
        // SAFETY: the kernel writes at most `len` bytes, and all bytes are valid in this struct.
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

/// Whether a map's elements have a value for each CPU.
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

/// Where a key is; null for maps without keys, queues for one, as the kernel wants it.
fn pointer(key: &[u8]) -> *const c_void {
    if key.is_empty() { std::ptr::null() } else { key.as_ptr().cast() }
}

/// What libbpf's calls return: 0, or an error's number below it.
pub(crate) fn answer(result: i32) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(-result)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A call that the checks let pass: the kernel knows no map by a fake's descriptor, but has
    /// other answers than this one.
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
