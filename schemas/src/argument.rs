// SPDX-License-Identifier: MIT
//! Converts the text of an argument to the bytes of a variable, by the variable's type in BTF. The
//! runner parses command lines with it, and the packer checks the defaults in annotations.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use serde_json::Value;

use crate::btf::{Kind, Type};

/// How the text of an argument is converted to bytes.
#[derive(Debug, Clone)]
pub enum Argument {
    Bool {
        size: usize,
    },
    Int {
        size: usize,
        signed: bool,
    },
    Float {
        size: usize,
    },
    Text {
        size: usize,
    },
    Enum {
        size: usize,
        signed: bool,
        /// Enumerators and their values; shared by all variables of the type.
        names: Arc<[(String, i64)]>,
    },
    /// An internet address, in network order: 4 or 16 bytes.
    Address {
        size: usize,
    },
    /// A list of numbers. An array of bytes can also be a hardware address or an internet address.
    Array {
        element: Box<Argument>,
        stride: usize,
        len: usize,
    },
}

/// Formats a value of a package as the command line takes it.
#[must_use]
pub fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(","),
        value => value.to_string(),
    }
}

/// The largest variable that can be an argument, in bytes: as long as the longest path. BTF can
/// state any size, however small the object is.
const MAX_SIZE: usize = 4096;

/// The number of enumerators that the help lists.
const SHOWN: usize = 24;

impl Argument {
    /// The argument for a variable of this type and size in bytes. `None` if text cannot express
    /// the type, or if the size exceeds 4096 bytes.
    #[must_use]
    pub fn of(ty: Type<'_>, size: usize) -> Option<Argument> {
        if size > MAX_SIZE {
            return None;
        }
        if size == 4 && ty.is_named(&["__be32", "in_addr_t"]) {
            return Some(Argument::Address { size });
        }
        let ty = ty.resolved();
        Some(match ty.kind {
            Kind::Struct | Kind::Union if size == 4 && ty.name() == "in_addr" => {
                Argument::Address { size }
            }
            Kind::Struct | Kind::Union if size == 16 && ty.name() == "in6_addr" => {
                Argument::Address { size }
            }
            Kind::Int if ty.int_encoding().bool => Argument::Bool { size },
            Kind::Int if (1..=16).contains(&size) => {
                Argument::Int { size, signed: ty.int_encoding().signed }
            }
            Kind::Float if size == 4 || size == 8 => Argument::Float { size },
            Kind::Enum | Kind::Enum64 if (1..=8).contains(&size) => Argument::Enum {
                size,
                // clang 14 does not record the sign; only a signed enum has a negative enumerator.
                signed: ty.is_signed_enum(),
                names: ty.enumerators().map(|(name, value)| (name.to_owned(), value)).collect(),
            },
            Kind::Array if ty.target().is_plain_char() => Argument::Text { size },
            Kind::Array => {
                let len = ty.array_len() as usize;
                let stride = size.checked_div(len).filter(|stride| *stride > 0)?;
                let target = ty.target().resolved();
                // Arrays of arrays can be nested as deep as types can.
                if target.kind == Kind::Array && !target.target().is_plain_char() {
                    return None;
                }
                let element = Box::new(Argument::of(ty.target(), stride)?);
                Argument::Array { element, stride, len }
            }
            _ => return None,
        })
    }

    /// Whether the argument is a switch.
    #[must_use]
    pub fn is_bool(&self) -> bool {
        matches!(self, Argument::Bool { .. })
    }

    /// The placeholder of the value in the help.
    #[must_use]
    pub fn value_name(&self) -> &'static str {
        match self {
            Argument::Address { .. } => "ADDRESS",
            Argument::Array { .. } if self.is_bytes(6) => "MAC",
            Argument::Array { .. } if self.is_bytes(4) || self.is_bytes(16) => "ADDRESS",
            Argument::Array { .. } => "LIST",
            Argument::Bool { .. } => "BOOL",
            Argument::Int { .. } => "N",
            Argument::Float { .. } => "X",
            Argument::Text { .. } => "TEXT",
            Argument::Enum { .. } => "NAME",
        }
    }

    /// The possible values, if they are a list of names.
    #[must_use]
    pub fn possible_values(&self) -> Option<String> {
        let names = match self {
            Argument::Enum { names, .. } => names,
            Argument::Array { element, .. } => return element.possible_values(),
            _ => return None,
        };
        let mut shown: Vec<&str> = names.iter().take(SHOWN).map(|(name, _)| &name[..]).collect();
        if names.len() > SHOWN {
            shown.push("…");
        }
        Some(shown.join(", "))
    }

    fn is_bytes(&self, wanted: usize) -> bool {
        matches!(self, Argument::Array { stride: 1, len, .. } if *len == wanted)
    }

    /// Converts a text to bytes.
    ///
    /// # Errors
    /// Says what is wrong with the text: "it is not a whole number".
    pub fn parse(&self, text: &str) -> Result<Vec<u8>, String> {
        match self {
            Argument::Address { size } => address(text, *size).or_else(|why| {
                // The number itself, in memory order.
                int(text, *size, false).map_err(|_| why)
            }),
            Argument::Array { .. } if self.is_bytes(6) && text.contains(':') => {
                let bytes = text.split(':').map(|part| u8::from_str_radix(part, 16));
                let bytes: Result<Vec<u8>, _> = bytes.collect();
                bytes.ok().filter(|bytes| bytes.len() == 6).ok_or_else(|| {
                    "it is not a hardware address such as 52:54:00:12:34:56".to_owned()
                })
            }
            Argument::Array { .. }
                if self.is_bytes(16) && text.contains(':')
                    || self.is_bytes(4) && text.contains('.') =>
            {
                address(text, if self.is_bytes(4) { 4 } else { 16 })
            }
            Argument::Array { element, stride, len } => {
                let mut bytes = Vec::new();
                let items = text.split(',').map(str::trim).filter(|_| !text.trim().is_empty());
                for (at, item) in items.enumerate() {
                    if at == *len {
                        return Err(format!("it has more than {len} elements"));
                    }
                    let value = element.parse(item);
                    bytes.extend(value.map_err(|why| format!("`{item}`: {why}"))?);
                }
                Ok(padded(&bytes, stride * len))
            }
            Argument::Bool { size } => match text {
                "true" | "1" => Ok(padded(&[1], *size)),
                "false" | "0" => Ok(padded(&[0], *size)),
                _ => Err("it is neither true nor false".into()),
            },
            Argument::Int { size, signed } => int(text, *size, *signed),
            Argument::Float { size } => {
                let value: f64 = text.parse().map_err(|_| "it is not a number".to_owned())?;
                Ok(match size {
                    4 => (value as f32).to_le_bytes().into(),
                    _ => value.to_le_bytes().into(),
                })
            }
            Argument::Text { size } => {
                // The terminating zero must fit, too.
                if text.len() >= *size {
                    let (len, most) = (text.len(), size.saturating_sub(1));
                    return Err(format!("it has {len} bytes; at most {most} fit"));
                }
                Ok(padded(text.as_bytes(), *size))
            }
            Argument::Enum { size, signed, names } => {
                if let Some((_, value)) = names.iter().find(|(name, _)| name == text) {
                    return Ok(value.to_le_bytes()[..*size.min(&8)].to_vec());
                }
                int(text, *size, *signed).or_else(|_| int(text, *size, true)).map_err(|_| {
                    let names: Vec<_> = names.iter().map(|(name, _)| name.as_str()).collect();
                    format!("it is neither a number nor one of {}", names.join(", "))
                })
            }
        }
    }

    /// Formats a value for the help.
    #[must_use]
    pub fn show(&self, bytes: &[u8]) -> String {
        match self {
            Argument::Address { size: 4 } => <[u8; 4]>::try_from(bytes)
                .map_or_else(|_| String::new(), |b| Ipv4Addr::from(b).to_string()),
            Argument::Address { .. } => <[u8; 16]>::try_from(bytes)
                .map_or_else(|_| String::new(), |b| Ipv6Addr::from(b).to_string()),
            Argument::Array { element, stride, .. } => {
                let used =
                    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at / stride + 1);
                let shown = bytes.chunks(*stride).take(used).map(|item| element.show(item));
                shown.collect::<Vec<_>>().join(",")
            }
            Argument::Text { .. } => {
                String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned()
            }
            Argument::Float { size: 4 } => bytes
                .try_into()
                .map_or_else(|_| String::new(), |b| f32::from_le_bytes(b).to_string()),
            Argument::Float { .. } => bytes
                .try_into()
                .map_or_else(|_| String::new(), |b| f64::from_le_bytes(b).to_string()),
            Argument::Int { signed: true, .. } => signed_value(bytes).to_string(),
            Argument::Enum { names, .. } => {
                let value = signed_value(bytes);
                let name = names.iter().find(|(_, number)| i128::from(*number) == value);
                name.map_or_else(|| value.to_string(), |(name, _)| name.clone())
            }
            Argument::Bool { .. } => (bytes.first() == Some(&1)).to_string(),
            Argument::Int { .. } => unsigned_value(bytes).to_string(),
        }
    }
}

/// Appends zeros to bytes.
#[must_use]
pub fn padded(bytes: &[u8], size: usize) -> Vec<u8> {
    let mut out = bytes.to_vec();
    out.resize(size, 0);
    out
}

fn unsigned_value(bytes: &[u8]) -> u128 {
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u128::from(*byte))
}

fn signed_value(bytes: &[u8]) -> i128 {
    let unused = 128 - 8 * bytes.len().clamp(1, 16);
    ((unsigned_value(bytes) << unused) as i128) >> unused
}

/// An internet address in network byte order.
fn address(text: &str, size: usize) -> Result<Vec<u8>, String> {
    match size {
        4 => text
            .parse::<Ipv4Addr>()
            .map(|address| address.octets().to_vec())
            .map_err(|_| "it is not an IPv4 address such as 192.0.2.1".to_owned()),
        _ => text
            .parse::<Ipv6Addr>()
            .map(|address| address.octets().to_vec())
            .map_err(|_| "it is not an IPv6 address such as 2001:db8::1".to_owned()),
    }
}

/// A decimal, `0x`, `0o` or `0b` number as little-endian bytes.
fn int(text: &str, size: usize, signed: bool) -> Result<Vec<u8>, String> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) = match digits.get(..2) {
        Some("0x" | "0X") => (16, &digits[2..]),
        Some("0o") => (8, &digits[2..]),
        Some("0b") => (2, &digits[2..]),
        _ => (10, digits),
    };
    let bits = 8 * size as u32;
    let (least, most): (u128, u128) = match (signed, bits) {
        (true, bits) => (1 << (bits - 1), (1 << (bits - 1)) - 1),
        (false, 128) => (0, u128::MAX),
        (false, bits) => (0, (1 << bits) - 1),
    };
    let range = || {
        let least = if signed { format!("-{least}") } else { "0".into() };
        format!("it is not in the range from {least} to {most}")
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return Err("it is not a whole number".into());
    }
    let magnitude = u128::from_str_radix(digits, radix).map_err(|_| range())?;
    if magnitude > if negative { least } else { most } {
        return Err(range());
    }
    let value = if negative { magnitude.wrapping_neg() } else { magnitude };
    Ok(value.to_le_bytes()[..size].to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_and_their_ranges() {
        assert_eq!(int("5", 4, false), Ok(vec![5, 0, 0, 0]));
        assert_eq!(int("-1", 2, true), Ok(vec![255, 255]));
        assert_eq!(int("0xff", 1, false), Ok(vec![255]));
        assert_eq!(int("-128", 1, true), Ok(vec![128]));
        assert_eq!(int("18446744073709551615", 8, false), Ok(vec![255; 8]));
        assert_eq!(int(&u128::MAX.to_string(), 16, false), Ok(vec![255; 16]));
        for (text, size, signed) in
            [("256", 1, false), ("128", 1, true), ("-129", 1, true), ("-1", 4, false)]
        {
            assert!(int(text, size, signed).unwrap_err().contains("range"), "{text}");
        }
        for text in ["", "x", "1.5", "0x", "--1", "1 "] {
            assert!(int(text, 4, true).unwrap_err().contains("whole number"), "{text}");
        }
    }

    #[test]
    fn texts_floats_and_enums() {
        let text = Argument::Text { size: 4 };
        assert_eq!(text.parse("abc"), Ok(b"abc\0".to_vec()));
        assert!(text.parse("abcd").unwrap_err().contains("at most 3"));
        assert_eq!(Argument::Float { size: 4 }.parse("1.5"), Ok(1.5f32.to_le_bytes().to_vec()));
        assert!(Argument::Float { size: 8 }.parse("x").is_err());
        let names = [("RED".to_owned(), 1), ("LESS".to_owned(), -1)].into();
        let color = Argument::Enum { size: 4, signed: false, names };
        assert_eq!(color.parse("RED"), Ok(vec![1, 0, 0, 0]));
        assert_eq!(color.parse("LESS"), Ok(vec![255; 4]));
        assert_eq!(color.parse("7"), Ok(vec![7, 0, 0, 0]));
        assert!(color.parse("BLUE").unwrap_err().contains("RED, LESS"));
    }

    #[test]
    fn lists_and_addresses() {
        let number = |size, signed| Box::new(Argument::Int { size, signed });
        let list = Argument::Array { element: number(4, false), stride: 4, len: 3 };
        let bytes: Vec<u8> = [1u32, 2, 0].iter().flat_map(|n| n.to_le_bytes()).collect();
        assert_eq!(list.parse("1, 2"), Ok(bytes.clone()));
        assert_eq!(list.show(&bytes), "1,2");
        assert_eq!(list.parse(""), Ok(vec![0; 12]));
        assert!(list.parse("1,2,3,4").unwrap_err().contains("more than 3"));
        assert!(list.parse("1,x").unwrap_err().contains("`x`: it is not a whole number"));
        let bytes = |len| Argument::Array { element: number(1, false), stride: 1, len };
        assert_eq!(bytes(6).parse("52:54:00:12:34:ff"), Ok(vec![0x52, 0x54, 0, 0x12, 0x34, 0xff]));
        assert!(bytes(6).parse("52:54").unwrap_err().contains("hardware address"));
        assert_eq!(bytes(4).parse("192.0.2.1"), Ok(vec![192, 0, 2, 1]));
        assert_eq!(bytes(16).parse("::1").unwrap()[15], 1);
        assert_eq!(bytes(16).parse("1,2").unwrap()[..3], [1, 2, 0]);
        let address = Argument::Address { size: 4 };
        assert_eq!(address.parse("127.0.0.1"), Ok(vec![127, 0, 0, 1]));
        assert_eq!(address.parse("1"), Ok(vec![1, 0, 0, 0]));
        assert_eq!(address.show(&[127, 0, 0, 1]), "127.0.0.1");
        assert!(address.parse("localhost").unwrap_err().contains("IPv4"));
        assert!(Argument::Address { size: 16 }.parse("1.2.3.4").unwrap_err().contains("IPv6"));
        let names = [("RED".to_owned(), 1), ("BLUE".to_owned(), 2)].into();
        let color = Argument::Enum { size: 4, signed: false, names };
        assert_eq!(color.possible_values().as_deref(), Some("RED, BLUE"));
    }

    #[test]
    fn arrays_of_arrays_may_go_as_deep_as_they_like() {
        let mut b = crate::btf::tests::Builder::default();
        let mut inner = b.add(Kind::Int, "char", 0, 1, &[8]);
        for _ in 0..200_000 {
            inner = b.add(Kind::Array, "", 0, 0, &[inner, inner, 1]);
        }
        let bytes = b.bytes();
        let btf = crate::btf::Btf::parse(&bytes).unwrap();
        assert!(Argument::of(btf.ty(inner), 1).is_none());
        assert!(matches!(Argument::of(btf.ty(2), 1), Some(Argument::Text { size: 1 })));
        assert!(matches!(Argument::of(btf.ty(3), 1), Some(Argument::Array { .. })), "texts");
        assert!(Argument::of(btf.ty(4), 1).is_none());
    }

    #[test]
    fn values_in_words() {
        assert_eq!(Argument::Int { size: 4, signed: true }.show(&[255; 4]), "-1");
        assert_eq!(Argument::Int { size: 4, signed: false }.show(&[255; 4]), "4294967295");
        assert_eq!(Argument::Text { size: 4 }.show(b"ab\0\0"), "ab");
    }
}
