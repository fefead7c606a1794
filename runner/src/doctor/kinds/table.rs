// SPDX-License-Identifier: MIT
//! The table of trials, one row for a kind that is tried in its own way. A test compares it with the
//! table of how kinds are attached.

use bpfpack_schemas::btf::Kind;

use super::super::trial::{FUNCTION, Place};
use crate::sys::program::Options;

/// How a kind is tried.
#[derive(Debug)]
pub(super) struct Row {
    /// Its section.
    pub(super) kind: &'static str,
    /// Sections that are tried in the same way.
    pub(super) also: &'static [&'static str],
    pub(super) options: Options,
    /// The number that the program returns: one that changes nothing.
    pub(super) number: i32,
    pub(super) on: On,
    pub(super) place: Place,
    /// Options of the kernel without which it cannot work.
    pub(super) config: &'static [&'static str],
}

/// What of the kernel's BTF a program is loaded for.
#[derive(Debug, Clone, Copy)]
pub(super) enum On {
    Nothing,
    /// A type.
    Kernel(Kind, &'static str),
    /// A member of a struct.
    Member(&'static str, &'static str),
    /// It is not tried, for this reason.
    Untried(&'static str),
}

const fn row(kind: &'static str, ty: u32, place: Place) -> Row {
    let options = Options { ty, attach_type: 0, flags: 0, btf: 0 };
    Row { kind, also: &[], options, number: 0, on: On::Nothing, place, config: &[] }
}

/// Builders for the rows of the table.
impl Row {
    const fn also(self, also: &'static [&'static str]) -> Row {
        Row { also, ..self }
    }

    /// How the program is going to be attached.
    const fn by(self, attach_type: u32) -> Row {
        Row { options: Options { attach_type, ..self.options }, ..self }
    }

    const fn flags(self, flags: u32) -> Row {
        Row { options: Options { flags, ..self.options }, ..self }
    }

    const fn returns(self, number: i32) -> Row {
        Row { number, ..self }
    }

    const fn on(self, kind: Kind, name: &'static str) -> Row {
        Row { on: On::Kernel(kind, name), ..self }
    }

    const fn needs(self, config: &'static [&'static str]) -> Row {
        Row { config, ..self }
    }
}

use libbpf_sys as k;

const TRACING: u32 = k::BPF_PROG_TYPE_TRACING;
const KPROBE: u32 = k::BPF_PROG_TYPE_KPROBE;
const XDP: u32 = k::BPF_PROG_TYPE_XDP;
const TC: u32 = k::BPF_PROG_TYPE_SCHED_CLS;

/// `XDP_PASS` (linux/bpf.h).
const PASS: i32 = 2;

const INTERFACE: Place = Place::None("the packets of an interface");
const ROUTE: Place = Place::None("the packets of a route");
const NAMESPACE: Place = Place::None("a network namespace");
const CGROUP: Place = Place::None("the processes of a cgroup");
const SOCKETS: Place = Place::None("sockets");

/// What programs on functions with types need. Their entry is patched by the function tracer.
const TRAMPOLINES: &[&str] = &[
    "CONFIG_DEBUG_INFO_BTF",
    "CONFIG_BPF_JIT",
    "CONFIG_FUNCTION_TRACER",
    "CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS",
];
const KPROBES: &[&str] = &["CONFIG_KPROBES", "CONFIG_KPROBE_EVENTS", "CONFIG_BPF_EVENTS"];
const FPROBE: &[&str] = &["CONFIG_FPROBE", "CONFIG_BPF_EVENTS"];
const UPROBES: &[&str] = &["CONFIG_UPROBES", "CONFIG_UPROBE_EVENTS", "CONFIG_BPF_EVENTS"];
const EVENTS: &[&str] = &["CONFIG_BPF_EVENTS", "CONFIG_PERF_EVENTS"];
const CGROUPS: &[&str] = &["CONFIG_CGROUP_BPF"];
const FILTERS: &[&str] = &["CONFIG_NET_CLS_ACT", "CONFIG_NET_CLS_BPF"];
const LSM: &[&str] = &["CONFIG_BPF_LSM"];
const ROUTES: &[&str] = &["CONFIG_LWTUNNEL_BPF"];

/// The table.
#[rustfmt::skip]
pub(super) static KINDS: &[Row] = &[
    // Tracepoints.
    row("tp_btf", TRACING, Place::Typed).by(k::BPF_TRACE_RAW_TP)
        .on(Kind::Typedef, "btf_trace_sched_process_exec").needs(EVENTS),
    row("raw_tp", k::BPF_PROG_TYPE_RAW_TRACEPOINT, Place::Raw).also(&["raw_tracepoint"]).needs(EVENTS),
    row("raw_tp.w", k::BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE, Place::Raw).also(&["raw_tracepoint.w"]).needs(EVENTS),
    row("tp", k::BPF_PROG_TYPE_TRACEPOINT, Place::Tracepoint).also(&["tracepoint"]).needs(EVENTS),
    // Functions of the kernel.
    row("fentry", TRACING, Place::Typed).also(&["fentry.s"]).by(k::BPF_TRACE_FENTRY)
        .on(Kind::Func, FUNCTION).needs(TRAMPOLINES),
    row("fexit", TRACING, Place::Typed).also(&["fexit.s"]).by(k::BPF_TRACE_FEXIT)
        .on(Kind::Func, FUNCTION).needs(TRAMPOLINES),
    // The kernel always accepts security hooks here, and continues with the hook after a 0. This one is
    // called when somebody sets the clock.
    row("fmod_ret", TRACING, Place::Typed).also(&["fmod_ret.s"]).by(k::BPF_MODIFY_RETURN)
        .on(Kind::Func, "security_settime64").needs(TRAMPOLINES),
    row("fsession", TRACING, Place::Typed).also(&["fsession.s"]).by(k::BPF_TRACE_FSESSION)
        .on(Kind::Func, FUNCTION).needs(TRAMPOLINES),
    row("kprobe", KPROBE, Place::Function(false)).needs(KPROBES),
    row("kretprobe", KPROBE, Place::Function(true)).needs(KPROBES),
    row("ksyscall", KPROBE, Place::Function(false)).also(&["kretsyscall"]).needs(KPROBES),
    row("kprobe.multi", KPROBE, Place::FunctionLink(k::BPF_TRACE_KPROBE_MULTI)).also(&["kretprobe.multi"])
        .by(k::BPF_TRACE_KPROBE_MULTI).needs(FPROBE),
    row("kprobe.session", KPROBE, Place::FunctionLink(k::BPF_TRACE_KPROBE_SESSION))
        .by(k::BPF_TRACE_KPROBE_SESSION).needs(FPROBE),
    // Functions of processes.
    row("uprobe", KPROBE, Place::Own(false)).also(&["uprobe.s"]).needs(UPROBES),
    row("uretprobe", KPROBE, Place::Own(true)).also(&["uretprobe.s"]).needs(UPROBES),
    row("usdt", KPROBE, Place::Own(false)).also(&["usdt.s"]).needs(UPROBES),
    row("uprobe.multi", KPROBE, Place::OwnLink(k::BPF_TRACE_UPROBE_MULTI))
        .also(&["uprobe.multi.s", "uretprobe.multi", "uretprobe.multi.s"])
        .by(k::BPF_TRACE_UPROBE_MULTI).needs(UPROBES),
    row("uprobe.session", KPROBE, Place::OwnLink(k::BPF_TRACE_UPROBE_SESSION)).also(&["uprobe.session.s"])
        .by(k::BPF_TRACE_UPROBE_SESSION).needs(UPROBES),
    // Other tracing, and programs that change the kernel.
    row("perf_event", k::BPF_PROG_TYPE_PERF_EVENT, Place::Clock).needs(EVENTS),
    row("iter", TRACING, Place::Iterator).also(&["iter.s"]).by(k::BPF_TRACE_ITER)
        .on(Kind::Func, "bpf_iter_task"),
    // This hook returns nothing, so a program there cannot deny anything.
    row("lsm", k::BPF_PROG_TYPE_LSM, Place::Typed).also(&["lsm.s"]).by(k::BPF_LSM_MAC)
        .on(Kind::Func, "bpf_lsm_bprm_committed_creds").needs(LSM),
    row("lsm_cgroup", k::BPF_PROG_TYPE_LSM, CGROUP).by(k::BPF_LSM_CGROUP).returns(1)
        .on(Kind::Func, "bpf_lsm_socket_post_create").needs(LSM),
    Row { on: On::Untried("not tried: it replaces a function of another program, and there is none"),
        ..row("freplace", k::BPF_PROG_TYPE_EXT, Place::Typed) },
    Row { on: On::Member("tcp_congestion_ops", "ssthresh"),
        ..row("struct_ops", k::BPF_PROG_TYPE_STRUCT_OPS, Place::None("the functions of the kernel")) }
        .also(&["struct_ops.s"]),
    row("syscall", k::BPF_PROG_TYPE_SYSCALL, Place::Call).flags(k::BPF_F_SLEEPABLE),
    // Interfaces.
    row("xdp", XDP, INTERFACE).by(k::BPF_XDP).returns(PASS),
    row("xdp.frags", XDP, INTERFACE).by(k::BPF_XDP).flags(k::BPF_F_XDP_HAS_FRAGS).returns(PASS),
    row("xdp/devmap", XDP, INTERFACE).also(&["xdp.frags/devmap"]).by(k::BPF_XDP_DEVMAP).returns(PASS),
    row("xdp/cpumap", XDP, INTERFACE).also(&["xdp.frags/cpumap"]).by(k::BPF_XDP_CPUMAP).returns(PASS),
    row("tc", TC, INTERFACE).also(&["classifier"]).needs(FILTERS),
    row("tcx", TC, Place::NoInterface(k::BPF_TCX_INGRESS)).by(k::BPF_TCX_INGRESS),
    row("netkit", TC, Place::NoInterface(k::BPF_NETKIT_PRIMARY)).by(k::BPF_NETKIT_PRIMARY)
        .needs(&["CONFIG_NETKIT"]),
    row("action", k::BPF_PROG_TYPE_SCHED_ACT, INTERFACE).needs(FILTERS),
    row("lwt_in", k::BPF_PROG_TYPE_LWT_IN, ROUTE).needs(ROUTES),
    row("lwt_out", k::BPF_PROG_TYPE_LWT_OUT, ROUTE).needs(ROUTES),
    row("lwt_xmit", k::BPF_PROG_TYPE_LWT_XMIT, ROUTE).needs(ROUTES),
    row("lwt_seg6local", k::BPF_PROG_TYPE_LWT_SEG6LOCAL, ROUTE).needs(ROUTES),
    // Network namespaces.
    row("sk_lookup", k::BPF_PROG_TYPE_SK_LOOKUP, NAMESPACE).by(k::BPF_SK_LOOKUP).returns(1),
    row("flow_dissector", k::BPF_PROG_TYPE_FLOW_DISSECTOR, NAMESPACE).by(k::BPF_FLOW_DISSECTOR),
    row("netfilter", k::BPF_PROG_TYPE_NETFILTER, NAMESPACE).by(k::BPF_NETFILTER).returns(1)
        .needs(&["CONFIG_NETFILTER_BPF_LINK"]),
    // Cgroups.
    row("cgroup_skb", k::BPF_PROG_TYPE_CGROUP_SKB, CGROUP).also(&["cgroup/skb"]).by(k::BPF_CGROUP_INET_INGRESS)
        .returns(1).needs(CGROUPS),
    row("cgroup", k::BPF_PROG_TYPE_CGROUP_SOCK_ADDR, CGROUP).by(k::BPF_CGROUP_INET4_CONNECT)
        .returns(1).needs(CGROUPS),
    row("cgroup/sock", k::BPF_PROG_TYPE_CGROUP_SOCK, CGROUP)
        .also(&["cgroup/sock_create", "cgroup/sock_release", "cgroup/post_bind"])
        .by(k::BPF_CGROUP_INET_SOCK_CREATE).returns(1).needs(CGROUPS),
    row("cgroup/dev", k::BPF_PROG_TYPE_CGROUP_DEVICE, CGROUP).by(k::BPF_CGROUP_DEVICE)
        .returns(1).needs(CGROUPS),
    row("cgroup/sysctl", k::BPF_PROG_TYPE_CGROUP_SYSCTL, CGROUP).by(k::BPF_CGROUP_SYSCTL)
        .returns(1).needs(CGROUPS),
    row("cgroup/getsockopt", k::BPF_PROG_TYPE_CGROUP_SOCKOPT, CGROUP).also(&["cgroup/setsockopt"])
        .by(k::BPF_CGROUP_GETSOCKOPT).returns(1).needs(CGROUPS),
    row("sockops", k::BPF_PROG_TYPE_SOCK_OPS, CGROUP).by(k::BPF_CGROUP_SOCK_OPS).returns(1).needs(CGROUPS),
    // Sockets, and maps of them.
    row("sk_skb", k::BPF_PROG_TYPE_SK_SKB, SOCKETS).returns(1),
    row("sk_msg", k::BPF_PROG_TYPE_SK_MSG, SOCKETS).by(k::BPF_SK_MSG_VERDICT).returns(1),
    row("sk_reuseport", k::BPF_PROG_TYPE_SK_REUSEPORT, SOCKETS).by(k::BPF_SK_REUSEPORT_SELECT).returns(1),
    row("socket", k::BPF_PROG_TYPE_SOCKET_FILTER, Place::Socket),
    // Infrared remote controls.
    row("lirc_mode2", k::BPF_PROG_TYPE_LIRC_MODE2, Place::None("a receiver"))
        .by(k::BPF_LIRC_MODE2).needs(&["CONFIG_BPF_LIRC_MODE2"]),
];
