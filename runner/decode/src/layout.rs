// SPDX-License-Identifier: MIT
//! Layouts: what bytes mean. A layout and bytes together are a value. Bytes that are too short read
//! as zeros, so that nothing here fails.

mod compile;

use std::borrow::Cow;
use std::cmp::Ordering;

use bpfpack_schemas::btf::Type;
use serde::{Deserialize, Serialize};

use crate::field::{Field, float, part, signed, text, unsigned};
use crate::meaning::{Meaning, Sibling, Unit};

/// What the names of rates end in.
pub const PER_SECOND: &str = "/s";

/// What bytes mean.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// An integer of this many bytes, up to 16, little-endian.
    Int {
        /// Bytes.
        size: usize,
        /// Two's complement.
        signed: bool,
    },
    /// An address, 8 bytes.
    Pointer,
    /// A bool.
    Bool,
    /// A float of 4 or 8 bytes.
    Float {
        /// Bytes.
        size: usize,
    },
    /// An enum.
    Enum {
        /// Bytes.
        size: usize,
        /// Two's complement.
        signed: bool,
        /// Names by value.
        names: Vec<(i64, String)>,
    },
    /// An index with names: shown as the name alone.
    Label {
        /// Bytes.
        size: usize,
        /// Names by value; empty where there is none.
        names: Vec<String>,
    },
    /// `char[N]`: a string that ends at a zero.
    Text {
        /// Bytes.
        size: usize,
    },
    /// An array.
    Array {
        /// Of what.
        element: Box<Layout>,
        /// Bytes from one to the next.
        stride: usize,
        /// How many.
        len: usize,
    },
    /// An array at the end of a struct that goes on as long as the bytes do: `T name[]`.
    Rest {
        /// Of what: text, where it is plain `char`.
        element: Box<Layout>,
        /// Bytes from one to the next; 1 for text.
        stride: usize,
    },
    /// A struct or union.
    Struct(Struct),
    /// Bytes without a type.
    Bytes {
        /// Bytes.
        size: usize,
    },
}

/// A struct or union.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Struct {
    /// Bytes.
    pub size: usize,
    /// Members by offset. Those of anonymous structs and unions are members of the outer one.
    pub members: Vec<Member>,
}

/// A member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Its first byte.
    pub offset: usize,
    /// For a bitfield, its first bit in that byte, and how many there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bits: Option<(u32, u32)>,
    /// What it is.
    pub layout: Layout,
    /// What its value stands for, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meaning: Option<Meaning>,
    /// Of a text, where the record says how long it is, as `args` and `args_size` do: then it may
    /// be several, each with a zero at its end: where that number is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<Field>,
}

impl Layout {
    /// Compiles a type.
    pub fn of(ty: Type<'_>) -> Layout {
        compile::layout(ty)
    }

    /// The members of a struct; a value that is none is a member itself, with this name.
    #[must_use]
    pub fn members(&self, name: &str) -> Vec<Member> {
        match self {
            Layout::Struct(record) => record.members.clone(),
            other => vec![Member::new(name, 0, other.clone())],
        }
    }

    /// Its size in bytes.
    #[inline]
    pub fn size(&self) -> usize {
        match self {
            Layout::Int { size, .. }
            | Layout::Float { size }
            | Layout::Enum { size, .. }
            | Layout::Label { size, .. }
            | Layout::Text { size }
            | Layout::Bytes { size } => *size,
            Layout::Bool => 1,
            Layout::Pointer => 8,
            Layout::Rest { .. } => 0,
            Layout::Array { stride, len, .. } => stride.saturating_mul(*len),
            Layout::Struct(record) => record.size,
        }
    }

    /// Bytes and sign of a number; other values have their size and no sign.
    pub fn number(&self) -> (usize, bool) {
        match self {
            Layout::Int { size, signed } | Layout::Enum { size, signed, .. } => (*size, *signed),
            other => (other.size(), false),
        }
    }

    /// Order of two values, as a person would sort them.
    pub fn compare(&self, a: &[u8], b: &[u8]) -> Ordering {
        match self {
            Layout::Int { size, signed: true } | Layout::Enum { size, .. } => {
                signed(a, *size).cmp(&signed(b, *size))
            }
            Layout::Int { size, .. } | Layout::Label { size, .. } => {
                unsigned(a, *size).cmp(&unsigned(b, *size))
            }
            Layout::Pointer => unsigned(a, 8).cmp(&unsigned(b, 8)),
            Layout::Float { size } => float(a, *size).total_cmp(&float(b, *size)),
            Layout::Text { size } => text(a, *size).cmp(text(b, *size)),
            Layout::Bool | Layout::Bytes { .. } | Layout::Rest { .. } => a.cmp(b),
            Layout::Array { element, stride, len } => (0..*len)
                .map(|at| element.compare(part(a, at * stride), part(b, at * stride)))
                .find(|order| order.is_ne())
                .unwrap_or(Ordering::Equal),
            Layout::Struct(record) => record
                .members
                .iter()
                .map(|member| match member.bits {
                    Some(_) => member.raw(a).cmp(&member.raw(b)),
                    None => member.layout.compare(part(a, member.offset), part(b, member.offset)),
                })
                .find(|order| order.is_ne())
                .unwrap_or(Ordering::Equal),
        }
    }

    /// The beginning of a value as a number: where those of two values differ, the values have the
    /// same order. Many values are sorted by it at once.
    pub fn prefix(&self, bytes: &[u8]) -> u128 {
        const SIGN: u128 = 1 << 127;
        let begin = |bytes: &[u8]| {
            let mut all = [0; 16];
            let len = bytes.len().min(16);
            all[..len].copy_from_slice(&bytes[..len]);
            u128::from_be_bytes(all)
        };
        match self {
            Layout::Int { size, signed: true } | Layout::Enum { size, .. } => {
                signed(bytes, *size) as u128 ^ SIGN
            }
            Layout::Int { size, .. } | Layout::Label { size, .. } => unsigned(bytes, *size),
            Layout::Pointer => unsigned(bytes, 8),
            Layout::Float { size } => {
                // The order of `total_cmp`: all bits of what is negative are turned around.
                let bits = float(bytes, *size).to_bits();
                let mask = if bits >> 63 == 1 { u64::MAX } else { 1 << 63 };
                (bits ^ mask).into()
            }
            Layout::Text { size } => begin(text(bytes, *size)),
            Layout::Bool | Layout::Bytes { .. } | Layout::Rest { .. } => begin(bytes),
            Layout::Array { element, len, .. } if *len > 0 => element.prefix(bytes),
            Layout::Array { .. } => 0,
            Layout::Struct(record) => record.members.first().map_or(0, |first| first.prefix(bytes)),
        }
    }

    /// Whether two values with the same [`Layout::prefix`] are equal.
    pub fn has_whole_prefix(&self) -> bool {
        match self {
            Layout::Int { .. }
            | Layout::Enum { .. }
            | Layout::Label { .. }
            | Layout::Pointer
            | Layout::Float { .. } => true,
            Layout::Text { size } => *size <= 16,
            _ => false,
        }
    }

    /// The integers in it that count something. Enums, bools,
    /// strings, bitfields and the members named in `except` are not counters.
    pub fn counters(&self, except: &[String]) -> Vec<Field> {
        let mut found = Vec::new();
        self.collect_counters(0, except, &mut found);
        found
    }

    fn collect_counters(&self, at: usize, except: &[String], found: &mut Vec<Field>) {
        match self {
            Layout::Int { size, .. } if *size >= 4 => {
                found.push(Field { offset: at, size: *size });
            }
            Layout::Array { element, stride, len } => {
                for index in 0..*len {
                    element.collect_counters(at + index * stride, except, found);
                }
            }
            Layout::Struct(record) => {
                for member in &record.members {
                    if member.bits.is_none() && !except.contains(&member.name) {
                        member.layout.collect_counters(at + member.offset, except, found);
                    }
                }
            }
            _ => {}
        }
    }
}

impl Struct {
    /// Says what a member stands for; false where there is no such member.
    pub fn give_meaning(&mut self, name: &str, meaning: Meaning) -> bool {
        let meaning = meaning.beside(&siblings(&self.members));
        let member = self.members.iter_mut().find(|member| member.name == name);
        member.map(|member| member.meaning = Some(meaning)).is_some()
    }
}

impl Member {
    /// A member at an offset.
    pub fn new(name: impl Into<String>, offset: usize, layout: Layout) -> Member {
        Member { name: name.into(), offset, bits: None, layout, meaning: None, length: None }
    }

    /// Where its bytes are.
    #[must_use]
    pub fn field(&self) -> Field {
        Field { offset: self.offset, size: self.layout.size() }
    }

    /// Its name without the unit, where it stands for a time span or a time of day: such values are
    /// shown with a unit of their own. A rate keeps its `/s`.
    #[must_use]
    pub fn shown_name(&self) -> Cow<'_, str> {
        let is_time = matches!(self.meaning, Some(Meaning::Duration(_) | Meaning::Clock(_)));
        let (name, per) = match self.name.strip_suffix(PER_SECOND) {
            Some(name) => (name, PER_SECOND),
            None => (&*self.name, ""),
        };
        match name.rsplit_once('_') {
            Some((stem, unit)) if is_time && Unit::of_word(unit).is_some() => {
                Cow::Owned(format!("{stem}{per}"))
            }
            _ => Cow::Borrowed(&self.name),
        }
    }

    /// Whether this is meant by a name: its own, or the one that is shown, in upper or lower case.
    #[must_use]
    pub fn is_called(&self, name: &str) -> bool {
        let is_it = |own: &str| own.eq_ignore_ascii_case(name);
        let shown = self.shown_name();
        is_it(&self.name)
            || is_it(&shown)
            || [&*self.name, &*shown]
                .iter()
                .any(|it| it.strip_suffix(PER_SECOND).is_some_and(is_it))
    }

    /// The bytes of its value, or of the number of a bitfield, which `number` is room for.
    pub fn bytes<'b>(&self, record: &'b [u8], number: &'b mut [u8; 16]) -> &'b [u8] {
        match self.bits {
            None => part(record, self.offset),
            Some(_) => {
                *number = self.widened(record);
                number
            }
        }
    }

    /// Several texts behind each other as one, with spaces between; none where it is one.
    pub fn joined(&self, record: &[u8]) -> Option<Vec<u8>> {
        let len = usize::try_from(self.length?.unsigned(record)).ok()?;
        let bytes = part(record, self.offset);
        let room = match self.layout {
            Layout::Rest { .. } => bytes.len(),
            _ => self.layout.size(),
        };
        let bytes = &bytes[..len.min(room).min(bytes.len())];
        let end = bytes.iter().rposition(|byte| *byte != 0)? + 1;
        let is_zero = |byte: &u8| *byte == 0;
        bytes[..end].iter().any(is_zero).then(|| {
            bytes[..end].iter().map(|byte| if is_zero(byte) { b' ' } else { *byte }).collect()
        })
    }

    /// Whether a record is too short to hold any of it.
    #[inline]
    pub fn is_missing(&self, record: &[u8]) -> bool {
        self.offset >= record.len() && self.layout.size() > 0
    }

    /// The beginning of its value as a number, in the order of values: see [`Layout::prefix`].
    pub fn prefix(&self, record: &[u8]) -> u128 {
        match self.bits {
            Some(_) => self.raw(record),
            None => self.layout.prefix(part(record, self.offset)),
        }
    }

    /// The bits of a bitfield, or of an integer, as a number.
    pub fn raw(&self, bytes: &[u8]) -> u128 {
        match self.bits {
            Some((first, len)) => {
                let span = ((first + len) as usize).div_ceil(8);
                let all = unsigned(part(bytes, self.offset), span.min(16));
                (all >> first) & ((1u128 << len.min(127)) - 1)
            }
            None => unsigned(part(bytes, self.offset), self.layout.size().min(16)),
        }
    }

    /// The bits of a bitfield as bytes of its type: sign-extended where it is signed.
    pub fn widened(&self, bytes: &[u8]) -> [u8; 16] {
        let raw = self.raw(bytes);
        let is_signed = match &self.layout {
            // clang 14 does not say that an enum is signed; its values do.
            Layout::Enum { signed, names, .. } => {
                *signed || names.iter().any(|(value, _)| *value < 0)
            }
            other => other.number().1,
        };
        match self.bits {
            Some((_, len)) if is_signed && len > 0 && raw >> (len - 1) & 1 == 1 => {
                (raw | u128::MAX << len.min(127)).to_le_bytes()
            }
            _ => raw.to_le_bytes(),
        }
    }
}

/// What a meaning is told of the members beside it.
pub(crate) fn siblings(members: &[Member]) -> Vec<Sibling<'_>> {
    members
        .iter()
        .map(|Member { name, offset, layout, .. }| Sibling {
            name,
            offset: *offset,
            size: layout.size(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bitfields() {
        let int = |signed| Layout::Int { size: 4, signed };
        let member = |first, len, signed| Member {
            bits: Some((first, len)),
            ..Member::new("f", 0, int(signed))
        };
        let bytes = [0b1011_0100, 0b0000_0001];
        assert_eq!(member(2, 3, false).raw(&bytes), 0b101);
        assert_eq!(member(4, 5, false).raw(&bytes), 0b11011);
        assert_eq!(signed(&member(2, 3, true).widened(&bytes), 16), -3);
        assert_eq!(signed(&member(3, 3, true).widened(&bytes), 16), -2);
    }

    #[test]
    fn keys_sort_as_people_expect() {
        let u32_ = Layout::Int { size: 4, signed: false };
        assert_eq!(u32_.compare(&256u32.to_le_bytes(), &2u32.to_le_bytes()), Ordering::Greater);
        let i32_ = Layout::Int { size: 4, signed: true };
        assert_eq!(i32_.compare(&(-1i32).to_le_bytes(), &2i32.to_le_bytes()), Ordering::Less);
        let text = Layout::Text { size: 4 };
        assert_eq!(text.compare(b"ab\0z", b"ab\0a"), Ordering::Equal);
        let member = Member::new;
        let both = Layout::Struct(Struct {
            size: 8,
            members: vec![member("name", 0, text), member("cpu", 4, u32_)],
        });
        assert_eq!(both.compare(b"a\0\0\0\x02\0\0\0", b"a\0\0\0\x01\x01\0\0"), Ordering::Less);
    }

    #[test]
    fn prefixes_have_the_order_of_values() {
        let member = Member::new;
        let int = |size, signed| Layout::Int { size, signed };
        let bits = Member { bits: Some((2, 3)), ..member("bits", 0, int(4, false)) };
        let both = vec![member("a", 0, int(2, false)), member("b", 2, int(2, true))];
        let layouts = [
            int(4, true),
            int(8, false),
            int(16, true),
            Layout::Text { size: 5 },
            Layout::Float { size: 4 },
            Layout::Float { size: 8 },
            Layout::Bytes { size: 16 },
            Layout::Array { element: Box::new(int(2, true)), stride: 2, len: 3 },
            Layout::Struct(Struct { size: 4, members: both }),
            Layout::Struct(Struct { size: 4, members: vec![bits] }),
        ];
        let mut state = 7u64;
        let mut value = || -> Vec<u8> {
            let byte = |_| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                [0, 1, 0x7f, 0x80, 0xff, (state >> 40) as u8][(state >> 33) as usize % 6]
            };
            (0..16).map(byte).collect()
        };
        for _ in 0..2000 {
            let (a, b) = (value(), value());
            for layout in &layouts {
                let order = layout.prefix(&a).cmp(&layout.prefix(&b));
                assert!(order.is_eq() || order == layout.compare(&a, &b), "{layout:?} {a:?} {b:?}");
            }
        }
    }

    #[test]
    fn counters_leave_out_what_does_not_count() {
        let member = Member::new;
        let u64_ = || Layout::Int { size: 8, signed: false };
        let record = Layout::Struct(Struct {
            size: 48,
            members: vec![
                member("count", 0, u64_()),
                member("max", 8, u64_()),
                member("comm", 16, Layout::Text { size: 16 }),
                member(
                    "slots",
                    32,
                    Layout::Array {
                        element: Box::new(Layout::Int { size: 4, signed: false }),
                        stride: 4,
                        len: 2,
                    },
                ),
            ],
        });
        let field = |offset, size| Field { offset, size };
        assert_eq!(record.counters(&["max".into()]), [field(0, 8), field(32, 4), field(36, 4)]);
    }
}
