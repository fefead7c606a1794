// SPDX-License-Identifier: MIT
//! Layouts: the structure and meaning of bytes. A layout and bytes together are a value. Missing
//! bytes read as zeros, so nothing here fails.

mod compile;

use std::borrow::Cow;
use std::cmp::Ordering;

use bpfpack_schemas::btf::Type;
use serde::{Deserialize, Serialize};

use crate::field::{Field, float, part, signed, text, unsigned};
use crate::meaning::{Meaning, Sibling, Unit};

/// The suffix of the names of rates.
pub const PER_SECOND: &str = "/s";

/// The layout of bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// A little-endian integer of up to 16 bytes.
    Int {
        /// Size in bytes.
        size: usize,
        /// Whether it is signed (two's complement).
        signed: bool,
    },
    /// A pointer of 8 bytes.
    Pointer,
    /// A bool.
    Bool,
    /// A float of 4 or 8 bytes.
    Float {
        /// Size in bytes.
        size: usize,
    },
    /// An enum.
    Enum {
        /// Size in bytes.
        size: usize,
        /// Whether it is signed (two's complement).
        signed: bool,
        /// Names by value.
        names: Vec<(i64, String)>,
    },
    /// An index with names, shown only as the name.
    Label {
        /// Size in bytes.
        size: usize,
        /// Names by value; an empty name means none.
        names: Vec<String>,
    },
    /// `char[N]`: a zero-terminated string.
    Text {
        /// Size in bytes.
        size: usize,
    },
    /// An array.
    Array {
        /// The layout of an element.
        element: Box<Layout>,
        /// Bytes from one element to the next.
        stride: usize,
        /// The number of elements.
        len: usize,
    },
    /// A flexible array at the end of a struct, `T name[]`, which extends to the end of the bytes.
    Rest {
        /// The layout of an element; for plain `char`, text.
        element: Box<Layout>,
        /// Bytes from one element to the next; 1 for text.
        stride: usize,
    },
    /// A struct or union.
    Struct(Struct),
    /// Bytes without a type.
    Bytes {
        /// Size in bytes.
        size: usize,
    },
}

/// A struct or union.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Struct {
    /// Size in bytes.
    pub size: usize,
    /// Members in order of their offsets. Members of anonymous structs and unions belong to the
    /// outer one.
    pub members: Vec<Member>,
}

/// A member of a struct.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Its offset in bytes.
    pub offset: usize,
    /// For a bitfield, its first bit relative to the offset, and its number of bits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bits: Option<(u32, u32)>,
    /// Its layout.
    pub layout: Layout,
    /// The meaning of its value, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meaning: Option<Meaning>,
    /// For a text whose length is in another member, as with `args` and `args_size`: the location
    /// of the length. Such a text may be several zero-terminated strings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<Field>,
}

impl Layout {
    /// Compiles a type.
    pub fn of(ty: Type<'_>) -> Layout {
        compile::layout(ty)
    }

    /// The members of a struct. A value that is not a struct is returned as a member with this
    /// name.
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

    /// Size and sign of a number. Other values return their size and false.
    pub fn number(&self) -> (usize, bool) {
        match self {
            Layout::Int { size, signed } | Layout::Enum { size, signed, .. } => (*size, *signed),
            other => (other.size(), false),
        }
    }

    /// Compares two values in the order that a reader expects.
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

    /// The beginning of a value as a number that has the same order as the values, if the numbers
    /// differ. It makes sorting many values fast.
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
                // The order of `total_cmp`: all bits of negative numbers are inverted.
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

    /// Whether equal prefixes ([`Layout::prefix`]) mean equal values.
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

    /// The integers in it that are counters. Enums, bools, strings, bitfields and the members named
    /// in `except` are not counters.
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
    /// Sets the meaning of a member. Returns false if there is no such member.
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

    /// The location of its bytes.
    #[must_use]
    pub fn field(&self) -> Field {
        Field { offset: self.offset, size: self.layout.size() }
    }

    /// Its name without the unit, if it is a duration or a time of day: such values are shown with
    /// a unit. A rate keeps its `/s`.
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

    /// Whether a name refers to this member: its own name or the shown one, in any case.
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

    /// The bytes of its value. A bitfield is extracted to `number`.
    pub fn bytes<'b>(&self, record: &'b [u8], number: &'b mut [u8; 16]) -> &'b [u8] {
        match self.bits {
            None => part(record, self.offset),
            Some(_) => {
                *number = self.widened(record);
                number
            }
        }
    }

    /// Joins several strings of a text with spaces; `None` if it is only one.
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

    /// Whether a record ends before this member.
    #[inline]
    pub fn is_missing(&self, record: &[u8]) -> bool {
        self.offset >= record.len() && self.layout.size() > 0
    }

    /// The beginning of its value as a number with the order of values: see [`Layout::prefix`].
    pub fn prefix(&self, record: &[u8]) -> u128 {
        match self.bits {
            Some(_) => self.raw(record),
            None => self.layout.prefix(part(record, self.offset)),
        }
    }

    /// The bits of a bitfield or integer as a number.
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

    /// The value of a bitfield or integer with a sign.
    pub fn signed(&self, bytes: &[u8]) -> i128 {
        match self.bits {
            Some(_) => i128::from_le_bytes(self.widened(bytes)),
            None => signed(part(bytes, self.offset), self.layout.size()),
        }
    }

    /// The bits of a bitfield as bytes of its type, sign-extended if the type is signed.
    pub fn widened(&self, bytes: &[u8]) -> [u8; 16] {
        let raw = self.raw(bytes);
        let is_signed = match &self.layout {
            // clang 14 does not mark an enum as signed, but its values show it.
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

/// The members as siblings, from which meanings find their family.
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
