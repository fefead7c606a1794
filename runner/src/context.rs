// SPDX-License-Identifier: MIT
//! What is known of a run before anything of it is loaded.

use bpfpack_schemas::Package;
use bpfpack_spec::Spec;

use crate::args::Plan;
use crate::filter::Filters;
use crate::scope::OfCgroup;
use crate::talk::Talk;
use crate::vars::Arguments;

/// A package, and what is to be done with it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    /// What the command line asks for.
    pub(crate) plan: &'a Plan,
    /// The package.
    pub(crate) package: &'a Package,
    /// The values of its variables.
    pub(crate) arguments: &'a Arguments,
    /// What is shown of it.
    pub(crate) spec: &'a Spec,
    /// Who hears what the user should know.
    pub(crate) talk: &'a Talk,
    /// What is kept of that.
    pub(crate) filters: &'a Filters,
    /// Of what processes only a part is shown, those of a cgroup.
    pub(crate) of_cgroup: Option<&'a OfCgroup>,
}
