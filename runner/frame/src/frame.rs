// SPDX-License-Identifier: MIT
//! Frames: batches of records, readings, and what stages make of them.

use std::rc::Rc;
use std::sync::Arc;

use bpfpack_failure::Failure;
use bpfpack_spec::{RecordType, Stream, View};

use crate::entry::Entry;
use crate::time::Time;

/// Data that flows from a source to the outputs.
#[derive(Debug)]
pub enum Frame<'a> {
    /// Records of a buffer.
    Records(&'a Records<'a>),
    /// A reading of a map or of variables, shared by everything that shows it.
    Reading(Rc<Reading>),
    /// Lines of text from a stage.
    Text(Time, &'a [u8]),
    /// A JSON value from a stage, on one line.
    Json(Time, &'a [u8]),
}

/// Records that were read together: the bytes that programs wrote to a buffer, in order. All have
/// the same type, so stages and formats look it up once.
#[derive(Debug, Clone, Copy)]
pub struct Records<'a> {
    /// The buffer.
    pub source: &'a Stream,
    /// The index of their type in the source.
    pub ty: usize,
    /// Whether they are too short to contain any member of their type.
    pub are_malformed: bool,
    /// When they were read.
    pub time: Time,
    /// The CPU on which they were written, if the buffer records it.
    pub cpu: Option<u16>,
    /// The bytes of each record.
    pub bytes: &'a [&'a [u8]],
}

impl<'a> Records<'a> {
    /// Splits records of a source by their type, which depends on their bytes.
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

    /// Passes on the records that are kept, if there are any. Their bytes are not copied.
    ///
    /// # Errors
    /// Returns the error of `pass`.
    pub fn keep(
        &self,
        mut is_kept: impl FnMut(&[u8]) -> bool,
        pass: impl FnOnce(Frame<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        // Usually all are kept, or few.
        let Some(first) = self.bytes.iter().position(|record| !is_kept(record)) else {
            return pass(Frame::Records(self));
        };
        let mut kept = self.bytes[..first].to_vec();
        kept.extend(self.bytes[first + 1..].iter().filter(|record| is_kept(record)));
        match kept.is_empty() {
            true => Ok(()),
            false => pass(Frame::Records(&Records { bytes: &kept, ..*self })),
        }
    }

    /// The first `most` of them.
    #[must_use]
    pub fn first(&self, most: usize) -> Records<'a> {
        Records { bytes: &self.bytes[..most.min(self.bytes.len())], ..*self }
    }
}

/// One pass over a map or over variables.
#[derive(Debug, Clone)]
pub struct Reading {
    /// The view that was read.
    pub source: Arc<View>,
    /// When it was read.
    pub time: Time,
    /// The entries, in the order in which they are shown.
    pub entries: Vec<Entry>,
    /// Its number among the readings of the view, starting at 1.
    pub number: u64,
    /// The number of entries that were found but are not shown.
    pub hidden: u64,
    /// Whether the source may have entries that were not found.
    pub is_partial: bool,
}

impl Reading {
    /// A complete reading with number 1.
    #[must_use]
    pub fn new(source: Arc<View>, time: Time, entries: Vec<Entry>) -> Reading {
        Reading { source, time, entries, number: 1, hidden: 0, is_partial: false }
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
