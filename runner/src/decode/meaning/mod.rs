// SPDX-License-Identifier: MIT
//! What numbers and bytes stand for: addresses, error numbers, users, durations …. A [`Meaning`]
//! comes from an annotation or is guessed from a member's type and name ([`guess`]); it writes a
//! value as text, or says that this value has no such meaning, whereupon the bare value is shown.
//! Layouts and the output formats know nothing of it.

mod account;
mod cgroup;
mod clock;
mod code;
mod device;
mod guess;
mod names;
mod net;
mod number;
mod quantity;
mod syscall;

pub use guess::{Hint, Sibling};
pub use names::{Kernel, Names};
pub use quantity::Unit;

use super::layout::{part, text, unsigned};

/// What a value stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// Nothing but itself: the annotation against a guess.
    Plain,
    /// An IPv4 address in network order. One that the family excludes is `-`.
    Ipv4(Option<Place>),
    /// An IPv6 address. One that the family excludes is `-`.
    Ipv6(Option<Place>),
    /// 16 bytes that hold an address of the family, IPv4 in the first four. Without a family the
    /// bytes decide.
    Ip(Option<Place>),
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
    /// An address of kernel code: by [`Names::kernel`], else in hexadecimal.
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
    /// A time span.
    Duration(Unit),
    /// A time of the monotonic or the boot clock, as local time of day.
    Clock(Unit),
    /// A number of bytes.
    Size,
}

/// A number's place in a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its first byte.
    pub offset: usize,
    /// Bytes.
    pub size: usize,
}

/// What annotations say, in the order of an error message.
const NAMED: [(&str, Meaning); 36] = [
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
    #[cfg(feature = "wasm")]
    #[must_use]
    pub fn name(&self) -> Option<&'static str> {
        let without_family = match self {
            Meaning::Ipv4(_) => Meaning::Ipv4(None),
            Meaning::Ipv6(_) => Meaning::Ipv6(None),
            Meaning::Ip(_) => Meaning::Ip(None),
            other => *other,
        };
        NAMED.iter().find(|(_, meaning)| *meaning == without_family).map(|(name, _)| *name)
    }

    /// The names that annotations may say.
    pub fn all_names() -> impl Iterator<Item = &'static str> {
        NAMED.iter().map(|(name, _)| *name)
    }

    /// What a member stands for by its type, its name and its neighbours; none where that is not
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

    /// Whether the same value has the same text, now and later, whatever else is in the record.
    #[must_use]
    pub fn is_fixed(&self) -> bool {
        matches!(
            self,
            Meaning::Plain
                | Meaning::Port
                | Meaning::NetworkOrder
                | Meaning::Errno
                | Meaning::Result
                | Meaning::Signal
                | Meaning::Syscall
                | Meaning::Family
                | Meaning::SocketState
                | Meaning::Protocol
                | Meaning::Capability
                | Meaning::Hex
                | Meaning::Duration(_)
                | Meaning::Size
        )
    }

    /// Whether all that it writes is printable ASCII without quotes, whatever the value: it is no
    /// name that somebody chose.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        !matches!(
            self,
            Meaning::Text
                | Meaning::User
                | Meaning::Group
                | Meaning::KernelAddress
                | Meaning::Cgroup
                | Meaning::Device
                | Meaning::Interface
        )
    }

    /// How wide a column of its text is to be, so that it seldom moves.
    #[must_use]
    pub fn width(&self) -> usize {
        match self {
            Meaning::Plain | Meaning::Port | Meaning::Size => 6,
            Meaning::Family | Meaning::Signal | Meaning::Result => 10,
            Meaning::Errno | Meaning::NetworkOrder => 10,
            Meaning::SocketState => 11,
            Meaning::Ipv4(_) | Meaning::Ip(_) | Meaning::Clock(_) => 15,
            Meaning::Ipv6(_) => 25,
            Meaning::Mac => 17,
            Meaning::Text | Meaning::Syscall => 16,
            Meaning::Protocol | Meaning::Duration(_) => 7,
            Meaning::Capability => 20,
            Meaning::User | Meaning::Group | Meaning::Interface => 8,
            Meaning::Device | Meaning::DeviceNumber => 8,
            Meaning::Hex => 18,
            Meaning::KernelAddress | Meaning::Cgroup => 30,
        }
    }

    /// Appends the text of a value. False, and nothing appended, where this value has no such
    /// meaning: an error's number that is none, a user without a name, a time that can not be.
    ///
    /// `bytes` are the member's and may go on behind it or be too few; `size` and `signed` are its
    /// type's; `record` is all that holds it, for the family.
    pub fn write(
        &self,
        bytes: &[u8],
        size: usize,
        signed: bool,
        record: &[u8],
        names: &mut Names,
        out: &mut Vec<u8>,
    ) -> bool {
        if names.exact && matches!(self, Meaning::Duration(_) | Meaning::Size) {
            return false;
        }
        let family = |place: Option<Place>| place.map(|place| place.number(record));
        match *self {
            Meaning::Plain => false,
            Meaning::Text => number::clean(text(bytes, size), out),
            Meaning::Mac => net::mac(bytes, size, out),
            Meaning::Ipv4(place) => net::ipv4(bytes, size, family(place), out),
            Meaning::Ipv6(place) => net::ipv6(bytes, size, family(place), out),
            Meaning::Ip(place) => net::ip(bytes, size, family(place), out),
            _ if !(1..=8).contains(&size) => false,
            _ => self.write_number(Number::read(bytes, size, signed), names, out),
        }
    }

    fn write_number(&self, number: Number, names: &mut Names, out: &mut Vec<u8>) -> bool {
        let Number { value, extended, signed, size } = number;
        let name = match *self {
            Meaning::Syscall => syscall::name(value),
            Meaning::Family => net::family(value),
            Meaning::SocketState => net::socket_state(value),
            Meaning::Protocol => net::protocol(value),
            Meaning::Capability => code::capability(value),
            Meaning::User => names.accounts.user(value),
            Meaning::Group => names.accounts.group(value),
            Meaning::Cgroup => names.cgroups.path(value),
            Meaning::Interface => names.devices.interface(value),
            Meaning::Port | Meaning::NetworkOrder => return net::swapped(value, size, out),
            Meaning::Errno => return code::errno(extended, out),
            // Programs keep such results in unsigned members, too.
            Meaning::Result if (-code::MAX_ERRNO..0).contains(&extended) => {
                return code::errno(extended, out);
            }
            Meaning::Result => return !number.is_negative() && number::decimal(value, out),
            Meaning::Signal => return code::signal(value, out),
            Meaning::KernelAddress => {
                return names.kernel_address(value, out) || number::hex(value, out);
            }
            Meaning::Hex => return number::hex(value, out),
            Meaning::Device => return names.devices.disk(value, out),
            Meaning::DeviceNumber => return device::numbers(value, out),
            Meaning::Duration(unit) if signed => {
                return quantity::signed_duration(extended, unit, out);
            }
            Meaning::Duration(unit) => return quantity::duration(value, unit, out),
            Meaning::Clock(unit) => return names.clock.write(value, unit, out),
            Meaning::Size => return !number.is_negative() && quantity::size(value, out),
            Meaning::Plain
            | Meaning::Text
            | Meaning::Mac
            | Meaning::Ipv4(_)
            | Meaning::Ipv6(_)
            | Meaning::Ip(_) => None,
        };
        name.is_some_and(|name| number::clean(name.as_bytes(), out))
    }
}

/// An integer of up to eight bytes, read both ways.
#[derive(Clone, Copy)]
struct Number {
    value: u64,
    /// Two's complement of its size.
    extended: i64,
    /// Which of the two its type means.
    signed: bool,
    /// Bytes.
    size: usize,
}

impl Number {
    /// Reads 1 to 8 bytes; those that are missing are zeroes.
    fn read(bytes: &[u8], size: usize, signed: bool) -> Number {
        let value = match (size, bytes) {
            (1, [a, ..]) => u64::from(*a),
            (2, [a, b, ..]) => u16::from_le_bytes([*a, *b]).into(),
            _ => unsigned(bytes, size) as u64,
        };
        let unused = 64 - 8 * size;
        Number { value, extended: ((value << unused) as i64) >> unused, signed, size }
    }

    fn is_negative(self) -> bool {
        self.signed && self.extended < 0
    }
}

impl Place {
    /// The number there.
    fn number(self, record: &[u8]) -> u64 {
        unsigned(part(record, self.offset), self.size.min(8)) as u64
    }
}

#[cfg(test)]
mod tests;
