// SPDX-License-Identifier: MIT
//! Base64 and zlib by hand: valid encodings to damage, and ones that no encoder would write.

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Encodes base64 with padding.
#[must_use]
pub(super) fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let number = three.iter().fold(0, |number, byte| number << 8 | u32::from(*byte));
        let number = number << (8 * (3 - three.len()));
        for digit in 0..4 {
            let is_there = digit <= three.len();
            let value = number >> (18 - 6 * digit) & 63;
            text.push(if is_there { char::from(DIGITS[value as usize]) } else { '=' });
        }
    }
    text
}

/// Decodes base64 up to the first invalid character.
#[must_use]
pub(super) fn from_base64(text: &str) -> Vec<u8> {
    let value = |byte: u8| DIGITS.iter().position(|digit| *digit == byte);
    let values: Vec<usize> = text.bytes().map_while(value).collect();
    let mut bytes = Vec::with_capacity(values.len() / 4 * 3);
    for four in values.chunks(4) {
        let number = four.iter().fold(0, |number, value| number << 6 | value);
        let number = number << (6 * (4 - four.len()));
        bytes.extend((number as u32).to_be_bytes()[1..].iter().take(four.len() * 3 / 4));
    }
    bytes
}

/// A valid zlib stream of stored blocks, which does not compress.
#[must_use]
pub(super) fn stored(bytes: &[u8]) -> Vec<u8> {
    let mut stream = vec![0x78, 0x01];
    let mut blocks = bytes.chunks(0xffff).peekable();
    if blocks.peek().is_none() {
        stream.extend([1, 0, 0, 0xff, 0xff]);
    }
    while let Some(block) = blocks.next() {
        let len = block.len() as u16;
        stream.push(u8::from(blocks.peek().is_none()));
        stream.extend(len.to_le_bytes());
        stream.extend((!len).to_le_bytes());
        stream.extend(block);
    }
    stream.extend(adler32(bytes).to_be_bytes());
    stream
}

/// A zlib stream that decodes to this number of zeros, rounded down to a multiple of 258, and is
/// about 1000 times smaller: each byte repeats the previous one.
#[must_use]
pub(super) fn bomb(zeros: usize) -> Vec<u8> {
    let repeats = zeros.saturating_sub(1) / 258;
    let mut bits = Bits::default();
    // The last block, with the fixed codes; the literal 0; then lengths of 258 at distance 1.
    bits.low(1, 1);
    bits.low(1, 2);
    bits.high(0x30, 8);
    for _ in 0..repeats {
        bits.high(0b1100_0101, 8);
        bits.high(0, 5);
    }
    bits.high(0, 7);
    let len = 1 + repeats * 258;
    let mut stream = vec![0x78, 0xda];
    stream.extend(bits.bytes);
    // Adler-32 of zeros: one sum stays 1, and is added to the other for each byte.
    stream.extend((((len % 65521) as u32) << 16 | 1).to_be_bytes());
    stream
}

/// The number of zeros in [`bomb`].
#[must_use]
pub(super) fn bomb_size(zeros: usize) -> usize {
    1 + zeros.saturating_sub(1) / 258 * 258
}

fn adler32(bytes: &[u8]) -> u32 {
    let (mut a, mut b) = (1u32, 0u32);
    for byte in bytes {
        a = (a + u32::from(*byte)) % 65521;
        b = (b + a) % 65521;
    }
    b << 16 | a
}

/// A bit stream of deflate.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    used: usize,
}

impl Bits {
    fn push(&mut self, bit: u32) {
        if self.used.is_multiple_of(8) {
            self.bytes.push(0);
        }
        if let Some(last) = self.bytes.last_mut() {
            *last |= (bit as u8 & 1) << (self.used % 8);
        }
        self.used += 1;
    }

    /// Appends a number, lowest bit first.
    fn low(&mut self, number: u32, count: u32) {
        (0..count).for_each(|bit| self.push(number >> bit));
    }

    /// Appends a code, highest bit first.
    fn high(&mut self, code: u32, count: u32) {
        (0..count).rev().for_each(|bit| self.push(code >> bit));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The result of the actual decoder.
    fn decoded(stream: &[u8], size: usize) -> Option<Vec<u8>> {
        let package = serde_json::json!({
            "bpf_object": base64(stream), "bpf_object_size": size,
            "meta": {"bpf_skel": {"obj_name": "x", "data_sections": []}},
        });
        let package = bpfpack_schemas::Package::decode(package.to_string().as_bytes());
        package.ok().map(|package| package.object)
    }

    #[test]
    fn streams_are_right() {
        for len in [0, 1, 2, 3, 1000, 0xffff, 0x10000, 200_000] {
            let bytes: Vec<u8> = (0..len).map(|at| (at * 7 % 251) as u8).collect();
            assert_eq!(from_base64(&base64(&bytes)), bytes);
            assert_eq!(decoded(&stored(&bytes), len), Some(bytes));
        }
        for zeros in [1, 258, 259, 100_000] {
            let size = bomb_size(zeros);
            assert_eq!(decoded(&bomb(zeros), size), Some(vec![0; size]), "{zeros}");
        }
        assert!(bomb(1 << 20).len() < 10_000);
    }
}
