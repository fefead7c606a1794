// SPDX-License-Identifier: MIT
//! A lexer for the tokens of Rust that paths need. Items for tests are omitted.

/// A token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// `use`.
    Use,
    /// Another identifier or keyword.
    Word(String),
    /// `::`.
    Colons,
    /// Another character outside of comments and strings.
    Punct(char),
}

/// The tokens of a source with their lines, without items for tests.
pub(super) fn tokens(text: &str) -> Vec<(Token, usize)> {
    split(text).0
}

/// The files of test modules that a source declares, as `#[cfg(test)] mod tests;`: their names
/// without extension.
pub(super) fn test_modules(text: &str) -> Vec<String> {
    let (_, tests) = split(text);
    let mut found = Vec::new();
    for item in tests {
        let words: Vec<&str> = item.iter().filter_map(word).collect();
        let is_declared = item.last().is_some_and(|(token, _)| *token == Token::Punct(';'));
        if let (true, [.., "mod", name]) = (is_declared, &words[..]) {
            found.push((*name).to_owned());
        }
    }
    found.extend(paths_of_tests(text));
    found
}

fn word((token, _): &(Token, usize)) -> Option<&str> {
    match token {
        Token::Word(word) => Some(word),
        _ => None,
    }
}

/// The paths in `#[path = "NAME.rs"]` after `#[cfg(test)]`.
fn paths_of_tests(text: &str) -> Vec<String> {
    let behind = text.split("#[cfg(test)]").skip(1);
    let path = |item: &str| {
        let rest = item.trim_start().strip_prefix("#[path")?.split_once('"')?.1;
        Some(rest.split_once('"')?.0.trim_end_matches(".rs").to_owned())
    };
    behind.filter_map(path).collect()
}

/// Tokens with their lines.
type Tokens = Vec<(Token, usize)>;

/// The relevant tokens, and those of each item for tests.
fn split(text: &str) -> (Tokens, Vec<Tokens>) {
    let all = lex(text);
    let (mut found, mut tests) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < all.len() {
        let end = attribute(&all, at);
        match end.filter(|end| is_for_tests(&all[at..*end])) {
            None => {
                found.push(all[at].clone());
                at += 1;
            }
            Some(end) => {
                let behind = item_end(&all, end);
                tests.push(all[end..behind].to_vec());
                at = behind;
            }
        }
    }
    (found, tests)
}

/// The end of an attribute that begins at a token.
fn attribute(tokens: &[(Token, usize)], at: usize) -> Option<usize> {
    let punct = |at: usize, c: char| tokens.get(at).is_some_and(|(t, _)| *t == Token::Punct(c));
    (punct(at, '#') && punct(at + 1, '[')).then(|| group_end(tokens, at + 1))
}

fn is_for_tests(attribute: &[(Token, usize)]) -> bool {
    attribute.iter().filter_map(word).eq(["cfg", "test"])
}

/// The end of an item with its attributes: its semicolon or closing brace.
fn item_end(tokens: &[(Token, usize)], at: usize) -> usize {
    let mut at = at;
    while let Some(end) = attribute(tokens, at) {
        at = end;
    }
    let is_use = tokens.get(at..).unwrap_or_default().iter().map(|(token, _)| token);
    let is_use = is_use.take(3).any(|token| *token == Token::Use);
    while let Some((token, _)) = tokens.get(at) {
        match token {
            Token::Punct(';') => return at + 1,
            Token::Punct('{') if !is_use => return group_end(tokens, at),
            Token::Punct('{' | '(' | '[') => at = group_end(tokens, at),
            _ => at += 1,
        }
    }
    at
}

/// The index after the closing bracket of a group.
fn group_end(tokens: &[(Token, usize)], at: usize) -> usize {
    let mut depth = 0;
    for (index, (token, _)) in tokens.iter().enumerate().skip(at) {
        match token {
            Token::Punct('{' | '(' | '[') => depth += 1,
            Token::Punct('}' | ')' | ']') => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return index + 1;
        }
    }
    tokens.len()
}

/// The tokens of a text, without comments, strings, characters and lifetimes.
fn lex(text: &str) -> Vec<(Token, usize)> {
    let mut found = Vec::new();
    let mut line = 1;
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let len = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            comment_len(rest)
        } else if let Some(len) = literal_len(rest) {
            len
        } else if first.is_alphabetic() || first == '_' {
            let len = word_len(rest);
            found.push(match &rest[..len] {
                "use" => (Token::Use, line),
                word => (Token::Word(word.to_owned()), line),
            });
            len
        } else if rest.starts_with("::") {
            found.push((Token::Colons, line));
            2
        } else {
            if !first.is_whitespace() && !first.is_ascii_digit() {
                found.push((Token::Punct(first), line));
            }
            first.len_utf8()
        };
        line += rest[..len].matches('\n').count();
        at += len;
    }
    found
}

fn word_len(text: &str) -> usize {
    text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len())
}

/// The length of a comment, including nested ones.
fn comment_len(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        match (rest.starts_with("/*"), rest.starts_with("*/")) {
            (true, _) => (depth, at) = (depth + 1, at + 2),
            (_, true) if depth == 1 => return at + 2,
            (_, true) => (depth, at) = (depth - 1, at + 2),
            _ => at += rest.chars().next().map_or(1, char::len_utf8),
        }
    }
    text.len()
}

/// The length of a string, a character or a lifetime that begins here.
fn literal_len(text: &str) -> Option<usize> {
    let prefix = ["br", "cr", "b", "c", "r", ""].into_iter().find(|prefix| {
        let rest = text.strip_prefix(prefix);
        let quoted = rest.map(|rest| rest.trim_start_matches('#'));
        let is_raw = prefix.ends_with('r');
        quoted.is_some_and(|quoted| quoted.starts_with('"'))
            && (is_raw || rest.is_some_and(|rest| rest.starts_with('"')))
    });
    if let Some(prefix) = prefix {
        let rest = &text[prefix.len()..];
        if prefix.ends_with('r') {
            let hashes = rest.len() - rest.trim_start_matches('#').len();
            let end = format!("\"{}", "#".repeat(hashes));
            let start = prefix.len() + hashes + 1;
            return Some(text[start..].find(&end).map_or(text.len(), |at| start + at + end.len()));
        }
        return Some(prefix.len() + quoted_len(rest, '"'));
    }
    let rest = text.strip_prefix('b').filter(|rest| rest.starts_with('\'')).unwrap_or(text);
    let inner = rest.strip_prefix('\'')?;
    let before = text.len() - rest.len();
    // A lifetime has no quote after its first character.
    let first = inner.chars().next()?;
    let is_character = first == '\\' || inner[first.len_utf8()..].starts_with('\'');
    Some(before + if is_character { quoted_len(rest, '\'') } else { 1 + word_len(inner) })
}

fn quoted_len(text: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}
