// SPDX-License-Identifier: MIT
//! JSON that a module writes: checks it and puts it on one line.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

/// Any value, which is checked and not stored: a tree of values would be many times larger than its
/// text.
struct Any;

impl<'de> Deserialize<'de> for Any {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Any, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

impl<'de> Visitor<'de> for Any {
    type Value = Any;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Any, E> {
        Ok(Any)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Any, E> {
        Ok(Any)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Any, E> {
        Ok(Any)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Any, E> {
        Ok(Any)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Any, E> {
        Ok(Any)
    }

    fn visit_str<E>(self, _: &str) -> Result<Any, E> {
        Ok(Any)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Any, A::Error> {
        while values.next_element::<Any>()?.is_some() {}
        Ok(Any)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut values: A) -> Result<Any, A::Error> {
        while values.next_entry::<Any, Any>()?.is_some() {}
        Ok(Any)
    }
}

/// Removes the whitespace between tokens. Numbers and texts stay as they are written, with two
/// exceptions. Control characters, which terminals obey, become escapes. Bytes that are not UTF-8
/// become U+FFFD, as in ecli's own JSON: the name of a process may have any bytes, and may be cut
/// inside a character, which must not end a run.
///
/// # Errors
/// Returns an error if the text is not a JSON value.
pub(super) fn minified(text: &[u8]) -> Result<Vec<u8>, serde_json::Error> {
    let text = String::from_utf8_lossy(text);
    serde_json::from_str::<Any>(&text)?;
    let mut out = Vec::with_capacity(text.len());
    let (mut is_text, mut is_escaped) = (false, false);
    let mut bytes = text.bytes().peekable();
    while let Some(byte) = bytes.next() {
        if is_text {
            is_text = is_escaped || byte != b'"';
            is_escaped = !is_escaped && byte == b'\\';
            // JSON does not allow control characters below space. These are DEL and C1 in UTF-8.
            let control = match (byte, bytes.peek()) {
                (0x7f, _) => Some(byte),
                (0xc2, Some(0x80..=0x9f)) => bytes.next(),
                _ => None,
            };
            if let Some(control) = control {
                out.extend_from_slice(format!("\\u{control:04x}").as_bytes());
                continue;
            }
        } else if byte.is_ascii_whitespace() {
            continue;
        } else {
            is_text = byte == b'"';
        }
        out.push(byte);
    }
    Ok(out)
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
        assert_eq!(minified(b"\"a\xff\xc3\"").unwrap(), "\"a\u{fffd}\u{fffd}\"".as_bytes());
        assert!(minified(b"\"\x1b\"").is_err());
        assert!(minified(&vec![b'['; 100_000]).is_err());
        let nested = |deep: usize| "[".repeat(deep) + &"]".repeat(deep);
        assert_eq!(same(&nested(100)), nested(100));
        assert!(minified(nested(100_000).as_bytes()).is_err());
        // A value parser can read what is accepted.
        for text in ["\"\\ud800\"", "1e999", "{1:2}", "{\"a\":1,}", "[1 2]", "nul"] {
            assert!(minified(text.as_bytes()).is_err(), "{text}");
        }
        assert_eq!(
            same("[null, true, -1, \"\\u00e9\", {\"\\n\": {}}]"),
            "[null,true,-1,\"\\u00e9\",{\"\\n\":{}}]"
        );
    }

    #[test]
    fn what_terminals_obey_becomes_an_escape() {
        let text = "{\"a\u{7f}\": \"\u{9b}31m \u{e9} \\u001b\"}";
        let same = String::from_utf8(minified(text.as_bytes()).unwrap()).unwrap();
        assert_eq!(same, "{\"a\\u007f\":\"\\u009b31m \u{e9} \\u001b\"}");
    }
}
