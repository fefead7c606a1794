// SPDX-License-Identifier: MIT
//! What surrounds tracers: file systems of the kernel, its type information, a container.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use bpfpack_schemas::diagnosis::Check;

use crate::kernel::{Facts as _, Running, Tracefs, mounted};
use crate::layout::bytes;

const BTF: &str = "/sys/kernel/btf";

/// The inode of the first PID namespace (include/linux/proc_ns.h: `PROC_PID_INIT_INO`).
const FIRST_PIDS: u64 = 0xefff_fffc;

/// All checks.
pub(super) fn check() -> Vec<Check> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    vec![
        btf(),
        module_btf(),
        tracefs(&mounts),
        cgroup(&mounts),
        other(&mounts, "bpffs", "bpf", "--pin needs it", "mount -t bpf bpf /sys/fs/bpf"),
        debugfs(&mounts),
        container(),
        pids(),
    ]
}

fn btf() -> Check {
    let check = |size: u64| Check::ok("kernel BTF").value(bytes(size));
    match fs::metadata(format!("{BTF}/vmlinux")) {
        Ok(file) => check(file.len()),
        Err(_) => Check::missing("kernel BTF")
            .because("programs cannot adapt to this kernel, and programs with types do not load")
            .advice("use a kernel with CONFIG_DEBUG_INFO_BTF=y"),
    }
}

/// A kernel may have no modules, so none is not a lack.
fn module_btf() -> Check {
    let files = fs::read_dir(BTF).into_iter().flatten().flatten();
    let count = files.filter(|file| file.file_name() != "vmlinux").count();
    Check::ok("BTF of modules").value(format!("{count} modules"))
}

fn tracefs(mounts: &str) -> Check {
    let name = "tracefs";
    match (mounted(mounts, "tracefs").next(), Running.tracefs()) {
        (_, Tracefs::Hidden(directory)) => Check::missing(name)
            .value(directory.display().to_string())
            .because("this user cannot read it, and so cannot use tracepoints")
            .advice("CAP_DAC_READ_SEARCH gives access; so does mount -o remount,mode=755"),
        (Some(directory), Tracefs::Mounted) => Check::ok(name).value(directory),
        (None, Tracefs::Mounted) => {
            Check::ok(name).because("not mounted; ecli reaches it without a mount")
        }
        (_, Tracefs::Absent) => Check::missing(name)
            .because("not mounted, and this user cannot reach it; tracepoints need it")
            .advice("mount -t tracefs tracefs /sys/kernel/tracing"),
    }
}

fn cgroup(mounts: &str) -> Check {
    let (why, how) = (
        "programs of cgroups, and --cgroup, need it",
        "mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified",
    );
    other(mounts, "cgroup v2", "cgroup2", why, how)
}

fn other(mounts: &str, name: &str, kind: &str, why: &str, how: &str) -> Check {
    match mounted(mounts, kind).next() {
        Some(directory) => Check::ok(name).value(directory),
        None => Check::missing(name).because(format!("not mounted; {why}")).advice(how),
    }
}

/// ecli does not need it, so its absence is not a lack.
fn debugfs(mounts: &str) -> Check {
    match mounted(mounts, "debugfs").next() {
        Some(directory) => Check::ok("debugfs").value(directory),
        None => Check::ok("debugfs").because("not mounted; ecli does not need it"),
    }
}

fn container() -> Check {
    let names = [("/.dockerenv", "docker"), ("/run/.containerenv", "podman")];
    let by_file = names.iter().find(|(file, _)| Path::new(file).exists());
    let by_systemd = || fs::read_to_string("/run/systemd/container").ok();
    let kind = by_file.map(|(_, kind)| (*kind).to_owned()).or_else(by_systemd);
    match kind {
        Some(kind) => Check::ok("container").value(kind.trim()),
        None => Check::ok("container").value("none detected"),
    }
}

/// Programs see the process IDs of the first namespace.
fn pids() -> Check {
    let name = "PID namespace";
    match fs::metadata("/proc/self/ns/pid").map(|file| file.ino()) {
        Ok(FIRST_PIDS) => Check::ok(name).value("that of the machine"),
        Ok(_) => Check::ok(name)
            .value("its own")
            .because("programs show the process IDs of the machine, which differ from those here"),
        Err(error) => Check::unknown(name).because(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_systems_are_found_by_their_kind() {
        let mounts = "cgroup /sys/fs/cgroup/cpu cgroup rw 0 0\ncgroup2 /x cgroup2 rw 0 0\n";
        assert_eq!(mounted(mounts, "cgroup2").next(), Some("/x"));
        assert_eq!(mounted(mounts, "bpf").next(), None);
        assert_eq!(cgroup(mounts), Check::ok("cgroup v2").value("/x"));
        assert!(cgroup("").advice.unwrap().starts_with("mount -t cgroup2 "));
        assert_eq!(debugfs("").state, bpfpack_schemas::diagnosis::State::Ok);
    }
}
