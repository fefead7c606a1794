// SPDX-License-Identifier: MIT
//! The interface of output formats, and what they share.

use std::fmt::Debug;
use std::ops::Range;
use std::rc::Rc;

use bpfpack_frame::{Reading, Records, Time};
use bpfpack_spec::Source;

use crate::keys::Key;
use crate::settings::Settings;

/// Entries of a reading that are drawn at once, so that a large reading can be interrupted.
const ENTRIES_AT_ONCE: usize = 1024;

/// The properties of a format.
#[derive(Debug)]
pub struct FormatKind {
    /// The name on the command line.
    pub name: &'static str,
    /// Whether it shows meanings by default; `--raw` disables them. Other formats show them only
    /// with `--decode`.
    pub has_meanings: bool,
    /// Whether it shows sources and members, not only bytes.
    pub is_structured: bool,
    /// Makes an output.
    pub(crate) make: fn(&Settings) -> Box<dyn Format>,
}

impl FormatKind {
    /// Makes an output.
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
    /// Starts the run with all of its sources. Appends what precedes all frames.
    fn start(&mut self, _sources: &[Source], _out: &mut Vec<u8>) {}

    /// Appends records. Each has at least part of its type's members.
    fn records(&mut self, records: &Records<'_>, out: &mut Vec<u8>);

    /// Appends a part of a reading's entries. Parts come in order, starting at 0. A reading without
    /// entries has one empty part.
    fn entries(&mut self, reading: &Rc<Reading>, part: Range<usize>, out: &mut Vec<u8>);

    /// The maximum number of entries in a part.
    fn most_entries(&self, _reading: &Reading) -> usize {
        ENTRIES_AT_ONCE
    }

    /// Appends a whole reading.
    fn reading(&mut self, reading: Reading, out: &mut Vec<u8>) {
        let reading = Rc::new(reading);
        self.entries(&reading, 0..reading.entries.len(), out);
    }

    /// Appends lines of text from a stage.
    fn text(&mut self, time: Time, text: &[u8], out: &mut Vec<u8>);

    /// Appends a JSON value from a stage, on one line.
    fn json(&mut self, time: Time, json: &[u8], out: &mut Vec<u8>);

    /// Handles a key.
    fn press(&mut self, _key: Key, _out: &mut Vec<u8>) {}

    /// Draws again, because the terminal was resized or there is a message.
    fn redraw(&mut self, _out: &mut Vec<u8>) {}

    /// Ends the run. Appends what follows all frames.
    fn end(&mut self, _out: &mut Vec<u8>) {}
}

/// The lines of a text from a stage.
pub(crate) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.strip_suffix(b"\n").unwrap_or(text).split(|byte| *byte == b'\n')
}

/// The target of a header line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heading {
    /// A stream and its record type, by index.
    Records(usize, usize),
    /// A view, by index.
    View(usize),
    /// Output of a stage, by the name of its only column.
    Stage(&'static str),
}

/// Data that a format creates once per record type, for its first record.
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
