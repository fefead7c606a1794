// SPDX-License-Identifier: MIT
//! JSON that a module writes: checked, and put on one line.

use serde::de::IgnoredAny;

/// Values inside of each other: what reads JSON takes so many as a rule.
const DEEPEST: usize = 128;

/// The same value without the spaces between its parts. Numbers and texts stay as they are written,
/// but for control characters, which terminals obey: they become escapes.
///
/// # Errors
/// Where it is no JSON value.
pub fn minified(text: &[u8]) -> Result<Vec<u8>, NotJson> {
    let text = std::str::from_utf8(text).map_err(|_| NotJson::NotUtf8)?;
    // Nothing is made of it: a tree of its values would be many times larger.
    serde_json::from_str::<IgnoredAny>(text)?;
    let mut out = Vec::with_capacity(text.len());
    let (mut is_text, mut is_escaped, mut depth) = (false, false, 0usize);
    let mut bytes = text.bytes().peekable();
    while let Some(byte) = bytes.next() {
        if is_text {
            is_text = is_escaped || byte != b'"';
            is_escaped = !is_escaped && byte == b'\\';
            // Those below the space are no JSON. These are DEL, and C1, in UTF-8.
            let control = match (byte, bytes.peek()) {
                (0x7f, _) => Some(byte),
                (0xc2, Some(&next @ 0x80..=0x9f)) => Some(next),
                _ => None,
            };
            if let Some(control) = control {
                if byte != control {
                    bytes.next();
                }
                out.extend_from_slice(format!("\\u{control:04x}").as_bytes());
                continue;
            }
        } else if byte.is_ascii_whitespace() {
            continue;
        } else {
            is_text = byte == b'"';
            match byte {
                b'[' | b'{' => depth += 1,
                b']' | b'}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth > DEEPEST {
                return Err(NotJson::TooDeep);
            }
        }
        out.push(byte);
    }
    Ok(out)
}

/// Why a text is no JSON value.
#[derive(Debug, thiserror::Error)]
pub enum NotJson {
    /// It is no UTF-8.
    #[error("it is no UTF-8")]
    NotUtf8,
    /// Its parts lie too deep in each other.
    #[error("its values lie more than {DEEPEST} deep in each other")]
    TooDeep,
    /// Something else.
    #[error(transparent)]
    Other(#[from] serde_json::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_as_they_are() {
        let same = |text: &str| String::from_utf8(minified(text.as_bytes()).unwrap()).unwrap();
        assert_eq!(
            same(" { \"a b\" : [ 1 , 2.50 ],\n\"c\\\" \\\\\" : \" x \" } "),
            "{\"a b\":[1,2.50],\"c\\\" \\\\\":\" x \"}"
        );
        assert_eq!(same("18446744073709551616"), "18446744073709551616");
        assert!(minified(b"{\"a\":}").is_err());
        assert!(minified(b"").is_err());
        assert!(minified(b"1 2").is_err());
        assert!(minified(b"\"\xff\"").is_err());
        assert!(minified(b"\"\x1b\"").is_err());
        assert!(minified(&vec![b'['; 100_000]).is_err());
        let nested = |deep: usize| "[".repeat(deep) + &"]".repeat(deep);
        assert_eq!(same(&nested(DEEPEST)), nested(DEEPEST));
        assert!(minified(nested(100_000).as_bytes()).is_err());
    }

    #[test]
    fn what_terminals_obey_becomes_an_escape() {
        let text = "{\"a\u{7f}\": \"\u{9b}31m \u{e9} \\u001b\"}";
        let same = String::from_utf8(minified(text.as_bytes()).unwrap()).unwrap();
        assert_eq!(same, "{\"a\\u007f\":\"\\u009b31m \u{e9} \\u001b\"}");
    }
}
