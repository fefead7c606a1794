// SPDX-License-Identifier: MIT
//! Explains why an object is not loaded: a limit of this process, a program that the verifier
//! refuses, or something that this kernel does not have.

#[cfg(feature = "explanations")]
mod log;
#[cfg(feature = "explanations")]
mod missing;
#[cfg(not(feature = "explanations"))]
mod off;

use anyhow::anyhow;
use bpfpack_refusal::relocation;
use bpfpack_schemas::object::{self, BpfObject};

use super::error::errno_of;
use super::explain::{load_hint, newer};
use crate::failure::{Failure, exit_code};
use crate::kernel::{self, Facts};
use crate::load::LoadError;
#[cfg(not(feature = "explanations"))]
use off::{log, missing};

/// A failure that may be due to one program.
#[derive(Debug)]
pub(crate) struct Refused {
    /// The program, if the failure is due to one.
    pub(crate) program: Option<String>,
    /// Whether the program is refused because its target does not exist or is not accessible.
    pub(crate) is_for_target: bool,
    /// Whether the instructions of a program are refused, which are different in another
    /// instruction set.
    pub(crate) is_for_code: bool,
    /// The failure to show.
    pub(crate) failure: Failure,
}

impl Refused {
    /// A failure that is not due to a program.
    pub(crate) fn general(failure: Failure) -> Refused {
        Refused { program: None, is_for_target: false, is_for_code: false, failure }
    }
}

/// Why an object is not loaded. To explain it takes time, so only what is shown is explained.
pub(crate) enum NotLoaded {
    /// A failure that explains itself.
    Explained(Refused),
    /// The kernel or libbpf refuses the object.
    Refused(LoadError),
}

impl From<Refused> for NotLoaded {
    fn from(refused: Refused) -> NotLoaded {
        NotLoaded::Explained(refused)
    }
}

impl From<LoadError> for NotLoaded {
    fn from(error: LoadError) -> NotLoaded {
        NotLoaded::Refused(error)
    }
}

impl NotLoaded {
    /// Explains it by the object and the running kernel.
    pub(crate) fn explained(self, elf: &BpfObject<'_>) -> Refused {
        match self {
            NotLoaded::Explained(refused) => refused,
            NotLoaded::Refused(error) => {
                explain(&error, &elf.programs(), Some(elf), &kernel::Running)
            }
        }
    }
}

/// The maximum number of lines of libbpf's messages that a failure shows.
const MOST_LINES: usize = 20;

/// The failure for a program whose target the kernel does not have, as far as its types show.
pub(super) fn without_target(name: &str, section: &str, kernel: &dyn Facts) -> Failure {
    missing::target(name, section, kernel)
}

/// Explains why an object with these programs is not loaded. Without the object, no lines of source
/// are known.
fn explain(
    LoadError { error, log }: &LoadError,
    programs: &[object::Program],
    elf: Option<&BpfObject<'_>>,
    kernel: &dyn Facts,
) -> Refused {
    // These limits of the process or machine are not due to a program.
    let errno = errno_of(error);
    let exhausted = match errno {
        libc::EMFILE => Some("ecli has reached its limit of open files"),
        libc::ENFILE => Some("this machine has reached its limit of open files"),
        libc::ENOMEM => Some("not enough memory for the maps and programs of the package"),
        _ => None,
    };
    if let Some(what) = exhausted {
        return Refused::general(Failure::new(exit_code::LOAD, anyhow!("{what}: {error:#}")));
    }
    let Some(blamed) = Blamed::find(log, programs) else {
        let failure = missing::of_object(log, elf, kernel).unwrap_or_else(|| {
            let error = anyhow!("the kernel refused the object: {error:#}");
            Failure::new(exit_code::LOAD, error).details(without_prefix(log))
        });
        return Refused::general(failure);
    };
    let (name, section) = (&*blamed.name, &*blamed.section);
    let verifier = verifier_log(log, name);
    let is_for_target = verifier.is_none() && blamed.what.contains("kernel BTF type");
    // A relocation fails in all variants.
    let is_for_code = verifier.is_some_and(|log| relocation::Failed::find(log).is_none());
    let failure = match verifier {
        Some(verifier) => log::explain(verifier, (name, section), elf, kernel),
        None if blamed.what.starts_with("BPF program load failed") => {
            // How the kernel answers what it does not know.
            let why = newer(section, kernel).filter(|_| errno == libc::EINVAL);
            let why = why.unwrap_or_else(|| format!("{error:#}, and gave no reason"));
            let error = anyhow!("the kernel refused `{name}` ({section}): {why}");
            let failure = Failure::new(exit_code::LOAD, error);
            match load_hint(section, kernel) {
                Some(hint) => failure.hint(hint),
                None => failure,
            }
        }
        None if is_for_target => missing::target(name, section, kernel),
        None => {
            let error = anyhow!("`{name}` ({section}) cannot be loaded: {}", blamed.what);
            Failure::new(exit_code::LOAD, error).details(without_prefix(log))
        }
    };
    Refused { program: Some(blamed.name), is_for_target, is_for_code, failure }
}

/// The program that libbpf blames.
struct Blamed {
    name: String,
    section: String,
    /// What libbpf says about it.
    what: String,
}

impl Blamed {
    fn find(log: &str, programs: &[object::Program]) -> Option<Blamed> {
        let said = || {
            log.lines().filter_map(|line| line.strip_prefix("libbpf: prog '")?.split_once("': "))
        };
        // With --verbose, there are lines about each relocation that succeeds: `relo #0: <byte_off>`.
        let is_relocation = |what: &str| what.contains("relo") && !what.contains('<');
        let (name, what) = said()
            .find(|(_, what)| what.contains("failed"))
            .or_else(|| said().find(|(_, what)| is_relocation(what)))?;
        let section = programs.iter().find(|program| program.name == name)?.section.clone();
        Some(Blamed { name: name.to_owned(), section, what: what.to_owned() })
    }
}

/// The part of libbpf's messages with the verifier log of a program, if it gives a reason.
fn verifier_log<'l>(log: &'l str, name: &str) -> Option<&'l str> {
    let begin = format!("libbpf: prog '{name}': -- BEGIN PROG LOAD LOG --\n");
    let (_, rest) = log.split_once(&begin)?;
    let (text, _) = rest.split_once("-- END PROG LOAD LOG --")?;
    // Statistics of the verifier are not a reason.
    let has_reason = text.lines().any(|line| !line.is_empty() && !line.starts_with("processed "));
    has_reason.then_some(text)
}

/// The last of libbpf's messages without its hint on RLIMIT_MEMLOCK, which kernels since 5.11 do not
/// need.
fn without_prefix(log: &str) -> String {
    let lines = log.lines().filter(|line| !line.contains("RLIMIT_MEMLOCK"));
    let lines: Vec<_> = lines.map(|line| line.strip_prefix("libbpf: ").unwrap_or(line)).collect();
    lines[lines.len().saturating_sub(MOST_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use bpfpack_refusal::since::Version;

    use super::super::hints::tests::Faked;
    use super::*;

    /// What is explained for a log of an object with the program `f`.
    fn explained(number: i32, log: &str) -> Refused {
        let section = "fentry/do_unlinkat".to_owned();
        let programs = [object::Program { name: "f".into(), section }];
        let error = libbpf_rs::Error::from_raw_os_error(number);
        let kernel = Faked { function: "do_unlinkat", ..Faked::default() };
        explain(&LoadError { error, log: log.to_owned() }, &programs, None, &kernel)
    }

    #[test]
    fn a_refusal_without_a_reason_says_so_and_nothing_of_memlock() {
        let log = "libbpf: prog 'f': BPF program load failed: -EPERM\n\
            libbpf: permission error while running as root; try raising 'ulimit -l'? RLIMIT_MEMLOCK\n\
            libbpf: prog 'f': -- BEGIN PROG LOAD LOG --\nprocessed 0 insns\n-- END PROG LOAD LOG --\n\
            libbpf: prog 'f': failed to load: -EPERM\nlibbpf: failed to load object 'x'\n";
        let refused = explained(libc::EPERM, log);
        assert_eq!(refused.program.as_deref(), Some("f"));
        assert!(!refused.is_for_code && !refused.is_for_target);
        let text = format!("{:?}", refused.failure);
        assert!(text.contains("the kernel refused `f` (fentry/do_unlinkat)"), "{text}");
        assert!(text.contains("gave no reason") && text.contains("uses tracepoints"), "{text}");
        assert!(!text.contains("ulimit"), "{text}");
    }

    #[test]
    fn kinds_that_are_newer_than_the_kernel_are_named() {
        let log = "libbpf: prog 'f': BPF program load failed: -EINVAL\n";
        let programs = [object::Program { name: "f".into(), section: "netfilter".into() }];
        let error = libbpf_rs::Error::from_raw_os_error(libc::EINVAL);
        let kernel = Faked { version: Some(Version(6, 1)), ..Faked::default() };
        let error = LoadError { error, log: log.to_owned() };
        let message = explain(&error, &programs, None, &kernel).failure.message();
        let expected = "the kernel refused `f` (netfilter): programs of the kind `netfilter` need \
            Linux 6.4 or later, and this kernel is older";
        assert_eq!(message, expected);
    }

    #[test]
    fn the_verifiers_log_is_explained_with_the_lines_that_matter() {
        let log = "libbpf: prog 'f': BPF program load failed: -EACCES\n\
            libbpf: prog 'f': -- BEGIN PROG LOAD LOG --\n0: R1=ctx()\n; n = *p; @ x.bpf.c:3\n\
            0: (61) r0 = *(u32 *)(r1 +0)\nR1 invalid mem access 'scalar'\n\
            -- END PROG LOAD LOG --\nlibbpf: prog 'f': failed to load: -EACCES\n";
        let refused = explained(libc::EACCES, log);
        assert!(refused.is_for_code);
        let message = refused.failure.message();
        let cause = "the kernel's verifier refused `f` (fentry/do_unlinkat): the program accesses";
        assert!(message.starts_with(cause), "{message}");
        let text = format!("{:?}", refused.failure);
        for words in ["x.bpf.c:3: n = *p;", "R1 invalid mem access", "(2 more lines)", "CORE_READ"]
        {
            assert!(text.contains(words), "{text}");
        }
    }

    #[test]
    fn relocations_are_explained_in_place_of_the_verifiers_words() {
        let log = "libbpf: prog 'f': BPF program load failed: -EINVAL\n\
            libbpf: prog 'f': -- BEGIN PROG LOAD LOG --\n; n = t->pids; @ x.bpf.c:3\n\
            0: <invalid CO-RE relocation>\nfailed to resolve CO-RE relocation <byte_off> [20] \
            struct task_struct.pids (0:0 @ offset 0)\n-- END PROG LOAD LOG --\n";
        let message = explained(libc::EINVAL, log).failure.message();
        let expected = "`f` (fentry/do_unlinkat) cannot be loaded: this kernel has no `struct \
            task_struct` with `pids`";
        assert_eq!(message, expected);
    }

    #[test]
    fn programs_are_blamed_for_failures_alone() {
        let log = "libbpf: prog 'other': relo #0: <byte_off> [19] struct task_struct.pid\n\
            libbpf: prog 'f': BPF program load failed: -EACCES\n";
        assert_eq!(explained(libc::EACCES, log).program.as_deref(), Some("f"));
        let log = "libbpf: prog 'f': bad call relo against 'x'\n";
        assert_eq!(explained(libc::EACCES, log).program.as_deref(), Some("f"));
    }

    #[test]
    fn limits_of_the_process_are_no_refusals() {
        let log = "libbpf: prog 'f': BPF program load failed: -EMFILE\n\
            libbpf: prog 'f': -- BEGIN PROG LOAD LOG --\nR1 invalid mem access\n\
            -- END PROG LOAD LOG --\nlibbpf: prog 'f': failed to load: -EMFILE\n";
        let refused = explained(libc::EMFILE, log);
        let text = refused.failure.message();
        assert!(
            text.contains("reached its limit of open files") && refused.program.is_none(),
            "{text}"
        );
    }

    #[test]
    fn what_the_kernel_lacks_is_named() {
        for (log, words) in [
            (
                "libbpf: extern (func ksym) 'bpf_x': not found in kernel or module BTFs\n",
                "this kernel has no kfunc `bpf_x`",
            ),
            (
                "libbpf: extern 'runqueue' (strong): not resolved\n",
                "this kernel has no symbol `runqueue`, but `runqueues`",
            ),
            (
                "libbpf: extern 'CONFIG_X' (strong): not resolved\n",
                "this kernel was not built with the option `CONFIG_X`",
            ),
            (
                "libbpf: struct_ops init_kern: struct bpf_struct_ops_x_ops is not found in kernel \
                 BTF\n",
                "this kernel has no struct_ops type `x_ops`",
            ),
            (
                "libbpf: struct_ops init_kern ops: Cannot find member y in kernel BTF\n",
                "the operations `ops` of this kernel have no `y`",
            ),
        ] {
            let refused = explained(libc::ESRCH, log);
            assert_eq!(refused.program, None);
            let expected = format!("the object cannot be loaded: {words}");
            assert_eq!(refused.failure.message(), expected, "{log}");
        }
        let log = "libbpf: prog 'f': failed to find kernel BTF type ID of 'do_unlinkat': -ESRCH\n";
        let refused = explained(libc::ESRCH, log);
        assert!(refused.is_for_target);
        assert!(refused.failure.message().contains("this kernel has no BTF"));
    }

    #[test]
    fn other_messages_are_shown_as_they_are() {
        let refused = explained(libc::EINVAL, "libbpf: map 'm': failed to create: -EINVAL\n");
        assert_eq!(refused.program, None);
        assert!(format!("{:?}", refused.failure).contains("map 'm': failed to create"));
    }
}
