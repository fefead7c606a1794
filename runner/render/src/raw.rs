// SPDX-License-Identifier: MIT
//! The plain bytes, for programs that know the layout: a record as its program wrote it; an entry
//! of a map as its key and its value, without a separator.

use std::ops::Range;
use std::rc::Rc;

use bpfpack_frame::{Reading, Records, Time};

use crate::format::{Format, FormatKind};

/// The raw format.
pub(crate) static KIND: FormatKind =
    FormatKind { name: "raw", has_meanings: false, is_structured: false, make: |_| Box::new(Raw) };

#[derive(Debug)]
struct Raw;

impl Format for Raw {
    fn records(&mut self, records: &Records<'_>, out: &mut Vec<u8>) {
        records.bytes.iter().for_each(|bytes| out.extend_from_slice(bytes));
    }

    fn entries(&mut self, reading: &Rc<Reading>, part: Range<usize>, out: &mut Vec<u8>) {
        for entry in &reading.entries[part] {
            if reading.source.key.is_some() {
                out.extend_from_slice(entry.key());
            }
            out.extend_from_slice(entry.value());
        }
    }

    fn text(&mut self, _time: Time, text: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(text);
        out.extend((!text.ends_with(b"\n")).then_some(b'\n'));
    }

    fn json(&mut self, _time: Time, json: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(json);
        out.push(b'\n');
    }
}
