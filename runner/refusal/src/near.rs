// SPDX-License-Identifier: MIT
//! The nearest of the names that exist, for a name that does not.

/// The maximum number of names to suggest.
const MOST: usize = 3;

/// The kernel's symbols for the space before functions (CONFIG_FUNCTION_PADDING_CFI).
const PADDING: &str = "__pfx_";

/// The names that are most like `wanted`, the nearest first; none if nothing is near.
pub fn names<'n>(wanted: &str, known: impl IntoIterator<Item = &'n str>) -> Vec<&'n str> {
    // A third of the letters may differ, and a part of a longer name is near, too.
    let limit = (wanted.len() / 3).max(1);
    let distance = |name: &str| {
        if name.len().abs_diff(wanted.len()) <= limit {
            let distance = strsim::osa_distance(wanted, name);
            if distance <= limit {
                return Some(distance);
            }
        }
        let is_part = wanted.len() >= 5 && (is_part_of(name, wanted) || is_part_of(wanted, name));
        is_part.then(|| limit + name.len().abs_diff(wanted.len()))
    };
    // Of those at the same distance, the ones that begin like it come first.
    let mut near: Vec<(usize, bool, &str)> = known
        .into_iter()
        .filter(|name| *name != wanted && !name.starts_with(PADDING))
        .filter_map(|name| distance(name).map(|far| (far, !name.starts_with(wanted), name)))
        .collect();
    near.sort_unstable();
    near.dedup();
    near.into_iter().take(MOST).map(|(_, _, name)| name).collect()
}

/// Whether a long name contains a shorter one of five letters or more, as a whole word between
/// underscores.
fn is_part_of(long: &str, short: &str) -> bool {
    let is_end = |c: Option<char>| c.is_none_or(|c| c == '_' || c == '.');
    short.len() >= 5
        && long.match_indices(short).any(|(at, _)| {
            is_end(long[..at].chars().next_back())
                && is_end(long[at + short.len()..].chars().next())
        })
}

/// A sentence about what does not exist, with the nearest of what does.
#[must_use]
pub fn suggested(cause: String, near: &[impl AsRef<str>]) -> String {
    match near {
        [] => cause,
        near => format!("{cause}, but {}", list(near)),
    }
}

/// Names in backquotes, separated by commas and `or`: `` `a`, `b` or `c` ``.
#[must_use]
pub fn list(names: &[impl AsRef<str>]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{}`", name.as_ref())).collect();
    match quoted.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_come_first() {
        let known = ["sys_enter_openat", "sys_enter_openat2", "sys_enter_open", "sys_exit_openat"];
        let near = names("sys_enter_opennat", known);
        assert_eq!(near[0], "sys_enter_openat");
        assert_eq!(near.len(), 3);
        assert!(names("nothing_like_it", known).is_empty());
        assert_eq!(names("unlinkat", ["do_unlinkat", "vfs_read"]), ["do_unlinkat"]);
        assert_eq!(names("do_unlinkat.isra.0", ["do_unlinkat"]), ["do_unlinkat"]);
        assert!(names("pid", ["pid"]).is_empty(), "the same name is not a suggestion");
        assert_eq!(names("é", ["e", "éa"]), ["éa", "e"]);
    }

    #[test]
    fn lists_of_names() {
        assert_eq!(list(&[] as &[&str]), "");
        assert_eq!(list(&["a"]), "`a`");
        assert_eq!(list(&["a", "b", "c"]), "`a`, `b` or `c`");
    }
}
