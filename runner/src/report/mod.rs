// SPDX-License-Identifier: MIT
//! Finds out what an object does, from its instructions: programs, maps, capabilities, and effects
//! on the system. Nothing is loaded, and the kernel is not asked.
//!
//! What is not known counts as more than observing. A program counts with all functions that it
//! reaches, whether or not an argument of the package disables a call.

pub(crate) mod code;
mod context;
mod effects;
pub(crate) mod kinds;
mod maps;
mod operations;
mod short;

use std::collections::BTreeMap;

use bpfpack_schemas::object::{BpfObject, CodeLocation, Program};
use bpfpack_schemas::report::{Effect, Evidence, Finding, ProgramReport, Report};
use bpfpack_schemas::{Meta, Package};

use crate::args::AttachArg;
use crate::attach;
use crate::failure::{Failure, bad_object};
use code::Functions;
use context::Contexts;
use kinds::Kind;

pub(crate) use short::short;

/// Reports what the object of a package does, and what only its variants do.
///
/// # Errors
/// Returns an error if a variant cannot be run.
pub(crate) fn of_package(elf: &BpfObject<'_>, package: &Package) -> Result<Report, Failure> {
    let mut report = of(elf, &package.meta);
    for variant in &package.variants {
        let elf = BpfObject::parse(&variant.object).map_err(bad_object)?;
        report.add_variant(of(&elf, &package.meta));
    }
    Ok(report)
}

/// Reports what an object does. `meta` is its description in the package; the default if there is
/// none.
pub(crate) fn of(elf: &BpfObject<'_>, meta: &Meta) -> Report {
    let btf = elf.btf().ok();
    let maps = btf.as_ref().map_or_else(Vec::new, |btf| maps::of(elf, btf, meta));
    let operations = btf.as_ref().map_or_else(BTreeMap::new, |btf| operations::of(elf, btf));
    let alternatives = attach::alternatives_of(elf);
    let code = elf.code();
    let mut functions = Functions::new(&code);
    let mut contexts = Contexts::new(&code);
    let mut found = Found::default();
    let programs = elf.located_programs().into_iter().map(|(place, program)| {
        let mut report = program_report(&mut functions, place, &program);
        found.kind(&report, operations.get(&program.name));
        found.calls(&report, functions.has_unknown(place));
        if Kind::of(&program.section).is_probe() && contexts.may_write(place) {
            found.add(Effect::ChangesRegisters, Some(&program.name), "writes to its context");
        }
        let group = alternatives.iter().find(|group| group.contains(&program.name));
        report.alternatives = group.cloned().unwrap_or_default();
        describe(&mut report, meta);
        report
    });
    let programs: Vec<ProgramReport> = programs.collect();
    for map in maps.iter().filter(|map| map.pinned) {
        found.add(Effect::PinsMaps, None, &format!("map {}", map.name));
    }
    let capabilities = attach::capabilities_of(elf);
    Report {
        license: elf.license(),
        programs,
        maps,
        capabilities: capabilities.iter().map(|capability| capability.name.to_owned()).collect(),
        effects: found.findings(),
    }
}

fn program_report(
    functions: &mut Functions<'_, '_, '_>,
    place: CodeLocation,
    program: &Program,
) -> ProgramReport {
    let kind = Kind::of(&program.section);
    let reached = functions.reached(place);
    ProgramReport {
        name: program.name.clone(),
        section: program.section.clone(),
        kind: kind.name().to_owned(),
        runs: kind.runs(&program.section),
        instructions: reached.instructions,
        functions: reached.functions.saturating_sub(1),
        sha256: reached.sha256,
        helpers: reached.helpers,
        kfuncs: reached.kfuncs,
        on_request: program.section.starts_with('?'),
        ..ProgramReport::default()
    }
}

/// Adds what the package says about a program.
fn describe(report: &mut ProgramReport, meta: &Meta) {
    let Some(meta) = meta.bpf_skel.progs.iter().find(|meta| meta.name == report.name) else {
        return;
    };
    report.on_request |= meta.autoload == Some(false);
    report.optional = meta.optional == Some(true);
    report.frequency = meta.frequency;
}

/// Changes a report for targets on the command line: a program can become one of another kind. It
/// keeps the effects of its own kind.
pub(crate) fn retarget(report: &mut Report, targets: &[AttachArg]) {
    let mut found = Found::default();
    let known = |target: &&AttachArg| kinds::is_known(&target.kind) && target.target.is_some();
    for target in targets.iter().filter(known) {
        let is_it = |name: &str| attach::matches(&target.pattern, name);
        for program in report.programs.iter_mut().filter(|program| is_it(&program.name)) {
            let kind = Kind::of(&target.kind);
            program.section = target.kind.clone();
            program.kind = kind.name().to_owned();
            found.kind(program, None);
        }
    }
    report.append(Report { effects: found.findings(), ..Report::default() });
}

/// Effects with their evidence, each once.
#[derive(Debug, Default)]
struct Found(BTreeMap<Effect, Vec<Evidence>>);

impl Found {
    fn add(&mut self, effect: Effect, program: Option<&str>, what: &str) {
        let evidence = Evidence { program: program.map(str::to_owned), what: what.to_owned() };
        let known = self.0.entry(effect).or_default();
        if !known.contains(&evidence) {
            known.push(evidence);
        }
    }

    /// Adds what a program can do because of its kind. `operations` is the struct whose function it
    /// is.
    fn kind(&mut self, program: &ProgramReport, operations: Option<&String>) {
        let kind = Kind::of(&program.section);
        let what = match operations {
            Some(operations) => format!("{} {operations}", kind.name()),
            None => kind.name().to_owned(),
        };
        for effect in kind.effects {
            self.add(*effect, Some(&program.name), &what);
        }
        if operations.is_some_and(|operations| operations == operations::SCHEDULER) {
            self.add(Effect::Schedules, Some(&program.name), &what);
        }
    }

    /// Adds what a program can do by its calls.
    fn calls(&mut self, program: &ProgramReport, has_unknown: bool) {
        let name = Some(program.name.as_str());
        for helper in &program.helpers {
            let known = helper.starts_with("bpf_").then_some(helper.as_str());
            for effect in effects::of_helper(known) {
                self.add(*effect, name, helper);
            }
        }
        for kfunc in &program.kfuncs {
            for effect in effects::of_kfunc(kfunc) {
                self.add(*effect, name, kfunc);
            }
        }
        if has_unknown {
            self.add(Effect::MayChangeKernel, name, "code that is not in the object");
        }
    }

    fn findings(self) -> Vec<Finding> {
        self.0.into_iter().map(|(effect, evidence)| Finding { effect, evidence }).collect()
    }
}

#[cfg(test)]
mod tests;
