// SPDX-License-Identifier: MIT
//! What may run on this machine: the rules of `/etc/bpfpack/policy.toml` and of `--observe-only`. A
//! check compares a [`Report`] with rules, before anything is loaded.

mod file;
pub(crate) mod keys;
mod refusal;
mod rules;

use std::path::Path;

use bpfpack_schemas::Package;
use bpfpack_schemas::object::BpfObject;
use bpfpack_schemas::report::Report;

use crate::args::Plan;
use crate::failure::Failure;
use crate::failure::talk::Talk;
use crate::report;
use file::FILE;

pub(crate) use refusal::Refusal;
pub(crate) use rules::Rules;

/// What the machine and one more file, which can only add rules, say about packages. It is read once
/// in a run.
#[derive(Debug)]
pub(crate) struct Policies {
    /// The rules for sources, and the trusted keys.
    pub(crate) sources: bpfpack_trust::Policy,
    /// The rules for programs, all of which apply.
    programs: Vec<Rules>,
}

impl Policies {
    /// Reads the files. Keys are in the directory `keys` beside each.
    ///
    /// # Errors
    /// Returns an error if a file or the keys cannot be trusted or read.
    pub(crate) fn read(more: Option<&Path>) -> Result<Policies, Failure> {
        let (mut sources, mut programs) = (bpfpack_trust::Policy::default(), Vec::new());
        for path in [Some(Path::new(FILE)), more].into_iter().flatten() {
            if let Some(policy) = file::read(path)? {
                sources.rules.extend(policy.source);
                programs.push(policy.programs);
            }
            sources.keys.extend(keys::read(path)?);
        }
        Ok(Policies { sources, programs })
    }

    /// The rules for programs, with those of the command line. Empty if there are none.
    pub(crate) fn rules(&self, observe_only: bool) -> Vec<Rules> {
        let own = Rules::of_command_line(observe_only);
        let all = std::iter::once(&own).chain(&self.programs);
        all.filter(|rules| **rules != Rules::default()).cloned().collect()
    }

    /// Refuses a package that the rules do not allow, with the targets that the command line gives
    /// to its programs. Asks about one from another machine, whose digest is `to_confirm`.
    ///
    /// # Errors
    /// Returns a failure with exit code 11.
    pub(crate) fn check_run(
        &self,
        plan: &Plan,
        package: &Candidate<'_>,
        to_confirm: Option<&str>,
        talk: &Talk,
    ) -> Result<(), Failure> {
        let rules = self.rules(plan.observe_only);
        if rules.is_empty() && to_confirm.is_none() && !plan.verbose {
            return Ok(());
        }
        let mut report = report::of_package(package.elf, package.package)?;
        report::retarget(&mut report, &plan.attach);
        check(&report, &rules, package.name)?;
        let short = report::short(&report);
        talk.detail(&short);
        #[cfg(feature = "registry")]
        if let Some(digest) = to_confirm.filter(|_| !report.observes_only()) {
            crate::confirm::ask(&plan.package, digest, &short, talk)?;
        }
        Ok(())
    }
}

/// A package that is checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate<'p> {
    /// Its object.
    pub(crate) elf: &'p BpfObject<'p>,
    /// The package itself.
    pub(crate) package: &'p Package,
    /// Its name, for messages.
    pub(crate) name: &'p str,
}

/// Refuses what the rules do not allow. `name` is the package's, for messages.
///
/// # Errors
/// Returns a failure with exit code 11.
pub(crate) fn check(report: &Report, rules: &[Rules], name: &str) -> Result<(), Failure> {
    let checked = rules.iter().try_for_each(|rules| rules.check(report));
    checked.map_err(|refusal| refusal.failure(name))
}
