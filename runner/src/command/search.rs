// SPDX-License-Identifier: MIT
//! Finds the file of a command by its name.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use rustix::fs::{Access, access};

use crate::failure::{Failure, exit_code};

/// The search path if the environment has no `PATH`.
const USUAL: &str = "/usr/local/bin:/usr/bin:/bin";

/// Finds a command as a shell does: a name with a slash is a path; any other is searched in `PATH`.
///
/// # Errors
/// Returns an error with the exit code of shells: 127 or 126.
pub(super) fn find(name: &OsStr) -> Result<PathBuf, Failure> {
    find_in(name, &std::env::var_os("PATH").unwrap_or_else(|| USUAL.into()))
}

fn find_in(name: &OsStr, path: &OsString) -> Result<PathBuf, Failure> {
    let is_path = name.as_bytes().contains(&b'/');
    let candidates: Vec<PathBuf> = match is_path {
        true => vec![name.into()],
        false if name.is_empty() => Vec::new(),
        // An empty entry is the current directory.
        false => {
            std::env::split_paths(path).map(|dir| Path::new(".").join(dir).join(name)).collect()
        }
    };
    let mut refused = None;
    for candidate in candidates {
        match check(&candidate) {
            Ok(()) => return Ok(candidate),
            Err(None) => {}
            Err(Some(why)) => {
                refused.get_or_insert(why);
            }
        }
    }
    let name = name.to_string_lossy();
    if let Some(why) = refused {
        let error = anyhow!("the command `{name}` cannot be executed: {why}");
        return Err(Failure::new(exit_code::NOT_EXECUTED, error));
    }
    let error = anyhow!("the command `{name}` does not exist");
    let failure = Failure::new(exit_code::NO_COMMAND, error);
    Err(match is_path {
        true => failure,
        false => failure.hint(format!("PATH is {}", path.to_string_lossy())),
    })
}

/// Checks that a file can be executed. The inner `None` means that there is no such file.
fn check(path: &Path) -> Result<(), Option<String>> {
    let meta = std::fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => None,
        _ => Some(error.to_string()),
    })?;
    if !meta.is_file() {
        return Err(Some("it is not a file".to_owned()));
    }
    access(path, Access::EXEC_OK).map_err(|error| Some(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn commands_are_found_as_by_shells() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, mode| {
            let path = dir.path().join(name);
            std::fs::write(&path, "").unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            path
        };
        let there = file("there", 0o755);
        let plain = file("plain", 0o644);
        let path = OsString::from(format!("/nowhere:{}", dir.path().display()));
        let find = |name: &OsStr| find_in(name, &path).map_err(|failure| failure.exit_code());
        assert_eq!(find("there".as_ref()), Ok(there.clone()));
        assert_eq!(find(there.as_ref()), Ok(there));
        assert_eq!(find("plain".as_ref()), Err(126));
        assert_eq!(find(plain.as_ref()), Err(126));
        assert_eq!(find(dir.path().as_ref()), Err(126));
        assert_eq!(find("absent".as_ref()), Err(127));
        assert_eq!(find("".as_ref()), Err(127));
        assert_eq!(find("/nowhere/absent".as_ref()), Err(127));
    }
}
