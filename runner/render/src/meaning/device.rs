// SPDX-License-Identifier: MIT
//! Names of block devices, from /sys/dev/block, and of network interfaces in this network
//! namespace.

use std::fs;
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketFlags, SocketType, netdevice, socket_with};

use super::names::Cache;
use super::number::{clean, decimal};

/// The kernel's encoding of device numbers (include/linux/kdev_t.h).
const MINOR_BITS: u32 = 20;

/// Names by number.
#[derive(Debug, Default)]
pub(super) struct Devices {
    disks: Cache,
    interfaces: Cache,
    /// A socket of any kind, for the query. The inner `None` means that it could not be opened.
    socket: Option<Option<OwnedFd>>,
}

impl Devices {
    /// Appends the name of a block device, `vda1`, or its numbers, `0:21`. 0 is not a device.
    pub(super) fn disk(&mut self, device: u64, out: &mut Vec<u8>) -> bool {
        match self.disks.get(device, disk_name) {
            Some(name) => clean(name.as_bytes(), out),
            None => numbers(device, out),
        }
    }

    /// The name of an interface.
    pub(super) fn interface(&mut self, index: u64) -> Option<&str> {
        let Devices { interfaces, socket, .. } = self;
        interfaces.get(index, |index| {
            let index = u32::try_from(index).ok().filter(|index| *index > 0)?;
            let socket = socket.get_or_insert_with(open).as_ref()?;
            netdevice::index_to_name(socket, index).ok()
        })
    }
}

/// Appends `major:minor`. 0 is not a device.
pub(super) fn numbers(device: u64, out: &mut Vec<u8>) -> bool {
    let Some((major, minor)) = split(device) else { return false };
    decimal(major.into(), out);
    out.push(b':');
    decimal(minor.into(), out)
}

/// Parses `8:1`, or the name of a disk.
pub(super) fn number(name: &str) -> Option<u64> {
    let part = |digits: &str, bits: u32| {
        let is_number = digits.bytes().all(|digit| digit.is_ascii_digit());
        let number = digits.parse::<u64>().ok().filter(|_| is_number);
        number.filter(|number| *number < 1 << bits)
    };
    let numbers = |text: &str| {
        let (major, minor) = text.trim_end().split_once(':')?;
        Some(part(major, 32 - MINOR_BITS)? << MINOR_BITS | part(minor, MINOR_BITS)?)
    };
    numbers(name).or_else(|| {
        let name = name.replace('/', "!");
        let is_name = !name.is_empty() && !name.starts_with('.');
        let file = is_name.then(|| format!("/sys/class/block/{name}/dev"))?;
        numbers(&fs::read_to_string(file).ok()?)
    })
}

fn split(device: u64) -> Option<(u32, u32)> {
    let device = u32::try_from(device).ok().filter(|device| *device != 0)?;
    Some((device >> MINOR_BITS, device & ((1 << MINOR_BITS) - 1)))
}

/// The link's target ends in the disk's directory, in which `!` stands for a slash.
fn disk_name(device: u64) -> Option<String> {
    let (major, minor) = split(device)?;
    let target = fs::read_link(format!("/sys/dev/block/{major}:{minor}")).ok()?;
    Some(target.file_name()?.to_string_lossy().replace('!', "/"))
}

pub(super) fn open() -> Option<OwnedFd> {
    let flags = SocketFlags::CLOEXEC;
    socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(devices: &mut Devices, device: u64) -> String {
        let mut out = Vec::new();
        assert_eq!(devices.disk(device, &mut out), !out.is_empty());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn disks_of_this_machine() {
        let mut devices = Devices::default();
        for entry in fs::read_dir("/sys/dev/block").into_iter().flatten().flatten() {
            let numbers = entry.file_name().into_string().unwrap();
            let (major, minor) = numbers.split_once(':').unwrap();
            let (major, minor): (u64, u64) = (major.parse().unwrap(), minor.parse().unwrap());
            let name = disk(&mut devices, major << MINOR_BITS | minor);
            assert!(name.chars().next().is_some_and(char::is_alphabetic), "{name}");
        }
        assert_eq!(disk(&mut devices, 21), "0:21");
        assert_eq!((&*disk(&mut devices, 0), &*disk(&mut devices, 1 << 32)), ("", ""));
    }

    #[test]
    fn interfaces_of_this_machine() {
        let mut devices = Devices::default();
        for _ in 0..2 {
            assert_eq!(devices.interface(1), Some("lo"));
        }
        for index in [0, u64::MAX] {
            assert_eq!(devices.interface(index), None);
        }
    }
}
