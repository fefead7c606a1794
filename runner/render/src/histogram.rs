// SPDX-License-Identifier: MIT
//! Draws a histogram like bcc and similar tools, with summary lines below it.

use std::fmt::Write as _;
use std::io::Write as _;

use bpfpack_decode::{Bucket, Edges, Quantile, Slots, Summary};
use bpfpack_spec::{Average, Shape, View};

use crate::value::json;

/// The length of the longest bar; half if the edges need more room.
const STARS: usize = 40;

/// From this slot on, log2 edges do not fit the narrow columns.
const WIDE_FROM: usize = 33;

/// The maximum length of a summary line.
const LINE: usize = 79;

/// The indentation of a summary line.
const INDENT: &str = "     ";

/// The histogram in a value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Histogram<'v> {
    pub(crate) slots: &'v Slots,
    pub(crate) edges: Edges,
    pub(crate) unit: &'v str,
    pub(crate) average: Option<Average>,
}

impl<'v> Histogram<'v> {
    /// The histograms of a view; `None` if it has none.
    pub(crate) fn of(view: &'v View) -> Option<Histogram<'v>> {
        match &view.shape {
            Shape::Histogram { slots, edges, unit } => {
                Some(Histogram { slots, edges: *edges, unit, average: view.average })
            }
            _ => None,
        }
    }

    /// Appends a histogram as a JSON object: the buckets that are not empty, and the summary.
    pub(crate) fn json(&self, value: &[u8], out: &mut Vec<u8>) {
        let bounds = |slot: usize| {
            let Bucket { low, high } = self.slots.bucket(self.edges, slot);
            let high = high.map_or("null".into(), |high| high.to_string());
            format!(r#""low":{low},"high":{high}"#)
        };
        out.extend_from_slice(br#"{"unit":"#);
        json::string(self.unit.as_bytes(), out);
        out.extend_from_slice(br#","buckets":["#);
        let counts = self.slots.counts(value).enumerate().filter(|(_, count)| *count > 0);
        for (at, (slot, count)) in counts.enumerate() {
            let comma = if at > 0 { "," } else { "" };
            let _ = write!(out, r#"{comma}{{{},"count":{count}}}"#, bounds(slot));
        }
        let summary = self.slots.summary(value);
        let _ = write!(out, r#"],"total":{}"#, summary.map_or(0, |summary| summary.total));
        if let Some(summary) = summary {
            if let Some(average) = self.average.and_then(|it| it.of(value, summary.total)) {
                let _ = write!(out, r#","average":{average:.1}"#);
            }
            for quantile in Quantile::ALL {
                let bounds = bounds(summary.slot(quantile));
                let _ = write!(out, r#","{}":{{{bounds}}}"#, quantile.name());
            }
        }
        out.push(b'}');
    }
}

/// Appends a drawing from the first slot that is not zero to the last one; nothing if all are zero.
/// Total, average, percentiles and the largest value follow.
pub(crate) fn draw(histogram: &Histogram<'_>, value: &[u8], out: &mut String) {
    let Histogram { slots, edges, unit, average } = *histogram;
    let Some(summary) = slots.summary(value) else { return };
    let counts: Vec<u64> = slots.counts(value).collect();
    let first = counts.iter().position(|count| *count > 0).unwrap_or(0);
    let last = summary.slot(Quantile::Max);
    let longest = counts.iter().copied().max().unwrap_or(1).max(1);
    let wide = last >= WIDE_FROM;
    let (indent, title, edge, stars) =
        if wide { (15, 29, 20, STARS / 2) } else { (5, 19, 10, STARS) };
    let _ = writeln!(out, "{:indent$}{unit:<title$} : count    distribution", "");
    for (slot, count) in counts.iter().enumerate().take(last + 1).skip(first) {
        let (low, high) = edges.of(slot);
        let bar = (u128::from(*count) * stars as u128 / u128::from(longest)) as usize;
        match low == high {
            true => drop(write!(out, "{low:>edge$}    {:<edge$}", "")),
            false => drop(write!(out, "{low:>edge$} -> {high:<edge$}")),
        }
        let _ = writeln!(out, " : {count:<8} |{:<stars$}|", "*".repeat(bar));
    }
    let average = average.and_then(|average| average.of(value, summary.total));
    amounts(histogram, &summary, average, out);
}

/// Appends total, average, percentiles and the largest value, wrapped to several lines.
fn amounts(histogram: &Histogram<'_>, summary: &Summary, average: Option<f64>, out: &mut String) {
    let mut pieces = vec![format!("total {}", summary.total)];
    pieces.extend(average.map(|average| format!("average {average:.1}")));
    pieces.extend(Quantile::ALL.iter().map(|quantile| {
        let bucket = histogram.slots.bucket(histogram.edges, summary.slot(*quantile));
        format!("{} {}", quantile.name(), range(bucket))
    }));
    let mut used = LINE;
    for (at, piece) in pieces.iter().enumerate() {
        let comma = if at + 1 < pieces.len() { "," } else { "" };
        if used + 1 + piece.len() + comma.len() > LINE {
            out.push_str(if at > 0 { "\n" } else { "" });
            out.push_str(INDENT);
            used = INDENT.len();
        } else {
            out.push(' ');
            used += 1;
        }
        let _ = write!(out, "{piece}{comma}");
        used += piece.len() + comma.len();
    }
    out.push('\n');
}

/// The values of a slot: `4 -> 7`, `4`, `>= 4`.
pub(crate) fn range(bucket: Bucket) -> String {
    match bucket {
        Bucket { low, high: None } => format!(">= {low}"),
        Bucket { low, high: Some(high) } if low == high => low.to_string(),
        Bucket { low, high: Some(high) } => format!("{low} -> {high}"),
    }
}

#[cfg(test)]
mod tests {
    use bpfpack_decode::Field;

    use super::*;

    fn drawn(counts: &[u64], edges: Edges) -> String {
        let mut out = String::new();
        let slots = Slots { offset: 0, size: 8, len: counts.len() };
        let value: Vec<u8> = counts.iter().flat_map(|count| count.to_le_bytes()).collect();
        draw(&Histogram { slots: &slots, edges, unit: "usecs", average: None }, &value, &mut out);
        out
    }

    #[test]
    fn log2() {
        insta::assert_snapshot!(drawn(&[0, 8, 138, 512, 1029, 16, 0, 0], Edges::Log2), @r"
        usecs               : count    distribution
            2 -> 3          : 8        |                                        |
            4 -> 7          : 138      |*****                                   |
            8 -> 15         : 512      |*******************                     |
           16 -> 31         : 1029     |****************************************|
           32 -> 63         : 16       |                                        |
        total 1703, p50 16 -> 31, p90 16 -> 31, p99 16 -> 31, max 32 -> 63
        ");
    }

    #[test]
    fn many_slots_are_wide_and_huge_counts_do_not_overflow() {
        let mut counts = [0; 64];
        counts[0] = u64::MAX / 2;
        counts[63] = u64::MAX;
        let text = drawn(&counts, Edges::Log2);
        insta::assert_snapshot!(text.lines().take(3).collect::<Vec<_>>().join("\n"), @r"
        usecs                         : count    distribution
            0 -> 1                    : 9223372036854775807 |*********           |
            2 -> 3                    : 0        |                    |
        ");
        assert!(text.contains("9223372036854775808 -> 18446744073709551615"));
        insta::assert_snapshot!(text.lines().skip(65).collect::<Vec<_>>().join("\n"), @r"
        total 27670116110564327422,
        p50 9223372036854775808 -> 18446744073709551615,
        p90 9223372036854775808 -> 18446744073709551615,
        p99 9223372036854775808 -> 18446744073709551615,
        max 9223372036854775808 -> 18446744073709551615
        ");
        assert!(text.lines().skip(65).all(|line| line.len() < 80));
    }

    #[test]
    fn linear() {
        insta::assert_snapshot!(drawn(&[2, 4], Edges::Linear { origin: 0, step: 1 }), @r"
        usecs               : count    distribution
            0               : 2        |********************                    |
            1               : 4        |****************************************|
        total 6, p50 >= 1, p90 >= 1, p99 >= 1, max >= 1
        ");
        insta::assert_snapshot!(drawn(&[2, 4, 0], Edges::Linear { origin: 10, step: 5 }), @r"
        usecs               : count    distribution
           10 -> 14         : 2        |********************                    |
           15 -> 19         : 4        |****************************************|
        total 6, p50 15 -> 19, p90 15 -> 19, p99 15 -> 19, max 15 -> 19
        ");
    }

    #[test]
    fn averages_are_of_the_sum_that_a_program_keeps() {
        let slots = Slots { offset: 8, size: 4, len: 2 };
        let average = Some(Average { sum: Field { offset: 0, size: 8 }, count: None });
        let histogram = Histogram { slots: &slots, edges: Edges::Log2, unit: "usecs", average };
        let value = [&10u64.to_le_bytes()[..], &[3, 0, 0, 0, 1, 0, 0, 0]].concat();
        let mut out = String::new();
        draw(&histogram, &value, &mut out);
        assert!(out.contains("total 4, average 2.5, p50 0 -> 1, p90 >= 2"), "{out}");
    }

    #[test]
    fn as_json_with_buckets_and_bounds() {
        let slots = Slots { offset: 0, size: 4, len: 3 };
        let average = Some(Average { sum: Field { offset: 12, size: 8 }, count: None });
        let histogram = Histogram { slots: &slots, edges: Edges::Log2, unit: "usecs", average };
        let shown = |counts: [u32; 3], sum: u64| {
            let mut out = Vec::new();
            let value = [&counts.map(u32::to_le_bytes).concat()[..], &sum.to_le_bytes()].concat();
            histogram.json(&value, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            shown([3, 0, 1], 11),
            r#"{"unit":"usecs","buckets":[{"low":0,"high":1,"count":3},{"low":4,"high":null,"count":1}],"#
                .to_owned()
                + r#""total":4,"average":2.8,"p50":{"low":0,"high":1},"p90":{"low":4,"high":null},"#
                + r#""p99":{"low":4,"high":null},"max":{"low":4,"high":null}}"#
        );
        assert_eq!(shown([0; 3], 0), r#"{"unit":"usecs","buckets":[],"total":0}"#);
    }

    #[test]
    fn nothing_for_nothing() {
        assert_eq!(drawn(&[0, 0], Edges::Log2), "");
        assert_eq!(drawn(&[], Edges::Log2), "");
    }
}
