// SPDX-License-Identifier: MIT
//! Suggestions for an unknown name.

/// The maximum number of suggestions.
const MOST: usize = 3;

/// Returns the names that are similar to `name`, the most similar first.
pub(crate) fn near<'n>(name: &str, names: impl Iterator<Item = &'n str>) -> Vec<&'n str> {
    let most = 1 + name.len() / 4;
    let mut found: Vec<(usize, &str)> = names
        .map(|known| (strsim::osa_distance(name, known), known))
        .filter(|(far, _)| *far <= most)
        .collect();
    found.sort_unstable();
    found.iter().take(MOST).map(|(_, known)| *known).collect()
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
        assert!(near("", ["abc"].into_iter()).is_empty());
        assert_eq!(near("same", ["abc", "same"].into_iter()), ["same"]);
    }
}
