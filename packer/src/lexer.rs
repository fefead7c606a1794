// SPDX-License-Identifier: MIT
//! A lexer for C. It distinguishes only the tokens that annotations, export headers and the
//! analysis of records need, and does not interpret them.
//!
//! Every byte sequence lexes: anything that is not C becomes punctuation.

/// A token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// An identifier, a keyword or a number.
    Word(&'a str),
    /// A string, without its quotes.
    Str(&'a str),
    /// Any other character; a character constant is `'`.
    Punct(char),
    /// A `///` comment, without the slashes.
    Doc(&'a str),
    /// Another comment that starts its line, including its slashes and stars.
    Comment(&'a str),
    /// A preprocessor directive with its continuation lines, without the `#`.
    Directive(&'a str),
}

/// The position of a token. It is small, because there are many tokens, and no accepted source has
/// more lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    /// The line, starting at 1.
    pub(crate) line: u32,
    /// The column in bytes, starting at 1.
    pub(crate) column: u32,
}

/// The tokens of C text, without comments other than `///`.
pub(crate) fn tokens(text: &str) -> impl Iterator<Item = (Token<'_>, Position)> {
    with_comments(text).filter(|(token, _)| !matches!(token, Token::Comment(_)))
}

/// The tokens of C text, with comments.
pub(crate) fn with_comments(text: &str) -> impl Iterator<Item = (Token<'_>, Position)> {
    let mut lexer = Lexer { text, at: 0, line: 1, line_start: 0, fresh_line: true };
    std::iter::from_fn(move || lexer.next_token())
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    line: u32,
    line_start: usize,
    /// Whether the line has only white space and comments so far.
    fresh_line: bool,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// Advances by `len` bytes, and counts lines.
    fn advance(&mut self, len: usize) -> &'a str {
        let passed = &self.text[self.at..self.at + len];
        for (offset, _) in passed.match_indices('\n') {
            self.line = self.line.saturating_add(1);
            self.line_start = self.at + offset + 1;
            self.fresh_line = true;
        }
        self.at += len;
        passed
    }

    fn next_token(&mut self) -> Option<(Token<'a>, Position)> {
        loop {
            let rest = self.rest();
            let first = rest.chars().next()?;
            let position =
                Position { line: self.line, column: (self.at - self.line_start + 1) as u32 };
            if first.is_whitespace() {
                self.advance(first.len_utf8());
                continue;
            }
            if rest.starts_with("/*") {
                let is_first = self.fresh_line;
                let len = rest.get(2..).and_then(|r| r.find("*/")).map_or(rest.len(), |n| n + 4);
                let comment = self.advance(len);
                if is_first {
                    return Some((Token::Comment(comment), position));
                }
                continue;
            }
            if rest.starts_with("//") {
                let comment = self.advance(rest.find('\n').unwrap_or(rest.len()));
                let is_first = self.fresh_line;
                match comment.strip_prefix("///") {
                    // A comment after code describes that code, not the next declaration.
                    Some(text) if !text.starts_with('/') && self.fresh_line => {
                        return Some((Token::Doc(text.trim_end_matches('\r')), position));
                    }
                    None if is_first => return Some((Token::Comment(comment), position)),
                    _ => continue,
                }
            }
            if first == '#' && self.fresh_line {
                let directive = self.advance(directive_len(rest));
                return Some((Token::Directive(&directive[1..]), position));
            }
            self.fresh_line = false;
            let token = match first {
                '"' => {
                    let all = self.advance(quoted_len(rest, '"'));
                    let text = &all[1..];
                    Token::Str(text.strip_suffix('"').unwrap_or(text))
                }
                '\'' => {
                    self.advance(quoted_len(rest, '\''));
                    Token::Punct('\'')
                }
                c if c.is_alphanumeric() || c == '_' => {
                    let is_word = |c: char| c.is_alphanumeric() || c == '_';
                    Token::Word(self.advance(rest.find(|c| !is_word(c)).unwrap_or(rest.len())))
                }
                c => {
                    self.advance(c.len_utf8());
                    Token::Punct(c)
                }
            };
            return Some((token, position));
        }
    }
}

/// The length of a string or character constant. The end of the line ends an unclosed one.
fn quoted_len(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '\n' if !escaped => return at,
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of a directive, including lines continued with a backslash.
fn directive_len(text: &str) -> usize {
    let mut len = 0;
    for line in text.split_inclusive('\n') {
        len += line.len();
        if !line.trim_end_matches(['\r', '\n']).ends_with('\\') {
            return len - usize::from(line.ends_with('\n'));
        }
    }
    len
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<Token<'_>> {
        tokens(text).map(|(token, _)| token).collect()
    }

    #[test]
    fn comments_strings_and_directives() {
        use Token::*;
        let text = "/* /// no */ // /// no\n/// yes\n#define A \\\n  /// no\nint a = \"/// \\\" no\"; '\"' //// no\n";
        assert_eq!(
            all(text),
            [
                Doc(" yes"),
                Directive("define A \\\n  /// no"),
                Word("int"),
                Word("a"),
                Punct('='),
                Str("/// \\\" no"),
                Punct(';'),
                Punct('\''),
            ]
        );
    }

    #[test]
    fn positions() {
        let found: Vec<_> = tokens("a\n  /// b\n\nc").map(|(_, p)| (p.line, p.column)).collect();
        assert_eq!(found, [(1, 1), (2, 3), (4, 1)]);
    }

    #[test]
    fn a_comment_behind_something_is_about_that() {
        assert_eq!(
            all("int a; /// no\n/// yes"),
            [Token::Word("int"), Token::Word("a"), Token::Punct(';'), Token::Doc(" yes"),]
        );
    }

    #[test]
    fn texts_that_end_early() {
        for text in ["\"abc", "'", "/*", "/*/", "//", "///", "#", "#a \\", "\\", "é", "\"\\"] {
            let _ = all(text);
        }
        assert_eq!(all("\"a\nb"), [Token::Str("a"), Token::Word("b")]);
    }
}
