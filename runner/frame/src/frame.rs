// SPDX-License-Identifier: MIT
//! Frames: batches of records, readings, and what stages make.

use std::rc::Rc;
use std::sync::Arc;

use bpfpack_decode::Field;
use bpfpack_decode::field::combine;
use bpfpack_failure::Failure;
use bpfpack_spec::{RecordType, Stream, View};

use crate::stage::Next;
use crate::time::Time;

/// What flows from a source to the outputs.
#[derive(Debug)]
pub enum Frame<'a> {
    /// Records of a buffer.
    Records(&'a Records<'a>),
    /// One pass over a map, or over variables. It is shared by all that show it.
    Reading(Rc<Reading>),
    /// Lines of text that a stage made.
    Text(Time, &'a [u8]),
    /// A JSON value that a stage made: it is on one line.
    Json(Time, &'a [u8]),
}

/// Records that were read together: the bytes that programs wrote to a buffer, in their order. All
/// have the same type, so that stages and formats look once what that is.
#[derive(Debug, Clone, Copy)]
pub struct Records<'a> {
    /// The buffer.
    pub source: &'a Stream,
    /// The index of their type among those of the source.
    pub ty: usize,
    /// They are too short to hold anything of their type.
    pub are_malformed: bool,
    /// When they were read.
    pub time: Time,
    /// The CPU that they were written on, where the buffer tells.
    pub cpu: Option<u16>,
    /// The bytes of each.
    pub bytes: &'a [&'a [u8]],
}

impl<'a> Records<'a> {
    /// The records of a source, split where their type changes, which their bytes tell.
    pub fn by_type(
        source: &'a Stream,
        time: Time,
        cpu: Option<u16>,
        bytes: &'a [&'a [u8]],
    ) -> impl Iterator<Item = Records<'a>> {
        let kind = |record: &[u8]| {
            let ty = source.type_of(record);
            (ty, source.records[ty].is_malformed(record))
        };
        let mut rest = bytes;
        std::iter::from_fn(move || {
            let (first, others) = rest.split_first()?;
            let (ty, are_malformed) = kind(first);
            let same = others.iter().take_while(|record| kind(record) == (ty, are_malformed));
            let (bytes, others) = rest.split_at(1 + same.count());
            rest = others;
            Some(Records { source, ty, are_malformed, time, cpu, bytes })
        })
    }

    /// Their type.
    #[must_use]
    pub fn record_type(&self) -> &'a RecordType {
        &self.source.records[self.ty]
    }

    /// Hands on those that are kept, if there are any. Their bytes stay where they are.
    ///
    /// # Errors
    /// When what follows fails.
    pub fn keep(
        &self,
        mut is_kept: impl FnMut(&[u8]) -> bool,
        next: &mut dyn Next,
    ) -> Result<(), Failure> {
        // Most often it is all, or little.
        let Some(first) = self.bytes.iter().position(|record| !is_kept(record)) else {
            return next.frame(Frame::Records(self));
        };
        let mut kept = self.bytes[..first].to_vec();
        kept.extend(self.bytes[first + 1..].iter().filter(|record| is_kept(record)));
        match kept.is_empty() {
            true => Ok(()),
            false => next.frame(Frame::Records(&Records { bytes: &kept, ..*self })),
        }
    }

    /// The first `most` of them.
    #[must_use]
    pub fn first(&self, most: usize) -> Records<'a> {
        Records { bytes: &self.bytes[..most.min(self.bytes.len())], ..*self }
    }
}

/// One pass over a map, or over variables.
#[derive(Debug, Clone)]
pub struct Reading {
    /// What was read.
    pub source: Arc<View>,
    /// When it was read.
    pub time: Time,
    /// What was found, in the order in which it is shown.
    pub entries: Vec<Entry>,
    /// Its number among the readings of the source, from 1 on.
    pub number: u64,
    /// Entries that were found, and are not among these.
    pub hidden: u64,
}

impl Reading {
    /// The first reading of a source, made now, which shows all that was found.
    #[must_use]
    pub fn new(source: Arc<View>, time: Time, entries: Vec<Entry>) -> Reading {
        Reading { source, time, entries, number: 1, hidden: 0 }
    }
}

/// A key and its value: for a data section, an index and what the variables hold there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key, and the value behind it: a reading may have a million entries, and is made in one
    /// thread and given back in another.
    bytes: Box<[u8]>,
    key_size: usize,
}

impl Entry {
    /// An entry with copies of both.
    #[must_use]
    pub fn new(key: &[u8], value: &[u8]) -> Entry {
        let mut bytes = Vec::with_capacity(key.len() + value.len());
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(value);
        Entry { bytes: bytes.into(), key_size: key.len() }
    }

    /// The key's bytes.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.bytes[..self.key_size]
    }

    /// The value's bytes.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        &self.bytes[self.key_size..]
    }

    /// The value's bytes, to be changed.
    pub fn value_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.key_size..]
    }

    /// Whether any of these counters in its value has counted anything.
    #[must_use]
    pub fn has_counted(&self, counters: &[Field]) -> bool {
        counters.iter().any(|counter| counter.unsigned(self.value()) != 0)
    }

    /// Leaves of its counters what came since they were as in `before`.
    pub fn subtract(&mut self, before: &[u8], counters: &[Field]) {
        // Counters only grow: a smaller one belongs to an element that the program has deleted and
        // made again.
        let has_grown = |c: &Field| c.unsigned(self.value()) >= c.unsigned(before);
        if counters.iter().all(has_grown) {
            combine(self.value_mut(), before, counters, u128::wrapping_sub);
        }
    }
}

#[cfg(test)]
mod tests {
    use bpfpack_decode::{Layout, Member, Struct};
    use bpfpack_spec::BufferType;

    use super::*;

    #[test]
    fn records_are_split_where_their_type_changes() {
        let layout = |size| {
            let members = vec![Member::new("x", size - 1, Layout::Int { size: 1, signed: false })];
            Layout::Struct(Struct { size, members })
        };
        let source = Stream {
            index: 0,
            name: "rb".into(),
            records: [4, 8].map(|size| RecordType::new("t", layout(size), None)).into(),
            tag: None,
            buffer: BufferType::Ring,
        };
        let bytes: [&[u8]; 6] = [&[1; 4], &[2; 4], &[3; 8], &[4; 3], &[5; 2], &[6; 4]];
        let split = |bytes: &[&[u8]]| {
            let runs = Records::by_type(&source, Time::default(), Some(2), bytes);
            let run = |run: Records<'_>| (run.ty, run.are_malformed, run.bytes.len());
            runs.map(run).collect::<Vec<_>>()
        };
        assert_eq!(split(&bytes), [(0, false, 2), (1, false, 1), (0, true, 2), (0, false, 1)]);
        assert!(split(&[]).is_empty());
        let all = Records::by_type(&source, Time::default(), None, &bytes[..2]).next().unwrap();
        assert_eq!((all.first(1).bytes, all.first(9).bytes.len()), (&bytes[..1], 2));
    }
}
