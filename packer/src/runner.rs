// SPDX-License-Identifier: MIT
//! The `ecli` to which `ecc -s` appends packages.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use bpfpack_bpf::Arch;
use bpfpack_schemas::executable::{MARK, runner_size};
use object::elf::{ELFMAG, EM_AARCH64, EM_X86_64};

use crate::failure::{Failure, exit_code};
use crate::message::shown;

/// Reads the runner: the given one, the `ecli` beside this program, or the one in the `PATH`.
///
/// # Errors
/// There is none, or the file is no `ecli` for the architecture.
pub(crate) fn read(given: Option<&Path>, target: Arch) -> Result<Vec<u8>, Failure> {
    let hint = "name an ecli of this project: --runner FILE";
    let path = match given {
        Some(path) => path.to_owned(),
        None => find().ok_or_else(|| {
            let text = "there is no `ecli` beside ecc or in the PATH";
            Failure::new(exit_code::NO_INPUT, anyhow!(text)).hint(hint)
        })?,
    };
    let mut bytes = fs::read(&path)
        .with_context(|| format!("cannot read `{}`", shown(&path)))
        .map_err(|error| Failure::new(exit_code::NO_INPUT, error))?;
    // A standalone executable is a runner, too.
    bytes.truncate(runner_size(&bytes));
    match check(&bytes, target) {
        Ok(()) => Ok(bytes),
        Err(why) => {
            let text = format!("`{}` {why}", shown(&path));
            Err(Failure::new(exit_code::NO_INPUT, anyhow!(text)).hint(hint))
        }
    }
}

fn find() -> Option<PathBuf> {
    let own = std::env::current_exe().ok().and_then(|own| Some(own.parent()?.join("ecli")));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&path).map(|directory| directory.join("ecli"));
    own.into_iter().chain(in_path).find(|path| path.is_file())
}

fn check(bytes: &[u8], target: Arch) -> Result<(), String> {
    let expected = match target {
        Arch::X86 => EM_X86_64,
        Arch::Arm64 => EM_AARCH64,
    };
    match bytes.get(18..20) {
        Some(machine) if bytes.starts_with(&ELFMAG) => {
            if machine != expected.0.to_le_bytes() {
                return Err(format!("is not for {target}"));
            }
        }
        _ => return Err("is not an executable".to_owned()),
    }
    let mark = MARK.as_bytes();
    match bytes.windows(mark.len()).any(|window| window == mark) {
        true => Ok(()),
        false => Err("is not an ecli to which a package can be appended".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_runner_of_the_architecture_will_do() {
        let runner = |machine: u16| {
            let mut bytes = [&ELFMAG[..], &[2; 14], &machine.to_le_bytes()].concat();
            bytes.extend_from_slice(MARK.as_bytes());
            bytes
        };
        assert_eq!(check(&runner(EM_X86_64.0), Arch::X86), Ok(()));
        assert_eq!(check(&runner(EM_AARCH64.0), Arch::Arm64), Ok(()));
        let error = check(&runner(EM_X86_64.0), Arch::Arm64);
        assert_eq!(error, Err("is not for arm64".to_owned()));
        assert!(check(b"#!/bin/sh", Arch::X86).is_err());
        assert!(check(&runner(EM_X86_64.0)[..40], Arch::X86).is_err());
    }
}
