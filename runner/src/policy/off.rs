// SPDX-License-Identifier: MIT
//! Without the feature `policy`, only keys are verified. If there are rules, nothing runs: they would
//! not be applied.

pub(crate) mod keys;

mod file {
    /// The file with the rules of the machine.
    pub(super) const FILE: &str = "/etc/bpfpack/policy.toml";
}

use std::path::Path;

use anyhow::anyhow;
use bpfpack_schemas::Meta;
use bpfpack_schemas::object::BpfObject;

use crate::args::Plan;
use crate::failure::{Failure, exit_code};

const HINT: &str = "use an ecli with its default features";

/// The trusted keys.
///
/// # Errors
/// Returns an error if there are rules, or if the keys cannot be trusted or read.
pub(crate) fn trust(more: Option<&Path>) -> Result<bpfpack_trust::Policy, Failure> {
    let mut trust = bpfpack_trust::Policy::default();
    for path in [Some(Path::new(file::FILE)), more].into_iter().flatten() {
        // What cannot be looked at may have rules, too.
        if !path.try_exists().is_ok_and(|exists| !exists) {
            let text = format!(
                "cannot use the policy `{}`: this ecli was built without support for rules",
                path.display()
            );
            return Err(Failure::new(exit_code::REFUSED, anyhow!(text)).hint(HINT));
        }
        trust.keys.extend(keys::read(path)?);
    }
    Ok(trust)
}

/// Refuses `--observe-only`, which this build cannot check.
///
/// # Errors
/// Returns an error if it is given.
pub(crate) fn check_run(
    plan: &Plan,
    _elf: &BpfObject<'_>,
    _meta: &Meta,
    _name: &str,
) -> Result<(), Failure> {
    if !plan.observe_only {
        return Ok(());
    }
    let text = "--observe-only: this ecli was built without support for it";
    Err(Failure::usage(text).hint(HINT))
}
