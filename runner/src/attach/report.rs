// SPDX-License-Identifier: MIT
//! Reports what is attached: what was chosen, what is left out, what has no target, and why.

use std::collections::BTreeMap;

use anyhow::anyhow;
use bpfpack_schemas::object::BpfObject;

use super::alternatives::Alternatives;
use super::explain::unasked_lsm;
use super::perf_event;
use super::target::Target;
use crate::failure::{Failure, exit_code};
use crate::talk::Talk;

/// What was found while programs were attached.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// The number of attached programs. Each may have several links.
    pub(super) programs: usize,
    /// The programs without a target, with the reason.
    pub(super) idle: Vec<Idle>,
    /// Programs that sample at the default frequency because nothing sets one.
    pub(super) sampling: Vec<String>,
    /// Programs that sample by the default event because nothing names one.
    pub(super) by_clock: Vec<String>,
}

/// Why a program that others call has no target.
pub(super) const CALLED: &str = "other programs call it through a map; --attach also attaches it";

/// A program that is loaded but not attached, because nothing names a target.
#[derive(Debug)]
pub(super) struct Idle {
    pub(super) name: String,
    pub(super) section: String,
    pub(super) target: Target,
}

impl Idle {
    fn describe(&self) -> String {
        let Idle { name, section, target } = self;
        let how = target.how_to_name(name);
        match target.name() {
            Some(what) => format!("`{name}` ({section}) is not attached: it needs {what}; {how}"),
            None => format!("`{name}` ({section}) is not attached: {how}"),
        }
    }
}

/// The failure when nothing is left to try.
pub(super) fn give_up(
    failure: Failure,
    program: Option<String>,
    reasons: &[String],
    refused: &BTreeMap<String, String>,
    programs: usize,
) -> Failure {
    let tried = |reason: &String| format!("another way of attaching was tried first: {reason}");
    let failure = reasons.iter().map(tried).fold(failure, Failure::hint);
    let left_out =
        refused.iter().map(|(name, reason)| format!("`{name}` was not attached: {reason}"));
    let failure = left_out.fold(failure, Failure::hint);
    match program {
        Some(program) if programs > 1 => failure.hint(format!(
            "--without {program} runs the package without it; --loose attaches only what can be \
             attached"
        )),
        _ => failure,
    }
}

/// Reports what is attached, and why other programs are not.
///
/// # Errors
/// Returns an error if nothing is attached.
pub(super) fn report(
    findings: &Findings,
    alternatives: &Alternatives,
    (reasons, refused): (&[String], &BTreeMap<String, String>),
    elf: &BpfObject<'_>,
    talk: &Talk,
) -> Result<(), Failure> {
    let count = findings.programs;
    if count == 0 {
        let code = if refused.is_empty() { exit_code::USAGE } else { exit_code::ATTACH };
        let failure = Failure::new(code, anyhow!("no program is left to attach"));
        let reasons = refused.iter().map(|(name, why)| format!("`{name}` is not attached: {why}"));
        return Err(reasons
            .chain(findings.idle.iter().map(Idle::describe))
            .fold(failure, Failure::hint));
    }
    for choice in alternatives.describe() {
        let why = match reasons.is_empty() {
            true => "both together would count each event twice".to_owned(),
            false => reasons.join("; "),
        };
        talk.note(&format!("{choice} ({why})"));
    }
    if let Some(warning) = unasked_lsm(elf) {
        talk.warning(warning);
    }
    for idle in &findings.idle {
        match idle.target {
            // This is what the author intends.
            Target::Elsewhere(CALLED) => talk.note(&idle.describe()),
            _ => talk.warning(&idle.describe()),
        }
    }
    if !findings.sampling.is_empty() {
        talk.note(&format!(
            "{} {} times per second on each CPU; --frequency changes the number",
            one_or_more(&findings.sampling, "samples", "sample"),
            perf_event::FREQUENCY,
        ));
    }
    if !findings.by_clock.is_empty() && perf_event::counts_no_cycles() {
        talk.note(&format!(
            "this machine cannot count cycles: {} by cpu-clock",
            one_or_more(&findings.by_clock, "samples", "sample")
        ));
    }
    Ok(())
}

/// Says that programs are attached, and what ends that.
pub(super) fn tracing_with(count: usize, is_detached: bool) -> String {
    let programs = if count == 1 { "program" } else { "programs" };
    let end = if is_detached { "" } else { "; Ctrl-C ends it" };
    format!("tracing with {count} {programs}{end}")
}

/// Names, followed by a verb in singular or plural.
fn one_or_more(names: &[String], one: &str, more: &str) -> String {
    format!("{} {}", names.join(", "), if names.len() == 1 { one } else { more })
}
