// SPDX-License-Identifier: MIT
//! From a package to attached programs: chooses among alternatives, loads, attaches; goes back to a
//! kind of a worse rank where the kernel refuses the better.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::fd::AsRawFd as _;

use anyhow::{Context as _, anyhow};
use bpfpack_schemas::Package;
use bpfpack_schemas::object::BpfObject;
use libbpf_rs::{MapCore as _, MapFlags, Object};

use super::alternatives::Alternatives;
use super::explain::{load_hint, unasked_lsm};
use super::method::{Attachment, Context, Owner};
use super::program::{attach, failure};
use super::selection::Selection;
use crate::args::Plan;
use crate::failure::{Failure, exit_code};
use crate::instrument::{Counters, load_counting};
use crate::kernel;
use crate::load::{self, Loaded, Refused};
use crate::memory;
use crate::pins::Pins;
use crate::talk::Talk;
use crate::vars::Arguments;

/// What is to run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Input<'a> {
    /// What the command line asks for.
    pub(crate) plan: &'a Plan,
    /// The package.
    pub(crate) package: &'a Package,
    /// Its object.
    pub(crate) elf: &'a BpfObject<'a>,
    /// Values of its variables.
    pub(crate) arguments: &'a Arguments,
}

/// A running tracer, with what was prepared before it ran. Dropped, it leaves nothing behind.
#[derive(Debug)]
pub(crate) struct Attached<P> {
    tracing: Tracing,
    /// What the caller prepared.
    prepared: P,
    /// Counts of what was lost, where the kernel took the programs that keep them.
    counters: Option<Counters>,
}

/// Attached programs. Dropped, they are detached.
#[derive(Debug)]
pub(crate) struct Tracing {
    attachments: Vec<Attachment>,
    /// How many programs are attached, each perhaps by several links.
    programs: usize,
    /// Keeps the maps and programs.
    object: Object,
}

impl<P> Attached<P> {
    /// What runs, what the caller prepared, and the counts of losses.
    pub(crate) fn split(self) -> (Tracing, P, Option<Counters>) {
        (self.tracing, self.prepared, self.counters)
    }
}

impl Tracing {
    /// Detaches the programs. The maps stay as long as the object is kept, and hold still.
    pub(crate) fn detach(self) -> Object {
        drop(self.attachments);
        self.object
    }
}

/// Brings a package to run. `prepare` is called for what the kernel has taken, before anything is
/// attached; again where another kind has to be tried.
///
/// # Errors
/// When the kernel refuses a program that has no alternative, or nothing is left to be attached.
pub(crate) fn load_and_attach<P>(
    input: &Input<'_>,
    talk: &Talk,
    prepare: impl Fn(&Object) -> Result<P, Failure>,
) -> Result<Attached<P>, Failure> {
    let Input { plan, package, elf, .. } = input;
    let programs = elf.programs();
    let annotations = &package.meta.bpf_skel.progs;
    let selection = Selection::new(&programs, annotations, &plan.with, &plan.without)?;
    let pins = Pins::new(plan.pin.as_deref())?;
    let mut alternatives = match plan.attach_all {
        true => Alternatives::default(),
        false => {
            Alternatives::find(elf, |name| !selection.off.contains(name), selection.wanted.clone())
        }
    };
    let mut reasons = Vec::new();
    if alternatives.exist() && !kernel::has_btf() {
        alternatives.give_up_btf();
        reasons.push("the kernel has no BTF".to_owned());
    }
    loop {
        let mut left_out: BTreeSet<String> = selection.off.clone();
        left_out.extend(alternatives.left_out().into_iter().map(String::from));
        match attempt(input, &pins, &left_out, &prepare) {
            Ok(attached) => {
                report(&attached.tracing, &alternatives, &reasons, elf, talk)?;
                for note in pins.keep() {
                    talk.note(&note);
                }
                return Ok(attached);
            }
            Err(Refused { program: Some(program), failure }) if alternatives.give_up(&program) => {
                reasons.push(failure.message());
            }
            Err(refused) => {
                let tried =
                    |reason: &String| format!("another kind of hook was tried first: {reason}");
                let failure = reasons.iter().map(tried).fold(refused.failure, Failure::hint);
                return Err(match refused.program {
                    Some(program) if programs.len() > 1 => failure.hint(format!(
                        "--without {program} leaves it out, if the package is of use without it"
                    )),
                    _ => failure,
                });
            }
        }
    }
}

/// Notes what is attached, and why not something else.
///
/// # Errors
/// When nothing is.
fn report(
    tracing: &Tracing,
    alternatives: &Alternatives,
    reasons: &[String],
    elf: &BpfObject<'_>,
    talk: &Talk,
) -> Result<(), Failure> {
    for choice in alternatives.describe() {
        let why = match reasons.is_empty() {
            true => "both would count each event twice".to_owned(),
            false => reasons.join("; "),
        };
        talk.note(&format!("{choice} ({why})"));
    }
    if let Some(warning) = unasked_lsm(elf) {
        talk.warning(warning);
    }
    let count = tracing.programs;
    if count == 0 {
        let error = anyhow!("no program is left to be attached");
        return Err(Failure::new(exit_code::USAGE, error));
    }
    let programs = if count == 1 { "program" } else { "programs" };
    talk.note(&format!("tracing with {count} {programs}; Ctrl-C ends it"));
    Ok(())
}

fn attempt<P>(
    input: &Input<'_>,
    pins: &Pins,
    left_out: &BTreeSet<String>,
    prepare: impl Fn(&Object) -> Result<P, Failure>,
) -> Result<Attached<P>, Refused> {
    let Input { plan, package, elf, arguments } = input;
    let skeleton = &package.meta.bpf_skel;
    let general = |failure| Refused { program: None, failure };
    let load = |object: &[u8]| -> Result<Loaded, Refused> {
        let mut opened = load::open(&skeleton.obj_name, object).map_err(general)?;
        opened.set_variables(arguments).map_err(general)?;
        opened.size_maps(&package.meta, &plan.map_entries).map_err(general)?;
        memory::check(&opened.memory(), elf, plan.max_memory).map_err(general)?;
        pins.place(&mut opened).map_err(general)?;
        opened.leave_out(left_out);
        opened.load(load_hint)
    };
    let (mut loaded, counters) = load_counting(elf, &package.object, !plan.as_is, load)?;
    fill_cgroup_arrays(plan, &mut loaded).map_err(general)?;
    let prepared = prepare(&loaded.0).map_err(general)?;
    let mut attachments = Vec::new();
    let mut programs = 0;
    for program in loaded.0.progs_mut() {
        let name = program.name().to_string_lossy().into_owned();
        if left_out.contains(&name) {
            continue;
        }
        let section = program.section().to_string_lossy().into_owned();
        load::take_log();
        let of_program = attach(Context {
            program: &program,
            section: &section,
            owner: Owner::Package(skeleton.progs.iter().find(|meta| meta.name == name)),
            named: None,
            frequency: plan.frequency,
        });
        let of_program = of_program.map_err(|error| {
            let failure = failure(&name, &section, &error);
            Refused { program: Some(name), failure }
        })?;
        attachments.extend(of_program);
        programs += 1;
    }
    let tracing = Tracing { attachments, programs, object: loaded.0 };
    Ok(Attached { tracing, prepared, counters })
}

/// Puts the cgroup that the user names into the maps that programs test against.
fn fill_cgroup_arrays(plan: &Plan, loaded: &mut Loaded) -> Result<(), Failure> {
    let Some(path) = &plan.cgroup else {
        return Ok(());
    };
    let cgroup = File::open(path)
        .with_context(|| format!("cannot open the cgroup `{}`", path.display()))
        .map_err(|error| Failure::new(exit_code::USAGE, error))?;
    let mut filled = 0;
    for map in loaded.cgroup_arrays() {
        map.update(&0u32.to_ne_bytes(), &cgroup.as_raw_fd().to_ne_bytes(), MapFlags::ANY)
            .with_context(|| format!("`{}` is no cgroup of version 2", path.display()))
            .map_err(|error| Failure::new(exit_code::USAGE, error))?;
        filled += 1;
    }
    if filled == 0 {
        let error = anyhow!("the package has no map of cgroups that --cgroup could fill");
        return Err(Failure::new(exit_code::USAGE, error));
    }
    Ok(())
}
