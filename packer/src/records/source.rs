// SPDX-License-Identifier: MIT
//! The text of a call in a source: its arguments, and the target of its result. If a macro makes
//! the call, it is searched in the body of the macro, with the macro's arguments inserted.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::ops::Range;

use super::debug::{Debug, Location};
use super::expression;
use crate::lexer::{Position, Token, tokens};

/// The depth to which macros in macros are expanded.
const MAX_DEPTH: usize = 8;

/// The number of calls that a macro may make.
const MAX_CALLS: usize = 64;

/// The size of the sources that are read, in bytes.
const MAX_TEXT: usize = 32 << 20;

/// The number of tokens of a file; a longer file counts as empty. Each token takes 32 bytes.
const MAX_FILE: usize = 200_000;

/// The number of known macros.
const MAX_MACROS: usize = 64 << 10;

/// The number of tokens of an expansion.
const MAX_TOKENS: usize = 10_000;

/// A call as written.
#[derive(Debug, Clone)]
pub(crate) struct CallText<'d> {
    /// The tokens of each argument.
    pub(crate) arguments: Vec<Vec<Token<'d>>>,
    /// The tokens before it in its statement.
    pub(crate) before: Vec<Token<'d>>,
}

/// The sources of an object, as tokens.
pub(crate) struct Sources<'d> {
    files: Vec<Source<'d>>,
    /// The text after `#define`, by the name of the macro.
    macros: BTreeMap<&'d str, &'d str>,
}

/// A source. Its tokens are read on demand: most files are only needed for their macros.
struct Source<'d> {
    text: &'d str,
    file: OnceCell<File<'d>>,
}

/// The tokens of a file, with their positions.
#[derive(Default)]
struct File<'d> {
    tokens: Vec<Token<'d>>,
    locations: Vec<Position>,
}

/// The values assigned to a variable, with their positions.
struct Assignment<'d> {
    at: usize,
    tokens: Vec<Token<'d>>,
}

struct Macro<'d> {
    /// `None` for a macro without parentheses.
    parameters: Option<Vec<&'d str>>,
    body: Vec<Token<'d>>,
}

impl<'d> Sources<'d> {
    /// Reads the sources other than our headers: those of kernel types and helpers make no calls.
    pub(crate) fn read(debug: &'d Debug<'_>, is_ours: impl Fn(&str) -> bool) -> Sources<'d> {
        let mut left = MAX_TEXT;
        let mut read = |file: &'d super::debug::File<'_>| {
            let is_read = !is_ours(&file.name) && file.text.len() <= left;
            let text = if is_read { file.text.as_ref() } else { "" };
            left -= text.len();
            Source { text, file: OnceCell::new() }
        };
        let files: Vec<Source<'d>> = debug.files.iter().map(&mut read).collect();
        let mut macros = BTreeMap::new();
        for (token, _) in files.iter().flat_map(|file| tokens(file.text)) {
            if let Token::Directive(text) = token
                && let Some((name, _)) = name_of(text)
                && (macros.len() < MAX_MACROS || macros.contains_key(name))
            {
                macros.insert(name, text);
            }
        }
        Sources { files, macros }
    }

    fn file(&self, index: u32) -> Option<&File<'d>> {
        let source = self.files.get(index as usize)?;
        Some(source.file.get_or_init(|| {
            let (tokens, locations): (Vec<_>, Vec<_>) = tokens(source.text).take(MAX_FILE).unzip();
            match tokens.len() < MAX_FILE {
                true => File { tokens, locations },
                false => File::default(),
            }
        }))
    }

    fn definition(&self, name: &str) -> Option<Macro<'d>> {
        define(self.macros.get(name)?)
    }

    /// The calls of these functions in the expression at a position: one, unless it is a macro that
    /// makes several.
    pub(crate) fn calls_at(&self, location: Location, names: &[&str]) -> Vec<CallText<'d>> {
        let Some(file) = self.file(location.file) else { return Vec::new() };
        // If the position is not that of the name, search the line.
        let at = file.position(location);
        let on_line = |at: &usize| file.locations[*at].line == location.line;
        let from_start = file.locations.partition_point(|p| p.line < location.line);
        let candidates = (at..file.locations.len())
            .take_while(on_line)
            .chain((from_start..file.locations.len()).take_while(on_line));
        let calls = |at: usize| Some(self.calls_of(&file.tokens, at, names, 0));
        candidates.filter_map(calls).find(|calls| !calls.is_empty()).unwrap_or_default()
    }

    /// All calls of a function in a range of lines.
    pub(crate) fn calls_in(&self, file: u32, lines: (u32, u32), name: &str) -> Vec<CallText<'d>> {
        let all = self.tokens_in(file, lines);
        (0..all.len()).flat_map(|at| self.calls_of(all, at, &[name], 0)).collect()
    }

    /// The tokens in a range of lines of a file.
    pub(crate) fn tokens_in(&self, file: u32, lines: (u32, u32)) -> &[Token<'d>] {
        let Some(file) = self.file(file) else { return &[] };
        let first = file.locations.partition_point(|p| p.line < lines.0);
        let end = file.locations.partition_point(|p| p.line <= lines.1);
        file.tokens.get(first..end).unwrap_or_default()
    }

    /// The blocks around a position in a function, by the position of their start.
    pub(crate) fn blocks(&self, lines: (u32, u32), location: Location) -> Vec<usize> {
        let Some(file) = self.file(location.file) else { return Vec::new() };
        let first = file.locations.partition_point(|p| p.line < lines.0);
        file.blocks(first, file.position(location))
    }

    /// The position of a declared name in a line.
    pub(crate) fn location_of(&self, location: Location, name: &str) -> Location {
        let Some(file) = self.file(location.file) else { return location };
        let first = file.locations.partition_point(|p| p.line < location.line);
        let on_line = (first..file.locations.len())
            .take_while(|at| file.locations[*at].line == location.line);
        let found = on_line.into_iter().find(|at| file.tokens[*at] == Token::Word(name));
        found.map_or(location, |at| Location { column: file.locations[at].column, ..location })
    }

    /// The values that a variable can have at a position in a function: the assignments before it,
    /// back to the last unconditional one; if there is none, the first assignment after it.
    pub(crate) fn assigned(
        &self,
        lines: (u32, u32),
        location: Location,
        name: &str,
    ) -> Vec<Vec<Token<'d>>> {
        let Some(file) = self.file(location.file) else { return Vec::new() };
        let first = file.locations.partition_point(|p| p.line < lines.0);
        let end = file.locations.partition_point(|p| p.line <= lines.1);
        let all = file.assignments(first..end, name);
        let here = file.position(location);
        let blocks = file.blocks(first, here);
        let mut found = Vec::new();
        for assignment in all.iter().filter(|assignment| assignment.at < here).rev() {
            found.push(assignment.tokens.clone());
            let before = assignment.at.checked_sub(1).and_then(|at| file.tokens.get(at));
            let is_branch = matches!(before, Some(Token::Word("else") | Token::Punct(')')));
            if !is_branch && blocks.starts_with(&file.blocks(first, assignment.at)) {
                break;
            }
        }
        if found.is_empty() {
            found.extend(all.into_iter().next().map(|assignment| assignment.tokens));
        }
        found
    }

    /// The body of a macro without parameters.
    pub(crate) fn constant(&self, name: &str) -> Option<Vec<Token<'d>>> {
        let found = self.definition(name).filter(|found| found.parameters.is_none())?;
        Some(found.body)
    }

    fn calls_of(
        &self,
        all: &[Token<'d>],
        at: usize,
        names: &[&str],
        depth: usize,
    ) -> Vec<CallText<'d>> {
        let Some(Token::Word(word)) = all.get(at) else { return Vec::new() };
        let arguments = || arguments(&all[at + 1..]);
        let start = |token: &&Token<'d>| !matches!(token, Token::Punct(';' | '{' | '}'));
        let before = || {
            let mut before: Vec<_> = all[..at].iter().rev().take_while(start).copied().collect();
            before.reverse();
            before
        };
        if names.contains(word) {
            let call = |arguments| CallText { arguments, before: before() };
            return arguments().map(call).into_iter().collect();
        }
        if depth >= MAX_DEPTH {
            return Vec::new();
        }
        let Some(Macro { parameters, body }) = self.definition(word) else { return Vec::new() };
        let body = match parameters {
            None => Some(body),
            Some(parameters) => {
                arguments().and_then(|arguments| substituted(&body, &parameters, &arguments))
            }
        };
        let body = body.unwrap_or_default();
        let calls = (0..body.len()).flat_map(|at| self.calls_of(&body, at, names, depth + 1));
        let mut found: Vec<CallText<'d>> = calls.take(MAX_CALLS).collect();
        for call in found.iter_mut().filter(|call| call.before.is_empty()) {
            call.before = before();
        }
        found
    }
}

impl<'d> File<'d> {
    /// The first token at or after a position.
    fn position(&self, location: Location) -> usize {
        let key = (location.line, location.column.max(1));
        self.locations.partition_point(|p| (p.line, p.column) < key)
    }

    /// The braces that are open at a token, counted from an earlier token.
    fn blocks(&self, first: usize, at: usize) -> Vec<usize> {
        let mut open = Vec::new();
        for (index, token) in self.tokens.iter().enumerate().take(at).skip(first) {
            match token {
                Token::Punct('{') => open.push(index),
                Token::Punct('}') => drop(open.pop()),
                _ => {}
            }
        }
        open
    }

    fn assignments(&self, range: Range<usize>, name: &str) -> Vec<Assignment<'d>> {
        let tokens = &self.tokens[..range.end.min(self.tokens.len())];
        let mut found = Vec::new();
        for at in range.start..tokens.len().saturating_sub(2) {
            let [Token::Word(word), Token::Punct('='), next] = tokens[at..at + 3] else { continue };
            if word != name || next == Token::Punct('=') {
                continue;
            }
            let rest = &tokens[at + 2..];
            let end = rest.iter().position(|token| *token == Token::Punct(';'));
            found.push(Assignment { at, tokens: rest[..end.unwrap_or(0)].to_vec() });
        }
        found
    }
}

/// The arguments of a call; the first token is its opening parenthesis.
fn arguments<'d>(after: &[Token<'d>]) -> Option<Vec<Vec<Token<'d>>>> {
    if after.first() != Some(&Token::Punct('(')) {
        return None;
    }
    expression::closing(after)?;
    Some(expression::arguments(after).map(<[_]>::to_vec).collect())
}

/// A macro's body with its arguments inserted.
fn substituted<'d>(
    definition: &[Token<'d>],
    parameters: &[&str],
    arguments: &[Vec<Token<'d>>],
) -> Option<Vec<Token<'d>>> {
    let mut body = Vec::new();
    for token in definition {
        let replaced = match token {
            Token::Word(word) => parameters.iter().position(|parameter| parameter == word),
            _ => None,
        };
        match replaced.and_then(|at| arguments.get(at)) {
            // In parentheses, if precedence requires it, like an expression.
            Some(argument) => body.extend_from_slice(argument),
            None => body.push(*token),
        }
        if body.len() > MAX_TOKENS {
            return None;
        }
    }
    Some(body)
}

/// The name that a directive defines, and the text after it.
fn name_of(text: &str) -> Option<(&str, &str)> {
    let rest = text.trim_start().strip_prefix("define")?;
    let rest = rest.strip_prefix(|c: char| c.is_whitespace())?.trim_start();
    let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
    let (name, rest) = rest.split_at(end);
    let has_end = rest.strip_prefix('(').is_none_or(|inner| inner.contains(')'));
    has_end.then_some((name, rest))
}

/// The macro that a directive defines; `None` if it is longer than any expansion.
fn define(text: &str) -> Option<Macro<'_>> {
    let (_, rest) = name_of(text)?;
    let (parameters, body) = match rest.strip_prefix('(') {
        Some(inner) => {
            let (list, body) = inner.split_once(')')?;
            let names = list.split(',').take(MAX_TOKENS);
            let names = names.map(|name| name.trim_matches(['\\', ' ', '\t', '\n', '\r']));
            (Some(names.collect()), body)
        }
        None => (None, rest),
    };
    let is_token = |token: &Token<'_>| *token != Token::Punct('\\');
    let body = tokens(body).map(|(token, _)| token).filter(is_token).take(MAX_TOKENS + 1);
    let body: Vec<_> = body.collect();
    (body.len() <= MAX_TOKENS).then_some(Macro { parameters, body })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::debug::File as SourceFile;

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

    fn found(text: &str, line: u32, column: u32, name: &str) -> Option<(String, String)> {
        let file = SourceFile { name: "x.c".into(), text: text.to_owned().into() };
        let debug = Debug { files: vec![file], ..Debug::default() };
        let sources = Sources::read(&debug, |_| false);
        let call =
            sources.calls_at(Location { file: 0, line, column }, &[name]).into_iter().next()?;
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
    fn a_macro_may_make_several_calls() {
        let text = "#define OUT(m, v) output(&m, &v)\n#define BOTH(x, y) OUT(r1, x); OUT(r2, y)\n\
            BOTH(a, b);";
        let file = SourceFile { name: "x.c".into(), text: text.to_owned().into() };
        let debug = Debug { files: vec![file], ..Debug::default() };
        let sources = Sources::read(&debug, |_| false);
        let calls = sources.calls_at(Location { file: 0, line: 3, column: 1 }, &["output"]);
        let texts: Vec<_> = calls.iter().map(|call| words(&call.arguments[1])).collect();
        assert_eq!(texts, ["& a", "& b"]);
    }

    #[test]
    fn what_a_variable_may_hold() {
        let text = "f() {\np = a;\nuse(p);\np = b;\nif (x) { p = c; } else p = d;\nuse(p);\n}";
        let file = SourceFile { name: "x.c".into(), text: text.to_owned().into() };
        let debug = Debug { files: vec![file], ..Debug::default() };
        let sources = Sources::read(&debug, |_| false);
        let held = |line, column| -> Vec<String> {
            let location = Location { file: 0, line, column };
            sources.assigned((1, 7), location, "p").iter().map(|tokens| words(tokens)).collect()
        };
        assert_eq!(held(3, 1), ["a"]);
        assert_eq!(held(6, 1), ["d", "c", "b"]);
        assert_eq!(held(1, 1), ["a"]);
    }

    #[test]
    fn macros_that_expand_to_themselves_end() {
        let text = "#define A(x) A(x, x)\n#define B(x) C(x x)\n#define C(x) B(x x)\nA(1); B(1);";
        assert_eq!(found(text, 4, 1, "output"), None);
        assert_eq!(found(text, 4, 7, "output"), None);
    }
}
