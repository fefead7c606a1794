// SPDX-License-Identifier: MIT
//! Reads the policy file. A file or a directory that other users can change is refused.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use anyhow::{Context as _, anyhow};
use serde::Deserialize;

use super::Rules;
use crate::failure::{Failure, exit_code};
use crate::report::kinds;

/// The file with the rules of the machine.
pub(super) const FILE: &str = "/etc/bpfpack/policy.toml";

/// The maximum size of the file in bytes.
const MOST: u64 = 1 << 20;

/// The policy of this machine. Each section is a struct that refuses unknown keys.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Policy {
    /// Rules for programs.
    #[serde(default)]
    pub(super) programs: Rules,
    /// Rules for where packages and modules come from; the first that fits decides.
    #[serde(default)]
    pub(super) source: Vec<bpfpack_trust::Rule>,
}

/// Reads a policy file; `None` if it does not exist.
///
/// # Errors
/// Returns an error if other users can change the file, or if it is not a policy. Then nothing may
/// run.
pub(super) fn read(path: &Path) -> Result<Option<Policy>, Failure> {
    let refused = |error: anyhow::Error, hint: String| {
        let error = error.context(format!("cannot use the policy `{}`", path.display()));
        Failure::new(exit_code::REFUSED, error).hint(hint)
    };
    let text = match load(path) {
        Ok(Some(text)) => text,
        Ok(None) => return Ok(None),
        Err(error) => {
            let hint = "it must belong to root, and other users must not be able to change it or \
                        its directories";
            return Err(refused(error, hint.to_owned()));
        }
    };
    let policy: Policy = toml::from_str(&text).map_err(|error| {
        refused(anyhow!("{}", error.to_string().trim_end()), "correct the file".to_owned())
    })?;
    if let Some(kind) = policy.programs.unknown_kind() {
        let hint = format!("the kinds are {}", Vec::from_iter(kinds::names()).join(", "));
        return Err(refused(anyhow!("there is no kind `{kind}`"), hint));
    }
    Ok(Some(policy))
}

/// Reads a file that only root and this user can change; `None` if it does not exist.
fn load(path: &Path) -> anyhow::Result<Option<String>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let absolute = std::path::absolute(path)?;
    let parent = absolute.parent().unwrap_or(&absolute);
    bpfpack_directories::private(parent)?;
    if !bpfpack_directories::is_ours(&file.metadata()?) {
        return Err(anyhow!("other users can change it"));
    }
    let mut text = String::new();
    file.take(MOST).read_to_string(&mut text).context("it is not text")?;
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn policy(text: &str, mode: u32) -> Result<Option<Policy>, Failure> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("policy.toml");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        read(&path)
    }

    #[test]
    fn policies_are_read_and_mistakes_are_named() {
        assert!(read(Path::new("/proc/self/no/policy.toml")).unwrap().is_none());
        assert_eq!(policy("", 0o644).unwrap().unwrap().programs, Rules::default());
        let text = "[programs]\nobserve_only = true\ndeny_helpers = [\"bpf_send_signal\"]\n";
        assert!(policy(text, 0o600).unwrap().unwrap().programs.observe_only);
        let text = "[[source]]\nsources = [\"*\"]\nkeys = [\"ours\"]\nmin_version = \"1.2\"\n";
        assert_eq!(policy(text, 0o600).unwrap().unwrap().source[0].keys, ["ours"]);
        for (text, mode, wanted) in [
            ("[[source]]\nkeys = [\"ours\"]\n", 0o600, "missing field `sources`"),
            ("[[source]]\nsources = []\nmin_version = \"new\"\n", 0o600, "not a version"),
            ("[programs]\nobserve = true\n", 0o600, "unknown field `observe`"),
            ("[program]\n", 0o600, "unknown field `program`"),
            ("[programs]\ndeny_kinds = [\"krpobe\"]\n", 0o600, "there is no kind `krpobe`"),
            ("[programs", 0o600, "cannot use the policy"),
            ("", 0o666, "other users can change it"),
        ] {
            let failure = policy(text, mode).unwrap_err();
            assert_eq!(failure.exit_code(), exit_code::REFUSED);
            assert!(failure.message().contains(wanted), "{}", failure.message());
        }
    }
}
