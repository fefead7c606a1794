// SPDX-License-Identifier: MIT
//! What the phases know about a run before anything is loaded.

use bpfpack_schemas::Package;
use bpfpack_spec::Spec;

use crate::args::Plan;
use crate::filter::Filters;
use crate::scope::OfCgroup;
use crate::talk::Talk;
use crate::vars::Arguments;

/// A package and how to run it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    /// The command line, resolved.
    pub(crate) plan: &'a Plan,
    /// The package.
    pub(crate) package: &'a Package,
    /// The values of the package's variables.
    pub(crate) arguments: &'a Arguments,
    /// What is shown.
    pub(crate) spec: &'a Spec,
    /// Messages for the user.
    pub(crate) talk: &'a Talk,
    /// Filters for what is shown.
    pub(crate) filters: &'a Filters,
    /// Set if only processes of a cgroup are shown.
    pub(crate) of_cgroup: Option<&'a OfCgroup>,
}
