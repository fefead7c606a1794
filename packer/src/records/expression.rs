// SPDX-License-Identifier: MIT
//! Parts of expressions, as tokens.

use crate::lexer::Token;

/// The operand of `sizeof`: the content of its parentheses, or what follows.
pub(crate) fn operand<'t, 'd>(tokens: &'t [Token<'d>]) -> &'t [Token<'d>] {
    match tokens.first() {
        Some(Token::Punct('(')) => match closing(tokens) {
            Some(end) => unwrapped(&tokens[1..end]),
            None => &[],
        },
        _ => tokens,
    }
}

/// The content of the parentheses or brackets that the first token opens.
pub(crate) fn group<'t, 'd>(tokens: &'t [Token<'d>]) -> &'t [Token<'d>] {
    closing(tokens).and_then(|end| tokens.get(1..end)).unwrap_or_default()
}

/// The first argument of a call, from its parenthesis on.
pub(crate) fn first_argument<'t, 'd>(tokens: &'t [Token<'d>]) -> &'t [Token<'d>] {
    arguments(tokens).next().unwrap_or_default()
}

/// The arguments of a call, from its parenthesis on.
pub(crate) fn arguments<'t, 'd>(tokens: &'t [Token<'d>]) -> impl Iterator<Item = &'t [Token<'d>]> {
    let mut depth = 0;
    group(tokens).split(move |token| {
        match token {
            Token::Punct('(' | '[' | '{') => depth += 1,
            Token::Punct(')' | ']' | '}') => depth -= 1,
            _ => {}
        }
        depth == 0 && *token == Token::Punct(',')
    })
}

/// Removes parentheses around the whole expression.
pub(crate) fn unwrapped<'t, 'd>(tokens: &'t [Token<'d>]) -> &'t [Token<'d>] {
    let mut tokens = tokens;
    while tokens.first() == Some(&Token::Punct('(')) && closing(tokens) == Some(tokens.len() - 1) {
        tokens = &tokens[1..tokens.len() - 1];
    }
    tokens
}

/// The position of the parenthesis that closes the first one.
pub(crate) fn closing(tokens: &[Token<'_>]) -> Option<usize> {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Token::Punct('(' | '[') => depth += 1,
            Token::Punct(')' | ']') => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// Removes stars at the end.
pub(crate) fn strip_stars<'t, 'd>(tokens: &'t [Token<'d>]) -> &'t [Token<'d>] {
    let end = tokens.iter().rposition(|token| *token != Token::Punct('*')).map_or(0, |at| at + 1);
    &tokens[..end]
}

/// Whether the content of parentheses can be a type, as in a cast.
pub(crate) fn is_type(tokens: &[Token<'_>]) -> bool {
    tokens.iter().all(|token| matches!(token, Token::Word(_) | Token::Punct('*')))
        && (tokens.len() > 1 || tokens == [Token::Word("long")])
}
