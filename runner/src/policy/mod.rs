// SPDX-License-Identifier: MIT
//! What may run on this machine: the rules of `/etc/bpfpack/policy.toml` and of `--observe-only`. A
//! check compares a [`Report`] with rules, before anything is loaded.

mod file;
pub(crate) mod keys;
mod refusal;
mod rules;

use std::path::Path;

use bpfpack_schemas::Meta;
use bpfpack_schemas::object::BpfObject;
use bpfpack_schemas::report::Report;

use crate::args::Plan;
use crate::failure::Failure;
use crate::report;
use file::FILE;

pub(crate) use refusal::Refusal;
pub(crate) use rules::Rules;

/// The rules of a run, all of which apply: those of the machine, and those of the command line,
/// which can only add rules. Empty if there are none.
///
/// # Errors
/// Returns an error if a file cannot be trusted or is not a policy.
pub(crate) fn rules(plan: &Plan) -> Result<Vec<Rules>, Failure> {
    let mut all = vec![Rules::of_command_line(plan.observe_only)];
    let files = [Some(Path::new(FILE)), plan.package.policy.as_deref()];
    for file in files.into_iter().flatten() {
        all.extend(file::read(file)?.map(|policy| policy.programs));
    }
    all.retain(|rules| *rules != Rules::default());
    Ok(all)
}

/// The rules for sources and the trusted keys: those of the machine, and those of one more file.
/// Keys are in the directory `keys` beside the file.
///
/// # Errors
/// Returns an error if a file or the keys cannot be trusted or read.
pub(crate) fn trust(more: Option<&Path>) -> Result<bpfpack_trust::Policy, Failure> {
    let mut trust = bpfpack_trust::Policy::default();
    for path in [Some(Path::new(FILE)), more].into_iter().flatten() {
        trust.rules.extend(file::read(path)?.map(|policy| policy.source).unwrap_or_default());
        trust.keys.extend(keys::read(path)?);
    }
    Ok(trust)
}

/// Refuses a package that the rules of a run do not allow, with the targets that the command line
/// gives to its programs.
///
/// # Errors
/// Returns a failure with exit code 11.
pub(crate) fn check_run(
    plan: &Plan,
    elf: &BpfObject<'_>,
    meta: &Meta,
    name: &str,
) -> Result<(), Failure> {
    let rules = rules(plan)?;
    if rules.is_empty() {
        return Ok(());
    }
    let mut report = report::of(elf, meta);
    report::retarget(&mut report, &plan.attach);
    check(&report, &rules, name)
}

/// Refuses what the rules do not allow. `name` is the package's, for messages.
///
/// # Errors
/// Returns a failure with exit code 11.
pub(crate) fn check(report: &Report, rules: &[Rules], name: &str) -> Result<(), Failure> {
    let checked = rules.iter().try_for_each(|rules| rules.check(report));
    checked.map_err(|refusal| refusal.failure(name))
}
