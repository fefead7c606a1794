// SPDX-License-Identifier: MIT
//! Meanings of numbers and bytes: addresses, error numbers, users, durations and others. A
//! [`Meaning`] comes from an annotation or is guessed from a member's type and name ([`guess`]).
//! Output crates decide how a value with a meaning is shown.

mod guess;

use serde::{Deserialize, Serialize};

use crate::field::Field;
pub use guess::{Hint, Sibling};

/// The meaning of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Meaning {
    /// A plain value: an annotation that disables a guess.
    Plain,
    /// An IPv4 address in network byte order. It is shown as `-` if the family is another.
    Ipv4(Option<Field>),
    /// An IPv6 address. It is shown as `-` if the family is another.
    Ipv6(Option<Field>),
    /// 16 bytes with an address of the family; IPv4 is in the first four. Without a family, the
    /// bytes decide.
    Ip(Option<Field>),
    /// A port in network byte order.
    Port,
    /// Another number in network byte order.
    NetworkOrder,
    /// A hardware address of six bytes.
    Mac,
    /// Bytes with a zero-terminated string.
    Text,
    /// An error number of either sign: `ENOENT`, `-ENOENT`.
    Errno,
    /// A negative error number, or a plain number: `-ENOENT`, `3`.
    Result,
    /// A signal.
    Signal,
    /// A system call of this machine's architecture.
    Syscall,
    /// An address family.
    Family,
    /// A state of a TCP socket.
    SocketState,
    /// A protocol above IP.
    Protocol,
    /// A capability.
    Capability,
    /// A user ID.
    User,
    /// A group ID.
    Group,
    /// An address of kernel code: shown as its symbol, or otherwise in hexadecimal.
    KernelAddress,
    /// A number in hexadecimal.
    Hex,
    /// The ID of a cgroup of version 2.
    Cgroup,
    /// A block device in the kernel's encoding: major << 20 | minor.
    Device,
    /// The same for a device of any kind: shown as numbers, which may be of a disk or a terminal.
    DeviceNumber,
    /// The index of a network interface.
    Interface,
    /// The number of an interrupt.
    Interrupt,
    /// The number of a softirq.
    Softirq,
    /// A duration.
    Duration(Unit),
    /// A time of the monotonic or the boot clock, shown as local time of day.
    Clock(Unit),
    /// A number of bytes.
    Size,
}

/// A unit of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// 10⁻⁹ s.
    Nanoseconds,
    /// 10⁻⁶ s.
    Microseconds,
    /// 10⁻³ s.
    Milliseconds,
    /// Seconds.
    Seconds,
}

impl Unit {
    /// The unit for a word that ends a member's name: `us` in `latency_us`.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Unit> {
        match word {
            "ns" | "nsec" | "nsecs" | "nanoseconds" => Some(Unit::Nanoseconds),
            "us" | "usec" | "usecs" | "microseconds" => Some(Unit::Microseconds),
            "ms" | "msec" | "msecs" | "milliseconds" => Some(Unit::Milliseconds),
            "s" | "sec" | "secs" | "seconds" => Some(Unit::Seconds),
            _ => None,
        }
    }

    /// The number of nanoseconds in the unit.
    pub fn nanoseconds(self) -> u64 {
        match self {
            Unit::Nanoseconds => 1,
            Unit::Microseconds => 1_000,
            Unit::Milliseconds => 1_000_000,
            Unit::Seconds => 1_000_000_000,
        }
    }
}

/// The names of meanings in annotations, in the order of an error message.
pub const NAMED: [(&str, Meaning); 38] = [
    ("plain", Meaning::Plain),
    ("ipv4", Meaning::Ipv4(None)),
    ("ipv6", Meaning::Ipv6(None)),
    ("ip", Meaning::Ip(None)),
    ("port", Meaning::Port),
    ("network_order", Meaning::NetworkOrder),
    ("mac", Meaning::Mac),
    ("text", Meaning::Text),
    ("errno", Meaning::Errno),
    ("result", Meaning::Result),
    ("signal", Meaning::Signal),
    ("syscall", Meaning::Syscall),
    ("family", Meaning::Family),
    ("socket_state", Meaning::SocketState),
    ("protocol", Meaning::Protocol),
    ("capability", Meaning::Capability),
    ("user", Meaning::User),
    ("group", Meaning::Group),
    ("kernel_address", Meaning::KernelAddress),
    ("hex", Meaning::Hex),
    ("cgroup", Meaning::Cgroup),
    ("device", Meaning::Device),
    ("device_number", Meaning::DeviceNumber),
    ("interface", Meaning::Interface),
    ("interrupt", Meaning::Interrupt),
    ("softirq", Meaning::Softirq),
    ("duration_ns", Meaning::Duration(Unit::Nanoseconds)),
    ("duration_us", Meaning::Duration(Unit::Microseconds)),
    ("duration_ms", Meaning::Duration(Unit::Milliseconds)),
    ("duration_s", Meaning::Duration(Unit::Seconds)),
    ("clock_ns", Meaning::Clock(Unit::Nanoseconds)),
    ("clock_us", Meaning::Clock(Unit::Microseconds)),
    ("clock_ms", Meaning::Clock(Unit::Milliseconds)),
    ("clock_s", Meaning::Clock(Unit::Seconds)),
    ("size", Meaning::Size),
    // Synonyms.
    ("bytes", Meaning::Size),
    ("uid", Meaning::User),
    ("gid", Meaning::Group),
];

impl Meaning {
    /// The meaning for a name in an annotation. Addresses find their family by [`Meaning::beside`].
    #[must_use]
    pub fn named(name: &str) -> Option<Meaning> {
        NAMED.iter().find(|(known, _)| *known == name).map(|(_, meaning)| *meaning)
    }

    /// The name in annotations.
    #[must_use]
    pub fn name(&self) -> Option<&'static str> {
        let bare = self.without_family();
        NAMED.iter().find(|(_, meaning)| *meaning == bare).map(|(name, _)| *name)
    }

    /// The same meaning without a family.
    #[must_use]
    pub fn without_family(self) -> Meaning {
        match self {
            Meaning::Ipv4(_) => Meaning::Ipv4(None),
            Meaning::Ipv6(_) => Meaning::Ipv6(None),
            Meaning::Ip(_) => Meaning::Ip(None),
            other => other,
        }
    }

    /// The same meaning in a struct that begins `by` bytes later: its family moves with it.
    #[must_use]
    pub fn moved(self, by: usize) -> Meaning {
        let moved = |field: Option<Field>| {
            field.map(|field| Field { offset: field.offset.saturating_add(by), ..field })
        };
        match self {
            Meaning::Ipv4(field) => Meaning::Ipv4(moved(field)),
            Meaning::Ipv6(field) => Meaning::Ipv6(moved(field)),
            Meaning::Ip(field) => Meaning::Ip(moved(field)),
            other => other,
        }
    }

    /// All names for annotations.
    pub fn all_names() -> impl Iterator<Item = &'static str> {
        NAMED.iter().map(|(name, _)| *name)
    }

    /// Guesses the meaning of a member from its type, name and siblings; `None` if it is not
    /// obvious.
    #[must_use]
    pub fn guess(member: &Hint<'_>) -> Option<Meaning> {
        guess::guess(member)
    }

    /// The same meaning, with the family from a sibling.
    #[must_use]
    pub fn beside(self, siblings: &[Sibling<'_>]) -> Meaning {
        match self {
            Meaning::Ipv4(None) => Meaning::Ipv4(guess::family(siblings)),
            Meaning::Ipv6(None) => Meaning::Ipv6(guess::family(siblings)),
            Meaning::Ip(None) => Meaning::Ip(guess::family(siblings)),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests;
