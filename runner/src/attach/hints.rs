// SPDX-License-Identifier: MIT
//! Hints for the user if the kernel refuses a program; they depend on facts about the kernel. The
//! table [`super::kinds`] assigns them to kinds of programs.

use crate::kernel::{Facts, Tracefs};

/// A refusal to attach.
#[derive(Clone, Copy)]
pub(super) struct Refusal<'a> {
    /// The part of the section after the kind.
    pub(super) target: &'a str,
    /// Whether the user or the module named a target in addition to the section.
    pub(super) is_named: bool,
    /// The error's number.
    pub(super) errno: i32,
    /// Facts about the kernel.
    pub(super) kernel: &'a dyn Facts,
}

/// Returns a hint for a refusal to attach; `None` if no cause is known.
pub(super) type AttachHint = fn(&Refusal<'_>) -> Option<String>;

/// Returns a hint for a refusal to load without a reason, for the kind's name.
pub(super) type LoadHint = fn(&str) -> String;

/// For kinds without a hint.
pub(super) fn none(_: &Refusal<'_>) -> Option<String> {
    None
}

/// For kinds that need kprobes.
pub(super) fn kprobes(refusal: &Refusal<'_>) -> Option<String> {
    let text = "this kernel has no kprobes; a package that uses tracepoints may work";
    (!refusal.kernel.has_kprobes()).then(|| text.to_owned())
}

/// For probes of one function.
pub(super) fn function(refusal: &Refusal<'_>) -> Option<String> {
    kprobes(refusal).or_else(|| {
        let target = refusal.target;
        let function = target.split('+').next().unwrap_or_default();
        (!refusal.kernel.has_function(function)).then(|| {
            format!(
                "this kernel has no function `{target}`: it may have another name, or it may be \
                 inlined"
            )
        })
    })
}

/// For tracepoints that libbpf finds in tracefs.
pub(super) fn tracepoint(refusal: &Refusal<'_>) -> Option<String> {
    match refusal.kernel.tracefs() {
        Tracefs::Absent => Some(
            "tracepoints need tracefs, which is not mounted: mount -t tracefs tracefs \
             /sys/kernel/tracing"
                .to_owned(),
        ),
        Tracefs::Hidden(dir) => Some(format!(
            "no permission to read `{}`, which lists the tracepoints: the capability \
             CAP_DAC_READ_SEARCH gives it; `mount -o remount,mode=755 {0}` gives it to all users",
            dir.display()
        )),
        Tracefs::Mounted => {
            let target = refusal.target;
            let is_absent = refusal.kernel.has_tracepoint(target) == Some(false);
            is_absent.then(|| format!("this kernel has no tracepoint `{target}`"))
        }
    }
}

/// For tracepoints that do not need tracefs.
pub(super) fn raw_tracepoint(_: &Refusal<'_>) -> Option<String> {
    Some("/sys/kernel/tracing/events lists the tracepoints of this kernel".to_owned())
}

/// For XDP programs.
pub(super) fn xdp(refusal: &Refusal<'_>) -> Option<String> {
    let text = match refusal.errno {
        libc::EBUSY | libc::EEXIST => {
            "another XDP program is attached; --force replaces it, and restores it at the end"
        }
        libc::EOPNOTSUPP => {
            "the driver does not support XDP; INTERFACE/generic works without the driver"
        }
        _ if !refusal.is_named => "--interface NAME attaches it to another interface",
        _ => return None,
    };
    Some(text.to_owned())
}

/// For kinds that some kernels lack, and other kinds can replace.
pub(super) fn other_kinds(kind: &str) -> String {
    format!(
        "this kernel does not accept programs of the kind `{kind}`; a package that uses `kprobe` \
         or tracepoints may work"
    )
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeSet;
    use std::path::PathBuf;

    use super::*;

    /// A kernel without kprobes, functions, tracepoints and tracefs, except those in the fields.
    #[derive(Debug, Clone, Default)]
    pub(in crate::attach) struct Faked {
        pub(in crate::attach) kprobes: bool,
        pub(in crate::attach) function: &'static str,
        pub(in crate::attach) tracefs: Option<Tracefs>,
        pub(in crate::attach) tracepoint: &'static str,
    }

    impl Facts for Faked {
        fn has_kprobes(&self) -> bool {
            self.kprobes
        }

        fn functions_among(&self, names: &BTreeSet<&str>) -> BTreeSet<String> {
            names.iter().filter(|name| **name == self.function).map(|n| (*n).to_owned()).collect()
        }

        fn tracefs(&self) -> Tracefs {
            self.tracefs.clone().unwrap_or(Tracefs::Absent)
        }

        fn has_tracepoint(&self, event: &str) -> Option<bool> {
            (self.tracefs() == Tracefs::Mounted).then(|| event == self.tracepoint)
        }
    }

    fn hint(hint: AttachHint, target: &str, kernel: &Faked) -> String {
        let refusal = Refusal { target, is_named: false, errno: libc::ENOENT, kernel };
        hint(&refusal).unwrap_or_default()
    }

    #[test]
    fn functions_and_what_probes_them() {
        let mut kernel = Faked { function: "vfs_read", ..Faked::default() };
        assert!(hint(function, "vfs_read", &kernel).contains("has no kprobes"));
        assert!(hint(kprobes, "vfs_read", &kernel).contains("has no kprobes"));
        kernel.kprobes = true;
        assert_eq!(hint(function, "vfs_read", &kernel), "");
        assert_eq!(hint(function, "vfs_read+0x10", &kernel), "");
        assert!(hint(function, "gone+8", &kernel).contains("no function `gone+8`: it may have"));
        assert_eq!(hint(kprobes, "gone", &kernel), "");
    }

    #[test]
    fn tracepoints_and_where_they_are() {
        let mut kernel = Faked { tracepoint: "sched/sched_switch", ..Faked::default() };
        assert!(
            hint(tracepoint, "sched/sched_switch", &kernel)
                .contains("tracefs, which is not mounted")
        );
        kernel.tracefs = Some(Tracefs::Hidden(PathBuf::from("/t")));
        let text = hint(tracepoint, "sched/sched_switch", &kernel);
        assert!(
            text.contains("no permission to read `/t`") && text.contains("mode=755 /t`"),
            "{text}"
        );
        kernel.tracefs = Some(Tracefs::Mounted);
        assert_eq!(hint(tracepoint, "sched/sched_switch", &kernel), "");
        assert!(hint(tracepoint, "a/b", &kernel).contains("no tracepoint `a/b`"));
    }

    #[test]
    fn hooks_of_interfaces() {
        let kernel = &Faked::default();
        let refusal = Refusal { target: "", is_named: false, errno: libc::EINVAL, kernel };
        assert!(xdp(&refusal).unwrap().contains("--interface NAME"));
        assert!(xdp(&Refusal { is_named: true, ..refusal }).is_none());
        let busy = Refusal { is_named: true, errno: libc::EBUSY, ..refusal };
        assert!(xdp(&busy).unwrap().contains("--force"));
    }
}
