// SPDX-License-Identifier: MIT
//! The text of a call in a source: its arguments, and what its result goes to. A call that a macro
//! makes is found in the macro's body, with the macro's arguments put in.

use std::collections::BTreeMap;

use super::debug::{Debug, Place};
use crate::annotations::lexer::{Position, Token, tokens};

/// Macros in macros are followed this deep.
const MAX_DEPTH: usize = 8;

/// Tokens that an expansion has at most.
const MAX_TOKENS: usize = 10_000;

/// A call as it is written.
#[derive(Debug, Clone)]
pub struct CallText<'d> {
    /// The tokens of each argument.
    pub arguments: Vec<Vec<Token<'d>>>,
    /// The tokens of its statement before it.
    pub before: Vec<Token<'d>>,
}

/// The sources of an object, by tokens.
pub struct Sources<'d> {
    files: Vec<Vec<(Token<'d>, Position)>>,
    macros: BTreeMap<&'d str, Macro<'d>>,
}

struct Macro<'d> {
    /// None for one without parentheses.
    parameters: Option<Vec<&'d str>>,
    body: Vec<Token<'d>>,
}

impl<'d> Sources<'d> {
    /// Reads the sources that are not ours: those of kernel types and helpers call nothing.
    pub fn read(debug: &'d Debug<'_>, is_ours: impl Fn(&str) -> bool) -> Sources<'d> {
        let read = |file: &'d super::debug::File<'_>| match is_ours(&file.name) {
            true => Vec::new(),
            false => tokens(&file.text).collect(),
        };
        let files: Vec<Vec<_>> = debug.files.iter().map(read).collect();
        let mut macros = BTreeMap::new();
        for (token, _) in files.iter().flatten() {
            if let Token::Directive(text) = token
                && let Some((name, definition)) = define(text)
            {
                macros.insert(name, definition);
            }
        }
        Sources { files, macros }
    }

    /// The call of one of these functions at a place.
    pub fn call_at(&self, place: Place, names: &[&str]) -> Option<CallText<'d>> {
        let file = self.files.get(place.file)?;
        let position = Position { line: place.line, column: place.column.max(1) };
        let key = |p: &Position| (p.line, p.column);
        let at = file.partition_point(|(_, p)| key(p) < key(&position));
        // Where the place is not that of the name, the line has it.
        let on_line = (at..file.len()).take_while(|at| file[*at].1.line == place.line);
        let from_start = file.partition_point(|(_, p)| p.line < place.line);
        let whole_line = (from_start..file.len()).take_while(|at| file[*at].1.line == place.line);
        let all: Vec<Token<'d>> = file.iter().map(|(token, _)| *token).collect();
        on_line.chain(whole_line).find_map(|at| self.call(&all, at, names, 0))
    }

    /// All calls of a function in a range of lines of a file.
    pub fn calls_in(&self, file: usize, lines: (usize, usize), name: &str) -> Vec<CallText<'d>> {
        let all = self.tokens_in(file, lines);
        (0..all.len()).filter_map(|at| self.call(&all, at, &[name], 0)).collect()
    }

    /// The tokens in a range of lines of a file.
    pub fn tokens_in(&self, file: usize, lines: (usize, usize)) -> Vec<Token<'d>> {
        let Some(file) = self.files.get(file) else { return Vec::new() };
        let first = file.partition_point(|(_, p)| p.line < lines.0);
        let rest = file[first..].iter().take_while(|(_, p)| p.line <= lines.1);
        rest.map(|(token, _)| *token).collect()
    }

    /// The first initializer or assignment of a variable in a range of lines.
    pub fn assigned(
        &self,
        file: usize,
        lines: (usize, usize),
        name: &str,
    ) -> Option<Vec<Token<'d>>> {
        let all = self.tokens_in(file, lines);
        let at = all.windows(3).position(|window| {
            matches!(window, [Token::Word(word), Token::Punct('='), next]
                if *word == name && *next != Token::Punct('='))
        })?;
        let rest = &all[at + 2..];
        let end = rest.iter().position(|token| *token == Token::Punct(';'))?;
        Some(rest[..end].to_vec())
    }

    /// The body of a macro without parameters.
    pub fn constant(&self, name: &str) -> Option<&[Token<'d>]> {
        let found = self.macros.get(name).filter(|found| found.parameters.is_none())?;
        Some(&found.body)
    }

    fn call(
        &self,
        all: &[Token<'d>],
        at: usize,
        names: &[&str],
        depth: usize,
    ) -> Option<CallText<'d>> {
        let Token::Word(word) = all.get(at)? else { return None };
        let arguments = || arguments(&all[at + 1..]);
        let start = |token: &&Token<'d>| !matches!(token, Token::Punct(';' | '{' | '}'));
        let before = || {
            let mut before: Vec<_> = all[..at].iter().rev().take_while(start).copied().collect();
            before.reverse();
            before
        };
        if names.contains(word) {
            return Some(CallText { arguments: arguments()?, before: before() });
        }
        let definition = self.macros.get(word).filter(|_| depth < MAX_DEPTH)?;
        let body = match &definition.parameters {
            None => definition.body.clone(),
            Some(parameters) => substituted(definition, parameters, &arguments()?)?,
        };
        let mut found = (0..body.len()).find_map(|at| self.call(&body, at, names, depth + 1))?;
        if found.before.is_empty() {
            found.before = before();
        }
        Some(found)
    }
}

/// The arguments of a call whose parenthesis is the first token.
fn arguments<'d>(after: &[Token<'d>]) -> Option<Vec<Vec<Token<'d>>>> {
    if after.first() != Some(&Token::Punct('(')) {
        return None;
    }
    let mut found = vec![Vec::new()];
    let mut depth = 0;
    for token in &after[1..] {
        match token {
            Token::Punct(')') if depth == 0 => return Some(found),
            Token::Punct(',') if depth == 0 => {
                found.push(Vec::new());
                continue;
            }
            Token::Punct('(' | '[' | '{') => depth += 1,
            Token::Punct(')' | ']' | '}') => depth -= 1,
            _ => {}
        }
        found.last_mut()?.push(*token);
    }
    None
}

/// A macro's body with its arguments in place.
fn substituted<'d>(
    definition: &Macro<'d>,
    parameters: &[&str],
    arguments: &[Vec<Token<'d>>],
) -> Option<Vec<Token<'d>>> {
    let mut body = Vec::new();
    for token in &definition.body {
        let replaced = match token {
            Token::Word(word) => parameters.iter().position(|parameter| parameter == word),
            _ => None,
        };
        match replaced.and_then(|at| arguments.get(at)) {
            // In parentheses, as far as precedence goes, like an expression.
            Some(argument) => body.extend_from_slice(argument),
            None => body.push(*token),
        }
        if body.len() > MAX_TOKENS {
            return None;
        }
    }
    Some(body)
}

/// The macro that a directive defines.
fn define(text: &str) -> Option<(&str, Macro<'_>)> {
    let rest = text.trim_start().strip_prefix("define")?;
    let rest = rest.strip_prefix(|c: char| c.is_whitespace())?.trim_start();
    let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
    let (name, rest) = rest.split_at(end);
    let (parameters, body) = match rest.strip_prefix('(') {
        Some(inner) => {
            let (list, body) = inner.split_once(')')?;
            let names =
                list.split(',').map(|name| name.trim_matches(['\\', ' ', '\t', '\n', '\r']));
            (Some(names.collect()), body)
        }
        None => (None, rest),
    };
    let is_token = |token: &Token<'_>| *token != Token::Punct('\\');
    let body = tokens(body).map(|(token, _)| token).filter(is_token).collect();
    Some((name, Macro { parameters, body }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::debug::File;

    fn words(tokens: &[Token<'_>]) -> String {
        tokens
            .iter()
            .map(|token| match token {
                Token::Word(word) => (*word).to_owned(),
                Token::Punct(c) => c.to_string(),
                _ => "?".into(),
            })
            .collect::<Vec<_>>()
            .join(" ")
    }

    fn found(text: &str, line: usize, column: usize, name: &str) -> Option<(String, String)> {
        let file = File { name: "x.c".into(), text: text.to_owned().into() };
        let debug = Debug { files: vec![file], ..Debug::default() };
        let sources = Sources::read(&debug, |_| false);
        let call = sources.call_at(Place { file: 0, line, column }, &[name])?;
        let arguments: Vec<_> = call.arguments.iter().map(|argument| words(argument)).collect();
        Some((arguments.join(" | "), words(&call.before)))
    }

    #[test]
    fn a_call_over_several_lines() {
        let text = "int f() {\n\te = reserve(&rb,\n\t\tsizeof(struct a), 0);\n}";
        let expected = ("& rb | sizeof ( struct a ) | 0".to_owned(), "e =".to_owned());
        assert_eq!(found(text, 2, 6, "reserve"), Some(expected.clone()));
        assert_eq!(found(text, 2, 0, "reserve"), Some(expected));
        assert_eq!(found(text, 2, 6, "output"), None);
        assert_eq!(found(text, 9, 1, "reserve"), None);
    }

    #[test]
    fn calls_in_macros() {
        let text = "#define SEND(map, x) output(ctx, &map, \\\n\t0, &x, sizeof(x))\n\
            #define SEND2(x) SEND(events, x)\nint f() { SEND2(ev[1]); return 0; }";
        let (arguments, before) = found(text, 4, 11, "output").unwrap();
        assert_eq!(arguments, "ctx | & events | 0 | & ev [ 1 ] | sizeof ( ev [ 1 ] )");
        assert_eq!(before, "");
        let text = "#define GET(t) (t *)reserve(sizeof(t))\nstruct e *e = GET(struct e);";
        let (arguments, before) = found(text, 2, 15, "reserve").unwrap();
        assert_eq!(arguments, "sizeof ( struct e )");
        assert_eq!(before, "( struct e * )");
    }

    #[test]
    fn macros_that_expand_to_themselves_end() {
        let text = "#define A(x) A(x, x)\n#define B(x) C(x x)\n#define C(x) B(x x)\nA(1); B(1);";
        assert_eq!(found(text, 4, 1, "output"), None);
        assert_eq!(found(text, 4, 7, "output"), None);
    }
}
