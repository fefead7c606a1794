// SPDX-License-Identifier: MIT
//! The bytes themselves, for programs that know them: a record as its program wrote it, an element
//! of a map as its key and its value, nothing between them.

use super::{Chunk, Format, Piece};
use crate::collect::maps::Entry;
use crate::view::{Stream, View};

/// The raw format.
#[derive(Debug)]
pub struct Raw;

impl Format for Raw {
    fn now(&mut self) {}

    fn record(&mut self, _stream: &Stream, record: &[u8], out: &mut Vec<u8>) -> bool {
        out.extend_from_slice(record);
        true
    }

    fn piece(&mut self, view: &View, entries: &[Entry], _piece: Piece) -> Chunk {
        let mut body = Vec::new();
        for entry in entries {
            if view.key.is_some() {
                body.extend_from_slice(&entry.key);
            }
            body.extend_from_slice(&entry.value);
        }
        Chunk { header: None, body }
    }

    fn chunk(&mut self, chunk: Chunk, out: &mut Vec<u8>) {
        out.extend(chunk.body);
    }

    fn lines(&mut self, text: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(text);
        out.extend((!text.ends_with(b"\n")).then_some(b'\n'));
    }

    fn value(&mut self, json: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(json);
        out.push(b'\n');
    }
}
