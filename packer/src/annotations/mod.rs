// SPDX-License-Identifier: MIT
//! Parses `///` comments above declarations, and applies them to the package.
//!
//! [`find`] reads them from the text of the source, by tokens, without a C parser: a comment
//! belongs to the declaration that follows it, or that contains it outside braces. [`tags`] reads
//! the declaration tags in the object. [`apply`] applies each one to the map, variable or program
//! of the object that the declaration defines.

mod apply;
mod arguments;
mod known;
mod tags;

pub(crate) use apply::{apply, wanted_records};
pub(crate) use arguments::check_arguments;
pub(crate) use tags::tags;

use crate::lexer::{self, Position, Token};

/// The number of declarations with comments, and of annotations, in a source.
const MAX_FOUND: usize = 4096;

/// The number of words of a declaration that are kept; its name is among them.
const MAX_WORDS: usize = 64;

/// The longest name of an annotation, in bytes.
const MAX_NAME: usize = 256;

/// The longest text of an annotation, in bytes. Only the start of a longer one is kept.
pub(crate) const MAX_TEXT: usize = 32 << 10;

/// The longest plain comment that is a help text, in bytes.
const MAX_COMMENT: usize = 16 << 10;

/// A source has more of something than any real one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooMany(&'static str);

impl std::fmt::Display for TooMany {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "it has more than {MAX_FOUND} {}", self.0)
    }
}

impl std::error::Error for TooMany {}

/// A declaration at the top level, with the comments that belong to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Declaration<'s> {
    /// Its first identifiers outside braces, up to an initializer, including its name.
    pub(crate) words: Vec<&'s str>,
    /// Those that can be the name of a variable or a map: not those of a function, and not those in
    /// parentheses, such as parameters.
    pub(crate) outer: Vec<&'s str>,
    /// Whether it is in the section `license`; its annotations describe the whole package.
    pub(crate) is_license: bool,
    /// Its annotations, in order.
    pub(crate) annotations: Vec<Annotation>,
    /// The text of another comment that ends on the line before it.
    pub(crate) comment: Option<String>,
}

/// A `@name text`, or text without a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Annotation {
    /// The name without `@`; `description` for text without a name.
    pub(crate) name: String,
    /// The text with its lines joined; if it has more than [`MAX_TEXT`] bytes, its first lines.
    pub(crate) text: String,
    /// Whether the text is incomplete.
    pub(crate) is_cut: bool,
    /// The start of the annotation; `None` for a tag in the object.
    pub(crate) at: Option<Position>,
    /// The start of each line of the text.
    pub(crate) lines: Vec<Position>,
}

impl Annotation {
    /// The position in the source of a line and a column of the text, both starting at 1.
    fn location(&self, line: usize, column: usize) -> Option<Position> {
        let start = self.lines.get(line.checked_sub(1)?)?;
        let column = u32::try_from(column.saturating_sub(1)).ok()?;
        Some(Position { line: start.line, column: start.column.checked_add(column)? })
    }

    /// Adds a line to the text.
    fn push(&mut self, line: &str, at: Position) {
        if self.is_cut || self.text.len() + line.len() >= MAX_TEXT {
            self.is_cut = true;
            return;
        }
        if !self.lines.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(line);
        self.lines.push(at);
    }
}

/// Reads the declarations that have comments.
///
/// # Errors
/// There are more than in any real source.
pub(crate) fn find(text: &str) -> Result<Vec<Declaration<'_>>, TooMany> {
    let mut found = Vec::new();
    let mut current = Pending::default();
    let mut depth = 0usize;
    let mut annotations = 0;
    for (token, at) in lexer::with_comments(text) {
        match token {
            Token::Doc(text) if depth == 0 => {
                let before = current.annotations.len();
                current.doc(text, at);
                annotations += current.annotations.len() - before;
            }
            Token::Comment(text) if depth == 0 && current.words.is_empty() => {
                current.comments.add(text, at);
            }
            Token::Doc(_) | Token::Comment(_) => {}
            // A comment above a directive belongs to the directive.
            Token::Directive(_) if depth == 0 && current.words.is_empty() => {
                current.finish(&mut found);
            }
            Token::Directive(_) => {}
            Token::Punct('{') => depth += 1,
            Token::Punct('}') => {
                depth = depth.saturating_sub(1);
                // The body of a function ends its declaration; a struct continues to its name.
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
                if !current.initializer && current.words.len() < MAX_WORDS {
                    current.words.push(word);
                    if current.parentheses == 0 {
                        current.outer.push(word);
                    }
                }
            }
            Token::Str("license") => current.is_license = true,
            Token::Str(_) | Token::Punct(_) => {}
        }
        if annotations > MAX_FOUND {
            return Err(TooMany("annotations"));
        }
        if found.len() > MAX_FOUND {
            return Err(TooMany("declarations with comments"));
        }
    }
    current.finish(&mut found);
    Ok(found)
}

#[derive(Default)]
struct Pending<'s> {
    annotations: Vec<Annotation>,
    comments: Comments<'s>,
    first_line: Option<u32>,
    words: Vec<&'s str>,
    outer: Vec<&'s str>,
    parentheses: usize,
    is_license: bool,
    initializer: bool,
    /// Whether the last token outside braces was `)`, so that a brace opens the body of a function.
    after_parenthesis: bool,
}

impl<'s> Pending<'s> {
    /// Adds a comment line: `@name` starts an annotation, other text continues the previous one.
    fn doc(&mut self, line: &str, at: Position) {
        let text = line.trim();
        // The three slashes, and the white space after them.
        let start = 3 + (line.len() - line.trim_start().len());
        let location =
            |skipped: usize| Position { column: at.column + (start + skipped) as u32, ..at };
        let new = |name: &str| Annotation {
            name: name[..name.floor_char_boundary(MAX_NAME)].to_owned(),
            text: String::new(),
            is_cut: false,
            at: Some(at),
            lines: Vec::new(),
        };
        if let Some(rest) = text.strip_prefix('@') {
            let is_end = |c: char| !(c.is_alphanumeric() || c == '_' || c == '-');
            let end = rest.find(is_end).unwrap_or(rest.len());
            let (name, text) = rest.split_at(end);
            let skipped = text.len() - text.trim_start().len();
            let mut annotation = new(name);
            annotation.push(text.trim(), location(1 + end + skipped));
            self.annotations.push(annotation);
        } else if !text.is_empty() {
            if self.annotations.is_empty() {
                self.annotations.push(new("description"));
            }
            self.annotations.last_mut().into_iter().for_each(|last| last.push(text, location(0)));
        }
    }

    fn finish(&mut self, found: &mut Vec<Declaration<'s>>) {
        let done = std::mem::take(self);
        let comment = done.first_line.and_then(|line| done.comments.above(line));
        if !done.annotations.is_empty() || comment.is_some() {
            found.push(Declaration {
                words: done.words,
                outer: done.outer,
                is_license: done.is_license,
                annotations: done.annotations,
                comment,
            });
        }
    }
}

/// Other comments, each starting on the line after the previous one.
#[derive(Default)]
struct Comments<'s> {
    texts: Vec<&'s str>,
    /// The size of all of them in bytes. Texts beyond the limit are not kept.
    len: usize,
    /// The line after the last one.
    below: u32,
}

impl<'s> Comments<'s> {
    fn add(&mut self, text: &'s str, at: Position) {
        if self.below != at.line {
            *self = Comments::default();
        }
        self.len += text.len();
        if self.len <= MAX_COMMENT {
            self.texts.push(text);
        }
        self.below = at.line + text.lines().count().max(1) as u32;
    }

    /// The text of the comments that end on the line above this one.
    fn above(&self, line: u32) -> Option<String> {
        if self.below != line || self.len > MAX_COMMENT {
            return None;
        }
        let plain = |text: &str| {
            let bare = text.trim_start_matches("/*").trim_end_matches("*/");
            let words =
                bare.lines().map(|line| line.trim().trim_start_matches(['/', '*', '!']).trim());
            words.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
        };
        let texts: Vec<String> = self.texts.iter().map(|text| plain(text)).collect();
        let text = texts.join(" ").trim().to_owned();
        (!text.is_empty() && !text.contains("SPDX-")).then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comment(text: &str) -> Option<String> {
        find(text).unwrap().pop().and_then(|declaration| declaration.comment)
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
        let found = find("\n  /// @sample {\"a\": 1,\n  ///    x}\nint y;").unwrap();
        let annotation = &found[0].annotations[0];
        assert_eq!(annotation.text, "{\"a\": 1,\nx}");
        let location = |line, column| annotation.location(line, column).map(|p| (p.line, p.column));
        assert_eq!(location(1, 1), Some((2, 15)));
        assert_eq!(location(2, 1), Some((3, 10)));
        assert_eq!(location(3, 1), None);
    }
    #[test]
    fn what_no_source_has_costs_nothing() {
        let many = |text: &str| find(&text.repeat(MAX_FOUND + 1)).map(|found| found.len());
        assert_eq!(many("/// @a\n"), Err(TooMany("annotations")));
        assert_eq!(many("/* a */\nint x;\n"), Err(TooMany("declarations with comments")));
        assert_eq!(many("int x;\n"), Ok(0));
        assert_eq!(many("/// a\n"), Ok(1));
        let text = format!("/// @a\n{}int x;", "/// line\n".repeat(MAX_TEXT));
        let annotation = &find(&text).unwrap()[0].annotations[0];
        assert!(annotation.is_cut && annotation.text.len() < MAX_TEXT);
        let text = format!("/// @{}\n{}x;", "n".repeat(1000), "a ".repeat(1000));
        let found = find(&text).unwrap();
        assert_eq!(
            (found[0].words.len(), found[0].annotations[0].name.len()),
            (MAX_WORDS, MAX_NAME)
        );
        for long in ["// a\n".repeat(MAX_COMMENT), format!("/*{}*/\n", "a".repeat(MAX_COMMENT))] {
            assert_eq!(comment(&format!("{long}int x;")), None);
            assert_eq!(comment(&format!("{long}\n// b\nint x;")).as_deref(), Some("b"));
        }
    }
}
