// SPDX-License-Identifier: MIT
//! The table of kinds of programs for people and policies: by section, the name of the kind, when
//! its programs run, and what they can do only because they are of this kind.
//!
//! [`crate::attach`] has the table of how kinds are attached; a test compares the sections.

use bpfpack_schemas::report::Effect::{
    self, ChangesPackets, ChangesSettings, DeniesOperations, MayChangeKernel, OverridesReturns,
    ReadsKernelMemory, ReplacesFunctions,
};

/// A kind of program.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    /// Its sections. Each also matches longer sections that continue after a slash. The first is its
    /// name.
    sections: &'static [&'static str],
    /// When its programs run. `@` stands for what follows the section's first slash.
    runs: &'static str,
    /// What its programs can do.
    pub(crate) effects: &'static [Effect],
}

const fn kind(
    sections: &'static [&'static str],
    runs: &'static str,
    effects: &'static [Effect],
) -> Kind {
    Kind { sections, runs, effects }
}

const OBSERVES: &[Effect] = &[];
/// The verifier lets programs with types follow pointers of the kernel.
const FOLLOWS: &[Effect] = &[ReadsKernelMemory];
const DENIES: &[Effect] = &[DeniesOperations];
const PACKETS: &[Effect] = &[ChangesPackets];

/// The table, one row for each kind.
#[rustfmt::skip]
static KINDS: &[Kind] = &[
    kind(&["tp_btf"], "at the tracepoint @", FOLLOWS),
    kind(&["raw_tp", "raw_tracepoint"], "at the tracepoint @", OBSERVES),
    // They may write to what the tracepoint offers.
    kind(&["raw_tp.w", "raw_tracepoint.w"], "at the tracepoint @", &[MayChangeKernel]),
    kind(&["tp", "tracepoint"], "at the tracepoint @", OBSERVES),
    kind(&["fentry", "fentry.s"], "when the kernel function @ begins", FOLLOWS),
    kind(&["fexit", "fexit.s"], "when the kernel function @ returns", FOLLOWS),
    kind(&["fsession", "fsession.s"], "when the kernel function @ begins and returns", FOLLOWS),
    kind(&["fmod_ret", "fmod_ret.s"], "before the kernel function @, which it can replace", &[OverridesReturns, DeniesOperations]),
    kind(&["kprobe"], "when the kernel function @ begins", OBSERVES),
    kind(&["kretprobe"], "when the kernel function @ returns", OBSERVES),
    kind(&["kprobe.multi"], "when kernel functions @ begin", OBSERVES),
    kind(&["kretprobe.multi"], "when kernel functions @ return", OBSERVES),
    kind(&["kprobe.session"], "when kernel functions @ begin and return", OBSERVES),
    kind(&["ksyscall"], "when the system call @ begins", OBSERVES),
    kind(&["kretsyscall"], "when the system call @ returns", OBSERVES),
    kind(&["uprobe", "uprobe.s"], "when the user function @ begins", OBSERVES),
    kind(&["uretprobe", "uretprobe.s"], "when the user function @ returns", OBSERVES),
    kind(&["uprobe.multi", "uprobe.multi.s"], "when user functions @ begin", OBSERVES),
    kind(&["uretprobe.multi", "uretprobe.multi.s"], "when user functions @ return", OBSERVES),
    kind(&["uprobe.session", "uprobe.session.s"], "when user functions @ begin and return", OBSERVES),
    kind(&["usdt", "usdt.s"], "at the USDT probe @", OBSERVES),
    kind(&["perf_event"], "periodically, or at an event of the CPU", OBSERVES),
    kind(&["iter", "iter.s"], "for each @ when it is read", FOLLOWS),
    kind(&["syscall"], "when user space calls it", OBSERVES),
    kind(&["lsm", "lsm.s"], "at the security hook @, which it can deny", &[DeniesOperations, ReadsKernelMemory]),
    kind(&["lsm_cgroup"], "at the security hook @ in a cgroup, which it can deny", &[DeniesOperations, ReadsKernelMemory]),
    kind(&["freplace"], "instead of @, a function of a BPF program", &[ReplacesFunctions]),
    kind(&["struct_ops", "struct_ops.s"], "as an operation that the kernel calls: @", &[ReplacesFunctions, ReadsKernelMemory]),
    kind(&["xdp", "xdp.frags"], "when a packet arrives, before the network stack", PACKETS),
    kind(&["tc", "tcx", "classifier"], "when a packet passes an interface", PACKETS),
    kind(&["action"], "when a filter of an interface matches a packet", PACKETS),
    kind(&["netkit"], "when a packet passes a netkit interface", PACKETS),
    kind(&["lwt_in", "lwt_out", "lwt_xmit", "lwt_seg6local"], "when a packet takes a route", PACKETS),
    kind(&["sk_lookup"], "when the socket for a packet is looked up", PACKETS),
    kind(&["flow_dissector"], "when a packet is dissected", PACKETS),
    kind(&["netfilter"], "when a packet passes a hook of the packet filter", PACKETS),
    kind(&["socket"], "when a packet arrives at a socket", PACKETS),
    kind(&["sk_reuseport"], "when one of several sockets is chosen", PACKETS),
    kind(&["sk_skb", "sk_msg"], "when data passes a socket in a map", PACKETS),
    kind(&["cgroup_skb", "cgroup/skb"], "when a packet enters or leaves a cgroup", PACKETS),
    kind(&["sockops"], "when a TCP connection of a cgroup changes", &[ChangesSettings]),
    kind(&["cgroup/sysctl"], "when a process of a cgroup uses a sysctl", &[DeniesOperations, ChangesSettings]),
    kind(&["cgroup/getsockopt", "cgroup/setsockopt"], "when a process of a cgroup uses an option of a socket", &[DeniesOperations, ChangesSettings]),
    kind(&["cgroup/dev"], "when a process of a cgroup uses a device", DENIES),
    kind(&["cgroup"], "when a process of a cgroup uses a socket: @", &[DeniesOperations, ChangesPackets]),
    kind(&["lirc_mode2"], "when an infrared receiver gets a signal", OBSERVES),
];

static UNKNOWN: Kind = kind(&[], "unknown: ecli does not know the section", &[MayChangeKernel]);

/// Sections that old packages continue without a slash: `xdp_pass`, `socket1`.
const OLD: [&str; 7] = ["xdp", "tc", "tcx", "classifier", "action", "socket", "perf_event"];

impl Kind {
    /// The kind of a section.
    pub(crate) fn of(section: &str) -> &'static Kind {
        let section = section.strip_prefix('?').unwrap_or(section);
        let longest = |fits: &dyn Fn(&str) -> bool| {
            let rows = KINDS.iter().filter_map(|kind| {
                let lengths = kind.sections.iter().filter(|known| fits(known)).map(|it| it.len());
                lengths.max().map(|length| (length, kind))
            });
            rows.max_by_key(|(length, _)| *length).map(|(_, kind)| kind)
        };
        let is_old = |known: &str| {
            let rest = section.strip_prefix('.').unwrap_or(section).strip_prefix(known);
            OLD.contains(&known)
                && rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphabetic()))
        };
        longest(&|known| is_in(section, known)).or_else(|| longest(&is_old)).unwrap_or(&UNKNOWN)
    }

    /// Its name.
    pub(crate) fn name(&self) -> &'static str {
        self.sections.first().copied().unwrap_or("unknown")
    }

    /// Whether its programs can be attached to user functions; then they may write to their context.
    pub(crate) fn is_probe(&self) -> bool {
        let stems =
            ["kprobe", "kretprobe", "uprobe", "uretprobe", "ksyscall", "kretsyscall", "usdt"];
        stems.iter().any(|stem| self.name().starts_with(stem))
    }

    /// When a program of this section runs.
    pub(crate) fn runs(&self, section: &str) -> String {
        let target = section.split_once('/').map_or("", |(_, target)| target);
        match target.is_empty() {
            true => self.runs.replace(": @", "").replace(" @", ""),
            false => self.runs.replace('@', target),
        }
    }

    /// Whether a name in a policy is for this kind: one of its sections, or the part before the
    /// slash.
    pub(crate) fn is_named(&self, name: &str) -> bool {
        self.sections.iter().any(|section| is_in(section, name)) || self.name() == name
    }
}

/// Whether some kind has this name.
pub(crate) fn is_known(name: &str) -> bool {
    name == UNKNOWN.name() || KINDS.iter().any(|kind| kind.is_named(name))
}

/// The names of all kinds.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(Kind::name)
}

/// Whether a section equals a name, or continues it after a slash.
fn is_in(section: &str, name: &str) -> bool {
    section.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attach;

    #[test]
    fn sections_have_kinds_and_words() {
        let of = |section: &str| {
            let kind = Kind::of(section);
            format!("{}: {}", kind.name(), kind.runs(section))
        };
        assert_eq!(of("tp/sched/sched_switch"), "tp: at the tracepoint sched/sched_switch");
        assert_eq!(of("?kprobe/vfs_read"), "kprobe: when the kernel function vfs_read begins");
        assert_eq!(of("raw_tracepoint/sys_enter"), "raw_tp: at the tracepoint sys_enter");
        assert_eq!(of("uprobe"), "uprobe: when the user function begins");
        assert_eq!(Kind::of("cgroup/sysctl").name(), "cgroup/sysctl");
        assert_eq!(Kind::of("cgroup/skb").name(), "cgroup_skb");
        assert_eq!(of("cgroup/bind4"), "cgroup: when a process of a cgroup uses a socket: bind4");
        assert_eq!(Kind::of("xdp_pass").name(), "xdp");
        assert_eq!(Kind::of("socket1").name(), "socket");
        assert_eq!(Kind::of("kprobe1").name(), "unknown");
        assert_eq!(Kind::of("unheard/of").effects, [MayChangeKernel]);
    }

    #[test]
    fn every_section_that_is_attached_has_a_kind() {
        for section in attach::sections() {
            assert_ne!(Kind::of(section).name(), "unknown", "{section}");
        }
    }

    #[test]
    fn policies_name_kinds_by_any_of_their_sections() {
        assert!(
            Kind::of("tp/a/b").is_named("tracepoint") && Kind::of("tracepoint/a/b").is_named("tp")
        );
        assert!(Kind::of("cgroup/dev").is_named("cgroup"));
        assert!(!Kind::of("cgroup/bind4").is_named("cgroup/dev"));
        assert!(Kind::of("?").is_named("unknown"));
        assert!(is_known("fentry.s") && !is_known("krpobe"));
        let mut sections: Vec<_> = KINDS.iter().flat_map(|kind| kind.sections).collect();
        let all = sections.len();
        sections.sort_unstable();
        sections.dedup();
        assert_eq!(sections.len(), all, "each section is there once");
    }
}
