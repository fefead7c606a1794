// SPDX-License-Identifier: MIT

use std::collections::{BTreeMap, BTreeSet};

use super::super::target::Target;
use super::*;

/// All sections that libbpf 1.7 has a definition for.
const LIBBPF: &str = "socket sk_reuseport/migrate sk_reuseport kprobe uprobe uprobe.s kretprobe \
    uretprobe uretprobe.s kprobe.multi kretprobe.multi kprobe.session uprobe.multi \
    uretprobe.multi uprobe.session uprobe.multi.s uretprobe.multi.s uprobe.session.s ksyscall \
    kretsyscall usdt usdt.s tc/ingress tc/egress tcx/ingress tcx/egress tc classifier action \
    netkit/primary netkit/peer tracepoint tp raw_tracepoint raw_tp raw_tracepoint.w raw_tp.w \
    tp_btf fentry fmod_ret fexit fentry.s fmod_ret.s fexit.s fsession fsession.s freplace lsm \
    lsm.s lsm_cgroup iter iter.s syscall xdp.frags/devmap xdp/devmap xdp.frags/cpumap xdp/cpumap \
    xdp.frags xdp perf_event lwt_in lwt_out lwt_xmit lwt_seg6local sockops sk_skb/stream_parser \
    sk_skb/stream_verdict sk_skb/verdict sk_skb sk_msg lirc_mode2 flow_dissector \
    cgroup_skb/ingress cgroup_skb/egress cgroup/skb cgroup/sock_create cgroup/sock \
    cgroup/post_bind4 cgroup/connect_unix cgroup/sysctl cgroup/getsockopt cgroup/dev struct_ops \
    struct_ops.s sk_lookup netfilter";

fn target(section: &str) -> Target {
    ProgramKind::of(section).method(Owner::Module).target
}

#[test]
fn each_section_is_of_its_own_kind() {
    let mut seen = BTreeSet::new();
    for kind in KINDS {
        assert!(!kind.sections.is_empty());
        for section in kind.sections {
            assert!(seen.insert(section), "two kinds have `{section}`");
            assert!(std::ptr::eq(ProgramKind::of(section), kind), "{section}");
            assert!(
                std::ptr::eq(ProgramKind::of(&format!("{section}/x/y")), kind),
                "{section}/x/y"
            );
            assert!(
                std::ptr::eq(ProgramKind::of(&format!("{section}_x")), &UNKNOWN),
                "{section}_x"
            );
        }
    }
}

#[test]
fn all_sections_of_libbpf_are_known() {
    for section in LIBBPF.split_whitespace() {
        assert!(!std::ptr::eq(ProgramKind::of(section), &UNKNOWN), "{section}");
    }
}

#[test]
fn the_longest_section_decides() {
    assert!(is_in("uprobe.multi/x", "uprobe.multi") && !is_in("uprobe.multi/x", "uprobe"));
    assert!(std::ptr::eq(ProgramKind::of(""), &UNKNOWN));
    assert!(std::ptr::eq(ProgramKind::of("/xdp"), &UNKNOWN));
    // libbpf reads a question mark as: not to be loaded unless it is asked for.
    assert!(std::ptr::eq(ProgramKind::of("?xdp"), &UNKNOWN));
}

#[test]
fn targets_by_section() {
    assert_eq!(target("sockops"), Target::Cgroup);
    assert_eq!(target("lsm_cgroup/bind"), Target::Cgroup);
    assert_eq!(target("cgroup_skb/ingress"), Target::Cgroup);
    assert_eq!(target("cgroup/connect4"), Target::Cgroup);
    assert_eq!(target("tc"), Target::Interface);
    assert_eq!(target("tcx/egress"), Target::Interface);
    assert_eq!(target("xdp.frags"), Target::Interface);
    assert_eq!(target("sk_lookup"), Target::NetNs);
    assert_eq!(target("perf_event"), Target::Clock);
    assert_eq!(target("tp/sched/sched_switch"), Target::Section);
    assert_eq!(target("socket1"), Target::Section);
}

#[test]
fn packages_attach_what_has_a_default_target() {
    let of_package = |section| ProgramKind::of(section).method(Owner::Package(None)).target;
    assert_eq!(of_package("xdp"), Target::Interface);
    assert_eq!(of_package("perf_event"), Target::Clock);
    assert_eq!(of_package("tc/egress"), Target::Section);
    assert_eq!(of_package("cgroup/connect4"), Target::Section);
    for kind in KINDS {
        let is_default = kind.sections.iter().all(|section| section.starts_with("xdp"));
        assert_eq!(kind.is_for_modules, kind.method.target.name().is_some() && !is_default);
    }
}

#[test]
fn ranks_of_a_family_are_complete() {
    let mut ranks: BTreeMap<(Family, bool), BTreeSet<Rank>> = BTreeMap::new();
    for alternative in KINDS.iter().filter_map(|kind| kind.alternative) {
        let of_phase = ranks.entry((alternative.family, alternative.is_return)).or_default();
        assert!(of_phase.insert(alternative.rank), "two kinds are of one rank: {alternative:?}");
    }
    let found: Vec<_> = ranks.into_iter().map(|(of, ranks)| (of, Vec::from_iter(ranks))).collect();
    assert_eq!(
        found,
        [
            ((Family::Tracepoint, false), vec![0, 1, 2]),
            ((Family::Function, false), vec![0, 1]),
            ((Family::Function, true), vec![0, 1]),
        ]
    );
    let without_btf: Vec<_> = ranks_without_btf().collect();
    assert_eq!(without_btf, [(Family::Tracepoint, 1), (Family::Function, 1)]);
}

#[test]
fn capabilities_by_section() {
    for section in
        ["xdp", "tc/egress", "netkit/peer", "cgroup/dev", "sk_msg", "sk_lookup", "lwt_in"]
    {
        assert_eq!(ProgramKind::of(section).capability, Capability::NET_ADMIN, "{section}");
    }
    for section in ["kprobe/f", "tp/a/b", "lsm/x", "perf_event", "struct_ops/x", "socket", "what"] {
        assert_eq!(ProgramKind::of(section).capability, Capability::PERFMON, "{section}");
    }
}
