// SPDX-License-Identifier: MIT
//! Writes files as a whole: another process, or one after a crash, sees the old content or the new
//! one.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// How many names for the temporary file are tried.
const TRIES: u32 = 100;

/// Replaces a file, or creates it. A new file gets the mode, less the process's umask.
///
/// # Errors
/// Returns an error if the path is a directory or a special file, or if it cannot be written. The
/// old file is unchanged then.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    Written::beside(path, bytes, mode)?.rename()
}

/// A complete file that does not have its name yet. Dropping it removes it.
#[derive(Debug)]
pub struct Written<'p> {
    temporary: PathBuf,
    path: &'p Path,
}

impl Written<'_> {
    /// Writes a file beside `path`, which it will replace.
    ///
    /// # Errors
    /// Returns an error if the path is a directory or a special file, or if the file cannot be
    /// written.
    pub fn beside<'p>(path: &'p Path, bytes: &[u8], mode: u32) -> io::Result<Written<'p>> {
        check(path)?;
        let (temporary, mut file) = create(path, mode)?;
        let written = Written { temporary, path };
        file.write_all(bytes).and_then(|()| file.sync_all())?;
        Ok(written)
    }

    /// Gives it its name.
    ///
    /// # Errors
    /// Returns the error of rename(2). The old file is unchanged then.
    pub fn rename(self) -> io::Result<()> {
        fs::rename(&self.temporary, self.path)
    }
}

impl Drop for Written<'_> {
    fn drop(&mut self) {
        // It does not exist once it has its name, and another error was reported otherwise.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// Checks that a path can be replaced by a file.
///
/// # Errors
/// Returns an error if it is a directory or a special file.
pub fn check(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(meta) if meta.is_dir() => Err(io::Error::from(io::ErrorKind::IsADirectory)),
        Ok(meta) if !meta.is_file() => Err(io::Error::other("it is not a regular file")),
        _ => Ok(()),
    }
}

/// Creates a directory that only this user can read, and its parents.
pub(crate) fn create_private_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Creates a new file beside `path`, so that it is in the same file system.
fn create(path: &Path, mode: u32) -> io::Result<(PathBuf, File)> {
    let name = path.file_name().ok_or_else(|| io::Error::other("it is not the name of a file"))?;
    for number in 0..TRIES {
        let mut temporary = std::ffi::OsString::from(".");
        temporary.push(name);
        temporary.push(format!(".{}-{number}.tmp", std::process::id()));
        let temporary = path.with_file_name(temporary);
        match OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary) {
            Ok(file) => return Ok((temporary, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::from(io::ErrorKind::AlreadyExists))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        replace(&path, b"one", 0o600).unwrap();
        replace(&path, b"two", 0o600).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        assert!(replace(dir.path(), b"x", 0o600).is_err());
        assert!(replace(&dir.path().join("none/a"), b"x", 0o600).is_err());
        assert!(replace(Path::new("/dev/null"), b"x", 0o600).is_err());
        assert!(replace(Path::new("/"), b"x", 0o600).is_err());
        assert!(replace(Path::new(""), b"x", 0o600).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
