// SPDX-License-Identifier: MIT
//! What modules see: the package's buffers and maps, and what modules declare, by number; and where
//! their members are.

use std::sync::Arc;

use crate::collect::maps::Entry;
use crate::decode::{Layout, Member, Record};
use crate::view::{Stream, StreamKind, View};

/// A source of records or rows.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its name: the map's, as a rule.
    pub name: String,
    /// What comes from it.
    pub what: What,
    /// A module made it.
    pub is_declared: bool,
}

/// What comes from a source.
#[derive(Debug, Clone)]
pub enum What {
    /// Records of a buffer.
    Records(Arc<Stream>),
    /// Readings of a map.
    Rows(Arc<View>, Row),
}

/// Where key and value are in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Bytes of the key; 0 where there is none.
    pub key: usize,
    /// First byte of the value.
    pub value_at: usize,
    /// Bytes of the value.
    pub value: usize,
    /// Bytes from a row to the next.
    pub stride: usize,
}

/// Where a member is, as a module is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// First byte.
    pub offset: u32,
    /// Bytes of it, or of an element.
    pub size: u32,
    /// What it is.
    pub ty: u32,
    /// How many elements; 0: to the record's end.
    pub count: u32,
    /// Bytes from an element to the next.
    pub stride: u32,
    /// The bits of a bitfield.
    pub bits: (u16, u16),
}

impl Source {
    /// What the records come from, or the readings.
    #[must_use]
    pub fn from(&self) -> &'static str {
        match &self.what {
            _ if self.is_declared => "module",
            What::Rows(..) => "map",
            What::Records(stream) => match stream.kind {
                StreamKind::Ring => "ring",
                StreamKind::Perf { .. } => "perf",
                StreamKind::Lines => "printk",
            },
        }
    }

    /// Finds a member by its name; in rows, of the key or the value.
    #[must_use]
    pub fn member(&self, kind: usize, name: &str) -> Option<Place> {
        match &self.what {
            What::Records(stream) if name.is_empty() => {
                Some(Place::whole(stream.kinds.get(kind)?.size))
            }
            What::Rows(_, row) if name.is_empty() => Some(Place::whole(row.stride)),
            What::Records(stream) => {
                let layout = stream.kinds.get(kind)?.all();
                match layout {
                    Layout::Record(record) => of_record(record, name, 0),
                    other if name == "value" => Some(Place::of(other, 0)),
                    _ => None,
                }
            }
            What::Rows(view, row) => {
                let parts =
                    [("key", view.key.as_ref(), 0), ("value", Some(&view.value), row.value_at)];
                let parts =
                    parts.into_iter().filter_map(|(of, layout, at)| Some((of, layout?, at)));
                let inside = |(_, layout, at): (&str, &Layout, usize)| match layout {
                    Layout::Record(record) => of_record(record, name, at),
                    _ => None,
                };
                parts.clone().find_map(inside).or_else(|| {
                    parts.clone().find_map(|(of, layout, at)| {
                        let rest = name.strip_prefix(of)?;
                        match (rest.strip_prefix('.'), layout) {
                            (None, _) if rest.is_empty() => Some(Place::of(layout, at)),
                            (Some(rest), Layout::Record(record)) => of_record(record, rest, at),
                            _ => None,
                        }
                    })
                })
            }
        }
    }
}

impl Row {
    /// The rows of a view.
    #[must_use]
    pub fn of(view: &View) -> Row {
        let key = view.key.as_ref().map_or(0, Layout::size);
        let value = view.value.size();
        let value_at = key.next_multiple_of(8);
        Row { key, value_at, value, stride: value_at + value.next_multiple_of(8) }
    }

    /// Appends a row.
    pub fn put(&self, entry: &Entry, out: &mut Vec<u8>) {
        let from = out.len();
        out.extend_from_slice(&entry.key[..entry.key.len().min(self.key)]);
        out.resize(from + self.value_at, 0);
        out.extend_from_slice(&entry.value[..entry.value.len().min(self.value)]);
        out.resize(from + self.stride, 0);
    }

    /// The elements that rows are.
    #[must_use]
    pub fn entries(&self, rows: &[u8]) -> Vec<Entry> {
        let entry = |row: &[u8]| Entry {
            key: row[..self.key].to_vec(),
            value: row[self.value_at..][..self.value].to_vec(),
        };
        rows.chunks_exact(self.stride.max(1)).map(entry).collect()
    }
}

fn of_record(record: &Record, name: &str, base: usize) -> Option<Place> {
    let is_it = |member: &&Member| member.name == name;
    if let Some(member) = record.members.iter().find(is_it) {
        return Some(Place::of_member(member, base));
    }
    let (outer, inner) = name.split_once('.')?;
    let member = record.members.iter().find(|member| member.name == outer)?;
    match &member.layout {
        Layout::Record(record) => of_record(record, inner, base + member.offset),
        _ => None,
    }
}

impl Place {
    /// A record, or a row, as a whole.
    fn whole(size: usize) -> Place {
        Place { offset: 0, size: size as u32, ty: 7, count: 1, stride: size as u32, bits: (0, 0) }
    }

    fn of_member(member: &Member, base: usize) -> Place {
        let bits = member.bits.map_or((0, 0), |(first, count)| (first as u16, count as u16));
        Place { bits, ..Place::of(&member.layout, base + member.offset) }
    }

    fn of(layout: &Layout, offset: usize) -> Place {
        let (element, count, stride) = match layout {
            Layout::Array { element, stride, len } => (&**element, *len, *stride),
            Layout::Rest { element, stride } => (&**element, 0, *stride),
            other => (other, 1, other.size()),
        };
        Place {
            offset: offset as u32,
            size: element.size() as u32,
            ty: code(element),
            count: count as u32,
            stride: stride as u32,
            bits: (0, 0),
        }
    }

    /// As it stands in a module's memory.
    #[must_use]
    pub fn bytes(&self) -> [u8; 24] {
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

/// What `member` calls a type (runner/WASM.md).
fn code(layout: &Layout) -> u32 {
    match layout {
        Layout::Int { signed: true, .. } | Layout::Enum { signed: true, .. } => 2,
        Layout::Int { .. } | Layout::Enum { .. } | Layout::Label { .. } => 1,
        Layout::Float { .. } => 3,
        Layout::Bool => 4,
        Layout::Text { .. } => 5,
        Layout::Pointer => 6,
        Layout::Record(_) => 7,
        Layout::Bytes { .. } | Layout::Array { .. } | Layout::Rest { .. } => 0,
    }
}
