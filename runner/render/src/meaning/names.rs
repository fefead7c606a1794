// SPDX-License-Identifier: MIT
//! Names in the system: looked up once and cached, up to a limit, so that many numbers cannot
//! exhaust the memory.

use std::collections::HashMap;
use std::fmt;

use super::account::Accounts;
use super::cgroup::Cgroups;
use super::clock::KernelClock;
use super::device::Devices;
use super::interrupt::Interrupts;
use crate::clock::LocalTime;

/// The maximum size of a cache, at which it is cleared.
const MOST: usize = 4096;

/// Appends the symbol of an address of kernel code. Returns false if there is none.
pub(crate) type Kernel = Box<dyn FnMut(u64, &mut Vec<u8>) -> bool>;

/// The names on this machine. Files are read at the first lookup.
pub(crate) struct Names {
    /// Whether durations and sizes stay exact numbers, for programs that calculate with them.
    pub exact: bool,
    /// Looks up the kernel's symbols.
    pub kernel: Option<Kernel>,
    pub(super) accounts: Accounts,
    pub(super) cgroups: Cgroups,
    pub(super) devices: Devices,
    pub(super) interrupts: Interrupts,
    pub(super) clock: KernelClock,
}

impl Names {
    /// No names yet. `local_time` converts times of day.
    #[must_use]
    pub(crate) fn new(local_time: LocalTime) -> Names {
        Names {
            exact: false,
            kernel: None,
            accounts: Accounts::default(),
            cgroups: Cgroups::default(),
            devices: Devices::default(),
            interrupts: Interrupts::default(),
            clock: KernelClock::new(local_time),
        }
    }

    /// Appends the symbol of an address.
    pub(super) fn kernel_address(&mut self, address: u64, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        let is_known = self.kernel.as_mut().is_some_and(|name| name(address, out));
        if !is_known {
            out.truncate(start);
        }
        is_known
    }
}

#[cfg(test)]
impl Default for Names {
    fn default() -> Names {
        Names::new(crate::clock::utc)
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names")
            .field("kernel", &self.kernel.is_some())
            .field("accounts", &self.accounts)
            .field("cgroups", &self.cgroups)
            .field("devices", &self.devices)
            .field("clock", &self.clock)
            .finish()
    }
}

/// Names by number. Numbers without a name are cached, too.
#[derive(Debug, Default)]
pub(super) struct Cache(HashMap<u64, Option<Box<str>>>);

impl Cache {
    /// The name from the cache, or from `look_up`.
    pub(super) fn get(
        &mut self,
        number: u64,
        look_up: impl FnOnce(u64) -> Option<String>,
    ) -> Option<&str> {
        if !self.0.contains_key(&number) {
            if self.0.len() >= MOST {
                self.0.clear();
            }
            self.0.insert(number, look_up(number).map(String::into_boxed_str));
        }
        self.0.get(&number)?.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_up_once() {
        let mut cache = Cache::default();
        assert_eq!(cache.get(1, |number| Some(format!("n{number}"))), Some("n1"));
        assert_eq!(cache.get(1, |_| unreachable!()), Some("n1"));
        assert_eq!(cache.get(2, |_| None), None);
        assert_eq!(cache.get(2, |_| unreachable!()), None);
    }

    #[test]
    fn a_flood_of_numbers_does_not_stay() {
        let mut cache = Cache::default();
        for number in 0..3 * MOST as u64 {
            cache.get(number, |_| None);
        }
        assert!(cache.0.len() <= MOST);
    }

    #[test]
    fn symbols_come_from_outside() {
        let mut names = Names::default();
        let mut out = Vec::new();
        assert!(!names.kernel_address(1, &mut out));
        names.kernel = Some(Box::new(|address, out| {
            out.extend_from_slice(b"start");
            address == 1
        }));
        assert!(names.kernel_address(1, &mut out) && !names.kernel_address(2, &mut out));
        assert_eq!(out, b"start");
    }
}
