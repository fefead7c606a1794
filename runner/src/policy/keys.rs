// SPDX-License-Identifier: MIT
//! The keys of people whose packages may run: files `NAME.pub` in the directory `keys` beside the
//! policy file. A directory that other users can change is refused.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bpfpack_trust::Key;

use super::file::FILE;
use crate::failure::{Failure, exit_code};

/// The directory of the keys that belong to a policy file; `None` is that of the machine.
pub(crate) fn directory(policy: Option<&Path>) -> PathBuf {
    policy.unwrap_or(Path::new(FILE)).with_file_name("keys")
}

/// Reads all keys, in the order of their names. There are none if the directory does not exist.
///
/// # Errors
/// Returns an error if other users can change the directory or a key, or if a file is no key. Then
/// nothing may run.
pub(super) fn read(policy: &Path) -> Result<Vec<Key>, Failure> {
    let directory = directory(Some(policy));
    load(&directory).map_err(|error| {
        let error = error.context(format!("cannot use the keys in `{}`", directory.display()));
        Failure::new(exit_code::REFUSED, error).hint(
            "the directory and the files must belong to root, and other users must not be able to \
             change them; `ecli trust add` writes them so",
        )
    })
}

fn load(directory: &Path) -> anyhow::Result<Vec<Key>> {
    let files = match fs::read_dir(directory) {
        Ok(files) => files,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    bpfpack_directories::private(&std::path::absolute(directory)?)?;
    let mut keys = Vec::new();
    for file in files {
        let path = file?.path();
        if path.extension().is_none_or(|ending| ending != "pub") {
            continue;
        }
        let shown = || format!("`{}`", path.display());
        if !bpfpack_directories::is_ours(&fs::symlink_metadata(&path).with_context(shown)?) {
            anyhow::bail!("other users can change `{}`", path.display());
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).with_context(shown)?;
        keys.push(Key::new(&name, &text).with_context(shown)?);
    }
    keys.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(keys)
}
