// SPDX-License-Identifier: MIT
//! Maps that a package asks to pin (`LIBBPF_PIN_BY_NAME`). They stay in a BPF file system when ecli
//! ends, and any process that pins a map of the same name reuses them. ecli refuses this unless
//! `--pin DIR` allows it, and then pins only below that directory, to which nobody else may write.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};

use bpfpack_directories as directories;

use crate::failure::Failure;
use crate::load::Opened;

/// The type of a BPF file system in statfs(2) (include/uapi/linux/magic.h: `BPF_FS_MAGIC`).
const BPF_FS: u64 = 0xcafe_4a11;

/// Where maps may be pinned. Dropping it removes the pins that this run created, unless
/// [`Pins::keep`] was called.
#[derive(Debug)]
pub(crate) struct Pins {
    dir: Option<PathBuf>,
    /// Paths that did not exist before.
    made: RefCell<Vec<PathBuf>>,
    /// Notes for the user, each shown once.
    notes: RefCell<Vec<String>>,
}

impl Pins {
    /// Checks the directory of `--pin`, if there is one.
    ///
    /// # Errors
    /// Returns an error if it does not exist, is not in a BPF file system, or others may write to
    /// it.
    pub(crate) fn new(dir: Option<&Path>) -> Result<Pins, Failure> {
        let dir = dir.map(checked).transpose()?;
        Ok(Pins { dir, made: RefCell::default(), notes: RefCell::default() })
    }

    /// Pins the maps that ask for it in the directory.
    ///
    /// # Errors
    /// Returns an error if there is no directory, or if the path of a map is not a map of this
    /// user.
    pub(crate) fn place(&self, opened: &mut Opened) -> Result<(), Failure> {
        let names = opened.pinned();
        if names.is_empty() {
            return Ok(());
        }
        let Some(dir) = &self.dir else { return Err(refused(&names)) };
        for name in names {
            let place = place(dir, &name)?;
            let is_there = is_own_map(&place)?;
            opened.pin(&name, &place)?;
            let how = if is_there { "is pinned already" } else { "is pinned" };
            let note = format!("the map `{name}` {how} at `{}`, and stays there", place.display());
            let mut notes = self.notes.borrow_mut();
            // The object may be loaded twice; then the first load has pinned it.
            if !is_there && !self.made.borrow().contains(&place) {
                self.made.borrow_mut().push(place);
                notes.push(note);
            } else if !self.made.borrow().contains(&place) {
                notes.push(note);
            }
        }
        Ok(())
    }

    /// Keeps the pins, because the tracer runs. Returns notes for the user.
    pub(crate) fn keep(self) -> Vec<String> {
        self.made.borrow_mut().clear();
        let mut notes = self.notes.take();
        notes.dedup();
        notes
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        for path in self.made.get_mut() {
            let _ = fs::remove_file(path);
        }
    }
}

fn refused(names: &[String]) -> Failure {
    let maps = if names.len() == 1 { "the map" } else { "the maps" };
    Failure::usage(format!(
        "the package pins {maps} {}: a pinned map remains when ecli ends, and ecli uses a map with \
         the same name that others have pinned",
        names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    ))
    .hint(
        "--pin DIR allows it below DIR: mkdir -m 700 /sys/fs/bpf/NAME, then --pin /sys/fs/bpf/NAME",
    )
}

/// Returns the directory if it is in a BPF file system and only this user may write to it.
fn checked(dir: &Path) -> Result<PathBuf, Failure> {
    let what = format!("--pin `{}`", dir.display());
    let real = directories::private(dir).map_err(|reason| {
        let failure = Failure::usage(format!("{what}: {reason}"));
        match dir.exists() {
            false => failure.hint(format!("create it: mkdir -m 700 {}", dir.display())),
            true => failure.hint("only root, or the user that runs ecli, may write to it"),
        }
    })?;
    let kind =
        rustix::fs::statfs(&real).map_err(|error| Failure::usage(format!("{what}: {error}")))?;
    if kind.f_type as u64 != BPF_FS {
        return Err(Failure::usage(format!("{what}: it is not in a BPF file system"))
            .hint("mount one: mount -t bpf bpf /sys/fs/bpf"));
    }
    Ok(real)
}

/// The path of a map's pin, directly below the directory.
fn place(dir: &Path, name: &str) -> Result<PathBuf, Failure> {
    match name.is_empty() || name.contains(['/', '\0']) || name.starts_with('.') {
        true => Err(Failure::usage(format!("--pin: a map cannot be pinned as `{name}`"))),
        false => Ok(dir.join(name)),
    }
}

/// Whether a map of this user is pinned there already.
fn is_own_map(place: &Path) -> Result<bool, Failure> {
    let Ok(data) = fs::symlink_metadata(place) else { return Ok(false) };
    match data.is_file() && directories::is_ours(&data) {
        true => Ok(true),
        false => Err(Failure::usage(format!(
            "--pin: `{}` is not a map that only this user can change",
            place.display()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_pinned_below_the_directory_only() {
        let dir = Path::new("/sys/fs/bpf/own");
        assert_eq!(place(dir, "counts").ok(), Some(dir.join("counts")));
        for name in ["", "..", ".", "a/b", "/etc/x", "../x", "a\0b", ".hidden"] {
            assert!(place(dir, name).is_err(), "{name}");
        }
    }

    #[test]
    fn directories_that_are_none() {
        let dir = tempfile::tempdir().unwrap();
        let failed = |path: &Path| Pins::new(Some(path)).unwrap_err().message();
        let text = failed(&dir.path().join("missing"));
        assert!(text.contains("missing") && text.contains("--pin"), "{text}");
        let text = failed(dir.path());
        assert!(text.contains("not in a BPF file system"), "{text}");
        assert!(Pins::new(None).unwrap().keep().is_empty());
    }

    #[test]
    fn what_is_at_a_place_already_must_be_ours() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("map");
        assert!(!is_own_map(&file).unwrap());
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(is_own_map(&file).unwrap());
        fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(is_own_map(&file).is_err());
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("link")).unwrap();
        assert!(is_own_map(&dir.path().join("link")).is_err());
    }
}
