// SPDX-License-Identifier: MIT
//! Packages that were downloaded, by their digest. The directory belongs to root and this user
//! alone: what others can change is neither read nor written.
//!
//! ```text
//! blobs/DIGEST    what was downloaded
//! refs/DIGEST     for the digest of a source's name: what it was when it was last downloaded
//! allowed/DIGEST  the user has confirmed that this may run
//! ```

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bpfpack_directories::{NotPrivate, make_private, open_file, write_file};
use bpfpack_schemas::package::MAX_PACKAGE_SIZE;
use bpfpack_trust::digest;
use serde::{Deserialize, Serialize};

/// The largest ref, in bytes: it has the name of a source and a signature.
const MAX_REF: u64 = 128 << 10;

/// A cache in a directory.
#[derive(Debug)]
pub(crate) struct Cache {
    directory: PathBuf,
}

/// What a source was when it was last downloaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ref {
    /// The source: a URL or the name of an image.
    pub(crate) source: String,
    /// The digest of the bytes.
    pub(crate) digest: String,
    /// The text of the signature, if one was downloaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) signature: Option<String>,
}

/// An entry of the list of a cache.
#[derive(Debug)]
pub(crate) struct Listed {
    /// What it was.
    pub(crate) entry: Ref,
    /// Its size in bytes.
    pub(crate) size: u64,
    /// How long ago it was downloaded.
    pub(crate) age: Duration,
}

impl Cache {
    /// Opens the cache in a directory, which is made if it does not exist.
    ///
    /// # Errors
    /// Returns an error if other users can change the directory.
    pub(crate) fn open(directory: &Path) -> Result<Cache, NotPrivate> {
        let directory = make_private(directory)?;
        for name in ["blobs", "refs", "allowed"] {
            make_private(&directory.join(name))?;
        }
        Ok(Cache { directory })
    }

    /// What is stored for a source, if its bytes are what they were.
    pub(crate) fn find(&self, source: &str) -> Option<(Vec<u8>, Ref)> {
        let text = self.read("refs", &digest(source.as_bytes()), MAX_REF).ok()?;
        let entry: Ref = serde_json::from_slice(&text).ok()?;
        // Names of two sources do not have the same digest, but a file may have been renamed.
        let bytes = (entry.source == source).then(|| self.blob(&entry.digest))??;
        Some((bytes, entry))
    }

    /// The bytes with a digest.
    pub(crate) fn blob(&self, wanted: &str) -> Option<Vec<u8>> {
        let bytes = self.read("blobs", wanted, MAX_PACKAGE_SIZE).ok()?;
        (digest(&bytes) == wanted).then_some(bytes)
    }

    /// Stores what was downloaded.
    ///
    /// # Errors
    /// Returns an error if a file cannot be written.
    pub(crate) fn store(&self, entry: &Ref, bytes: &[u8]) -> io::Result<()> {
        self.write("blobs", &entry.digest, bytes)?;
        let text = serde_json::to_vec(entry)?;
        self.write("refs", &digest(entry.source.as_bytes()), &text)
    }

    /// Whether the user has confirmed that something may run.
    pub(crate) fn is_allowed(&self, digest: &str) -> bool {
        self.read("allowed", digest, MAX_REF).is_ok()
    }

    /// Remembers that something may run.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written.
    pub(crate) fn allow(&self, digest: &str) -> io::Result<()> {
        self.write("allowed", digest, b"")
    }

    /// All sources, the latest first.
    pub(crate) fn list(&self) -> io::Result<Vec<Listed>> {
        let mut listed = Vec::new();
        for file in fs::read_dir(self.directory.join("refs"))? {
            let file = file?;
            let name = file.file_name().to_string_lossy().into_owned();
            let Ok(text) = self.read("refs", &name, MAX_REF) else { continue };
            let Ok(entry) = serde_json::from_slice::<Ref>(&text) else { continue };
            let blob = self.directory.join("blobs").join(&entry.digest);
            let size = fs::metadata(blob).map_or(0, |data| data.len());
            let age = file.metadata().and_then(|data| data.modified()).ok();
            let age = age.and_then(|at| SystemTime::now().duration_since(at).ok());
            listed.push(Listed { entry, size, age: age.unwrap_or_default() });
        }
        listed.sort_by_key(|listed| listed.age);
        Ok(listed)
    }

    /// Removes what was downloaded longer ago than `age`, and what nothing refers to any more.
    /// Returns how many files and bytes.
    ///
    /// # Errors
    /// Returns an error if a directory cannot be read or a file cannot be removed.
    pub(crate) fn prune(&self, age: Duration) -> io::Result<(usize, u64)> {
        let (mut files, mut bytes) = (0, 0);
        let mut kept = std::collections::BTreeSet::new();
        for listed in self.list()? {
            if listed.age < age {
                kept.insert(listed.entry.digest);
            } else {
                let name = digest(listed.entry.source.as_bytes());
                fs::remove_file(self.directory.join("refs").join(name))?;
            }
        }
        for directory in ["blobs", "allowed"] {
            for file in fs::read_dir(self.directory.join(directory))? {
                let file = file?;
                if kept.contains(&*file.file_name().to_string_lossy()) {
                    continue;
                }
                (files, bytes) = (files + 1, bytes + file.metadata()?.len());
                fs::remove_file(file.path())?;
            }
        }
        Ok((files, bytes))
    }

    fn read(&self, directory: &str, name: &str, most: u64) -> io::Result<Vec<u8>> {
        // Names come from refs: nothing else is a digest.
        if name.len() != 64 || !name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let file = open_file(&self.directory.join(directory).join(name))?;
        let mut bytes = Vec::new();
        file.take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Writes a file that is complete or absent.
    fn write(&self, directory: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
        write_file(&self.directory.join(directory), name, &[bytes])
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn cache() -> (tempfile::TempDir, Cache) {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::open(&directory.path().join("cache")).unwrap();
        (directory, cache)
    }

    fn entry(source: &str, bytes: &[u8]) -> Ref {
        Ref { source: source.into(), digest: digest(bytes), signature: Some("s".into()) }
    }

    #[test]
    fn what_is_stored_is_found_unless_it_changed() {
        let (directory, cache) = cache();
        let wanted = entry("https://a/x", b"bytes");
        cache.store(&wanted, b"bytes").unwrap();
        assert_eq!(cache.find("https://a/x"), Some((b"bytes".to_vec(), wanted.clone())));
        assert_eq!(cache.find("https://a/y"), None);
        let blob = directory.path().join("cache/blobs").join(&wanted.digest);
        fs::write(&blob, "other").unwrap();
        assert_eq!(cache.find("https://a/x"), None);
        fs::write(&blob, "bytes").unwrap();
        fs::set_permissions(&blob, fs::Permissions::from_mode(0o666)).unwrap();
        assert_eq!(cache.find("https://a/x"), None, "others can write it");
        fs::remove_file(&blob).unwrap();
        fs::write(directory.path().join("elsewhere"), "bytes").unwrap();
        symlink(directory.path().join("elsewhere"), &blob).unwrap();
        assert_eq!(cache.find("https://a/x"), None, "a link");
        assert!(cache.read("blobs", "../refs", 10).is_err());
    }

    #[test]
    fn a_directory_that_others_can_change_is_not_used() {
        let (directory, _) = cache();
        let shared = directory.path().join("shared");
        fs::create_dir(&shared).unwrap();
        fs::set_permissions(&shared, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(Cache::open(&shared.join("x")).is_err());
        let link = directory.path().join("link");
        symlink(&shared, &link).unwrap();
        assert!(Cache::open(&link).is_err());
    }

    #[test]
    fn old_entries_are_pruned() {
        let (_directory, cache) = cache();
        cache.store(&entry("a", b"1"), b"1").unwrap();
        cache.store(&entry("b", b"22"), b"22").unwrap();
        cache.allow(&digest(b"1")).unwrap();
        assert!(cache.is_allowed(&digest(b"1")) && !cache.is_allowed(&digest(b"22")));
        assert_eq!(cache.list().unwrap().len(), 2);
        assert_eq!(cache.prune(Duration::from_secs(60)).unwrap(), (0, 0));
        // One whose ref was replaced is not needed any more.
        cache.store(&entry("b", b"333"), b"333").unwrap();
        assert_eq!(cache.prune(Duration::from_secs(60)).unwrap(), (1, 2));
        assert_eq!(cache.prune(Duration::ZERO).unwrap(), (3, 4));
        assert!(cache.list().unwrap().is_empty() && !cache.is_allowed(&digest(b"1")));
    }
}
