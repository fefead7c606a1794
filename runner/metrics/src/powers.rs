// SPDX-License-Identifier: MIT
//! A histogram as counts for powers of two.

use crate::Histogram;

/// The counts of a histogram whose bounds are powers of two. The bucket above all bounds becomes the
/// one after the last bound: where it ends is unknown, and programs count what is too large in
/// their last slot anyway.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Powers<'h> {
    pub(crate) zero_threshold: f64,
    pub(crate) zero_count: u64,
    /// The first count is of values in (2^(`first` - 1), 2^`first`].
    pub(crate) first: i32,
    pub(crate) counts: &'h [u64],
}

impl Powers<'_> {
    pub(crate) fn of(histogram: &Histogram) -> Option<Powers<'_>> {
        let exponential = histogram.bounds.exponential?;
        let (zero_count, counts) = match histogram.counts.split_first() {
            Some((zero, counts)) if exponential.has_zero => (*zero, counts),
            _ => (0, &histogram.counts[..]),
        };
        Some(Powers {
            zero_threshold: exponential.zero_threshold,
            zero_count,
            first: exponential.first,
            counts,
        })
    }
}
