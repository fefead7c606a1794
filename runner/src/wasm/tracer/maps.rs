// SPDX-License-Identifier: MIT
//! `wasm_bpf_map_operate`: a module reads and writes elements of its own maps.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};

use libbpf_rs::MapType;
use wasmtime::{Caller, Memory};

use super::State;
use crate::sys::map::Map;
use crate::wasm::memory;

/// Commands, as in bpf(2).
mod command {
    pub(super) const LOOK_UP: i32 = 1;
    pub(super) const UPDATE: i32 = 2;
    pub(super) const DELETE: i32 = 3;
    pub(super) const NEXT_KEY: i32 = 4;
    pub(super) const LOOK_UP_AND_DELETE: i32 = 21;
}

/// The error for a number that is not one of the module's maps.
const NO_MAP: i32 = -libc::EBADF;

#[expect(clippy::too_many_arguments, reason = "the interface has so many")]
pub(super) fn operate(
    mut caller: Caller<'_, State>,
    descriptor: i32,
    command: i32,
    key: u32,
    value: u32,
    next_key: u32,
    flags: u64,
) -> Result<i32, wasmtime::Error> {
    let memory = memory::of(&mut caller)?;
    let ask = Ask { descriptor, command, key, value, next_key, flags };
    Ok(match ask.carry_out(&mut caller, memory) {
        Ok(()) => 0,
        Err(error) => -error.raw_os_error().unwrap_or(libc::EIO),
    })
}

#[derive(Debug, Clone, Copy)]
struct Ask {
    descriptor: i32,
    command: i32,
    key: u32,
    value: u32,
    next_key: u32,
    flags: u64,
}

impl Ask {
    fn carry_out(self, caller: &mut Caller<'_, State>, memory: Memory) -> io::Result<()> {
        let (data, state) = memory.data_and_store_mut(caller);
        let map = state.objects.by_descriptor(self.descriptor);
        let map = map.ok_or_else(|| errno(-NO_MAP))?;
        if has_descriptors_as_keys(map.map_type()) {
            return Err(errno(libc::EBADF));
        }
        let key_size = map.key_size();
        // Copy the key, because it may overlap the value.
        let read_key = |data: &mut [u8]| piece(data, self.key, key_size).map(|key| key.to_vec());
        let value_size = map.value_bytes();
        match self.command {
            command::LOOK_UP => {
                let key = read_key(data)?;
                map.lookup(&key, piece(data, self.value, value_size)?, self.flags)
            }
            command::LOOK_UP_AND_DELETE => {
                let key = read_key(data)?;
                map.take(&key, piece(data, self.value, value_size)?, self.flags)
            }
            command::UPDATE => {
                let key = read_key(data)?;
                let value = piece(data, self.value, value_size)?;
                match holds_descriptors(map.map_type()) {
                    false => map.update(&key, value, self.flags),
                    true => {
                        let number =
                            <[u8; 4]>::try_from(&*value).map_err(|_| errno(libc::EINVAL))?;
                        let fd = real(state, map.map_type(), u32::from_le_bytes(number))?;
                        map.update(&key, &fd.to_ne_bytes(), self.flags)
                    }
                }
            }
            command::DELETE => map.delete(&read_key(data)?, self.flags),
            command::NEXT_KEY => {
                let key = if self.key == 0 { None } else { Some(read_key(data)?) };
                map.next_key(key.as_deref(), piece(data, self.next_key, key_size)?)
            }
            _ => Err(errno(libc::EINVAL)),
        }
    }
}

fn errno(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}

/// A range of the module's memory.
fn piece(data: &mut [u8], at: u32, len: usize) -> io::Result<&mut [u8]> {
    memory::piece_mut(data, at, len).map_err(|_| errno(libc::EFAULT))
}

/// Whether the values of a map type may be descriptors. The kernel would interpret a number as a
/// descriptor of ecli. Unknown types may be of this kind, too.
fn holds_descriptors(ty: MapType) -> bool {
    !matches!(
        ty,
        MapType::Hash
            | MapType::Array
            | MapType::PercpuHash
            | MapType::PercpuArray
            | MapType::LruHash
            | MapType::LruPercpuHash
            | MapType::LpmTrie
            | MapType::StackTrace
            | MapType::CgroupStorage
            | MapType::PercpuCgroupStorage
            | MapType::Queue
            | MapType::Stack
            | MapType::BloomFilter
            | MapType::RingBuf
            | MapType::UserRingBuf
            | MapType::Arena
    )
}

/// Whether the keys of a map type are descriptors of sockets, files or processes. A module has none
/// of them.
fn has_descriptors_as_keys(ty: MapType) -> bool {
    matches!(
        ty,
        MapType::SkStorage
            | MapType::InodeStorage
            | MapType::TaskStorage
            | MapType::CGrpStorage
            | MapType::Unknown
    )
}

/// Translates a module's number to a descriptor, for the values of a map type.
fn real(state: &State, ty: MapType, number: u32) -> io::Result<i32> {
    let fd = match ty {
        MapType::ArrayOfMaps | MapType::HashOfMaps => {
            let number = i32::try_from(number).ok();
            number.and_then(|number| state.objects.by_descriptor(number)).map(Map::as_fd)
        }
        MapType::CgroupArray => state.wasi.directory(number),
        // An interface index or a size is not a descriptor. The descriptor that may follow it does
        // not fit the value.
        MapType::Devmap | MapType::DevmapHash | MapType::Cpumap => {
            return i32::try_from(number).map_err(|_| errno(libc::EINVAL));
        }
        // A module has none of them.
        _ => None,
    };
    fd.map(|fd| fd.as_raw_fd()).ok_or_else(|| errno(libc::EBADF))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_the_kernel_takes_for_descriptors_are_known() {
        for ty in [MapType::ProgArray, MapType::StructOps, MapType::Sockmap, MapType::Unknown] {
            assert!(holds_descriptors(ty), "{ty:?}");
        }
        assert!(!holds_descriptors(MapType::PercpuHash) && !holds_descriptors(MapType::Queue));
        for ty in [MapType::SkStorage, MapType::InodeStorage, MapType::TaskStorage] {
            assert!(has_descriptors_as_keys(ty), "{ty:?}");
        }
        assert!(!has_descriptors_as_keys(MapType::CgroupStorage));
    }
}
