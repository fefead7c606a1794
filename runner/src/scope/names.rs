// SPDX-License-Identifier: MIT
//! Finds the argument of a package that limits it to a process, a name or a cgroup, by its name and
//! type. The names are from public tracers.

use bpfpack_schemas::argument::Argument;

use crate::vars::Candidate;

/// What limits tracing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A process, by its ID.
    Process,
    /// A thread's name.
    Comm,
    /// A cgroup, by its ID.
    Cgroup,
}

/// Prefixes and suffixes of such names: `targ_pid`, `pid_filter`.
const BEFORE: [&str; 9] =
    ["targ_", "target_", "filter_", "trace_", "traced_", "only_", "my_", "user_", "g_"];
const BEHIND: [&str; 3] = ["_filter", "_target", "_to_trace"];

/// If a package distinguishes processes from threads, `tgid` is the process ID of user space.
const PROCESS: [&str; 4] = ["tgid", "pid", "process_id", "process"];
const COMM: [&str; 5] = ["comm", "command", "process_name", "proc_name", "task_name"];
const SWITCHES: [&str; 6] =
    ["filter_cg", "filter_cgroup", "cg_filter", "cgroup_filter", "filter_by_cgroup", "use_cgroup"];
const CGROUP: [&str; 5] = ["cgroup_id", "cgroupid", "cgroup", "cgid", "cg_id"];

/// The switch that makes programs check their map of cgroups.
pub(crate) fn switch_of_cgroups(candidates: &[Candidate<'_>]) -> Option<usize> {
    let is_it = |candidate: &Candidate<'_>| {
        let name = candidate.name.to_ascii_lowercase();
        candidate.kind.is_bool() && SWITCHES.contains(&&*name)
    };
    candidates.iter().position(is_it)
}

/// The most suitable argument; `None` if there is none.
pub(crate) fn choose(kind: Kind, candidates: &[Candidate<'_>]) -> Option<usize> {
    let ranked = candidates.iter().enumerate().filter(|(_, candidate)| fits(kind, candidate.kind));
    let ranked = ranked.filter_map(|(at, candidate)| Some((rank(kind, candidate)?, at)));
    ranked.min().map(|(_, at)| at)
}

/// Whether a variable of this type can hold the value.
fn fits(kind: Kind, ty: &Argument) -> bool {
    match (kind, ty) {
        (Kind::Process, Argument::Int { size, .. }) => matches!(size, 4 | 8),
        (Kind::Comm, Argument::Text { size }) => *size > 1,
        (Kind::Cgroup, Argument::Int { size, .. }) => *size == 8,
        _ => false,
    }
}

/// How well a name fits, 0 is best; `None` if it means something else.
fn rank(kind: Kind, candidate: &Candidate<'_>) -> Option<usize> {
    let words: &[&str] = match kind {
        Kind::Process => &PROCESS,
        Kind::Comm => &COMM,
        Kind::Cgroup => &CGROUP,
    };
    let of = |name: &str| {
        let name = name.to_ascii_lowercase().replace('-', "_");
        let bare = BEFORE.iter().find_map(|before| name.strip_prefix(before)).unwrap_or(&name);
        let bare = BEHIND.iter().find_map(|behind| bare.strip_suffix(behind)).unwrap_or(bare);
        words.iter().position(|word| *word == bare)
    };
    let rank = of(candidate.long).into_iter().chain(of(candidate.name)).min()?;
    // The short option `-p` in the package says that this is it.
    let is_said = kind == Kind::Process && candidate.short == Some('p');
    Some(if is_said { 0 } else { rank + 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    const INT: Argument = Argument::Int { size: 4, signed: true };
    const LONG: Argument = Argument::Int { size: 8, signed: false };
    const TEXT: Argument = Argument::Text { size: 16 };
    const BOOL: Argument = Argument::Bool { size: 1 };

    fn chosen<'a>(kind: Kind, all: &[(&'a str, Argument)]) -> Option<&'a str> {
        let candidate = |(name, kind): &'_ (&'a str, Argument)| (*name, kind.clone());
        let all: Vec<_> = all.iter().map(candidate).collect();
        let candidates: Vec<Candidate<'_>> = all
            .iter()
            .map(|(name, kind)| Candidate { name, long: name, short: None, kind })
            .collect();
        choose(kind, &candidates).map(|at| all[at].0)
    }

    #[test]
    fn names_of_public_tracers_are_known() {
        for name in
            ["pid", "targ_pid", "target_pid", "filter-pid", "my_pid", "pid_filter", "targ_tgid"]
        {
            assert_eq!(chosen(Kind::Process, &[("min_us", LONG), (name, INT)]), Some(name));
        }
        for name in ["comm", "targ_comm", "filter_comm", "target_comm"] {
            assert_eq!(chosen(Kind::Comm, &[(name, TEXT)]), Some(name));
        }
        for name in ["cgroup_id", "targ_cgroup", "target_cgid", "filter_cgroup_id"] {
            assert_eq!(chosen(Kind::Cgroup, &[(name, LONG)]), Some(name));
        }
    }

    #[test]
    fn what_is_of_another_type_or_means_a_thread_is_not_chosen() {
        assert_eq!(chosen(Kind::Process, &[("pid", BOOL), ("targ_tid", INT), ("pids", INT)]), None);
        assert_eq!(chosen(Kind::Comm, &[("comm", INT)]), None);
        assert_eq!(chosen(Kind::Cgroup, &[("cgroup", BOOL), ("cgroup", INT)]), None);
        assert_eq!(
            chosen(Kind::Process, &[("targ_pid", INT), ("targ_tgid", INT)]),
            Some("targ_tgid")
        );
    }

    #[test]
    fn maps_of_cgroups_have_a_switch() {
        let candidate = |name, kind| Candidate { name, long: name, short: None, kind };
        let all = [candidate("filter_cg", &INT), candidate("filter_cg", &BOOL)];
        assert_eq!(switch_of_cgroups(&all), Some(1));
        assert_eq!(switch_of_cgroups(&all[..1]), None);
    }

    #[test]
    fn the_letter_of_a_package_counts_most() {
        let candidate = |name, short| Candidate { name, long: name, short, kind: &INT };
        let both = [candidate("targ_tgid", None), candidate("targ_pid", Some('p'))];
        assert_eq!(choose(Kind::Process, &both), Some(1));
        assert_eq!(choose(Kind::Process, &[candidate("port", Some('p'))]), None);
    }
}
