// SPDX-License-Identifier: MIT
//! Parses numbers and times.

/// A number: decimal, or hexadecimal with `0x`.
pub(crate) fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

/// A time in nanoseconds: `5ms`, `1.5s`, `100us`, `2m`, `1h`; without a unit, nanoseconds.
pub(crate) fn time(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (amount, unit) = text.split_at(end);
    let factor: u64 = match unit {
        "" | "ns" => 1,
        "us" | "µs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    let (whole, part) = amount.split_once('.').unwrap_or((amount, "0"));
    let whole = whole.parse::<u64>().ok()?.checked_mul(factor)?;
    let mut scale = factor;
    let mut fraction = 0;
    for digit in part.bytes() {
        if !digit.is_ascii_digit() {
            return None;
        }
        scale /= 10;
        fraction += scale * u64::from(digit - b'0');
    }
    whole.checked_add(fraction)
}

/// A boolean.
pub(crate) fn switch(text: &str) -> Option<bool> {
    match text {
        "" | "true" | "yes" | "on" | "1" => Some(true),
        "false" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_numbers() {
        for (text, expected) in [
            ("5ms", Some(5_000_000)),
            ("1.5s", Some(1_500_000_000)),
            ("100us", Some(100_000)),
            ("7", Some(7)),
            ("2m", Some(120_000_000_000)),
            ("0.000000001s", Some(1)),
            ("", None),
            ("ms", None),
            ("1.2.3s", None),
            ("5 ms", None),
            ("-5ms", None),
            ("9999999999999999h", None),
        ] {
            assert_eq!(time(text), expected, "{text}");
        }
        assert_eq!((number("0x10"), number("16"), number("x")), (Some(16), Some(16), None));
        assert_eq!((switch("yes"), switch("0"), switch("?")), (Some(true), Some(false), None));
    }
}
