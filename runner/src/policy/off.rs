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
use bpfpack_schemas::Package;
use bpfpack_schemas::object::BpfObject;

use crate::args::Plan;
use crate::failure::talk::Talk;
use crate::failure::{Failure, exit_code};

const HINT: &str = "use an ecli with its default features";

/// The trusted keys of the machine and of one more file.
#[derive(Debug)]
pub(crate) struct Policies {
    /// The trusted keys.
    pub(crate) sources: bpfpack_trust::Policy,
}

impl Policies {
    /// Reads the keys.
    ///
    /// # Errors
    /// Returns an error if there are rules, or if the keys cannot be trusted or read.
    pub(crate) fn read(more: Option<&Path>) -> Result<Policies, Failure> {
        let mut sources = bpfpack_trust::Policy::default();
        for path in [Some(Path::new(file::FILE)), more].into_iter().flatten() {
            // What cannot be looked at may have rules, too.
            if !path.try_exists().is_ok_and(|exists| !exists) {
                let text = format!(
                    "cannot use the policy `{}`: this ecli was built without support for rules",
                    path.display()
                );
                return Err(Failure::new(exit_code::REFUSED, anyhow!(text)).hint(HINT));
            }
            sources.keys.extend(keys::read(path)?);
        }
        Ok(Policies { sources })
    }

    /// Refuses `--observe-only`, which this build cannot check. It downloads nothing, so nothing is
    /// to be confirmed.
    ///
    /// # Errors
    /// Returns an error if the option is given.
    pub(crate) fn check_run(
        &self,
        plan: &Plan,
        _package: &Candidate<'_>,
        _to_confirm: Option<&str>,
        _talk: &Talk,
    ) -> Result<(), Failure> {
        if !plan.observe_only {
            return Ok(());
        }
        let text = "--observe-only: this ecli was built without support for it";
        Err(Failure::usage(text).hint(HINT))
    }
}

/// A package that would be checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate<'p> {
    /// Its object.
    pub(crate) elf: &'p BpfObject<'p>,
    /// The package itself.
    pub(crate) package: &'p Package,
    /// Its name.
    pub(crate) name: &'p str,
}
