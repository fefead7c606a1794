// SPDX-License-Identifier: MIT
//! Histograms that a program keeps in a map: the locations of the slots, and the values that each
//! slot counts.

use serde::{Deserialize, Serialize};

use crate::field::unsigned;
use crate::layout::Layout;

/// The conventional name of the member with a histogram's slots.
pub const SLOTS: &str = "slots";

/// The location of slots in a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slots {
    /// Offset of the first slot in bytes.
    pub offset: usize,
    /// Size of a slot in bytes, 4 or 8.
    pub size: usize,
    /// The number of slots.
    pub len: usize,
}

/// The values that the slots count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Edges {
    /// Slot 0: 0 and 1; slot n: 2^n to 2^(n+1) - 1.
    Log2,
    /// Slot 0: 0; slot n: 2^(n-1) to 2^n - 1.
    Log2Zero,
    /// Slot 0: 0 and 1; slot n: 2^(n-1) + 1 to 2^n. The logarithm is rounded up.
    Log2Up,
    /// Slot 0: 0; slot 1: 1; slot n: 2^(n-2) + 1 to 2^(n-1).
    Log2ZeroUp,
    /// Slot n: `origin + n * step` to `origin + (n + 1) * step - 1`.
    Linear {
        /// Lower edge of slot 0.
        origin: i128,
        /// Width of a slot.
        step: i128,
    },
}

/// Quantiles of a histogram, as slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// The number of values.
    pub total: u128,
    /// The slots of the 50th, 90th and 99th percentile, and of the largest value.
    slots: [usize; 4],
}

/// A percentile, or the largest value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantile {
    /// Half of the values are not larger.
    P50,
    /// 90 % of the values are not larger.
    P90,
    /// 99 % of the values are not larger.
    P99,
    /// The largest value.
    Max,
}

impl Quantile {
    /// All quantiles, in order.
    pub const ALL: [Quantile; 4] = [Quantile::P50, Quantile::P90, Quantile::P99, Quantile::Max];

    /// Its name in all outputs and expressions.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Quantile::P50 => "p50",
            Quantile::P90 => "p90",
            Quantile::P99 => "p99",
            Quantile::Max => "max",
        }
    }

    fn percent(self) -> u128 {
        match self {
            Quantile::P50 => 50,
            Quantile::P90 => 90,
            Quantile::P99 => 99,
            Quantile::Max => 100,
        }
    }
}

impl Summary {
    /// Summarizes counts; `None` if all are zero. The percentile p of n values is in the slot of
    /// the value with rank ⌈n · p / 100⌉ in ascending order. Values are not interpolated within a
    /// slot.
    #[must_use]
    pub fn of(counts: impl Iterator<Item = u64> + Clone) -> Option<Summary> {
        let total: u128 = counts.clone().map(u128::from).sum();
        if total == 0 {
            return None;
        }
        let rank = |quantile: Quantile| (total * quantile.percent()).div_ceil(100).max(1);
        let ranks = Quantile::ALL.map(rank);
        let (mut slots, mut known, mut below) = ([0; 4], 0, 0);
        for (slot, count) in counts.enumerate() {
            below += u128::from(count);
            while known < slots.len() && below >= ranks[known] {
                slots[known] = slot;
                known += 1;
            }
        }
        Some(Summary { total, slots })
    }

    /// The slot of a quantile.
    #[must_use]
    pub fn slot(&self, quantile: Quantile) -> usize {
        self.slots[quantile as usize]
    }
}

/// The values that a slot counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// The smallest value.
    pub low: i128,
    /// The largest value; `None` for the last slot, where programs count all larger values.
    pub high: Option<i128>,
}

impl Slots {
    /// The slots of a value: its member `slots`, if it is an array of 4-byte or 8-byte integers.
    pub fn of(layout: &Layout) -> Option<Slots> {
        Slots::of_member(layout, SLOTS)
    }

    /// The slots in a member with this name.
    pub fn of_member(layout: &Layout, name: &str) -> Option<Slots> {
        let Layout::Struct(record) = layout else {
            return None;
        };
        let member = record.members.iter().find(|member| member.name == name)?;
        Slots::of_array(&member.layout, member.offset)
    }

    /// The slots in an array.
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

    /// The values that a slot counts.
    #[must_use]
    pub fn bucket(&self, edges: Edges, slot: usize) -> Bucket {
        let (low, high) = edges.of(slot);
        // No 64-bit value is larger.
        let is_open = slot + 1 >= self.len && high < i128::from(u64::MAX);
        Bucket { low, high: (!is_open).then_some(high) }
    }

    /// Summarizes the counts in a value; `None` if all are zero.
    #[must_use]
    pub fn summary(&self, value: &[u8]) -> Option<Summary> {
        Summary::of(self.counts(value))
    }

    /// The sum of the counts in a value.
    #[must_use]
    pub fn total(&self, value: &[u8]) -> u128 {
        self.counts(value).map(u128::from).sum()
    }

    /// The counts in a value.
    pub fn counts<'v>(&self, value: &'v [u8]) -> impl DoubleEndedIterator<Item = u64> + Clone + 'v {
        let Slots { offset, size, len } = *self;
        // A type may have more slots than the value has bytes; the missing ones are zero.
        let there = value.len().saturating_sub(offset).div_ceil(size.max(1));
        (0..len.min(there)).map(move |at| {
            let bytes = value.get(offset + at * size..).unwrap_or_default();
            unsigned(bytes, size) as u64
        })
    }
}

impl Edges {
    /// The smallest and the largest value that a slot counts.
    pub fn of(self, slot: usize) -> (i128, i128) {
        match self {
            Edges::Log2 if slot == 0 => (0, 1),
            Edges::Log2Zero if slot == 0 => (0, 0),
            Edges::Log2Zero => (1i128 << (slot - 1).min(126), (1i128 << slot.min(126)) - 1),
            Edges::Log2 => (1i128 << slot.min(126), (2i128 << slot.min(125)) - 1),
            Edges::Log2Up if slot == 0 => (0, 1),
            Edges::Log2Up => ((1i128 << (slot - 1).min(125)) + 1, 1i128 << slot.min(126)),
            Edges::Log2ZeroUp if slot < 2 => (slot as i128, slot as i128),
            Edges::Log2ZeroUp => Edges::Log2Up.of(slot - 1),
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
            for edges in [Edges::Log2, Edges::Log2Zero, Edges::Log2Up, Edges::Log2ZeroUp] {
                assert_eq!(edges.of(slot - 1).1 + 1, edges.of(slot).0);
            }
        }
        assert_eq!(Edges::Log2Zero.of(0), (0, 0));
        assert_eq!(Edges::Log2Zero.of(1), (1, 1));
        assert_eq!(Edges::Log2Zero.of(64).1, i128::from(u64::MAX));
        assert_eq!([0, 1, 2, 3].map(|slot| Edges::Log2Up.of(slot).1), [1, 2, 4, 8]);
        assert_eq!([0, 1, 2, 3].map(|slot| Edges::Log2ZeroUp.of(slot).1), [0, 1, 2, 4]);
    }

    #[test]
    fn linear_edges() {
        let edges = Edges::Linear { origin: -10, step: 5 };
        assert_eq!(edges.of(0), (-10, -6));
        assert_eq!(edges.of(2), (0, 4));
        assert_eq!(Edges::Linear { origin: 0, step: 1 }.of(3), (3, 3));
    }

    #[test]
    fn percentiles_are_the_slots_of_ranks() {
        assert_eq!(Summary::of([0, 0].into_iter()), None);
        let slots = |counts: &[u64]| {
            let summary = Summary::of(counts.iter().copied()).unwrap();
            (summary.total, Quantile::ALL.map(|quantile| summary.slot(quantile)))
        };
        assert_eq!(slots(&[0, 1]), (1, [1, 1, 1, 1]));
        assert_eq!(slots(&[1, 1]), (2, [0, 1, 1, 1]));
        // The 50th of 100 is in the first slot, the 99th in the second, the 100th in the last.
        assert_eq!(slots(&[50, 40, 9, 0, 1, 0]), (100, [0, 1, 2, 4]));
        assert_eq!(slots(&[49, 41, 9, 0, 1, 0]), (100, [1, 1, 2, 4]));
        let most = u128::from(u64::MAX);
        assert_eq!(slots(&[u64::MAX, 0, u64::MAX]), (2 * most, [0, 2, 2, 2]));
    }

    #[test]
    fn the_last_slot_has_no_upper_edge_unless_it_holds_all_there_can_be() {
        let slots = |len| Slots { offset: 0, size: 4, len };
        let bucket = |low, high| Bucket { low, high };
        assert_eq!(slots(3).bucket(Edges::Log2, 1), bucket(2, Some(3)));
        assert_eq!(slots(3).bucket(Edges::Log2, 2), bucket(4, None));
        assert_eq!(slots(64).bucket(Edges::Log2, 63).high, Some(u64::MAX.into()));
        assert_eq!(slots(65).bucket(Edges::Log2Zero, 64).high, Some(u64::MAX.into()));
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
