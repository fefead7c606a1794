// SPDX-License-Identifier: MIT
//! The targets that the command line gives to programs: `--attach`, and the options that set the
//! target of all programs of a kind.

use std::collections::{BTreeMap, BTreeSet};

use bpfpack_schemas::object::Program;
use libbpf_rs::ProgramType;

use super::kinds::ProgramKind;
use super::pattern::matches;
use super::target::Target;
use super::way::{self, Way};
use crate::args::{AttachArg, Plan};
use crate::failure::Failure;

/// The target of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Assigned {
    /// The kind of attach point.
    pub(super) kind: String,
    /// The target.
    pub(super) target: String,
}

impl Assigned {
    /// The way of attaching that `--attach` names; `None` if the program's own kind applies.
    pub(super) fn way(&self) -> Option<&'static Way> {
        way::named(&self.kind)
    }
}

/// The targets for the programs of an object.
#[derive(Debug, Default)]
pub(super) struct Assignments {
    by_program: BTreeMap<String, Assigned>,
    /// Programs that `--attach` names a target for.
    pub(super) wanted: BTreeSet<String>,
    /// Programs not to load.
    pub(super) off: BTreeSet<String>,
}

impl Assignments {
    /// Reads targets from the plan. The last one for a program wins, and `--attach` wins over other
    /// options.
    ///
    /// # Errors
    /// Returns an error if there is no such program, or no such way of attaching.
    pub(super) fn new(programs: &[Program], plan: &Plan) -> Result<Assignments, Failure> {
        let mut assignments = Assignments::default();
        let interface = plan.interface.as_deref();
        let cgroup = plan.cgroup.as_ref().and_then(|path| path.to_str());
        for program in programs {
            let target = match ProgramKind::of(&program.section).method.target {
                Target::Interface => interface,
                Target::Cgroup => cgroup,
                _ => None,
            };
            if let Some(target) = target {
                let section = program.section.trim_start_matches('?');
                let kind = section.split('/').next().unwrap_or_default().to_owned();
                let assigned = Assigned { kind, target: target.to_owned() };
                assignments.by_program.insert(program.name.clone(), assigned);
            }
        }
        let has_interface = |program: &Program| {
            ProgramKind::of(&program.section).method.target == Target::Interface
        };
        if interface.is_some() && !programs.iter().any(has_interface) {
            return Err(Failure::usage(
                "--interface: no program of the package attaches to an interface",
            ));
        }
        check_options(programs, plan)?;
        for arg in &plan.attach {
            assignments.add(programs, arg)?;
        }
        // An explicit `--with` wins over a pattern that turns programs off.
        for name in &plan.with {
            assignments.off.remove(name);
        }
        Ok(assignments)
    }

    fn add(&mut self, programs: &[Program], arg: &AttachArg) -> Result<(), Failure> {
        let AttachArg { pattern, kind, target } = arg;
        let fitting: Vec<&Program> =
            programs.iter().filter(|program| matches(pattern, &program.name)).collect();
        if fitting.is_empty() {
            let names: Vec<&str> = programs.iter().map(|program| &*program.name).collect();
            let failure =
                Failure::usage(format!("--attach: the package has no program `{pattern}`"));
            return Err(failure.hint(format!("its programs are {}", names.join(", "))));
        }
        if kind != "off" && way::named(kind).is_none() {
            let failure = Failure::usage(format!("--attach: unknown kind of target `{kind}`"));
            return Err(failure.hint(format!("there are off, {}", way::names().join(", "))));
        }
        for program in fitting {
            let name = &program.name;
            match target {
                None => {
                    self.wanted.remove(name);
                    self.off.insert(name.clone());
                }
                Some(target) => {
                    let assigned = Assigned { kind: kind.clone(), target: target.clone() };
                    self.off.remove(name);
                    self.wanted.insert(name.clone());
                    self.by_program.insert(name.clone(), assigned);
                }
            }
        }
        Ok(())
    }

    /// The target of a program.
    pub(super) fn of(&self, program: &str) -> Option<&Assigned> {
        self.by_program.get(program)
    }

    /// All targets with the programs' names.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Assigned)> {
        self.by_program.iter().map(|(name, assigned)| (&**name, assigned))
    }
}

/// Checks that each option for some kind of program applies to at least one program.
fn check_options(programs: &[Program], plan: &Plan) -> Result<(), Failure> {
    let of_sections = programs.iter().map(|program| ProgramKind::of(&program.section).method);
    let named = plan.attach.iter().filter_map(|arg| way::named(&arg.kind)).map(|way| way.method);
    let targets: Vec<Target> = of_sections.chain(named).map(|method| method.target).collect();
    let has_user_functions =
        targets.contains(&Target::UserFunction) || targets.contains(&Target::Usdt);
    let has_xdp =
        programs.iter().any(|it| ProgramKind::of(&it.section).ty == Some(ProgramType::Xdp))
            || plan.attach.iter().any(|arg| arg.kind == "xdp");
    for (option, is_given, is_used) in
        [("--binary", plan.binary.is_some(), has_user_functions), ("--force", plan.force, has_xdp)]
    {
        if is_given && !is_used {
            let what = if option == "--force" { "XDP" } else { "user functions" };
            return Err(Failure::usage(format!(
                "{option}: no program of the package attaches to {what}"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::tests::plan;

    fn programs() -> Vec<Program> {
        [("read_in", "uprobe"), ("read_out", "uretprobe"), ("see", "xdp"), ("sock", "sockops")]
            .map(|(name, section)| Program { name: name.into(), section: section.into() })
            .into()
    }

    fn assigned(args: &[&str]) -> Result<Vec<String>, String> {
        let plan = plan(&[&["run"], args, &["p.json"]].concat()).unwrap();
        let made = Assignments::new(&programs(), &plan);
        let made = made.map_err(|failure| format!("{failure:?}"))?;
        let is_on = |(name, _): &(&str, &Assigned)| !made.off.contains(*name);
        let given =
            made.iter().filter(is_on).map(|(name, a)| format!("{name} {} {}", a.kind, a.target));
        Ok(given.chain(made.off.iter().map(|name| format!("{name} off"))).collect())
    }

    #[test]
    fn targets_by_name_pattern_and_kind() {
        let args = ["--attach", "read_*=uprobe:/bin/bash:readline", "--attach", "read_out=off"];
        assert_eq!(assigned(&args).unwrap(), ["read_in uprobe /bin/bash:readline", "read_out off"]);
        let args = ["--interface", "eth0", "--cgroup", "/c", "--attach", "see=xdp:lo/generic"];
        assert_eq!(
            assigned(&args).unwrap(),
            ["see xdp lo/generic", "sock cgroup /c"]
                .map(|text| { text.replace("sock cgroup", "sock sockops") })
        );
        let args = ["--attach", "see=off", "--attach", "see=xdp:lo"];
        assert_eq!(assigned(&args).unwrap(), ["see xdp lo"]);
        let args = ["--attach", "*=off", "--with", "see", "--interface", "lo"];
        let off = ["read_in off", "read_out off", "sock off"];
        assert_eq!(assigned(&args).unwrap(), [&["see xdp lo"], &off[..]].concat());
    }

    #[test]
    fn what_there_is_not() {
        let error = assigned(&["--attach", "write*=uprobe:x:y"]).unwrap_err();
        assert!(error.contains("no program `write*`") && error.contains("read_in, read_out"));
        let error = assigned(&["--attach", "see=xpd:lo"]).unwrap_err();
        assert!(
            error.contains("unknown kind of target `xpd`") && error.contains("xdp, tc"),
            "{error}"
        );
    }
}
