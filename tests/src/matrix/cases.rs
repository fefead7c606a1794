// SPDX-License-Identifier: MIT
//! The table of cases: each kind of program, what triggers it, and how often it is called then.

use serde_json::Value;

use super::acts::{self, Act};

/// How often an activity happens.
pub const TIMES: u64 = 10;

/// Packages for cases: their names, and their sources.
pub const PACKAGES: [(&str, &str); 7] = [
    (KINDS, "tests/fixtures/kinds.bpf.c"),
    ("congestion", "tests/fixtures/congestion.bpf.c"),
    ("reno", "examples/reno/reno.bpf.c"),
    ("lsmopen", "examples/lsmopen/lsmopen.bpf.c"),
    ("vfslat", "examples/vfslat/vfslat.bpf.c"),
    ("xdpcount", "examples/xdpcount/xdpcount.bpf.c"),
    ("perf", "tests/fixtures/perf.bpf.c"),
];
const KINDS: &str = "kinds";

/// A way to use a kind of program, or an example.
#[derive(Debug)]
pub struct Case {
    /// The section of the kind, with what distinguishes it from others of the kind; or the name of an
    /// example.
    pub name: &'static str,
    /// The package, of [`PACKAGES`].
    pub(super) package: &'static str,
    /// The program that counts, if the package has one for each kind.
    pub(super) program: Option<&'static str>,
    /// The target of the program, if neither its section nor an option for all programs names it.
    pub(super) target: Option<&'static str>,
    /// More arguments for ecli.
    pub(super) args: &'static [&'static str],
    /// The option of the package for the ID of the process that acts.
    pub(super) process: Option<&'static str>,
    pub(super) act: Act,
    /// How many events ecli must show.
    pub(super) events: Events,
    /// How many events the output has.
    pub(super) seen: fn(&[Value]) -> u64,
    /// Whether a program must be there whose function is replaced.
    pub(super) replaces: bool,
    /// The series of the first kernel that has the kind, of those that are tested. `None` if ecli does
    /// not attach it.
    pub since: Option<&'static str>,
    /// Whether it is a kind, not an example.
    pub is_kind: bool,
}

/// How many events there must be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Events {
    Exactly(u64),
    Some,
}

impl Events {
    /// Whether this is the right number.
    pub(super) fn fit(self, seen: u64) -> bool {
        match self {
            Events::Exactly(number) => seen == number,
            Events::Some => seen > 0,
        }
    }
}

const OLDEST: &str = "5.10";
/// In the arguments of a case, the ID of the process that acts.
pub(super) const ACTOR: &str = "ACTOR";

/// A program of the package with all kinds that is called once for each activity.
const fn kind(name: &'static str, program: &'static str, act: Act) -> Case {
    Case {
        name,
        package: KINDS,
        program: Some(program),
        target: None,
        args: &[],
        process: Some("--tgid"),
        act,
        events: Events::Exactly(TIMES),
        seen: calls,
        replaces: false,
        since: Some(OLDEST),
        is_kind: true,
    }
}

/// An example, or a fixture.
const fn example(
    name: &'static str,
    package: &'static str,
    act: Act,
    seen: fn(&[Value]) -> u64,
) -> Case {
    let process = Some("--pid");
    Case { package, program: None, process, seen, is_kind: false, ..kind(name, "", act) }
}

/// Builders for the rows of the table.
impl Case {
    const fn args(self, args: &'static [&'static str]) -> Case {
        Case { args, ..self }
    }

    const fn on(self, target: &'static str) -> Case {
        Case { target: Some(target), ..self }
    }

    const fn times(self, times: u64) -> Case {
        Case { events: Events::Exactly(times), ..self }
    }

    const fn some(self) -> Case {
        Case { events: Events::Some, ..self }
    }

    const fn since(self, series: &'static str) -> Case {
        Case { since: Some(series), ..self }
    }

    /// ecli does not attach it, and says why.
    const fn elsewhere(self) -> Case {
        Case { since: None, ..self }
    }
}

/// The calls in the last reading of the package with all kinds.
fn calls(objects: &[Value]) -> u64 {
    objects.iter().rev().find_map(|it| it["value"]["calls"].as_u64()).unwrap_or(0)
}

/// The connections in the last reading of examples/reno.
fn connections(objects: &[Value]) -> u64 {
    let last = objects.iter().rfind(|it| it["key"] == "connections");
    last.and_then(|it| it["value"].as_u64()).unwrap_or(0)
}

fn calls_of(objects: &[Value], key: &str) -> u64 {
    let last = objects.iter().rfind(|it| it["key"] == key);
    last.and_then(|it| it["value"]["calls"].as_u64()).unwrap_or(0)
}

/// The reads and writes that examples/vfslat shows: both numbers must be the same.
fn reads_and_writes(objects: &[Value]) -> u64 {
    let (reads, writes) = (calls_of(objects, "read"), calls_of(objects, "write"));
    if reads == writes { reads } else { 0 }
}

/// The writes that examples/vfslat shows. A read that waits keeps one of the few places for returns
/// that kprobes have: on Linux 5.10, as many as there are CPUs.
fn writes(objects: &[Value]) -> u64 {
    calls_of(objects, "write")
}

/// The packets that examples/xdpcount shows.
fn counted(objects: &[Value]) -> u64 {
    let last = objects.iter().rfind(|it| it.to_string().contains("UDP"));
    last.and_then(|it| it["value"]["packets"].as_u64()).unwrap_or(0)
}

fn records(objects: &[Value]) -> u64 {
    objects.len() as u64
}

/// What is opened as [`acts::opens`] opens it.
fn opened(objects: &[Value]) -> u64 {
    objects.iter().filter(|it| it["path"] == "/proc/version").count() as u64
}

const BY_KPROBES: &[&str] = &[
    "--with",
    "read_kprobe",
    "--with",
    "read_kretprobe",
    "--with",
    "write_kprobe",
    "--with",
    "write_kretprobe",
];
const WITH_DEVICES: &[&str] =
    &["--attach", "on_xdp_to_device=xdp:lo/generic", "--map-set", "devices=0:lo/on_xdp_devmap"];
const WITH_CPUS: &[&str] =
    &["--attach", "on_xdp_to_cpu=xdp:lo/generic", "--map-set", "cpus=0:64/on_xdp_cpumap"];

/// The table, one row for each case.
#[rustfmt::skip]
pub static CASES: &[Case] = &[
    // Tracepoints.
    kind("tp_btf", "on_tp_btf", acts::getpgid),
    kind("raw_tp", "on_raw_tp", acts::getpgid),
    kind("tp", "on_tp", acts::getpgid),
    kind("raw_tp.w", "on_raw_tp_w", acts::test_runs),
    // Kernel functions.
    kind("fentry", "on_fentry", acts::unlinks),
    kind("fexit", "on_fexit", acts::unlinks),
    kind("kprobe", "on_kprobe", acts::unlinks),
    kind("kretprobe", "on_kretprobe", acts::unlinks),
    kind("kprobe.multi", "on_kprobe_multi", acts::unlinks).since("6.12"),
    kind("kretprobe.multi", "on_kretprobe_multi", acts::unlinks).since("6.12"),
    kind("kprobe.session", "on_kprobe_session", acts::unlinks).times(2 * TIMES).since("6.12"),
    kind("ksyscall", "on_ksyscall", acts::getpgid),
    kind("kretsyscall", "on_kretsyscall", acts::getpgid),
    kind("fmod_ret", "on_fmod_ret", acts::unlinks),
    kind("fsession", "on_fsession", acts::unlinks).times(2 * TIMES).since("7.3"),
    // User functions.
    kind("uprobe", "on_uprobe", acts::calls),
    kind("uretprobe", "on_uretprobe", acts::calls),
    kind("uprobe.s", "on_uprobe_s", acts::calls).since("6.1"),
    kind("uprobe.multi", "on_uprobe_multi", acts::calls).since("6.12"),
    kind("uretprobe.multi", "on_uretprobe_multi", acts::calls).since("6.12"),
    kind("uprobe.session", "on_uprobe_session", acts::calls).times(2 * TIMES).since("6.18"),
    kind("usdt", "on_usdt", acts::calls).on("usdt:bpfpack:probed").since("6.1"),
    // Then, --pid is also the argument of the package.
    Case { process: None, ..kind("usdt of a process", "on_usdt", acts::calls) }
        .on("usdt:bpfpack:probed")
        .args(&["--pid", ACTOR]),
    // Other tracing, and programs that change the kernel.
    kind("perf_event", "on_perf_event", acts::spin).on("perf:cpu-clock@1000hz").some(),
    kind("iter", "on_iter", acts::time).some(),
    kind("lsm", "on_lsm", acts::unlinks),
    kind("lsm.s", "on_lsm_s", acts::unlinks).since("6.1"),
    kind("lsm_cgroup", "on_lsm_cgroup", acts::binds).since("6.1"),
    Case { replaces: true, ..kind("freplace", "on_freplace", acts::packets).times(2 * TIMES) },
    Case {
        package: "congestion",
        program: None,
        process: None,
        ..kind("struct_ops", "", acts::connects_by_fixture)
    },
    Case {
        package: "reno",
        program: None,
        process: None,
        seen: connections,
        ..kind("struct_ops.link", "", acts::connects_by_example).since("6.12")
    },
    kind("syscall", "on_syscall", acts::time).args(&["-i", "50ms"]).some().since("6.1"),
    // Interfaces.
    kind("xdp", "on_xdp", acts::packets).on("xdp:lo/generic"),
    kind("xdp.frags", "on_xdp_frags", acts::packets).on("xdp:lo/generic").since("6.1"),
    kind("xdp/devmap", "on_xdp_devmap", acts::lost_packets).args(WITH_DEVICES).since("6.1"),
    kind("xdp/cpumap", "on_xdp_cpumap", acts::packets).args(WITH_CPUS).since("6.1"),
    kind("tc", "on_tc", acts::packets),
    kind("tcx", "on_tcx", acts::packets),
    kind("action", "on_action", acts::nothing).elsewhere(),
    kind("netkit", "on_netkit", acts::netkit_packets).on("netkit:netkit0").since("6.12"),
    kind("lwt_in", "on_lwt_in", acts::nothing).elsewhere(),
    kind("lwt_out", "on_lwt_out", acts::nothing).elsewhere(),
    kind("lwt_xmit", "on_lwt_xmit", acts::nothing).elsewhere(),
    kind("lwt_seg6local", "on_lwt_seg6local", acts::nothing).elsewhere(),
    // Network namespaces.
    kind("sk_lookup", "on_sk_lookup", acts::packets).on("netns:/proc/self/ns/net"),
    kind("flow_dissector", "on_flow_dissector", acts::raw_packets).on("netns:/proc/self/ns/net"),
    kind("netfilter", "on_netfilter", acts::packets).on("netfilter:ipv4/local_in").since("6.12"),
    // Cgroups.
    kind("cgroup_skb/ingress", "on_cgroup_ingress", acts::packets),
    kind("cgroup_skb/egress", "on_cgroup_egress", acts::packets),
    kind("cgroup/sock_create", "on_cgroup_create", acts::binds),
    kind("cgroup/sock_release", "on_cgroup_release", acts::binds),
    kind("cgroup/bind4", "on_cgroup_bind", acts::binds),
    kind("cgroup/post_bind4", "on_cgroup_post_bind", acts::binds),
    kind("cgroup/connect4", "on_cgroup_connect", acts::connects),
    kind("cgroup/connect_unix", "on_cgroup_connect_unix", acts::unix_connects).since("6.12"),
    kind("cgroup/sendmsg4", "on_cgroup_sendmsg", acts::packets),
    kind("cgroup/recvmsg4", "on_cgroup_recvmsg", acts::packets),
    kind("cgroup/getpeername4", "on_cgroup_peer", acts::peer_names),
    kind("cgroup/getsockname4", "on_cgroup_name", acts::names),
    kind("cgroup/sysctl", "on_cgroup_sysctl", acts::sysctls),
    kind("cgroup/getsockopt", "on_cgroup_getsockopt", acts::questions),
    kind("cgroup/setsockopt", "on_cgroup_setsockopt", acts::settings),
    kind("cgroup/dev", "on_cgroup_dev", acts::devices),
    kind("sockops", "on_sockops", acts::connects),
    // Sockets, and maps of them.
    kind("sk_skb", "on_sk_skb", acts::data).on("map:receivers").args(&["--with", "on_established"]),
    kind("sk_msg", "on_sk_msg", acts::data).on("map:senders").args(&["--with", "on_established"]),
    kind("sk_reuseport", "on_sk_reuseport", acts::nothing).elsewhere(),
    // A packet socket sees a packet twice: sent, and received.
    kind("socket", "on_socket", acts::packets).times(2 * TIMES),
    kind("lirc_mode2", "on_lirc", acts::nothing).elsewhere(),
    // Examples of kinds that need a kernel of one's own.
    // Before 5.11, no LSM program can ask for a path.
    example("lsmopen", "lsmopen", acts::opens, opened).since("6.1"),
    example("vfslat", "vfslat", acts::reads_and_writes, reads_and_writes),
    example("vfslat by kprobes", "vfslat", acts::reads_and_writes, writes).args(BY_KPROBES),
    // A value for each possible CPU, in an array and in a hash map.
    Case { process: None, ..example("xdpcount", "xdpcount", acts::packets, counted) }
        .args(&["--decode", "--interface", "lo"]),
    // A buffer for each possible CPU.
    Case { process: Some("--target_pid"), ..example("perf buffer", "perf", acts::getpgid, records) },
];

impl Case {
    /// The case with a name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Case> {
        CASES.iter().find(|case| case.name == name)
    }
}
