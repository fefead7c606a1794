// SPDX-License-Identifier: MIT
//! Programs for one function or tracepoint under several names. Kernels rename them, so a tracer
//! has a program for each name, and a kernel has only some of the names.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use bpfpack_schemas::object::{BpfObject, Program, State};

use super::kinds::{Alternative, Family, ProgramKind};
use crate::kernel::Facts;

/// Programs that are left out because the kernel lacks their target, and the programs that replace
/// them.
#[derive(Debug)]
pub(super) struct Renamed {
    programs: Vec<Program>,
    state: BTreeMap<String, State>,
    /// The names of the programs whose target the kernel is known to lack. Finding out reads the
    /// kernel's whole symbol table.
    missing: OnceCell<BTreeSet<String>>,
    /// The programs that are left out, with those that replace each.
    pub(super) left_out: BTreeMap<String, Vec<String>>,
}

impl Renamed {
    pub(super) fn new(elf: &BpfObject<'_>) -> Renamed {
        let (programs, state) = (elf.programs(), elf.state_of_programs());
        Renamed { programs, state, missing: OnceCell::new(), left_out: BTreeMap::new() }
    }

    /// Leaves out a program whose target the kernel lacks, and all others that are known to lack
    /// theirs. Returns false if no other program uses the same state: then its data would be
    /// missing.
    pub(super) fn leave_out(
        &mut self,
        name: &str,
        is_off: impl Fn(&str) -> bool,
        kernel: &dyn Facts,
    ) -> bool {
        let Some(program) = self.programs.iter().find(|program| program.name == name).cloned()
        else {
            return false;
        };
        let others = self.others(&program, &is_off);
        // A kernel without kprobes cannot attach to another name either.
        let needs_kprobes = program.section.trim_start_matches('?').starts_with('k');
        if others.is_empty() || needs_kprobes && !kernel.has_kprobes() {
            return false;
        }
        self.left_out.insert(name.to_owned(), others);
        // Each attempt loads the whole object, so programs that are known to fail are left out now.
        for program in self.programs.clone() {
            if !self.is_missing(&program.name, kernel)
                || is_off(&program.name)
                || self.left_out.contains_key(&program.name)
            {
                continue;
            }
            let others = self.others(&program, &is_off);
            if !others.is_empty() {
                self.left_out.insert(program.name, others);
            }
        }
        true
    }

    /// Whether the kernel is known to lack the target of a program.
    pub(super) fn is_missing(&self, name: &str, kernel: &dyn Facts) -> bool {
        self.missing.get_or_init(|| self.find_missing(kernel)).contains(name)
    }

    fn find_missing(&self, kernel: &dyn Facts) -> BTreeSet<String> {
        let functions: BTreeSet<&str> = self.programs.iter().filter_map(function).collect();
        let known = kernel.functions_among(&functions);
        // If none of the functions is listed, the list is hidden.
        let are_shown = !known.is_empty();
        let is_missing = |program: &&Program| match function(program) {
            Some(function) => are_shown && !known.contains(function),
            None => tracepoint(program).is_some_and(|it| kernel.has_tracepoint(it) == Some(false)),
        };
        self.programs.iter().filter(is_missing).map(|program| program.name.clone()).collect()
    }

    /// The programs that see the same under another name: at the same end of a function, or at a
    /// tracepoint, with the same maps and variables.
    fn others(&self, program: &Program, is_off: &impl Fn(&str) -> bool) -> Vec<String> {
        let Some(kind) = ProgramKind::of(&program.section).alternative else { return Vec::new() };
        let Some(state) = self.state.get(&program.name).filter(|state| !state.is_empty()) else {
            return Vec::new();
        };
        let is_other = |other: &&Program| {
            // A tracepoint may replace a function, because kernels turn one into the other.
            let of_kind =
                |it: Alternative| it.family != kind.family || it.is_return == kind.is_return;
            other.name != program.name
                && ProgramKind::of(&other.section).alternative.is_some_and(of_kind)
                && !is_off(&other.name)
                && !self.left_out.contains_key(&other.name)
                && self.state.get(&other.name) == Some(state)
        };
        self.programs.iter().filter(is_other).map(|other| other.name.clone()).collect()
    }

    /// A line for the user about each program that is left out.
    pub(super) fn describe(&self) -> Vec<String> {
        let section = |name: &str| {
            let program = self.programs.iter().find(|program| program.name == name);
            program.map_or("", |program| &program.section).to_owned()
        };
        let line = |(name, others): (&String, &Vec<String>)| {
            let stay = others.iter().filter(|name| !self.left_out.contains_key(*name));
            let stay: Vec<String> = stay.map(|n| format!("`{n}` ({})", section(n))).collect();
            let section = section(name);
            format!(
                "`{name}` is not attached, because this kernel has no `{section}`, or does not \
                 allow programs there; {} replaces it",
                stay.join(", ")
            )
        };
        self.left_out.iter().map(line).collect()
    }

    /// The names of the programs that are left out.
    pub(super) fn names(&self) -> BTreeSet<String> {
        self.left_out.keys().cloned().collect()
    }
}

/// The function that a program attaches to.
fn function(program: &Program) -> Option<&str> {
    let kind = ProgramKind::of(&program.section).alternative?;
    let (_, target) = program.section.split_once('/')?;
    let function = target.split('+').next()?;
    (kind.family == Family::Function && !function.contains('*')).then_some(function)
}

/// The tracepoint that a program attaches to, if its section contains the category.
fn tracepoint(program: &Program) -> Option<&str> {
    let kind = ProgramKind::of(&program.section).alternative?;
    let (_, target) = program.section.split_once('/')?;
    kind.has_category.then_some(target)
}

#[cfg(test)]
mod tests {
    use super::super::hints::tests::Faked;
    use super::*;

    /// Programs as name, section, and the maps that each uses, one letter for each map.
    fn renamed(programs: &[(&str, &str, &str)]) -> Renamed {
        let of = |(name, section, _): &(&str, &str, &str)| Program {
            name: (*name).into(),
            section: (*section).into(),
        };
        let state = |(name, _, maps): &(&str, &str, &str)| {
            ((*name).to_owned(), State::new(maps.bytes().map(u32::from).collect()))
        };
        Renamed {
            programs: programs.iter().map(of).collect(),
            state: programs.iter().map(state).collect(),
            missing: OnceCell::new(),
            left_out: BTreeMap::new(),
        }
    }

    #[test]
    fn programs_under_another_name_stay() {
        let mut found = renamed(&[
            ("old", "kprobe/account_page_dirtied", "a"),
            ("older", "fentry/account_page_dirty", "a"),
            ("new", "kprobe/folio_account_dirtied", "a"),
            ("exit", "kretprobe/folio_account_dirtied", "a"),
            ("other", "kprobe/mark_page_accessed", "b"),
        ]);
        let kernel = Faked { function: "folio_account_dirtied", ..Faked::default() };
        assert!(!found.leave_out("old", |_| false, &kernel), "there are no kprobes");
        let kernel = Faked { kprobes: true, ..kernel };
        assert!(found.leave_out("old", |_| false, &kernel));
        assert_eq!(Vec::from_iter(found.names()), ["old", "older"]);
        assert!(!found.leave_out("other", |_| false, &kernel), "nothing has its state");
        assert!(!found.leave_out("new", |_| false, &kernel), "it is the last");
        assert_eq!(
            found.describe()[0],
            "`old` is not attached, because this kernel has no `kprobe/account_page_dirtied`, or \
             does not allow programs there; `new` (kprobe/folio_account_dirtied) replaces it"
        );
    }

    #[test]
    fn tracepoints_stand_for_functions() {
        let mut found = renamed(&[
            ("old", "kprobe/blk_account_io_start", "a"),
            ("exit", "kretprobe/blk_account_io_start", "b"),
            ("new", "tp_btf/block_io_start", "a"),
        ]);
        let kernel = Faked { kprobes: true, function: "vfs_read", ..Faked::default() };
        assert!(!found.is_missing("old", &kernel), "functions may be hidden");
        assert!(found.leave_out("old", |_| false, &kernel));
        assert!(!found.leave_out("exit", |_| false, &kernel));
    }

    #[test]
    fn programs_that_are_off_stand_for_nothing() {
        let mut found = renamed(&[("a", "tp/x/a", "m"), ("b", "tp/x/b", "m"), ("c", "xdp", "m")]);
        assert!(!found.leave_out("a", |name| name == "b", &Faked::default()));
        assert!(!found.leave_out("c", |_| false, &Faked::default()));
        assert!(!found.leave_out("nobody", |_| false, &Faked::default()));
    }
}
