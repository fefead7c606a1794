// SPDX-License-Identifier: MIT
//! Compiled modules on disk. What is read here is run as machine code, so it must be nobody else's:
//! the folder and the files belong to root, or to the user that runs ecli, and nobody else may
//! write to them, nor to a folder above; and each file is checked against a sum of its own, so that
//! a damaged one is not run.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bpfpack_folders::is_ours;
use sha2::{Digest as _, Sha256};
use wasmtime::Module;

/// Files in the folder; the oldest go.
const MOST_FILES: usize = 64;

/// Bytes of all files; the oldest go.
const MOST_BYTES: u64 = 64 << 20;

/// Bytes of a file.
const LARGEST: u64 = 32 << 20;

/// Bytes of a sum.
const SUM: usize = 32;

/// How our files end.
const ENDING: &str = "cwasm";

/// A folder with compiled modules.
#[derive(Debug)]
pub(super) struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// Opens the folder, and makes it if it is missing; none where it cannot be trusted, or not
    /// be made: then modules are compiled each time.
    #[must_use]
    pub(super) fn open(folder: &Path) -> Option<Cache> {
        if !folder.is_absolute() {
            return None;
        }
        let real = bpfpack_folders::make_private(folder).ok()?;
        // One that is reached by a link is not what the user named.
        (real == folder).then_some(Cache { folder: real })
    }

    /// The name of a module: of its bytes, and of all that its code depends on.
    #[must_use]
    pub(super) fn key(module: &[u8], engine: &[u8]) -> String {
        let mut sum = Sha256::new();
        sum.update((module.len() as u64).to_le_bytes());
        sum.update(module);
        sum.update(engine);
        sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn path(&self, key: &str) -> PathBuf {
        self.folder.join(key).with_extension(ENDING)
    }

    /// A compiled module, if it is there and whole, and for this engine and processor.
    #[must_use]
    #[allow(unsafe_code, reason = "the code is run as it is: what makes it ours is checked here")]
    pub(super) fn module(&self, key: &str, engine: &wasmtime::Engine) -> Option<Module> {
        let code = self.read(key)?;
        // SAFETY: the bytes are what `Module::serialize` has made, since nothing but `keep` writes
        // them. Only this user and root can write to the folder and to the file (`open`, `read`).
        // The file is whole: its sum was compared.
        unsafe { Module::deserialize(engine, code) }.ok()
    }

    /// The code of a module, if it is there and whole.
    fn read(&self, key: &str) -> Option<Vec<u8>> {
        let mut file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW)
            .open(self.path(key))
            .ok()?;
        let data = file.metadata().ok()?;
        if !data.is_file() || !is_ours(&data) || data.len() > LARGEST {
            return None;
        }
        let mut sum = [0; SUM];
        file.read_exact(&mut sum).ok()?;
        let mut code = Vec::with_capacity(data.len() as usize);
        Read::take(&mut file, LARGEST).read_to_end(&mut code).ok()?;
        if sum_of(key, &code) != sum {
            return None;
        }
        // What is used stays.
        let _ = file.set_modified(SystemTime::now());
        Some(code)
    }

    /// Keeps a compiled module, and removes what is too much. That it fails is no reason to end.
    pub(super) fn keep(&self, key: &str, module: &Module) {
        if let Ok(code) = module.serialize() {
            self.write(key, &code);
        }
    }

    fn write(&self, key: &str, code: &[u8]) {
        if code.len() as u64 > LARGEST {
            return;
        }
        let _ = self.try_write(key, code);
        let _ = self.shrink();
    }

    fn try_write(&self, key: &str, code: &[u8]) -> io::Result<()> {
        // Numbers of processes come again, and others may share the folder who count their own: a
        // file that was left unfinished must not be in the way.
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let own = format!("{key}.{}.{}", std::process::id(), now.as_nanos());
        let temporary = self.folder.join(own);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&temporary)?;
        let write = |file: &mut File| {
            file.write_all(&sum_of(key, code))?;
            file.write_all(code)
        };
        let result = write(&mut file).and_then(|()| fs::rename(&temporary, self.path(key)));
        if result.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        result
    }

    /// Removes the oldest files until the rest is within the bounds.
    fn shrink(&self) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)?.flatten() {
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

/// A sum of the code and of whose it is: a file under another name is none.
fn sum_of(key: &str, code: &[u8]) -> [u8; SUM] {
    let mut sum = Sha256::new();
    sum.update(key);
    sum.update(code);
    sum.finalize().into()
}

/// Whether a file may be one of ours: a folder that a user names may hold others.
fn is_ours_by_name(name: &str) -> bool {
    let Some((key, ending)) = name.split_at_checked(2 * SUM) else { return false };
    let is_key = key.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let parts: Vec<&str> = ending.split('.').collect();
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_key
        && match parts[..] {
            ["", ENDING] => true,
            // One that was not finished: its writer was killed.
            ["", process, time] => is_number(process) && is_number(time),
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o700)).tempdir().unwrap()
    }

    #[test]
    fn what_was_written_is_read_and_nothing_else() {
        let folder = folder();
        let cache = Cache::open(&folder.path().join("new")).unwrap();
        assert_eq!(cache.read("a"), None);
        cache.write("a", b"code");
        assert_eq!(cache.read("a").as_deref(), Some(&b"code"[..]));
        // another's name
        fs::copy(cache.path("a"), cache.path("b")).unwrap();
        assert_eq!(cache.read("b"), None);
        // damaged, cut off
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
        let folder = folder();
        let cache = Cache::open(folder.path()).unwrap();
        fs::write(folder.path().join(format!("a.{}", std::process::id())), "cut o").unwrap();
        cache.write("a", b"code");
        assert!(cache.read("a").is_some());
    }

    #[test]
    fn a_link_is_not_followed() {
        let folder = folder();
        let cache = Cache::open(folder.path()).unwrap();
        cache.write("a", b"code");
        fs::rename(cache.path("a"), folder.path().join("elsewhere")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("elsewhere"), cache.path("a")).unwrap();
        assert_eq!(cache.read("a"), None);
        std::os::unix::fs::symlink(folder.path(), folder.path().join("link")).unwrap();
        assert!(Cache::open(&folder.path().join("link")).is_none());
    }

    #[test]
    fn folders_of_others_are_not_trusted() {
        let folder = folder();
        let inner = folder.path().join("inner");
        assert!(Cache::open(&inner).is_some());
        fs::set_permissions(&inner, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(Cache::open(&inner).is_none());
        fs::set_permissions(&inner, fs::Permissions::from_mode(0o700)).unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(Cache::open(&inner).is_none());
        assert!(Cache::open(Path::new("relative")).is_none());
    }

    #[test]
    fn it_stays_within_its_bounds() {
        let folder = folder();
        let cache = Cache::open(folder.path()).unwrap();
        let key = |at: usize| format!("{at:064x}");
        fs::write(folder.path().join(format!("{}.12.34", key(1))), "unfinished").unwrap();
        for at in 0..MOST_FILES + 5 {
            cache.write(&key(at), b"code");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), MOST_FILES);
        assert!(cache.read(&key(MOST_FILES + 4)).is_some());
    }

    #[test]
    fn files_of_others_stay_in_a_folder_that_is_too_full() {
        let folder = folder();
        let key = |at: usize| format!("{at:064x}");
        let others = ["notes.txt", "add.cwasm", &key(1), &format!("{}.12.x", key(2)), "é"];
        for name in others {
            fs::write(folder.path().join(name), "mine").unwrap();
        }
        let cache = Cache::open(folder.path()).unwrap();
        for at in 0..MOST_FILES + 5 {
            cache.write(&key(at), b"code");
        }
        assert!(others.iter().all(|name| folder.path().join(name).exists()));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), MOST_FILES + others.len());
    }
}
