// SPDX-License-Identifier: MIT
//! Programs whose target the kernel must know at load time: functions that they trace by BTF, and
//! functions of other programs that they replace.

use std::os::fd::{AsRawFd as _, OwnedFd};

use anyhow::anyhow;
use libbpf_rs::{ErrorKind, Program, ProgramAttachType};

use super::assigned::Assignments;
use super::refused::{Refused, without_target};
use super::way;
use crate::failure::{Failure, exit_code};
use crate::kernel;
use crate::load::Opened;
use crate::sys;

/// Sets load-time targets from the command line. Returns descriptors of the programs of which
/// functions are replaced; they must stay open until the object is loaded.
///
/// # Errors
/// Returns an error if a way of attaching does not suit a program, or the kernel has no such
/// function.
pub(super) fn aim(
    opened: &mut Opened,
    assignments: &Assignments,
    left_out: &std::collections::BTreeSet<String>,
) -> Result<Vec<OwnedFd>, Refused> {
    let types = opened.types();
    let mut replaced_programs = Vec::new();
    for (name, assigned) in assignments.iter().filter(|(name, _)| !left_out.contains(*name)) {
        let Some(way) = assigned.way() else { continue };
        let ty = types.iter().find(|(known, _)| known == name).map(|(_, ty)| *ty);
        if let Some(ty) = ty.filter(|ty| !way.suits(*ty)) {
            let suiting = way::names_for(ty);
            let text = format!("--attach: `{name}` cannot be attached as {}", way.name);
            let failure = Failure::usage(text);
            let failure = match suiting.is_empty() {
                true => failure,
                false => failure.hint(format!("it can be attached as {}", suiting.join(", "))),
            };
            return Err(Refused::general(failure));
        }
        if !way.is_loaded_for {
            if let Some(kind) = attach_type(way.name) {
                opened.set_attach_type(name, kind);
            }
            continue;
        }
        let general = Refused::general;
        let (other, function) = match way.name {
            "freplace" => replaced(&assigned.target).map_err(general)?,
            _ => (None, &*assigned.target),
        };
        let fd = other.as_ref().map(|other| other.as_raw_fd());
        replaced_programs.extend(other);
        opened.aim(name, attach_type(way.name), fd, function).map_err(|error| {
            let target = &assigned.target;
            let failure = match error.kind() {
                ErrorKind::NotFound if way.name != "freplace" => {
                    let section = format!("{}/{target}", way.name);
                    without_target(name, &section, &kernel::Running)
                }
                _ => {
                    let error = anyhow!("cannot attach `{name}` to `{target}`: {error:#}");
                    Failure::new(exit_code::ATTACH, error)
                }
            };
            let program = Some(name.to_owned());
            Refused { program, is_for_target: true, is_for_code: false, failure }
        })?;
    }
    Ok(replaced_programs)
}

/// The kernel's attach type for a kind of attach point.
fn attach_type(kind: &str) -> Option<ProgramAttachType> {
    Some(match kind {
        "fentry" => ProgramAttachType::TraceFentry,
        "fexit" => ProgramAttachType::TraceFexit,
        "fmod_ret" => ProgramAttachType::ModifyReturn,
        "tp_btf" => ProgramAttachType::TraceRawTp,
        "kprobe.multi" | "kretprobe.multi" => ProgramAttachType::KprobeMulti,
        "uprobe.multi" | "uretprobe.multi" => ProgramAttachType::TraceUprobeMulti,
        // libbpf attaches USDT probes by uprobe_multi links if the kernel has them.
        "usdt" if sys::has_links_of_user_functions() => ProgramAttachType::TraceUprobeMulti,
        // These have no attach type; this constant is 0.
        "kprobe" | "kretprobe" | "ksyscall" | "kretsyscall" => ProgramAttachType::CgroupInetIngress,
        _ => return None,
    })
}

/// Parses a loaded program and one of its functions: `ID:FUNCTION`, or `PATH:FUNCTION` with the
/// path of a pin.
fn replaced(target: &str) -> Result<(Option<OwnedFd>, &str), Failure> {
    let (program, function) = target.rsplit_once(':').ok_or_else(|| {
        Failure::usage(format!(
            "--attach: `{target}` is not ID:FUNCTION or PATH:FUNCTION of a program"
        ))
    })?;
    let fd = match program.parse() {
        Ok(id) => Program::fd_from_id(id),
        Err(_) => Program::fd_from_pinned_path(program),
    };
    let fd =
        fd.map_err(|error| Failure::usage(format!("--attach: no program `{program}`: {error:#}")))?;
    Ok((Some(fd), function))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_whose_functions_are_replaced() {
        let failure = replaced("handle").unwrap_err();
        assert_eq!(failure.exit_code(), exit_code::USAGE);
        let failure = replaced("/sys/fs/bpf/no-such-one:handle").unwrap_err();
        assert!(failure.message().contains("no program `/sys/fs/bpf/no-such-one`"));
        assert!(attach_type("fexit").is_some() && attach_type("lsm").is_none());
    }
}
