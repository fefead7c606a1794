// SPDX-License-Identifier: MIT
//! The table of program kinds: by the section of a program, how it is attached and to what, which
//! capability it needs, which kinds can stand in for it, and what the user can do when the kernel
//! refuses it. Everything that depends on a kind is decided here, and nothing here asks the kernel.
//!
//! The sections are those of libbpf 1.7 (`section_defs` in libbpf.c).

use libbpf_rs::ProgramType;

use super::hints::{self, AttachHint, LoadHint};
use super::method::Method;
use super::target::Target;
use super::{
    cgroup, iterator, netfilter, netns, perf_event, probe, section, socket_filter, socket_map,
    syscall, tc, tracepoint, xdp,
};
use crate::kernel::Capability;

/// A kind of programs.
#[derive(Debug)]
pub(super) struct ProgramKind {
    /// Sections that name it. Each stands for itself, and for what has it before a slash.
    sections: &'static [&'static str],
    /// How its programs are attached.
    pub(super) method: Method,
    /// Its programs are attached, or called, through a map of the object.
    pub(super) is_in_map: bool,
    /// The type of programs whose section only begins like one of its own, as libbpf before 1.0 read
    /// sections. None where libbpf finds it, or the section has to say more.
    pub(super) ty: Option<ProgramType>,
    /// What its programs need beside `CAP_BPF`.
    pub(super) capability: Option<Capability>,
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
        is_in_map: false,
        ty: None,
        capability: Some(Capability::PERFMON),
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
        ProgramKind { capability: Some(Capability::NET_ADMIN), ..self }
    }

    /// It needs no capability but `CAP_BPF`, if that (kernel/bpf/syscall.c: `is_net_admin_prog_type`
    /// and `is_perfmon_prog_type` do not have it).
    const fn plain(self) -> ProgramKind {
        ProgramKind { capability: None, ..self }
    }

    /// Its programs need `CAP_BPF` at most, and the socket that they filter more.
    const fn packets(self) -> ProgramKind {
        ProgramKind { capability: Some(Capability::NET_RAW), ..self }
    }

    const fn in_map(self) -> ProgramKind {
        ProgramKind { is_in_map: true, ..self }
    }

    const fn of_type(self, ty: ProgramType) -> ProgramKind {
        ProgramKind { ty: Some(ty), ..self }
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

const fn elsewhere(why: &'static str) -> Method {
    Method { target: Target::Elsewhere(why), attach: section::METHOD.attach }
}

/// Attached through a map of the package, not by itself.
const CLOCKLESS: Method = elsewhere("no map of operations in the package contains it");
const IN_MAP: Method = elsewhere("put it into a map: --map-set MAP=KEY:INTERFACE/PROGRAM");
const ROUTES: Method = elsewhere("`ip route` attaches it to routes, from a pinned object");
const ACTIONS: Method = elsewhere("`tc action` attaches it; the section `tc` is for filters");
const SOCKETS: Method =
    elsewhere("only the owner of the socket can attach it (SO_ATTACH_REUSEPORT_EBPF)");
const REMOTES: Method = elsewhere("`ir-keytable` attaches it to a receiver");

/// The table: a line a kind.
#[rustfmt::skip]
static KINDS: &[ProgramKind] = &[
    // Tracepoints.
    kind(&["tp_btf"], SECTION).btf().tracepoint(0).hint(hints::raw_tracepoint),
    kind(&["raw_tp", "raw_tracepoint"], tracepoint::RAW).tracepoint(1).hint(hints::raw_tracepoint),
    kind(&["tp", "tracepoint"], tracepoint::METHOD).in_category(2).hint(hints::tracepoint),
    kind(&["raw_tp.w", "raw_tracepoint.w"], tracepoint::RAW),
    // Functions of the kernel.
    kind(&["fentry", "fentry.s"], SECTION).btf().entry(0).load_hint(OTHERS),
    kind(&["fexit", "fexit.s"], SECTION).btf().exit(0).load_hint(OTHERS),
    kind(&["kprobe"], probe::FUNCTION).entry(1).hint(hints::function),
    kind(&["kretprobe"], probe::FUNCTION).exit(1).hint(hints::function),
    kind(&["kprobe.multi", "kretprobe.multi"], probe::FUNCTIONS).hint(hints::kprobes),
    kind(&["kprobe.session"], SECTION).hint(hints::kprobes),
    kind(&["ksyscall", "kretsyscall"], probe::SYSCALL).hint(hints::kprobes),
    kind(&["fmod_ret", "fmod_ret.s"], SECTION).btf().load_hint(OTHERS),
    kind(&["fsession", "fsession.s"], SECTION).btf().load_hint(OTHERS),
    // Functions of programs and libraries.
    kind(&["uprobe", "uprobe.s", "uretprobe", "uretprobe.s"], probe::USER_FUNCTION),
    kind(&["uprobe.multi", "uprobe.multi.s", "uretprobe.multi", "uretprobe.multi.s"], probe::USER_FUNCTIONS),
    kind(&["uprobe.session", "uprobe.session.s"], probe::USER_FUNCTIONS),
    kind(&["usdt", "usdt.s"], probe::USDT),
    // What else traces, or changes the kernel.
    kind(&["perf_event"], perf_event::METHOD).of_type(ProgramType::PerfEvent),
    kind(&["iter", "iter.s"], iterator::METHOD).btf(),
    kind(&["lsm", "lsm.s"], SECTION).btf().lsm().load_hint(OTHERS),
    kind(&["lsm_cgroup"], cgroup::METHOD).btf().lsm(),
    kind(&["freplace"], SECTION).btf().load_hint(OTHERS),
    kind(&["struct_ops", "struct_ops.s"], CLOCKLESS).btf().in_map(),
    kind(&["syscall"], syscall::METHOD),
    // Interfaces.
    kind(&["xdp"], xdp::METHOD).network().of_type(ProgramType::Xdp).hint(hints::xdp),
    kind(&["xdp.frags"], xdp::METHOD).network().of_type(ProgramType::Xdp).hint(hints::xdp),
    kind(&["xdp/devmap", "xdp/cpumap", "xdp.frags/devmap", "xdp.frags/cpumap"], IN_MAP).network(),
    kind(&["tc", "tcx", "classifier"], tc::METHOD).network().of_type(ProgramType::SchedCls),
    kind(&["action"], ACTIONS).network().of_type(ProgramType::SchedAct),
    kind(&["netkit"], tc::NETKIT).network(),
    kind(&["lwt_in", "lwt_out", "lwt_xmit", "lwt_seg6local"], ROUTES).network(),
    // Network namespaces.
    kind(&["sk_lookup", "flow_dissector"], netns::METHOD).network(),
    kind(&["netfilter"], netfilter::METHOD).network(),
    // Cgroups.
    kind(&["cgroup", "cgroup_skb", "sockops"], cgroup::METHOD).network(),
    // Sockets, and maps of them.
    kind(&["sk_skb", "sk_msg"], socket_map::METHOD).network(),
    kind(&["sk_reuseport"], SOCKETS).plain(),
    kind(&["socket"], socket_filter::METHOD).packets().of_type(ProgramType::SocketFilter),
    // Remote controls.
    kind(&["lirc_mode2"], REMOTES),
];

/// What programs of other sections are: libbpf may know them.
static UNKNOWN: ProgramKind = kind(&[], SECTION);

impl ProgramKind {
    /// The kind of the programs of a section: the one whose section is the longest that fits; else
    /// the one that an older section begins with.
    pub(super) fn of(section: &str) -> &'static ProgramKind {
        // Not to be loaded unless it is asked for: what it is, is the same.
        let section = section.strip_prefix('?').unwrap_or(section);
        let longest = |fits: &dyn Fn(&str) -> bool| {
            let fitting = KINDS.iter().filter_map(|kind| {
                let sections = kind.sections.iter().filter(|known| fits(known));
                sections.map(|known| known.len()).max().map(|length| (length, kind))
            });
            fitting.max_by_key(|(length, _)| *length).map(|(_, kind)| kind)
        };
        let known = longest(&|known| is_in(section, known));
        let older = || longest(&|known| begins(section, known)).filter(|kind| kind.ty.is_some());
        known.or_else(older).unwrap_or(&UNKNOWN)
    }
}

impl ProgramKind {
    /// Whether the kernel does not even load a program of a section, since nothing names what it is
    /// for.
    pub(super) fn lacks_name(&self, section: &str) -> bool {
        let is_named = section.split_once('/').is_some_and(|(_, rest)| !rest.is_empty());
        self.needs_btf && self.method.target == Target::Section && !is_named
    }
}

/// Whether an older section names a kind: `.xdp`, `socket1`, `xdp_pass`.
fn begins(section: &str, known: &str) -> bool {
    let section = section.strip_prefix('.').unwrap_or(section);
    let rest = section.strip_prefix(known);
    rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphabetic()))
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
