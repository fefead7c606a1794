// SPDX-License-Identifier: MIT
//! Evaluates the expressions of a call, with as much of C's type system as calls of the buffer
//! helpers need. A parameter of a function is resolved to the arguments of its callers.

use super::debug::{Debug, Location, address};
use super::expression::{closing, is_type, operand, strip_stars, unwrapped};
use super::flow::Flow;
use super::source::{CallText, Sources};
use super::units::{self, Slotting};
use crate::lexer::Token;

/// The depth to which callers of callers are followed.
const MAX_DEPTH: usize = 12;

/// Evaluates calls.
pub(crate) struct Evaluator<'f, 'd> {
    pub(crate) debug: &'f Debug<'d>,
    pub(crate) sources: &'f Sources<'f>,
    pub(crate) flow: &'f Flow,
}

/// A call in its function.
#[derive(Debug, Clone)]
pub(crate) struct Scope<'t> {
    text: CallText<'t>,
    /// The function of the call, in the debug information.
    function: u32,
    /// The position of the call.
    location: Location,
    /// The instruction, and the number of inlined functions between it and the call.
    at: (usize, u64),
    level: usize,
    /// The function of the instruction, in [`Flow::functions`].
    code: usize,
    /// The buffer, if it is known, and the argument of the call that names it.
    map: Option<(String, usize)>,
}

/// A type, and the number of times its address was taken.
#[derive(Debug, Clone, Copy)]
struct Typed {
    /// `None` for void.
    ty: Option<u32>,
    addresses: usize,
}

impl<'f, 'd> Evaluator<'f, 'd> {
    /// The calls of one of these functions from which an instruction was compiled: one, unless
    /// clang merged several.
    pub(crate) fn scopes(&self, code: usize, at: (usize, u64), names: &[&str]) -> Vec<Scope<'f>> {
        let frames = self.debug.frames(address(at.0, at.1));
        let (Some(inner), Some(outer)) = (frames.first(), frames.last()) else {
            return Vec::new();
        };
        let location = self.debug.location(address(at.0, at.1)).unwrap_or_default();
        let texts = self.sources.calls_at(location, names);
        if !texts.is_empty() {
            let function = inner.function;
            let scope = |text| Scope { text, function, location, at, level: 0, code, map: None };
            return texts.into_iter().map(scope).collect();
        }
        // Such an instruction has no line, or that of other code: the candidates are all calls in
        // the function, and in the functions that were inlined into it.
        let mut found = Vec::new();
        for function in self.debug.parts_of_origin(outer.function) {
            let level = frames.iter().position(|frame| frame.function == function);
            let start = self.debug.die(function).location;
            for text in names.iter().flat_map(|name| self.calls(function, name)) {
                // Variables that are declared later in the function count, too.
                let location = Location { line: u32::MAX, ..start };
                let level = level.unwrap_or(frames.len() - 1);
                found.push(Scope { text, function, location, at, level, code, map: None });
            }
        }
        found
    }

    fn calls(&self, function: u32, name: &str) -> Vec<CallText<'f>> {
        let location = self.debug.die(function).location;
        self.sources.calls_in(location.file, self.lines(function), name)
    }

    /// The lines of a function: up to the next function in the file.
    fn lines(&self, function: u32) -> (u32, u32) {
        let die = self.debug.die(function);
        let next = self.debug.functions().filter_map(|other| {
            let location = self.debug.die(other).location;
            (location.file == die.location.file && location.line > die.location.line)
                .then_some(location.line)
        });
        (die.location.line, next.min().map_or(u32::MAX, |line| line - 1))
    }

    /// How a function computes the slots of a histogram.
    pub(crate) fn slotting(&self, function: u32) -> Option<Slotting> {
        let location = self.debug.die(function).location;
        let tokens = self.sources.tokens_in(location.file, self.lines(function));
        let constant = |name: &str| match self.sources.constant(name)?[..] {
            [Token::Word(word)] => units::number(word),
            _ => None,
        };
        let takes_log = |name: &str| {
            let mut functions = self.debug.functions().map(|function| self.debug.origin(function));
            let found = functions.find(|function| self.debug.die(*function).name == name);
            found.is_some_and(|function| {
                let file = self.debug.die(function).location.file;
                units::looks_logarithmic(self.sources.tokens_in(file, self.lines(function)))
            })
        };
        units::slotting(tokens, &constant, &takes_log)
    }

    /// Sets the buffer that a call writes to: only the callers that pass this buffer count.
    pub(crate) fn of_map(&self, mut scope: Scope<'f>, map: &str, argument: usize) -> Scope<'f> {
        scope.map = Some((map.to_owned(), argument));
        scope
    }

    /// The callers of the function that contains a call.
    fn callers(&self, scope: &Scope<'f>) -> Vec<Scope<'f>> {
        let mut callers = self.all_callers(scope);
        let of_map = scope.map.as_ref().and_then(|(map, argument)| {
            match unwrapped(scope.text.arguments.get(*argument)?) {
                [Token::Word(word)] => Some((map, self.parameter(scope, word)?)),
                _ => None,
            }
        });
        if let Some((map, at)) = of_map {
            callers.retain(|caller| self.words(caller, at).iter().any(|word| word == map));
            callers = callers.into_iter().map(|caller| self.of_map(caller, map, at)).collect();
        }
        callers
    }

    fn all_callers(&self, scope: &Scope<'f>) -> Vec<Scope<'f>> {
        let frames = self.debug.frames(address(scope.at.0, scope.at.1));
        let name = self.debug.die(scope.function).name;
        if let Some(called_at) = frames.get(scope.level).and_then(|frame| frame.called_at) {
            let Some(outer) = frames.get(scope.level + 1) else { return Vec::new() };
            let level = scope.level + 1;
            let with = |text| Scope {
                text,
                function: outer.function,
                location: called_at,
                level,
                map: None,
                ..scope.clone()
            };
            return self.sources.calls_at(called_at, &[name]).into_iter().map(with).collect();
        }
        let called_from = &self.flow.functions[scope.code].called_from;
        called_from
            .iter()
            .flat_map(|at| {
                let code = self.flow.functions.iter().position(|function| {
                    function.section == at.0 && (function.start..function.end).contains(&at.1)
                });
                code.map(|code| self.scopes(code, *at, &[name])).unwrap_or_default()
            })
            .collect()
    }

    /// The structs whose `sizeof` is used in an argument.
    pub(crate) fn sizeof(&self, scope: &Scope<'f>, argument: usize) -> Vec<u32> {
        let tokens = scope.text.arguments.get(argument).cloned().unwrap_or_default();
        self.sizes(scope, &tokens, 0)
    }

    fn sizes(&self, scope: &Scope<'f>, tokens: &[Token<'f>], depth: usize) -> Vec<u32> {
        if depth > MAX_DEPTH {
            return Vec::new();
        }
        if let Some(at) = tokens.iter().position(|token| *token == Token::Word("sizeof")) {
            let operand = operand(&tokens[at + 1..]);
            let mut types = match self.named_type(scope, operand) {
                Some(ty) => vec![Typed { ty: Some(ty), addresses: 0 }],
                None => self.types(scope, operand, depth),
            };
            types.retain(|typed| typed.addresses == 0);
            return types.iter().filter_map(|typed| self.exact_record(typed.ty?)).collect();
        }
        let [Token::Word(word)] = unwrapped(tokens) else { return Vec::new() };
        if let Some(body) = self.sources.constant(word) {
            return self.sizes(scope, &body, depth + 1);
        }
        if let Some(at) = self.parameter(scope, word) {
            let callers = self.callers(scope);
            let of = |caller: &Scope<'f>| {
                let tokens = caller.text.arguments.get(at).cloned().unwrap_or_default();
                self.sizes(caller, &tokens, depth + 1)
            };
            return callers.iter().flat_map(of).collect();
        }
        let assigned = self.assigned(scope, word);
        assigned.iter().flat_map(|tokens| self.sizes(scope, tokens, depth + 1)).collect()
    }

    /// The structs that an argument points to.
    pub(crate) fn pointed_to(&self, scope: &Scope<'f>, argument: usize) -> Vec<u32> {
        let tokens = scope.text.arguments.get(argument).cloned().unwrap_or_default();
        self.targets(&self.types(scope, &tokens, 0))
    }

    fn targets(&self, types: &[Typed]) -> Vec<u32> {
        let targets = types.iter().filter(|typed| typed.addresses <= 1);
        targets.filter_map(|typed| self.record(typed.ty?)).collect()
    }

    /// The structs to which the result of a call is converted.
    pub(crate) fn result(&self, scope: &Scope<'f>) -> Vec<u32> {
        self.results(scope, 0)
    }

    fn results(&self, scope: &Scope<'f>, depth: usize) -> Vec<u32> {
        let mut before = &scope.text.before[..];
        // A cast between `=` and the call states the type, as the variable does.
        if let [.., Token::Punct(')')] = before
            && let Some(open) = before.iter().rposition(|token| *token == Token::Punct('('))
        {
            let inside = &before[open + 1..before.len() - 1];
            if let Some(ty) = self.named_type(scope, strip_stars(inside)) {
                return self.exact_record(ty).into_iter().collect();
            }
            before = &before[..open];
        }
        match before {
            [rest @ .., Token::Punct('=')] => {
                let name = rest.iter().rev().find_map(|token| match token {
                    Token::Word(word) => Some(*word),
                    _ => None,
                });
                let Some(name) = name else { return Vec::new() };
                let is_plain = rest.last() == Some(&Token::Word(name));
                let declared = self.variable(scope, name).filter(|_| is_plain);
                let ty = declared.and_then(|variable| self.debug.type_of(variable));
                ty.and_then(|ty| self.record(ty)).into_iter().collect()
            }
            [.., Token::Word("return")] if depth < MAX_DEPTH => {
                let callers = self.callers(scope);
                callers.iter().flat_map(|caller| self.results(caller, depth + 1)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The words of an argument, with parameters replaced by the arguments of callers.
    pub(crate) fn words(&self, scope: &Scope<'f>, argument: usize) -> Vec<String> {
        let mut found = Vec::new();
        let mut todo = vec![(scope.clone(), argument, 0)];
        while let Some((scope, argument, depth)) = todo.pop() {
            for token in scope.text.arguments.get(argument).into_iter().flatten() {
                let Token::Word(word) = token else { continue };
                match self.parameter(&scope, word).filter(|_| depth < MAX_DEPTH) {
                    Some(at) => {
                        let callers = self.callers(&scope).into_iter();
                        todo.extend(callers.map(|caller| (caller, at, depth + 1)));
                    }
                    None if !found.iter().any(|known| known == word) => {
                        found.push((*word).to_owned());
                    }
                    None => {}
                }
            }
        }
        found
    }

    fn parameter(&self, scope: &Scope<'f>, name: &str) -> Option<usize> {
        self.debug.parameters(scope.function).iter().position(|parameter| *parameter == name)
    }

    /// The variable with a name at a call: the one in the innermost block.
    fn variable(&self, scope: &Scope<'f>, name: &str) -> Option<u32> {
        let all = self.debug.variables(scope.function, name);
        if let [only] = all[..] {
            return Some(only);
        }
        let lines = self.lines(scope.function);
        let here = self.sources.blocks(lines, scope.location);
        let visible = all.iter().copied().filter_map(|variable| {
            let declared = self.debug.die(variable).location;
            let location = self.sources.location_of(declared, name);
            let blocks = self.sources.blocks(lines, location);
            let is_parameter = blocks.is_empty();
            let is_before = declared.line <= scope.location.line;
            (is_before && (is_parameter || here.starts_with(&blocks)))
                .then_some(((blocks.len(), declared.line), variable))
        });
        let innermost = visible.max_by_key(|(depth, _)| *depth).map(|(_, variable)| variable);
        innermost.or(all.last().copied()).or_else(|| self.debug.global(name))
    }

    /// The values that a variable can have at a call.
    fn assigned(&self, scope: &Scope<'f>, name: &str) -> Vec<Vec<Token<'f>>> {
        self.sources.assigned(self.lines(scope.function), scope.location, name)
    }

    /// Whether the type of the data is known, and is not a struct.
    pub(crate) fn is_scalar(&self, scope: &Scope<'f>, argument: usize) -> bool {
        let tokens = scope.text.arguments.get(argument).cloned().unwrap_or_default();
        let types = self.types(scope, &tokens, 0);
        let is_scalar = |typed: &Typed| {
            let mut ty = typed.ty;
            for _ in 0..MAX_DEPTH {
                let Some(resolved) = ty.and_then(|ty| self.debug.resolved(ty)) else {
                    return false;
                };
                match self.debug.die(resolved).tag {
                    gimli::DW_TAG_base_type | gimli::DW_TAG_enumeration_type => return true,
                    gimli::DW_TAG_pointer_type | gimli::DW_TAG_array_type => {
                        ty = self.debug.type_of(resolved);
                    }
                    _ => return false,
                }
            }
            false
        };
        !types.is_empty() && types.iter().all(is_scalar)
    }

    /// The types that an expression can have: several if callers differ.
    fn types(&self, scope: &Scope<'f>, tokens: &[Token<'f>], depth: usize) -> Vec<Typed> {
        let tokens = unwrapped(tokens);
        if depth > MAX_DEPTH {
            return Vec::new();
        }
        match tokens {
            [Token::Punct('&'), rest @ ..] => {
                let mut types = self.types(scope, rest, depth + 1);
                for typed in &mut types {
                    typed.addresses += 1;
                }
                types
            }
            [Token::Punct('*'), rest @ ..] => {
                let types = self.types(scope, rest, depth + 1);
                types.into_iter().filter_map(|typed| self.dereferenced(typed)).collect()
            }
            [Token::Punct('('), ..] => {
                let Some(end) = closing(tokens) else { return Vec::new() };
                let (inside, rest) = (&tokens[1..end], &tokens[end + 1..]);
                match self.named_type(scope, strip_stars(inside)) {
                    // A cast to a pointer to a struct states the type; one to `void *` hides it.
                    Some(ty)
                        if self.exact_record(ty).is_some()
                            && inside.contains(&Token::Punct('*')) =>
                    {
                        vec![Typed { ty: Some(ty), addresses: 1 }]
                    }
                    _ if is_type(inside) => self.types(scope, rest, depth + 1),
                    _ => {
                        let types = self.types(scope, inside, depth + 1);
                        types.into_iter().filter_map(|typed| self.postfix(typed, rest)).collect()
                    }
                }
            }
            [Token::Word(name), rest @ ..] => {
                let primary = self.primary(scope, name, depth);
                primary.into_iter().filter_map(|typed| self.postfix(typed, rest)).collect()
            }
            _ => Vec::new(),
        }
    }

    fn primary(&self, scope: &Scope<'f>, name: &str, depth: usize) -> Vec<Typed> {
        let variable = self.variable(scope, name);
        let ty = variable.and_then(|variable| self.debug.type_of(variable));
        let is_opaque = ty.is_none_or(|ty| self.record(ty).is_none());
        if is_opaque && let Some(at) = self.parameter(scope, name) {
            let callers = self.callers(scope);
            let of = |caller: &Scope<'f>| {
                let tokens = caller.text.arguments.get(at).cloned().unwrap_or_default();
                self.types(caller, &tokens, depth + 1)
            };
            return callers.iter().flat_map(of).collect();
        }
        if is_opaque {
            let assigned = self.assigned(scope, name);
            let types: Vec<Typed> =
                assigned.iter().flat_map(|tokens| self.types(scope, tokens, depth + 1)).collect();
            if !self.targets(&types).is_empty() {
                return types;
            }
        }
        ty.map(|ty| Typed { ty: Some(ty), addresses: 0 }).into_iter().collect()
    }

    /// The type after `->m`, `.m` and `[i]` are applied to an expression.
    fn postfix(&self, typed: Typed, tokens: &[Token<'_>]) -> Option<Typed> {
        match tokens {
            [] => Some(typed),
            [Token::Punct('-'), Token::Punct('>'), Token::Word(member), rest @ ..]
            | [Token::Punct('.'), Token::Word(member), rest @ ..] => {
                let ty = self.member(self.record(typed.ty?)?, member, 0)?;
                self.postfix(Typed { ty: Some(ty), addresses: 0 }, rest)
            }
            [Token::Punct('['), ..] => {
                let end = closing(tokens)?;
                self.postfix(self.dereferenced(typed)?, &tokens[end + 1..])
            }
            // Pointer arithmetic keeps the target.
            _ => Some(typed),
        }
    }

    fn dereferenced(&self, typed: Typed) -> Option<Typed> {
        if typed.addresses > 0 {
            return Some(Typed { addresses: typed.addresses - 1, ..typed });
        }
        let ty = self.debug.resolved(typed.ty?)?;
        let is_pointer =
            matches!(self.debug.die(ty).tag, gimli::DW_TAG_pointer_type | gimli::DW_TAG_array_type);
        is_pointer.then(|| Typed { ty: self.debug.type_of(ty), addresses: 0 })
    }

    /// The type of a member, also in anonymous structs and unions.
    fn member(&self, record: u32, name: &str, depth: usize) -> Option<u32> {
        self.debug.children(record).find_map(|child| {
            let die = self.debug.die(child);
            let ty = (die.tag == gimli::DW_TAG_member).then(|| self.debug.type_of(child))??;
            match die.name {
                found if found == name => Some(ty),
                "" if depth < MAX_DEPTH => self.member(self.debug.resolved(ty)?, name, depth + 1),
                _ => None,
            }
        })
    }

    /// The struct that a type is, or points to, or is an array of.
    pub(crate) fn record(&self, ty: u32) -> Option<u32> {
        let mut ty = ty;
        for _ in 0..3 {
            if let Some(record) = self.exact_record(ty) {
                return Some(record);
            }
            let resolved = self.debug.resolved(ty)?;
            match self.debug.die(resolved).tag {
                gimli::DW_TAG_pointer_type | gimli::DW_TAG_array_type => {
                    ty = self.debug.type_of(resolved)?;
                }
                _ => return None,
            }
        }
        None
    }

    /// The struct that a type is. A struct without a tag is identified by its typedef.
    fn exact_record(&self, ty: u32) -> Option<u32> {
        let resolved = self.debug.resolved(ty)?;
        let die = self.debug.die(resolved);
        let is_record = matches!(die.tag, gimli::DW_TAG_structure_type | gimli::DW_TAG_union_type);
        if !is_record || die.is_declaration {
            return None;
        }
        if !die.name.is_empty() {
            return Some(resolved);
        }
        // Find its own typedef, if it was reached through a typedef of a pointer to it.
        self.last_typedef(ty).or_else(|| self.debug.typedef_of(resolved))
    }

    fn last_typedef(&self, ty: u32) -> Option<u32> {
        let mut ty = ty;
        let mut found = None;
        for _ in 0..MAX_DEPTH {
            if self.debug.die(ty).tag == gimli::DW_TAG_typedef {
                found = Some(ty);
            }
            match self.debug.type_of(ty) {
                Some(next) if self.debug.resolved(ty) != Some(ty) => ty = next,
                _ => break,
            }
        }
        found
    }

    /// The type that tokens name: `struct x`, or a typedef. Types local to the function take
    /// precedence.
    fn named_type(&self, scope: &Scope<'f>, tokens: &[Token<'_>]) -> Option<u32> {
        let is_qualifier = |token: &&Token<'_>| !matches!(token, Token::Word("const" | "volatile"));
        let tokens: Vec<_> = tokens.iter().filter(is_qualifier).collect();
        match &tokens[..] {
            [Token::Word("struct" | "union"), Token::Word(name)] => {
                let is_it = |index: &u32| self.debug.die(*index).name == *name;
                let own = self.debug.locals(scope.function);
                let own = own.filter(|index| self.debug.is_record(*index)).find(is_it);
                own.or_else(|| self.debug.records().find(is_it))
            }
            [Token::Word(name)] => {
                let own = self.debug.locals(scope.function);
                let is_it = |index: &u32| {
                    let die = self.debug.die(*index);
                    die.tag == gimli::DW_TAG_typedef && die.name == *name
                };
                own.into_iter().find(is_it).or_else(|| self.debug.typedefs(name).next())
            }
            _ => None,
        }
    }
}
