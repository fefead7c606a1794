// SPDX-License-Identifier: MIT
//! Reads files that only root and this user can change, and notices when they change.

use std::fs::{self, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::WebError;

/// The largest file, in bytes.
const MAX_SIZE: u64 = 1 << 20;

/// What is different when a file was changed or replaced: device, inode, size, and the time of the
/// last change, which also tells of a new mode or owner. `None` if there is no file.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

fn stamp(data: &Metadata) -> Stamp {
    Some((data.dev(), data.ino(), data.size(), data.ctime(), data.ctime_nsec()))
}

/// The files that were read, each as it was before it was read.
#[derive(Debug, Default)]
pub(super) struct Files {
    read: Vec<(PathBuf, Stamp)>,
}

impl Files {
    /// Reads a regular file. Links are followed: certificates are renewed by changing one.
    pub(super) fn read(&mut self, path: &Path) -> Result<Vec<u8>, WebError> {
        let failed = |error| WebError::Read { path: path.to_owned(), error };
        self.read.push((path.to_owned(), None));
        // Opening a FIFO must not wait for its writer.
        let flags = rustix::fs::OFlags::NONBLOCK.bits() as i32;
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
        let data = file.metadata().map_err(failed)?;
        if let Some((_, last)) = self.read.last_mut() {
            *last = stamp(&data);
        }
        if !data.is_file() {
            return Err(failed(io::Error::other("it is not a regular file")));
        }
        if !bpfpack_directories::is_ours(&data) {
            let (uid, mode) = (data.uid(), data.mode() & 0o7777);
            return Err(WebError::Writable { path: path.to_owned(), uid, mode });
        }
        let mut bytes = Vec::new();
        file.take(MAX_SIZE + 1).read_to_end(&mut bytes).map_err(failed)?;
        match bytes.len() as u64 > MAX_SIZE {
            true => Err(failed(io::Error::other("it is larger than 1 MiB"))),
            false => Ok(bytes),
        }
    }

    /// Whether one of the files is not the same any more.
    pub(super) fn have_changed(&self) -> bool {
        let now = |path| fs::metadata(path).ok().and_then(|data| stamp(&data));
        self.read.iter().any(|(path, before)| now(path) != *before)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn files_that_others_can_write_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x");
        fs::write(&path, "x").unwrap();
        for (mode, is_ours) in [(0o600, true), (0o644, true), (0o620, false), (0o602, false)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let result = Files::default().read(&path);
            assert_eq!(result.is_ok(), is_ours, "{mode:o}");
            let refused = matches!(result, Err(WebError::Writable { .. }));
            assert_ne!(refused, is_ours, "{mode:o}");
        }
        for other in [Path::new("/dev/zero"), directory.path(), &directory.path().join("none")] {
            assert!(matches!(Files::default().read(other), Err(WebError::Read { .. })));
        }
        let large = directory.path().join("large");
        fs::write(&large, vec![b'x'; MAX_SIZE as usize + 1]).unwrap();
        assert!(Files::default().read(&large).is_err());
    }

    #[test]
    fn changes_are_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("one"), "1").unwrap();
        fs::write(at("two"), "1").unwrap();
        symlink("one", at("link")).unwrap();
        let mut files = Files::default();
        assert_eq!(files.read(&at("link")).unwrap(), b"1");
        assert!(files.read(&at("none")).is_err());
        assert!(!files.have_changed());
        symlink("two", at("new")).unwrap();
        fs::rename(at("new"), at("link")).unwrap();
        assert!(files.have_changed());
        let mut files = Files::default();
        assert!(files.read(&at("none")).is_err());
        fs::write(at("none"), "").unwrap();
        assert!(files.have_changed());
    }
}
