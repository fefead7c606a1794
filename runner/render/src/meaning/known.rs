// SPDX-License-Identifier: MIT
//! The reverse: looks up the number for a name that is shown.

use bpfpack_decode::meaning::Meaning;
use rustix::net::netdevice;

use super::account::Accounts;
use super::code::MAX_ERRNO;
use super::{Names, Number, cgroup, device, write_number};
use crate::clock::utc;

/// Larger numbers have only names that depend on the machine.
const MOST: u64 = MAX_ERRNO as u64;

/// All numbers of a meaning that have a name, if they can be listed.
#[must_use]
pub fn named_numbers(meaning: Meaning) -> Vec<(i128, String)> {
    match meaning {
        Meaning::User => return Accounts::default().all_users(),
        Meaning::Group => return Accounts::default().all_groups(),
        Meaning::Errno
        | Meaning::Signal
        | Meaning::Syscall
        | Meaning::Family
        | Meaning::SocketState
        | Meaning::Protocol
        | Meaning::Capability
        | Meaning::Interrupt
        | Meaning::Softirq
        | Meaning::Interface => {}
        _ => return Vec::new(),
    }
    let mut names = Names::new(utc);
    let mut text = Vec::new();
    let mut name = |number: u64| {
        text.clear();
        let value = Number::read(&number.to_le_bytes(), 8, false);
        let is_named = write_number(&meaning, value, &mut names, &mut text);
        is_named.then(|| (number.into(), String::from_utf8_lossy(&text).into_owned()))
    };
    (0..=MOST).filter_map(&mut name).collect()
}

/// The number for a name of a meaning whose names cannot be listed: an interface, a disk, a cgroup;
/// and `8:1` for a device.
#[must_use]
pub fn number_named(meaning: Meaning, name: &str) -> Option<i128> {
    match meaning {
        Meaning::Interface => {
            let socket = device::open()?;
            netdevice::name_to_index(&socket, name).ok().map(i128::from)
        }
        Meaning::Device | Meaning::DeviceNumber => device::number(name).map(i128::from),
        Meaning::Cgroup => cgroup::id(name).map(i128::from),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_to_their_numbers() {
        let number = |meaning, name: &str| {
            let all = named_numbers(meaning);
            all.into_iter().find(|(_, known)| known == name).map(|(number, _)| number)
        };
        assert_eq!(number(Meaning::Errno, "ENOENT"), Some(2));
        assert_eq!(number(Meaning::Errno, "ERESTARTSYS"), Some(512));
        assert_eq!(number(Meaning::Signal, "SIGRTMIN+1"), Some(35));
        assert_eq!(number(Meaning::Syscall, "bpf"), Some(libc::SYS_bpf.into()));
        assert_eq!(number(Meaning::Family, "AF_INET6"), Some(10));
        assert_eq!(number(Meaning::SocketState, "LISTEN"), Some(10));
        assert_eq!(number(Meaning::Protocol, "MPTCP"), Some(262));
        assert_eq!(number(Meaning::Capability, "CAP_BPF"), Some(39));
        assert_eq!(number(Meaning::User, "root"), Some(0));
        assert_eq!(number(Meaning::Group, "root"), Some(0));
        assert_eq!(number(Meaning::Interface, "lo"), Some(1));
        assert_eq!(number(Meaning::Size, "1.0K"), None);
    }

    #[test]
    fn names_of_this_machine() {
        assert_eq!(number_named(Meaning::Interface, "lo"), Some(1));
        assert_eq!(number_named(Meaning::Interface, "no such interface"), None);
        assert_eq!(number_named(Meaning::Device, "8:1"), Some(8 << 20 | 1));
        assert_eq!(number_named(Meaning::DeviceNumber, "0:21"), Some(21));
        for name in ["", "8", "8:", "x:1", "8:1048576", "4096:0", "../../etc/passwd", "+8:1"] {
            assert_eq!(number_named(Meaning::Device, name), None, "{name}");
        }
        assert_eq!(number_named(Meaning::Cgroup, "/no such cgroup"), None);
    }
}
