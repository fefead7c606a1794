// SPDX-License-Identifier: MIT
//! Durations and sizes, short and of a steady width: three digits and a unit.

use bpfpack_decode::meaning::Unit;

use super::number::{decimal, padded};

/// The index of a unit in [`SPANS`].
fn index(unit: Unit) -> usize {
    match unit {
        Unit::Nanoseconds => 0,
        Unit::Microseconds => 1,
        Unit::Milliseconds => 2,
        Unit::Seconds => 3,
    }
}

/// Units of time, and how many of each make one of the next. A larger number of days is not
/// plausible as a duration.
const SPANS: [(&str, u64); 7] =
    [("ns", 1000), ("us", 1000), ("ms", 1000), ("s", 60), ("min", 60), ("h", 24), ("d", 1_000_000)];

/// Appends a duration: `950ns`, `1.23ms`, `12.3s`, `20.6min`; at most seven bytes. In its own unit,
/// it is an integer, so no digit is shown that was not measured.
pub(super) fn duration(value: u64, unit: Unit, out: &mut Vec<u8>) -> bool {
    let mut scale = 1;
    for (name, next) in &SPANS[index(unit)..] {
        // Rounding may carry to the next unit: 999.6us is 1.00ms.
        if scaled(value, scale, 0) < *next {
            short(value, scale, 3, name, out);
            return true;
        }
        scale *= *next;
    }
    false
}

/// Appends a duration that may be negative.
pub(super) fn signed_duration(value: i64, unit: Unit, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    if value < 0 {
        out.push(b'-');
    }
    let is_written = duration(value.unsigned_abs(), unit, out);
    if !is_written {
        out.truncate(start);
    }
    is_written
}

/// Units of size, each 1024 times the previous one.
const SIZES: [&str; 7] = ["", "K", "M", "G", "T", "P", "E"];

/// Appends a size: `17`, `4.0K`, `123M`; at most five bytes.
pub(super) fn size(value: u64, out: &mut Vec<u8>) -> bool {
    let fits = |at: &usize| scaled(value, 1 << (10 * at), 0) < 1024;
    let at = (0..SIZES.len()).find(fits).unwrap_or_default();
    short(value, 1 << (10 * at), 2, SIZES[at], out);
    true
}

/// Appends `value / scale` with at least `digits` digits, using decimals if necessary.
fn short(value: u64, scale: u64, digits: u32, unit: &str, out: &mut Vec<u8>) {
    let fits = |decimals: &u32| {
        value / scale < 10u64.pow(digits - decimals)
            && scaled(value, scale, *decimals) < 10u64.pow(digits)
    };
    let decimals = if scale == 1 { 0 } else { (1..digits).rev().find(fits).unwrap_or(0) };
    let parts = scaled(value, scale, decimals);
    decimal(parts / 10u64.pow(decimals), out);
    if decimals > 0 {
        out.push(b'.');
        padded(parts, decimals, out);
    }
    out.extend_from_slice(unit.as_bytes());
}

/// `value / scale` in units of 10^-decimals, rounded to the nearest. There are decimals only for
/// results of a few digits. The largest scales are a day of nanoseconds with two decimals, and 2^60
/// with one, so nothing overflows.
fn scaled(value: u64, scale: u64, decimals: u32) -> u64 {
    let factor = 10u64.pow(decimals);
    value / scale * factor + (value % scale * factor + scale / 2) / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(value: u64, unit: Unit) -> String {
        let mut out = Vec::new();
        assert_eq!(duration(value, unit, &mut out), !out.is_empty());
        String::from_utf8(out).unwrap()
    }

    fn bytes(value: u64) -> String {
        let mut out = Vec::new();
        assert!(size(value, &mut out));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn spans_have_three_digits() {
        let ns = |value| span(value, Unit::Nanoseconds);
        assert_eq!((&*ns(0), &*ns(950), &*ns(999)), ("0ns", "950ns", "999ns"));
        assert_eq!((&*ns(1_000), &*ns(1_234), &*ns(12_345)), ("1.00us", "1.23us", "12.3us"));
        assert_eq!((&*ns(9_995), &*ns(9_994)), ("10.0us", "9.99us"));
        assert_eq!((&*ns(99_949), &*ns(99_950), &*ns(999_499)), ("99.9us", "100us", "999us"));
        assert_eq!((&*ns(999_500), &*ns(1_234_567)), ("1.00ms", "1.23ms"));
        assert_eq!((&*ns(12_300_000_000), &*ns(59_990_000_000)), ("12.3s", "1.00min"));
        assert_eq!(ns(1_236_000_000_000), "20.6min");
        assert_eq!((&*ns(7_380_000_000_000), &*ns(u64::MAX)), ("2.05h", "213504d"));
        assert_eq!(
            (&*span(5, Unit::Milliseconds), &*span(950, Unit::Microseconds)),
            ("5ms", "950us")
        );
        assert_eq!(
            (&*span(5230, Unit::Milliseconds), &*span(90, Unit::Seconds)),
            ("5.23s", "1.50min")
        );
        assert_eq!((&*span(59, Unit::Seconds), &*span(86_400, Unit::Seconds)), ("59s", "1.00d"));
        assert_eq!(
            (&*span(u64::MAX, Unit::Microseconds), &*span(u64::MAX, Unit::Seconds)),
            ("", "")
        );
        let mut out = Vec::new();
        assert!(signed_duration(-1_234_567, Unit::Nanoseconds, &mut out));
        assert_eq!(out, b"-1.23ms");
        assert!(!signed_duration(i64::MIN, Unit::Seconds, &mut out));
        assert_eq!(out, b"-1.23ms");
    }

    #[test]
    fn spans_and_sizes_stay_narrow() {
        for value in (0..64).flat_map(|bit| [1u64 << bit, (1 << bit) - 1, (1 << bit) / 1000 * 999])
        {
            assert!(bytes(value).len() <= 5, "{}", bytes(value));
            for unit in [Unit::Nanoseconds, Unit::Microseconds, Unit::Milliseconds, Unit::Seconds] {
                assert!(span(value, unit).len() <= 7, "{}", span(value, unit));
            }
        }
    }

    #[test]
    fn sizes() {
        assert_eq!((&*bytes(0), &*bytes(17), &*bytes(1023)), ("0", "17", "1023"));
        assert_eq!((&*bytes(1024), &*bytes(4096), &*bytes(1_258_291)), ("1.0K", "4.0K", "1.2M"));
        assert_eq!((&*bytes(10_188), &*bytes(10_189), &*bytes(12_288)), ("9.9K", "10K", "12K"));
        assert_eq!((&*bytes(1_048_063), &*bytes(1_048_064)), ("1023K", "1.0M"));
        assert_eq!(bytes(u64::MAX), "16E");
    }
}
