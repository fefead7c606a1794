// SPDX-License-Identifier: MIT
//! Tries each kind of program: loads a program that only returns, and attaches it where no one else
//! notices.

mod table;

use std::io;
use std::os::fd::AsFd as _;

use bpfpack_schemas::btf::{Btf, Kind};
use bpfpack_schemas::diagnosis::{Check, KindCheck, State};

use super::config::Config;
use super::trial::Place;
use crate::attach;
use crate::kernel::{self, Capabilities, Capability};
use table::{KINDS, On, Row};

/// Why a kind cannot be used.
#[derive(Debug)]
enum Refusal {
    /// It could not be tried.
    Untried(String),
    /// The kernel refuses to load a program.
    Loading(io::Error),
    /// The kernel refuses to attach it.
    Attaching(io::Error),
}

/// Checks each kind.
pub(super) fn check(
    effective: Option<Capabilities>,
    btf: Option<&Btf<'_>>,
    config: &Config,
) -> Vec<KindCheck> {
    let check = |row: &Row| {
        let lacks = lacks(row.kind, effective);
        let result = match lacks.is_empty() {
            true => row.attempt(btf),
            false => {
                Err(Refusal::Untried(format!("not tried: this user lacks {}", lacks.join(", "))))
            }
        };
        KindCheck {
            lacks: lacks.iter().map(|it| (*it).to_owned()).collect(),
            ..row.check(result, config)
        }
    };
    let mut checks: Vec<KindCheck> = KINDS.iter().map(check).collect();
    advise(&mut checks);
    checks
}

/// Adds what can replace kinds that the kernel refuses without a reason: the kinds that work here.
fn advise(checks: &mut [KindCheck]) {
    let works = |name: &str| {
        checks.iter().any(|kind| kind.check.name == name && kind.check.state == State::Ok)
    };
    let others = [("kprobe", "kprobes"), ("tp", "tracepoints")];
    let others: Vec<&str> =
        others.into_iter().filter(|(name, _)| works(name)).map(|(_, words)| words).collect();
    if others.is_empty() {
        return;
    }
    let advice = format!("a package that uses {} may work", others.join(" or "));
    let refused = checks.iter_mut().filter(|kind| kind.loads == State::Missing);
    for kind in
        refused.filter(|kind| attach::load_hint(&kind.check.name, &kernel::Running).is_some())
    {
        kind.check.advice = Some(advice.clone());
    }
}

/// The capabilities for a kind that this user lacks. An empty name stands for any kind.
pub(super) fn lacks(kind: &str, effective: Option<Capabilities>) -> Vec<&'static str> {
    let Some(effective) = effective.filter(|it| !it.has(Capability::SYS_ADMIN)) else {
        return Vec::new();
    };
    let section = (!kind.is_empty()).then_some(kind);
    let mut needed = attach::capabilities_of_sections(section.into_iter());
    needed.retain(|capability| !effective.has(*capability));
    needed.iter().map(|capability| capability.name).collect()
}

/// The row for a section of a program: that with the longest name.
pub(super) fn row_of(section: &str) -> Option<usize> {
    let fits = |row: &Row| {
        let names = std::iter::once(&row.kind).chain(row.also);
        let fitting = names.filter(|name| {
            section.strip_prefix(**name).is_some_and(|rest| !rest.starts_with(is_of_name))
        });
        fitting.map(|name| name.len()).max()
    };
    let rows = KINDS.iter().enumerate().filter_map(|(at, row)| fits(row).map(|len| (len, at)));
    rows.max_by_key(|(len, _)| *len).map(|(_, at)| at)
}

fn is_of_name(next: char) -> bool {
    next.is_ascii_alphabetic() || next == '.'
}

impl Row {
    /// Loads a program, and attaches it if that is possible unnoticed.
    fn attempt(&self, btf: Option<&Btf<'_>>) -> Result<(), Refusal> {
        let mut options = self.options;
        if let On::Kernel(kind, name) = self.on {
            options.btf = type_of(btf, kind, name)?.id;
        } else if let On::Member(of, member) = self.on {
            let operations = type_of(btf, Kind::Struct, of)?;
            let at = operations.members().position(|it| it.name == member);
            let unknown = || Refusal::Untried(format!("`{of}` has no member `{member}`"));
            options.attach_type = at.ok_or_else(unknown)? as u32;
            options.btf = operations.id;
        } else if let On::Untried(why) = self.on {
            return Err(Refusal::Untried(why.to_owned()));
        }
        let program = options.load_returning(self.number).map_err(Refusal::Loading)?;
        match self.place.attempt(program.as_fd()) {
            Some(Err(error)) => Err(Refusal::Attaching(error)),
            _ => Ok(()),
        }
    }

    fn check(&self, result: Result<(), Refusal>, config: &Config) -> KindCheck {
        let (check, loads, attaches) = match result {
            Ok(()) => match self.place {
                Place::None(place) => {
                    let reason =
                        format!("loads; not attached for a trial: it would affect {place}");
                    (Check::ok(self.kind).because(reason), State::Ok, State::Unknown)
                }
                Place::NoInterface(_) => {
                    let reason = "loads, and the kernel has links for it; not attached for a trial";
                    (Check::ok(self.kind).because(reason), State::Ok, State::Unknown)
                }
                _ => (Check::ok(self.kind).because("loads and attaches"), State::Ok, State::Ok),
            },
            Err(Refusal::Untried(reason)) => {
                (Check::unknown(self.kind).because(reason), State::Unknown, State::Unknown)
            }
            Err(Refusal::Loading(error)) => {
                (self.refused_load(&error), State::Missing, State::Unknown)
            }
            Err(Refusal::Attaching(error)) => {
                let is_unknown = self.place.is_link() && error.raw_os_error() == Some(libc::EINVAL);
                let answer = match is_unknown {
                    true => "the kernel does not know links for it",
                    false => &words(&error),
                };
                let mut check = Check::missing(self.kind)
                    .because(format!("loads, but does not attach: {answer}"));
                check.advice = attach::attach_hint(self.kind, error.raw_os_error().unwrap_or(0));
                (check, State::Ok, State::Missing)
            }
        };
        KindCheck { check: self.explained(check, config), loads, attaches, lacks: Vec::new() }
    }

    fn refused_load(&self, error: &io::Error) -> Check {
        let words = words(error);
        let reason = match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => {
                format!("the kernel refuses to load it, although no capability is missing: {words}")
            }
            Some(libc::EINVAL) => format!("the kernel does not know it: {words}"),
            _ => format!("the kernel does not load it: {words}"),
        };
        Check::missing(self.kind).because(reason)
    }

    /// Adds what the kernel was built without to a refusal, and that LSM programs are not called.
    fn explained(&self, mut check: Check, config: &Config) -> Check {
        let is_lsm = self.kind.starts_with("lsm");
        if check.state == State::Ok && is_lsm && kernel::has_bpf_lsm() == Some(false) {
            return Check { state: State::Missing, ..check }
                .because("loads, but the kernel does not call it")
                .advice("add `bpf` to the boot parameter lsm=");
        }
        if let (State::Missing, Some(option)) = (check.state, config.lacks(self.config)) {
            let reason = check.reason.unwrap_or_default();
            check.reason = Some(format!("{reason}; the kernel was built without {option}"));
        }
        check
    }
}

fn type_of<'b>(
    btf: Option<&'b Btf<'b>>,
    kind: Kind,
    name: &str,
) -> Result<bpfpack_schemas::btf::Type<'b>, Refusal> {
    let btf = btf.ok_or_else(|| Refusal::Untried("not tried: the kernel has no BTF".to_owned()))?;
    let unknown = || {
        Refusal::Untried(format!("not tried: the BTF of the kernel has no `{name}` to try it on"))
    };
    btf.find(kind, name).ok_or_else(unknown)
}

/// An error of the kernel, without its number.
fn words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests;
