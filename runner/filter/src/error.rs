// SPDX-License-Identifier: MIT
//! Why an expression is not valid, and where.

use std::ops::Range;

/// The number of characters of an expression that an error shows.
const SHOWN: usize = 72;

/// The number of names that a hint lists.
const LISTED: usize = 24;

/// Why an expression is not valid, or does not suit what it is compared with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FilterError {
    /// The message.
    pub message: String,
    /// The expression.
    pub expression: String,
    /// The bytes of the expression that are wrong.
    pub span: Range<usize>,
    /// What the user can do.
    pub hint: Option<String>,
}

impl FilterError {
    pub(crate) fn new(expression: &str, span: Range<usize>, message: String) -> FilterError {
        FilterError { message, expression: expression.to_owned(), span, hint: None }
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> FilterError {
        self.hint = Some(hint.into());
        self
    }

    /// The expression, and a line below it that marks the wrong part. A long expression is
    /// shortened.
    #[must_use]
    pub fn marked(&self) -> String {
        let characters = |text: &str| text.chars().count();
        let start = characters(&self.expression[..self.floor(self.span.start)]);
        let end = characters(&self.expression[..self.floor(self.span.end)]);
        let before = start.saturating_sub(SHOWN / 2);
        let all = self.expression.chars().skip(before);
        let line: String = all.take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
        let len = (end - start).clamp(1, SHOWN.saturating_sub(start - before).max(1));
        format!("{line}\n{}{}", " ".repeat(start - before), "^".repeat(len))
    }

    fn floor(&self, at: usize) -> usize {
        self.expression.floor_char_boundary(at)
    }
}

/// A list of names for a message, beginning with the one most similar to `wanted`.
pub(crate) fn names<'n>(what: &str, wanted: &str, known: impl Iterator<Item = &'n str>) -> String {
    let (mut known, mut near) = (known.collect::<Vec<_>>(), None);
    known.dedup();
    for name in &known {
        let distance = distance(&wanted.to_ascii_lowercase(), &name.to_ascii_lowercase());
        if distance.is_some_and(|distance| near.is_none_or(|(least, _)| distance < least)) {
            near = distance.map(|distance| (distance, *name));
        }
    }
    let near = near.map_or(String::new(), |(_, name)| format!("did you mean `{name}`? "));
    let more = if known.len() > LISTED { ", …" } else { "" };
    known.truncate(LISTED);
    format!("{near}{what} {}{more}", known.join(", "))
}

/// The number of edits between two words; `None` if there are too many.
fn distance(a: &str, b: &str) -> Option<usize> {
    let most = a.len().min(b.len()).div_ceil(3);
    if a.len() > 64 || a.len().abs_diff(b.len()) > most {
        return None;
    }
    Some(strsim::levenshtein(a, b)).filter(|distance| *distance <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(expression: &str, span: Range<usize>) -> String {
        FilterError::new(expression, span, String::new()).marked()
    }

    #[test]
    fn the_caret_stands_below_what_is_wrong() {
        assert_eq!(marked("a == b", 5..6), "a == b\n     ^");
        assert_eq!(marked("ä\t== b", 3..5), "ä == b\n  ^^");
        assert_eq!(marked("a ==", 4..4), "a ==\n    ^");
        assert_eq!(marked("", 0..0), "\n^");
        let long = format!("{}wrong{}", "x ".repeat(500), " y".repeat(500));
        let marked = marked(&long, 1000..1005);
        let (line, mark) = marked.split_once('\n').unwrap();
        assert_eq!(&line[mark.find('^').unwrap()..][..mark.trim().len()], "wrong");
        assert!(line.len() <= SHOWN);
    }

    #[test]
    fn names_that_may_be_meant() {
        let known = ["comm", "pid", "latency_us"];
        let hint = |wanted| names("the members are", wanted, known.into_iter());
        assert_eq!(
            hint("latncy_us"),
            "did you mean `latency_us`? the members are comm, pid, latency_us"
        );
        assert_eq!(hint("PIDS"), "did you mean `pid`? the members are comm, pid, latency_us");
        assert_eq!(hint("nothing"), "the members are comm, pid, latency_us");
        assert_eq!(distance("abc", "abd"), Some(1));
        assert_eq!(distance("", ""), Some(0));
        assert_eq!(distance(&"a".repeat(500), &"a".repeat(500)), None);
    }
}
