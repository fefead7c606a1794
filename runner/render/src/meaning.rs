// SPDX-License-Identifier: MIT
//! Formats values by their meaning ([`Meaning`]). If a value has no text, the plain value is shown.
//! [`Names`] knows the names in the system.

mod account;
pub(crate) mod cgroup;
mod clock;
mod code;
mod device;
mod interrupt;
mod known;
mod names;
mod net;
mod number;
mod quantity;
mod syscall;

use bpfpack_decode::field::{Field, text, unsigned};
use bpfpack_decode::meaning::Meaning;

pub use known::{named_numbers, number_named};
pub(crate) use names::{Kernel, Names};

/// Whether equal values always have the same text, regardless of the rest of the record.
pub(crate) fn is_fixed(meaning: &Meaning) -> bool {
    matches!(
        meaning,
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
            | Meaning::Softirq
            | Meaning::Hex
            | Meaning::Duration(_)
            | Meaning::Size
    )
}

/// Whether the text is always printable ASCII without quotes, that is, not a name that somebody
/// chose.
pub(crate) fn is_plain(meaning: &Meaning) -> bool {
    !matches!(
        meaning,
        Meaning::Text
            | Meaning::User
            | Meaning::Group
            | Meaning::KernelAddress
            | Meaning::Cgroup
            | Meaning::Device
            | Meaning::Interface
            | Meaning::Interrupt
    )
}

/// The width of a column for this meaning, chosen so that it rarely overflows.
pub(crate) fn width(meaning: &Meaning) -> usize {
    match meaning {
        Meaning::Plain | Meaning::Port | Meaning::Size => 6,
        Meaning::Family | Meaning::Signal | Meaning::Result => 10,
        Meaning::Errno | Meaning::NetworkOrder => 10,
        Meaning::SocketState => 11,
        Meaning::Ipv4(_) | Meaning::Ip(_) | Meaning::Clock(_) => 15,
        Meaning::Ipv6(_) => 25,
        Meaning::Mac => 17,
        Meaning::Text | Meaning::Syscall | Meaning::Interrupt => 16,
        Meaning::Protocol | Meaning::Duration(_) => 7,
        Meaning::Capability => 20,
        Meaning::User | Meaning::Group | Meaning::Interface | Meaning::Softirq => 8,
        Meaning::Device | Meaning::DeviceNumber => 8,
        Meaning::Hex => 18,
        Meaning::KernelAddress | Meaning::Cgroup => 30,
    }
}

/// The value of a member, with what formatting needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Value<'a> {
    /// The member's bytes. There may be more, or too few.
    pub bytes: &'a [u8],
    /// Size of its type in bytes.
    pub size: usize,
    /// Whether its type is signed.
    pub signed: bool,
    /// The whole record, for the family of an address.
    pub record: &'a [u8],
}

/// Appends the text of a value. Returns false, and appends nothing, if the value has no such
/// meaning: an unknown error number, a user without a name, an impossible time.
pub(crate) fn write(
    meaning: &Meaning,
    value: Value<'_>,
    names: &mut Names,
    out: &mut Vec<u8>,
) -> bool {
    let Value { bytes, size, signed, record } = value;
    if names.exact && matches!(meaning, Meaning::Duration(_) | Meaning::Size) {
        return false;
    }
    let family = |field: Option<Field>| field.map(|field| field.unsigned(record) as u64);
    match *meaning {
        Meaning::Plain => false,
        Meaning::Text => number::clean(text(bytes, size), out),
        Meaning::Mac => net::mac(bytes, size, out),
        Meaning::Ipv4(field) => net::ipv4(bytes, size, family(field), out),
        Meaning::Ipv6(field) => net::ipv6(bytes, size, family(field), out),
        Meaning::Ip(field) => net::ip(bytes, size, family(field), out),
        _ if !(1..=8).contains(&size) => false,
        _ => write_number(meaning, Number::read(bytes, size, signed), names, out),
    }
}

fn write_number(meaning: &Meaning, number: Number, names: &mut Names, out: &mut Vec<u8>) -> bool {
    let Number { value, extended, signed, size } = number;
    let name = match *meaning {
        Meaning::Syscall => syscall::name(value),
        Meaning::Family => net::family(value),
        Meaning::SocketState => net::socket_state(value),
        Meaning::Protocol => net::protocol(value),
        Meaning::Capability => code::capability(value),
        Meaning::User => names.accounts.user(value),
        Meaning::Group => names.accounts.group(value),
        Meaning::Cgroup => names.cgroups.path(value),
        Meaning::Interface => names.devices.interface(value),
        Meaning::Interrupt => names.interrupts.name(value),
        Meaning::Softirq => interrupt::softirq(value),
        Meaning::Port | Meaning::NetworkOrder => return net::swapped(value, size, out),
        Meaning::Errno => return code::errno(extended, out),
        // Programs store such results in unsigned members, too.
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

/// An integer of up to eight bytes, as unsigned and signed.
#[derive(Clone, Copy)]
struct Number {
    value: u64,
    /// The signed value.
    extended: i64,
    /// Whether its type is signed.
    signed: bool,
    /// Size in bytes.
    size: usize,
}

impl Number {
    /// Reads 1 to 8 bytes; missing bytes are zero.
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

#[cfg(test)]
mod tests;
