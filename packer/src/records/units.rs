// SPDX-License-Identifier: MIT
//! Determines what a histogram counts, from the source: the call that computes a slot, and the
//! divisions before it.
//!
//! `if (targ_ms) delta /= 1000000; else delta /= 1000; slot = log2l(delta);` counts microseconds,
//! or milliseconds if `targ_ms` is set, when `delta` is a difference of clock readings.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::expression::{arguments, first_argument, group};
use crate::lexer::Token;

/// The depth to which assignments are followed back.
const MAX_DEPTH: usize = 4;

/// Names that say nothing about their content.
const VAGUE: [&str; 12] = [
    "delta", "value", "val", "slot", "latency", "lat", "time", "diff", "x", "v", "idx", "duration",
];

/// How slots are computed from values.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Slotting {
    /// Whether by the logarithm to base two; otherwise by a division, or directly.
    pub(crate) is_log2: bool,
    /// The width of a slot that is not logarithmic.
    pub(crate) step: Option<u64>,
    /// The unit of the values.
    pub(crate) unit: Option<String>,
    /// The unit if a variable is not zero.
    pub(crate) unit_when: BTreeMap<String, String>,
}

/// Analyzes the tokens of a function; `None` if it computes no slot. `constant` returns the value
/// of a macro, and `takes_log` whether a function of the sources seems to compute a logarithm.
pub(crate) fn slotting<'t>(
    tokens: &[Token<'t>],
    constant: &dyn Fn(&str) -> Option<u64>,
    takes_log: &dyn Fn(&str) -> bool,
) -> Option<Slotting> {
    let function = Function { tokens, constant, takes_log };
    function.logarithmic().or_else(|| function.linear())
}

struct Function<'f, 't> {
    tokens: &'f [Token<'t>],
    constant: &'f dyn Fn(&str) -> Option<u64>,
    takes_log: &'f dyn Fn(&str) -> bool,
}

/// The condition of a division.
enum Guard<'t> {
    Always,
    If(&'t str),
    IfNot(&'t str),
    Else,
    Unknown,
}

impl<'f, 't> Function<'f, 't> {
    fn logarithmic(&self) -> Option<Slotting> {
        let at = self.tokens.windows(2).position(
            |window| matches!(window, [Token::Word(word), Token::Punct('(')] if is_log2(word)),
        )?;
        let slotting = self.counted(&self.tokens[at + 1..]);
        Some(Slotting { is_log2: true, ..slotting })
    }

    /// The unit of what a call counts. It comes first, unless the call counts, too: then the map and
    /// the key are before it.
    fn counted(&self, call: &[Token<'t>]) -> Slotting {
        let first = first_argument(call);
        if first.first() != Some(&Token::Punct('&')) {
            return self.units(first);
        }
        let mut units = arguments(call).skip(1).map(|argument| self.units(argument));
        let is_time = |slotting: &Slotting| {
            slotting.unit.as_deref().is_some_and(|unit| UNITS.contains(&unit))
        };
        units.find(is_time).unwrap_or_default()
    }

    /// `slots[i]`, where `i` is a value or a quotient.
    fn linear(&self) -> Option<Slotting> {
        let shifts = self.tokens.windows(2).any(|w| w == [Token::Punct('>'), Token::Punct('>')]);
        if shifts || self.tokens.iter().any(|t| matches!(t, Token::Word(w) if computes_log(w))) {
            return None;
        }
        let at = self.tokens.windows(2).position(|window| {
            matches!(window, [Token::Word("slots" | "buckets" | "bins"), Token::Punct('[')])
        })?;
        let mut index = group(&self.tokens[at + 1..]).to_vec();
        if let [Token::Word(name)] = index[..] {
            index = self.assignments(name).into_iter().flatten().collect();
        }
        // A logarithm under another name.
        let call = index.windows(2).position(|window| {
            matches!(window, [Token::Word(name), Token::Punct('(')] if (self.takes_log)(name))
        });
        if let Some(at) = call {
            let slotting = self.units(first_argument(&index[at + 1..]));
            return Some(Slotting { is_log2: true, ..slotting });
        }
        let divisor = index.iter().position(|token| *token == Token::Punct('/'));
        let step = divisor.and_then(|at| self.number(index.get(at + 1)?));
        Some(Slotting { step: step.filter(|step| *step > 1), ..Slotting::default() })
    }

    /// The unit of an expression.
    fn units(&self, expression: &[Token<'t>]) -> Slotting {
        let mut slotting = Slotting::default();
        let Some(name) = expression.iter().rev().find_map(|token| match token {
            Token::Word(word) if !word.starts_with(|c: char| c.is_ascii_digit()) => Some(*word),
            _ => None,
        }) else {
            return slotting;
        };
        let divisors = self.divisors(expression);
        if name.contains("sector") && divisors == [Some(2)]
            || ["len", "bytes", "size"].iter().any(|word| name.contains(word))
                && divisors == [Some(1024)]
        {
            slotting.unit = Some("Kbytes".into());
            return slotting;
        }
        let mut base = self.variable_unit(name, 0);
        let mut unit = (!divisors.is_empty()).then(|| divided(base?, &divisors)).flatten();
        let mut is_certain = true;
        for (divisor, guard) in self.divisions(name) {
            match guard {
                Guard::Always => unit = base.and_then(|base| scaled(base, divisor)),
                Guard::Else => unit = base.and_then(|base| scaled(base, divisor)).or(unit),
                Guard::If(variable) => {
                    // The name of the switch implies the unit after the division, if the clock does
                    // not.
                    base = base.or_else(|| unscaled(named_unit(variable)?, divisor));
                    let then = base.and_then(|base| scaled(base, divisor));
                    if let Some(then) = then {
                        slotting.unit_when.insert(variable.to_owned(), then.to_owned());
                    }
                }
                Guard::IfNot(variable) => {
                    unit = base.and_then(|base| scaled(base, divisor));
                    if let Some(base) = base {
                        slotting.unit_when.insert(variable.to_owned(), base.to_owned());
                    }
                }
                Guard::Unknown => is_certain = false,
            }
        }
        // The name of a plain variable is better than nothing.
        let is_plain = expression.len() == 1 && name.len() > 2 && !VAGUE.contains(&name);
        let by_name = is_plain.then_some(name);
        slotting.unit = unit.or(base).or(by_name.filter(|_| is_certain)).map(str::to_owned);
        slotting
    }

    /// The unit that a variable has by its assignments, before compound divisions.
    fn variable_unit(&self, name: &str, depth: usize) -> Option<&'static str> {
        if let Some(unit) = suffix_unit(name) {
            return Some(unit);
        }
        if depth > MAX_DEPTH {
            return None;
        }
        let mut unit = None;
        for assigned in self.assignments(name) {
            let divisors = self.divisors(&assigned);
            let is_itself = assigned.contains(&Token::Word(name));
            let base = if is_itself { unit } else { self.expression_unit(&assigned, depth + 1) };
            match base {
                Some(base) => unit = divided(base, &divisors),
                None if is_itself => unit = None,
                None => {}
            }
        }
        unit
    }

    /// The unit of the operands of an expression, without its divisions.
    fn expression_unit(&self, expression: &[Token<'t>], depth: usize) -> Option<&'static str> {
        expression.iter().find_map(|token| match token {
            Token::Word(word) if word.starts_with("bpf_ktime_get") => Some("nsecs"),
            Token::Word(word) => {
                let mut unit = self.variable_unit(word, depth)?;
                for (divisor, guard) in self.divisions(word) {
                    if matches!(guard, Guard::Always) {
                        unit = scaled(unit, divisor)?;
                    }
                }
                Some(unit)
            }
            _ => None,
        })
    }

    /// The divisors in an expression; `None` for one that is not a number.
    fn divisors(&self, expression: &[Token<'t>]) -> Vec<Option<u64>> {
        let pairs = expression.windows(2).filter(|window| window[0] == Token::Punct('/'));
        pairs.map(|window| self.number(&window[1])).collect()
    }

    /// The expressions assigned to a variable.
    fn assignments(&self, name: &str) -> Vec<Vec<Token<'t>>> {
        let mut found = Vec::new();
        for (at, window) in self.tokens.windows(3).enumerate() {
            let [Token::Word(word), Token::Punct('='), next] = window else { continue };
            if *word != name || *next == Token::Punct('=') {
                continue;
            }
            let rest = self.tokens[at + 2..].iter();
            let is_part = |token: &&Token<'t>| !matches!(token, Token::Punct(';' | '{' | '}'));
            found.push(rest.take_while(is_part).copied().collect());
        }
        found
    }

    /// The divisions of a variable by a number, with their conditions.
    fn divisions(&self, name: &str) -> Vec<(u64, Guard<'t>)> {
        let mut found = Vec::new();
        for (at, window) in self.tokens.windows(4).enumerate() {
            let [Token::Word(word), Token::Punct('/'), Token::Punct('='), number] = window else {
                continue;
            };
            if let Some(divisor) = self.number(number).filter(|_| *word == name) {
                found.push((divisor, self.guard(at)));
            }
        }
        found
    }

    fn guard(&self, at: usize) -> Guard<'t> {
        let mut before = &self.tokens[..at];
        if before.last() == Some(&Token::Punct('{')) {
            before = &before[..before.len() - 1];
        }
        match before {
            [.., Token::Word("else")] => Guard::Else,
            [.., Token::Word("if"), Token::Punct('('), Token::Word(name), Token::Punct(')')] => {
                Guard::If(name)
            }
            [
                ..,
                Token::Word("if"),
                Token::Punct('('),
                Token::Punct('!'),
                Token::Word(name),
                Token::Punct(')'),
            ] => Guard::IfNot(name),
            [.., Token::Punct(';' | '}')] => Guard::Always,
            _ => Guard::Unknown,
        }
    }

    fn number(&self, token: &Token<'_>) -> Option<u64> {
        let Token::Word(word) = token else { return None };
        number(word).or_else(|| (self.constant)(word))
    }
}

/// The value of a number in C notation.
pub(crate) fn number(word: &str) -> Option<u64> {
    let digits = word.trim_end_matches(['u', 'U', 'l', 'L']);
    match digits.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => digits.parse().ok(),
    }
}

fn is_log2(word: &str) -> bool {
    let word = word.to_ascii_lowercase();
    word.contains("log2") || word.contains("exp2")
}

/// Whether a function seems to compute a logarithm: by shifts in a loop, or by comparisons with one
/// power after the other.
pub(crate) fn looks_logarithmic(tokens: &[Token<'_>]) -> bool {
    let shifts = tokens.windows(2).any(|w| w == [Token::Punct('>'), Token::Punct('>')]);
    let loops = tokens.iter().any(|token| matches!(token, Token::Word("for" | "while")));
    let is_greater = |w: &&[Token<'_>]| w[1] == Token::Punct('>') && w[0] != Token::Punct('-');
    shifts || loops || tokens.windows(2).filter(is_greater).count() >= 3
}

/// Names of other computations of a logarithm.
pub(crate) fn computes_log(word: &str) -> bool {
    let word = word.to_ascii_lowercase();
    is_log2(&word) || word.contains("clz") || word == "fls" || word == "fls64"
}

const UNITS: [&str; 4] = ["nsecs", "usecs", "msecs", "secs"];

fn scaled(unit: &str, divisor: u64) -> Option<&'static str> {
    let at = UNITS.iter().position(|known| *known == unit)?;
    let steps = match divisor {
        1 => 0,
        1_000 => 1,
        1_000_000 => 2,
        1_000_000_000 => 3,
        _ => return None,
    };
    UNITS.get(at + steps).copied()
}

fn divided(unit: &'static str, divisors: &[Option<u64>]) -> Option<&'static str> {
    divisors.iter().try_fold(unit, |unit, divisor| scaled(unit, (*divisor)?))
}

fn unscaled(unit: &str, divisor: u64) -> Option<&'static str> {
    UNITS.into_iter().find(|base| scaled(base, divisor) == Some(unit))
}

/// The unit that a switch such as `targ_ms` names.
fn named_unit(variable: &str) -> Option<&'static str> {
    let is_part = |part: &str| match part {
        "ns" | "nsec" | "nsecs" | "nanoseconds" => Some("nsecs"),
        "us" | "usec" | "usecs" | "microseconds" => Some("usecs"),
        "ms" | "msec" | "msecs" | "milliseconds" | "millis" => Some("msecs"),
        "s" | "sec" | "secs" | "seconds" => Some("secs"),
        _ => None,
    };
    variable.split('_').find_map(is_part)
}

/// The unit at the end of a name such as `srtt_us`.
fn suffix_unit(name: &str) -> Option<&'static str> {
    let (_, last) = name.rsplit_once('_')?;
    named_unit(last).filter(|_| matches!(last, "ns" | "us" | "ms"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lexer::tokens;

    fn of(text: &str) -> Option<Slotting> {
        let tokens: Vec<_> = tokens(text).map(|(token, _)| token).collect();
        slotting(&tokens, &|name| (name == "STEP").then_some(200), &|name| name == "own")
    }

    fn unit(text: &str) -> (String, String) {
        let slotting = of(text).unwrap();
        let when: Vec<_> =
            slotting.unit_when.iter().map(|(name, unit)| format!("{name}={unit}")).collect();
        (slotting.unit.unwrap_or_default(), when.join(","))
    }

    #[test]
    fn units_of_time() {
        let clock = "u64 ts = bpf_ktime_get_ns(); s64 delta = (s64)(ts - *tsp);";
        let both = format!(
            "{clock} if (targ_ms) delta /= 1000000U; else delta /= 1000U; slot = log2l(delta);"
        );
        assert_eq!(unit(&both), ("usecs".into(), "targ_ms=msecs".into()));
        let unless = format!("{clock} if (!targ_ns) delta /= 1000; slot = log2(delta);");
        assert_eq!(unit(&unless), ("usecs".into(), "targ_ns=nsecs".into()));
        assert_eq!(unit(&format!("{clock} log2l(delta)")), ("nsecs".into(), "".into()));
        assert_eq!(unit(&format!("{clock} log2l(delta / 1000000)")), ("msecs".into(), "".into()));
        let cases = format!("{clock} switch (u) {{ case A: delta /= 1000; }} log2l(delta);");
        assert_eq!(unit(&cases), ("nsecs".into(), "".into()));
    }

    #[test]
    fn divisions_in_every_spelling() {
        for (text, expected) in [
            ("d = (now - *t) / 1000; log2l(d);", "usecs"),
            ("d = now - *t; d = d / 1000ULL; log2l(d);", "usecs"),
            ("u64 dd = now - *t; d = dd / 1000; log2l(d);", "usecs"),
            ("dd = now - *t; dd /= 1000; d = dd; log2l(d);", "usecs"),
            ("d = (bpf_ktime_get_ns() - *t) / 1000000U; log2l(d);", "msecs"),
            ("d = (now - *t) / 1000 / 1000; log2l(d);", "msecs"),
            ("d = now - *t; log2l(d / 1000 / 1000);", "msecs"),
            ("d = (u64)delta / 1000; log2l(d);", "usecs"),
            // A helper that also takes the number of slots.
            ("d = delta / 1000; log2_slot(d, SLOTS);", "usecs"),
            ("log2_slot(max(delta, 1) / 1000, SLOTS);", "usecs"),
            // A macro that also counts.
            ("d = delta / 1000; add_log2(&map, key, d, SLOTS);", "usecs"),
            ("d = delta / 100; add_log2(&map, key, d, SLOTS);", ""),
            // If the divisor is not a ratio of units of time, the unit is unknown.
            ("d = (now - *t) / 3; log2l(d);", ""),
            ("d = (now - *t) / other; log2l(d);", ""),
        ] {
            let text = format!("now = bpf_ktime_get_ns(); s64 delta = now - *t; {text}");
            assert_eq!(unit(&text).0, expected, "{text}");
        }
    }

    #[test]
    fn a_function_of_its_own_that_makes_slots() {
        let text = "u64 d = bpf_ktime_get_ns() - *t; s = own(d); if (s > 5) s = 5; h->slots[s]++;";
        assert_eq!(unit(text), ("nsecs".into(), "".into()));
        assert!(of(text).unwrap().is_log2);
        assert!(!of("s = READ(x); h->slots[s]++;").unwrap().is_log2);
        let looks = |text: &str| {
            looks_logarithmic(&tokens(text).map(|(token, _)| token).collect::<Vec<_>>())
        };
        for text in
            ["while (v >>= 1) r++;", "for (;;) { v /= 2; }", "r = (v > 1) + (v > 3) + (v > 7);"]
        {
            assert!(looks(text), "{text}");
        }
        assert!(!looks("if (a->b > 0) return a->b->c; return d->e->f;"));
    }

    #[test]
    fn units_by_names() {
        let rtt = "srtt = READ(ts, srtt_us) >> 3; if (targ_ms) srtt /= 1000U; log2l(srtt);";
        assert_eq!(unit(rtt), ("usecs".into(), "targ_ms=msecs".into()));
        assert_eq!(unit("slot = log2l(backlog);"), ("backlog".into(), "".into()));
        assert_eq!(unit("slot = log2(value);"), ("".into(), "".into()));
        assert_eq!(unit("log2(ctx->nr_sector / 2)"), ("Kbytes".into(), "".into()));
        assert_eq!(unit("log2(rq->__data_len / 1024)"), ("Kbytes".into(), "".into()));
    }

    #[test]
    fn linear_slots() {
        assert_eq!(of("hist->slots[slot]++").unwrap(), Slotting::default());
        let divided = of("slot = khz / STEP; add(&h->slots[slot], 1);").unwrap();
        assert_eq!((divided.is_log2, divided.step), (false, Some(200)));
        assert_eq!(of("while (v >>= 1) slot++; h->slots[slot]++"), None);
        assert_eq!(of("return 0;"), None);
    }
}
