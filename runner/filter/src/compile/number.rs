// SPDX-License-Identifier: MIT
//! Comparisons of numbers with numbers, durations, sizes and names.

use bpfpack_decode::Layout;
use bpfpack_decode::meaning::{Meaning, Unit};

use super::{Asked, Compiler, Result};
use crate::error::{FilterError, names};
use crate::exact::{Counts, Exact, NoNumber};
use crate::scope::{Derived, Place};
use crate::token::{Op, Word};
use crate::tree::{Number, Test};

/// The smallest and the largest number.
type Range = (i128, i128);

/// The meaning of a plain number by the name that it is compared with.
const BY_NAME: [(&str, Meaning); 4] = [
    ("E", Meaning::Errno),
    ("SIG", Meaning::Signal),
    ("AF_", Meaning::Family),
    ("CAP_", Meaning::Capability),
];

impl Compiler<'_> {
    pub(super) fn number(
        &self,
        member: &Word,
        number: Number,
        place: &Place<'_>,
        asked: Asked<'_>,
    ) -> Result<Test> {
        let is_wide = number.size == 16 && !number.signed && number.bits.is_none();
        let compare = |op, word| self.ranges(member, place, op, word, is_wide);
        let found = match asked {
            Asked::Is => nonzero(is_wide),
            Asked::Compare(op, word) => compare(op, word)?,
            Asked::In(words) => {
                let found = words.iter().map(|word| compare(Op::Eq, word));
                found.collect::<Result<Vec<_>>>()?.concat()
            }
            Asked::Match(word) => {
                let pattern = self.pattern(word)?;
                let names = self.names(place);
                if names.is_empty() {
                    return Err(self.mismatch(member, "a number without names", asked));
                }
                let names = names.into_iter().filter(|(_, name)| pattern.is_match(name.as_bytes()));
                let range = |(value, _)| Exact::new(value).range(Op::Eq, is_wide);
                names.map(range).collect()
            }
        };
        Ok(in_ranges(number, found))
    }

    pub(super) fn float(
        &self,
        member: &Word,
        number: Number,
        place: &Place<'_>,
        asked: Asked<'_>,
    ) -> Result<Test> {
        let compare = |op, word: &Word| {
            let exact = self.exact(member, place.meaning, word)?;
            let exact = exact.ok_or_else(|| self.no_value(member, word, Vec::new()))?;
            let constant = exact.float();
            // A 4-byte float is compared with the nearest 4-byte value.
            let constant = if number.size == 4 { f64::from(constant as f32) } else { constant };
            Ok(Test::Float { number, op, constant })
        };
        asked.compared(compare).unwrap_or_else(|| Err(self.mismatch(member, "a number", asked)))
    }

    pub(super) fn derived(
        &self,
        member: &Word,
        index: usize,
        derived: &Derived<'_>,
        asked: Asked<'_>,
    ) -> Result<Test> {
        let test = |op, exact: Exact| Test::Derived {
            index,
            op,
            range: exact.range(op, false),
            constant: exact.float(),
        };
        let compare = |op, word: &Word| {
            let exact = self.exact(member, derived.meaning, word)?;
            Ok(test(op, exact.ok_or_else(|| self.no_value(member, word, Vec::new()))?))
        };
        if let Asked::Is = asked {
            return Ok(Test::Not(test(Op::Eq, Exact::new(0)).into()));
        }
        asked.compared(compare).unwrap_or_else(|| Err(self.mismatch(member, "a number", asked)))
    }

    /// The numbers for which a comparison is true.
    fn ranges(
        &self,
        member: &Word,
        place: &Place<'_>,
        op: Op,
        word: &Word,
        is_wide: bool,
    ) -> Result<Vec<Range>> {
        let numbers = match self.exact(member, place.meaning, word)? {
            Some(exact) => vec![exact],
            None => match self.named(place, word) {
                Some(numbers) => numbers.into_iter().map(Exact::new).collect(),
                None => {
                    return match (&*word.raw, op) {
                        ("true", Op::Eq) => Ok(nonzero(is_wide)),
                        ("false", Op::Eq) => Ok(vec![Exact::new(0).range(op, is_wide)]),
                        _ => Err(self.no_value(member, word, self.names(place))),
                    };
                }
            },
        };
        // An error of either sign equals both numbers, and is ordered by the first.
        let numbers = if op.is_order() { &numbers[..1] } else { &numbers };
        let is_true = matches!(place.layout, Layout::Bool)
            && op == Op::Eq
            && numbers.iter().any(|number| number.whole() == Some(1));
        Ok(match is_true {
            true => nonzero(is_wide),
            false => numbers.iter().map(|number| number.range(op, is_wide)).collect(),
        })
    }

    /// Parses a word as a number, in the unit of the member; `None` if it is not a number.
    fn exact(&self, member: &Word, meaning: Option<Meaning>, word: &Word) -> Result<Option<Exact>> {
        if word.is_quoted {
            return Ok(None);
        }
        let (exact, counts) = match Exact::parse(&word.raw) {
            Ok(found) => found,
            Err(NoNumber::Word) => return Ok(None),
            Err(NoNumber::Unit(unit)) => {
                let error = self.error(&word.span, format!("unknown unit `{unit}`"));
                return Err(
                    error.hint("the units are ns, us, ms, s, min, h, d, and K, M, G for bytes")
                );
            }
            Err(NoNumber::Large) => {
                return Err(self.error(&word.span, format!("`{}` is too large", word.raw)));
            }
        };
        // The name of a plain number may end in a unit.
        let meaning = match meaning {
            None | Some(Meaning::Plain) => unit_of(&member.raw).map(Meaning::Duration),
            meaning => meaning,
        };
        match (counts, meaning) {
            (Counts::Plain, _) | (Counts::Size, None | Some(Meaning::Size)) => Ok(Some(exact)),
            (Counts::Time, Some(Meaning::Duration(unit))) => self.in_unit(exact, unit, word),
            (_, Some(Meaning::Clock(_))) => {
                let message = format!("`{}` is a point in time, not a time span", member.raw);
                Err(self.error(&word.span, message).hint("compare it with a number without a unit"))
            }
            (Counts::Time, Some(Meaning::Size)) => Err(self
                .error(&word.span, format!("`{}` is a number of bytes, not a time", member.raw))),
            (Counts::Time, _) => {
                let message = format!("`{}` has no unit of time", member.raw);
                Err(self.error(&word.span, message).hint("compare it with a number without a unit"))
            }
            (_, _) => {
                let message = format!("`{}` is not a number of bytes", member.raw);
                Err(self.error(&word.span, message).hint("compare it with a number without a unit"))
            }
        }
    }

    fn in_unit(&self, exact: Exact, unit: Unit, word: &Word) -> Result<Option<Exact>> {
        let found = exact.in_unit(unit);
        let error = || self.error(&word.span, format!("`{}` has too many digits", word.raw));
        found.map(Some).ok_or_else(error)
    }

    /// The numbers for a name; `None` if the word is not a name.
    fn named(&self, place: &Place<'_>, word: &Word) -> Option<Vec<i128>> {
        let name = std::str::from_utf8(&word.value).ok()?;
        let known = own_names(place.layout);
        let known = known
            .iter()
            .find(|(_, known)| *known == name)
            .or_else(|| known.iter().find(|(_, known)| known.eq_ignore_ascii_case(name)));
        if let Some((number, _)) = known {
            return Some(vec![*number]);
        }
        let short = name.strip_prefix('-').unwrap_or(name);
        let meaning = match place.meaning {
            None | Some(Meaning::Plain) => {
                BY_NAME.iter().find(|(start, _)| short.starts_with(start))?.1
            }
            Some(meaning) => meaning,
        };
        match meaning {
            Meaning::Errno | Meaning::Result => {
                let number = self.names.number(Meaning::Errno, short)?;
                Some(match meaning {
                    Meaning::Errno if name == short => vec![number, -number],
                    _ => vec![-number],
                })
            }
            meaning => self.names.number(meaning, name).map(|number| vec![number]),
        }
    }

    /// All names for numbers of a member.
    fn names(&self, place: &Place<'_>) -> Vec<(i128, String)> {
        let own = own_names(place.layout);
        if !own.is_empty() {
            return own.into_iter().map(|(value, name)| (value, name.to_owned())).collect();
        }
        let Some(meaning) = place.meaning else { return Vec::new() };
        let positive = match meaning {
            Meaning::Result => Vec::new(),
            meaning => self.names.all(meaning),
        };
        if !matches!(meaning, Meaning::Errno | Meaning::Result) {
            return positive;
        }
        let negative = self.names.all(Meaning::Errno).into_iter();
        let negative = negative.map(|(number, name)| (-number, format!("-{name}")));
        positive.into_iter().chain(negative).collect()
    }

    fn no_value(&self, member: &Word, word: &Word, known: Vec<(i128, String)>) -> FilterError {
        let shown = String::from_utf8_lossy(&word.value);
        if known.is_empty() {
            let message = format!("`{}` is a number, and `{shown}` is not", member.raw);
            return self.error(&word.span, message);
        }
        let known = known.iter().map(|(_, name)| &**name);
        let hint = names("the values are", &shown, known);
        self.error(&word.span, format!("`{}` has no value `{shown}`", member.raw)).hint(hint)
    }
}

/// The unit in which a member's name ends.
fn unit_of(name: &str) -> Option<Unit> {
    let (_, unit) = name.rsplit_once('_')?;
    Unit::of_word(&unit.to_ascii_lowercase())
}

/// The names in a type.
fn own_names(layout: &Layout) -> Vec<(i128, &str)> {
    match layout {
        Layout::Enum { names, .. } => {
            names.iter().map(|(value, name)| (i128::from(*value), &**name)).collect()
        }
        Layout::Label { names, .. } => {
            let names = (0..).zip(names).filter(|(_, name)| !name.is_empty());
            names.map(|(value, name)| (value, &**name)).collect()
        }
        _ => Vec::new(),
    }
}

/// All numbers except zero.
fn nonzero(is_wide: bool) -> Vec<Range> {
    let zero = Exact::new(0);
    vec![zero.range(Op::Lt, is_wide), zero.range(Op::Gt, is_wide)]
}

/// A test that a number is in one of several ranges.
fn in_ranges(number: Number, mut ranges: Vec<Range>) -> Test {
    ranges.retain(|(low, high)| low <= high);
    ranges.sort_unstable();
    let mut merged: Vec<Range> = Vec::new();
    for (low, high) in ranges {
        match merged.last_mut() {
            Some((_, end)) if low <= end.saturating_add(1) => *end = high.max(*end),
            _ => merged.push((low, high)),
        }
    }
    match merged[..] {
        [] => Test::Range { number, low: 1, high: 0 },
        [(low, high)] => Test::Range { number, low, high },
        _ => Test::Ranges { number, ranges: merged },
    }
}
