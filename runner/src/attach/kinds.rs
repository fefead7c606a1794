// SPDX-License-Identifier: MIT
//! The table of program kinds: by the section of a program, how it is attached and to what, which
//! capability it needs, which kinds can stand in for it, and what the user can do when the kernel
//! refuses it. Everything that depends on a kind is decided here, and nothing here asks the kernel.
//!
//! The sections are those of libbpf 1.7 (`section_defs` in libbpf.c).

use super::hints::{self, AttachHint, LoadHint};
use super::method::{Method, Owner};
use super::{cgroup, netns, perf_event, section, tcx, xdp};
use crate::kernel::Capability;

/// A kind of programs.
#[derive(Debug)]
pub(super) struct ProgramKind {
    /// Sections that name it. Each stands for itself, and for what has it before a slash.
    sections: &'static [&'static str],
    /// How its programs are attached.
    method: Method,
    /// Whether programs of packages are left to libbpf, which refuses them: a module names a target
    /// for them, which nobody does for a package.
    is_for_modules: bool,
    /// What its programs need beside `CAP_BPF`.
    pub(super) capability: Capability,
    /// Which kinds can stand in for it.
    pub(super) alternative: Option<Alternative>,
    /// Whether the kernel must describe its types.
    needs_btf: bool,
    /// Whether security modules ask its programs.
    pub(super) is_lsm: bool,
    /// What the user can do when a program is not loaded.
    pub(super) load_hint: Option<LoadHint>,
    /// What the user can do when a program is not attached.
    pub(super) attach_hint: AttachHint,
}

/// Kinds that can stand in for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Family {
    /// Tracepoints.
    Tracepoint,
    /// A function's entry, or its return.
    Function,
}

/// A kind's rank in its family: 0 is best.
pub(super) type Rank = usize;

/// What a kind is among those that can stand in for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Alternative {
    /// Which these are.
    pub(super) family: Family,
    /// Its rank there.
    pub(super) rank: Rank,
    /// Distinguishes a function's return from its entry.
    pub(super) is_return: bool,
    /// Whether a category stands before the event's name in the section.
    pub(super) has_category: bool,
}

const fn kind(sections: &'static [&'static str], method: Method) -> ProgramKind {
    ProgramKind {
        sections,
        method,
        is_for_modules: false,
        capability: Capability::PERFMON,
        alternative: None,
        needs_btf: false,
        is_lsm: false,
        load_hint: None,
        attach_hint: hints::none,
    }
}

/// How rows of the table say more than sections and method.
impl ProgramKind {
    const fn network(self) -> ProgramKind {
        ProgramKind { capability: Capability::NET_ADMIN, ..self }
    }

    const fn modules(self) -> ProgramKind {
        ProgramKind { is_for_modules: true, ..self }
    }

    const fn btf(self) -> ProgramKind {
        ProgramKind { needs_btf: true, ..self }
    }

    const fn lsm(self) -> ProgramKind {
        ProgramKind { is_lsm: true, ..self }
    }

    const fn load_hint(self, hint: LoadHint) -> ProgramKind {
        ProgramKind { load_hint: Some(hint), ..self }
    }

    const fn hint(self, hint: AttachHint) -> ProgramKind {
        ProgramKind { attach_hint: hint, ..self }
    }

    const fn tracepoint(self, rank: Rank) -> ProgramKind {
        let family = Family::Tracepoint;
        let alternative = Alternative { family, rank, is_return: false, has_category: false };
        ProgramKind { alternative: Some(alternative), ..self }
    }

    /// A tracepoint with its category in the section.
    const fn in_category(self, rank: Rank) -> ProgramKind {
        let family = Family::Tracepoint;
        let alternative = Alternative { family, rank, is_return: false, has_category: true };
        ProgramKind { alternative: Some(alternative), ..self }
    }

    const fn entry(self, rank: Rank) -> ProgramKind {
        let family = Family::Function;
        let alternative = Alternative { family, rank, is_return: false, has_category: false };
        ProgramKind { alternative: Some(alternative), ..self }
    }

    const fn exit(self, rank: Rank) -> ProgramKind {
        let family = Family::Function;
        let alternative = Alternative { family, rank, is_return: true, has_category: false };
        ProgramKind { alternative: Some(alternative), ..self }
    }
}

const SECTION: Method = section::METHOD;
const OTHERS: LoadHint = hints::other_kinds;

/// The table: a line a kind.
#[rustfmt::skip]
static KINDS: &[ProgramKind] = &[
    // Tracepoints.
    kind(&["tp_btf"], SECTION).btf().tracepoint(0).hint(hints::raw_tracepoint),
    kind(&["raw_tp", "raw_tracepoint"], SECTION).tracepoint(1).hint(hints::raw_tracepoint),
    kind(&["tp", "tracepoint"], SECTION).in_category(2).hint(hints::tracepoint),
    kind(&["raw_tp.w", "raw_tracepoint.w"], SECTION),
    // Functions of the kernel.
    kind(&["fentry", "fentry.s"], SECTION).btf().entry(0).load_hint(OTHERS),
    kind(&["fexit", "fexit.s"], SECTION).btf().exit(0).load_hint(OTHERS),
    kind(&["kprobe"], SECTION).entry(1).hint(hints::function),
    kind(&["kretprobe"], SECTION).exit(1).hint(hints::function),
    kind(&["kprobe.multi", "kretprobe.multi"], SECTION).hint(hints::kprobes),
    kind(&["kprobe.session"], SECTION),
    kind(&["ksyscall", "kretsyscall"], SECTION).hint(hints::kprobes),
    kind(&["fmod_ret"], SECTION).btf().load_hint(OTHERS),
    kind(&["fmod_ret.s"], SECTION).btf(),
    kind(&["fsession", "fsession.s"], SECTION).btf(),
    // Functions of programs and libraries.
    kind(&["uprobe", "uprobe.s", "uretprobe", "uretprobe.s"], SECTION),
    kind(&["uprobe.multi", "uprobe.multi.s", "uretprobe.multi", "uretprobe.multi.s"], SECTION),
    kind(&["uprobe.session", "uprobe.session.s"], SECTION),
    kind(&["usdt", "usdt.s"], SECTION),
    // What else traces, or changes the kernel.
    kind(&["perf_event"], perf_event::METHOD),
    kind(&["iter", "iter.s"], SECTION).btf(),
    kind(&["lsm", "lsm.s"], SECTION).btf().lsm().load_hint(OTHERS),
    kind(&["lsm_cgroup"], cgroup::METHOD).btf().lsm().modules(),
    kind(&["freplace"], SECTION).load_hint(OTHERS),
    kind(&["struct_ops", "struct_ops.s"], SECTION).btf(),
    kind(&["syscall"], SECTION),
    // Interfaces.
    kind(&["xdp"], xdp::METHOD).network().hint(hints::xdp),
    kind(&["xdp.frags"], xdp::METHOD).network(),
    kind(&["tc", "tcx", "classifier", "action"], tcx::METHOD).network().modules().hint(hints::tcx),
    kind(&["netkit"], SECTION).network(),
    kind(&["lwt_in", "lwt_out", "lwt_xmit", "lwt_seg6local"], SECTION).network(),
    // Network namespaces.
    kind(&["sk_lookup", "flow_dissector"], netns::METHOD).network().modules(),
    kind(&["netfilter"], SECTION).network(),
    // Cgroups.
    kind(&["cgroup", "cgroup_skb", "sockops"], cgroup::METHOD).network().modules(),
    // Sockets, and maps of them.
    kind(&["sk_skb", "sk_msg", "sk_reuseport"], SECTION).network(),
    kind(&["socket"], SECTION),
    // Remote controls.
    kind(&["lirc_mode2"], SECTION),
];

/// What programs of other sections are: libbpf may know them.
static UNKNOWN: ProgramKind = kind(&[], SECTION);

impl ProgramKind {
    /// The kind of the programs of a section: the one whose section is the longest that fits.
    pub(super) fn of(section: &str) -> &'static ProgramKind {
        let fits = |kind: &ProgramKind| {
            let fitting = kind.sections.iter().filter(|known| is_in(section, known));
            fitting.map(|known| known.len()).max()
        };
        let fitting = KINDS.iter().filter_map(|kind| fits(kind).map(|length| (length, kind)));
        fitting.max_by_key(|(length, _)| *length).map_or(&UNKNOWN, |(_, kind)| kind)
    }

    /// How a program of the kind is attached.
    pub(super) fn method(&self, owner: Owner<'_>) -> Method {
        match owner {
            Owner::Package(_) if self.is_for_modules => section::METHOD,
            _ => self.method,
        }
    }
}

/// Whether a section is one that the table has, or continues it behind a slash.
fn is_in(section: &str, known: &str) -> bool {
    section.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The best rank of each family where the kernel does not describe its types.
pub(super) fn ranks_without_btf() -> impl Iterator<Item = (Family, Rank)> {
    [Family::Tracepoint, Family::Function].into_iter().filter_map(|family| {
        let of_family = |kind: &ProgramKind| kind.alternative.filter(|it| it.family == family);
        let ranks = KINDS.iter().filter(|kind| !kind.needs_btf).filter_map(of_family);
        ranks.map(|alternative| (family, alternative.rank)).min()
    })
}

#[cfg(test)]
mod tests;
