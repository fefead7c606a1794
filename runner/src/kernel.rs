// SPDX-License-Identifier: MIT
//! What this kernel and this user can do. Features are asked for, not concluded from a version.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use bpfpack_schemas::btf::Btf;
use bpfpack_schemas::object::BpfObject;

use crate::failure::{Failure, exit_code};

const VMLINUX_BTF: &str = "/sys/kernel/btf/vmlinux";

/// A capability by its number in linux/capability.h.
struct Capability(u32, &'static str, &'static str);

const CAP_NET_ADMIN: Capability = Capability(12, "CAP_NET_ADMIN", "network programs");
const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: Capability = Capability(38, "CAP_PERFMON", "tracing");
const CAP_BPF: Capability = Capability(39, "CAP_BPF", "loading BPF programs");

/// Sections of programs that need no `CAP_PERFMON`, but `CAP_NET_ADMIN`.
const NETWORK: [&str; 12] = [
    "xdp",
    "tc",
    "tcx",
    "classifier",
    "action",
    "cgroup",
    "cgroup_skb",
    "sk_",
    "sockops",
    "flow_",
    "lwt_",
    "netfilter",
];

/// Checks, before anything is loaded, that this user may.
///
/// # Errors
/// Names the capabilities that are missing.
pub fn check_capabilities(elf: &BpfObject<'_>) -> Result<(), Failure> {
    let Some(effective) = effective_capabilities() else {
        return Ok(());
    };
    let has = |number: u32| effective & 1 << number != 0;
    if has(CAP_SYS_ADMIN) {
        return Ok(());
    }
    let sections: Vec<_> = elf.programs().into_iter().map(|program| program.section).collect();
    let is_network = |section: &String| NETWORK.iter().any(|name| section.starts_with(name));
    let mut needed = vec![CAP_BPF];
    if sections.iter().any(|section| !is_network(section)) {
        needed.push(CAP_PERFMON);
    }
    if sections.iter().any(is_network) {
        needed.push(CAP_NET_ADMIN);
    }
    needed.retain(|capability| !has(capability.0));
    if needed.is_empty() {
        return Ok(());
    }
    let list: Vec<_> =
        needed.iter().map(|Capability(_, name, what)| format!("{name} ({what})")).collect();
    Err(Failure::new(
        exit_code::PERMISSION,
        anyhow!("this user may not run the package: {} missing", list.join(" and ")),
    )
    .hint("run it as root: sudo ecli run …"))
}

fn effective_capabilities() -> Option<u64> {
    rustix::thread::capabilities(None).ok().map(|sets| sets.effective.bits())
}

/// Whether the kernel describes its types, which `tp_btf`, `fentry` and their kind need.
pub fn has_btf() -> bool {
    Path::new(VMLINUX_BTF).exists()
}

/// The kernel's own type information: 5 MB or more, so it is kept only as long as it is needed.
pub fn btf() -> Option<Btf<'static>> {
    let data = fs::read(VMLINUX_BTF).ok()?;
    Btf::parse(&data).ok().map(Btf::into_owned)
}

/// Whether kprobes can be attached: the kernel then has an event source for them.
pub fn has_kprobes() -> bool {
    Path::new("/sys/bus/event_source/devices/kprobe").exists()
        || TRACEFS.iter().any(|dir| Path::new(dir).join("kprobe_events").exists())
}

/// Whether the kernel has a function of this name that could be traced.
pub fn has_function(name: &str) -> bool {
    let symbols = fs::read_to_string("/proc/kallsyms").unwrap_or_default();
    symbols.lines().any(|line| line.split_whitespace().nth(2) == Some(name))
}

/// Where the file system with the tracepoints may be mounted.
const TRACEFS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// The file system with the tracepoints, where it is mounted at a place that libbpf looks at.
pub fn tracefs() -> Option<&'static Path> {
    TRACEFS.iter().map(Path::new).find(|dir| dir.join("events").is_dir())
}

/// Whether the file system with the tracepoints is mounted where libbpf looks for it.
pub fn has_tracefs() -> bool {
    tracefs().is_some()
}

/// Where the file system with the tracepoints is mounted, if this user may not look into it.
pub fn hidden_tracefs() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    hidden_in(&mounts, |dir| {
        fs::metadata(dir.join("events")).is_err_and(|e| e.kind() == io::ErrorKind::PermissionDenied)
    })
}

/// The same, by the text of `/proc/self/mounts`: proc_pid_mounts(5).
fn hidden_in(mounts: &str, is_hidden: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    let dir = |line: &str| {
        let mut words = line.split(' ').skip(1);
        let (dir, kind) = (words.next()?, words.next()?);
        (kind == "tracefs").then(|| PathBuf::from(dir))
    };
    mounts.lines().filter_map(dir).find(|dir| is_hidden(dir))
}

/// What is to be said where an object has LSM programs and the kernel does not ask them.
pub fn unasked_lsm(elf: &BpfObject<'_>) -> Option<&'static str> {
    let has_lsm = elf.programs().iter().any(|program| program.section.starts_with("lsm"));
    (has_lsm && has_bpf_lsm() == Some(false)).then_some(
        "this kernel does not ask LSM programs: it was started without `bpf` in its argument lsm=",
    )
}

/// Whether the kernel asks BPF programs when security modules are asked; none where that cannot
/// be seen.
fn has_bpf_lsm() -> Option<bool> {
    let modules = fs::read_to_string("/sys/kernel/security/lsm").ok()?;
    Some(modules.trim().split(',').any(|module| module == "bpf"))
}

/// Whether there is a tracepoint `category/name`; none where that cannot be seen.
pub fn has_tracepoint(event: &str) -> Option<bool> {
    tracefs().map(|dir| dir.join("events").join(event).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tracefs_that_this_user_may_not_look_into() {
        let mounts = "sysfs /sys sysfs rw 0 0\ntracefs /sys/kernel/tracing tracefs rw 0 0\n";
        let tracing = Path::new("/sys/kernel/tracing");
        assert_eq!(hidden_in(mounts, |_| true).as_deref(), Some(tracing));
        assert_eq!(hidden_in(mounts, |_| false), None);
        assert_eq!(hidden_in("sysfs /sys sysfs rw 0 0\n", |_| true), None);
    }
}
