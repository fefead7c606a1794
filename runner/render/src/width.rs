// SPDX-License-Identifier: MIT
//! How much room text takes on a terminal: wide characters, as those of Chinese, take two columns.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// What stands where text was cut off.
const CUT: char = '…';

/// Columns that bytes take. Those that are no text take one each, as what is shown for them.
pub(crate) fn of(text: &[u8]) -> usize {
    match text.is_ascii() {
        true => text.len(),
        false => String::from_utf8_lossy(text).width(),
    }
}

/// Text that takes `room` columns at most: cut off, with a sign for it, where it would take more.
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
