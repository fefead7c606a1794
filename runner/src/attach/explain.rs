// SPDX-License-Identifier: MIT
//! Messages about programs that are not attached: what was requested, what the kernel answered, and
//! what the user can do.

use anyhow::anyhow;
use bpfpack_schemas::object::BpfObject;

use super::error::AttachError;
use super::hints::{Known, Refusal};
use super::kinds::ProgramKind;
use super::target::Target;
use crate::failure::{Failure, exit_code};
use crate::kernel::{self, Facts};

/// A hint for the user if the kernel refuses to load a program of this section without a reason.
pub(crate) fn load_hint(section: &str, kernel: &dyn Facts) -> Option<String> {
    let kind = section.split('/').next().unwrap_or(section);
    // What is newer than the kernel has this as the cause.
    let hint = ProgramKind::of(section).load_hint.filter(|_| newer(section, kernel).is_none());
    hint.and_then(|hint| hint(kind, kernel))
}

/// Says that Linux has the kind of a section since a version, if this kernel is older.
pub(super) fn newer(section: &str, kernel: &dyn Facts) -> Option<String> {
    if !cfg!(feature = "explanations") {
        return None;
    }
    let section = section.trim_start_matches('?');
    let of = ProgramKind::of(section);
    let kind = if of.has_section(section) { section } else { section.split('/').next()? };
    let since = of.since.filter(|since| kernel.is_before(*since))?;
    Some(format!(
        "programs of the kind `{kind}` need Linux {since} or later, and this kernel is older"
    ))
}

/// A hint for the user if the kernel refuses to attach a program of this section.
pub(crate) fn attach_hint(section: &str, errno: i32) -> Option<String> {
    let target = section.split_once('/').map_or("", |(_, target)| target);
    let refusal = Refusal { target, is_named: false, errno, kernel: &kernel::Running };
    let Known { cause, hint } = (ProgramKind::of(section).explain)(&refusal);
    match (cause, hint) {
        (Some(cause), Some(hint)) => Some(format!("{cause}: {hint}")),
        (cause, hint) => cause.or(hint),
    }
}

/// A warning if an object has LSM programs that the kernel does not call.
pub(crate) fn unasked_lsm(elf: &BpfObject<'_>) -> Option<&'static str> {
    let has_lsm = elf.programs().iter().any(|program| ProgramKind::of(&program.section).is_lsm);
    (has_lsm && kernel::has_bpf_lsm() == Some(false)).then_some(
        "this kernel does not call LSM programs: the boot parameter lsm= does not contain `bpf`",
    )
}

/// The failure for a program that is not attached. `log` has libbpf's messages about it.
pub(super) fn explain(
    name: &str,
    section: &str,
    error: &AttachError,
    kernel: &dyn Facts,
    log: String,
) -> Failure {
    let failure = |text: String| Failure::new(exit_code::ATTACH, anyhow!(text));
    let (named, refused) = match error {
        AttachError::NoTarget(target) => {
            let failure = match target.name() {
                Some(what) => {
                    failure(format!("`{name}` ({section}) cannot be attached without {what}"))
                }
                None => failure(format!("`{name}` ({section}) cannot be attached")),
            };
            return match target {
                Target::Elsewhere(why) => failure.hint(*why),
                _ => failure,
            };
        }
        AttachError::BadTarget { named, error } => {
            return failure(format!("cannot attach `{name}` to `{named}`: {error}"));
        }
        AttachError::Refused { named, error, .. } => (named.as_deref(), error),
    };
    let refusal = Refusal {
        target: named.or(section.split_once('/').map(|(_, target)| target)).unwrap_or_default(),
        is_named: named.is_some(),
        errno: error.errno(),
        kernel,
    };
    // How the kernel answers what it does not know.
    let is_unknown = [libc::EINVAL, libc::EOPNOTSUPP].contains(&refusal.errno);
    let known = match newer(section, kernel).filter(|_| is_unknown) {
        Some(cause) => Known { cause: Some(cause), hint: None },
        None => (ProgramKind::of(section).explain)(&refusal),
    };
    let text = format!("{refused:#}");
    let answer = text.strip_prefix("failed to attach BPF program: ").unwrap_or(&text);
    let why = match (&known.cause, named) {
        (Some(cause), _) => cause.clone(),
        (None, Some(_)) => text,
        (None, None) if is_unsupported(refused) && !ProgramKind::of(section).is_known() => {
            return failure(format!(
                "`{name}` cannot be attached: this version of ecli cannot attach `{section}`"
            ));
        }
        (None, None) => format!("the kernel answered: {answer}"),
    };
    let failure = match named {
        Some(named) => failure(format!("cannot attach `{name}` ({section}) to `{named}`: {why}")),
        None => failure(format!("cannot attach `{name}` to `{section}`: {why}")),
    };
    let failure = match (known.cause, named, &known.hint) {
        // A known cause is better than libbpf's guess.
        (Some(_), ..) | (None, None, Some(_)) => failure,
        _ => failure.details(log),
    };
    match known.hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// Whether libbpf does not support attaching programs of the section.
fn is_unsupported(error: &libbpf_rs::Error) -> bool {
    error.kind() == libbpf_rs::ErrorKind::Unsupported
        || format!("{error:#}").contains("not supported")
}

#[cfg(test)]
mod tests {
    use bpfpack_refusal::since::Version;

    use super::super::hints::tests::Faked;
    use super::*;

    fn refused(errno: i32) -> AttachError {
        AttachError::refused(libbpf_rs::Error::from_raw_os_error(errno))
    }

    fn explained(section: &str, error: &AttachError) -> String {
        let failure = explain("f", section, error, &Faked::default(), "a guess of libbpf".into());
        assert_eq!(failure.exit_code(), exit_code::ATTACH);
        format!("{failure:?}")
    }

    #[test]
    fn what_is_known_of_a_kind_stands_in_place_of_libbpfs_words() {
        let text = explained("kprobe/vfs_read", &refused(libc::ENOENT));
        assert!(
            text.contains("cannot attach `f` to `kprobe/vfs_read`: this kernel has no kprobes")
        );
        assert!(text.contains("tracepoints may") && !text.contains("a guess of libbpf"), "{text}");
        let old = Faked { version: Some(Version(5, 10)), ..Faked::default() };
        let failure = explain("f", "uprobe.multi/x:f", &refused(libc::EINVAL), &old, String::new());
        let words = "need Linux 6.6 or later, and this kernel is older";
        assert!(failure.message().ends_with(words), "{}", failure.message());
        let text = explained("uprobe//bin/sh:main", &refused(libc::ENOENT));
        assert!(text.contains("a guess of libbpf"), "{text}");
        let text = explained("newer/f", &refused(libc::EOPNOTSUPP));
        assert!(text.contains("this version of ecli cannot attach `newer/f`"), "{text}");
        let with = Faked { kprobes: true, ..Faked::default() };
        let error = refused(libc::EOPNOTSUPP);
        let failure = explain("f", "kprobe.multi/f", &error, &with, String::new());
        assert!(failure.message().ends_with("built without CONFIG_FPROBE, which it needs"));
    }

    #[test]
    fn targets_that_are_named_are_shown() {
        let named = |error: libbpf_rs::Error, errno| AttachError::Refused {
            named: Some("lo".into()),
            error,
            errno,
        };
        let no_tcx = || libbpf_rs::Error::from_raw_os_error(libc::EINVAL);
        let text = explained("tcx/egress", &named(no_tcx(), Some(libc::EINVAL)));
        assert!(text.contains("cannot attach `f` (tcx/egress) to `lo`: "), "{text}");
        assert!(text.contains("a guess of libbpf"), "{text}");
        let text = explained("xdp", &named(no_tcx(), None));
        assert!(text.contains("a guess of libbpf") && !text.contains("--interface"), "{text}");
    }

    #[test]
    fn targets_that_are_missing_or_bad_are_named() {
        let text = explained("cgroup/dev", &AttachError::NoTarget(Target::Cgroup));
        assert!(text.contains("`f` (cgroup/dev) cannot be attached without the path of a cgroup"));
        let error = std::io::Error::from_raw_os_error(libc::ENODEV);
        let text = explained("xdp", &AttachError::BadTarget { named: "eth9".into(), error });
        assert!(text.contains("cannot attach `f` to `eth9`: No such device"), "{text}");
    }

    #[test]
    fn hints_on_loading() {
        let kernel = &Faked::default();
        for section in ["fentry/f", "fexit.s/f", "lsm/f", "freplace/f", "fmod_ret/f"] {
            let kind = section.split('/').next().unwrap();
            assert!(load_hint(section, kernel).unwrap().contains(&format!("instead of `{kind}`")));
        }
        assert!(load_hint("kprobe/f", kernel).is_none() && load_hint("tp_btf/x", kernel).is_none());
        assert!(!load_hint("fentry/f", kernel).unwrap().contains("kprobe"), "there are none");
        let kernel = &Faked { kprobes: true, version: Some(Version(5, 10)), ..Faked::default() };
        assert!(load_hint("fentry/f", kernel).unwrap().contains("`kprobe` or tracepoints"));
        let text =
            "programs of the kind `netfilter` need Linux 6.4 or later, and this kernel is older";
        assert_eq!(newer("netfilter", kernel).as_deref(), Some(text));
        assert!(newer("cgroup/connect_unix", kernel).unwrap().contains("`cgroup/connect_unix`"));
        assert_eq!(load_hint("fsession/f", kernel), None, "the kernel is too old for it");
    }
}
