// SPDX-License-Identifier: MIT
//! The typed tree: what is compared, at which offset, with what. It knows no names and no text, so
//! that it can be evaluated fast, or be made into something else.

use std::net::IpAddr;

use bpfpack_decode::field::{float, part, signed, text, unsigned};
use bpfpack_decode::{Field, Member};

use crate::exact::wide;
use crate::pattern::Pattern;
use crate::token::Op;

/// What is true, false, or unknown of a frame. Unknown is what SQL calls NULL: the opposite of it
/// is unknown, too, but `unknown && false` is false, and `unknown || true` is true.
#[derive(Debug, Clone)]
pub enum Test {
    /// All are true.
    All(Vec<Test>),
    /// One is true.
    Any(Vec<Test>),
    /// The opposite.
    Not(Box<Test>),
    /// These frames have no such member: unknown.
    Unknown,
    /// An integer is in a range.
    Range {
        /// Which.
        number: Number,
        /// The least.
        low: i128,
        /// The largest; below `low` where no number is in the range.
        high: i128,
    },
    /// An integer is in one of several ranges, which are in order and do not meet.
    Ranges {
        /// Which.
        number: Number,
        /// The least and the largest of each.
        ranges: Vec<(i128, i128)>,
    },
    /// A float.
    Float {
        /// Where it is; its size is 4 or 8.
        number: Number,
        /// How it is compared.
        op: Op,
        /// With what.
        constant: f64,
    },
    /// A text, byte for byte.
    Text {
        /// Which.
        text: Text,
        /// How it is compared.
        op: Op,
        /// With what.
        constant: Box<[u8]>,
    },
    /// A text matches a regular expression.
    Match {
        /// Which.
        text: Text,
        /// What is found in it.
        pattern: Pattern,
    },
    /// An address is in one of several networks.
    Address {
        /// Which.
        address: Address,
        /// The networks.
        networks: Vec<Network>,
    },
    /// Bytes are these.
    Bytes {
        /// The index of the part that they are in.
        part: usize,
        /// The first.
        offset: usize,
        /// What they are.
        constant: Box<[u8]>,
    },
    /// A number that the caller calculates.
    Derived {
        /// Its index.
        index: usize,
        /// How it is compared.
        op: Op,
        /// The least and the largest, as in [`Test::Range`], where it is an integer.
        range: (i128, i128),
        /// With what, where it is a float.
        constant: f64,
    },
}

/// Where an integer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Number {
    /// The index of its part.
    pub part: usize,
    /// Its first byte.
    pub offset: usize,
    /// Bytes, up to 16.
    pub size: usize,
    /// Two's complement. One of 16 bytes without a sign is compared with its highest bit inverted,
    /// so that all integers have the order of `i128`.
    pub signed: bool,
    /// In network order, with up to 8 bytes and no sign.
    pub swapped: bool,
    /// Of a bitfield, the first bit and how many there are.
    pub bits: Option<(u32, u32)>,
}

/// Where a text is. It ends at a zero.
#[derive(Debug, Clone)]
pub struct Text {
    /// The index of its part.
    pub part: usize,
    /// Its first byte.
    pub offset: usize,
    /// Bytes at most; none where it goes on as long as the part does.
    pub size: Option<usize>,
    /// Of texts behind each other, which are one with spaces between: their member, and where its
    /// record begins.
    pub joined: Option<Box<(Member, usize)>>,
}

/// Where an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// The index of its part.
    pub part: usize,
    /// Its first byte.
    pub offset: usize,
    /// What kinds it can be.
    pub version: Version,
    /// The member of the same part that tells which.
    pub family: Option<Field>,
}

/// Kinds of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// Four bytes.
    Four,
    /// Sixteen bytes.
    Six,
    /// Sixteen bytes, of which an IPv4 address has the first four.
    Both,
}

/// Addresses that have the first bits in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// The first bits; those behind are zero. IPv4 addresses are `::ffff:a.b.c.d`.
    pub address: u128,
    /// The bits that count.
    pub mask: u128,
    /// It is one of IPv4: only those have its addresses, and what IPv6 maps of them.
    pub is_four: bool,
}

/// A number that was calculated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// A count.
    Int(i128),
    /// An average, or a rate.
    Float(f64),
}

impl Test {
    /// Evaluates it; none is unknown. `parts` are the bytes of the scope's parts, `derived` gives
    /// its calculated numbers by their index.
    #[inline]
    pub(crate) fn eval(
        &self,
        parts: &[&[u8]],
        derived: &dyn Fn(usize) -> Option<Value>,
    ) -> Option<bool> {
        // The usual ones without a call that has room for all others.
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

    /// Whether there can be frames for which it is true, and for which it is false.
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
    /// Its bytes, where all are there.
    #[inline]
    fn bytes<'b>(&self, parts: &[&'b [u8]]) -> Option<&'b [u8]> {
        let bytes = parts.get(self.part)?.get(self.offset..)?;
        (bytes.len() >= self.size).then_some(bytes)
    }

    /// Its value; none where the bytes end before it does.
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
    /// The bytes that may hold it; none where there are none.
    #[inline]
    fn bytes<'b>(&self, parts: &[&'b [u8]]) -> Option<&'b [u8]> {
        let bytes = parts.get(self.part)?.get(self.offset..)?;
        match self.size {
            // A text may be empty where nothing follows, one of a size cannot.
            None => Some(bytes),
            Some(_) if bytes.is_empty() => None,
            Some(size) => Some(&bytes[..size.min(bytes.len())]),
        }
    }

    /// Whether it is a text, which holds no zero: without looking for its end.
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
    /// The address, and whether it is one of IPv4; none where the family says that there is none,
    /// or the bytes end.
    fn read(&self, parts: &[&[u8]]) -> Option<(u128, bool)> {
        let record = parts.get(self.part)?;
        let bytes = record.get(self.offset..)?;
        // Some programs keep the version of IP in the family's stead.
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
            // Without a family, an IPv6 address that ends in 96 zeros is none of a host.
            Version::Both => rest.get(..12)?.iter().all(|byte| *byte == 0) && *first != [0; 4],
        };
        match is_four {
            true => Some((bits((*first).into()), true)),
            false => Some((u128::from_be_bytes(*bytes.first_chunk()?), false)),
        }
    }
}

/// An address as a number, IPv4 as `::ffff:a.b.c.d`.
pub(crate) fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl Network {
    /// Reads `10.0.0.0/8`, or an address alone.
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
