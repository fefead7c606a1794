// SPDX-License-Identifier: MIT
//! The width of text on a terminal: wide characters, as in Chinese, take two columns.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Marks clipped text.
const CUT: char = '…';

/// The number of columns of a text. Bytes that are not UTF-8 take one column each, like their
/// replacement.
pub(crate) fn of(text: &[u8]) -> usize {
    match text.is_ascii() {
        true => text.len(),
        false => String::from_utf8_lossy(text).width(),
    }
}

/// Clips a text to `room` columns, with a mark if it is longer.
pub(crate) fn clip(text: &str, room: usize) -> String {
    if of(text.as_bytes()) <= room {
        return text.to_owned();
    }
    let mut clipped = String::new();
    let mut left = room.saturating_sub(1);
    for character in text.chars() {
        let width = character.width().unwrap_or(0);
        if width > left {
            break;
        }
        left -= width;
        clipped.push(character);
    }
    clipped.extend((room > 0).then_some(CUT));
    clipped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_characters_take_two_columns() {
        assert_eq!((of(b"abc"), of("日本".as_bytes()), of("e\u{301}".as_bytes())), (3, 4, 1));
        assert_eq!(
            (&*clip("日本語", 6), &*clip("日本語", 5), &*clip("日本語", 4)),
            ("日本語", "日本…", "日…")
        );
        assert_eq!((&*clip("abc", 3), &*clip("abcd", 3), &*clip("abcd", 0)), ("abc", "ab…", ""));
    }
}
