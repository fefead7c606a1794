// SPDX-License-Identifier: MIT
//! What this kernel and this user can do. Each feature is probed, not derived from a version. What
//! follows from the answers is decided elsewhere.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use bpfpack_refusal::since::Version;
use bpfpack_schemas::btf::Btf;

use crate::sys;

const VMLINUX_BTF: &str = "/sys/kernel/btf/vmlinux";

/// A capability (linux/capability.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Capability {
    number: u32,
    /// Its name.
    pub(crate) name: &'static str,
    /// What it is needed for.
    pub(crate) purpose: &'static str,
}

impl Capability {
    /// For directories of other users.
    pub(crate) const DAC_READ_SEARCH: Capability =
        Capability::new(2, "CAP_DAC_READ_SEARCH", "tracefs and files of other users");
    /// For network programs.
    pub(crate) const NET_ADMIN: Capability =
        Capability::new(12, "CAP_NET_ADMIN", "network programs");
    /// For packet sockets.
    pub(crate) const NET_RAW: Capability = Capability::new(13, "CAP_NET_RAW", "packet sockets");
    /// For other processes.
    pub(crate) const SYS_PTRACE: Capability =
        Capability::new(19, "CAP_SYS_PTRACE", "symbols of processes of other users");
    /// Replaces all others.
    pub(crate) const SYS_ADMIN: Capability =
        Capability::new(21, "CAP_SYS_ADMIN", "writing to the memory of processes");
    /// For tracing programs.
    pub(crate) const PERFMON: Capability = Capability::new(38, "CAP_PERFMON", "tracing");
    /// For all programs.
    pub(crate) const BPF: Capability = Capability::new(39, "CAP_BPF", "loading BPF programs");

    const fn new(number: u32, name: &'static str, purpose: &'static str) -> Capability {
        Capability { number, name, purpose }
    }
}

/// A set of capabilities.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Capabilities(u64);

impl Capabilities {
    /// Whether the set has a capability.
    pub(crate) fn has(self, capability: Capability) -> bool {
        self.0 & 1 << capability.number != 0
    }

    /// Makes a set.
    #[cfg(test)]
    pub(crate) fn of(capabilities: &[Capability]) -> Capabilities {
        Capabilities(capabilities.iter().fold(0, |set, capability| set | 1 << capability.number))
    }
}

/// The effective capabilities of this thread; `None` if the kernel does not report them.
pub(crate) fn capabilities() -> Option<Capabilities> {
    rustix::thread::capabilities(None).ok().map(|sets| Capabilities(sets.effective.bits()))
}

/// Facts about the kernel that explain why a program is refused.
pub(crate) trait Facts {
    /// Whether kprobes can be attached.
    fn has_kprobes(&self) -> bool;

    /// Which of these names are names of functions that can be traced.
    fn functions_among(&self, names: &BTreeSet<&str>) -> BTreeSet<String>;

    /// Whether tracefs can be used.
    fn tracefs(&self) -> Tracefs;

    /// Whether the tracepoint `category/name` exists; `None` if tracefs cannot be read.
    fn has_tracepoint(&self, event: &str) -> Option<bool>;

    /// The names of all tracepoints, `category/name`; `None` if tracefs cannot be read.
    fn tracepoints(&self) -> Option<Vec<String>>;

    /// The names of all functions that can be traced.
    fn functions(&self) -> Vec<String>;

    /// The names of all symbols.
    fn symbols(&self) -> Vec<String>;

    /// The kernel's types.
    fn btf(&self) -> Option<Btf<'static>>;

    /// Whether the kernel has a type of maps; `None` if that cannot be tried.
    fn has_map_type(&self, ty: u32) -> Option<bool>;

    /// The kernel's version.
    fn version(&self) -> Option<Version>;

    /// Whether the kernel's version is before this one. Distributions add features of newer kernels
    /// to older ones, so this explains a refusal, and never predicts one.
    fn is_before(&self, version: Version) -> bool {
        self.version().is_some_and(|own| own < version)
    }
}

/// Whether tracefs, the file system with the tracepoints, can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tracefs {
    /// It is mounted where libbpf searches for it.
    Mounted,
    /// It is mounted there, but this user cannot read it.
    Hidden(PathBuf),
    /// It is not mounted.
    Absent,
}

/// The running kernel.
#[derive(Debug)]
pub(crate) struct Running;

impl Facts for Running {
    /// Kprobes can be attached if there is an event source or a control file for them.
    fn has_kprobes(&self) -> bool {
        Path::new("/sys/bus/event_source/devices/kprobe").exists()
            || TRACEFS.iter().any(|dir| Path::new(dir).join("kprobe_events").exists())
    }

    fn functions_among(&self, names: &BTreeSet<&str>) -> BTreeSet<String> {
        let listed = kallsyms();
        let all = symbols(&listed).map(|(_, name)| name);
        all.filter(|name| names.contains(name)).map(str::to_owned).collect()
    }

    fn tracefs(&self) -> Tracefs {
        match (tracefs(), hidden_tracefs()) {
            (Some(_), _) => Tracefs::Mounted,
            (None, Some(dir)) => Tracefs::Hidden(dir),
            (None, None) => Tracefs::Absent,
        }
    }

    fn has_tracepoint(&self, event: &str) -> Option<bool> {
        tracefs().map(|dir| dir.join("events").join(event).exists())
    }

    fn tracepoints(&self) -> Option<Vec<String>> {
        let text = fs::read_to_string(tracefs()?.join("available_events")).ok()?;
        Some(text.lines().map(|line| line.replacen(':', "/", 1)).collect())
    }

    fn functions(&self) -> Vec<String> {
        functions()
    }

    fn symbols(&self) -> Vec<String> {
        symbols(&kallsyms()).map(|(_, name)| name.to_owned()).collect()
    }

    fn btf(&self) -> Option<Btf<'static>> {
        btf()
    }

    fn has_map_type(&self, ty: u32) -> Option<bool> {
        match sys::has_map_type(ty) {
            Ok(is_there) => Some(is_there),
            // libbpf does not know the type either, so no kernel of its time has it.
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Some(false),
            Err(_) => None,
        }
    }

    fn version(&self) -> Option<Version> {
        Version::parse(&rustix::system::uname().release().to_string_lossy())
    }
}

/// The kernel's list of symbols; empty if this user cannot read it.
fn kallsyms() -> String {
    fs::read_to_string("/proc/kallsyms").unwrap_or_default()
}

/// The kinds and names of the symbols in the list.
fn symbols(kallsyms: &str) -> impl Iterator<Item = (&str, &str)> {
    kallsyms.lines().filter_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        Some((words.next()?, words.next()?))
    })
}

/// The names of all functions that can be traced, each once.
pub(crate) fn functions() -> Vec<String> {
    let listed = tracefs().map(|dir| dir.join("available_filter_functions"));
    let listed = listed.and_then(|path| fs::read_to_string(path).ok());
    let mut names: Vec<String> = match listed {
        Some(text) => text.lines().filter_map(|l| l.split(' ').next()).map(str::to_owned).collect(),
        None => {
            let is_code = |kind: &str| matches!(kind, "t" | "T");
            let listed = kallsyms();
            let code = symbols(&listed).filter(|(kind, _)| is_code(kind));
            code.map(|(_, name)| name.to_owned()).collect()
        }
    };
    // Placeholders for functions that are gone (kernel/trace/ftrace.c).
    names.retain(|name| !name.starts_with("__ftrace_invalid_address__"));
    names.sort_unstable();
    names.dedup();
    names
}

/// Whether the kernel has BTF, which `tp_btf`, `fentry` and similar programs need.
pub(crate) fn has_btf() -> bool {
    Path::new(VMLINUX_BTF).exists()
}

/// The kernel's BTF. It takes 5 MB or more, so keep it only as long as needed.
pub(crate) fn btf() -> Option<Btf<'static>> {
    let data = fs::read(VMLINUX_BTF).ok()?;
    Btf::parse(&data).ok().map(Btf::into_owned)
}

/// Where tracefs may be mounted.
const TRACEFS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// The directory of tracefs. If it is not mounted, as in many containers, this is a private mount
/// that is gone with this process. `None` if this user may have neither.
pub(crate) fn tracefs() -> Option<&'static Path> {
    static OWN: OnceLock<Option<(OwnedFd, PathBuf)>> = OnceLock::new();
    let mounted = TRACEFS.iter().map(Path::new).find(|dir| dir.join("events").is_dir());
    mounted.or_else(|| {
        let own = OWN.get_or_init(|| {
            let mount = detached("tracefs").ok()?;
            let path = format!("/proc/self/fd/{}", mount.as_raw_fd()).into();
            Some((mount, path))
        });
        own.as_ref().map(|(_, path)| &**path)
    })
}

/// Creates a mount of a file system of the kernel outside the directory tree.
pub(crate) fn detached(name: &str) -> rustix::io::Result<OwnedFd> {
    use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};
    let context = rustix::mount::fsopen(name, FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_create(context.as_fd())?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOEXEC | MountAttrFlags::MOUNT_ATTR_NOSUID;
    rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// Where tracefs is mounted, if this user cannot read it.
fn hidden_tracefs() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    hidden_in(&mounts, |dir| {
        fs::metadata(dir.join("events")).is_err_and(|e| e.kind() == io::ErrorKind::PermissionDenied)
    })
}

/// The same, for a text in the format of `/proc/self/mounts`.
fn hidden_in(mounts: &str, is_hidden: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    mounted(mounts, "tracefs").map(PathBuf::from).find(|dir| is_hidden(dir))
}

/// Where a file system is mounted, in a text in the format of `/proc/self/mounts`
/// (proc_pid_mounts(5)).
pub(crate) fn mounted<'m>(mounts: &'m str, kind: &str) -> impl Iterator<Item = &'m str> {
    mounts.lines().filter_map(move |line| {
        let mut words = line.split(' ').skip(1);
        let (dir, of) = (words.next()?, words.next()?);
        (of == kind).then_some(dir)
    })
}

/// The text of a file of securityfs, which is often not mounted in containers and small systems.
pub(crate) fn security_file(name: &str) -> Option<String> {
    use rustix::fs::{Mode, OFlags, openat};
    fs::read_to_string(format!("/sys/kernel/security/{name}")).ok().or_else(|| {
        let mount = detached("securityfs").ok()?;
        let file = openat(&mount, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
        io::read_to_string(fs::File::from(file)).ok()
    })
}

/// Whether the kernel calls BPF programs as a security module; `None` if that cannot be read.
pub(crate) fn has_bpf_lsm() -> Option<bool> {
    let modules = security_file("lsm")?;
    Some(modules.trim().split(',').any(|module| module == "bpf"))
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
