// SPDX-License-Identifier: MIT
//! The sources that modules see, by index: the package's buffers and maps, and those that modules
//! declare; and the offsets of their members.

use std::sync::Arc;

use bpfpack_decode::{Layout, Member, Struct};
use bpfpack_frame::Entry;
use bpfpack_spec::{BufferType, ReadFrom, Stream, View};

/// A source of records or rows.
#[derive(Debug, Clone)]
pub(crate) enum ModuleSource {
    /// Records of a buffer.
    Records(Arc<Stream>),
    /// Readings of a map.
    Rows(Arc<View>, Row),
}

/// The layout of a row: key and value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row {
    /// Size of the key in bytes; 0 if there is none.
    pub key: usize,
    /// Offset of the value.
    pub value_at: usize,
    /// Size of the value in bytes.
    pub value: usize,
    /// Bytes from one row to the next.
    pub stride: usize,
}

/// The location of a member, as modules see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MemberAt {
    /// Its offset.
    pub offset: u32,
    /// Size of the member or of an element, in bytes.
    pub size: u32,
    /// Its type code.
    pub ty: u32,
    /// The number of elements; 0 if they extend to the record's end.
    pub count: u32,
    /// Bytes from one element to the next.
    pub stride: u32,
    /// Offset and size of a bitfield, in bits.
    pub bits: (u16, u16),
}

impl ModuleSource {
    /// Its name: usually the map's.
    #[must_use]
    pub(crate) fn name(&self) -> &str {
        match self {
            ModuleSource::Records(stream) => &stream.name,
            ModuleSource::Rows(view, _) => &view.name,
        }
    }

    /// The origin of the records or readings.
    #[must_use]
    pub(crate) fn from(&self) -> &'static str {
        match self {
            ModuleSource::Rows(view, _) if view.from == ReadFrom::Stage => "module",
            ModuleSource::Rows(..) => "map",
            ModuleSource::Records(stream) => match stream.buffer {
                BufferType::Ring => "ring",
                BufferType::Perf { .. } => "perf",
                BufferType::Printk => "printk",
                BufferType::Stage => "module",
            },
        }
    }

    /// Finds a member by name; in rows, in the key or the value.
    #[must_use]
    pub(super) fn member(&self, kind: usize, name: &str) -> Option<MemberAt> {
        match self {
            ModuleSource::Records(stream) if name.is_empty() => {
                Some(MemberAt::whole(stream.records.get(kind)?.size))
            }
            ModuleSource::Rows(_, row) if name.is_empty() => Some(MemberAt::whole(row.stride)),
            ModuleSource::Records(stream) => {
                let layout = stream.records.get(kind)?.all();
                match layout {
                    Layout::Struct(record) => of_record(record, name, 0),
                    other if name == "value" => Some(MemberAt::of(other, 0)),
                    _ => None,
                }
            }
            ModuleSource::Rows(view, row) => {
                let parts =
                    [("key", view.key.as_ref(), 0), ("value", Some(&view.value), row.value_at)];
                let parts =
                    parts.into_iter().filter_map(|(of, layout, at)| Some((of, layout?, at)));
                let inside = |(_, layout, at): (&str, &Layout, usize)| match layout {
                    Layout::Struct(record) => of_record(record, name, at),
                    _ => None,
                };
                parts.clone().find_map(inside).or_else(|| {
                    parts.clone().find_map(|(of, layout, at)| {
                        let rest = name.strip_prefix(of)?;
                        match (rest.strip_prefix('.'), layout) {
                            (None, _) if rest.is_empty() => Some(MemberAt::of(layout, at)),
                            (Some(rest), Layout::Struct(record)) => of_record(record, rest, at),
                            _ => None,
                        }
                    })
                })
            }
        }
    }
}

impl Row {
    /// The layout of a view's rows.
    #[must_use]
    pub(super) fn of(view: &View) -> Row {
        let key = view.key.as_ref().map_or(0, Layout::size);
        let value = view.value.size();
        let value_at = key.next_multiple_of(8);
        Row { key, value_at, value, stride: value_at + value.next_multiple_of(8) }
    }

    /// Appends a row.
    pub(super) fn put(&self, entry: &Entry, out: &mut Vec<u8>) {
        let from = out.len();
        out.extend_from_slice(&entry.key()[..entry.key().len().min(self.key)]);
        out.resize(from + self.value_at, 0);
        out.extend_from_slice(&entry.value()[..entry.value().len().min(self.value)]);
        out.resize(from + self.stride, 0);
    }

    /// Splits rows into entries.
    #[must_use]
    pub(super) fn entries(&self, rows: &[u8]) -> Vec<Entry> {
        let entry = |row: &[u8]| Entry::new(&row[..self.key], &row[self.value_at..][..self.value]);
        rows.chunks_exact(self.stride.max(1)).map(entry).collect()
    }
}

fn of_record(record: &Struct, name: &str, base: usize) -> Option<MemberAt> {
    let is_it = |member: &&Member| member.name == name;
    if let Some(member) = record.members.iter().find(is_it) {
        return Some(MemberAt::of_member(member, base));
    }
    let (outer, inner) = name.split_once('.')?;
    let member = record.members.iter().find(|member| member.name == outer)?;
    match &member.layout {
        Layout::Struct(record) => of_record(record, inner, base + member.offset),
        _ => None,
    }
}

impl MemberAt {
    /// A whole record or row.
    fn whole(size: usize) -> MemberAt {
        MemberAt {
            offset: 0,
            size: size as u32,
            ty: 7,
            count: 1,
            stride: size as u32,
            bits: (0, 0),
        }
    }

    fn of_member(member: &Member, base: usize) -> MemberAt {
        let bits = member.bits.map_or((0, 0), |(first, count)| (first as u16, count as u16));
        MemberAt { bits, ..MemberAt::of(&member.layout, base + member.offset) }
    }

    fn of(layout: &Layout, offset: usize) -> MemberAt {
        let (element, count, stride) = match layout {
            Layout::Array { element, stride, len } => (&**element, *len, *stride),
            Layout::Rest { element, stride } => (&**element, 0, *stride),
            other => (other, 1, other.size()),
        };
        MemberAt {
            offset: offset as u32,
            size: element.size() as u32,
            ty: code(element),
            count: count as u32,
            stride: stride as u32,
            bits: (0, 0),
        }
    }

    /// The encoding in a module's memory.
    #[must_use]
    pub(super) fn bytes(&self) -> [u8; 24] {
        let mut bytes = [0; 24];
        let words = [self.offset, self.size, self.ty, self.count, self.stride];
        for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes[20..22].copy_from_slice(&self.bits.0.to_le_bytes());
        bytes[22..24].copy_from_slice(&self.bits.1.to_le_bytes());
        bytes
    }
}

/// The type code of `member` (runner/WASM.md).
fn code(layout: &Layout) -> u32 {
    match layout {
        Layout::Int { signed: true, .. } | Layout::Enum { signed: true, .. } => 2,
        Layout::Int { .. } | Layout::Enum { .. } | Layout::Label { .. } => 1,
        Layout::Float { .. } => 3,
        Layout::Bool => 4,
        Layout::Text { .. } => 5,
        Layout::Pointer => 6,
        Layout::Struct(_) => 7,
        Layout::Bytes { .. } | Layout::Array { .. } | Layout::Rest { .. } => 0,
    }
}
