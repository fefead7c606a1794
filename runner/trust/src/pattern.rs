// SPDX-License-Identifier: MIT
//! Patterns of sources.

/// Returns whether a text fits a pattern, in which `*` stands for any number of characters.
#[must_use]
pub fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, inner)) = parts.split_last() else { return rest.is_empty() };
    for part in inner {
        // The first place is as good as any: what is behind it can only be longer.
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, text) in [
            ("*", ""),
            ("*", "oci://host/x"),
            ("/opt/*", "/opt/a/b.json"),
            ("https://*.example.org/*", "https://a.example.org/x"),
            ("a*b*c", "abbc"),
            ("/x", "/x"),
            ("a**b", "ab"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("/opt/*", "/op"), ("/x", "/xy"), ("a*b", "a"), ("a*bc*c", "abc"), ("", "x")]
        {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }
}
