// SPDX-License-Identifier: MIT
//! Compiled modules on disk. A cached file runs as machine code, so nobody else may change it: the
//! directory and the files belong to root or to the user that runs ecli, and nobody else may write
//! to them or to a parent directory. Each file has a checksum, so that a damaged one is not run.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bpfpack_directories::{open_file, write_file};
use bpfpack_schemas::printable::hex;
use sha2::{Digest as _, Sha256};
use wasmtime::Module;

/// The maximum number of files; the oldest are removed.
const MOST_FILES: usize = 64;

/// The maximum number of bytes of all files; the oldest are removed.
const MOST_BYTES: u64 = 64 << 20;

/// The maximum number of bytes of a file.
const LARGEST: u64 = 32 << 20;

/// Size of a checksum in bytes.
const SUM: usize = 32;

/// The extension of cached files.
const ENDING: &str = "cwasm";

/// A directory with compiled modules.
#[derive(Debug)]
pub(super) struct Cache {
    directory: PathBuf,
}

impl Cache {
    /// Opens the directory, and creates it if it is missing. Returns `None` if it cannot be trusted
    /// or created; then modules are compiled each time.
    #[must_use]
    pub(super) fn open(directory: &Path) -> Option<Cache> {
        if !directory.is_absolute() {
            return None;
        }
        let real = bpfpack_directories::make_private(directory).ok()?;
        // A path through a symbolic link is not the one that the user named.
        (real == directory).then_some(Cache { directory: real })
    }

    /// The name of a module: a hash of its bytes and of everything that its code depends on.
    #[must_use]
    pub(super) fn key(module: &[u8], engine: &[u8]) -> String {
        let mut sum = Sha256::new();
        sum.update((module.len() as u64).to_le_bytes());
        sum.update(module);
        sum.update(engine);
        hex(&sum.finalize())
    }

    fn path(&self, key: &str) -> PathBuf {
        self.directory.join(key).with_extension(ENDING)
    }

    /// Returns a compiled module if it is there, undamaged, and for this engine and CPU.
    #[must_use]
    #[allow(unsafe_code, reason = "the code is run as it is: what makes it ours is checked here")]
    pub(super) fn module(&self, key: &str, engine: &wasmtime::Engine) -> Option<Module> {
        let code = self.read(key)?;
        // SAFETY: the bytes come from `Module::serialize`, because only `keep` writes such files.
        // Only this user and root can write to the directory and to the file (`open`, `read`). The
        // file is complete, because `read` compared its checksum.
        unsafe { Module::deserialize(engine, code) }.ok()
    }

    /// Returns the code of a module if it is there and undamaged.
    fn read(&self, key: &str) -> Option<Vec<u8>> {
        let mut file = open_file(&self.path(key)).ok()?;
        let data = file.metadata().ok()?;
        if data.len() > LARGEST {
            return None;
        }
        let mut sum = [0; SUM];
        file.read_exact(&mut sum).ok()?;
        let mut code = Vec::with_capacity(data.len() as usize);
        Read::take(&mut file, LARGEST).read_to_end(&mut code).ok()?;
        if sum_of(key, &code) != sum {
            return None;
        }
        // Files that are used stay: the oldest are removed first.
        let _ = file.set_modified(SystemTime::now());
        Some(code)
    }

    /// Stores a compiled module, and removes old ones beyond the limits. Failures are ignored.
    pub(super) fn keep(&self, key: &str, module: &Module) {
        if let Ok(code) = module.serialize() {
            self.write(key, &code);
        }
    }

    fn write(&self, key: &str, code: &[u8]) {
        if code.len() as u64 > LARGEST {
            return;
        }
        let name = format!("{key}.{ENDING}");
        let _ = write_file(&self.directory, &name, &[&sum_of(key, code), code]);
        let _ = self.shrink();
    }

    /// Removes the oldest files until the rest is within the limits.
    fn shrink(&self) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.directory)?.flatten() {
            if !is_ours_by_name(&entry.file_name().to_string_lossy()) {
                continue;
            }
            let data = entry.metadata()?;
            if data.is_file() {
                files.push((data.modified()?, data.len(), entry.path()));
            }
        }
        files.sort();
        let mut bytes: u64 = files.iter().map(|(_, len, _)| len).sum();
        let mut count = files.len();
        for (_, len, path) in files {
            if count <= MOST_FILES && bytes <= MOST_BYTES {
                break;
            }
            fs::remove_file(path)?;
            bytes -= len;
            count -= 1;
        }
        Ok(())
    }
}

/// A checksum of the code and its key, so that a renamed file is not valid.
fn sum_of(key: &str, code: &[u8]) -> [u8; SUM] {
    let mut sum = Sha256::new();
    sum.update(key);
    sum.update(code);
    sum.finalize().into()
}

/// Whether a file may be one of ours: a directory of the user may contain others.
fn is_ours_by_name(name: &str) -> bool {
    let Some((key, ending)) = name.split_at_checked(2 * SUM) else { return false };
    let is_key = key.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let parts: Vec<&str> = ending.split('.').collect();
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_key
        && match parts[..] {
            ["", ENDING] => true,
            // An incomplete file, whose writer was killed.
            ["", process, time] => is_number(process) && is_number(time),
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn directory() -> tempfile::TempDir {
        tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o700)).tempdir().unwrap()
    }

    #[test]
    fn what_was_written_is_read_and_nothing_else() {
        let directory = directory();
        let cache = Cache::open(&directory.path().join("new")).unwrap();
        assert_eq!(cache.read("a"), None);
        cache.write("a", b"code");
        assert_eq!(cache.read("a").as_deref(), Some(&b"code"[..]));
        // a file of another name
        fs::copy(cache.path("a"), cache.path("b")).unwrap();
        assert_eq!(cache.read("b"), None);
        // damaged, truncated
        let whole = fs::read(cache.path("a")).unwrap();
        let mut damaged = whole.clone();
        damaged[SUM] ^= 1;
        for bytes in [&damaged[..], &whole[..SUM + 2], &whole[..3], &[]] {
            fs::write(cache.path("a"), bytes).unwrap();
            assert_eq!(cache.read("a"), None);
        }
        cache.write("a", b"code");
        assert!(cache.read("a").is_some());
        // others may write to it
        fs::set_permissions(cache.path("a"), fs::Permissions::from_mode(0o666)).unwrap();
        assert_eq!(cache.read("a"), None);
    }

    #[test]
    fn an_unfinished_file_is_not_in_the_way() {
        let directory = directory();
        let cache = Cache::open(directory.path()).unwrap();
        fs::write(directory.path().join(format!("a.{}", std::process::id())), "cut o").unwrap();
        cache.write("a", b"code");
        assert!(cache.read("a").is_some());
    }

    #[test]
    fn a_link_is_not_followed() {
        let directory = directory();
        let cache = Cache::open(directory.path()).unwrap();
        cache.write("a", b"code");
        fs::rename(cache.path("a"), directory.path().join("elsewhere")).unwrap();
        std::os::unix::fs::symlink(directory.path().join("elsewhere"), cache.path("a")).unwrap();
        assert_eq!(cache.read("a"), None);
        std::os::unix::fs::symlink(directory.path(), directory.path().join("link")).unwrap();
        assert!(Cache::open(&directory.path().join("link")).is_none());
    }

    #[test]
    fn directories_of_others_are_not_trusted() {
        let directory = directory();
        let inner = directory.path().join("inner");
        assert!(Cache::open(&inner).is_some());
        fs::set_permissions(&inner, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(Cache::open(&inner).is_none());
        fs::set_permissions(&inner, fs::Permissions::from_mode(0o700)).unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(Cache::open(&inner).is_none());
        assert!(Cache::open(Path::new("relative")).is_none());
    }

    #[test]
    fn it_stays_within_its_bounds() {
        let directory = directory();
        let cache = Cache::open(directory.path()).unwrap();
        let key = |at: usize| format!("{at:064x}");
        fs::write(directory.path().join(format!("{}.12.34", key(1))), "unfinished").unwrap();
        for at in 0..MOST_FILES + 5 {
            cache.write(&key(at), b"code");
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), MOST_FILES);
        assert!(cache.read(&key(MOST_FILES + 4)).is_some());
    }

    #[test]
    fn files_of_others_stay_in_a_directory_that_is_too_full() {
        let directory = directory();
        let key = |at: usize| format!("{at:064x}");
        let others = ["notes.txt", "add.cwasm", &key(1), &format!("{}.12.x", key(2)), "é"];
        for name in others {
            fs::write(directory.path().join(name), "mine").unwrap();
        }
        let cache = Cache::open(directory.path()).unwrap();
        for at in 0..MOST_FILES + 5 {
            cache.write(&key(at), b"code");
        }
        assert!(others.iter().all(|name| directory.path().join(name).exists()));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), MOST_FILES + others.len());
    }
}
