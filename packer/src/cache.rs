// SPDX-License-Identifier: MIT
//! The user's cache directory: headers, precompiled headers and objects.
//!
//! What the cache contains decides what is packed. It is therefore used only if nobody but root and
//! this user can change it or a directory above it; otherwise, a temporary directory replaces it.
//! `ecc` reads and removes only files that it could have created, and follows no links.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bpfpack_directories::{is_ours, make_private, open_file, private, user_cache};
use bpfpack_schemas::printable;
use rustix::fs::Access;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::message::{Console, shown};

/// The number of hexadecimal digits of a hash in a name.
const DIGITS: usize = 32;

/// The kind of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A directory of headers.
    Headers,
    /// A precompiled `vmlinux.h`.
    Precompiled,
    /// A directory with a `vmlinux.h` in which some names are replaced.
    Renamed,
    /// An object, with the facts from its debug information.
    Object,
}

impl Kind {
    /// The prefix and the suffix of its names.
    fn affixes(self) -> (&'static str, &'static str) {
        match self {
            Kind::Headers => ("headers-", ""),
            Kind::Precompiled => ("vmlinux-", ".pch"),
            Kind::Renamed => ("renamed-", ""),
            Kind::Object => ("object-", ""),
        }
    }

    /// How many entries are kept; the oldest are removed. A precompiled header has about 14 MB.
    fn count(self) -> usize {
        match self {
            // Kernel types of several releases, and several instruction sets.
            Kind::Headers | Kind::Precompiled => 8,
            Kind::Renamed => 16,
            Kind::Object => 64,
        }
    }

    fn is_directory(self) -> bool {
        matches!(self, Kind::Headers | Kind::Renamed)
    }

    /// The path of an entry in a directory.
    pub(crate) fn path(self, directory: &Path, hash: &str) -> PathBuf {
        let (prefix, suffix) = self.affixes();
        directory.join(format!("{prefix}{hash}{suffix}"))
    }

    /// Whether a name is one that [`Kind::path`] returns.
    pub(crate) fn is_name(self, name: &str) -> bool {
        let (prefix, suffix) = self.affixes();
        let hash = name.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(suffix));
        hash.is_some_and(|hash| {
            hash.len() == DIGITS && hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        })
    }

    /// Whether an entry exists at a path: not a link, and owned by this user.
    pub(crate) fn is_at(self, path: &Path) -> bool {
        fs::symlink_metadata(path).is_ok_and(|data| {
            let is_kind = if self.is_directory() { data.is_dir() } else { data.is_file() };
            is_kind && is_ours(&data)
        })
    }
}

/// The directory.
#[derive(Debug)]
pub(crate) struct Cache {
    directory: PathBuf,
    temporary: Option<TempDir>,
}

impl Cache {
    /// Opens the user's cache, or creates a temporary one.
    pub(crate) fn open(console: &Console) -> io::Result<Cache> {
        match user_directory() {
            Ok(directory) => Ok(Cache { directory, temporary: None }),
            Err(why) => {
                console.detail(&format!("the cache is not used: {why}"));
                let temporary = temporary_directory()?;
                Ok(Cache { directory: temporary.path().to_owned(), temporary: Some(temporary) })
            }
        }
    }

    /// The path of the directory, without links.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether the directory still exists in the next run.
    pub(crate) fn is_kept(&self) -> bool {
        self.temporary.is_none()
    }

    /// The path of an entry.
    pub(crate) fn path(&self, kind: Kind, hash: &str) -> PathBuf {
        kind.path(&self.directory, hash)
    }
}

/// [`user_cache`], if only this user can write there; created if it is missing.
fn user_directory() -> Result<PathBuf, String> {
    let directory = user_cache().ok_or("neither XDG_CACHE_HOME nor HOME names a directory")?;
    let directory = make_private(&directory).map_err(|why| why.to_string())?;
    match rustix::fs::access(&directory, Access::WRITE_OK) {
        Ok(()) => Ok(directory),
        Err(error) => Err(format!("`{}`: {}", shown(&directory), io::Error::from(error))),
    }
}

/// A temporary directory that only this user can write to; removed on drop. If `$TMPDIR` belongs to
/// another user, who could replace the directory, it is created elsewhere.
pub(crate) fn temporary_directory() -> io::Result<TempDir> {
    let make = |base: &Path| builder("ecc-").tempdir_in(base);
    let first = make(&std::env::temp_dir());
    if let Ok(dir) = &first
        && private(dir.path()).is_ok()
    {
        return first;
    }
    let others = ["/tmp", "/var/tmp"].map(Path::new);
    let mut others = others.into_iter().filter_map(|base| make(base).ok());
    // In a container, `/` itself can belong to an unknown user. Then no directory is better than
    // another.
    others.find(|dir| private(dir.path()).is_ok()).map_or(first, Ok)
}

/// A new directory in the cache. It gets its final name when it is complete.
pub(crate) fn new_directory(cache: &Path) -> io::Result<TempDir> {
    builder("new-").tempdir_in(cache)
}

fn builder(prefix: &str) -> tempfile::Builder<'_, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix).permissions(fs::Permissions::from_mode(0o700));
    builder
}

/// Opens a file of the cache, if it is a file of this user.
pub(crate) fn open(path: &Path) -> Option<File> {
    open_file(path).ok()
}

/// Notes that an entry is used now: the entries that were used last are kept. A failure is not an
/// error.
pub(crate) fn note_use(path: &Path) {
    let _ = File::open(path).and_then(|entry| entry.set_modified(SystemTime::now()));
}

/// Removes all but the newest entries of a kind, by their last use. An entry that another `ecc` is
/// about to use was used a moment ago.
pub(crate) fn keep_newest(directory: &Path, kind: Kind) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    let mut found: Vec<(SystemTime, PathBuf)> = entries
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| kind.is_name(name)))
        .filter(|entry| kind.is_at(&entry.path()))
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    found.sort();
    let surplus = found.len().saturating_sub(kind.count());
    for (_, path) in found.into_iter().take(surplus) {
        let _ = if kind.is_directory() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    }
}

/// The first 128 bits of a hash, as a name.
pub(crate) fn hex(hasher: Sha256) -> String {
    printable::hex(&hasher.finalize()[..DIGITS / 2])
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const KINDS: [Kind; 4] = [Kind::Headers, Kind::Precompiled, Kind::Renamed, Kind::Object];

    fn directory() -> TempDir {
        builder("ecc-test-").tempdir().unwrap()
    }

    fn hash(number: usize) -> String {
        format!("{number:032x}")
    }

    fn make(kind: Kind, path: &Path) {
        match kind.is_directory() {
            true => fs::create_dir(path).unwrap(),
            false => fs::write(path, "").unwrap(),
        }
        let mode = fs::Permissions::from_mode(0o700);
        fs::set_permissions(path, mode).unwrap();
    }

    #[test]
    fn only_names_that_are_ours() {
        let named = hex(Sha256::new());
        for kind in KINDS {
            let path = kind.path(Path::new(""), &named);
            let name = path.to_str().unwrap();
            assert!(kind.is_name(name), "{name}");
            for other in [&name[1..], &name[..name.len() - 1], &name.to_uppercase()] {
                assert!(!kind.is_name(other), "{other}");
            }
            assert!(!kind.is_name(&format!("{name}.bak")));
            assert!(KINDS.iter().all(|other| *other == kind || !other.is_name(name)));
        }
        for name in ["headers-1", "vmlinux-", "vmlinux-6.18", "object-file.o", "renamed-x"] {
            assert!(KINDS.iter().all(|kind| !kind.is_name(name)), "{name}");
        }
    }

    #[test]
    fn the_oldest_of_ours_go_and_nothing_else() {
        for kind in KINDS {
            let directory = directory();
            let (prefix, suffix) = kind.affixes();
            for name in ["1", "extra"] {
                make(kind, &directory.path().join(format!("{prefix}{name}{suffix}")));
            }
            // A link whose name is that of an entry, to such an entry.
            let target = directory.path().join("target");
            make(kind, &target);
            symlink(&target, kind.path(directory.path(), &hash(0))).unwrap();
            for number in 1..=kind.count() + 3 {
                make(kind, &kind.path(directory.path(), &hash(number)));
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
            keep_newest(directory.path(), kind);
            assert_eq!(
                fs::read_dir(directory.path()).unwrap().count(),
                kind.count() + 4,
                "{kind:?}"
            );
            assert!(target.exists() && kind.path(directory.path(), &hash(0)).is_symlink());
            assert!(!kind.path(directory.path(), &hash(3)).exists());
            assert!(kind.path(directory.path(), &hash(4)).exists());
        }
    }

    #[test]
    fn what_is_a_link_or_open_to_others_is_not_read() {
        let directory = directory();
        for kind in KINDS {
            let path = kind.path(directory.path(), &hash(1));
            make(kind, &path);
            assert!(kind.is_at(&path));
            assert_eq!(open(&path).is_some(), !kind.is_directory());
            let link = kind.path(directory.path(), &hash(2));
            symlink(&path, &link).unwrap();
            assert!(!kind.is_at(&link) && open(&link).is_none());
            fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
            assert!(!kind.is_at(&path) && open(&path).is_none());
        }
        let pipe = directory.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0)
            .unwrap();
        assert!(open(&pipe).is_none());
    }

    #[test]
    fn temporary_directories_are_this_users_alone() {
        let dir = temporary_directory().unwrap();
        let mode = fs::metadata(dir.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}
