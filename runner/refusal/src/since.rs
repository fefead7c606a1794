// SPDX-License-Identifier: MIT
//! The versions of Linux that introduced helpers, types of maps and operations
//! (include/uapi/linux/bpf.h, by the tags of the kernel's repository). What is older than 5.8 is not
//! listed.

use std::fmt;

/// A version of Linux.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32);

impl Version {
    /// Parses a release such as `6.1.0-57-cloud-amd64`.
    #[must_use]
    pub fn parse(release: &str) -> Option<Version> {
        let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
        Some(Version(numbers.next()?.ok()?, numbers.next()?.ok()?))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// The end of a sentence about what a kernel does not have: since when there is one; empty if that is
/// not known.
#[must_use]
pub fn available(since: Option<Version>) -> String {
    since.map_or(String::new(), |version| format!(", which is available since Linux {version}"))
}

/// The first number of the helpers that a version introduced. Numbers were given in order.
#[rustfmt::skip]
const HELPERS: &[(u32, Version)] = &[
    (125, Version(5, 8)), (136, Version(5, 9)), (142, Version(5, 10)), (156, Version(5, 11)),
    (163, Version(5, 12)), (164, Version(5, 13)), (166, Version(5, 14)), (169, Version(5, 15)),
    (176, Version(5, 16)), (180, Version(5, 17)), (186, Version(5, 18)), (194, Version(5, 19)),
    (204, Version(6, 0)), (208, Version(6, 1)), (210, Version(6, 2)),
];

/// The version that introduced a helper, by its number.
#[must_use]
pub fn helper(number: u32) -> Option<Version> {
    HELPERS.iter().rev().find(|(first, _)| *first <= number).map(|(_, version)| *version)
}

/// The version that introduced a type of map, by its number.
#[must_use]
pub fn map_type(number: u32) -> Option<Version> {
    Some(match number {
        27 => Version(5, 8),
        28 => Version(5, 10),
        29 => Version(5, 11),
        30 => Version(5, 16),
        31 => Version(6, 1),
        32 => Version(6, 2),
        33 => Version(6, 9),
        _ => return None,
    })
}

/// The version that introduced operations that programs can implement, by the name of the struct.
#[must_use]
pub fn operations(name: &str) -> Option<Version> {
    Some(match name {
        "tcp_congestion_ops" => Version(5, 6),
        "hid_bpf_ops" => Version(6, 11),
        "sched_ext_ops" => Version(6, 12),
        "Qdisc_ops" => Version(6, 16),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_compared() {
        assert_eq!(Version::parse("6.1.0-57-cloud-amd64"), Some(Version(6, 1)));
        assert_eq!(Version::parse("7.3-rc1"), Some(Version(7, 3)));
        assert_eq!(Version::parse("linux"), None);
        assert!(Version(5, 10) > Version(5, 9) && Version(6, 0) > Version(5, 19));
        assert_eq!(Version(6, 12).to_string(), "6.12");
    }

    #[test]
    fn helpers_and_maps() {
        assert_eq!(helper(181), Some(Version(5, 17)));
        assert_eq!(helper(130), Some(Version(5, 8)));
        assert_eq!(helper(1), None);
        assert_eq!(helper(211), Some(Version(6, 2)));
        assert_eq!(map_type(33), Some(Version(6, 9)));
        assert_eq!(map_type(1), None);
    }
}
