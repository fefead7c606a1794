// SPDX-License-Identifier: MIT
//! The directories of runs in the background, one for each:
//!
//! ```text
//! lock          locked as long as the run lives
//! state.json    what runs
//! control.sock  where other commands ask for data
//! log           what the run would write to standard error
//! ```
//!
//! The kernel releases the lock when the process ends, however it ends, so a directory without a lock
//! is what a crash has left.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bpfpack_directories::{make_private, private, write_file};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::failure::{self, Failure, exit_code, talk};

/// Where the directories are.
pub(super) const DIRECTORY: &str = "/run/bpfpack-runs";

/// How often a lock is tried, and the pause in between.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(20);

/// The lines of a log that are shown if a run has not ended as it should.
const LOG_LINES: usize = 20;

/// The largest state, in bytes: it has a command line.
const MAX_STATE: u64 = 1 << 20;

/// What runs, for other commands and other versions of ecli.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    /// The process.
    pub(super) pid: u32,
    /// When it started, in seconds since 1970.
    pub(super) since: u64,
    /// The version of ecli.
    pub(super) version: String,
    /// Where the package came from.
    pub(super) package: String,
    /// The SHA-256 digest of the package's object.
    pub(super) sha256: String,
    /// The words of the command line.
    pub(super) words: Vec<String>,
}

/// The directory of a run.
#[derive(Debug, Clone)]
pub(super) struct Place {
    path: PathBuf,
}

impl Place {
    /// The place for a name below a directory.
    ///
    /// # Errors
    /// Returns a usage error if the text is not a name.
    pub(super) fn of(directory: &Path, name: &str) -> Result<Place, Failure> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let is_name = !name.is_empty() && name.len() <= 64 && name.chars().all(allowed);
        if !is_name || name.starts_with(['.', '-']) {
            let text = format!("`{}` is not a name for a run", name.escape_debug());
            let hint = "letters, digits, _, - and ., up to 64, not beginning with - or .";
            return Err(Failure::usage(text).hint(hint));
        }
        Ok(Place { path: directory.join(name) })
    }

    /// The places of all runs, by name.
    ///
    /// # Errors
    /// Returns an error if the directory cannot be read, or if others could change it.
    pub(super) fn all(directory: &Path) -> Result<Vec<(String, Place)>, Failure> {
        let mut all = Vec::new();
        if !is_there(directory)? {
            return Ok(all);
        }
        let entries = fs::read_dir(directory).map_err(|error| unusable(directory, error.into()))?;
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Ok(place) = Place::of(directory, &name) {
                all.push((name, place));
            }
        }
        all.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(all)
    }

    /// Makes the directory, and locks it. Files that a crashed run left there are
    /// removed. `None` if another process has the lock.
    ///
    /// # Errors
    /// Returns an error if the directory cannot be made, or if others could change it.
    pub(super) fn take(&self) -> Result<Option<Taken>, Failure> {
        let failed = |error: anyhow::Error| {
            let text = format!("cannot use `{}`", self.path.display());
            Failure::new(exit_code::OTHER, error.context(text))
        };
        let mut options = File::options();
        options.write(true).create(true).truncate(false).mode(0o600).custom_flags(libc::O_NOFOLLOW);
        let mut tries = 0..TRIES;
        let lock = loop {
            // The previous owner may have removed the directory in the meantime.
            make_private(&self.path).map_err(|error| failed(error.into()))?;
            let lock = match options.open(self.lock()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound && tries.next().is_some() => {
                    continue;
                }
                lock => lock.map_err(|error| failed(error.into()))?,
            };
            match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) if is_same(&lock, &self.lock()) => break lock,
                Ok(()) if tries.next().is_some() => {}
                // Another command looks whether the run lives, for a moment.
                Err(rustix::io::Errno::WOULDBLOCK) if tries.next().is_some() => {
                    std::thread::sleep(PAUSE);
                }
                Ok(()) | Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
                Err(error) => return Err(failed(error.into())),
            }
        };
        for file in [self.state_file(), self.socket(), self.log()] {
            let _ = fs::remove_file(file);
        }
        Ok(Some(Taken { place: self.clone(), keeps_log: false, _lock: lock }))
    }

    /// Whether the run lives.
    pub(super) fn is_alive(&self) -> bool {
        File::open(self.lock()).is_ok_and(|lock| {
            flock(&lock, FlockOperation::NonBlockingLockShared)
                == Err(rustix::io::Errno::WOULDBLOCK)
        })
    }

    /// What runs.
    ///
    /// # Errors
    /// Returns an error if it cannot be read.
    pub(super) fn state(&self) -> io::Result<State> {
        let mut text = Vec::new();
        File::open(self.state_file())?.take(MAX_STATE).read_to_end(&mut text)?;
        Ok(serde_json::from_slice(&text)?)
    }

    /// Removes what a run has left that does not live any more, and shows the end of its log.
    pub(super) fn clean(&self, name: &str) {
        if !self.path.exists() {
            return;
        }
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        if !self.forget() {
            return;
        }
        talk::warning(&format!("`{name}` has ended without cleaning up; what it left is removed"));
        let lines: Vec<&str> = log.lines().collect();
        for line in &lines[lines.len().saturating_sub(LOG_LINES)..] {
            talk::detail(line);
        }
    }

    /// Removes what a run has left. Returns whether it could be removed.
    pub(super) fn forget(&self) -> bool {
        match self.take() {
            Ok(Some(taken)) => {
                drop(taken);
                !self.path.exists()
            }
            _ => false,
        }
    }

    fn lock(&self) -> PathBuf {
        self.path.join("lock")
    }

    fn state_file(&self) -> PathBuf {
        self.path.join("state.json")
    }

    /// The socket for other commands.
    pub(super) fn socket(&self) -> PathBuf {
        self.path.join("control.sock")
    }

    /// What the run says.
    pub(super) fn log(&self) -> PathBuf {
        self.path.join("log")
    }
}

/// Whether the directory of all runs exists. It must belong to root and this user alone: what it says
/// decides which process is stopped.
///
/// # Errors
/// Returns an error if this user may not use it, or if others could change it.
pub(super) fn is_there(directory: &Path) -> Result<bool, Failure> {
    match fs::metadata(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(unusable(directory, error.into())),
        Ok(_) => {}
    }
    private(directory).map_err(|error| unusable(directory, error.into()))?;
    // Its files are for its owner.
    fs::read_dir(directory).map_err(|error| unusable(directory, error.into()))?;
    Ok(true)
}

fn unusable(directory: &Path, error: anyhow::Error) -> Failure {
    let text = format!("cannot use `{}`", directory.display());
    let failure = Failure::new(exit_code::OTHER, error.context(text));
    match rustix::process::geteuid().is_root() {
        true => failure,
        false => failure.hint("runs in the background belong to root: use sudo"),
    }
}

/// A directory that this process has locked. Dropping it removes the directory.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) place: Place,
    /// Whether the log stays.
    keeps_log: bool,
    _lock: File,
}

impl Taken {
    /// Leaves the log when this is dropped.
    pub(super) fn keep_log(&mut self) {
        self.keeps_log = true;
    }

    /// Writes what runs.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written.
    pub(super) fn write(&self, state: &State) -> Result<(), Failure> {
        let written = serde_json::to_vec(state).map_err(io::Error::from);
        let written = written.and_then(|text| write_file(&self.place.path, "state.json", &[&text]));
        written.map_err(failure::system("cannot write the state of the run"))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        // The lock goes last: until then, nobody else takes the directory.
        let Place { path } = &self.place;
        let log = Some(self.place.log()).filter(|_| !self.keeps_log);
        let files = [self.place.state_file(), self.place.socket()];
        files
            .into_iter()
            .chain(log)
            .chain([self.place.lock()])
            .for_each(|file| drop(fs::remove_file(file)));
        let _ = fs::remove_dir(path);
    }
}

/// Whether a file is still at a path.
fn is_same(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(file), Ok(other)) => (file.dev(), file.ino()) == (other.dev(), other.ino()),
        _ => false,
    }
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_belongs_to_one_run() {
        let directory = tempfile::tempdir().unwrap();
        let place = Place::of(directory.path(), "a.b-c").unwrap();
        assert!(!place.is_alive());
        place.clean("a.b-c");
        let taken = place.take().unwrap().unwrap();
        assert!(place.is_alive() && place.take().unwrap().is_none());
        let state = State {
            pid: 7,
            since: now(),
            version: "1".into(),
            package: "p".into(),
            sha256: "x".into(),
            words: vec!["run".into()],
        };
        taken.write(&state).unwrap();
        assert_eq!(place.state().unwrap(), state);
        let all: Vec<String> =
            Place::all(directory.path()).unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(all, ["a.b-c"]);
        drop(taken);
        assert!(!place.is_alive() && Place::all(directory.path()).unwrap().is_empty());
    }

    #[test]
    fn what_a_crash_has_left_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let place = Place::of(directory.path(), "x").unwrap();
        let taken = place.take().unwrap().unwrap();
        fs::write(place.log(), "?").unwrap();
        // As the kernel does when a process is killed: the lock is gone, the files are not.
        let Taken { _lock, .. } = &taken;
        flock(_lock, FlockOperation::Unlock).unwrap();
        std::mem::forget(taken);
        assert!(!place.is_alive() && place.log().exists());
        place.clean("x");
        assert!(!place.log().exists());
        // One that failed leaves its log.
        let mut taken = place.take().unwrap().unwrap();
        fs::write(place.log(), "why").unwrap();
        taken.keep_log();
        drop(taken);
        assert!(!place.is_alive() && place.log().exists());
        assert!(place.forget() && !place.log().exists());
    }

    #[test]
    fn names_stay_in_the_directory() {
        for name in ["", "..", "a/b", "-x", ".x", "a b", "a\n"] {
            assert!(Place::of(Path::new("/x"), name).is_err(), "{name:?}");
        }
    }
}
