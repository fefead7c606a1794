// SPDX-License-Identifier: MIT
//! Hostile texts: control sequences of terminals, invisible and reordering characters, and formulas
//! of spreadsheets.

use super::random::Random;

/// Parts of names. None has a zero byte, at which names end. The colors are not those of the
/// programs.
pub(super) const PIECES: [&str; 40] = [
    "\x1b[35;45m",
    "\x1b[7m",
    "\x1b[2J\x1b[H",
    "\x1b]0;title\x07",
    "\x1b]8;;http://localhost/\x1b\\link",
    "\x1b]52;c;ZWNobw==\x07",
    "\x1bP+q544e\x1b\\",
    "\x1bc",
    "\x1b[6n",
    "\u{9b}2J",
    "\u{90}x\u{9c}",
    "\x07",
    "\x08\x08\x08",
    "\x7f",
    "\r",
    "\rerased",
    "\n",
    "\nerror: forged",
    "\x0b\x0c",
    "\x0e\x0f",
    "\u{202e}gpj.exe",
    "\u{2066}a\u{2069}",
    "\u{200b}\u{200d}\u{feff}",
    "\u{2028}line\u{2029}paragraph",
    "\u{ad}\u{61c}\u{180e}",
    "\u{e0041}\u{e007f}",
    "\u{fff9}\u{fffb}",
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-2-3",
    "@SUM(A1)",
    "\t=1+1",
    "\",\"=1",
    "{}{0}%s%n\\u001b",
    "'\"`;$(id)",
    "</script>",
    "- yaml: [",
    "#!&*",
    "\u{301}\u{301}\u{301}",
    "e\u{10ffff}\u{fffd}",
];

/// Bytes that are not UTF-8.
const NO_TEXT: [&[u8]; 6] =
    [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"\xe2\x80", b"\x80\x9b"];

/// A hostile text.
#[must_use]
pub(super) fn text(random: &mut Random) -> String {
    let mut text = String::new();
    for _ in 0..=random.below(3) {
        if random.one_in(3) {
            text.push_str("name");
        }
        text.push_str(random.word(&PIECES));
    }
    text
}

/// A hostile text of at most `most` bytes, which may not be UTF-8.
#[must_use]
pub(super) fn bytes(random: &mut Random, most: usize) -> Vec<u8> {
    let mut bytes = text(random).into_bytes();
    if random.one_in(3) {
        let at = random.below(bytes.len());
        let piece = *random.choose(&NO_TEXT);
        drop(bytes.splice(at..at, piece.iter().copied()));
    }
    bytes.truncate(most);
    bytes
}

/// A file name: hostile bytes without a slash, neither empty nor `.` or `..`.
#[must_use]
pub(super) fn file_name(random: &mut Random) -> Vec<u8> {
    let mut name = bytes(random, 200);
    name.iter_mut().filter(|byte| **byte == b'/').for_each(|byte| *byte = b'|');
    name.insert(0, b'f');
    // Otherwise a name that begins like an option or a formula.
    if random.one_in(2) && !matches!(name.get(1), None | Some(b'.')) {
        name.remove(0);
    }
    name
}
