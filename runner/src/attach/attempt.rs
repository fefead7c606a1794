// SPDX-License-Identifier: MIT
//! One attempt to load an object and to attach its programs.

use std::collections::BTreeSet;

use anyhow::anyhow;
use bpfpack_schemas::Package;
use bpfpack_schemas::meta::ProgMeta;
use bpfpack_schemas::object::{BpfObject, Program};
use libbpf_rs::{MapCore as _, MapHandle, MapType, Object, ProgramMut};

use super::aim::aim;
use super::assigned::{Assigned, Assignments};
use super::attached::{Attached, Attachments, Tracing};
use super::error::AttachError;
use super::kinds::ProgramKind;
use super::method::{Attachment, Context, Options, Owner};
use super::objects::Candidate;
use super::perf_event;
use super::probe;
use super::program::{attach, failure};
use super::refused::{NotLoaded, Refused};
use super::report::{CALLED, Findings, Idle};
use super::target::Target;
use crate::args::{MapSetArg, Plan};
use crate::failure::{Failure, exit_code};
use crate::instrument::{Counters, load_counting};
use crate::load::{self, Loaded};
use crate::map_values;
use crate::memory;
use crate::pins::Pins;
use crate::sys;
use crate::talk::Talk;
use crate::vars::Arguments;

/// What to load and attach.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Input<'a> {
    /// The command line, resolved.
    pub(crate) plan: &'a Plan,
    /// The package.
    pub(crate) package: &'a Package,
    /// Its object.
    pub(crate) elf: &'a BpfObject<'a>,
    /// The values of its variables.
    pub(crate) arguments: &'a Arguments,
    /// Where messages go.
    pub(crate) talk: &'a Talk,
}

/// An attempt to load and attach, which leaves out some programs.
pub(super) struct Attempt<'a> {
    pub(super) input: &'a Input<'a>,
    /// The object that is loaded.
    pub(super) object: Candidate<'a>,
    /// Its programs.
    pub(super) programs: &'a [Program],
    pub(super) pins: &'a Pins,
    pub(super) left_out: &'a BTreeSet<String>,
    pub(super) assignments: &'a Assignments,
}

impl Attempt<'_> {
    /// Loads and attaches, and calls `prepare` in between.
    ///
    /// # Errors
    /// Returns why the kernel refuses it, or the error of `prepare`.
    pub(super) fn run<P>(
        &self,
        prepare: impl Fn(&Object) -> Result<P, Failure>,
    ) -> Result<Attached<P>, Refused> {
        let Input { plan, elf, .. } = self.input;
        let general = Refused::general;
        let (mut loaded, counters) =
            self.load().map_err(|refused| refused.explained(self.object.elf))?;
        map_values::fill(plan, elf, &mut loaded).map_err(general)?;
        let prepared = prepare(&loaded.0).map_err(general)?;
        let tracing = self.attach(loaded)?;
        Ok(Attached { tracing, prepared, counters })
    }

    /// Loads the object.
    fn load(&self) -> Result<(Loaded, Option<Counters>), NotLoaded> {
        let Input { plan, package, arguments, .. } = self.input;
        let elf = self.object.elf;
        let general = |failure| NotLoaded::from(Refused::general(failure));
        let load = |object: &[u8]| -> Result<Loaded, NotLoaded> {
            let mut opened =
                load::open(&package.meta.bpf_skel.obj_name, object).map_err(general)?;
            opened.set_variables(arguments).map_err(general)?;
            opened.size_maps(&package.meta, &plan.map_entries).map_err(general)?;
            memory::check(&opened.memory(), elf, plan.max_memory).map_err(general)?;
            self.pins.place(&mut opened).map_err(general)?;
            opened.set_types(|section| ProgramKind::of(section).ty);
            opened.take_in(|name| !self.left_out.contains(name));
            opened.leave_out(self.left_out);
            let replaced =
                aim(&mut opened, self.assignments, self.left_out).map_err(NotLoaded::from)?;
            opened.link_user_functions(&self.linked());
            let loaded = opened.load().map_err(NotLoaded::from);
            // The replaced programs must stay open until here.
            drop(replaced);
            loaded
        };
        load_counting(elf, self.object.bytes, !plan.as_is, load)
    }

    /// The programs for user functions that are attached by uprobe_multi links.
    fn linked(&self) -> BTreeSet<String> {
        let is_linked = |program: &Program| {
            let assigned = self.assignments.of(&program.name);
            let method = match assigned.and_then(Assigned::way) {
                Some(way) => way.method,
                None => ProgramKind::of(&program.section).method,
            };
            let named = assigned.map(|assigned| &*assigned.target);
            method.is(probe::USER_FUNCTION) && probe::can_be_linked(&program.section, named)
        };
        let Input { elf, plan, .. } = self.input;
        // Programs that call each other must be attached in the same way.
        if !elf.programs_in_maps().is_empty() || !plan.map_set.is_empty() {
            return BTreeSet::new();
        }
        let linked = self.programs.iter().filter(|program| is_linked(program));
        let names: BTreeSet<String> = linked.map(|program| program.name.clone()).collect();
        let is_wanted = !names.is_empty() && plan.process.is_none();
        if is_wanted && sys::has_links_of_user_functions() { names } else { BTreeSet::new() }
    }

    fn attach(&self, mut loaded: Loaded) -> Result<Tracing, Refused> {
        let general = Refused::general;
        let Input { elf, plan, .. } = self.input;
        let mut called = elf.programs_in_maps();
        let in_map = |arg: &MapSetArg| arg.value.rsplit('/').next().unwrap_or_default().to_owned();
        called.extend(plan.map_set.iter().map(in_map));
        let options = self.options(&loaded.0).map_err(general)?;
        let mut attachments = Attachments::default();
        let mut findings = Findings::default();
        for program in loaded.0.progs_mut() {
            let name = program.name().to_string_lossy().into_owned();
            if self.left_out.contains(&name) {
                continue;
            }
            let section = program.section().to_string_lossy().into_owned();
            let assigned = self.assignments.of(&name);
            let kind = ProgramKind::of(&section);
            // Other programs call it through a map, so it does not attach to their target.
            let is_called = called.contains(&name)
                && (matches!(kind.method.target, Target::Interface | Target::Elsewhere(_))
                    || !section.contains('/'));
            let is_wanted = self.assignments.wanted.contains(&name);
            if kind.is_in_map && !is_wanted {
                continue;
            }
            if is_called && !is_wanted {
                findings.idle.push(Idle { name, section, target: Target::Elsewhere(CALLED) });
                continue;
            }
            match self.attach_one(&program, &name, &section, &options) {
                Ok(of_program) => {
                    attachments.0.extend(of_program.into_iter().map(|it| (name.clone(), it)));
                    findings.programs += 1;
                    let named = assigned.map(|assigned| &*assigned.target);
                    let samples = kind.method.target == Target::Event;
                    if samples && perf_event::names_no_event(&section, named) {
                        findings.by_clock.push(format!("`{name}`"));
                    }
                    let says_nothing = samples
                        && perf_event::has_no_rate(&section, named)
                        && options.frequency.is_none()
                        && self.meta(&name).is_none_or(|meta| meta.frequency.is_none());
                    findings.sampling.extend(says_nothing.then(|| format!("`{name}`")));
                }
                Err(AttachError::NoTarget(target)) => {
                    findings.idle.push(Idle { name, section, target });
                }
                Err(error) => {
                    let failure = failure(&name, &section, &error);
                    let program = Some(name).filter(|_| !error.is_exhausted());
                    let is_for_target = error.is_for_target();
                    return Err(Refused { program, is_for_target, is_for_code: false, failure });
                }
            }
        }
        let operations = attach_operations(&mut loaded.0).map_err(general)?;
        findings.programs += operations.len();
        attachments.0.extend(operations);
        Ok(Tracing { attachments, findings, object: loaded.0 })
    }

    fn meta(&self, name: &str) -> Option<&ProgMeta> {
        self.input.package.meta.bpf_skel.progs.iter().find(|meta| meta.name == name)
    }

    fn attach_one(
        &self,
        program: &ProgramMut<'_>,
        name: &str,
        section: &str,
        options: &Options,
    ) -> Result<Vec<Attachment>, AttachError> {
        let assigned = self.assignments.of(name);
        let is_loaded_for = assigned.and_then(|it| it.way()).is_some_and(|way| way.is_loaded_for);
        let given = assigned.filter(|_| !is_loaded_for);
        let of_section = section.split('/').next().unwrap_or(section);
        load::take_log();
        attach(Context {
            program,
            section,
            kind: given.map_or(of_section, |assigned| &assigned.kind),
            owner: Owner::Package(self.meta(name)),
            named: given.map(|assigned| &*assigned.target),
            options,
        })
    }

    /// The options for all programs.
    fn options(&self, object: &Object) -> Result<Options, Failure> {
        let plan = self.input.plan;
        let wants_maps = |program: &Program| {
            let of_section = ProgramKind::of(&program.section).method.target;
            matches!(of_section, Target::SocketMap | Target::WalkedMap)
        };
        let mut maps = Vec::new();
        if self.programs.iter().any(wants_maps) {
            for map in object.maps() {
                let name = map.name().to_string_lossy().into_owned();
                let handle = MapHandle::try_from(&map).map_err(|error| {
                    let error = anyhow::Error::new(error).context(format!("cannot open `{name}`"));
                    Failure::new(exit_code::OTHER, error)
                })?;
                maps.push((name, handle));
            }
        }
        Ok(Options {
            frequency: plan.frequency,
            binary: plan.binary.clone(),
            process: plan.process,
            replaces: plan.force,
            maps,
        })
    }
}

/// Attaches the `struct_ops` maps of the object.
fn attach_operations(object: &mut Object) -> Result<Vec<(String, Attachment)>, Failure> {
    let mut attached = Vec::new();
    for mut map in object.maps_mut() {
        if map.map_type() != MapType::StructOps || !sys::attaches_by_itself(&map) {
            continue;
        }
        let name = map.name().to_string_lossy().into_owned();
        load::take_log();
        let link = map.attach_struct_ops().map_err(|error| {
            let error = anyhow!("cannot attach the operations `{name}`: {error:#}");
            Failure::new(exit_code::ATTACH, error).details(load::take_log())
        })?;
        attached.push((name, Attachment::Link(link)));
    }
    Ok(attached)
}
