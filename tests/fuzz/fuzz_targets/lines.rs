// SPDX-License-Identifier: MIT
//! Any bytes as what a trace pipe gives: the lines that are found do not depend on the pieces in
//! which they come. The first byte is the length of the pieces.
#![no_main]

use libfuzzer_sys::fuzz_target;

// It needs nothing else of its crate, where it is private.
#[path = "../../../runner/src/source/printk/line.rs"]
mod line;

use line::Piece;

/// An event, and what follows it: text that goes on, if the line between is no event itself.
const EVENT: &[u8] = b"            curl-4711    [001] ...2.   828.809399: bpf_trace_printk: a\n";
const MORE: &[u8] = b"\nb\n";

fuzz_target!(|data: &[u8]| {
    let Some((len, bytes)) = data.split_first() else { return };
    let bytes = [bytes, b"\n"].concat();
    let whole = in_pieces(&bytes, bytes.len());
    assert_eq!(in_pieces(&bytes, usize::from(*len).max(1)), whole);
});

/// What is found when so many bytes come at once.
fn in_pieces(bytes: &[u8], len: usize) -> Vec<String> {
    let mut found = Vec::new();
    let mut read = Vec::new();
    let mut left = bytes;
    while !left.is_empty() {
        let (mut piece, mut rest) = left.split_at(len.min(left.len()));
        // The kernel does not give an event without the rest of its text, unless in a line.
        while piece.ends_with(b"\n") && goes_on(rest) {
            (piece, rest) = left.split_at(piece.len() + 1);
        }
        left = rest;
        read.extend_from_slice(piece);
        let done = line::pieces(&read, |piece| found.push(show(piece)));
        assert!(done <= read.len());
        read.drain(..done);
    }
    found
}

/// Whether the text of an event would go on with what follows it.
fn goes_on(rest: &[u8]) -> bool {
    let Some(end) = rest.iter().position(|byte| *byte == b'\n') else { return false };
    let mut text = Vec::new();
    line::pieces(&[EVENT, &rest[..end], MORE].concat(), |piece| {
        if let (Piece::Printed(line), true) = (piece, text.is_empty()) {
            text = line.text.to_vec();
        }
    });
    text.ends_with(MORE.trim_ascii())
}

fn show(piece: Piece<'_>) -> String {
    if let Piece::Printed(line) = piece {
        assert!(!line.text.ends_with(b"\n") && !line.comm.contains(&b'\n'));
    }
    format!("{piece:?}")
}
