// SPDX-License-Identifier: MIT
//! Output formats, a file each: they turn frames into bytes. They know no kernel and no file; names
//! of addresses come from a [`Symbolize`].
#![forbid(unsafe_code)]

mod clock;
mod columns;
mod common;
mod delimited;
mod histogram;
mod json;
mod meaning;
mod objects;
mod raw;
mod settings;
mod symbolize;
mod text;
mod value;
mod yaml;

use std::fmt::Debug;
use std::ops::Range;

use bpfpack_frame::{Reading, Record, Time};
use bpfpack_spec::Source;

pub use clock::{LocalTime, utc};
pub use settings::{Settings, Terminal, TimeColumn};
pub use symbolize::{SharedSymbolizer, Symbolize};
#[cfg(fuzzing)]
pub use value::flat::IS_OFF as FLAT_IS_OFF;

/// Entries of a reading that are drawn at once, so that a large one can be ended.
const ENTRIES_AT_ONCE: usize = 1024;

/// The formats. A new one is a file, and a line here.
static FORMATS: [&FormatKind; 6] =
    [&text::KIND, &json::KIND, &delimited::CSV, &delimited::TSV, &yaml::KIND, &raw::KIND];

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
    make: fn(&Settings) -> Box<dyn Format>,
}

impl FormatKind {
    /// A format by its name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static FormatKind> {
        FORMATS.into_iter().find(|kind| kind.name == name)
    }

    /// The names of all formats.
    pub fn names() -> impl Iterator<Item = &'static str> {
        FORMATS.iter().map(|kind| kind.name)
    }

    /// Begins an output.
    #[must_use]
    pub fn format(&self, settings: &Settings) -> Box<dyn Format> {
        (self.make)(settings)
    }
}

/// Text, where nothing else is asked for.
impl Default for &'static FormatKind {
    fn default() -> Self {
        &text::KIND
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

    /// Appends a record. It holds something of what its type has.
    fn record(&mut self, record: &Record<'_>, out: &mut Vec<u8>);

    /// Appends a part of a reading's entries. The parts come in order; the first begins at 0.
    fn entries(&mut self, reading: &Reading, part: Range<usize>, out: &mut Vec<u8>);

    /// How many entries of a reading may be a part.
    fn most_entries(&self, _reading: &Reading) -> usize {
        ENTRIES_AT_ONCE
    }

    /// Appends a reading as a whole.
    fn reading(&mut self, reading: &Reading, out: &mut Vec<u8>) {
        self.entries(reading, 0..reading.entries.len(), out);
    }

    /// Appends lines of text that a stage made.
    fn text(&mut self, time: Time, text: &[u8], out: &mut Vec<u8>);

    /// Appends a JSON value that a stage made: it is on one line.
    fn json(&mut self, time: Time, json: &[u8], out: &mut Vec<u8>);

    /// The run is over. Appends what stands behind all frames.
    fn end(&mut self, _out: &mut Vec<u8>) {}
}

/// The lines of a stage's text.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.strip_suffix(b"\n").unwrap_or(text).split(|byte| *byte == b'\n')
}

/// What a line of names was printed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heading {
    /// A stream and the type of its records, by their indexes.
    Records(usize, usize),
    /// A view, by its index.
    View(usize),
    /// What a stage makes, by the name of its only column.
    Stage(&'static str),
}

/// What a format makes once for each type of records, when the first one comes.
#[derive(Debug)]
struct PerType<T>(Vec<Vec<Option<T>>>);

impl<T> Default for PerType<T> {
    fn default() -> PerType<T> {
        PerType(Vec::new())
    }
}

impl<T> PerType<T> {
    fn get(&mut self, stream: usize, ty: usize, make: impl FnOnce() -> T) -> &mut T {
        if self.0.len() <= stream {
            self.0.resize_with(stream + 1, Vec::new);
        }
        let types = &mut self.0[stream];
        if types.len() <= ty {
            types.resize_with(ty + 1, || None);
        }
        types[ty].get_or_insert_with(make)
    }

    fn known(&mut self, stream: usize, ty: usize) -> Option<&mut T> {
        self.0.get_mut(stream)?.get_mut(ty)?.as_mut()
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_have_names_of_their_own() {
        let names: Vec<_> = FormatKind::names().collect();
        assert_eq!(names, ["text", "json", "csv", "tsv", "yaml", "raw"]);
        for name in names {
            assert_eq!(FormatKind::named(name).map(|kind| kind.name), Some(name));
        }
        assert!(FormatKind::named("xml").is_none());
    }
}
