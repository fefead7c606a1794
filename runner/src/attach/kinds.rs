// SPDX-License-Identifier: MIT
//! The table of program kinds. It maps the section of a program to the way of attaching, the
//! target, the required capability, the kinds that can replace it, and hints for when the kernel
//! refuses it. Everything that depends on a kind is decided here, without asking the kernel.
//!
//! The sections are those of libbpf 1.7 (`section_defs` in libbpf.c).

use bpfpack_refusal::since::Version;
use libbpf_rs::ProgramType;

use super::hints::{self, Explain, LoadHint};
use super::method::Method;
use super::target::Target;
use super::{
    cgroup, iterator, netfilter, netns, perf_event, probe, section, socket_filter, socket_map,
    syscall, tc, tracepoint, xdp,
};
use crate::kernel::Capability;

/// A kind of program.
#[derive(Debug)]
pub(super) struct ProgramKind {
    /// Its sections. Each also matches longer sections that continue after a slash.
    sections: &'static [&'static str],
    /// How its programs are attached.
    pub(super) method: Method,
    /// Whether its programs are attached or called through a map of the object.
    pub(super) is_in_map: bool,
    /// The type of programs whose section only begins like one of its sections, which libbpf before
    /// 1.0 allowed. `None` if libbpf finds the type, or if the section must say more.
    pub(super) ty: Option<ProgramType>,
    /// The capability that its programs need in addition to `CAP_BPF`.
    pub(super) capability: Option<Capability>,
    /// Its place among kinds that can replace it.
    pub(super) alternative: Option<Alternative>,
    /// Whether it needs the kernel's BTF.
    needs_btf: bool,
    /// Whether the kernel calls its programs as a security module.
    pub(super) is_lsm: bool,
    /// The version of Linux that introduced it; `None` if that is 5.7 or older, or if it is
    /// different for its sections.
    pub(super) since: Option<Version>,
    /// A hint for when a program is not loaded.
    pub(super) load_hint: Option<LoadHint>,
    /// Explains why a program is not attached.
    pub(super) explain: Explain,
}

/// A family of kinds that can replace each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Family {
    /// Tracepoints.
    Tracepoint,
    /// A function's entry, or its return.
    Function,
}

/// The rank of a kind in its family; 0 is best.
pub(super) type Rank = usize;

/// The place of a kind in its family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Alternative {
    /// The family.
    pub(super) family: Family,
    /// Its rank.
    pub(super) rank: Rank,
    /// Whether it is for a function's return, not its entry.
    pub(super) is_return: bool,
    /// Whether the section has a category before the event's name.
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
        since: None,
        load_hint: None,
        explain: hints::none,
    }
}

/// Builders for the rows of the table.
impl ProgramKind {
    const fn network(self) -> ProgramKind {
        ProgramKind { capability: Some(Capability::NET_ADMIN), ..self }
    }

    /// Needs at most `CAP_BPF` (kernel/bpf/syscall.c: neither `is_net_admin_prog_type` nor
    /// `is_perfmon_prog_type` contains it).
    const fn plain(self) -> ProgramKind {
        ProgramKind { capability: None, ..self }
    }

    /// Its programs need at most `CAP_BPF`, but the packet socket needs `CAP_NET_RAW`.
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

    const fn since(self, major: u32, minor: u32) -> ProgramKind {
        ProgramKind { since: Some(Version(major, minor)), ..self }
    }

    const fn load_hint(self, hint: LoadHint) -> ProgramKind {
        ProgramKind { load_hint: Some(hint), ..self }
    }

    const fn explained(self, explain: Explain) -> ProgramKind {
        ProgramKind { explain, ..self }
    }

    const fn tracepoint(self, rank: Rank) -> ProgramKind {
        let family = Family::Tracepoint;
        let alternative = Alternative { family, rank, is_return: false, has_category: false };
        ProgramKind { alternative: Some(alternative), ..self }
    }

    /// A tracepoint whose section contains the category.
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

/// For programs of `struct_ops`, which are attached through a map of operations.
const STRUCT_OPS: Method = elsewhere("no map of operations in the package contains it");
const IN_MAP: Method = elsewhere("put it into a map: --map-set MAP=KEY:INTERFACE/PROGRAM");
const ROUTES: Method = elsewhere("`ip route` attaches it to routes, from a pinned object");
const ACTIONS: Method = elsewhere("`tc action` attaches it; the section `tc` is for filters");
const SOCKETS: Method =
    elsewhere("only the owner of the socket can attach it (SO_ATTACH_REUSEPORT_EBPF)");
const REMOTES: Method = elsewhere("`ir-keytable` attaches it to a receiver");

/// Programs of a cgroup for addresses of Unix sockets.
const UNIX_SOCKETS: &[&str] = &[
    "cgroup/connect_unix",
    "cgroup/sendmsg_unix",
    "cgroup/recvmsg_unix",
    "cgroup/getpeername_unix",
    "cgroup/getsockname_unix",
];

/// The table, one row for each kind.
#[rustfmt::skip]
static KINDS: &[ProgramKind] = &[
    // Tracepoints.
    kind(&["tp_btf"], SECTION).btf().tracepoint(0).explained(hints::raw_tracepoint).since(5, 5),
    kind(&["raw_tp", "raw_tracepoint"], tracepoint::RAW).tracepoint(1).explained(hints::raw_tracepoint),
    kind(&["tp", "tracepoint"], tracepoint::METHOD).in_category(2).explained(hints::tracepoint),
    kind(&["raw_tp.w", "raw_tracepoint.w"], tracepoint::RAW),
    // Kernel functions.
    kind(&["fentry", "fentry.s"], SECTION).btf().entry(0).load_hint(OTHERS).since(5, 5),
    kind(&["fexit", "fexit.s"], SECTION).btf().exit(0).load_hint(OTHERS).since(5, 5),
    kind(&["kprobe"], probe::FUNCTION).entry(1).explained(hints::function),
    kind(&["kretprobe"], probe::FUNCTION).exit(1).explained(hints::function),
    kind(&["kprobe.multi", "kretprobe.multi"], probe::FUNCTIONS).explained(hints::functions).since(5, 18),
    kind(&["kprobe.session"], SECTION).explained(hints::functions).since(6, 10),
    kind(&["ksyscall", "kretsyscall"], probe::SYSCALL).explained(hints::kprobes),
    kind(&["fmod_ret", "fmod_ret.s"], SECTION).btf().load_hint(OTHERS).since(5, 7),
    kind(&["fsession", "fsession.s"], SECTION).btf().load_hint(OTHERS).since(7, 0),
    // User functions.
    kind(&["uprobe", "uprobe.s", "uretprobe", "uretprobe.s"], probe::USER_FUNCTION),
    kind(&["uprobe.multi", "uprobe.multi.s", "uretprobe.multi", "uretprobe.multi.s"], probe::USER_FUNCTIONS).since(6, 6),
    kind(&["uprobe.session", "uprobe.session.s"], probe::USER_FUNCTIONS).since(6, 13),
    kind(&["usdt", "usdt.s"], probe::USDT).explained(hints::usdt),
    // Other tracing, and programs that change the kernel.
    kind(&["perf_event"], perf_event::METHOD).of_type(ProgramType::PerfEvent),
    kind(&["iter", "iter.s"], iterator::METHOD).btf().since(5, 8),
    kind(&["lsm", "lsm.s"], SECTION).btf().lsm().load_hint(OTHERS).since(5, 7),
    kind(&["lsm_cgroup"], cgroup::METHOD).btf().lsm().since(6, 0),
    kind(&["freplace"], SECTION).btf().load_hint(OTHERS).since(5, 6),
    kind(&["struct_ops", "struct_ops.s"], STRUCT_OPS).btf().in_map().since(5, 6),
    kind(&["syscall"], syscall::METHOD).since(5, 14),
    // Interfaces.
    kind(&["xdp"], xdp::METHOD).network().of_type(ProgramType::Xdp).explained(hints::xdp),
    kind(&["xdp.frags"], xdp::METHOD).network().of_type(ProgramType::Xdp).explained(hints::xdp).since(5, 18),
    kind(&["xdp/devmap", "xdp/cpumap", "xdp.frags/devmap", "xdp.frags/cpumap"], IN_MAP).network(),
    kind(&["tc", "tcx", "classifier"], tc::METHOD).network().of_type(ProgramType::SchedCls),
    kind(&["action"], ACTIONS).network().of_type(ProgramType::SchedAct),
    kind(&["netkit"], tc::NETKIT).network().since(6, 7),
    kind(&["lwt_in", "lwt_out", "lwt_xmit", "lwt_seg6local"], ROUTES).network(),
    // Network namespaces.
    kind(&["sk_lookup"], netns::METHOD).network().since(5, 9),
    kind(&["flow_dissector"], netns::METHOD).network(),
    kind(&["netfilter"], netfilter::METHOD).network().since(6, 4),
    // Cgroups.
    kind(&["cgroup", "cgroup_skb", "sockops"], cgroup::METHOD).network(),
    kind(UNIX_SOCKETS, cgroup::METHOD).network().since(6, 7),
    // Sockets, and maps of them.
    kind(&["sk_skb", "sk_msg"], socket_map::METHOD).network(),
    kind(&["sk_reuseport"], SOCKETS).plain(),
    kind(&["socket"], socket_filter::METHOD).packets().of_type(ProgramType::SocketFilter),
    // Infrared remote controls.
    kind(&["lirc_mode2"], REMOTES),
];

/// The kind for all other sections; libbpf may know them.
static UNKNOWN: ProgramKind = kind(&[], SECTION);

impl ProgramKind {
    /// The kind for a section: the kind with the longest section that matches, or otherwise the
    /// kind whose section an old section begins with.
    pub(super) fn of(section: &str) -> &'static ProgramKind {
        // `?` only says that the program is not loaded by default.
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
    /// Whether this is one of its sections, and not a longer one.
    pub(super) fn has_section(&self, section: &str) -> bool {
        self.sections.contains(&section)
    }

    /// Whether it is a kind of the table.
    pub(super) fn is_known(&self) -> bool {
        !self.sections.is_empty()
    }

    /// Whether the kernel refuses to load a program of this section because nothing names its
    /// target.
    pub(super) fn lacks_name(&self, section: &str) -> bool {
        let is_named = section.split_once('/').is_some_and(|(_, rest)| !rest.is_empty());
        self.needs_btf && self.method.target == Target::Section && !is_named
    }
}

/// Whether an old section begins with a kind's section: `.xdp`, `socket1`, `xdp_pass`.
fn begins(section: &str, known: &str) -> bool {
    let section = section.strip_prefix('.').unwrap_or(section);
    let rest = section.strip_prefix(known);
    rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphabetic()))
}

/// Whether a section equals one of the table, or continues it after a slash.
fn is_in(section: &str, known: &str) -> bool {
    section.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The best rank of each family on a kernel without BTF.
pub(super) fn ranks_without_btf() -> impl Iterator<Item = (Family, Rank)> {
    [Family::Tracepoint, Family::Function].into_iter().filter_map(|family| {
        let of_family = |kind: &ProgramKind| kind.alternative.filter(|it| it.family == family);
        let ranks = KINDS.iter().filter(|kind| !kind.needs_btf).filter_map(of_family);
        ranks.map(|alternative| (family, alternative.rank)).min()
    })
}

/// The sections of all kinds.
#[cfg(test)]
pub(crate) fn sections() -> impl Iterator<Item = &'static str> {
    KINDS.iter().flat_map(|kind| kind.sections).copied()
}

#[cfg(test)]
mod tests;
