// SPDX-License-Identifier: MIT
//! Draws a histogram as bcc and its relatives do.

use std::fmt::Write as _;

use bpfpack_decode::Edges;

/// Stars of the longest bar; half as many where the edges need the room.
const STARS: usize = 40;

/// From this slot on, log2 edges have more digits than the narrow columns.
const WIDE_FROM: usize = 33;

/// Appends a picture up to the last slot that is not zero; nothing where all are.
pub(crate) fn draw(counts: &[u64], edges: Edges, unit: &str, out: &mut String) {
    let Some(last) = counts.iter().rposition(|count| *count > 0) else {
        return;
    };
    let longest = counts.iter().copied().max().unwrap_or(1).max(1);
    let wide = last >= WIDE_FROM;
    let (indent, title, edge, stars) =
        if wide { (15, 29, 20, STARS / 2) } else { (5, 19, 10, STARS) };
    let _ = writeln!(out, "{:indent$}{unit:<title$} : count    distribution", "");
    for (slot, count) in counts[..=last].iter().enumerate() {
        let (low, high) = edges.of(slot);
        let bar = (u128::from(*count) * stars as u128 / u128::from(longest)) as usize;
        match low == high {
            true => drop(write!(out, "{low:>edge$}    {:<edge$}", "")),
            false => drop(write!(out, "{low:>edge$} -> {high:<edge$}")),
        }
        let _ = writeln!(out, " : {count:<8} |{:<stars$}|", "*".repeat(bar));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(counts: &[u64], edges: Edges) -> String {
        let mut out = String::new();
        draw(counts, edges, "usecs", &mut out);
        out
    }

    #[test]
    fn log2() {
        insta::assert_snapshot!(drawn(&[1, 8, 138, 512, 1029, 16, 0, 0], Edges::Log2), @r"
             usecs               : count    distribution
                 0 -> 1          : 1        |                                        |
                 2 -> 3          : 8        |                                        |
                 4 -> 7          : 138      |*****                                   |
                 8 -> 15         : 512      |*******************                     |
                16 -> 31         : 1029     |****************************************|
                32 -> 63         : 16       |                                        |
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
    }

    #[test]
    fn linear() {
        insta::assert_snapshot!(drawn(&[2, 4], Edges::Linear { origin: 0, step: 1 }), @r"
             usecs               : count    distribution
                 0               : 2        |********************                    |
                 1               : 4        |****************************************|
        ");
        insta::assert_snapshot!(drawn(&[2, 4], Edges::Linear { origin: 10, step: 5 }), @r"
             usecs               : count    distribution
                10 -> 14         : 2        |********************                    |
                15 -> 19         : 4        |****************************************|
        ");
    }

    #[test]
    fn nothing_for_nothing() {
        assert_eq!(drawn(&[0, 0], Edges::Log2), "");
        assert_eq!(drawn(&[], Edges::Log2), "");
    }
}
