// SPDX-License-Identifier: MIT
//! Loads and attaches a package: chooses among alternatives, and falls back to a kind of worse
//! rank, or to another name of a function, if the kernel refuses the better one.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};

use anyhow::anyhow;
use bpfpack_schemas::Package;
use bpfpack_schemas::object::{BpfObject, Program};
use libbpf_rs::{MapCore as _, MapHandle, MapType, Object, ProgramMut};

use super::aim::aim;
use super::alternatives::Alternatives;
use super::assigned::{Assigned, Assignments};
use super::called::Called;
use super::error::AttachError;
use super::kinds::ProgramKind;
use super::method::{Attachment, Context, Options, Owner, detach};
use super::perf_event;
use super::probe;
use super::program::{attach, failure};
use super::refused::{Refused, explain_load};
use super::renamed::Renamed;
use super::report::{CALLED, Findings, Idle, give_up, report, tracing_with};
use super::selection::Selection;
use super::target::Target;
use crate::args::{MapSetArg, Plan};
use crate::failure::{Failure, bad_object, exit_code};
use crate::instrument::{Counters, load_counting};
use crate::kernel;
use crate::load::{self, LoadError, Loaded};
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

/// An attached package, and what was prepared before. Dropping it detaches everything.
#[derive(Debug)]
pub(crate) struct Attached<P> {
    tracing: Tracing,
    /// The result of the caller's `prepare`.
    prepared: P,
    /// Counters of lost records, if the kernel accepted the programs that keep them.
    counters: Option<Counters>,
}

/// Attached programs. Dropping this detaches them.
#[derive(Debug)]
pub(crate) struct Tracing {
    attachments: Attachments,
    /// Findings for the user.
    findings: Findings,
    /// Keeps the maps and programs.
    object: Object,
}

/// Attachments with the names of the programs. Dropping this detaches them in the order that leaves
/// nothing behind.
#[derive(Debug, Default)]
struct Attachments(Vec<(String, Attachment)>);

impl Drop for Attachments {
    fn drop(&mut self) {
        detach(self.0.drain(..).map(|(_, attachment)| attachment).collect());
    }
}

impl<P> Attached<P> {
    /// Splits into the attached programs, what the caller prepared, and the counters of lost
    /// records.
    pub(crate) fn split(self) -> (Tracing, P, Option<Counters>) {
        (self.tracing, self.prepared, self.counters)
    }
}

impl Tracing {
    /// Returns the programs that ecli reads or calls at each interval.
    ///
    /// # Errors
    /// Returns an error if this process cannot open more files.
    pub(crate) fn called(&self) -> std::io::Result<Vec<Called>> {
        let called = |(name, attachment): &(String, Attachment)| match attachment {
            Attachment::Walk(link) => Some(Called::walk(name, link.as_fd())),
            Attachment::Call(program) => Some(Called::call(name, program.as_fd())),
            _ => None,
        };
        self.attachments.0.iter().filter_map(called).collect()
    }

    /// Duplicates the descriptors of the loaded programs, each with the name of its program.
    ///
    /// # Errors
    /// Returns an error if this process cannot open more files.
    pub(crate) fn programs(&self) -> std::io::Result<Vec<(String, OwnedFd)>> {
        let loaded = self.object.progs().filter(|program| program.as_fd().as_raw_fd() >= 0);
        let named = |program: libbpf_rs::Program<'_>| {
            let name = program.name().to_string_lossy().into_owned();
            Ok((name, program.as_fd().try_clone_to_owned()?))
        };
        loaded.map(named).collect()
    }

    /// Whether ecli calls all programs itself.
    pub(crate) fn only_calls(&self) -> bool {
        let is_called = |(_, attachment): &(String, Attachment)| {
            matches!(attachment, Attachment::Walk(_) | Attachment::Call(_))
        };
        self.attachments.0.iter().all(is_called)
    }

    /// Detaches the programs. The maps live as long as the object, and no longer change.
    pub(crate) fn detach(self) -> Object {
        drop(self.attachments);
        self.object
    }
}

/// Loads and attaches a package. `prepare` is called for the loaded object before anything is
/// attached; it is called again if another kind has to be tried.
///
/// # Errors
/// Returns an error if the kernel refuses a program without an alternative, or if nothing can be
/// attached.
pub(crate) fn load_and_attach<P>(
    input: &Input<'_>,
    prepare: impl Fn(&Object) -> Result<P, Failure>,
) -> Result<Attached<P>, Failure> {
    let Input { plan, package, elf, talk, .. } = input;
    let programs = elf.programs();
    let annotations = &package.meta.bpf_skel.progs;
    let assignments = Assignments::new(&programs, plan)?;
    let mut selection = Selection::new(&programs, annotations, &plan.with, &plan.without)?;
    // A target on the command line means that the program is wanted, unless `--without` names it.
    let wanted = assignments.wanted.iter().filter(|name| !plan.without.contains(name));
    wanted.for_each(|name| selection.want(name));
    selection.off.extend(assignments.off.iter().cloned());
    let pins = Pins::new(plan.pin.as_deref())?;
    let mut alternatives = match plan.attach_all {
        true => Alternatives::default(),
        false => {
            Alternatives::find(elf, |name| !selection.off.contains(name), selection.wanted.clone())
        }
    };
    let is_nameless = |program: &&Program| {
        ProgramKind::of(&program.section).lacks_name(&program.section)
            && assignments.of(&program.name).is_none()
            && !selection.off.contains(&program.name)
    };
    let nameless: Vec<Idle> = programs
        .iter()
        .filter(is_nameless)
        .map(|Program { name, section }| {
            let (name, section) = (name.clone(), section.clone());
            Idle { name, section, target: Target::Typed }
        })
        .collect();
    let mut reasons = Vec::new();
    if alternatives.exist() && !kernel::has_btf() {
        alternatives.give_up_btf();
        reasons.push("the kernel has no BTF".to_owned());
    }
    let mut renamed: Option<Renamed> = None;
    let mut refused: BTreeMap<String, String> = BTreeMap::new();
    // The variants are needed only if the verifier refuses the object.
    let mut objects = vec![Candidate::first(package)?];
    let mut chosen = 0;
    let mut first_refusal: Option<Refused> = None;
    loop {
        let mut left_out: BTreeSet<String> = selection.off.clone();
        left_out.extend(alternatives.left_out().into_iter().map(String::from));
        left_out.extend(refused.keys().cloned());
        left_out.extend(nameless.iter().map(|idle| idle.name.clone()));
        left_out.extend(renamed.iter().flat_map(Renamed::names));
        let attempt = Attempt {
            input,
            programs: &programs,
            pins: &pins,
            left_out: &left_out,
            assignments: &assignments,
            object: &objects[chosen],
        };
        let refusal = match attempt.run(&prepare) {
            Ok(mut attached) => {
                attached.tracing.findings.idle.extend(nameless);
                let notes = renamed.iter().flat_map(Renamed::describe);
                let findings = &attached.tracing.findings;
                report(findings, &alternatives, (&reasons, &refused), elf, talk)?;
                talk.note(&tracing_with(findings.programs, plan.detach.is_some()));
                notes.for_each(|note| talk.note(&note));
                for (name, reason) in &refused {
                    talk.warning(&format!("`{name}` is not attached: {reason}"));
                }
                pins.keep().iter().for_each(|note| talk.note(note));
                if let (Some(cpu), Some(first)) = (objects[chosen].cpu, &first_refusal) {
                    let why = first.failure.message();
                    talk.detail(&format!("loaded for `{cpu}`, because {why}"));
                }
                return Ok(attached);
            }
            Err(refusal) => refusal,
        };
        let refusal = match refusal.is_for_code {
            false => refusal,
            true => {
                if objects.len() == 1 {
                    objects.extend(Candidate::others(package));
                }
                if chosen + 1 < objects.len() {
                    first_refusal.get_or_insert(refusal);
                    chosen += 1;
                    continue;
                }
                // All are refused: what follows from it applies to the object itself.
                chosen = 0;
                first_refusal.take().unwrap_or(refusal)
            }
        };
        let Refused { program, is_for_target, failure, .. } = refusal;
        if let Some(program) = &program {
            let is_wanted = selection.wanted.contains(program) || plan.attach_all;
            let may_be_renamed = is_for_target && !is_wanted;
            let renamed = renamed.get_or_insert_with(|| Renamed::new(elf));
            let is_off = |name: &str| selection.off.contains(name) || refused.contains_key(name);
            // The target does not exist, so another kind would not find it either.
            let is_missing = may_be_renamed && renamed.is_missing(program, &kernel::Running);
            if is_missing && renamed.leave_out(program, is_off, &kernel::Running) {
                alternatives.forget(&renamed.names());
                continue;
            }
            if alternatives.give_up(program) {
                reasons.push(failure.message());
                continue;
            }
            let is_off = |name: &str| left_out.contains(name);
            if may_be_renamed && renamed.leave_out(program, is_off, &kernel::Running) {
                continue;
            }
            if plan.loose || selection.optional.contains(program) {
                refused.insert(program.clone(), failure.message());
                continue;
            }
        }
        return Err(give_up(failure, program, &reasons, &refused, programs.len()));
    }
}

/// An object of the package.
struct Candidate<'a> {
    bytes: &'a [u8],
    elf: BpfObject<'a>,
    /// Its instruction set; `None` for the object itself.
    cpu: Option<&'a str>,
}

impl<'a> Candidate<'a> {
    fn first(package: &'a Package) -> Result<Candidate<'a>, Failure> {
        let bytes = &*package.object;
        Ok(Candidate { bytes, elf: BpfObject::parse(bytes).map_err(bad_object)?, cpu: None })
    }

    /// The variants that have the same maps and programs as the object.
    fn others(package: &'a Package) -> Vec<Candidate<'a>> {
        let shape = |object: &[u8]| load::open("object", object).ok().map(|opened| opened.shape());
        let Some(first) = shape(&package.object).filter(|_| !package.variants.is_empty()) else {
            return Vec::new();
        };
        let variants = package.variants.iter().filter_map(|variant| {
            let bytes = &*variant.object;
            let elf = BpfObject::parse(bytes).ok()?;
            let is_same = shape(bytes).is_some_and(|shape| shape == first);
            is_same.then_some(Candidate { bytes, elf, cpu: Some(&variant.cpu) })
        });
        variants.collect()
    }
}

/// Why an object is not loaded. To explain it takes time, so only what is shown is explained.
enum NotLoaded {
    Explained(Refused),
    Refused(LoadError),
}

impl NotLoaded {
    fn explained(self, elf: &BpfObject<'_>) -> Refused {
        match self {
            NotLoaded::Explained(refused) => refused,
            NotLoaded::Refused(error) => explain_load(&error, elf, &kernel::Running),
        }
    }
}

/// An attempt to load and attach, which leaves out some programs.
struct Attempt<'a> {
    input: &'a Input<'a>,
    /// The programs of the object.
    programs: &'a [Program],
    pins: &'a Pins,
    left_out: &'a BTreeSet<String>,
    assignments: &'a Assignments,
    /// What is loaded.
    object: &'a Candidate<'a>,
}

impl Attempt<'_> {
    fn run<P>(
        &self,
        prepare: impl Fn(&Object) -> Result<P, Failure>,
    ) -> Result<Attached<P>, Refused> {
        let Input { plan, elf, .. } = self.input;
        let general = Refused::general;
        let (mut loaded, counters) =
            self.load().map_err(|refused| refused.explained(&self.object.elf))?;
        map_values::fill(plan, elf, &mut loaded).map_err(general)?;
        let prepared = prepare(&loaded.0).map_err(general)?;
        let tracing = self.attach(loaded)?;
        Ok(Attached { tracing, prepared, counters })
    }

    /// Loads the object.
    fn load(&self) -> Result<(Loaded, Option<Counters>), NotLoaded> {
        let Input { plan, package, arguments, .. } = self.input;
        let elf = &self.object.elf;
        let general = |failure| NotLoaded::Explained(Refused::general(failure));
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
                aim(&mut opened, self.assignments, self.left_out).map_err(NotLoaded::Explained)?;
            opened.link_user_functions(&self.linked());
            let loaded = opened.load().map_err(NotLoaded::Refused);
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

    fn meta(&self, name: &str) -> Option<&bpfpack_schemas::meta::ProgMeta> {
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
