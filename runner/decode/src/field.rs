// SPDX-License-Identifier: MIT
//! Numbers and strings in bytes. Missing bytes read as zeros.

use serde::{Deserialize, Serialize};

/// The location of a number in a record, key or value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// Its offset in bytes.
    pub offset: usize,
    /// Its size in bytes, up to 16.
    pub size: usize,
}

/// From this value on, a counter of 4 bytes that falls below it is taken to have wrapped around, not
/// to have begun anew.
const HALF: u128 = 1 << 31;

/// Whether a counter of `size` bytes that had a value has grown to another one, perhaps by wrapping
/// around. Programs count in 4 bytes often, and events may come a million times per second.
#[must_use]
pub fn has_grown(size: usize, before: u128, now: u128) -> bool {
    now >= before || size == 4 && before >= HALF && now < HALF
}

impl Field {
    /// The number as unsigned.
    pub fn unsigned(self, bytes: &[u8]) -> u128 {
        unsigned(part(bytes, self.offset), self.size)
    }

    /// The number as signed.
    pub fn signed(self, bytes: &[u8]) -> i128 {
        signed(part(bytes, self.offset), self.size)
    }
}

/// The rest of `bytes` from an offset; empty if the offset is beyond the end.
pub fn part(bytes: &[u8], from: usize) -> &[u8] {
    bytes.get(from..).unwrap_or_default()
}

/// Reads an unsigned number of up to 16 bytes.
pub fn unsigned(bytes: &[u8], size: usize) -> u128 {
    // The common sizes come first: a shift per byte is visible in a profile.
    match (size, bytes) {
        (8, [a, b, c, d, e, f, g, h, ..]) => {
            u64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h]).into()
        }
        (4, [a, b, c, d, ..]) => u32::from_le_bytes([*a, *b, *c, *d]).into(),
        _ => {
            let mut all = [0; 16];
            let len = bytes.len().min(size).min(16);
            all[..len].copy_from_slice(&bytes[..len]);
            u128::from_le_bytes(all)
        }
    }
}

/// Reads a signed number of up to 16 bytes.
pub fn signed(bytes: &[u8], size: usize) -> i128 {
    let unused = 128 - 8 * size.clamp(1, 16);
    ((unsigned(bytes, size) << unused) as i128) >> unused
}

/// Reads a float of 4 or 8 bytes.
pub fn float(bytes: &[u8], size: usize) -> f64 {
    let raw = unsigned(bytes, size);
    if size == 4 { f32::from_bits(raw as u32).into() } else { f64::from_bits(raw as u64) }
}

/// The bytes of a string before its terminating zero.
pub fn text(bytes: &[u8], size: usize) -> &[u8] {
    let bytes = &bytes[..bytes.len().min(size)];
    &bytes[..bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len())]
}

/// Applies an operation to the counters of two values, and stores the results in the first.
pub fn combine(
    into: &mut [u8],
    other: &[u8],
    counters: &[Field],
    operation: impl Fn(u128, u128) -> u128,
) {
    for counter in counters {
        let result = operation(counter.unsigned(into), counter.unsigned(other));
        let Field { offset, size } = *counter;
        if let Some(bytes) = into.get_mut(offset..offset + size) {
            bytes.copy_from_slice(&result.to_le_bytes()[..size]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(unsigned(&[1, 2, 3], 3), 0x030201);
        assert_eq!(unsigned(&[1], 4), 1);
        assert_eq!(signed(&[0xff, 0xff], 2), -1);
        assert_eq!(signed(&[0xff; 16], 16), -1);
        assert_eq!(float(&1.5f32.to_le_bytes(), 4), 1.5);
        assert_eq!(text(b"ab\0c", 4), b"ab");
        assert_eq!(text(b"abcd", 3), b"abc");
    }

    #[test]
    fn combining_keeps_to_the_counters() {
        let mut into = [1, 0, 0, 0, 9, 9];
        combine(
            &mut into,
            &[255, 0, 0, 0, 1, 1],
            &[Field { offset: 0, size: 4 }],
            u128::wrapping_sub,
        );
        assert_eq!(into, [2, 255, 255, 255, 9, 9]);
    }
}
