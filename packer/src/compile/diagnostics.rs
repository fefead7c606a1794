// SPDX-License-Identifier: MIT
//! Prints clang's messages on standard error. clang writes names of files and parts of sources
//! unchanged, with its own colors among them. The colors are kept, but nothing else that a terminal
//! interprets.

use std::io::Write as _;

use bpfpack_schemas::printable::{self, MAX_LINE};

/// The length of a line with its colors, in bytes.
const MAX_COLOURED: usize = 4 * MAX_LINE;

/// The start of an escape sequence.
const ESCAPE: &[u8] = b"\x1b[";

/// The sequence that resets all colors.
const RESET: &[u8] = b"\x1b[0m";

/// Prints clang's messages. A failure to write them is ignored.
pub(crate) fn print(messages: &[u8], is_colored: bool) {
    let _ = std::io::stderr().lock().write_all(&safe(messages, is_colored));
}

/// The messages, safe to print.
fn safe(messages: &[u8], is_colored: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(messages.len());
    let mut has_color = false;
    for line in messages.split_inclusive(|byte| *byte == b'\n') {
        if line.len() > MAX_COLOURED {
            append_long(line, &mut out);
            continue;
        }
        let mut rest = line;
        while let Some(at) = rest.windows(ESCAPE.len()).position(|bytes| bytes == ESCAPE) {
            let color = if is_colored { color_len(&rest[at..]) } else { None };
            let (before, after) = rest.split_at(at);
            append(before, &mut out);
            let passed = color.unwrap_or(ESCAPE.len());
            match color {
                Some(_) => {
                    out.extend_from_slice(&after[..passed]);
                    has_color = &after[..passed] != RESET;
                }
                None => append(&after[..passed], &mut out),
            }
            rest = &after[passed..];
        }
        append(rest, &mut out);
    }
    // Colors started by a file name must not affect the shell.
    if has_color {
        out.extend_from_slice(RESET);
    }
    out
}

/// The length of one of clang's colors at the start of a text. LLVM writes bold, reverse and reset
/// alone, and colors after a reset (raw_ostream::changeColor); none of its colors hides text.
fn color_len(text: &[u8]) -> Option<usize> {
    let end = text.iter().position(|byte| *byte == b'm')?;
    let parameters = text.get(ESCAPE.len()..end)?;
    let is_clangs = matches!(
        parameters,
        b"0" | b"1"
            | b"7"
            | [b'0', b';', b'1', b';', b'3' | b'9', b'0'..=b'7']
            | [b'0', b';', b'3', b'1'..=b'7']
            | [b'0', b';', b'9', b'0'..=b'7']
    );
    is_clangs.then_some(end + 1)
}

/// Appends text, escaped; tabs and line feeds are kept.
fn append(text: &[u8], out: &mut Vec<u8>) {
    for piece in text.split_inclusive(|byte| matches!(byte, b'\t' | b'\n')) {
        match piece {
            [text @ .., end @ (b'\t' | b'\n')] => {
                printable::append(text, out);
                out.push(*end);
            }
            text => printable::append(text, out),
        }
    }
}

/// Appends a line that is too long to be useful, without its middle and its colors.
fn append_long(line: &[u8], out: &mut Vec<u8>) {
    let text = String::from_utf8_lossy(line);
    let plain = anstream::adapter::strip_str(&text).to_string();
    out.extend_from_slice(printable::message(&plain).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(messages: &[u8], is_colored: bool) -> String {
        String::from_utf8(safe(messages, is_colored)).unwrap()
    }

    #[test]
    fn clangs_colors_stay_and_nothing_else() {
        let messages = b"\x1b[1mx.c:1:2: \x1b[0m\x1b[0;1;31merror: \x1b[0m\x1b[1mwhat\x1b[0m\n\
            \tint \x1b[7m<FF>\x1b[0m\n\x1b[0;1;32m ^\n\x1b[0m1 error\n";
        assert_eq!(shown(messages, true).as_bytes(), messages);
        assert!(!shown(messages, false).contains('\x1b'));
        assert!(shown(messages, false).starts_with(r"\x1b[1mx.c:1:2: \x1b[0m\x1b[0;1;31merror: "));
        for hostile in [
            "\x1b[2J",
            "\x1b[8m",
            "\x1b[0;8m",
            "\x1b[38;5;0m",
            "\x1b[0;30m",
            "\x1b[m",
            "\x1b[5m",
            "\x1b]0;title\x07",
            "\x1b[",
            "\x1b[0",
            "\x1b",
            "\u{9b}31m",
            "\u{202e}",
            "\u{2028}",
            "\r",
        ] {
            let text = format!("a{hostile}b\n");
            assert_eq!(shown(text.as_bytes(), true), shown(text.as_bytes(), false), "{hostile:?}");
            assert_eq!(
                shown(text.as_bytes(), true),
                format!("a{}b\n", printable::one_line(hostile)),
            );
        }
        assert_eq!(shown(b"a\xff\x1b[0mb\xe9\n", true), "a\\xff\x1b[0mb\\xe9\n");
    }

    #[test]
    fn a_color_that_is_left_on_is_switched_off() {
        assert_eq!(shown(b"In x\x1b[0;31m.h\n", true), "In x\x1b[0;31m.h\n\x1b[0m");
        assert_eq!(shown(b"\x1b[1ma\x1b[0m\n", true), "\x1b[1ma\x1b[0m\n");
    }

    #[test]
    fn long_lines_are_cut() {
        let line = format!("x.c:1:1: error: \x1b[1m{}\x1b[2Jend\n", "a".repeat(1 << 20));
        for is_colored in [false, true] {
            let text = shown(line.as_bytes(), is_colored);
            assert!(text.len() < 2 * MAX_LINE, "{}", text.len());
            assert!(!text.contains('\x1b') && text.ends_with("end\n"), "{text}");
        }
    }
}
