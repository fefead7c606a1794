// SPDX-License-Identifier: MIT
//! Decides what is safe to print. Names, comments and messages come from packages, sources, modules
//! and other processes; none of them may move the cursor of a terminal, hide text, or change its
//! order.
//!
//! [`is_printable`] makes the only decision. All output and all messages of both programs pass
//! through it.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The largest number of characters in a line of a message. The middle of a longer line is omitted.
pub const MAX_LINE: usize = 1000;

/// The number of characters kept at the end of a line that is too long: the reason is often there.
const LINE_END: usize = 300;

/// The first and last characters of each range that is not printed, sorted: Unicode's categories Cc
/// (control), Cf (format), Zl and Zp (line and paragraph separators), and characters with the
/// property `Default_Ignorable_Code_Point`. Terminals interpret them, or show nothing. Source:
/// Unicode 16, DerivedCoreProperties.txt and UnicodeData.txt.
const HIDDEN: [(char, char); 26] = [
    ('\0', '\u{1f}'),
    ('\u{7f}', '\u{9f}'),
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{600}', '\u{605}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{6dd}', '\u{6dd}'),
    ('\u{70f}', '\u{70f}'),
    ('\u{890}', '\u{891}'),
    ('\u{8e2}', '\u{8e2}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{fffb}'),
    ('\u{110bd}', '\u{110cd}'),
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0000}', '\u{e0fff}'),
];

/// Whether a character may be printed unchanged.
#[must_use]
pub fn is_printable(c: char) -> bool {
    match c {
        ' '..='~' => true,
        _ => {
            let after = HIDDEN.partition_point(|(first, _)| *first <= c);
            after.checked_sub(1).is_none_or(|at| HIDDEN[at].1 < c)
        }
    }
}

/// Appends a character that is not printed as `\x1b`, or, above U+00FF, as `\u{202e}`.
fn escape(c: char, out: &mut String) {
    let _ = match u32::from(c) {
        number @ ..=0xff => write!(out, "\\x{number:02x}"),
        number => write!(out, "\\u{{{number:x}}}"),
    };
}

fn escaped(text: &str, is_allowed: impl Fn(char) -> bool) -> Cow<'_, str> {
    let Some(first) = text.find(|c| !is_allowed(c)) else { return text.into() };
    let mut out = String::with_capacity(text.len() + 8);
    out.push_str(&text[..first]);
    for c in text[first..].chars() {
        match is_allowed(c) {
            true => out.push(c),
            false => escape(c, &mut out),
        }
    }
    out.into()
}

/// A text on one line, safe to print. Unsafe characters become `\x1b` or `\u{202e}`.
#[must_use]
pub fn one_line(text: &str) -> Cow<'_, str> {
    escaped(text, is_printable)
}

/// A name or unit of a package, safe to print.
#[must_use]
pub fn clean(text: &str) -> String {
    one_line(text).into_owned()
}

/// Appends bytes, which may be invalid UTF-8, as [`one_line`] does. A byte that belongs to no
/// character becomes `\xff`.
pub fn append(bytes: &[u8], out: &mut Vec<u8>) {
    for chunk in bytes.utf8_chunks() {
        out.extend_from_slice(one_line(chunk.valid()).as_bytes());
        for byte in chunk.invalid() {
            out.extend_from_slice(format!("\\x{byte:02x}").as_bytes());
        }
    }
}

/// Appends a character that is not printed in the form of a JSON string: `\u001b`. Above U+FFFF, it
/// becomes two such escapes.
pub fn json_escape(c: char, out: &mut Vec<u8>) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        out.extend_from_slice(format!("\\u{unit:04x}").as_bytes());
    }
}

/// A JSON text, safe to print: the same value, on the same number of lines.
#[must_use]
pub fn json(text: &[u8]) -> Cow<'_, [u8]> {
    let is_allowed = |c| is_printable(c) || matches!(c, '\n' | '\t');
    let is_plain = std::str::from_utf8(text).is_ok_and(|text| text.chars().all(is_allowed));
    if is_plain {
        return text.into();
    }
    let mut out = Vec::with_capacity(text.len() + 8);
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            match is_allowed(c) {
                true => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
                false => json_escape(c, &mut out),
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    out.into()
}

/// Text that arrives in pieces, which may end inside a character; printed as [`lines`] does.
#[derive(Debug, Default)]
pub struct Pieces {
    rest: Vec<u8>,
}

impl Pieces {
    /// Appends the complete characters of a piece and of the remainder of the previous one.
    pub fn append(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        self.rest.extend_from_slice(piece);
        let is_cut = |error: std::str::Utf8Error| error.error_len().is_none();
        // Up to three bytes at the end may be the start of a character.
        let start = self.rest.len().saturating_sub(3);
        let cut = (start..self.rest.len())
            .find(|at| std::str::from_utf8(&self.rest[*at..]).is_err_and(is_cut))
            .unwrap_or(self.rest.len());
        let whole: Vec<u8> = self.rest.drain(..cut).collect();
        for line in whole.split_inclusive(|byte| matches!(byte, b'\n' | b'\t')) {
            let (text, end) = match line.split_last() {
                Some((end @ (b'\n' | b'\t'), text)) => (text, Some(*end)),
                _ => (line, None),
            };
            append(text, out);
            out.extend(end);
        }
    }
}

/// A text of several lines, safe to print. Line feeds and tabs are kept.
#[must_use]
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| is_printable(c) || matches!(c, '\n' | '\t'))
}

/// A message, safe to print, as [`lines`] does. The middle of lines over [`MAX_LINE`] characters is
/// omitted: a value in a message can be as large as a package.
#[must_use]
pub fn message(text: &str) -> Cow<'_, str> {
    if text.len() <= MAX_LINE || text.lines().all(|line| line.chars().count() <= MAX_LINE) {
        return lines(text);
    }
    let cut: Vec<Cow<'_, str>> = text.split('\n').map(shortened).collect();
    lines(&cut.join("\n")).into_owned().into()
}

/// The start and the end of a line that is too long.
fn shortened(line: &str) -> Cow<'_, str> {
    let count = line.chars().count();
    if count <= MAX_LINE {
        return line.into();
    }
    let start: String = line.chars().take(MAX_LINE - LINE_END).collect();
    let end: String = line.chars().skip(count - LINE_END).collect();
    format!("{start} [… {} characters …] {end}", count - MAX_LINE).into()
}

/// Bytes in hexadecimal, in lower case.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |half: u8| char::from(DIGITS[usize::from(half)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_in_hexadecimal() {
        assert_eq!(hex(&[0, 0x1f, 0xa9, 255]), "001fa9ff");
        assert_eq!(hex(&[]), "");
    }

    #[test]
    fn what_is_obeyed_or_invisible_is_escaped() {
        assert_eq!(one_line("a `\u{e9}` 漢字 🎉 ~"), "a `\u{e9}` 漢字 🎉 ~");
        assert_eq!(one_line("\x1b[31m\x07\u{9b}\r\n\t"), r"\x1b[31m\x07\x9b\x0d\x0a\x09");
        assert_eq!(
            one_line("a\u{202e}b\u{2028}\u{2029}\u{200b}\u{feff}\u{ad}\u{2066}\u{e0041}"),
            r"a\u{202e}b\u{2028}\u{2029}\u{200b}\u{feff}\xad\u{2066}\u{e0041}"
        );
        assert_eq!(lines("a\n\tb\x1b"), "a\n\tb\\x1b");
        let mut out = Vec::new();
        append(b"a\xff\xc3\xa9\xe2\x80\xae\x1b", &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "a\\xff\u{e9}\\u{202e}\\x1b");
    }

    #[test]
    fn json_keeps_its_value() {
        let text = "{\"a\":\"\u{9b}\u{202e}\u{e0041}é\"}";
        let shown = json(text.as_bytes());
        assert_eq!(shown, "{\"a\":\"\\u009b\\u202e\\udb40\\udc41é\"}".as_bytes());
        assert_eq!(json(b"[1,\n2]"), &b"[1,\n2]"[..]);
        assert_eq!(json(b"\"\xff\""), "\"\u{fffd}\"".as_bytes());
    }

    #[test]
    fn pieces_may_end_inside_of_a_character() {
        let text = "é漢🎉\x1b[m\u{202e}\n\tend\u{2028}".as_bytes();
        for size in 1..text.len() {
            let (mut pieces, mut out) = (Pieces::default(), Vec::new());
            for piece in text.chunks(size) {
                pieces.append(piece, &mut out);
            }
            let shown = String::from_utf8(out).unwrap();
            assert_eq!(shown, "é漢🎉\\x1b[m\\u{202e}\n\tend\\u{2028}", "{size}");
        }
        let mut out = Vec::new();
        Pieces::default().append(b"a\xffb\xe2\x28c", &mut out);
        assert_eq!(out, b"a\\xffb\\xe2(c");
    }

    #[test]
    fn the_table_is_sorted_and_has_all_control_characters() {
        assert!(HIDDEN.windows(2).all(|pair| pair[0].1 < pair[1].0));
        assert!(HIDDEN.iter().all(|(first, last)| first <= last));
        for number in 0..=0x10_ffff {
            let Some(c) = char::from_u32(number) else { continue };
            assert!(!(c.is_control() && is_printable(c)), "U+{number:04X}");
        }
        // Characters next to a hidden range are shown.
        for c in [' ', '~', '\u{a0}', '\u{ae}', '\u{2027}', '\u{202f}', '\u{fffd}', '\u{d7ff}'] {
            assert!(is_printable(c), "U+{:04X}", u32::from(c));
        }
    }

    #[test]
    fn long_lines_are_cut_and_short_ones_stay() {
        let long = format!("`{}` is no number\nsecond\x1b", "9".repeat(100_000));
        let shown = message(&long);
        assert!(shown.len() < MAX_LINE + 100, "{}", shown.len());
        assert!(shown.contains("[… 99015 characters …]"), "{shown}");
        assert!(shown.ends_with("` is no number\nsecond\\x1b"), "{shown}");
        assert_eq!(message("a\x1b\n"), "a\\x1b\n");
        let full = "é".repeat(MAX_LINE);
        assert_eq!(message(&full), full);
    }
}
