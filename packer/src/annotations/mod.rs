// SPDX-License-Identifier: MIT
//! `///` comments above declarations, and what they mean for the package.
//!
//! [`find`] reads them from the source's text, by tokens, not by a C parser: a comment belongs to
//! the declaration that follows it, or in which it stands outside of braces. [`tags`] reads those
//! that are declaration tags in the object. [`apply`] puts each on the map, variable or program of
//! the object that the declaration names.

mod apply;
mod arguments;
mod known;
pub mod lexer;
mod tags;

pub use apply::{apply, wanted_records};
pub use arguments::check_arguments;
pub use tags::tags;

use lexer::{Position, Token};

/// A declaration at the top level, with the comments that belong to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Declaration {
    /// Its identifiers outside of braces, up to an initializer: one of them is its name.
    pub words: Vec<String>,
    /// Those of them that can name a variable or a map: none of a function, and not those in
    /// parentheses, such as parameters.
    pub outer: Vec<String>,
    /// Whether it is in the section `license`, which holds the documentation of the whole.
    pub is_license: bool,
    /// Its annotations, in order.
    pub annotations: Vec<Annotation>,
    /// The text of a comment of another kind that ends on the line before it.
    pub comment: Option<String>,
}

/// A `@name text`, or text without a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// The name without `@`; `description` for text without one.
    pub name: String,
    /// The text, lines joined.
    pub text: String,
    /// Where it begins; none for one that is a tag in the object.
    pub at: Option<Position>,
    /// Where each line of the text begins.
    pub lines: Vec<Position>,
}

impl Annotation {
    /// Where a line and a column of the text, both from 1, are in the source.
    fn place(&self, line: usize, column: usize) -> Option<Position> {
        let start = self.lines.get(line.checked_sub(1)?)?;
        Some(Position { line: start.line, column: start.column + column.saturating_sub(1) })
    }
}

/// Reads the declarations that have comments.
#[must_use]
pub fn find(text: &str) -> Vec<Declaration> {
    let mut found = Vec::new();
    let mut current = Pending::default();
    let mut depth = 0usize;
    for (token, at) in lexer::with_comments(text) {
        match token {
            Token::Doc(text) if depth == 0 => current.docs.push((text.to_owned(), at)),
            Token::Comment(text) if depth == 0 && current.words.is_empty() => {
                current.comments.push((text.to_owned(), at));
            }
            Token::Doc(_) | Token::Comment(_) => {}
            // What stands above a directive belongs to the directive.
            Token::Directive(_) if depth == 0 && current.words.is_empty() => {
                current.finish(&mut found);
            }
            Token::Directive(_) => {}
            Token::Punct('{') => depth += 1,
            Token::Punct('}') => {
                depth = depth.saturating_sub(1);
                // A function's body ends it; a struct goes on to its name.
                if depth == 0 && current.after_parenthesis {
                    current.outer.clear();
                    current.finish(&mut found);
                }
            }
            _ if depth > 0 => {}
            Token::Punct(';') => current.finish(&mut found),
            Token::Punct('=') => current.initializer = true,
            Token::Punct('(') => current.parentheses += 1,
            Token::Punct(')') => {
                current.parentheses = current.parentheses.saturating_sub(1);
                current.after_parenthesis = true;
            }
            Token::Word(word) => {
                current.after_parenthesis = false;
                current.first_line.get_or_insert(at.line);
                if !current.initializer {
                    current.words.push(word.to_owned());
                    if current.parentheses == 0 {
                        current.outer.push(word.to_owned());
                    }
                }
            }
            Token::Str("license") => current.is_license = true,
            Token::Str(_) | Token::Punct(_) => {}
        }
    }
    current.finish(&mut found);
    found
}

#[derive(Default)]
struct Pending {
    docs: Vec<(String, Position)>,
    comments: Vec<(String, Position)>,
    first_line: Option<usize>,
    words: Vec<String>,
    outer: Vec<String>,
    parentheses: usize,
    is_license: bool,
    initializer: bool,
    /// The last token outside of braces was `)`, so that a brace opens a function's body.
    after_parenthesis: bool,
}

impl Pending {
    fn finish(&mut self, found: &mut Vec<Declaration>) {
        let done = std::mem::take(self);
        let comment = done.first_line.and_then(|line| comment_above(&done.comments, line));
        if !done.docs.is_empty() || comment.is_some() {
            found.push(Declaration {
                words: done.words,
                outer: done.outer,
                is_license: done.is_license,
                annotations: split(&done.docs),
                comment,
            });
        }
    }
}

/// The text of the comments that end just above a line, one below the other.
fn comment_above(comments: &[(String, Position)], line: usize) -> Option<String> {
    let mut below = line;
    let mut texts: Vec<String> = Vec::new();
    for (text, at) in comments.iter().rev() {
        let lines = text.lines().count().max(1);
        if at.line + lines != below {
            break;
        }
        below = at.line;
        let bare = text.trim_start_matches("/*").trim_end_matches("*/");
        let words = bare.lines().map(|line| line.trim().trim_start_matches(['/', '*', '!']).trim());
        texts.push(words.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" "));
    }
    texts.reverse();
    let text = texts.join(" ").trim().to_owned();
    (!text.is_empty() && !text.contains("SPDX-")).then_some(text)
}

/// Cuts comment lines at each `@name` that begins one.
fn split(docs: &[(String, Position)]) -> Vec<Annotation> {
    let mut found: Vec<Annotation> = Vec::new();
    for (line, at) in docs {
        let text = line.trim();
        // The three slashes, and white space behind them.
        let start = at.column + 3 + (line.len() - line.trim_start().len());
        match text.strip_prefix('@') {
            Some(rest) => {
                let end = rest
                    .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-'))
                    .unwrap_or(rest.len());
                let (name, text) = rest.split_at(end);
                let skipped = text.len() - text.trim_start().len();
                let column = start + 1 + end + skipped;
                found.push(Annotation {
                    name: name.into(),
                    text: text.trim().into(),
                    at: Some(*at),
                    lines: vec![Position { line: at.line, column }],
                });
            }
            None if text.is_empty() => {}
            None => {
                let place = Position { line: at.line, column: start };
                match found.last_mut() {
                    Some(last) => {
                        last.text.push('\n');
                        last.text.push_str(text);
                        last.lines.push(place);
                    }
                    None => found.push(Annotation {
                        name: "description".into(),
                        text: text.into(),
                        at: Some(*at),
                        lines: vec![place],
                    }),
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comment(text: &str) -> Option<String> {
        find(text).pop().and_then(|declaration| declaration.comment)
    }

    #[test]
    fn comments_that_are_just_above() {
        assert_eq!(comment("// Only\n// this\nint x;").as_deref(), Some("Only this"));
        assert_eq!(comment("/*\n * Only\n * this\n */\nint x;").as_deref(), Some("Only this"));
        assert_eq!(comment("/* that */\n\n/* this */ int x;"), None);
        assert_eq!(comment("/* that */\n\n// this\nint x;").as_deref(), Some("this"));
        for text in
            ["// far\n\nint x;", "int x; // behind\n", "// SPDX-License-Identifier: X\nint x;"]
        {
            assert_eq!(comment(text), None, "{text}");
        }
        assert_eq!(comment("// above\n#define A\nint x;"), None);
    }

    #[test]
    fn places_in_the_text() {
        let found = find("\n  /// @sample {\"a\": 1,\n  ///    x}\nint y;");
        let annotation = &found[0].annotations[0];
        assert_eq!(annotation.text, "{\"a\": 1,\nx}");
        let place = |line, column| annotation.place(line, column).map(|p| (p.line, p.column));
        assert_eq!(place(1, 1), Some((2, 15)));
        assert_eq!(place(2, 1), Some((3, 10)));
        assert_eq!(place(3, 1), None);
    }
}
