// SPDX-License-Identifier: MIT
//! Loads and attaches a package: chooses among alternatives, and falls back to a kind of worse
//! rank, or to another name of a function, if the kernel refuses the better one.

use std::collections::{BTreeMap, BTreeSet};

use bpfpack_schemas::object::Program;
use libbpf_rs::Object;

use super::alternatives::Alternatives;
use super::assigned::Assignments;
use super::attached::Attached;
use super::attempt::{Attempt, Input};
use super::kinds::ProgramKind;
use super::objects::Objects;
use super::refused::Refused;
use super::renamed::Renamed;
use super::report::{Idle, give_up, report, tracing_with};
use super::selection::Selection;
use super::target::Target;
use crate::failure::Failure;
use crate::kernel;
use crate::pins::Pins;

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
    let mut objects = Objects::new(package, elf);
    loop {
        let mut left_out: BTreeSet<String> = selection.off.clone();
        left_out.extend(alternatives.left_out().into_iter().map(String::from));
        left_out.extend(refused.keys().cloned());
        left_out.extend(nameless.iter().map(|idle| idle.name.clone()));
        left_out.extend(renamed.iter().flat_map(Renamed::names));
        let attempt = Attempt {
            input,
            object: objects.chosen(),
            programs: &programs,
            pins: &pins,
            left_out: &left_out,
            assignments: &assignments,
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
                objects.describe().iter().for_each(|detail| talk.detail(detail));
                return Ok(attached);
            }
            Err(refusal) => refusal,
        };
        let Some(refusal) = objects.refuse(refusal) else { continue };
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
