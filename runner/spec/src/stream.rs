// SPDX-License-Identifier: MIT
//! Buffers of records, and their record types.

use bpfpack_decode::meaning::Meaning;
use bpfpack_decode::{Layout, Member};
use serde::{Deserialize, Serialize};

use crate::stacks::{Stack, StackEvent};

/// A buffer of records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stream {
    /// Its index among the sources.
    pub index: usize,
    /// The map's name.
    pub name: String,
    /// The types of its records, at least one.
    pub records: Vec<RecordType>,
    /// The member that distinguishes them, at the same offset in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<Member>,
    /// The kind of buffer.
    pub buffer: BufferType,
}

/// The kind of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BufferType {
    /// A ring buffer.
    Ring,
    /// A perf buffer.
    Perf {
        /// Pages per CPU.
        pages: usize,
    },
    /// The kernel's trace buffer with lines of `bpf_printk`.
    Printk,
    /// No buffer: a stage makes the records.
    Stage,
}

/// A record type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordType {
    /// Its name.
    pub name: String,
    /// The members to show.
    pub layout: Layout,
    /// All members, if only some are shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole: Option<Layout>,
    /// Its size in bytes.
    pub size: usize,
    /// The value of the tag member in its records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<i64>,
    /// The stacks in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stacks: Vec<Stack>,
    /// How to show its stacks as an event, if the package asks for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<StackEvent>,
}

impl RecordType {
    /// A type with all members shown.
    pub fn new(name: impl Into<String>, layout: Layout, tag: Option<i64>) -> RecordType {
        let size = layout.size();
        RecordType {
            name: name.into(),
            layout,
            whole: None,
            size,
            tag,
            stacks: Vec::new(),
            event: None,
        }
    }

    /// All members, whether shown or not.
    #[must_use]
    pub fn all(&self) -> &Layout {
        self.whole.as_ref().unwrap_or(&self.layout)
    }

    /// Whether a record is too short to contain any member.
    #[inline(always)]
    #[must_use]
    pub fn is_malformed(&self, record: &[u8]) -> bool {
        match &self.layout {
            Layout::Struct(layout) => layout.members.iter().all(|member| member.is_missing(record)),
            _ => record.is_empty(),
        }
    }
}

impl Stream {
    /// Whether records have stacks, or addresses of kernel code.
    #[must_use]
    pub fn has_addresses(&self) -> bool {
        self.records.iter().any(|ty| {
            let is_address = |member: &Member| member.meaning == Some(Meaning::KernelAddress);
            let has_address =
                matches!(&ty.layout, Layout::Struct(record) if record.members.iter().any(is_address));
            has_address || !ty.stacks.is_empty()
        })
    }

    /// The index of a record's type: the one with its tag; otherwise the one with its size;
    /// otherwise, because perf buffers pad records, the largest that fits; otherwise the first.
    #[inline]
    #[must_use]
    pub fn type_of(&self, bytes: &[u8]) -> usize {
        if self.records.len() == 1 { 0 } else { self.type_among_several(bytes) }
    }

    fn type_among_several(&self, bytes: &[u8]) -> usize {
        if let Some(tag) = &self.tag {
            let raw = tag.raw(bytes);
            let bits = tag.bits.map_or(8 * tag.layout.size().min(16) as u32, |(_, len)| len);
            let mask = u128::MAX >> (128 - bits.clamp(1, 128));
            let has =
                |ty: &RecordType| ty.tag.is_some_and(|tag| i128::from(tag) as u128 & mask == raw);
            if let Some(at) = self.records.iter().position(has) {
                return at;
            }
        }
        // In a perf buffer, the kernel puts four bytes before a record, and pads to a multiple of
        // eight.
        let size = |ty: &RecordType| match self.buffer {
            BufferType::Perf { .. } => (ty.size + 4).next_multiple_of(8) - 4,
            _ => ty.size,
        };
        let exact = self.records.iter().position(|ty| size(ty) == bytes.len());
        exact.unwrap_or_else(|| {
            let fitting = self.records.iter().enumerate().filter(|(_, t)| size(t) <= bytes.len());
            fitting.max_by_key(|(_, ty)| size(ty)).map_or(0, |(at, _)| at)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_told_apart_by_tag_and_by_size() {
        let ty = |name: &str, size, tag| RecordType::new(name, Layout::Bytes { size }, tag);
        let mut stream = Stream {
            index: 0,
            name: "rb".into(),
            records: vec![ty("a", 8, Some(1)), ty("b", 16, Some(-2)), ty("c", 24, None)],
            tag: None,
            buffer: BufferType::Ring,
        };
        let type_of = |stream: &Stream, first: u8, len: usize| {
            stream.type_of(&[&[first][..], &vec![0xff; len - 1]].concat())
        };
        assert_eq!([8, 16, 24, 20, 4].map(|len| type_of(&stream, 1, len)), [0, 1, 2, 1, 0]);
        let layout = Layout::Int { size: 1, signed: true };
        stream.tag = Some(Member::new("t", 0, layout));
        assert_eq!(type_of(&stream, 1, 24), 0);
        assert_eq!(type_of(&stream, 0xfe, 8), 1);
        assert_eq!(type_of(&stream, 9, 24), 2);
        // A tag of 4 GB is read as one of 16 bytes.
        stream.tag = Some(Member::new("t", 0, Layout::Text { size: u32::MAX as usize }));
        assert_eq!(type_of(&stream, 1, 24), 2);
        // A record of 16 bytes takes 20 in a perf buffer.
        stream.tag = None;
        stream.buffer = BufferType::Perf { pages: 1 };
        stream.records = vec![ty("a", 16, None), ty("b", 24, None)];
        assert_eq!([20, 28].map(|len| type_of(&stream, 1, len)), [0, 1]);
    }
}
