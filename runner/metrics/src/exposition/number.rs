// SPDX-License-Identifier: MIT
//! Numbers as text. Floats have the form of Prometheus' own libraries (`strconv.FormatFloat` of Go
//! with `'g', -1`): the fewest digits that read back as the same number, and an exponent of at least
//! two digits from 10^6 on and below 10^-4. Scrapers compare the `le` of buckets as text.

use std::fmt;
use std::io::Write as _;

use bpfpack_render::{number as unsigned, signed_number as signed};

use crate::Number;

/// Appends a number.
pub(super) fn number(number: Number, out: &mut Vec<u8>) {
    match number {
        Number::Unsigned(value) => unsigned(value, out),
        Number::Signed(value) => signed(value, out),
        Number::Float(value) => float(value, out),
    }
}

/// Appends a float.
pub(super) fn float(value: f64, out: &mut Vec<u8>) {
    if value.is_nan() {
        return out.extend_from_slice(b"NaN");
    }
    if value.is_sign_negative() {
        out.push(b'-');
    } else if value.is_infinite() {
        out.push(b'+');
    }
    if value.is_infinite() {
        return out.extend_from_slice(b"Inf");
    }
    let value = value.abs();
    if value < 1e6 && value.fract() == 0.0 {
        return unsigned(value as u64, out);
    }
    let mut digits = Digits::new(format_args!("{value:e}"));
    let precision = digits.decimals().len();
    if precision > 14 {
        // Of two numbers that are equally near, Rust takes the larger one, and Go the even one, as
        // formatting with a precision does, if it reads back. With fewer digits, neither would.
        let even = Digits::new(format_args!("{value:.precision$e}"));
        if even.text().parse() == Ok(value) {
            digits = even;
        }
    }
    layout(digits.first(), digits.decimals(), digits.exponent(), out);
}

/// A number as Rust's `{:e}` writes it. The longest one is `2.2250738585072014e-308`.
#[derive(Debug)]
struct Digits {
    room: [u8; 32],
    /// Where the `e` is, and where the text ends.
    mark: usize,
    end: usize,
}

impl Digits {
    fn new(number: fmt::Arguments<'_>) -> Digits {
        let mut room = [0; 32];
        let mut rest = &mut room[..];
        let free = rest.write_fmt(number).map_or(0, |()| rest.len());
        let end = room.len() - free;
        let mark = room[..end].iter().position(|byte| *byte == b'e').unwrap_or(end);
        Digits { room, mark, end }
    }

    fn first(&self) -> u8 {
        self.room[0]
    }

    fn decimals(&self) -> &[u8] {
        self.room.get(2..self.mark).unwrap_or_default()
    }

    fn exponent(&self) -> i32 {
        self.text().get(self.mark + 1..).and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.room[..self.end]).unwrap_or_default()
    }
}

/// Appends the digits of a number, of which the first one has the value 10^`exponent`.
fn layout(first: u8, decimals: &[u8], exponent: i32, out: &mut Vec<u8>) {
    match exponent {
        0..6 => {
            let (whole, rest) = decimals.split_at(decimals.len().min(exponent as usize));
            out.push(first);
            out.extend_from_slice(whole);
            out.extend(std::iter::repeat_n(b'0', exponent as usize - whole.len()));
            if !rest.is_empty() {
                out.push(b'.');
                out.extend_from_slice(rest);
            }
        }
        -4..0 => {
            out.extend_from_slice(b"0.");
            out.extend(std::iter::repeat_n(b'0', -exponent as usize - 1));
            out.push(first);
            out.extend_from_slice(decimals);
        }
        _ => {
            out.push(first);
            if !decimals.is_empty() {
                out.push(b'.');
                out.extend_from_slice(decimals);
            }
            out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
            if exponent.abs() < 10 {
                out.push(b'0');
            }
            unsigned(u64::from(exponent.unsigned_abs()), out);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = b"-".to_vec();
        write(&mut out);
        String::from_utf8(out.split_off(1)).unwrap()
    }

    #[test]
    fn integers() {
        let mut value = 1u64;
        while let Some(next) = value.checked_mul(10) {
            for value in [value - 1, value, value + 1, value * 7] {
                assert_eq!(text(|out| unsigned(value, out)), value.to_string());
            }
            value = next;
        }
        assert_eq!(text(|out| unsigned(u64::MAX, out)), u64::MAX.to_string());
        for value in [i64::MIN, -10, -1, 0, i64::MAX] {
            assert_eq!(text(|out| signed(value, out)), value.to_string());
        }
    }

    #[test]
    fn floats_have_the_form_of_prometheus() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (10.25, "10.25"),
            (999_999.0, "999999"),
            (999_999.5, "999999.5"),
            (1e6, "1e+06"),
            (2_097_152.0, "2.097152e+06"),
            (-123_456.75, "-123456.75"),
            (1e15, "1e+15"),
            (1e100, "1e+100"),
            (0.1, "0.1"),
            (0.000_1, "0.0001"),
            (0.000_128, "0.000128"),
            (0.000_01, "1e-05"),
            (0.000_001_5, "1.5e-06"),
            // Exactly ...125e-08 and ...0625e-08. The even neighbor of the latter, ...062, reads back
            // as another number.
            (2f64.powi(-25), "2.9802322387695312e-08"),
            (2f64.powi(-24), "5.960464477539063e-08"),
            (5e-324, "5e-324"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
            (-f64::NAN, "NaN"),
        ] {
            assert_eq!(text(|out| float(value, out)), expected);
        }
    }

    proptest! {
        #[test]
        fn numbers_read_back(bits: u64) {
            prop_assert_eq!(text(|out| unsigned(bits, out)), bits.to_string());
            for value in [f64::from_bits(bits), bits as i32 as f64 / 1024.0] {
                let read: f64 = text(|out| float(value, out)).parse().unwrap();
                prop_assert!(read.to_bits() == value.to_bits() || read.is_nan() && value.is_nan());
            }
        }
    }
}
