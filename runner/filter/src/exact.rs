// SPDX-License-Identifier: MIT
//! Exact numbers of an expression: `1.5ms` is 3/2 of a millisecond. A comparison with one becomes a
//! range of integers, so nothing is rounded.

use bpfpack_decode::meaning::Unit;

use crate::token::Op;

/// The largest exponent of ten.
const MOST_DIGITS: u32 = 38;

/// A number without its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exact {
    is_negative: bool,
    numerator: u128,
    denominator: u128,
}

/// The dimension of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counts {
    /// None.
    Plain,
    /// Time, in nanoseconds.
    Time,
    /// Bytes.
    Size,
}

/// Why a word is not a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoNumber {
    /// It does not look like one.
    Word,
    /// Its unit is not known.
    Unit(String),
    /// It is too large.
    Large,
}

/// Units, and their size in nanoseconds or bytes.
const UNITS: [(&str, Counts, u128); 22] = [
    ("", Counts::Plain, 1),
    ("ns", Counts::Time, 1),
    ("us", Counts::Time, 1_000),
    ("µs", Counts::Time, 1_000),
    ("ms", Counts::Time, 1_000_000),
    ("s", Counts::Time, 1_000_000_000),
    ("m", Counts::Time, 60_000_000_000),
    ("min", Counts::Time, 60_000_000_000),
    ("h", Counts::Time, 3_600_000_000_000),
    ("d", Counts::Time, 86_400_000_000_000),
    ("B", Counts::Size, 1),
    ("K", Counts::Size, 1 << 10),
    ("k", Counts::Size, 1 << 10),
    ("KB", Counts::Size, 1 << 10),
    ("KiB", Counts::Size, 1 << 10),
    ("M", Counts::Size, 1 << 20),
    ("MB", Counts::Size, 1 << 20),
    ("MiB", Counts::Size, 1 << 20),
    ("G", Counts::Size, 1 << 30),
    ("GB", Counts::Size, 1 << 30),
    ("GiB", Counts::Size, 1 << 30),
    ("T", Counts::Size, 1 << 40),
];

impl Exact {
    pub(crate) fn new(number: i128) -> Exact {
        let numerator = number.unsigned_abs();
        Exact { is_negative: number < 0, numerator, denominator: 1 }
    }

    /// Parses a number, `-12`, `0x1f`, `1_000`, `1.5`, `1e6`, with an optional unit: `10us`,
    /// `4KiB`.
    pub(crate) fn parse(text: &str) -> Result<(Exact, Counts), NoNumber> {
        let (is_negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        if !digits.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(NoNumber::Word);
        }
        if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
            let hex = hex.replace('_', "");
            let numerator = match u128::from_str_radix(&hex, 16) {
                Ok(numerator) => numerator,
                Err(_) if hex.len() > 32 && hex.bytes().all(|c| c.is_ascii_hexdigit()) => {
                    return Err(NoNumber::Large);
                }
                Err(_) => return Err(NoNumber::Word),
            };
            return Ok((Exact { is_negative, numerator, denominator: 1 }, Counts::Plain));
        }
        let (number, unit) = decimal(digits)?;
        let known = UNITS.iter().find(|(name, ..)| *name == unit);
        let Some((_, counts, factor)) = known else {
            let is_unit = unit.chars().all(char::is_alphabetic);
            return Err(if is_unit { NoNumber::Unit(unit.to_owned()) } else { NoNumber::Word });
        };
        let number = Exact { is_negative, ..number };
        Ok((number.times(*factor, 1).ok_or(NoNumber::Large)?, *counts))
    }

    /// Converts nanoseconds to another unit.
    pub(crate) fn in_unit(self, unit: Unit) -> Option<Exact> {
        self.times(1, unit.nanoseconds().into())
    }

    fn times(self, factor: u128, divisor: u128) -> Option<Exact> {
        let numerator = self.numerator.checked_mul(factor)?;
        Some(Exact { numerator, denominator: self.denominator.checked_mul(divisor)?, ..self })
    }

    /// The nearest float.
    pub(crate) fn float(self) -> f64 {
        let float = self.numerator as f64 / self.denominator as f64;
        if self.is_negative { -float } else { float }
    }

    /// Its value, if it is an integer.
    pub(crate) fn whole(self) -> Option<i128> {
        let (low, high) = self.range(Op::Eq, false);
        (low == high).then_some(low)
    }

    /// The smallest and the largest integer for which a comparison with this number is true. For
    /// `!=`, the range is that of `==`. The first is larger than the second if there is none.
    /// `is_wide`: integers are unsigned, have 16 bytes, and are in the order of [`wide`].
    pub(crate) fn range(self, op: Op, is_wide: bool) -> (i128, i128) {
        const NONE: (i128, i128) = (1, 0);
        const ALL: (i128, i128) = (i128::MIN, i128::MAX);
        let quotient = self.numerator / self.denominator;
        let is_whole = self.numerator.is_multiple_of(self.denominator);
        let floor = match (self.is_negative && self.numerator > 0, is_wide) {
            (true, true) => None,
            (true, false) => {
                let below = quotient.checked_add(u128::from(!is_whole));
                below.and_then(|below| 0i128.checked_sub_unsigned(below))
            }
            (false, true) => Some(wide(quotient)),
            (false, false) => i128::try_from(quotient).ok(),
        };
        let Some(floor) = floor else {
            // The number is smaller or larger than every integer.
            return match op {
                Op::Eq | Op::Ne => NONE,
                Op::Lt | Op::Le if self.is_negative => NONE,
                Op::Gt | Op::Ge if !self.is_negative => NONE,
                _ => ALL,
            };
        };
        match op {
            Op::Eq | Op::Ne if is_whole => (floor, floor),
            Op::Eq | Op::Ne => NONE,
            Op::Lt if is_whole => floor.checked_sub(1).map_or(NONE, |high| (i128::MIN, high)),
            Op::Lt | Op::Le => (i128::MIN, floor),
            Op::Ge if is_whole => (floor, i128::MAX),
            Op::Gt | Op::Ge => floor.checked_add(1).map_or(NONE, |low| (low, i128::MAX)),
        }
    }
}

/// Maps an unsigned 16-byte number to a signed one in the same order.
pub(crate) fn wide(number: u128) -> i128 {
    (number ^ 1 << 127) as i128
}

/// Parses digits with a decimal point and an exponent. Returns the rest of the text.
fn decimal(text: &str) -> Result<(Exact, &str), NoNumber> {
    let (mut numerator, mut fraction, mut has_point) = (0u128, 0u32, false);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        match c {
            '_' => {}
            '.' if !has_point && rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                has_point = true;
            }
            '0'..='9' => {
                let digit = u128::from(c as u8 - b'0');
                let more = numerator.checked_mul(10).and_then(|number| number.checked_add(digit));
                numerator = more.ok_or(NoNumber::Large)?;
                fraction += u32::from(has_point);
            }
            _ => break,
        }
        rest = &rest[1..];
    }
    let exponent = rest
        .strip_prefix(['e', 'E'])
        .map(|rest| rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())));
    let mut power = 0;
    if let Some((digits, behind)) = exponent.filter(|(digits, _)| !digits.is_empty()) {
        power = digits.parse().map_err(|_| NoNumber::Large)?;
        rest = behind;
    }
    if fraction > MOST_DIGITS || power > MOST_DIGITS {
        return Err(NoNumber::Large);
    }
    let number = Exact { is_negative: false, numerator, denominator: 10u128.pow(fraction) };
    Ok((number.times(10u128.pow(power), 1).ok_or(NoNumber::Large)?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Exact {
        Exact::parse(text).unwrap().0
    }

    #[test]
    fn numbers_and_units() {
        let whole = |text| number(text).whole();
        assert_eq!((whole("12"), whole("-12"), whole("0x1F")), (Some(12), Some(-12), Some(31)));
        assert_eq!(
            (whole("1_000"), whole("1e6"), whole("1.5")),
            (Some(1000), Some(1_000_000), None)
        );
        assert_eq!((whole("1.5ms"), whole("2min")), (Some(1_500_000), Some(120_000_000_000)));
        assert_eq!(
            (whole("4K"), whole("4KiB"), whole("1.5G")),
            (Some(4096), Some(4096), Some(3 << 29))
        );
        assert_eq!(Exact::parse("3us").unwrap().1, Counts::Time);
        assert_eq!(number("1500us").in_unit(Unit::Milliseconds).unwrap().whole(), None);
        assert_eq!(number("2000us").in_unit(Unit::Milliseconds).unwrap().whole(), Some(2));
        assert_eq!((number("0.1").float(), number("-2.5").float()), (0.1, -2.5));
        for text in ["", "-", "x", ".5", "1.2.3.4", "10.0.0.0/8", "0xg", "8:1", "-ENOENT", "0x"] {
            assert_eq!(Exact::parse(text), Err(NoNumber::Word), "{text}");
        }
        assert_eq!(Exact::parse("3parsec"), Err(NoNumber::Unit("parsec".into())));
        for text in
            ["1e99", "1e9999999999999", "1e38d", &"9".repeat(50), &format!("0x{}", "f".repeat(33))]
        {
            assert_eq!(Exact::parse(text), Err(NoNumber::Large), "{text}");
        }
    }

    #[test]
    fn ranges_are_exact() {
        let range = |text, op| number(text).range(op, false);
        assert_eq!(range("5", Op::Eq), (5, 5));
        assert_eq!(range("5", Op::Lt), (i128::MIN, 4));
        assert_eq!(range("5", Op::Ge), (5, i128::MAX));
        // Between 1 and 2.
        assert_eq!(range("1.5", Op::Eq), (1, 0));
        assert_eq!((range("1.5", Op::Lt), range("1.5", Op::Le)), ((i128::MIN, 1), (i128::MIN, 1)));
        assert_eq!((range("1.5", Op::Gt), range("1.5", Op::Ge)), ((2, i128::MAX), (2, i128::MAX)));
        // Between -2 and -1.
        assert_eq!(
            (range("-1.5", Op::Le), range("-1.5", Op::Ge)),
            ((i128::MIN, -2), (-1, i128::MAX))
        );
        let large = Exact { is_negative: false, numerator: u128::MAX, denominator: 1 };
        assert_eq!(
            (large.range(Op::Lt, false), large.range(Op::Gt, false)),
            ((i128::MIN, i128::MAX), (1, 0))
        );
        assert_eq!(large.range(Op::Eq, true), (i128::MAX, i128::MAX));
        assert_eq!(large.range(Op::Gt, true), (1, 0));
        let negative = Exact { is_negative: true, ..large };
        assert_eq!(
            (negative.range(Op::Lt, false), negative.range(Op::Gt, false)),
            ((1, 0), (i128::MIN, i128::MAX))
        );
        assert_eq!(number("-1").range(Op::Gt, true), (i128::MIN, i128::MAX));
        assert_eq!(number("0").range(Op::Eq, true), (i128::MIN, i128::MIN));
        assert_eq!(number("-0").range(Op::Eq, true), (i128::MIN, i128::MIN));
        assert_eq!(Exact::new(i128::MIN).range(Op::Lt, false), (1, 0));
        assert_eq!(Exact::new(i128::MIN).whole(), Some(i128::MIN));
    }

    #[test]
    fn ranges_say_what_floats_say() {
        for tenths in -25i128..25 {
            let number = Exact { denominator: 10, ..Exact::new(tenths) };
            for value in -4i128..4 {
                let float = value as f64;
                let constant = tenths as f64 / 10.0;
                for (op, is) in [
                    (Op::Eq, float == constant),
                    (Op::Lt, float < constant),
                    (Op::Le, float <= constant),
                    (Op::Gt, float > constant),
                    (Op::Ge, float >= constant),
                ] {
                    let (low, high) = number.range(op, false);
                    assert_eq!((low..=high).contains(&value), is, "{value} {op:?} {constant}");
                }
            }
        }
    }
}
