// SPDX-License-Identifier: MIT
//! Appends numbers and short texts. An event consists of a dozen of them, and they take most of its
//! time. A copy of unknown length is a function call, so short texts are copied with a fixed size
//! and then truncated. Memory that was just written in small pieces is not read in larger ones,
//! which is slow on current CPUs.

use bpfpack_schemas::printable;

/// Bytes that are copied at once.
pub(crate) const CHUNK: usize = 32;

/// Appends the first `len` bytes.
pub(crate) fn start<const ROOM: usize>(bytes: &[u8; ROOM], len: usize, out: &mut Vec<u8>) {
    let end = out.len() + len.min(ROOM);
    out.extend_from_slice(bytes);
    out.truncate(end);
}

/// Appends spaces.
pub(crate) fn spaces(count: usize, out: &mut Vec<u8>) {
    match count {
        0..=CHUNK => start(&[b' '; CHUNK], count, out),
        _ => out.resize(out.len() + count, b' '),
    }
}

/// Removes the spaces at the end of a line that begins at `from`.
pub(crate) fn trim(line: &mut Vec<u8>, from: usize) {
    while line.len() > from && line.last() == Some(&b' ') {
        line.pop();
    }
}

/// Text without control characters.
pub(crate) fn text(bytes: &[u8]) -> String {
    let mut out = Vec::new();
    string(bytes, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// Eight digits fit a word.
const EIGHT: u64 = 100_000_000;

/// The eight digits of a number below [`EIGHT`] as bytes from 0 to 9, the first one lowest. Parts
/// of the number are divided in parallel in one word, so nothing goes through memory.
fn digits(value: u64) -> u64 {
    // Division by 100 and by 10 is multiplication and shift, which is exact for numbers below 10000
    // and 100.
    let fours = (value / 10_000) | ((value % 10_000) << 32);
    let hundreds = ((fours * 10_486) >> 20) & 0x7f_0000_007f;
    let twos = hundreds | ((fours - 100 * hundreds) << 16);
    let tens = ((twos * 103) >> 10) & 0x000f_000f_000f_000f;
    tens | ((twos - 10 * tens) << 8)
}

/// The characters of digits.
const ZEROS: u64 = 0x3030_3030_3030_3030;

/// The number of digits of a number below [`EIGHT`]. It does not depend on the digits, so that the
/// CPU can calculate both in parallel.
fn count(value: u64) -> usize {
    // For each highest bit, the number of digits of the smallest number with it, plus one if the
    // addition carries into the upper half, which happens from the next power of ten on.
    const TABLE: [u64; 32] = {
        let mut table = [0; 32];
        let mut bit = 0;
        while bit < 32 {
            let mut digits = 1;
            let mut power: u64 = 10;
            while power <= 1 << bit {
                digits += 1;
                power *= 10;
            }
            table[bit] = (digits << 32) + (1 << 32) - power;
            bit += 1;
        }
        table
    };
    let bit = (value | 1).ilog2() as usize & 31;
    ((value + TABLE[bit]) >> 32) as usize
}

/// The two digits of each number below 100.
const PAIRS: [u16; 100] = {
    let mut pairs = [0; 100];
    let mut at = 0;
    while at < 100 {
        pairs[at] = u16::from_le_bytes([b'0' + (at / 10) as u8, b'0' + (at % 10) as u8]);
        at += 1;
    }
    pairs
};

/// Writes a number to the beginning of `room`. Returns its length. Bytes after it are overwritten,
/// too.
#[inline(always)]
pub(crate) fn number_to(value: u64, room: &mut [u8; 24]) -> usize {
    if value < 10_000 {
        // Most numbers are small: a process ID, a length, a result.
        let (high, low) = ((value / 100) as usize, (value % 100) as usize);
        let text = u32::from(PAIRS[high]) | u32::from(PAIRS[low]) << 16;
        let len = 1 + usize::from(value > 9) + usize::from(value > 99) + usize::from(value > 999);
        put_word(room, u64::from(text >> (32 - 8 * len)));
        return len;
    }
    if value < EIGHT {
        let len = count(value);
        put_word(room, (digits(value) + ZEROS) >> (64 - 8 * len));
        return len;
    }
    large(value, room)
}

fn put_word(room: &mut [u8; 24], word: u64) {
    room[..8].copy_from_slice(&word.to_le_bytes());
}

/// The same for a number of more than eight digits.
#[inline(never)]
fn large(value: u64, room: &mut [u8; 24]) -> usize {
    let (head, tail) = (value / EIGHT, value % EIGHT);
    let (first, head) = (head / EIGHT, head % EIGHT);
    let mut len = 0;
    if first > 0 {
        // At most four of twenty digits are left.
        len = count(first);
        put_word(room, (digits(first) + ZEROS) >> (64 - 8 * len));
    }
    // After other digits, a part has all eight digits.
    let digits_of_head = if first > 0 { 8 } else { count(head) };
    for (part, shown) in [(head, digits_of_head), (tail, 8)] {
        if let Some(place) = room[len..].first_chunk_mut() {
            *place = ((digits(part) + ZEROS) >> (64 - 8 * shown)).to_le_bytes();
        }
        len += shown;
    }
    len
}

/// Appends an integer in decimal.
pub fn number(value: u64, out: &mut Vec<u8>) {
    let begin = out.len();
    out.extend_from_slice(&[0; 24]);
    if let Some(room) = out[begin..].first_chunk_mut() {
        let len = number_to(value, room);
        out.truncate(begin + len);
    }
}

/// Appends an integer in decimal, with its sign.
pub fn signed_number(value: i64, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    number(value.unsigned_abs(), out);
}

/// Appends six digits, as the decimals of seconds.
pub(crate) fn micros(value: u32, out: &mut Vec<u8>) {
    let text = (digits(u64::from(value) % 1_000_000) + ZEROS) >> 16;
    start(&text.to_le_bytes(), 6, out);
}

/// Properties of a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scan {
    /// The number of bytes before the first zero.
    pub len: usize,
    /// Whether they are all printable ASCII.
    pub is_plain: bool,
    /// Whether they contain neither `"` nor `\`.
    pub is_unquoted: bool,
}

/// Scans a zero-terminated string, eight bytes at a time.
pub(crate) fn scan(bytes: &[u8]) -> Scan {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    /// Sets the high bit of each byte that is zero, and perhaps of bytes after the first zero.
    fn zeros(word: u64) -> u64 {
        word.wrapping_sub(ONES) & !word & HIGH
    }
    let (mut odd, mut quotes) = (0, 0);
    let mut look = |word: u64| -> Option<usize> {
        // The position of the first zero is exact; the bytes after it become spaces, which have no
        // effect.
        let end = (zeros(word) != 0).then(|| zeros(word).trailing_zeros() / 8);
        let inside = end.map_or(u64::MAX, |end| u64::MAX.checked_shr(64 - 8 * end).unwrap_or(0));
        let word = word & inside | (ONES * 0x20) & !inside;
        // Above 127; below a space; DEL. A borrow can only mark bytes after such a byte.
        odd |= word & HIGH | word.wrapping_sub(ONES * 0x20) & !word & HIGH;
        odd |= zeros(word ^ (ONES * 0x7f));
        quotes |= zeros(word ^ (ONES * u64::from(b'"'))) | zeros(word ^ (ONES * u64::from(b'\\')));
        end.map(|end| end as usize)
    };
    let mut chunks = bytes.chunks_exact(8);
    let mut len = 0;
    for chunk in chunks.by_ref() {
        let word = chunk.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        if let Some(end) = look(word) {
            return Scan { len: len + end, is_plain: odd == 0, is_unquoted: quotes == 0 };
        }
        len += 8;
    }
    // The rest, padded with zeros.
    let mut last = [0; 8];
    let rest = chunks.remainder();
    if rest.is_empty() {
        return Scan { len, is_plain: odd == 0, is_unquoted: quotes == 0 };
    }
    last[..rest.len()].copy_from_slice(rest);
    len += look(u64::from_le_bytes(last)).unwrap_or(0);
    Scan { len, is_plain: odd == 0, is_unquoted: quotes == 0 }
}

/// Appends a string of any bytes as UTF-8.
pub(crate) fn string(bytes: &[u8], out: &mut Vec<u8>) {
    let found = scan(bytes);
    if found.is_plain && found.len == bytes.len() {
        out.extend_from_slice(bytes);
    } else {
        printable::append(bytes, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        let text = |value| {
            let mut out = b">".to_vec();
            number(value, &mut out);
            String::from_utf8(out).unwrap()
        };
        let mut value = 1u64;
        while let Some(next) = value.checked_mul(10) {
            for value in [value - 1, value, value + 1, value * 7] {
                assert_eq!(text(value), format!(">{value}"));
            }
            value = next;
        }
        assert_eq!(text(u64::MAX), format!(">{}", u64::MAX));
        let mut out = Vec::new();
        signed_number(i64::MIN, &mut out);
        signed_number(-5, &mut out);
        micros(12_034, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), format!("{}-5012034", i64::MIN));
    }

    #[test]
    fn texts_of_any_length() {
        for len in [0, 1, 31, 32, 33, 100] {
            let text: [u8; 100] = std::array::from_fn(|at| b'a' + (at % 26) as u8);
            let mut out = b">".to_vec();
            start(&text, len, &mut out);
            spaces(len, &mut out);
            assert_eq!(out, [b">", &text[..len], &vec![b' '; len]].concat());
        }
    }

    #[test]
    fn strings_are_looked_through_as_byte_by_byte() {
        let slow = |bytes: &[u8]| {
            let len = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
            let text = &bytes[..len];
            Scan {
                len,
                is_plain: text.iter().all(|byte| (0x20..0x7f).contains(byte)),
                is_unquoted: !text.iter().any(|byte| matches!(byte, b'"' | b'\\')),
            }
        };
        // Every byte at every position, with others around it.
        for len in 1..20 {
            for at in 0..len {
                for byte in 0..=255u8 {
                    for fill in [b'a', b' ', b'!', 0x7e, 0x80, 0x21] {
                        let mut bytes = vec![fill; len];
                        bytes[at] = byte;
                        assert_eq!(scan(&bytes), slow(&bytes), "{bytes:?}");
                        bytes[len - 1] = 0;
                        assert_eq!(scan(&bytes), slow(&bytes), "{bytes:?}");
                    }
                }
            }
        }
        assert_eq!(scan(b""), Scan { len: 0, is_plain: true, is_unquoted: true });
    }
}
