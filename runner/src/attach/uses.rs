// SPDX-License-Identifier: MIT
//! Which options apply to the programs of a package: whether they attach to user functions or a
//! cgroup.

use bpfpack_schemas::object::BpfObject;

use super::kinds::ProgramKind;
use super::target::Target;
use super::way;
use crate::args::Plan;

/// What programs attach to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Uses {
    /// Whether some attach to user functions or USDT probes.
    pub(crate) user_functions: bool,
    /// Whether all do.
    pub(crate) only_user_functions: bool,
    /// Whether some attach to a cgroup.
    pub(crate) cgroup: bool,
}

impl Uses {
    /// Finds the targets of an object's programs, including those from the command line.
    pub(crate) fn of(elf: &BpfObject<'_>, plan: &Plan) -> Uses {
        let sections = elf.programs().into_iter().map(|program| program.section);
        let own: Vec<Target> =
            sections.map(|section| ProgramKind::of(&section).method.target).collect();
        let named = plan.attach.iter().filter_map(|arg| way::named(&arg.kind));
        let all: Vec<Target> =
            own.iter().copied().chain(named.map(|way| way.method.target)).collect();
        let is_user = |target: &Target| matches!(target, Target::UserFunction | Target::Usdt);
        Uses {
            user_functions: all.iter().any(is_user),
            only_user_functions: !all.is_empty() && all.iter().all(is_user),
            cgroup: all.contains(&Target::Cgroup),
        }
    }
}
