// SPDX-License-Identifier: MIT

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// All sections that libbpf 1.7 defines.
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
    ProgramKind::of(section).method.target
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
            assert!(!is_in(&format!("{section}_x"), section), "{section}_x");
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
    assert!(std::ptr::eq(ProgramKind::of("?xdp"), ProgramKind::of("xdp")));
    assert_eq!(ProgramKind::of("xdp/devmap").method.target.name(), None);
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
    assert_eq!(target("perf_event"), Target::Event);
    assert_eq!(target("tp/sched/sched_switch"), Target::Tracepoint);
    assert_eq!(target("fentry/vfs_read"), Target::Section);
    assert_eq!(target("uretprobe.s/x:f"), Target::UserFunction);
    assert_eq!(target("uprobe.multi/x:f*"), Target::UserFunction);
    assert_eq!(target("netfilter"), Target::Netfilter);
    assert_eq!(target("sk_skb/stream_parser"), Target::SocketMap);
    assert_eq!(target("iter/bpf_map_elem"), Target::WalkedMap);
    assert_eq!(target("syscall"), Target::Clock);
    assert!(matches!(target("lwt_in"), Target::Elsewhere(_)));
}

#[test]
fn older_sections_are_of_the_kind_that_they_begin_with() {
    for (section, ty, target) in [
        ("socket1", ProgramType::SocketFilter, Target::Interface),
        ("socket/filter", ProgramType::SocketFilter, Target::Interface),
        (".xdp", ProgramType::Xdp, Target::Interface),
        ("xdp/lo", ProgramType::Xdp, Target::Interface),
        ("xdp_pass", ProgramType::Xdp, Target::Interface),
        ("classifier/egress/x", ProgramType::SchedCls, Target::Interface),
        ("perf_event/type=0,config=3", ProgramType::PerfEvent, Target::Event),
    ] {
        let kind = ProgramKind::of(section);
        assert_eq!((kind.ty, kind.method.target), (Some(ty), target), "{section}");
    }
    for section in ["socketry", "tcp_x", "kprobe_x", "xdpx", "?x"] {
        assert!(std::ptr::eq(ProgramKind::of(section), &UNKNOWN), "{section}");
    }
}

#[test]
fn programs_that_name_nothing() {
    let lacks = |section| ProgramKind::of(section).lacks_name(section);
    assert!(lacks("fentry") && lacks("lsm") && lacks("fexit/") && lacks("freplace"));
    assert!(!lacks("fentry/vfs_read") && !lacks("kprobe") && !lacks("iter") && !lacks("xdp"));
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
        assert_eq!(ProgramKind::of(section).capability, Some(Capability::NET_ADMIN), "{section}");
    }
    for section in ["kprobe/f", "tp/a/b", "lsm/x", "perf_event", "struct_ops/x", "what"] {
        assert_eq!(ProgramKind::of(section).capability, Some(Capability::PERFMON), "{section}");
    }
    assert_eq!(ProgramKind::of("socket").capability, Some(Capability::NET_RAW));
    assert_eq!(ProgramKind::of("sk_reuseport").capability, None);
}
