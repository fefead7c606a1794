// SPDX-License-Identifier: MIT
//! Repeatable random numbers: the same seed, part and case give the same numbers on every machine.

/// Numbers at the limits of integers, sizes and offsets.
pub const EDGES: [u64; 26] = [
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    63,
    64,
    127,
    128,
    255,
    256,
    4095,
    4096,
    0x7fff,
    0x8000,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_fff8,
    0xffff_ffff,
    0x1_0000_0000,
    i64::MAX as u64,
    u64::MAX,
];

/// SplitMix64.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The numbers of one case.
    #[must_use]
    pub fn new(seed: u64, part: &str, number: u64) -> Random {
        // FNV-1a, so that parts have different numbers.
        let name = part.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        });
        let mut random = Random(seed ^ name.rotate_left(17));
        random.0 = random.number() ^ number.wrapping_mul(0xd134_2543_de82_ef95);
        random
    }

    /// Any 64-bit number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number less than `limit`; 0 if `limit` is 0.
    pub fn below(&mut self, limit: usize) -> usize {
        match limit {
            0 => 0,
            // The high bits of the product; the bias is too small for a test to see.
            limit => ((u128::from(self.number()) * limit as u128) >> 64) as usize,
        }
    }

    /// A number from `low` to `high`, inclusive.
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }

    /// True once in `times` calls on average.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of these; there must be at least one.
    pub fn choose<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// One of these words; there must be at least one.
    pub fn word(&mut self, of: &[&'static str]) -> &'static str {
        of[self.below(of.len())]
    }

    /// A number that programs often handle wrongly, or any number.
    pub fn edge(&mut self) -> u64 {
        match self.below(8) {
            0 => self.number(),
            1 => self.number() & 0xffff,
            2 => self.choose(&EDGES).wrapping_sub(1),
            _ => *self.choose(&EDGES),
        }
    }

    /// Any bytes.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            bytes.extend(self.number().to_le_bytes());
        }
        bytes.truncate(len);
        bytes
    }
}

/// Changes some bytes, as a damaged disk or a fuzzer does.
pub fn damage(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        match random.below(8) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
            1 if !bytes.is_empty() => bytes[at] = random.number() as u8,
            2 => bytes.truncate(at),
            3 => {
                let end = (at + random.between(1, 64)).min(bytes.len());
                drop(bytes.drain(at..end));
            }
            4 => {
                let len = random.between(1, 16);
                let more = random.bytes(len);
                drop(bytes.splice(at..at, more));
            }
            // A part of the bytes in another place.
            5 => {
                let end = (at + random.between(1, 256)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                let to = random.below(bytes.len());
                drop(bytes.splice(to..to, piece));
            }
            6 => {
                let width = *random.choose(&[1, 2, 4, 8]);
                let number = random.edge().to_le_bytes();
                if let Some(place) = bytes.get_mut(at..at + width) {
                    place.copy_from_slice(&number[..width]);
                }
            }
            _ => {
                let end = (at + random.between(1, 64)).min(bytes.len());
                let with = *random.choose(&[0, 0xff, b' ', b'"', b'[']);
                bytes[at..end].fill(with);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_repeatable_and_differ() {
        let numbers = |seed, part, case| -> Vec<u64> {
            let mut random = Random::new(seed, part, case);
            (0..4).map(|_| random.number()).collect()
        };
        assert_eq!(numbers(1, "objects", 7), numbers(1, "objects", 7));
        assert_ne!(numbers(1, "objects", 7), numbers(1, "objects", 8));
        assert_ne!(numbers(1, "objects", 7), numbers(1, "modules", 7));
        assert_ne!(numbers(1, "objects", 7), numbers(2, "objects", 7));
    }

    #[test]
    fn numbers_keep_to_their_limits() {
        let mut random = Random::new(0, "", 0);
        let drawn: Vec<usize> = (0..1000).map(|_| random.between(3, 5)).collect();
        assert!(drawn.iter().all(|number| (3..=5).contains(number)));
        assert!([3, 4, 5].iter().all(|number| drawn.contains(number)));
        assert_eq!(random.below(0), 0);
        assert_eq!(random.bytes(13).len(), 13);
    }

    #[test]
    fn any_bytes_can_be_damaged() {
        for case in 0..2000 {
            let mut random = Random::new(3, "damage", case);
            let mut bytes = random.bytes(case as usize % 5);
            damage(&mut bytes, &mut random);
        }
    }
}
