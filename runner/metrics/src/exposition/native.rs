// SPDX-License-Identifier: MIT
//! Native histograms: the buckets that are not empty, as spans of consecutive ones and the
//! differences of their counts.

use super::client_model::{BucketSpan, Histogram};
use crate::powers::Powers;

/// Buckets are powers of two.
const SCHEMA: i32 = 0;

/// The smallest zero threshold that is written: that of Prometheus' own libraries, 2^-128. It tells an
/// empty native histogram from a classic one. Prometheus 2.42 knows no other way, and asks only the
/// first series of a family.
const SMALLEST_THRESHOLD: f64 = f64::from_bits((1023 - 128) << 52);

/// The largest number of empty buckets within a span: a difference of zero takes a byte, as a rule,
/// and a span four.
const LARGEST_GAP: u32 = 2;

/// Sets the fields of a native histogram. Its spans and differences are empty before.
pub(super) fn fill(powers: &Powers<'_>, message: &mut Histogram) {
    message.schema = Some(SCHEMA);
    message.zero_threshold = Some(powers.zero_threshold.max(SMALLEST_THRESHOLD));
    message.zero_count = Some(powers.zero_count);
    let (spans, deltas) = (&mut message.positive_span, &mut message.positive_delta);
    let (mut before, mut gap) = (0u64, 0u32);
    for (at, count) in powers.counts.iter().enumerate() {
        if *count == 0 {
            gap += 1;
            continue;
        }
        match spans.last_mut() {
            Some(span) if gap <= LARGEST_GAP => {
                for _ in 0..gap {
                    deltas.push(difference(0, before));
                    before = 0;
                }
                span.length = span.length.map(|length| length + gap + 1);
            }
            Some(_) => spans.push(span(gap as i32, 1)),
            None => spans.push(span(powers.first.saturating_add(at as i32), 1)),
        }
        deltas.push(difference(*count, before));
        before = *count;
        gap = 0;
    }
}

fn span(offset: i32, length: u32) -> BucketSpan {
    BucketSpan { offset: Some(offset), length: Some(length) }
}

/// The difference of two counts. A reader adds modulo 2^64, too.
fn difference(count: u64, before: u64) -> i64 {
    count.wrapping_sub(before).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(first: i32, counts: &[u64]) -> (Vec<(i32, u32)>, Vec<i64>) {
        let mut message = Histogram::default();
        fill(&Powers { zero_threshold: 0.5, zero_count: 7, first, counts }, &mut message);
        assert_eq!((message.schema, message.zero_count), (Some(0), Some(7)));
        let spans = message.positive_span.iter();
        let spans = spans.map(|span| (span.offset.unwrap(), span.length.unwrap()));
        (spans.collect(), message.positive_delta)
    }

    #[test]
    fn thresholds_are_positive() {
        for (zero_threshold, expected) in [(0.0, 2f64.powi(-128)), (0.5, 0.5)] {
            let powers = Powers { zero_threshold, zero_count: 0, first: 0, counts: &[0, 0] };
            let mut message = Histogram::default();
            fill(&powers, &mut message);
            assert_eq!(message.zero_threshold, Some(expected));
        }
    }

    #[test]
    fn small_gaps_are_within_spans() {
        for (first, counts, spans, deltas) in [
            (3, &[][..], vec![], vec![]),
            (3, &[0, 0], vec![], vec![]),
            (3, &[5], vec![(3, 1)], vec![5]),
            (-2, &[0, 5, 4, 4, 0], vec![(-1, 3)], vec![5, -1, 0]),
            (0, &[5, 0, 6], vec![(0, 3)], vec![5, -5, 6]),
            (0, &[5, 0, 0, 6], vec![(0, 4)], vec![5, -5, 0, 6]),
            (0, &[5, 0, 0, 0, 6], vec![(0, 1), (3, 1)], vec![5, 1]),
            (1, &[0, 1, 0, 0, 0, 0, 3, 2, 0, 1], vec![(2, 1), (4, 4)], vec![1, 2, -1, -2, 1]),
            (0, &[u64::MAX, 1], vec![(0, 2)], vec![-1, 2]),
        ] {
            assert_eq!(filled(first, counts), (spans, deltas), "{counts:?}");
        }
    }
}
