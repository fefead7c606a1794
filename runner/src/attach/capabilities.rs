// SPDX-License-Identifier: MIT
//! Capabilities that an object needs, by the kinds of its programs.

use anyhow::anyhow;
use bpfpack_schemas::object::BpfObject;
use bpfpack_schemas::object::helpers::PROBE_WRITE_USER;

use super::kinds::ProgramKind;
use crate::failure::{Failure, exit_code};
use crate::kernel::{self, Capability};

/// Checks, before anything is loaded, that this user may load and attach all programs.
///
/// # Errors
/// Returns an error that names the missing capabilities.
pub(crate) fn check_capabilities(elf: &BpfObject<'_>) -> Result<(), Failure> {
    let Some(effective) = kernel::capabilities() else {
        return Ok(());
    };
    if effective.has(Capability::SYS_ADMIN) {
        return Ok(());
    }
    let mut missing = needed(elf);
    missing.retain(|capability| !effective.has(*capability));
    if missing.is_empty() {
        return Ok(());
    }
    let list: Vec<_> = missing.iter().map(|it| format!("{} ({})", it.name, it.purpose)).collect();
    Err(Failure::new(
        exit_code::PERMISSION,
        anyhow!("no permission to run the package: {} missing", list.join(" and ")),
    )
    .hint("run it as root: sudo ecli run …"))
}

/// The capabilities that loading and attaching an object takes.
pub(crate) fn needed(elf: &BpfObject<'_>) -> Vec<Capability> {
    let sections: Vec<_> = elf.programs().into_iter().map(|program| program.section).collect();
    let mut needed = of_sections(sections.iter().map(String::as_str));
    // kernel/trace/bpf_trace.c: bpf_tracing_func_proto.
    if elf.calls_helper(&[PROBE_WRITE_USER]) {
        needed.push(Capability::SYS_ADMIN);
    }
    needed
}

/// The capabilities that programs with these sections need.
pub(crate) fn of_sections<'s>(sections: impl Iterator<Item = &'s str>) -> Vec<Capability> {
    let of_kinds: Vec<_> =
        sections.filter_map(|section| ProgramKind::of(section).capability).collect();
    let mut needed = vec![Capability::BPF];
    for capability in [Capability::PERFMON, Capability::NET_ADMIN, Capability::NET_RAW] {
        if of_kinds.contains(&capability) {
            needed.push(capability);
        }
    }
    needed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Capabilities;

    fn names(sections: &[&str], effective: &[Capability]) -> Vec<&'static str> {
        let effective = Capabilities::of(effective);
        let mut missing = of_sections(sections.iter().copied());
        missing.retain(|capability| !effective.has(*capability));
        missing.iter().map(|it| it.name).collect()
    }

    #[test]
    fn capabilities_of_sets_of_sections() {
        assert_eq!(names(&[], &[]), ["CAP_BPF"]);
        assert_eq!(names(&["tp/a/b", "kprobe/f"], &[]), ["CAP_BPF", "CAP_PERFMON"]);
        assert_eq!(names(&["xdp", "tc"], &[]), ["CAP_BPF", "CAP_NET_ADMIN"]);
        assert_eq!(names(&["socket"], &[]), ["CAP_BPF", "CAP_NET_RAW"]);
        let both = ["xdp", "fentry/f"];
        assert_eq!(names(&both, &[]), ["CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN"]);
        assert_eq!(names(&both, &[Capability::BPF, Capability::NET_ADMIN]), ["CAP_PERFMON"]);
        let all = [Capability::BPF, Capability::NET_ADMIN, Capability::PERFMON];
        assert!(names(&both, &all).is_empty());
        assert_eq!(names(&["unheard/of"], &[Capability::BPF]), ["CAP_PERFMON"]);
    }
}
