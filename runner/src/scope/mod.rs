// SPDX-License-Identifier: MIT
//! The scope of tracing: `-p`, `--comm`, `--cgroup`, `--container`, and the command that ecli
//! starts. An argument of the package is set if it has a suitable one; otherwise records and
//! entries are filtered by a member. Standard error reports the choice.

mod container;
mod members;
mod names;
mod stage;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::Context as _;
use bpfpack_filter::{Expr, quoted};
use bpfpack_schemas::btf::Btf;
use bpfpack_schemas::map_type::CGROUP_ARRAY;
use bpfpack_schemas::{Meta, object::BpfObject};
use bpfpack_spec::{Source, Spec};

use crate::args::{Plan, expr_failure};
use crate::attach::Uses;
use crate::command::Command;
use crate::failure::{Failure, exit_code};
use crate::talk::Talk;
use crate::vars::{Chosen, Given};
use names::{Kind, choose};
pub(crate) use stage::OfCgroup;

/// The kernel truncates a thread's name to this number of bytes.
const COMM: usize = 15;

/// The magic number of the cgroup2 file system (linux/magic.h).
const CGROUP2: i64 = 0x6367_7270;

/// A limit on what is traced.
#[derive(Debug)]
struct Wanted {
    kind: Kind,
    /// The option, as it was written.
    option: String,
    /// The value for an argument or a member.
    value: String,
}

/// The limits, and what is left to apply.
#[derive(Debug, Default)]
pub(crate) struct Scope {
    /// The limits for which the package has no argument.
    left: Vec<Wanted>,
    /// What its programs attach to.
    uses: Uses,
    /// The names of the package's arguments, for a message.
    arguments: Vec<String>,
}

/// A package whose arguments have no values yet.
pub(crate) struct Package<'p> {
    /// Its meta data.
    pub(crate) meta: &'p Meta,
    /// Its object.
    pub(crate) elf: &'p BpfObject<'p>,
    /// The BTF of the object.
    pub(crate) btf: &'p Btf<'p>,
}

/// Finds the cgroup of the container that the plan names.
///
/// # Errors
/// Returns an error if no container matches, or more than one.
pub(crate) fn find_container(plan: &mut Plan, talk: &Talk) -> Result<(), Failure> {
    let Some(id) = &plan.container else { return Ok(()) };
    let path = container::find(id, &container::own_mounts())?;
    talk.note(&format!("--container {id}: its cgroup is {}", path.display()));
    plan.cgroup = Some(path);
    Ok(())
}

/// Passes the limits to suitable arguments of the package.
///
/// # Errors
/// Returns an error if the command line sets such an argument, too, or if a cgroup is not valid.
pub(crate) fn through_arguments(
    plan: &Plan,
    command: Option<&Command>,
    package: &Package<'_>,
    given: &Given<'_>,
    talk: &Talk,
) -> Result<(Scope, Vec<Chosen>), Failure> {
    let wanted = wanted(plan, talk)?;
    if wanted.is_empty() && command.is_none() {
        return Ok(Default::default());
    }
    let uses = Uses::of(package.elf, plan);
    let maps = &package.meta.bpf_skel.maps;
    let is_of_cgroups = |name: &str| package.btf.map_number(name, "type") == Some(CGROUP_ARRAY);
    let has_cgroup_maps = maps.iter().any(|map| is_of_cgroups(&map.name));
    let candidates = given.candidates();
    let arguments = candidates.iter().map(|candidate| candidate.long.to_owned()).collect();
    let mut scope = Scope { left: Vec::new(), uses, arguments };
    let mut chosen = Vec::new();
    for wanted in wanted {
        if wanted.kind == Kind::Cgroup && has_cgroup_maps {
            let switch = names::switch_of_cgroups(&candidates);
            let and = switch.map_or(String::new(), |at| {
                chosen.push(Chosen { variable: at, text: "true".to_owned() });
                format!(", with its argument `{}`", candidates[at].long)
            });
            talk.note(&format!("{}: passed to the package's map of cgroups{and}", wanted.option));
            continue;
        }
        let Some(at) = choose(wanted.kind, &candidates) else {
            scope.left.push(wanted);
            continue;
        };
        let (long, option) = (candidates[at].long, &wanted.option);
        if given.is_given(at) {
            return Err(Failure::usage(format!(
                "{option}: `--{long}` of the package is also given"
            )));
        }
        talk.note(&format!("{option}: passed to the package's argument `{long}`"));
        chosen.push(Chosen { variable: at, text: wanted.value });
    }
    if let (Some(command), None) = (command, plan.process) {
        let text = command.pid().to_string();
        match choose(Kind::Process, &candidates) {
            None => talk.note(&format!(
                "the command's process {text}: the package has no argument for a process, so it \
                 shows all processes"
            )),
            Some(at) if given.is_given(at) => {}
            Some(at) => {
                let long = candidates[at].long;
                talk.note(&format!(
                    "the command's process {text}: passed to the package's argument `{long}`"
                ));
                chosen.push(Chosen { variable: at, text });
            }
        }
    }
    Ok((scope, chosen))
}

/// The limits that a plan sets.
fn wanted(plan: &Plan, talk: &Talk) -> Result<Vec<Wanted>, Failure> {
    let mut wanted = Vec::new();
    if let Some(pid) = plan.process {
        if !fs::exists(format!("/proc/{pid}")).unwrap_or(true) {
            talk.warning(&format!("-p {pid}: this process does not exist"));
        }
        let (option, value) = (format!("-p {pid}"), pid.to_string());
        wanted.push(Wanted { kind: Kind::Process, option, value });
    }
    if let Some(comm) = &plan.comm {
        // The kernel truncates names.
        let value = comm[..comm.floor_char_boundary(COMM)].to_owned();
        let option = format!("--comm {comm}");
        wanted.push(Wanted { kind: Kind::Comm, option, value });
    }
    if let Some(path) = &plan.cgroup {
        let option = match &plan.container {
            Some(id) => format!("--container {id}"),
            None => format!("--cgroup {}", path.display()),
        };
        wanted.push(Wanted { kind: Kind::Cgroup, option, value: id_of(path)?.to_string() });
    }
    Ok(wanted)
}

/// The ID of a cgroup: the inode number of its directory.
fn id_of(path: &Path) -> Result<u64, Failure> {
    let meta = fs::metadata(path)
        .with_context(|| format!("cannot open the cgroup `{}`", path.display()))
        .map_err(|error| Failure::new(exit_code::USAGE, error))?;
    let is_cgroup = rustix::fs::statfs(path).is_ok_and(|fs| fs.f_type == CGROUP2);
    if !is_cgroup || !meta.is_dir() {
        let path = path.display();
        let text = format!("`{path}` is not a directory of a cgroup v2 hierarchy");
        return Err(Failure::usage(text));
    }
    Ok(meta.ino())
}

impl Scope {
    /// Filters the remaining limits by members: adds filters to the plan, or returns a stage.
    ///
    /// # Errors
    /// Returns an error if nothing that is shown has a suitable member.
    pub(crate) fn by_members(
        self,
        plan: &mut Plan,
        spec: &Spec,
        talk: &Talk,
    ) -> Result<Option<OfCgroup>, Failure> {
        let mut stage = None;
        for wanted in &self.left {
            let is_done = match wanted.kind {
                Kind::Process => self.uses.only_user_functions,
                Kind::Cgroup => self.uses.cgroup,
                Kind::Comm => false,
            };
            if is_done {
                continue;
            }
            let Wanted { kind, option, value } = wanted;
            let found = members::of_sources(*kind, &spec.sources);
            let names: BTreeSet<String> = found.into_values().map(|found| found.name).collect();
            if !names.is_empty() {
                let text = expression(*kind, &names, value);
                talk.note(&format!("{option}: shows only data with `{text}`"));
                let expr = Expr::parse(&text).map_err(|error| expr_failure(option, &error))?;
                plan.filters.push(expr);
            } else if *kind == Kind::Process && self.uses.user_functions {
                talk.note(&format!("{option}: applies only to probes of user functions"));
            } else if *kind == Kind::Cgroup
                && let Some(found) = of_processes(plan, spec)
            {
                talk.note(&format!(
                    "{option}: shows only what processes in it do, but nothing of processes that \
                     end at once"
                ));
                stage = Some(found);
            } else {
                return Err(self.impossible(wanted, &spec.sources));
            }
        }
        Ok(stage)
    }

    fn impossible(&self, wanted: &Wanted, sources: &[Source]) -> Failure {
        let what = match wanted.kind {
            Kind::Process => "process",
            Kind::Comm => "name of a process",
            Kind::Cgroup => "cgroup",
        };
        let failure = Failure::usage(format!(
            "{}: the package has no argument for a {what}, and its data has no member for one",
            wanted.option
        ));
        let listed = |what: &str, names: &[String]| match names {
            [] => format!("it has no {what}"),
            names => format!("its {what} are {}", names.join(", ")),
        };
        let arguments = listed("arguments", &self.arguments);
        failure.hint(format!("{arguments}; {}", listed("members", &members::names(sources))))
    }
}

/// An expression for members with these names.
fn expression(kind: Kind, names: &BTreeSet<String>, value: &str) -> String {
    let value = if kind == Kind::Comm { quoted(value) } else { value.to_owned() };
    let each: Vec<String> = names.iter().map(|name| format!("{name} == {value}")).collect();
    each.join(" || ")
}

/// A stage that looks up the cgroups of processes; `None` if no member names a process.
fn of_processes(plan: &Plan, spec: &Spec) -> Option<OfCgroup> {
    let found = members::of_sources(Kind::Process, &spec.sources);
    if found.is_empty() {
        return None;
    }
    let directory = fs::canonicalize(plan.cgroup.as_deref().unwrap_or(Path::new("/"))).ok()?;
    let path = container::path_below(&container::own_mounts(), &directory)?;
    Some(OfCgroup::new(path, found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_name_all_members() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(expression(Kind::Process, &names(&["pid"]), "42"), "pid == 42");
        let both = expression(Kind::Process, &names(&["tgid", "pid"]), "42");
        assert_eq!(both, "pid == 42 || tgid == 42");
        let comm = expression(Kind::Comm, &names(&["comm"]), "a \"b\"");
        assert!(Expr::parse(&comm).is_ok(), "{comm}");
    }
}
