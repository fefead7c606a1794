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

pub(crate) use refusal::Refusal;
pub(crate) use rules::Rules;

/// The rules of a run: those of the policy file, and those of the command line.
///
/// # Errors
/// Returns an error if the file cannot be trusted or is not a policy.
pub(crate) fn rules(plan: &Plan) -> Result<Rules, Failure> {
    let mut rules =
        file::read(&plan.package.policy)?.map(|policy| policy.programs).unwrap_or_default();
    rules.of_command_line = plan.observe_only;
    Ok(rules)
}

/// The rules for sources, and the keys in the directory `keys` beside the policy file.
///
/// # Errors
/// Returns an error if the file or the keys cannot be trusted or read.
pub(crate) fn trust(path: &Path) -> Result<bpfpack_trust::Policy, Failure> {
    let rules = file::read(path)?.map(|policy| policy.source).unwrap_or_default();
    Ok(bpfpack_trust::Policy { rules, keys: keys::read(path)? })
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
pub(crate) fn check(report: &Report, rules: &Rules, name: &str) -> Result<(), Failure> {
    rules.check(report).map_err(|refusal| refusal.failure(name))
}
