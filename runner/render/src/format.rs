// SPDX-License-Identifier: MIT
//! What an output format is, and what formats share.

use std::fmt::Debug;
use std::ops::Range;
use std::rc::Rc;

use bpfpack_frame::{Reading, Records, Time};
use bpfpack_spec::Source;

use crate::keys::Key;
use crate::settings::Settings;

/// Entries of a reading that are drawn at once, so that a large one can be ended.
const ENTRIES_AT_ONCE: usize = 1024;

/// What is known of a format before it is used.
#[derive(Debug)]
pub struct FormatKind {
    /// As the command line has it.
    pub name: &'static str,
    /// Values are shown as what they stand for, unless the user asks for bare ones; otherwise only
    /// where the user asks for that.
    pub has_meanings: bool,
    /// It says which source a frame is of, and knows members: not the bare bytes.
    pub is_structured: bool,
    /// Begins an output.
    pub(crate) make: fn(&Settings) -> Box<dyn Format>,
}

impl FormatKind {
    /// Begins an output.
    #[must_use]
    pub fn format(&self, settings: &Settings) -> Box<dyn Format> {
        (self.make)(settings)
    }
}

impl PartialEq for FormatKind {
    fn eq(&self, other: &FormatKind) -> bool {
        self.name == other.name
    }
}

/// An output in a format.
pub trait Format: Debug {
    /// The run begins: these are all of its sources. Appends what stands before all frames.
    fn start(&mut self, _sources: &[Source], _out: &mut Vec<u8>) {}

    /// Appends records. Each holds something of what their type has.
    fn records(&mut self, records: &Records<'_>, out: &mut Vec<u8>);

    /// Appends a part of a reading's entries. The parts come in order; the first begins at 0. Of a
    /// reading without entries there is one part, which is empty.
    fn entries(&mut self, reading: &Rc<Reading>, part: Range<usize>, out: &mut Vec<u8>);

    /// How many entries of a reading may be a part.
    fn most_entries(&self, _reading: &Reading) -> usize {
        ENTRIES_AT_ONCE
    }

    /// Appends a reading as a whole.
    fn reading(&mut self, reading: Reading, out: &mut Vec<u8>) {
        let reading = Rc::new(reading);
        self.entries(&reading, 0..reading.entries.len(), out);
    }

    /// Appends lines of text that a stage made.
    fn text(&mut self, time: Time, text: &[u8], out: &mut Vec<u8>);

    /// Appends a JSON value that a stage made: it is on one line.
    fn json(&mut self, time: Time, json: &[u8], out: &mut Vec<u8>);

    /// Takes a key that was pressed.
    fn press(&mut self, _key: Key, _out: &mut Vec<u8>) {}

    /// The terminal has another size, or there is something to be told.
    fn redraw(&mut self, _out: &mut Vec<u8>) {}

    /// The run is over. Appends what stands behind all frames.
    fn end(&mut self, _out: &mut Vec<u8>) {}
}

/// The lines of a stage's text.
pub(crate) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.strip_suffix(b"\n").unwrap_or(text).split(|byte| *byte == b'\n')
}

/// What a line of names was printed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heading {
    /// A stream and the type of its records, by their indexes.
    Records(usize, usize),
    /// A view, by its index.
    View(usize),
    /// What a stage makes, by the name of its only column.
    Stage(&'static str),
}

/// What a format makes once for each type of records, when the first one comes.
#[derive(Debug)]
pub(crate) struct PerType<T>(Vec<Vec<Option<T>>>);

impl<T> Default for PerType<T> {
    fn default() -> PerType<T> {
        PerType(Vec::new())
    }
}

impl<T> PerType<T> {
    #[inline]
    pub(crate) fn get(&mut self, stream: usize, ty: usize, make: impl FnOnce() -> T) -> &mut T {
        if self.0.get(stream).is_none_or(|types| types.len() <= ty) {
            self.make_room(stream, ty);
        }
        self.0[stream][ty].get_or_insert_with(make)
    }

    #[cold]
    fn make_room(&mut self, stream: usize, ty: usize) {
        if self.0.len() <= stream {
            self.0.resize_with(stream + 1, Vec::new);
        }
        self.0[stream].resize_with(ty + 1, || None);
    }

    #[inline]
    pub(crate) fn known(&mut self, stream: usize, ty: usize) -> Option<&mut T> {
        self.0.get_mut(stream)?.get_mut(ty)?.as_mut()
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use bpfpack_spec::Stream;

    use super::*;
    use crate::clock::tests::TIME;

    /// Appends the records of a stream.
    pub(crate) fn show(
        format: &mut dyn Format,
        stream: &Stream,
        bytes: &[&[u8]],
        out: &mut Vec<u8>,
    ) {
        Records::by_type(stream, TIME, None, bytes)
            .for_each(|records| format.records(&records, out));
    }
}
