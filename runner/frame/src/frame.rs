// SPDX-License-Identifier: MIT
//! Frames: records, readings, and what stages make.

use std::rc::Rc;
use std::sync::Arc;

use bpfpack_spec::{RecordType, Stream, View};

use crate::time::Time;

/// What flows from a source to the outputs.
#[derive(Debug)]
pub enum Frame<'a> {
    /// A record of a buffer.
    Record(&'a Record<'a>),
    /// One pass over a map, or over variables. It is shared by all that show it.
    Reading(Rc<Reading>),
    /// Lines of text that a stage made.
    Text(Time, &'a [u8]),
    /// A JSON value that a stage made: it is on one line.
    Json(Time, &'a [u8]),
}

/// A record: the bytes that a program wrote to a buffer.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// The buffer.
    pub source: &'a Stream,
    /// The index of its type among those of the source.
    pub ty: usize,
    /// When it was read.
    pub time: Time,
    /// The CPU that it was written on, where the buffer tells.
    pub cpu: Option<u16>,
    /// The bytes.
    pub bytes: &'a [u8],
}

impl<'a> Record<'a> {
    /// A record of a source; its bytes tell its type.
    #[inline]
    #[must_use]
    pub fn new(source: &'a Stream, time: Time, cpu: Option<u16>, bytes: &'a [u8]) -> Record<'a> {
        Record { source, ty: source.type_of(bytes), time, cpu, bytes }
    }

    /// Its type.
    #[inline]
    #[must_use]
    pub fn record_type(&self) -> &'a RecordType {
        &self.source.records[self.ty]
    }
}

/// One pass over a map, or over variables.
#[derive(Debug)]
pub struct Reading {
    /// What was read.
    pub source: Arc<View>,
    /// When it was read.
    pub time: Time,
    /// What was found, in the order of the keys.
    pub entries: Vec<Entry>,
}

/// A key and its value: for a data section, an index and what the variables hold there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key's bytes.
    pub key: Vec<u8>,
    /// The value's bytes.
    pub value: Vec<u8>,
}
