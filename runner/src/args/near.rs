// SPDX-License-Identifier: MIT
//! Names that are like one that nobody has.

/// Names that are listed at most.
const MOST: usize = 3;

/// Those of `names` that `name` may have been meant for, the most likely first.
pub(crate) fn near<'n>(name: &str, names: impl Iterator<Item = &'n str>) -> Vec<&'n str> {
    let most = 1 + name.len() / 4;
    let mut found: Vec<(usize, &str)> =
        names.map(|known| (distance(name, known), known)).filter(|(far, _)| *far <= most).collect();
    found.sort_unstable();
    found.iter().take(MOST).map(|(_, known)| *known).collect()
}

/// How many letters have to be changed, added, left out or swapped with the next one.
fn distance(one: &str, two: &str) -> usize {
    let (one, two) = (one.as_bytes(), two.as_bytes());
    let mut rows = vec![(0..=two.len()).collect::<Vec<usize>>()];
    for i in 0..one.len() {
        let mut row = vec![i + 1];
        for j in 0..two.len() {
            let changed = rows[i][j] + usize::from(one[i] != two[j]);
            let least = changed.min(rows[i][j + 1] + 1).min(row[j] + 1);
            let is_swapped = i > 0 && j > 0 && one[i] == two[j - 1] && one[i - 1] == two[j];
            row.push(if is_swapped { least.min(rows[i - 1][j - 1] + 1) } else { least });
        }
        rows.push(row);
    }
    rows[one.len()][two.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_find_what_was_meant() {
        let names = ["top", "targ_pid", "targ_tgid", "json"];
        assert_eq!(near("tpo", names.into_iter()), ["top"]);
        assert_eq!(near("targ-pid", names.into_iter()), ["targ_pid", "targ_tgid"]);
        assert!(near("interface", names.into_iter()).is_empty());
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("same", "same"), 0);
    }
}
