// SPDX-License-Identifier: MIT
//! JSON that a module writes: checked, and put on one line.

/// The same value without the spaces between its parts. Numbers and texts stay as they are
/// written.
///
/// # Errors
/// Where it is no JSON value.
pub fn minified(text: &[u8]) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::from_slice::<serde_json::Value>(text)?;
    let mut out = Vec::with_capacity(text.len());
    let (mut is_text, mut is_escaped) = (false, false);
    for &byte in text {
        if is_text {
            is_text = is_escaped || byte != b'"';
            is_escaped = !is_escaped && byte == b'\\';
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
        assert!(minified(&vec![b'['; 100_000]).is_err());
    }
}
