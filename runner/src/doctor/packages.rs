// SPDX-License-Identifier: MIT
//! Which programs of packages can run on this machine: by their kinds, which were tried, and by their
//! targets, which the kernel lists.

use std::collections::BTreeSet;

use bpfpack_schemas::btf::{Btf, Kind};
use bpfpack_schemas::diagnosis::{Check, Diagnosis, PackageCheck, State};
use bpfpack_schemas::report::{Inspection, ProgramReport};

use super::kinds;
use crate::args::Named;
use crate::failure::Failure;
use crate::inspect;
use crate::kernel::{Facts, Running};

/// Packages, and what the kernel has of what they name.
pub(super) fn read(packages: &[Named]) -> Result<Vec<Package>, Failure> {
    let read = |named: &Named| {
        let inspection = inspect::report(named)?;
        Ok(Package { name: named.name.clone(), inspection })
    };
    packages.iter().map(read).collect()
}

/// A package.
#[derive(Debug)]
pub(super) struct Package {
    name: String,
    inspection: Inspection,
}

impl Package {
    /// Checks its programs.
    pub(super) fn check(&self, machine: &Diagnosis, btf: Option<&Btf<'static>>) -> PackageCheck {
        let report = &self.inspection.report;
        let functions = report.programs.iter().filter_map(|program| function(&program.section));
        let known = Known {
            btf,
            functions: Running.functions_among(&functions.chain([LISTED]).collect()),
            facts: &Running,
        };
        let programs: Vec<Check> =
            report.programs.iter().map(|program| known.check(program, machine)).collect();
        let lacking = report.maps.iter().find(|map| {
            machine.maps.iter().any(|check| check.name == map.ty && check.state == State::Missing)
        });
        let check = match lacking {
            Some(map) => Check::missing(&self.name).because(format!(
                "the kernel has no maps of the type `{}` (`{}`)",
                map.ty, map.name
            )),
            None => verdict(&self.name, &report.programs, &programs),
        };
        PackageCheck { check, programs }
    }
}

/// Whether a package can run, given checks of its programs.
fn verdict(name: &str, programs: &[ProgramReport], checks: &[Check]) -> Check {
    let state_of = |name: &str| {
        let check = checks.iter().find(|check| check.name == name);
        check.map_or(State::Unknown, |check| check.state)
    };
    // The best state among a program and what can replace it.
    let best = |program: &ProgramReport| {
        let mut states = program.alternatives.iter().map(|name| state_of(name)).collect::<Vec<_>>();
        states.push(state_of(&program.name));
        match () {
            () if states.contains(&State::Ok) => State::Ok,
            () if states.contains(&State::Unknown) => State::Unknown,
            () => State::Missing,
        }
    };
    let needed = programs.iter().filter(|program| !program.on_request && !program.optional);
    let states: Vec<(&str, State)> =
        needed.map(|program| (program.name.as_str(), best(program))).collect();
    let with = |state: State| -> Vec<&str> {
        states.iter().filter(|(_, of)| *of == state).map(|(name, _)| *name).collect()
    };
    let (missing, unknown) = (with(State::Missing), with(State::Unknown));
    match () {
        () if programs.is_empty() => Check::unknown(name).because("it has no programs to check"),
        () if !missing.is_empty() => Check::missing(name).because(format!(
            "it cannot run as a whole: {} cannot, and nothing known replaces it",
            missing.join(", ")
        )),
        () if !unknown.is_empty() => Check::unknown(name)
            .because(format!("it may not run; unknown for: {}", unknown.join(", "))),
        () => Check::ok(name).because("it can run here"),
    }
}

/// What the kernel has.
struct Known<'a> {
    btf: Option<&'a Btf<'static>>,
    /// Those of the programs that the kernel has, and [`LISTED`].
    functions: BTreeSet<String>,
    facts: &'a dyn Facts,
}

impl Known<'_> {
    fn check(&self, program: &ProgramReport, machine: &Diagnosis) -> Check {
        let name = &program.name;
        let section = program.section.trim_start_matches('?');
        let kind =
            kinds::row_of(section).and_then(|at| machine.kinds.get(at)).map(|kind| &kind.check);
        let Some(kind) = kind else {
            return Check::unknown(name).value(section).because("ecli does not know its kind");
        };
        if kind.state != State::Ok {
            let words =
                if kind.state == State::Missing { "cannot be used here" } else { "was not tried" };
            let reason = format!("the kind `{}` {words}", kind.name);
            return Check::new(name, kind.state).value(section).because(reason);
        }
        let (state, reason) = match self.target(section).or_else(|| self.calls(program)) {
            Some((state, reason)) => (state, Some(reason)),
            None => (State::Ok, None),
        };
        Check { reason, ..Check::new(name, state).value(section) }
    }

    /// What is wrong with the target of a section.
    fn target(&self, section: &str) -> Option<(State, String)> {
        let (kind, target) = section.split_once('/')?;
        if let Some(name) = function(section) {
            let is_there = self.functions.contains(name);
            let typed = kind.starts_with('f');
            let has_type = || self.btf.is_some_and(|btf| btf.find(Kind::Func, name).is_some());
            return match () {
                // Symbols that are hidden, and functions of modules, cannot be told.
                () if !is_there && self.functions.is_empty() => {
                    Some((State::Unknown, "the functions of the kernel are not listed".to_owned()))
                }
                () if !is_there => {
                    Some((State::Missing, format!("the kernel has no function `{name}`")))
                }
                () if typed && !has_type() => Some((
                    State::Unknown,
                    format!("the BTF of the kernel has no function `{name}`; a module may have it"),
                )),
                () => None,
            };
        }
        match kind {
            "tp" | "tracepoint" => match self.facts.has_tracepoint(target) {
                Some(true) => None,
                Some(false) => {
                    Some((State::Missing, format!("the kernel has no tracepoint `{target}`")))
                }
                None => {
                    Some((State::Unknown, "the tracepoints are not listed: no tracefs".to_owned()))
                }
            },
            "tp_btf" | "raw_tp" | "raw_tracepoint" | "raw_tp.w" | "raw_tracepoint.w" => {
                let name = target.rsplit('/').next().unwrap_or(target);
                let btf = self.btf?;
                let is_there = btf.find(Kind::Typedef, &format!("btf_trace_{name}")).is_some();
                (!is_there).then(|| {
                    (
                        State::Unknown,
                        format!(
                            "the BTF of the kernel has no tracepoint `{name}`; a module may have it"
                        ),
                    )
                })
            }
            _ => None,
        }
    }

    /// What is wrong with the functions of the kernel that a program calls.
    fn calls(&self, program: &ProgramReport) -> Option<(State, String)> {
        let btf = self.btf?;
        let absent = program.kfuncs.iter().find(|name| btf.find(Kind::Func, name).is_none())?;
        Some((
            State::Unknown,
            format!("the BTF of the kernel has no kfunc `{absent}`; a module may have it"),
        ))
    }
}

/// A function that every kernel has, if it lists any.
const LISTED: &str = "vfs_read";

/// The function of the kernel that a section names.
fn function(section: &str) -> Option<&str> {
    let (kind, target) = section.trim_start_matches('?').split_once('/')?;
    let kind = kind.trim_end_matches(".s");
    if !["kprobe", "kretprobe", "fentry", "fexit", "fmod_ret", "fsession"].contains(&kind) {
        return None;
    }
    target.split('+').next().filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(name: &str, alternatives: &[&str], optional: bool) -> ProgramReport {
        let alternatives = alternatives.iter().map(|name| (*name).to_owned()).collect();
        ProgramReport { name: name.to_owned(), alternatives, optional, ..ProgramReport::default() }
    }

    #[test]
    fn one_of_several_alternatives_is_enough() {
        let programs = [program("a", &["a", "b"], false), program("b", &["a", "b"], false)];
        let checks = |of: [State; 2]| [Check::new("a", of[0]), Check::new("b", of[1])];
        let verdict = |of| verdict("p", &programs, &checks(of)).state;
        assert_eq!(verdict([State::Missing, State::Ok]), State::Ok);
        assert_eq!(verdict([State::Missing, State::Unknown]), State::Unknown);
        assert_eq!(verdict([State::Missing, State::Missing]), State::Missing);
    }

    #[test]
    fn optional_programs_do_not_count() {
        let programs = [program("a", &[], true), program("b", &[], false)];
        let checks = [Check::missing("a"), Check::ok("b")];
        assert_eq!(verdict("p", &programs, &checks).state, State::Ok);
        assert_eq!(verdict("p", &[], &[]).state, State::Unknown);
        assert!(verdict("p", &programs, &[]).reason.unwrap().ends_with(": b"));
    }

    #[test]
    fn functions_of_sections() {
        assert_eq!(function("?kprobe/vfs_read+0x10"), Some("vfs_read"));
        assert_eq!(function("fentry.s/f"), Some("f"));
        assert_eq!(function("kprobe.multi/vfs_*"), None);
        assert_eq!(function("tp/a/b"), None);
        assert_eq!(function("kprobe"), None);
    }
}
