// SPDX-License-Identifier: MIT
//! Chooses among programs of one object that are alternatives for the same event.
//!
//! Portable tracers have two programs for an event: one for a fast attach point of newer kernels
//! (`tp_btf`, `fentry`), and one for an attach point that all kernels have (`raw_tp`, `kprobe`).
//! Attaching both would count every event twice. The rule, also in runner/README.md:
//!
//! 1. Two programs are for the same event if their sections name the same tracepoint (`tp_btf/X`,
//!    `raw_tp/X`, `tp/CATEGORY/X`), the entry of the same function (`fentry/f`, `kprobe/f`), or its
//!    return (`fexit/f`, `kretprobe/f`), without an offset, a pattern or a module.
//! 2. They are alternatives if their kinds differ, and the one of the worse kind uses all maps and
//!    global variables that the other uses, including those of the functions they call. (It may use
//!    more: a kretprobe must save what fexit receives.) Programs of the same kind, or programs that
//!    share nothing, are never alternatives.
//! 3. Among alternatives, ecli chooses the best kind that the kernel loads and attaches. The choice
//!    is the same for all events of the object, so an entry and its exit are always of the same
//!    kind.

use std::collections::{BTreeMap, BTreeSet};

use bpfpack_schemas::object::{BpfObject, Program, State};

use super::kinds::{Alternative, Family, ProgramKind, Rank, ranks_without_btf};

/// The event that a program attaches to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Event {
    family: Family,
    /// Whether it is a function's return, not its entry.
    is_return: bool,
    target: String,
}

/// The alternatives for one event, best first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    /// The family of their kinds.
    family: Family,
    /// The rank of its kind, and the program.
    members: Vec<(Rank, Program)>,
}

/// The alternatives of an object.
#[derive(Debug, Default)]
pub(super) struct Alternatives {
    groups: Vec<Group>,
    /// For each family, the lowest rank that the kernel has not refused.
    lowest: BTreeMap<Family, Rank>,
    /// Programs that the user or the package chooses regardless of rank.
    wanted: BTreeSet<String>,
}

/// The names of the programs of each group of alternatives, best first, as far as the object alone
/// decides.
pub(crate) fn of_object(elf: &BpfObject<'_>) -> Vec<Vec<String>> {
    let found = Alternatives::find(elf, |_| true, BTreeSet::new());
    let names = |group: &Group| group.members.iter().map(|(_, it)| it.name.clone()).collect();
    found.groups.iter().map(names).collect()
}

impl Alternatives {
    /// Finds alternatives among the programs that may be loaded. A program in `wanted` wins over
    /// its alternatives; if several are wanted, all of them are loaded.
    pub(super) fn find(
        elf: &BpfObject<'_>,
        may_load: impl Fn(&str) -> bool,
        wanted: BTreeSet<String>,
    ) -> Alternatives {
        let programs: Vec<Program> =
            elf.programs().into_iter().filter(|program| may_load(&program.name)).collect();
        if !may_have_alternatives(&programs) {
            return Alternatives::default();
        }
        let groups = groups(programs, &elf.state_of_programs());
        Alternatives { groups, wanted, ..Default::default() }
    }

    /// Whether the object has alternatives.
    pub(super) fn exist(&self) -> bool {
        !self.groups.is_empty()
    }

    /// The names of the programs that are not loaded.
    pub(super) fn left_out(&self) -> BTreeSet<&str> {
        let others = self.groups.iter().flat_map(|group| {
            let chosen = self.chosen(group);
            group.members.iter().filter(move |(_, p)| !chosen.contains(&p)).map(|(_, p)| &*p.name)
        });
        others.collect()
    }

    /// Gives up the kind of `program` after the kernel refused it. Returns false if there is no
    /// worse kind.
    pub(super) fn give_up(&mut self, program: &str) -> bool {
        let is_of = |group: &&Group| self.chosen(group).iter().any(|p| p.name == program);
        let Some(group) = self.groups.iter().find(is_of) else {
            return false;
        };
        if self.wanted.contains(program) {
            return false;
        }
        let rank = group.members.iter().find(|(_, p)| p.name == program).map_or(0, |(r, _)| *r);
        if group.members.last().is_none_or(|(worst, _)| *worst <= rank) {
            return false;
        }
        self.lowest.insert(group.family, rank + 1);
        true
    }

    /// Removes programs that are not loaded from the choice.
    pub(super) fn forget(&mut self, programs: &BTreeSet<String>) {
        for group in &mut self.groups {
            group.members.retain(|(_, program)| !programs.contains(&program.name));
        }
        self.groups.retain(|group| group.members.len() > 1);
    }

    /// Gives up the kinds that need the kernel's BTF.
    pub(super) fn give_up_btf(&mut self) {
        self.lowest = ranks_without_btf().collect();
    }

    /// A line for each choice: the kind, the programs that run, and those that do not.
    pub(super) fn describe(&self) -> Vec<String> {
        let mut by_kind: BTreeMap<String, (Vec<&str>, Vec<&str>)> = BTreeMap::new();
        for group in &self.groups {
            let chosen = self.chosen(group);
            let (kept, others): (Vec<_>, Vec<_>) =
                group.members.iter().map(|(_, p)| p).partition(|p| chosen.contains(p));
            let kinds = |programs: &[&Program]| {
                let kinds: BTreeSet<_> = programs.iter().map(|p| kind_of(&p.section)).collect();
                Vec::from_iter(kinds).join(" or ")
            };
            let key = match others.is_empty() {
                true => continue,
                false => format!("{}, not {}", kinds(&kept), kinds(&others)),
            };
            let (names, left_out) = by_kind.entry(key).or_default();
            names.extend(kept.iter().map(|p| p.name.as_str()));
            left_out.extend(others.iter().map(|p| p.name.as_str()));
        }
        by_kind
            .into_iter()
            .map(|(kinds, (names, left_out))| {
                format!(
                    "attaching with {kinds}: {} instead of {}",
                    names.join(", "),
                    left_out.join(", ")
                )
            })
            .collect()
    }

    fn chosen<'g>(&self, group: &'g Group) -> Vec<&'g Program> {
        let members = || group.members.iter().map(|(_, program)| program);
        let wanted: Vec<_> = members().filter(|p| self.wanted.contains(&p.name)).collect();
        if !wanted.is_empty() {
            return wanted;
        }
        let lowest = self.lowest.get(&group.family).copied().unwrap_or(0);
        let best = group.members.iter().find(|(rank, _)| *rank >= lowest).map(|(_, p)| p);
        best.or(members().next_back()).into_iter().collect()
    }
}

/// The kind of attach point in a section's name.
fn kind_of(section: &str) -> &str {
    section.split('/').next().unwrap_or(section)
}

fn may_have_alternatives(programs: &[Program]) -> bool {
    let mut seen = BTreeSet::new();
    programs
        .iter()
        .filter_map(|program| event(&program.section))
        .any(|(event, _)| !seen.insert(event))
}

/// The event of a section and the rank of its kind; `None` if it cannot have alternatives.
fn event(section: &str) -> Option<(Event, Rank)> {
    let Alternative { family, rank, is_return, has_category } =
        ProgramKind::of(section).alternative?;
    let (_, target) = section.split_once('/')?;
    let target = match has_category {
        true => target.split_once('/')?.1,
        false => target,
    };
    let is_plain = target.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.');
    let event = Event { family, is_return, target: target.to_owned() };
    (is_plain && !target.is_empty()).then_some((event, rank))
}

fn groups(programs: Vec<Program>, state: &BTreeMap<String, State>) -> Vec<Group> {
    let mut by_event: BTreeMap<Event, Vec<(Rank, Program)>> = BTreeMap::new();
    for program in programs {
        if let Some((event, rank)) = event(&program.section) {
            by_event.entry(event).or_default().push((rank, program));
        }
    }
    let none = State::new(Vec::new());
    let state = |program: &Program| state.get(&program.name).unwrap_or(&none);
    let mut found = Vec::new();
    for (event, mut programs) in by_event {
        programs.sort_by_key(|(rank, _)| *rank);
        // Each program joins a group of its event if it can replace the best member and the group
        // has no program of its kind; otherwise it starts a new group. Exact matches join first, so
        // that a program that uses more state does not take the place of one that uses the same.
        let mut of_event: Vec<Group> = Vec::new();
        for exactly in [true, false] {
            for (rank, program) in std::mem::take(&mut programs) {
                let fits = |group: &Group| {
                    let (better, worse) = (state(&group.members[0].1), state(&program));
                    let shares = better == worse
                        || !exactly && !better.is_empty() && better.is_subset(worse);
                    shares && group.members.iter().all(|(other, _)| *other < rank)
                };
                let begins = of_event.is_empty() || of_event[0].members[0].0 == rank;
                match of_event.iter().position(fits) {
                    Some(at) => of_event[at].members.push((rank, program)),
                    None if begins || !exactly => of_event
                        .push(Group { family: event.family, members: vec![(rank, program)] }),
                    None => programs.push((rank, program)),
                }
            }
        }
        found.extend(of_event.into_iter().filter(|group| group.members.len() > 1));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Programs as name, section, and the maps that each uses.
    fn alternatives(programs: &[(&str, &str, &str)]) -> Alternatives {
        let list = programs
            .iter()
            .map(|(name, section, _)| Program { name: (*name).into(), section: (*section).into() })
            .collect();
        // One letter for each map.
        let state = programs
            .iter()
            .map(|(name, _, maps)| {
                let numbers = maps.split_whitespace().map(|map| map.bytes().map(u32::from).sum());
                ((*name).to_owned(), State::new(numbers.collect()))
            })
            .collect();
        Alternatives { groups: groups(list, &state), ..Default::default() }
    }

    fn left_out(programs: &[(&str, &str, &str)]) -> Vec<String> {
        alternatives(programs).left_out().into_iter().map(String::from).collect()
    }

    #[test]
    fn twins_are_recognized() {
        let twins = [
            ("a", "tp_btf/irq_handler_entry", "start infos"),
            ("b", "tp_btf/irq_handler_exit", "start infos"),
            ("c", "raw_tp/irq_handler_entry", "start infos"),
            ("d", "raw_tp/irq_handler_exit", "start infos"),
        ];
        assert_eq!(left_out(&twins), ["c", "d"]);
        assert_eq!(left_out(&[("a", "tp/irq/x", "m"), ("b", "raw_tracepoint/x", "m")]), ["a"]);
        assert_eq!(left_out(&[("a", "kprobe/f", "m scratch"), ("b", "fentry/f", "m")]), ["a"]);
        assert_eq!(left_out(&[("a", "fexit/f", "m"), ("b", "kretprobe/f", "m")]), ["b"]);
        assert_eq!(left_out(&[("a", "tp_btf/x", ""), ("b", "raw_tp/x", "")]), ["b"]);
    }

    #[test]
    fn what_is_no_alternative_stays() {
        for programs in [
            // other events, other phases
            &[("a", "tp_btf/x", "m"), ("b", "raw_tp/y", "m")][..],
            &[("a", "fentry/f", "m"), ("b", "kretprobe/f", "m")],
            &[("a", "tp_btf/f", "m"), ("b", "kprobe/f", "m")],
            // two programs of the same kind are intended
            &[("a", "tp_btf/x", "m"), ("b", "tp_btf/x", "m")],
            // other data
            &[("a", "tp_btf/x", "m"), ("b", "raw_tp/x", "n")],
            &[("a", "tp_btf/x", "m n"), ("b", "raw_tp/x", "m")],
            &[("a", "tp_btf/x", ""), ("b", "raw_tp/x", "m")],
            // offsets in a function, patterns
            &[("a", "fentry/f", "m"), ("b", "kprobe/f+0x10", "m")],
            &[("a", "fentry/f*", "m"), ("b", "kprobe/f*", "m")],
            &[("a", "xdp", "m"), ("b", "xdp", "m")],
        ] {
            assert!(left_out(programs).is_empty(), "{programs:?}");
        }
    }

    #[test]
    fn one_of_each_kind_at_most() {
        let programs = [
            ("a", "tp_btf/x", "m"),
            ("b", "raw_tp/x", "m n"),
            ("c", "raw_tp/x", "m"),
            ("d", "tp/k/x", "m"),
        ];
        assert_eq!(left_out(&programs), ["c", "d"], "b has more state than c, and c is there");
        assert_eq!(left_out(&programs[..2]), ["b"]);
    }

    #[test]
    fn wanted_programs_win() {
        let mut found = alternatives(&[("a", "tp_btf/x", "m"), ("b", "raw_tp/x", "m")]);
        found.wanted.insert("b".into());
        assert_eq!(found.left_out(), BTreeSet::from(["a"]));
        assert!(!found.give_up("b"));
        found.wanted.insert("a".into());
        assert!(found.left_out().is_empty() && found.describe().is_empty());
    }

    #[test]
    fn a_worse_rank_takes_all_events_of_the_family_along() {
        let mut found = alternatives(&[
            ("a", "tp_btf/x", "m"),
            ("b", "tp_btf/y", "m"),
            ("c", "raw_tp/x", "m"),
            ("d", "raw_tp/y", "m"),
            ("e", "tp/k/y", "m"),
            ("f", "fentry/f", "m"),
            ("g", "kprobe/f", "m"),
        ]);
        assert!(found.give_up("b"));
        assert_eq!(found.left_out(), BTreeSet::from(["a", "b", "e", "g"]));
        assert!(found.give_up("d"));
        assert_eq!(found.left_out(), BTreeSet::from(["a", "b", "d", "g"]), "x has no third kind");
        assert!(!found.give_up("c") && !found.give_up("nobody"));
        assert_eq!(
            found.describe(),
            [
                "attaching with fentry, not kprobe: f instead of g",
                "attaching with raw_tp, not tp_btf: c instead of a",
                "attaching with tp, not raw_tp or tp_btf: e instead of b, d",
            ]
        );
    }
}
