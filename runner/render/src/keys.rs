// SPDX-License-Identifier: MIT
//! The keys of a live screen.

/// The action of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// Ends the run.
    Quit,
    /// Freezes or resumes the screen.
    Pause,
    /// Sorts by the next column.
    NextColumn,
    /// Sorts by the previous column.
    PreviousColumn,
    /// Reverses the order.
    Reverse,
    /// Switches between totals since the start and the last interval.
    Turn,
    /// Scrolls down by this number of rows; up if it is negative.
    Scroll(isize),
    /// Scrolls by a screen, down if true.
    Page(bool),
    /// Scrolls to the first row.
    Home,
}

/// Parses the bytes that a terminal sends. Other keys are ignored.
#[must_use]
pub fn keys(bytes: &[u8]) -> Vec<Key> {
    let mut rest = bytes;
    let mut found = Vec::new();
    while let Some((first, others)) = rest.split_first() {
        let (key, len) = match first {
            0x1b => escaped(others),
            b'q' | b'Q' => (Some(Key::Quit), 0),
            b'p' | b' ' => (Some(Key::Pause), 0),
            b's' | b'>' => (Some(Key::NextColumn), 0),
            b'S' | b'<' => (Some(Key::PreviousColumn), 0),
            b'r' => (Some(Key::Reverse), 0),
            b'c' => (Some(Key::Turn), 0),
            b'j' => (Some(Key::Scroll(1)), 0),
            b'k' => (Some(Key::Scroll(-1)), 0),
            b'g' => (Some(Key::Home), 0),
            _ => (None, 0),
        };
        found.extend(key);
        rest = &others[len..];
    }
    found
}

/// Parses what follows an escape character. Returns the key and the number of bytes; a sequence
/// ends in a letter or `~`.
fn escaped(bytes: &[u8]) -> (Option<Key>, usize) {
    let Some(b'[' | b'O') = bytes.first() else { return (None, 0) };
    let end = bytes[1..].iter().position(|byte| matches!(byte, b'@'..=b'~'));
    let Some(end) = end.map(|end| end + 1) else { return (None, bytes.len()) };
    let key = match &bytes[1..=end] {
        b"A" => Some(Key::Scroll(-1)),
        b"B" => Some(Key::Scroll(1)),
        b"C" => Some(Key::NextColumn),
        b"D" => Some(Key::PreviousColumn),
        b"H" | b"1~" | b"7~" => Some(Key::Home),
        b"5~" => Some(Key::Page(false)),
        b"6~" => Some(Key::Page(true)),
        _ => None,
    };
    (key, end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_terminals() {
        assert_eq!(keys(b"xp\x1b[Bq"), [Key::Pause, Key::Scroll(1), Key::Quit]);
        assert_eq!(
            keys(b"\x1b[5~\x1b[6~\x1bOA"),
            [Key::Page(false), Key::Page(true), Key::Scroll(-1)]
        );
        assert_eq!(keys(b"\x1b[C\x1b[1;5D\x1b[H"), [Key::NextColumn, Key::Home]);
        for bytes in [&b"\x1b"[..], b"\x1b[", b"\x1b[1", b"\x1bx", b"\xff\0", b""] {
            assert_eq!(keys(bytes), [], "{bytes:?}");
        }
    }
}
