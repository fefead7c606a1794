// SPDX-License-Identifier: MIT
//! The typed tree: which bytes are compared, and with what. It has no names and no source text, so
//! that it can be evaluated fast or be translated.

use std::net::IpAddr;

use bpfpack_decode::field::{float, part, signed, text, unsigned};
use bpfpack_decode::{Field, Member};

use crate::exact::wide;
use crate::pattern::Pattern;
use crate::token::Op;

/// A condition that is true, false or unknown for a frame. Unknown is NULL of SQL: its negation is
/// unknown, too, but `unknown && false` is false, and `unknown || true` is true.
#[derive(Debug, Clone)]
pub enum Test {
    /// All are true.
    All(Vec<Test>),
    /// One is true.
    Any(Vec<Test>),
    /// The negation.
    Not(Box<Test>),
    /// The frames do not have the member: unknown.
    Unknown,
    /// An integer is in a range.
    Range {
        /// The integer.
        number: Number,
        /// The smallest value.
        low: i128,
        /// The largest value; smaller than `low` if no value is in the range.
        high: i128,
    },
    /// An integer is in one of several ranges, which are sorted and not adjacent.
    Ranges {
        /// The integer.
        number: Number,
        /// The smallest and the largest value of each range.
        ranges: Vec<(i128, i128)>,
    },
    /// A comparison of a float.
    Float {
        /// Its location; its size is 4 or 8.
        number: Number,
        /// The operator.
        op: Op,
        /// The constant.
        constant: f64,
    },
    /// A bytewise comparison of a text.
    Text {
        /// The text.
        text: Text,
        /// The operator.
        op: Op,
        /// The constant.
        constant: Box<[u8]>,
    },
    /// A text matches a regular expression.
    Match {
        /// The text.
        text: Text,
        /// The regular expression.
        pattern: Pattern,
    },
    /// An address is in one of several networks.
    Address {
        /// The address.
        address: Address,
        /// The networks.
        networks: Vec<Network>,
    },
    /// Bytes are equal to a constant.
    Bytes {
        /// The index of the part.
        part: usize,
        /// The offset of the bytes.
        offset: usize,
        /// The constant.
        constant: Box<[u8]>,
    },
    /// A comparison of a number that the caller calculates.
    Derived {
        /// Its index.
        index: usize,
        /// The operator.
        op: Op,
        /// The smallest and the largest value, as in [`Test::Range`], if the number is an integer.
        range: (i128, i128),
        /// The constant, if the number is a float.
        constant: f64,
    },
}

/// The location of an integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Number {
    /// The index of its part.
    pub part: usize,
    /// Its offset in bytes.
    pub offset: usize,
    /// Its size in bytes, up to 16.
    pub size: usize,
    /// Whether it is signed (two's complement). An unsigned number of 16 bytes is compared with its
    /// highest bit inverted, so that all integers have the order of `i128`.
    pub signed: bool,
    /// Whether it is in network byte order; then it is unsigned and has up to 8 bytes.
    pub swapped: bool,
    /// For a bitfield, the first bit and the number of bits.
    pub bits: Option<(u32, u32)>,
}

/// The location of a zero-terminated text.
#[derive(Debug, Clone)]
pub struct Text {
    /// The index of its part.
    pub part: usize,
    /// Its offset in bytes.
    pub offset: usize,
    /// The maximum length in bytes; `None` if it may extend to the end of the part.
    pub size: Option<usize>,
    /// For several texts that are joined by spaces: their member, and the offset of its record.
    pub joined: Option<Box<(Member, usize)>>,
}

/// The location of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// The index of its part.
    pub part: usize,
    /// Its offset in bytes.
    pub offset: usize,
    /// The versions that it can have.
    pub version: Version,
    /// The member of the same part that tells the version.
    pub family: Option<Field>,
}

/// Versions of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// IPv4: four bytes.
    Four,
    /// IPv6: sixteen bytes.
    Six,
    /// Either: sixteen bytes, of which an IPv4 address uses the first four.
    Both,
}

/// A network: addresses with a common prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// The prefix, followed by zeros. IPv4 addresses are `::ffff:a.b.c.d`.
    pub address: u128,
    /// The mask of the prefix.
    pub mask: u128,
    /// Whether it is an IPv4 network, which contains only IPv4 addresses, also mapped to IPv6.
    pub is_four: bool,
}

/// A calculated number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// A count.
    Int(i128),
    /// An average, or a rate.
    Float(f64),
}

impl Test {
    /// Evaluates the condition; `None` is unknown. `parts` are the bytes of the scope's parts, and
    /// `derived` returns a calculated number by its index.
    #[inline]
    pub(crate) fn eval(
        &self,
        parts: &[&[u8]],
        derived: &dyn Fn(usize) -> Option<Value>,
    ) -> Option<bool> {
        // The common conditions are inlined; a call for all others has a large stack frame.
        match self {
            Test::Range { number, low, high } => {
                number.read(parts).map(|value| *low <= value && value <= *high)
            }
            Test::Text { text, op: Op::Eq, constant } if text.joined.is_none() => {
                text.is(parts, constant)
            }
            _ => self.eval_other(parts, derived),
        }
    }

    fn eval_other(
        &self,
        parts: &[&[u8]],
        derived: &dyn Fn(usize) -> Option<Value>,
    ) -> Option<bool> {
        match self {
            Test::Range { .. } | Test::Unknown => None,
            Test::All(tests) => {
                let mut all = Some(true);
                for test in tests {
                    match test.eval(parts, derived) {
                        Some(true) => {}
                        Some(false) => return Some(false),
                        None => all = None,
                    }
                }
                all
            }
            Test::Any(tests) => {
                let mut any = Some(false);
                for test in tests {
                    match test.eval(parts, derived) {
                        Some(false) => {}
                        Some(true) => return Some(true),
                        None => any = None,
                    }
                }
                any
            }
            Test::Not(test) => test.eval(parts, derived).map(|is| !is),
            Test::Ranges { number, ranges } => {
                let value = number.read(parts)?;
                let at = ranges.partition_point(|(_, high)| *high < value);
                Some(ranges.get(at).is_some_and(|(low, _)| *low <= value))
            }
            Test::Float { number, op, constant } => {
                let bytes = number.bytes(parts)?;
                Some(op.holds(&float(bytes, number.size), constant))
            }
            Test::Text { text, op, constant } => {
                text.read(parts, |text| op.holds(text, &**constant))
            }
            Test::Match { text, pattern } => text.read(parts, |text| pattern.is_match(text)),
            Test::Address { address, networks } => {
                let (address, is_four) = address.read(parts)?;
                let is_in = |network: &Network| {
                    address & network.mask == network.address && (network.is_four || !is_four)
                };
                Some(networks.iter().any(is_in))
            }
            Test::Bytes { part, offset, constant } => {
                let bytes = parts.get(*part)?.get(*offset..)?;
                bytes.get(..constant.len()).map(|bytes| *bytes == **constant)
            }
            Test::Derived { index, op, range, constant } => Some(match derived(*index)? {
                Value::Int(value) => (range.0..=range.1).contains(&value),
                Value::Float(value) => op.holds(&value, constant),
            }),
        }
    }

    /// Whether the condition can be true for some frame, and whether it can be false.
    pub(crate) fn can_be(&self) -> (bool, bool) {
        match self {
            Test::Unknown => (false, false),
            Test::Not(test) => {
                let (is_true, is_false) = test.can_be();
                (is_false, is_true)
            }
            Test::All(tests) => {
                (tests.iter().all(|test| test.can_be().0), tests.iter().any(|test| test.can_be().1))
            }
            Test::Any(tests) => {
                (tests.iter().any(|test| test.can_be().0), tests.iter().all(|test| test.can_be().1))
            }
            _ => (true, true),
        }
    }
}

impl Op {
    #[inline]
    fn holds<T: PartialOrd + ?Sized>(self, left: &T, right: &T) -> bool {
        match self {
            Op::Eq => left == right,
            Op::Ne => left != right,
            Op::Lt => left < right,
            Op::Le => left <= right,
            Op::Gt => left > right,
            Op::Ge => left >= right,
        }
    }
}

impl Number {
    /// Its bytes, if all are there.
    #[inline]
    fn bytes<'b>(&self, parts: &[&'b [u8]]) -> Option<&'b [u8]> {
        let bytes = parts.get(self.part)?.get(self.offset..)?;
        (bytes.len() >= self.size).then_some(bytes)
    }

    /// Its value; `None` if the bytes end too early.
    #[inline]
    pub(crate) fn read(&self, parts: &[&[u8]]) -> Option<i128> {
        let bytes = self.bytes(parts)?;
        if self.bits.is_some() || self.swapped {
            return Some(self.unusual(bytes));
        }
        Some(match (self.size, self.signed) {
            (4, false) => u32::from_le_bytes(*bytes.first_chunk()?).into(),
            (8, false) => u64::from_le_bytes(*bytes.first_chunk()?).into(),
            (4, true) => i32::from_le_bytes(*bytes.first_chunk()?).into(),
            (8, true) => i64::from_le_bytes(*bytes.first_chunk()?).into(),
            (16, false) => wide(unsigned(bytes, 16)),
            (size, false) => unsigned(bytes, size) as i128,
            (size, true) => signed(bytes, size),
        })
    }

    #[cold]
    fn unusual(&self, bytes: &[u8]) -> i128 {
        let raw = match self.bits {
            Some((first, len)) => {
                let first = first.min(127);
                (unsigned(bytes, self.size) >> first) & (u128::MAX >> (128 - len.clamp(1, 128)))
            }
            None => {
                let number = unsigned(bytes, self.size.min(8)) as u64;
                u128::from(number.swap_bytes() >> (64 - 8 * self.size.clamp(1, 8)))
            }
        };
        match self.bits {
            Some((_, len)) if self.signed => {
                let unused = 128 - len.clamp(1, 128);
                (raw << unused) as i128 >> unused
            }
            _ => raw as i128,
        }
    }
}

impl Text {
    /// The bytes that may contain it; `None` if there are none.
    #[inline]
    fn bytes<'b>(&self, parts: &[&'b [u8]]) -> Option<&'b [u8]> {
        let bytes = parts.get(self.part)?.get(self.offset..)?;
        match self.size {
            // A text at the end of a part may be empty; one with a size cannot be missing.
            None => Some(bytes),
            Some(_) if bytes.is_empty() => None,
            Some(size) => Some(&bytes[..size.min(bytes.len())]),
        }
    }

    /// Whether it equals a constant that contains no zero, without searching for its end.
    #[inline]
    fn is(&self, parts: &[&[u8]], constant: &[u8]) -> Option<bool> {
        let bytes = self.bytes(parts)?;
        let rest = bytes.strip_prefix(constant);
        Some(rest.is_some_and(|rest| rest.first().is_none_or(|byte| *byte == 0)))
    }

    fn read<T>(&self, parts: &[&[u8]], take: impl FnOnce(&[u8]) -> T) -> Option<T> {
        let bytes = self.bytes(parts)?;
        let joined = self.joined.as_ref().and_then(|joined| {
            let (member, base) = &**joined;
            member.joined(part(parts.get(self.part)?, *base))
        });
        Some(match joined {
            Some(joined) => take(&joined),
            None => take(text(bytes, bytes.len())),
        })
    }
}

impl Address {
    /// The address, and whether it is IPv4; `None` if the family is another, or if the bytes end
    /// too early.
    fn read(&self, parts: &[&[u8]]) -> Option<(u128, bool)> {
        let record = parts.get(self.part)?;
        let bytes = record.get(self.offset..)?;
        // Some programs store the IP version instead of the family.
        let family = match self.family.map(|family| family.unsigned(record)) {
            Some(2 | 4) => Some(Version::Four),
            Some(10 | 6) => Some(Version::Six),
            _ => None,
        };
        let version = match (self.version, family) {
            (Version::Both, Some(version)) => version,
            (version, Some(family)) if version != family => return None,
            (version, _) => version,
        };
        let (first, rest) = bytes.split_first_chunk::<4>()?;
        let is_four = match version {
            Version::Four => true,
            Version::Six => false,
            // Without a family, it is IPv4: no host has an IPv6 address that ends in 96 zeros.
            Version::Both => rest.get(..12)?.iter().all(|byte| *byte == 0) && *first != [0; 4],
        };
        match is_four {
            true => Some((bits((*first).into()), true)),
            false => Some((u128::from_be_bytes(*bytes.first_chunk()?), false)),
        }
    }
}

/// An address as a number; IPv4 is `::ffff:a.b.c.d`.
pub(crate) fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl Network {
    /// Parses `10.0.0.0/8`, or a single address.
    pub(crate) fn parse(text: &str) -> Option<Network> {
        let (address, len) = match text.split_once('/') {
            Some((address, len)) => (address, Some(len.parse::<u32>().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let len = len.unwrap_or(most);
        let host = u32::checked_sub(most, len)?;
        let mask = u128::MAX.checked_shl(host).unwrap_or(0);
        let is_mapped = bits(address) >> 32 == 0xffff && host <= 32;
        Some(Network { address: bits(address) & mask, mask, is_four: is_mapped })
    }

    pub(crate) fn is_host(&self) -> bool {
        self.mask == u128::MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(size: usize, signed: bool) -> Number {
        Number { part: 0, offset: 1, size, signed, swapped: false, bits: None }
    }

    #[test]
    fn integers_of_all_kinds() {
        let read = |number: Number, bytes: &[u8]| number.read(&[&[&[9], bytes].concat()]);
        for size in 1..=16 {
            assert_eq!(read(number(size, true), &[255; 16]), Some(-1), "{size}");
            let most = if size == 16 { i128::MAX } else { (1 << (8 * size)) - 1 };
            assert_eq!(read(number(size, false), &[255; 16]), Some(most), "{size}");
            assert_eq!(read(number(size, false), &vec![255; size - 1]), None, "{size}");
        }
        assert_eq!(read(number(16, false), &[0; 16]), Some(i128::MIN));
        let swapped = |size| Number { swapped: true, ..number(size, false) };
        assert_eq!(read(swapped(2), &[0x1f, 0x90, 7]), Some(8080));
        assert_eq!(read(swapped(8), &[0, 0, 0, 0, 0, 0, 1, 2]), Some(258));
        assert_eq!(read(swapped(1), &[200]), Some(200));
        let bits = |first, len, signed| Number { bits: Some((first, len)), ..number(2, signed) };
        let bytes = [0b1011_0100, 0b0000_0001];
        assert_eq!(read(bits(2, 3, false), &bytes), Some(0b101));
        assert_eq!(read(bits(2, 3, true), &bytes), Some(-3));
        assert_eq!(read(bits(3, 3, true), &bytes), Some(-2));
        assert_eq!(number(4, false).read(&[]), None);
        assert_eq!(number(4, false).read(&[&[]]), None);
    }

    #[test]
    fn unknown_is_neither() {
        let known = |is: bool| {
            let range = if is { (0, 9) } else { (1, 0) };
            Test::Range {
                number: Number { offset: 0, ..number(1, false) },
                low: range.0,
                high: range.1,
            }
        };
        let eval = |test: Test| test.eval(&[&[3]], &|_| None);
        let all = |tests: [Test; 2]| eval(Test::All(tests.into()));
        let any = |tests: [Test; 2]| eval(Test::Any(tests.into()));
        assert_eq!(all([Test::Unknown, known(false)]), Some(false));
        assert_eq!(all([Test::Unknown, known(true)]), None);
        assert_eq!(any([Test::Unknown, known(true)]), Some(true));
        assert_eq!(any([Test::Unknown, known(false)]), None);
        assert_eq!(eval(Test::Not(Test::Unknown.into())), None);
        assert_eq!(Test::All(vec![Test::Unknown, known(true)]).can_be(), (false, true));
        assert_eq!(Test::Any(vec![Test::Unknown, known(true)]).can_be(), (true, false));
    }

    #[test]
    fn networks() {
        let is_in = |address: &str, network: &str| {
            let network = Network::parse(network).unwrap();
            bits(address.parse().unwrap()) & network.mask == network.address
        };
        assert!(is_in("10.1.2.3", "10.0.0.0/8") && !is_in("11.1.2.3", "10.0.0.0/8"));
        assert!(is_in("10.1.2.3", "10.255.0.0/8"), "host bits do not count");
        assert!(is_in("1.2.3.4", "0.0.0.0/0") && !is_in("::1", "0.0.0.0/0"));
        assert!(is_in("fe80::1", "fe80::/10") && is_in("::1", "::/0") && is_in("::1", "::1"));
        assert!(is_in("::ffff:10.0.0.9", "10.0.0.0/8"), "what is mapped is the same");
        for text in ["10.0.0.0/33", "::/129", "10.0.0", "10.0.0.0/", "x", "10.0.0.0/-1", ""] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }
}
