// SPDX-License-Identifier: MIT
//! Digits and strings, without allocations: this runs for every value of every record.

use crate::put;

/// Appends a number. Returns true, as all functions that write a value.
pub(super) fn decimal(mut value: u64, out: &mut Vec<u8>) -> bool {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
    true
}

/// Appends the last `width` digits of a number, padded with zeros.
pub(super) fn padded(value: u64, width: u32, out: &mut Vec<u8>) {
    for place in (0..width).rev() {
        out.push(b'0' + (value / 10u64.pow(place) % 10) as u8);
    }
}

/// Appends a number as `0x1f`.
pub(super) fn hex(value: u64, out: &mut Vec<u8>) -> bool {
    out.extend_from_slice(b"0x");
    let digits = (64 - value.leading_zeros()).div_ceil(4).max(1);
    for place in (0..digits).rev() {
        out.push(hex_digit((value >> (4 * place)) as u8));
    }
    true
}

/// The hexadecimal digit of the low half of a byte.
pub(super) fn hex_digit(byte: u8) -> u8 {
    b"0123456789abcdef"[usize::from(byte & 0xf)]
}

/// Appends a string of any bytes; control characters are escaped.
pub(super) fn clean(bytes: &[u8], out: &mut Vec<u8>) -> bool {
    put::string(bytes, out);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text<T>(write: impl FnOnce(&mut Vec<u8>) -> T) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn digits() {
        for value in [0, 9, 10, 1234567890, u64::MAX] {
            assert_eq!(text(|out| decimal(value, out)), value.to_string());
            assert_eq!(text(|out| hex(value, out)), format!("{value:#x}"));
        }
        assert_eq!(text(|out| padded(42, 6, out)), "000042");
        assert_eq!(text(|out| padded(1234, 2, out)), "34");
    }

    #[test]
    fn strings() {
        assert_eq!(text(|out| clean(b"a b~", out)), "a b~");
        assert_eq!(text(|out| clean(b"a\x1b[1m\xff", out)), "a\\x1b[1m\\xff");
        assert_eq!(text(|out| clean("ä".as_bytes(), out)), "ä");
    }
}
