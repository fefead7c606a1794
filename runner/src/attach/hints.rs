// SPDX-License-Identifier: MIT
//! What is known about a refusal of the kernel: the cause, and what the user can do. It depends on
//! facts about the kernel. The table [`super::kinds`] assigns the functions here to kinds of programs.

use bpfpack_refusal::since::Version;

use super::nearest;
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

/// What is known about a refusal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// The cause.
    pub(super) cause: Option<String>,
    /// What the user can do.
    pub(super) hint: Option<String>,
}

impl Known {
    fn cause(cause: impl Into<String>) -> Known {
        Known { cause: Some(cause.into()), hint: None }
    }

    fn hint(self, hint: impl Into<String>) -> Known {
        Known { hint: Some(hint.into()), ..self }
    }
}

/// Explains a refusal to attach.
pub(super) type Explain = fn(&Refusal<'_>) -> Known;

/// Returns a hint for a refusal to load without a reason, for the kind's name.
pub(super) type LoadHint = fn(&str, &dyn Facts) -> Option<String>;

/// For kinds of which nothing is known.
pub(super) fn none(_: &Refusal<'_>) -> Known {
    Known::default()
}

fn no_kprobes(refusal: &Refusal<'_>) -> Option<Known> {
    let known = || {
        Known::cause("this kernel has no kprobes").hint("a package that uses tracepoints may work")
    };
    (!refusal.kernel.has_kprobes()).then(known)
}

/// For kinds that need kprobes.
pub(super) fn kprobes(refusal: &Refusal<'_>) -> Known {
    no_kprobes(refusal).unwrap_or_default()
}

/// For probes of many functions at once.
pub(super) fn functions(refusal: &Refusal<'_>) -> Known {
    no_kprobes(refusal).unwrap_or_else(|| {
        // kernel/trace/bpf_trace.c: bpf_kprobe_multi_link_attach.
        match cfg!(feature = "explanations") && refusal.errno == libc::EOPNOTSUPP {
            true => Known::cause("this kernel was built without CONFIG_FPROBE, which it needs"),
            false => Known::default(),
        }
    })
}

/// For USDT probes.
pub(super) fn usdt(refusal: &Refusal<'_>) -> Known {
    // Before Linux 5.15, a program does not learn which probe called it, so libbpf has to know the
    // addresses in the process.
    let is_old = || refusal.kernel.is_before(Version(5, 15));
    match cfg!(feature = "explanations") && refusal.errno == libc::EOPNOTSUPP && is_old() {
        true => Known::cause(
            "this kernel can attach to the USDT probes of a library only in one process",
        )
        .hint("name the process with --pid"),
        false => Known::default(),
    }
}

/// For probes of one function.
pub(super) fn function(refusal: &Refusal<'_>) -> Known {
    no_kprobes(refusal).unwrap_or_else(|| {
        let function = refusal.target.split('+').next().unwrap_or_default();
        let is_missing = [libc::ENOENT, libc::EADDRNOTAVAIL].contains(&refusal.errno);
        let cause = is_missing.then(|| nearest::function(function, refusal.kernel)).flatten();
        Known { cause, hint: None }
    })
}

/// For tracepoints that libbpf finds in tracefs.
pub(super) fn tracepoint(refusal: &Refusal<'_>) -> Known {
    match refusal.kernel.tracefs() {
        Tracefs::Absent => Known::cause("tracepoints need tracefs, which is not mounted")
            .hint("mount -t tracefs tracefs /sys/kernel/tracing"),
        Tracefs::Hidden(dir) => Known::cause(format!(
            "no permission to read `{}`, which lists the tracepoints",
            dir.display()
        ))
        .hint(format!(
            "the capability CAP_DAC_READ_SEARCH gives it; `mount -o remount,mode=755 {}` gives it \
             to all users",
            dir.display()
        )),
        Tracefs::Mounted => {
            Known { cause: nearest::tracepoint(refusal.target, refusal.kernel), hint: None }
        }
    }
}

/// For tracepoints that do not need tracefs.
pub(super) fn raw_tracepoint(refusal: &Refusal<'_>) -> Known {
    let name = refusal.target.rsplit('/').next().unwrap_or(refusal.target);
    // Some have no event in tracefs, and exist all the same.
    let is_missing = refusal.errno == libc::ENOENT;
    let cause = is_missing.then(|| nearest::tracepoint(name, refusal.kernel)).flatten();
    Known { cause, hint: None }
}

/// For XDP programs.
pub(super) fn xdp(refusal: &Refusal<'_>) -> Known {
    match refusal.errno {
        libc::EBUSY | libc::EEXIST => Known::cause("another XDP program is attached")
            .hint("--force replaces it, and restores it at the end"),
        libc::EOPNOTSUPP => Known::cause("the driver does not support XDP")
            .hint("INTERFACE/generic works without the driver"),
        _ if !refusal.is_named => {
            Known::default().hint("--interface NAME attaches it to another interface")
        }
        _ => Known::default(),
    }
}

/// For kinds that some kernels lack, and other kinds can replace.
pub(super) fn other_kinds(kind: &str, kernel: &dyn Facts) -> Option<String> {
    let others = match kernel.has_kprobes() {
        true => "`kprobe` or tracepoints",
        false => "tracepoints",
    };
    Some(format!("a package that uses {others} instead of `{kind}` may work"))
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeSet;
    use std::path::PathBuf;

    use bpfpack_schemas::btf::Btf;

    use super::*;

    /// A kernel without kprobes, functions, tracepoints and tracefs, except those in the fields.
    #[derive(Debug, Clone, Default)]
    pub(in crate::attach) struct Faked {
        pub(in crate::attach) kprobes: bool,
        pub(in crate::attach) function: &'static str,
        pub(in crate::attach) tracefs: Option<Tracefs>,
        pub(in crate::attach) tracepoint: &'static str,
        pub(in crate::attach) version: Option<Version>,
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

        fn tracepoints(&self) -> Option<Vec<String>> {
            (self.tracefs() == Tracefs::Mounted).then(|| vec![self.tracepoint.to_owned()])
        }

        fn functions(&self) -> Vec<String> {
            vec![self.function.to_owned()]
        }

        fn symbols(&self) -> Vec<String> {
            vec![self.function.to_owned(), "runqueues".to_owned()]
        }

        fn btf(&self) -> Option<Btf<'static>> {
            None
        }

        fn has_map_type(&self, ty: u32) -> Option<bool> {
            Some(ty < 27)
        }

        fn version(&self) -> Option<Version> {
            self.version
        }
    }

    fn cause(explain: Explain, target: &str, kernel: &Faked) -> String {
        let refusal = Refusal { target, is_named: false, errno: libc::ENOENT, kernel };
        explain(&refusal).cause.unwrap_or_default()
    }

    #[test]
    fn functions_and_what_probes_them() {
        let mut kernel = Faked { function: "vfs_read", ..Faked::default() };
        assert!(cause(function, "vfs_read", &kernel).contains("has no kprobes"));
        assert!(cause(kprobes, "vfs_read", &kernel).contains("has no kprobes"));
        kernel.kprobes = true;
        assert_eq!(cause(function, "vfs_read", &kernel), "");
        assert_eq!(cause(function, "vfs_read+0x10", &kernel), "");
        let text = "no function `gone` that can be traced: it may have another name";
        assert!(cause(function, "gone+8", &kernel).contains(text));
        let near = "no function `vfs_reads` that can be traced, but `vfs_read`";
        assert!(cause(function, "vfs_reads", &kernel).contains(near));
        let changed = Faked { function: "gone.isra.0", ..kernel.clone() };
        let text = "the compiler replaced it by `gone.isra.0`";
        assert!(cause(function, "gone", &changed).contains(text));
        assert_eq!(cause(kprobes, "gone", &kernel), "");
    }

    #[test]
    fn tracepoints_and_where_they_are() {
        let mut kernel = Faked { tracepoint: "sched/sched_switch", ..Faked::default() };
        assert!(
            cause(tracepoint, "sched/sched_switch", &kernel)
                .contains("tracefs, which is not mounted")
        );
        kernel.tracefs = Some(Tracefs::Hidden(PathBuf::from("/t")));
        let text = cause(tracepoint, "sched/sched_switch", &kernel);
        assert!(text.contains("no permission to read `/t`"), "{text}");
        kernel.tracefs = Some(Tracefs::Mounted);
        assert_eq!(cause(tracepoint, "sched/sched_switch", &kernel), "");
        assert_eq!(cause(tracepoint, "a/b", &kernel), "this kernel has no tracepoint `a/b`");
        for wanted in ["sched/sched_switches", "task/sched_switch"] {
            let text = cause(tracepoint, wanted, &kernel);
            let expected = format!("no tracepoint `{wanted}`, but `sched/sched_switch`");
            assert!(text.ends_with(&expected), "{text}");
        }
        let text = cause(raw_tracepoint, "sched_swich", &kernel);
        assert_eq!(text, "this kernel has no tracepoint `sched_swich`, but `sched_switch`");
    }

    #[test]
    fn hooks_of_interfaces() {
        let kernel = &Faked::default();
        let refusal = Refusal { target: "", is_named: false, errno: libc::EINVAL, kernel };
        assert!(xdp(&refusal).hint.unwrap().contains("--interface NAME"));
        assert_eq!(xdp(&Refusal { is_named: true, ..refusal }), Known::default());
        let busy = Refusal { is_named: true, errno: libc::EBUSY, ..refusal };
        assert!(xdp(&busy).hint.unwrap().contains("--force"));
    }
}
