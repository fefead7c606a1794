// SPDX-License-Identifier: MIT
//! Batches of records, readings of maps, and typed access to their members. Nothing outside a
//! record is ever read: bytes after its end read as zeros.

use crate::about::stride;
use crate::{border, Chars, Source};

/// The type of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// Bytes without a type.
    Bytes,
    /// An unsigned number.
    Unsigned,
    /// A signed number, in two's complement.
    Signed,
    /// A floating-point number.
    Float,
    /// A boolean.
    Bool,
    /// A text.
    Text,
    /// A pointer.
    Pointer,
    /// A struct.
    Struct,
}

/// The position and type of a member in a record. [`Source::member`] finds it once, before records
/// arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// The offset from the start of the record, in bytes.
    pub offset: u32,
    /// The size in bytes; in an array, of one element.
    pub size: u32,
    /// The type; in an array, of one element.
    pub ty: Type,
    /// The number of elements: 1 if it is not an array, 0 if the array ends with the record.
    pub count: u32,
    /// The distance between elements in bytes.
    pub stride: u32,
    left: u8,
    right: u8,
}

/// An element of an array.
pub type Element = Member;

impl Member {
    pub(crate) fn new(place: &[u8; 24]) -> Member {
        let word = |at: usize| {
            u32::from_le_bytes([place[at], place[at + 1], place[at + 2], place[at + 3]])
        };
        let half = |at: usize| u32::from(u16::from_le_bytes([place[at], place[at + 1]]));
        let ty = match word(8) {
            1 => Type::Unsigned,
            2 => Type::Signed,
            3 => Type::Float,
            4 => Type::Bool,
            5 => Type::Text,
            6 => Type::Pointer,
            7 => Type::Struct,
            _ => Type::Bytes,
        };
        let (mut offset, size, mut first, mut bits) = (word(0), word(4), half(20), half(22));
        if bits == 0 {
            first = 0;
            bits = size.min(8) * 8;
        }
        offset = offset.saturating_add(first / 8);
        first %= 8;
        // A packed bitfield can span 9 bytes: its last bits are omitted.
        bits = bits.clamp(1, 64 - first);
        Member {
            offset,
            size,
            ty,
            count: word(12),
            stride: word(16),
            left: (64 - first - bits) as u8,
            right: (64 - bits) as u8,
        }
    }

    /// An element of an array. An element that does not exist reads as zeros.
    #[must_use]
    #[inline]
    pub fn element(self, index: u32) -> Element {
        let is_there = self.count == 0 || index < self.count;
        let offset = self.stride.checked_mul(index).and_then(|far| far.checked_add(self.offset));
        let offset = offset.filter(|_| is_there).unwrap_or(u32::MAX);
        Member { offset, count: 1, ..self }
    }
}

/// A record, or a row of a reading.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Its source.
    pub source: Source,
    /// Its kind, an index into the records of its source in the description; 0 for rows.
    pub kind: u16,
    /// The CPU that wrote it, if the buffer records it (perf buffers).
    pub cpu: Option<u16>,
}

impl<'a> Record<'a> {
    #[inline]
    fn load(&self, member: Member) -> u64 {
        let at = member.offset as usize;
        let rest = self.bytes.get(at..).unwrap_or(&[]);
        let bits = if let Some(Ok(bytes)) = rest.get(..8).map(<[u8; 8]>::try_from) {
            u64::from_le_bytes(bytes)
        } else if let Some(Ok(bytes)) =
            (member.left >= 32).then(|| rest.get(..4)).flatten().map(<[u8; 4]>::try_from)
        {
            u32::from_le_bytes(bytes).into()
        } else {
            short(rest)
        };
        bits << member.left
    }

    /// A member as an unsigned number; bitfields, too.
    #[must_use]
    #[inline]
    pub fn u64(&self, member: Member) -> u64 {
        self.load(member) >> member.right
    }

    /// The lower 32 bits of [`Record::u64`].
    #[must_use]
    #[inline]
    pub fn u32(&self, member: Member) -> u32 {
        self.u64(member) as u32
    }

    /// A member as a signed number. Unsigned types are not sign-extended.
    #[must_use]
    #[inline]
    pub fn i64(&self, member: Member) -> i64 {
        let bits = self.load(member);
        match member.ty {
            Type::Signed => bits as i64 >> member.right,
            _ => (bits >> member.right) as i64,
        }
    }

    /// Whether a member is not 0.
    #[must_use]
    #[inline]
    pub fn bool(&self, member: Member) -> bool {
        self.u64(member) != 0
    }

    /// A member as a floating-point number; integers are converted.
    #[must_use]
    #[inline]
    pub fn f64(&self, member: Member) -> f64 {
        let bits = self.u64(member);
        match (member.ty, member.size) {
            (Type::Float, 4) => f32::from_bits(bits as u32).into(),
            (Type::Float, _) => f64::from_bits(bits),
            (Type::Signed, _) => self.i64(member) as f64,
            _ => bits as f64,
        }
    }

    /// The bytes of a member, as far as the record contains them.
    #[must_use]
    #[inline]
    pub fn bytes_of(&self, member: Member) -> &'a [u8] {
        let rest = self.bytes.get(member.offset as usize..).unwrap_or(&[]);
        let size = match member.count {
            0 => rest.len(),
            1 => member.size as usize,
            count => (count as usize).saturating_mul(member.stride as usize),
        };
        rest.get(..size).unwrap_or(rest)
    }

    /// A member as text, up to its first zero byte.
    #[must_use]
    #[inline]
    pub fn text(&self, member: Member) -> Chars<'a> {
        let bytes = self.bytes_of(member);
        let len = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        Chars(&bytes[..len])
    }

    /// The elements of an array, as far as the record contains them.
    pub fn elements(&self, array: Member) -> impl Iterator<Item = Element> {
        let rest = self.bytes.len().saturating_sub(array.offset as usize);
        let count = match (array.count, array.stride) {
            (0, 0) => 0,
            (0, stride) => (rest / stride as usize) as u32,
            (count, _) => count,
        };
        (0..count).map(move |index| array.element(index))
    }

    /// Shows the record, or passes it to the next module.
    #[inline]
    pub fn emit(&self) {
        border::emit(self.source.number, self.kind.into(), self.bytes);
    }
}

#[cold]
fn short(rest: &[u8]) -> u64 {
    rest.iter().take(8).rev().fold(0, |bits, byte| bits << 8 | u64::from(*byte))
}

/// Consecutive records of a buffer.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// The source of the records.
    pub source: Source,
    /// When they were read: [`crate::Clock::Monotonic`], in nanoseconds.
    pub time: u64,
    bytes: &'a [u8],
}

impl<'a> Batch<'a> {
    /// A batch in the layout of runner/WASM.md, for tests.
    #[must_use]
    pub fn new(source: u32, bytes: &'a [u8], time: u64) -> Batch<'a> {
        Batch { source: Source { number: source }, time, bytes }
    }

    /// The records, in order.
    #[inline]
    pub fn records(&self) -> impl Iterator<Item = Record<'a>> {
        let (mut rest, source) = (self.bytes, self.source);
        core::iter::from_fn(move || {
            let header = <[u8; 8]>::try_from(rest.get(..8)?).ok()?;
            let [a, b, c, d, k, l, m, n] = header;
            let len = u32::from_le_bytes([a, b, c, d]) as usize;
            let bytes = rest.get(8..len.checked_add(8)?)?;
            rest = len.checked_add(15).and_then(|end| rest.get(end & !7..)).unwrap_or(&[]);
            let cpu = Some(u16::from_le_bytes([m, n])).filter(|cpu| *cpu != u16::MAX);
            Some(Record { bytes, source, kind: u16::from_le_bytes([k, l]), cpu })
        })
    }
}

/// A reading of a map.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'a> {
    /// The source of the reading.
    pub source: Source,
    /// When it was read: [`crate::Clock::Monotonic`], in nanoseconds.
    pub time: u64,
    bytes: &'a [u8],
    stride: usize,
}

impl<'a> Sample<'a> {
    /// A reading in the layout of runner/WASM.md, for tests.
    #[must_use]
    pub fn new(source: u32, bytes: &'a [u8], time: u64) -> Sample<'a> {
        let stride = stride(source).unwrap_or_else(|| bytes.len().max(1));
        Sample { source: Source { number: source }, time, bytes, stride }
    }

    /// The rows. Members of keys and values are read as those of records.
    pub fn rows(&self) -> impl Iterator<Item = Record<'a>> {
        let source = self.source;
        let rows = self.bytes.chunks_exact(self.stride);
        rows.map(move |bytes| Record { bytes, source, kind: 0, cpu: None })
    }

    /// Shows the reading unchanged.
    pub fn show(&self) {
        border::rows(self.source.number, self.bytes);
    }
}

#[cfg(feature = "alloc")]
mod rows {
    use alloc::vec::Vec;

    use super::*;

    /// Rows of a map that are collected and shown as one reading.
    #[derive(Debug, Clone, Default)]
    pub struct RowBytes(Vec<u8>);

    impl RowBytes {
        /// No rows.
        #[must_use]
        pub const fn new() -> RowBytes {
            RowBytes(Vec::new())
        }

        /// Adds a row.
        pub fn add(&mut self, row: &Record<'_>) {
            self.0.extend_from_slice(row.bytes);
        }

        /// Shows the rows as one reading of a source, and removes them.
        pub fn show(&mut self, source: Source) {
            border::rows(source.number, &self.0);
            self.0.clear();
        }
    }
}
#[cfg(feature = "alloc")]
pub use rows::RowBytes;

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    fn member(words: [u32; 5], first: u16, bits: u16) -> Member {
        let mut place = [0; 24];
        for (at, word) in words.iter().enumerate() {
            place[at * 4..at * 4 + 4].copy_from_slice(&word.to_le_bytes());
        }
        place[20..22].copy_from_slice(&first.to_le_bytes());
        place[22..24].copy_from_slice(&bits.to_le_bytes());
        Member::new(&place)
    }

    fn record(bytes: &[u8]) -> Record<'_> {
        Record { bytes, source: Source { number: 0 }, kind: 0, cpu: None }
    }

    #[test]
    fn numbers_of_all_sizes() {
        let bytes = [0xfe, 0xff, 0xff, 0xff, 1, 2, 3, 4, 5, 6, 7, 0x88];
        let record = record(&bytes);
        for (size, unsigned) in [(1, 0xfe), (2, 0xfffe), (4, 0xffff_fffe)] {
            assert_eq!(record.u64(member([0, size, 1, 1, size], 0, 0)), unsigned);
            assert_eq!(record.i64(member([0, size, 1, 1, size], 0, 0)), unsigned as i64);
            assert_eq!(record.i64(member([0, size, 2, 1, size], 0, 0)), -2);
        }
        assert_eq!(record.u64(member([4, 8, 1, 1, 8], 0, 0)), 0x8807_0605_0403_0201);
        assert_eq!(record.u64(member([8, 4, 1, 1, 4], 0, 0)), 0x8807_0605);
        assert_eq!(record.u64(member([11, 1, 1, 1, 1], 0, 0)), 0x88);
        // Bytes after the end of the record read as zeros.
        assert_eq!(record.u64(member([10, 4, 1, 1, 4], 0, 0)), 0x8807);
        assert_eq!(record.u64(member([12, 8, 1, 1, 8], 0, 0)), 0);
        assert_eq!(record.u64(member([u32::MAX, 8, 1, 1, 8], 0, 0)), 0);
    }

    #[test]
    fn bitfields_floats_texts() {
        let mut bytes = 0b1011_0110_0000_0101u64.to_le_bytes().to_vec();
        bytes.extend(1.5f32.to_le_bytes());
        bytes.extend((-2.5f64).to_le_bytes());
        bytes.extend(b"ab\0cdefg");
        let record = record(&bytes);
        assert_eq!(record.u64(member([0, 4, 1, 1, 4], 0, 3)), 5);
        assert_eq!(record.u64(member([0, 4, 1, 1, 4], 9, 2)), 3);
        assert_eq!(record.i64(member([0, 4, 2, 1, 4], 13, 3)), -3);
        assert_eq!(record.f64(member([8, 4, 3, 1, 4], 0, 0)), 1.5);
        assert_eq!(record.f64(member([12, 8, 3, 1, 8], 0, 0)), -2.5);
        assert_eq!(*record.text(member([20, 8, 5, 1, 8], 0, 0)), *b"ab");
        assert_eq!(*record.text(member([23, 3, 5, 1, 3], 0, 0)), *b"cde");
        assert_eq!(*record.text(member([23, 1, 5, 0, 1], 0, 0)), *b"cdefg");
        assert_eq!(*record.text(member([99, 1, 5, 0, 1], 0, 0)), *b"");
    }

    #[test]
    fn arrays_end_where_they_end() {
        let bytes = [1, 0, 2, 0, 3, 0, 4];
        let record = record(&bytes);
        let read = |array: Member| -> Vec<u64> {
            record.elements(array).map(|element| record.u64(element)).collect()
        };
        let array = member([0, 2, 1, 2, 2], 0, 0);
        assert_eq!(read(array), [1, 2]);
        assert_eq!(record.u64(array.element(2)), 0);
        assert_eq!(read(member([2, 2, 1, 0, 2], 0, 0)), [2, 3]);
        assert_eq!(read(member([2, 2, 1, 0, 0], 0, 0)), []);
        assert_eq!(read(member([50, 2, 1, 0, 2], 0, 0)), []);
        assert_eq!(record.u64(array.element(u32::MAX)), 0);
    }

    #[test]
    fn batches_of_any_bytes() {
        let mut bytes = Vec::new();
        for (len, kind, cpu) in [(3u32, 1u16, 65535u16), (8, 0, 2), (0, 0, 0)] {
            bytes.extend(len.to_le_bytes());
            bytes.extend(kind.to_le_bytes());
            bytes.extend(cpu.to_le_bytes());
            bytes.extend((0..(len + 7) / 8 * 8).map(|_| 7));
        }
        let all: Vec<_> = Batch::new(3, &bytes, 0)
            .records()
            .map(|record| (record.bytes.len(), record.kind, record.cpu))
            .collect();
        assert_eq!(all, [(3, 1, None), (8, 0, Some(2)), (0, 0, Some(0))]);
        for end in 0..bytes.len() {
            assert!(Batch::new(3, &bytes[..end], 0).records().count() < 3);
        }
        assert_eq!(Batch::new(3, &[255; 64], 0).records().count(), 0);
    }
}
