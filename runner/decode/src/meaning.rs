// SPDX-License-Identifier: MIT
//! What numbers and bytes stand for: addresses, error numbers, users, durations …. A [`Meaning`]
//! comes from an annotation or is guessed from a member's type and name ([`guess`]). How a value is
//! written by its meaning is for those who print.

mod guess;

use serde::{Deserialize, Serialize};

use crate::field::Field;
pub use guess::{Hint, Sibling};

/// What a value stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Meaning {
    /// Nothing but itself: the annotation against a guess.
    Plain,
    /// An IPv4 address in network order. One that the family excludes is `-`.
    Ipv4(Option<Field>),
    /// An IPv6 address. One that the family excludes is `-`.
    Ipv6(Option<Field>),
    /// 16 bytes that hold an address of the family, IPv4 in the first four. Without a family the
    /// bytes decide.
    Ip(Option<Field>),
    /// A port in network order.
    Port,
    /// Another number in network order.
    NetworkOrder,
    /// A hardware address of six bytes.
    Mac,
    /// Bytes that are a string up to a zero.
    Text,
    /// An error's number, of either sign: `ENOENT`, `-ENOENT`.
    Errno,
    /// An error's number below zero, else a number: `-ENOENT`, `3`.
    Result,
    /// A signal.
    Signal,
    /// A system call of the machine's architecture.
    Syscall,
    /// An address family.
    Family,
    /// A state of a TCP socket.
    SocketState,
    /// A protocol above IP.
    Protocol,
    /// A capability.
    Capability,
    /// A user's id.
    User,
    /// A group's id.
    Group,
    /// An address of kernel code: its symbol, else in hexadecimal.
    KernelAddress,
    /// A number in hexadecimal.
    Hex,
    /// The id of a cgroup of version 2.
    Cgroup,
    /// A block device as the kernel has it: major << 20 | minor.
    Device,
    /// The same for a device of either kind: numbers only, which names a disk or a terminal.
    DeviceNumber,
    /// The index of a network interface.
    Interface,
    /// The number of an interrupt.
    Interrupt,
    /// The number of a softirq.
    Softirq,
    /// A time span.
    Duration(Unit),
    /// A time of the monotonic or the boot clock, as local time of day.
    Clock(Unit),
    /// A number of bytes.
    Size,
}

/// What a time is counted in.
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
    /// The unit that a word stands for, as names of members end in it: `us` of `latency_us`.
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

    /// How many nanoseconds one is.
    pub fn nanoseconds(self) -> u64 {
        match self {
            Unit::Nanoseconds => 1,
            Unit::Microseconds => 1_000,
            Unit::Milliseconds => 1_000_000,
            Unit::Seconds => 1_000_000_000,
        }
    }
}

/// What annotations say, in the order of an error message.
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
    // Other words for the same.
    ("bytes", Meaning::Size),
    ("uid", Meaning::User),
    ("gid", Meaning::Group),
];

impl Meaning {
    /// What an annotation says. Addresses find their family by [`Meaning::beside`].
    #[must_use]
    pub fn named(name: &str) -> Option<Meaning> {
        NAMED.iter().find(|(known, _)| *known == name).map(|(_, meaning)| *meaning)
    }

    /// The name that an annotation would say it by.
    #[must_use]
    pub fn name(&self) -> Option<&'static str> {
        let bare = self.without_family();
        NAMED.iter().find(|(_, meaning)| *meaning == bare).map(|(name, _)| *name)
    }

    /// The same meaning of a value beside which no family stands.
    #[must_use]
    pub fn without_family(self) -> Meaning {
        match self {
            Meaning::Ipv4(_) => Meaning::Ipv4(None),
            Meaning::Ipv6(_) => Meaning::Ipv6(None),
            Meaning::Ip(_) => Meaning::Ip(None),
            other => other,
        }
    }

    /// The names that annotations may say.
    pub fn all_names() -> impl Iterator<Item = &'static str> {
        NAMED.iter().map(|(name, _)| *name)
    }

    /// What a member stands for by its type, its name and its neighbors; none where that is not
    /// plain.
    #[must_use]
    pub fn guess(member: &Hint<'_>) -> Option<Meaning> {
        guess::guess(member)
    }

    /// The same meaning, with the family that is a member beside it.
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
