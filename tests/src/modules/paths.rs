// SPDX-License-Identifier: MIT
//! Paths in Rust, with groups in braces.

use super::tokens::Token;

/// A path, and the name under which its item is used.
pub(super) struct Used {
    /// Its parts.
    pub parts: Vec<String>,
    /// The name: the one after `as`, or the last part except `self`.
    pub name: String,
}

impl Used {
    fn new(parts: Vec<String>, name: Option<String>) -> Used {
        let is_name = |part: &&String| *part != "self";
        let name = name.or_else(|| parts.iter().rev().find(is_name).cloned());
        Used { parts, name: name.unwrap_or_default() }
    }
}

/// The paths that begin at a token; several if there are braces.
pub(super) fn paths(tokens: &[(Token, usize)]) -> Vec<Used> {
    let mut all = Vec::new();
    read_paths(tokens, &mut 0, &[], &mut all);
    all
}

/// Reads paths that begin with `before`, starting at a token.
fn read_paths(tokens: &[(Token, usize)], at: &mut usize, before: &[String], all: &mut Vec<Used>) {
    let token = |at: usize| tokens.get(at).map(|(token, _)| token);
    let mut parts = before.to_vec();
    let mut name = None;
    loop {
        match token(*at) {
            Some(Token::Word(word)) => parts.push(word.clone()),
            Some(Token::Punct('*')) => parts.push("*".to_owned()),
            Some(Token::Punct('{')) => {
                *at += 1;
                loop {
                    match token(*at) {
                        None => return,
                        Some(Token::Punct('}')) => break *at += 1,
                        Some(Token::Punct(',')) => *at += 1,
                        Some(_) => {
                            let start = *at;
                            read_paths(tokens, at, &parts, all);
                            // Other tokens are skipped.
                            *at = (*at).max(start + 1);
                        }
                    }
                }
                return;
            }
            _ => break,
        }
        *at += 1;
        match token(*at) {
            Some(Token::Colons) => *at += 1,
            Some(Token::Word(word)) if word == "as" => {
                if let Some(Token::Word(word)) = token(*at + 1) {
                    name = Some(word.clone());
                }
                *at += 2;
                break;
            }
            _ => break,
        }
    }
    if parts.len() > before.len() {
        all.push(Used::new(parts, name));
    }
}
