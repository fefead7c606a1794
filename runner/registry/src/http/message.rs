// SPDX-License-Identifier: MIT
//! Finds the message in the body of an error: registries and token servers answer with JSON.

use serde_json::Value;

use crate::text::short;

/// The message in the JSON of a registry (`errors`, OCI distribution 1.1), a token server
/// (`error_description`, RFC 6749; `details`), or a common variant.
pub(crate) fn message(body: &[u8]) -> Option<String> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let first = value.pointer("/errors/0").unwrap_or(&value);
    let text = |name: &str| first.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let found = ["message", "error_description", "details", "error", "code"];
    found.into_iter().find_map(text).map(short)
}

#[cfg(test)]
mod tests {
    use super::message;

    #[test]
    fn messages() {
        let of = |body: &str| message(body.as_bytes());
        let registry =
            r#"{"errors":[{"code":"DENIED","message":"no\u001b[31m access","detail":1}]}"#;
        assert_eq!(of(registry).unwrap(), "no\\x1b[31m access");
        assert_eq!(of(r#"{"errors":[{"code":"DENIED"}]}"#).unwrap(), "DENIED");
        assert_eq!(of(r#"{"details":"incorrect username"}"#).unwrap(), "incorrect username");
        assert_eq!(of(r#"{"error":"x","error_description":"y"}"#).unwrap(), "y");
        for other in ["", "<html>", "[]", "{}", "3", r#"{"errors":[]}"#, r#"{"message":3}"#] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
