// SPDX-License-Identifier: MIT
//! Parses expressions to a tree whose names are not resolved.

use std::ops::Range;

use crate::error::FilterError;
use crate::token::{Op, Token, Word, tokens};

/// The maximum length of an expression in bytes.
const MAX_LEN: usize = 16 << 10;

/// The maximum depth of parentheses and `!`.
const MAX_DEPTH: usize = 64;

/// A parsed expression that is not bound to members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expr {
    text: String,
    pub(crate) root: Node,
}

/// A part of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    /// A member alone, which must be true.
    Is(Word),
    Compare {
        member: Word,
        op: Op,
        with: Word,
    },
    Match {
        member: Word,
        pattern: Word,
    },
    In {
        member: Word,
        list: Vec<Word>,
    },
}

impl Expr {
    /// Parses an expression.
    ///
    /// # Errors
    /// Returns an error if the syntax is wrong.
    pub fn parse(text: &str) -> Result<Expr, FilterError> {
        if text.len() > MAX_LEN {
            let start = &text[..text.floor_char_boundary(MAX_LEN)];
            let message = format!("the expression is longer than {MAX_LEN} bytes");
            return Err(FilterError::new(start, 0..0, message));
        }
        let mut parser = Parser { text, tokens: tokens(text)?, at: 0 };
        let root = parser.any(0)?;
        match parser.next() {
            None => Ok(Expr { text: text.to_owned(), root }),
            Some((_, span)) => Err(parser.unexpected(span, "`&&` or `||`")),
        }
    }

    /// The original text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// Quotes a text as a constant of an expression.
#[must_use]
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

struct Parser<'t> {
    text: &'t str,
    tokens: Vec<(Token, Range<usize>)>,
    at: usize,
}

impl Parser<'_> {
    fn next(&mut self) -> Option<(Token, Range<usize>)> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    /// Consumes a sign or its keyword. Returns whether it was there.
    fn takes(&mut self, sign: &Token, word: &str) -> bool {
        let is_it = match self.tokens.get(self.at) {
            Some((Token::Word(found), _)) => is_keyword(found, word),
            Some((found, _)) => found == sign,
            None => false,
        };
        self.at += usize::from(is_it);
        is_it
    }

    fn error(&self, span: Range<usize>, message: impl Into<String>) -> FilterError {
        FilterError::new(self.text, span, message.into())
    }

    fn unexpected(&self, span: Range<usize>, wanted: &str) -> FilterError {
        let found = match &self.text[span.clone()] {
            "" => "the end of the expression".to_owned(),
            found => format!("`{found}`"),
        };
        self.error(span, format!("expected {wanted}, found {found}"))
    }

    fn end(&self) -> Range<usize> {
        self.text.len()..self.text.len()
    }

    fn any(&mut self, depth: usize) -> Result<Node, FilterError> {
        let mut nodes = vec![self.all(depth)?];
        while self.takes(&Token::Or, "or") {
            nodes.push(self.all(depth)?);
        }
        Ok(if nodes.len() == 1 { nodes.remove(0) } else { Node::Any(nodes) })
    }

    fn all(&mut self, depth: usize) -> Result<Node, FilterError> {
        let mut nodes = vec![self.one(depth)?];
        while self.takes(&Token::And, "and") {
            nodes.push(self.one(depth)?);
        }
        Ok(if nodes.len() == 1 { nodes.remove(0) } else { Node::All(nodes) })
    }

    fn one(&mut self, depth: usize) -> Result<Node, FilterError> {
        let (token, span) = self.next().unwrap_or((Token::Close, self.end()));
        if depth == MAX_DEPTH {
            return Err(self
                .error(span, format!("the expression is nested deeper than {MAX_DEPTH} levels")));
        }
        match token {
            Token::Not => {
                let node = self.one(depth + 1)?;
                // In C, `!` would apply to the member; what users mean is the negation of the
                // comparison.
                if matches!(node, Node::Compare { .. } | Node::Match { .. } | Node::In { .. }) {
                    let error = self.error(span, "`!` cannot precede a comparison");
                    return Err(
                        error.hint("`!(pid == 1)`, `not pid == 1` and `pid != 1` are the same")
                    );
                }
                Ok(Node::Not(node.into()))
            }
            Token::Word(word) if is_keyword(&word, "not") => {
                Ok(Node::Not(self.one(depth + 1)?.into()))
            }
            Token::Open => {
                let node = self.any(depth + 1)?;
                match self.next() {
                    // `!` applies to all of it.
                    Some((Token::Close, _)) => Ok(Node::All(vec![node])),
                    found => {
                        let span = found.map_or(self.end(), |(_, span)| span);
                        Err(self.unexpected(span, "`)`"))
                    }
                }
            }
            Token::Word(word) if !is_any_keyword(&word) => self.comparison(word),
            _ => Err(self.unexpected(span, "a member")),
        }
    }

    fn comparison(&mut self, left: Word) -> Result<Node, FilterError> {
        let before = self.at;
        let node = match self.next() {
            Some((Token::Compare(op), _)) => {
                let right = self.constant()?;
                match is_name(&left) {
                    false if is_name(&right) => {
                        Node::Compare { member: right, op: op.swapped(), with: left }
                    }
                    _ => Node::Compare { member: left, op, with: right },
                }
            }
            Some((Token::Match { is_negated }, _)) => {
                let node = Node::Match { member: left, pattern: self.constant()? };
                if is_negated { Node::Not(Node::All(vec![node]).into()) } else { node }
            }
            Some((Token::Word(word), _)) if is_keyword(&word, "in") => self.list(left)?,
            Some((Token::Word(word), span)) if is_keyword(&word, "not") => match self.next() {
                Some((Token::Word(word), _)) if is_keyword(&word, "in") => {
                    Node::Not(Node::All(vec![self.list(left)?]).into())
                }
                _ => return Err(self.unexpected(span, "a comparison")),
            },
            Some((Token::Word(word), span)) if !is_any_keyword(&word) => {
                return Err(self.unexpected(span, "a comparison"));
            }
            _ => {
                self.at = before;
                Node::Is(left)
            }
        };
        let member = match &node {
            Node::Is(member) | Node::Compare { member, .. } => Some(member),
            Node::Match { member, .. } | Node::In { member, .. } => Some(member),
            _ => None,
        };
        match member.filter(|member| !is_name(member)) {
            Some(member) => Err(self.unexpected(member.span.clone(), "a member")),
            None => Ok(node),
        }
    }

    fn constant(&mut self) -> Result<Word, FilterError> {
        match self.next() {
            Some((Token::Word(word), _)) if !is_any_keyword(&word) => Ok(word),
            found => {
                let span = found.map_or(self.end(), |(_, span)| span);
                Err(self.unexpected(span, "a value"))
            }
        }
    }

    /// Parses what follows `in`: a value, or several in parentheses.
    fn list(&mut self, member: Word) -> Result<Node, FilterError> {
        if !matches!(self.tokens.get(self.at), Some((Token::Open, _))) {
            return Ok(Node::In { member, list: vec![self.constant()?] });
        }
        self.at += 1;
        let mut list = vec![self.constant()?];
        loop {
            match self.next() {
                Some((Token::Comma, _)) => list.push(self.constant()?),
                Some((Token::Close, _)) => return Ok(Node::In { member, list }),
                found => {
                    let span = found.map_or(self.end(), |(_, span)| span);
                    return Err(self.unexpected(span, "`,` or `)`"));
                }
            }
        }
    }
}

fn is_keyword(word: &Word, keyword: &str) -> bool {
    !word.is_quoted && word.raw == keyword
}

fn is_any_keyword(word: &Word) -> bool {
    ["and", "or", "not", "in"].iter().any(|keyword| is_keyword(word, keyword))
}

/// Whether a word can be a member's name.
fn is_name(word: &Word) -> bool {
    let of_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '$' | '[' | ']');
    !word.is_quoted
        && word.raw.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && word.raw.chars().all(of_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An expression with all its parentheses.
    fn shown(node: &Node) -> String {
        let joined = |nodes: &[Node], with: &str| {
            format!("({})", nodes.iter().map(shown).collect::<Vec<_>>().join(with))
        };
        match node {
            Node::All(nodes) if nodes.len() == 1 => shown(&nodes[0]),
            Node::All(nodes) => joined(nodes, " && "),
            Node::Any(nodes) => joined(nodes, " || "),
            Node::Not(node) => format!("!{}", shown(node)),
            Node::Is(member) => member.raw.clone(),
            Node::Compare { member, op, with } => format!("{} {op:?} {}", member.raw, with.raw),
            Node::Match { member, pattern } => format!("{} ~ {}", member.raw, pattern.raw),
            Node::In { member, list } => {
                let list: Vec<&str> = list.iter().map(|word| &*word.raw).collect();
                format!("{} in {}", member.raw, list.join(","))
            }
        }
    }

    fn parsed(text: &str) -> String {
        shown(&Expr::parse(text).unwrap().root)
    }

    #[test]
    fn precedence_is_that_of_c() {
        assert_eq!(parsed("a || b && c == 3"), "(a || (b && c Eq 3))");
        assert_eq!(parsed("(a or b) and not c"), "((a || b) && !c)");
        assert_eq!(parsed("!a && !!b"), "(!a && !!b)");
        assert_eq!(parsed("not a == 3 && b"), "(!a Eq 3 && b)");
        assert_eq!(parsed("!(a == 3)"), "!a Eq 3");
        assert_eq!(parsed("a in 10.0.0.0/8 && b not in (1,2)"), "(a in 10.0.0.0/8 && !b in 1,2)");
        assert_eq!(parsed("a !~ 'x.*'"), "!a ~ x.*");
        assert_eq!(parsed("1ms<=a && -ENOENT == b"), "(a Ge 1ms && b Eq -ENOENT)");
        assert_eq!(parsed("'x' == a"), "a Eq x");
        assert_eq!(parsed("a == b"), "a Eq b");
    }

    #[test]
    fn what_makes_no_sense() {
        let at = |text: &str| Expr::parse(text).unwrap_err().span;
        assert_eq!(at(""), 0..0);
        assert_eq!(at("a =="), 4..4);
        assert_eq!(at("a b"), 2..3);
        assert_eq!(at("a == 1 2"), 7..8);
        assert_eq!(at("(a"), 2..2);
        assert_eq!(at("a)"), 1..2);
        assert_eq!(at("a < 3 < 5"), 6..7);
        assert_eq!(at("!a == 3"), 0..1);
        assert_eq!(at("3 == 5"), 0..1);
        assert_eq!(at("'a'"), 0..3);
        assert_eq!(at("a in"), 4..4);
        assert_eq!(at("a in ()"), 6..7);
        assert_eq!(at("a in (1 2)"), 8..9);
        assert_eq!(at("a not b"), 2..5);
        assert_eq!(at("and"), 0..3);
        assert_eq!(at("a && || b"), 5..7);
        let error = Expr::parse("a == ").unwrap_err();
        assert_eq!(error.message, "expected a value, found the end of the expression");
    }

    #[test]
    fn nesting_and_length_are_bounded() {
        assert!(Expr::parse(&format!("{}a{}", "(".repeat(60), ")".repeat(60))).is_ok());
        for text in ["(".repeat(9000), "!".repeat(9000), "not ".repeat(4000)] {
            assert!(Expr::parse(&format!("{text}a")).unwrap_err().message.contains("nested"));
        }
        let long = vec!["a"; 4000].join("||");
        assert!(Expr::parse(&long).is_ok());
        assert!(Expr::parse(&"ä".repeat(1 << 20)).unwrap_err().message.contains("longer"));
    }

    #[test]
    fn text_as_a_constant() {
        let text = r#"a"b\c'd"#;
        let expr = Expr::parse(&format!("comm == {}", quoted(text))).unwrap();
        let Node::Compare { with, .. } = expr.root else { panic!() };
        assert_eq!(with.value, text.as_bytes());
    }
}
