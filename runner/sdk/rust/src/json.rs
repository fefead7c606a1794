// SPDX-License-Identifier: MIT
//! Reads JSON in place, as far as modules need it for the description.

/// A JSON value. Every access parses it again, which suits a description that is read once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Json<'a>(&'a str);

impl<'a> Json<'a> {
    /// The value in a text.
    #[must_use]
    pub fn new(text: &'a str) -> Json<'a> {
        Json(text.trim())
    }

    /// The text of the value.
    #[must_use]
    pub fn raw(self) -> &'a str {
        self.0
    }

    /// A member of an object; `None` if it does not exist.
    #[must_use]
    pub fn get(self, name: &str) -> Option<Json<'a>> {
        self.members().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// The members of an object; empty for other values.
    pub fn members(self) -> impl Iterator<Item = (&'a str, Json<'a>)> {
        let mut rest = self.0.strip_prefix('{').unwrap_or("");
        core::iter::from_fn(move || {
            let (name, after) = split(rest)?;
            let (value, after) = split(after.strip_prefix(':')?)?;
            rest = after.strip_prefix(',').unwrap_or("");
            Some((Json(name).as_str()?, Json(value)))
        })
    }

    /// The items of an array; empty for other values.
    pub fn items(self) -> impl Iterator<Item = Json<'a>> {
        let mut rest = self.0.strip_prefix('[').unwrap_or("");
        core::iter::from_fn(move || {
            let (value, after) = split(rest)?;
            rest = after.strip_prefix(',').unwrap_or("");
            Some(Json(value))
        })
    }

    /// A string as written, with its escapes; `None` for other values.
    #[must_use]
    pub fn as_str(self) -> Option<&'a str> {
        self.0.strip_prefix('"')?.strip_suffix('"')
    }

    /// An integer without a sign; `None` for other values.
    #[must_use]
    pub fn as_u64(self) -> Option<u64> {
        self.0.parse().ok()
    }
}

/// The value at the start of a text, and the rest.
fn split(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start();
    let (mut depth, mut in_string, mut escaped) = (0u32, false, false);
    for (at, byte) in text.bytes().enumerate() {
        let end = match byte {
            _ if escaped => {
                escaped = false;
                continue;
            }
            b'\\' if in_string => {
                escaped = true;
                continue;
            }
            b'"' => {
                in_string = !in_string;
                if in_string || depth > 0 {
                    continue;
                }
                at + 1
            }
            _ if in_string => continue,
            b'{' | b'[' => {
                depth += 1;
                continue;
            }
            b'}' | b']' if depth > 1 => {
                depth -= 1;
                continue;
            }
            b'}' | b']' if depth == 1 => at + 1,
            b'}' | b']' | b',' | b':' if depth == 0 => at,
            b' ' | b'\n' | b'\r' | b'\t' if depth == 0 => at,
            _ => continue,
        };
        let (value, rest) = text.split_at(end);
        return (!value.is_empty()).then(|| (value, rest.trim_start()));
    }
    (!text.is_empty() && depth == 0 && !in_string).then_some((text, ""))
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    #[test]
    fn values_are_found() {
        let json = Json::new(
            r#" {"a": 1, "b" : [ {"c":"x,}\"y"}, [], 2.5 ,null],"d":{ "e" : {"f": "g"} } } "#,
        );
        assert_eq!(json.get("a").and_then(Json::as_u64), Some(1));
        let items: Vec<_> = json.get("b").unwrap().items().map(Json::raw).collect();
        assert_eq!(items, [r#"{"c":"x,}\"y"}"#, "[]", "2.5", "null"]);
        let c = json.get("b").unwrap().items().next().unwrap().get("c").unwrap();
        assert_eq!(c.as_str(), Some(r#"x,}\"y"#));
        let f = json.get("d").and_then(|d| d.get("e")).and_then(|e| e.get("f")).unwrap();
        assert_eq!(f.as_str(), Some("g"));
        assert_eq!(json.get("c"), None);
    }

    #[test]
    fn broken_texts_end() {
        for text in
            ["", "{", "{\"", "{\"a", "{\"a\":", "{\"a\":}", "[[[", "]", "{,}", "[,,]", "\\\\"]
        {
            let json = Json::new(text);
            assert!(json.members().count() + json.items().count() < 4, "{text}");
        }
    }
}
