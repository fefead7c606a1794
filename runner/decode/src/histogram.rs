// SPDX-License-Identifier: MIT
//! Histograms that a program keeps in a map: where the slots are, and what each one counts.

use serde::{Deserialize, Serialize};

use crate::field::unsigned;
use crate::layout::Layout;

/// The member that holds a histogram's slots, by convention.
pub const SLOTS: &str = "slots";

/// Where slots are in a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slots {
    /// First byte.
    pub offset: usize,
    /// Bytes of a slot, 4 or 8.
    pub size: usize,
    /// How many there are.
    pub len: usize,
}

/// What a slot counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Edges {
    /// Slot 0: 0 and 1; slot n: 2^n to 2^(n+1) - 1.
    Log2,
    /// Slot 0: 0; slot n: 2^(n-1) to 2^n - 1.
    Log2Zero,
    /// Slot n: `origin + n * step` to `origin + (n + 1) * step - 1`.
    Linear {
        /// Lower edge of slot 0.
        origin: i128,
        /// Width of a slot.
        step: i128,
    },
}

impl Slots {
    /// The slots of a value: its member `slots`, if that is an array of integers of 4 or 8 bytes.
    pub fn of(layout: &Layout) -> Option<Slots> {
        Slots::of_member(layout, SLOTS)
    }

    /// The slots in a member of this name.
    pub fn of_member(layout: &Layout, name: &str) -> Option<Slots> {
        let Layout::Struct(record) = layout else {
            return None;
        };
        let member = record.members.iter().find(|member| member.name == name)?;
        Slots::of_array(&member.layout, member.offset)
    }

    /// An array as slots.
    pub fn of_array(layout: &Layout, offset: usize) -> Option<Slots> {
        let Layout::Array { element, len, .. } = layout else {
            return None;
        };
        match **element {
            Layout::Int { size, .. } if (size == 4 || size == 8) && *len > 0 => {
                Some(Slots { offset, size, len: *len })
            }
            _ => None,
        }
    }

    /// The counts in a value.
    pub fn counts<'v>(&self, value: &'v [u8]) -> impl DoubleEndedIterator<Item = u64> + 'v {
        let Slots { offset, size, len } = *self;
        (0..len).map(move |at| {
            let bytes = value.get(offset + at * size..).unwrap_or_default();
            unsigned(bytes, size) as u64
        })
    }
}

impl Edges {
    /// The least and the largest value that a slot counts.
    pub fn of(self, slot: usize) -> (i128, i128) {
        match self {
            Edges::Log2 if slot == 0 => (0, 1),
            Edges::Log2Zero if slot == 0 => (0, 0),
            Edges::Log2Zero => (1i128 << (slot - 1).min(126), (1i128 << slot.min(126)) - 1),
            Edges::Log2 => (1i128 << slot.min(126), (2i128 << slot.min(125)) - 1),
            Edges::Linear { origin, step } => {
                let low = origin.saturating_add(step.saturating_mul(slot as i128));
                (low, low.saturating_add(step - 1))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log2_edges_meet_and_are_exact() {
        assert_eq!(Edges::Log2.of(0), (0, 1));
        assert_eq!(Edges::Log2.of(1), (2, 3));
        assert_eq!(Edges::Log2.of(2), (4, 7));
        assert_eq!(Edges::Log2.of(63).1, i128::from(u64::MAX));
        for slot in 1..64 {
            for edges in [Edges::Log2, Edges::Log2Zero] {
                assert_eq!(edges.of(slot - 1).1 + 1, edges.of(slot).0);
            }
        }
        assert_eq!(Edges::Log2Zero.of(0), (0, 0));
        assert_eq!(Edges::Log2Zero.of(1), (1, 1));
        assert_eq!(Edges::Log2Zero.of(64).1, i128::from(u64::MAX));
    }

    #[test]
    fn linear_edges() {
        let edges = Edges::Linear { origin: -10, step: 5 };
        assert_eq!(edges.of(0), (-10, -6));
        assert_eq!(edges.of(2), (0, 4));
        assert_eq!(Edges::Linear { origin: 0, step: 1 }.of(3), (3, 3));
    }

    #[test]
    fn slots_of_both_sizes() {
        for size in [4usize, 8] {
            let element = Box::new(Layout::Int { size, signed: false });
            let array = Layout::Array { element, stride: size, len: 3 };
            let slots = Slots::of_array(&array, 4).unwrap();
            let mut value = vec![9; 4];
            for count in [1u64, 0, 700] {
                value.extend(&count.to_le_bytes()[..size]);
            }
            assert_eq!(slots.counts(&value).collect::<Vec<_>>(), [1, 0, 700]);
            assert_eq!(slots.counts(&[]).sum::<u64>(), 0);
        }
    }
}
