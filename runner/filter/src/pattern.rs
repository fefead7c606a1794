// SPDX-License-Identifier: MIT
//! Regular expressions. If one consists only of literal texts, anchored or not, perhaps several
//! alternatives, they are compared directly. Most do, and there are about 50 ns per record. For
//! others, results are cached, because texts repeat and matching takes 500 ns.

use std::cell::RefCell;

use regex_lite::{Regex, RegexBuilder};

/// The maximum size of a compiled expression in bytes. The time for matching is proportional to it.
const MAX_SIZE: usize = 64 << 10;

/// The maximum depth of groups.
const MAX_DEPTH: u32 = 32;

/// A regular expression that may match anywhere in a text.
#[derive(Debug, Clone)]
pub struct Pattern(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Plain(Vec<Plain>),
    Regex(Regex, RefCell<Memory>),
}

/// The maximum number of texts in the cache.
const REMEMBERED: usize = 256;

/// The maximum length of a cached text in bytes.
const LONGEST: usize = 64;

/// A cache of matched texts, by their hash.
#[derive(Debug, Clone, Default)]
struct Memory(Vec<Known>);

#[derive(Debug, Clone, Copy)]
struct Known {
    text: [u8; LONGEST],
    /// `None` if the slot is empty.
    len: Option<u8>,
    is_match: bool,
}

/// A literal text, and where it must be.
#[derive(Debug, Clone)]
struct Plain {
    at_start: bool,
    at_end: bool,
    text: Box<[u8]>,
}

impl Pattern {
    pub(crate) fn new(text: &str) -> Result<Pattern, String> {
        if let Some(plain) = text.split('|').map(Plain::new).collect() {
            return Ok(Pattern(Kind::Plain(plain)));
        }
        let regex = RegexBuilder::new(text).size_limit(MAX_SIZE).nest_limit(MAX_DEPTH).build();
        let regex = regex.map_err(|error| error.to_string())?;
        Ok(Pattern(Kind::Regex(regex, RefCell::default())))
    }

    /// Whether it matches somewhere in a text. Bytes that are not UTF-8 are U+FFFD.
    #[must_use]
    pub fn is_match(&self, text: &[u8]) -> bool {
        match &self.0 {
            Kind::Plain(plain) => plain.iter().any(|plain| plain.is_match(text)),
            Kind::Regex(regex, memory) => {
                memory.borrow_mut().get(text, |text| match std::str::from_utf8(text) {
                    Ok(text) => regex.is_match(text),
                    Err(_) => regex.is_match(&String::from_utf8_lossy(text)),
                })
            }
        }
    }
}

impl Memory {
    fn get(&mut self, text: &[u8], find: impl FnOnce(&[u8]) -> bool) -> bool {
        if text.len() > LONGEST {
            return find(text);
        }
        if self.0.is_empty() {
            self.0 = vec![Known { text: [0; LONGEST], len: None, is_match: false }; REMEMBERED];
        }
        let known = &mut self.0[hash(text)];
        if known.len != Some(text.len() as u8) || known.text[..text.len()] != *text {
            known.is_match = find(text);
            known.len = Some(text.len() as u8);
            known.text[..text.len()].copy_from_slice(text);
        }
        known.is_match
    }
}

/// The slot of a text in the cache.
fn hash(text: &[u8]) -> usize {
    let mut hash = text.len() as u64;
    for chunk in text.chunks(8) {
        let mut bytes = [0; 8];
        bytes[..chunk.len()].copy_from_slice(chunk);
        hash =
            (hash.rotate_left(5) ^ u64::from_le_bytes(bytes)).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
    (hash >> 56) as usize % REMEMBERED
}

impl Plain {
    /// `None` if it has special characters.
    fn new(text: &str) -> Option<Plain> {
        let (text, at_start) = text.strip_prefix('^').map_or((text, false), |text| (text, true));
        let (text, at_end) = text.strip_suffix('$').map_or((text, false), |text| (text, true));
        let is_plain = !text.contains(|c: char| r"\.+*?()[]{}^$|".contains(c));
        is_plain.then(|| Plain { at_start, at_end, text: text.as_bytes().into() })
    }

    fn is_match(&self, text: &[u8]) -> bool {
        match (self.at_start, self.at_end) {
            (true, true) => *text == *self.text,
            (true, false) => text.starts_with(&self.text),
            (false, true) => text.ends_with(&self.text),
            (false, false) => contains(text, &self.text),
        }
    }
}

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    let Some((first, rest)) = wanted.split_first() else { return true };
    let mut text = text;
    while let Some(at) = text.iter().position(|byte| byte == first) {
        text = &text[at + 1..];
        if text.starts_with(rest) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_texts_match_as_regular_expressions_do() {
        let texts = ["", "d", "dd", "add", "xddx", "dx", "systemd", "a.b", "d|d", "ddd"];
        for pattern in ["", "dd", "^dd", "dd$", "^dd$", "^", "$", "^$", "dd|x", "^a|b$", "|", "ddd"]
        {
            let plain = Pattern::new(pattern).unwrap();
            assert!(matches!(plain.0, Kind::Plain(_)), "{pattern}");
            let regex = Regex::new(pattern).unwrap();
            for text in texts {
                assert_eq!(
                    plain.is_match(text.as_bytes()),
                    regex.is_match(text),
                    "{pattern} {text}"
                );
            }
        }
    }

    #[test]
    fn regular_expressions() {
        let is = |pattern: &str, text: &[u8]| Pattern::new(pattern).unwrap().is_match(text);
        assert!(is("^k[a-z]+/[0-9]", b"kworker/0:1") && !is("^w", b"kworker"));
        assert!(is(r"^\.x$", b".x") && is("(?i)DD", b"dd") && is("a.b", b"a\xffb"));
        let many = Pattern::new("[13579]$").unwrap();
        for round in 0..3 {
            for number in 0..3 * REMEMBERED {
                let text = format!("{number}");
                assert_eq!(many.is_match(text.as_bytes()), number % 2 == 1, "{round} {number}");
            }
        }
        let long = "x".repeat(100);
        assert!(many.is_match(format!("{long}1").as_bytes()) && !many.is_match(long.as_bytes()));
        assert!(!many.is_match(b"") && !many.is_match(b"\0") && !many.is_match(b""));
        assert!(Pattern::new("(").is_err() && Pattern::new("[").is_err());
        assert!(Pattern::new("((a{99}){99}){99}").is_err(), "too large");
        assert!(Pattern::new(&format!("{}a{}", "(".repeat(99), ")".repeat(99))).is_err());
    }
}
