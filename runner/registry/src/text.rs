// SPDX-License-Identifier: MIT
//! Texts from other machines, for messages: on one line, printable and short.

use bpfpack_schemas::printable;

/// The number of characters that a message shows of a text from elsewhere.
const SHOWN: usize = 200;

/// Shortens a text, and replaces what may not be printed.
pub(crate) fn short(text: &str) -> String {
    let mut chars = text.chars();
    let mut shown: String = chars.by_ref().take(SHOWN).collect();
    if chars.next().is_some() {
        shown.push('…');
    }
    printable::one_line(shown.trim()).into_owned()
}

/// A number of bytes for people.
#[must_use]
pub fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} bytes"),
        10_000..10_000_000 => format!("{} KB", bytes / 1000),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_short_and_printable() {
        assert_eq!(short(" fine "), "fine");
        assert!(!short("a\x1b[31mb\nc\u{202e}d").contains(['\x1b', '\n', '\u{202e}']));
        assert_eq!(short(&"x".repeat(10_000)).chars().count(), SHOWN + 1);
    }

    #[test]
    fn sizes() {
        assert_eq!(size(9_999), "9999 bytes");
        assert_eq!(size(12_345), "12 KB");
        assert_eq!(size(123_456_789), "123 MB");
    }
}
