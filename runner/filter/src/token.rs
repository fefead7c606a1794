// SPDX-License-Identifier: MIT
//! Splits an expression into tokens. There is no arithmetic, so `systemd-journal`, `10.0.0.0/8`,
//! `fe80::1` and `-ENOENT` are words without quotes; the member that a word is compared with
//! decides what it is.

use std::ops::Range;

use crate::error::FilterError;

/// A comparison operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// `==`
    Eq,
    /// `!=`
    Ne,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
}

impl Op {
    /// The same comparison with its sides swapped.
    pub(crate) fn swapped(self) -> Op {
        match self {
            Op::Lt => Op::Gt,
            Op::Le => Op::Ge,
            Op::Gt => Op::Lt,
            Op::Ge => Op::Le,
            other => other,
        }
    }

    /// Whether it compares the order, not only equality.
    pub(crate) fn is_order(self) -> bool {
        !matches!(self, Op::Eq | Op::Ne)
    }
}

/// A word or a quoted text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) span: Range<usize>,
    /// The text as written, without quotes.
    pub(crate) raw: String,
    /// The text with escapes resolved.
    pub(crate) value: Vec<u8>,
    pub(crate) is_quoted: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token {
    Word(Word),
    Compare(Op),
    /// `~`, or `!~`.
    Match {
        is_negated: bool,
    },
    Not,
    And,
    Or,
    Open,
    Close,
    Comma,
}

/// Splits an expression.
pub(crate) fn tokens(text: &str) -> Result<Vec<(Token, Range<usize>)>, FilterError> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        if c.is_whitespace() {
            at += c.len_utf8();
            continue;
        }
        let (token, len) = match c {
            '"' | '\'' => quoted(text, at, c)?,
            c if is_of_word(c) => word(text, at),
            _ => sign(text, at, c)?,
        };
        found.push((token, at..at + len));
        at += len;
    }
    Ok(found)
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric()
        || matches!(c, '_' | '.' | ':' | '/' | '@' | '%' | '+' | '-' | '$' | '[' | ']')
}

fn word(text: &str, at: usize) -> (Token, usize) {
    let rest = &text[at..];
    let raw = &rest[..rest.find(|c| !is_of_word(c)).unwrap_or(rest.len())];
    let word = Word {
        span: at..at + raw.len(),
        raw: raw.to_owned(),
        value: raw.as_bytes().to_vec(),
        is_quoted: false,
    };
    (Token::Word(word), raw.len())
}

fn quoted(text: &str, at: usize, quote: char) -> Result<(Token, usize), FilterError> {
    let inner = &text[at + 1..];
    let mut value = Vec::new();
    let mut characters = inner.char_indices();
    while let Some((end, c)) = characters.next() {
        match c {
            _ if c == quote => {
                let span = at..at + end + 2;
                let raw = inner[..end].to_owned();
                let len = span.len();
                return Ok((Token::Word(Word { span, raw, value, is_quoted: true }), len));
            }
            '\\' => match characters.next() {
                Some((_, 'n')) => value.push(b'\n'),
                Some((_, 't')) => value.push(b'\t'),
                Some((_, 'r')) => value.push(b'\r'),
                Some((_, c @ ('\\' | '"' | '\''))) => value.push(c as u8),
                Some((from, 'x')) => {
                    let digits = inner.get(from + 1..from + 3).unwrap_or_default();
                    match u8::from_str_radix(digits, 16) {
                        Ok(byte) if !digits.starts_with('+') => {
                            value.push(byte);
                            characters = inner.char_indices();
                            characters.nth(inner[..from + 2].chars().count());
                        }
                        _ => value.extend(b"\\x"),
                    }
                }
                Some((_, c)) => {
                    value.push(b'\\');
                    value.extend(c.encode_utf8(&mut [0; 4]).as_bytes());
                }
                None => break,
            },
            c => value.extend(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    let message = format!("the text that begins with {quote} is not closed");
    Err(FilterError::new(text, at..at + 1, message))
}

fn sign(text: &str, at: usize, c: char) -> Result<(Token, usize), FilterError> {
    const SIGNS: [(&str, Token); 15] = [
        ("==", Token::Compare(Op::Eq)),
        ("!=", Token::Compare(Op::Ne)),
        ("<=", Token::Compare(Op::Le)),
        (">=", Token::Compare(Op::Ge)),
        ("!~", Token::Match { is_negated: true }),
        ("&&", Token::And),
        ("||", Token::Or),
        ("=~", Token::Match { is_negated: false }),
        ("<", Token::Compare(Op::Lt)),
        (">", Token::Compare(Op::Gt)),
        ("~", Token::Match { is_negated: false }),
        ("!", Token::Not),
        ("(", Token::Open),
        (")", Token::Close),
        (",", Token::Comma),
    ];
    let rest = &text[at..];
    let found = SIGNS.iter().find(|(sign, _)| rest.starts_with(sign));
    found.map(|(sign, token)| (token.clone(), sign.len())).ok_or_else(|| {
        let error =
            FilterError::new(text, at..at + c.len_utf8(), format!("`{c}` has no meaning here"));
        match c {
            '=' => error.hint("use `==` to compare"),
            '&' => error.hint("use `&&` for `and`"),
            '|' => error.hint("use `||` for `or`"),
            _ => error.hint("put text with such characters in quotes: \"…\" or '…'"),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let word = |(token, span): (Token, Range<usize>)| match token {
            Token::Word(word) => {
                assert_eq!(word.span, span);
                String::from_utf8_lossy(&word.value).into_owned()
            }
            _ => format!("<{}>", &text[span]),
        };
        tokens(text).unwrap().into_iter().map(word).collect()
    }

    #[test]
    fn words_and_signs() {
        assert_eq!(words("a>-1&&b"), ["a", "<>>", "-1", "<&&>", "b"]);
        assert_eq!(words("!a.b[3]!~x"), ["<!>", "a.b[3]", "<!~>", "x"]);
        assert_eq!(words("(10.0.0.0/8,::1)"), ["<(>", "10.0.0.0/8", "<,>", "::1", "<)>"]);
        assert_eq!(words("comm == systemd-journal"), ["comm", "<==>", "systemd-journal"]);
        assert_eq!(words("ä =~ 'ö'"), ["ä", "<=~>", "ö"]);
    }

    #[test]
    fn escapes() {
        assert_eq!(words(r#""a\"b" 'it\'s' "\x41\\\n""#), ["a\"b", "it's", "A\\\n"]);
        assert_eq!(words(r"'\d\.\xzz\x+1ä\x'"), [r"\d\.\xzz\x+1ä\x"], "others stay");
        assert_eq!(words(r"'ä\x41ö'"), ["äAö"]);
        assert_eq!(tokens("a == 'b").unwrap_err().span, 5..6);
        assert_eq!(tokens("'\\").unwrap_err().span, 0..1);
        assert_eq!(tokens(r"'\'").unwrap_err().span, 0..1);
    }

    #[test]
    fn what_means_nothing() {
        assert_eq!(tokens("a = 3").unwrap_err().hint.unwrap(), "use `==` to compare");
        for text in ["a & b", "a | b", "a ^ b", "a == b;", "#", "\u{0}"] {
            assert!(tokens(text).is_err(), "{text}");
        }
    }
}
