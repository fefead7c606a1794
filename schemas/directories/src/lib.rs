// SPDX-License-Identifier: MIT
//! Decides which directories are private: only root and this user can create, change or replace
//! anything in them. Whatever a program executes or compiles from a cache must come from such a
//! directory, and whatever it deletes must be in one.
//!
//! ```
//! match bpfpack_directories::private("/var/cache/bpfpack".as_ref()) {
//!     Ok(real) => println!("use {}", real.display()),
//!     Err(why) => println!("not used: {why}"),
//! }
//! ```
//!
//! The path is resolved here once, component by component from `/`, including symbolic links. Each
//! directory on the path is checked before anything in it is read, so nobody else can change what
//! has been checked. The result contains no links, and only the result may be used afterwards.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::OFlags;

/// The number of symbolic links that are followed, as in the kernel.
const MAX_LINKS: usize = 40;

/// Mode bits that let others than the owner write. If a directory has an access control list, the
/// group bits are the maximum that any entry of the list grants.
const OTHERS_WRITE: u32 = 0o022;

const STICKY: u32 = 0o1000;

/// Why a directory is not private. The paths are the resolved ones, without links.
#[derive(Debug)]
pub enum NotPrivate {
    /// It belongs to another user.
    Owner {
        /// The directory or link on the path.
        path: PathBuf,
        /// The user id of the owner.
        uid: u32,
    },
    /// Other users may write to it.
    Writable {
        /// The directory on the path.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A component of the path is not a directory.
    NoDirectory {
        /// What it is.
        path: PathBuf,
    },
    /// A component of the path is missing, or cannot be read or created.
    Io {
        /// The path of the component.
        path: PathBuf,
        /// The reason.
        error: io::Error,
    },
}

impl fmt::Display for NotPrivate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotPrivate::Owner { path, uid } => {
                write!(f, "`{}` belongs to user {uid}", path.display())
            }
            NotPrivate::Writable { path, mode } => {
                write!(f, "other users can write to `{}` (its mode is {mode:04o})", path.display())
            }
            NotPrivate::NoDirectory { path } => {
                write!(f, "`{}` is not a directory", path.display())
            }
            NotPrivate::Io { path, error } => write!(f, "`{}`: {error}", path.display()),
        }
    }
}

impl std::error::Error for NotPrivate {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            NotPrivate::Io { error, .. } => Some(error),
            _ => None,
        }
    }
}

/// The path of the directory without links, if the directory is private: it, every directory above
/// it and every link on the path belong to root or the effective user, and nobody else may write
/// there. A parent that belongs to root and has the sticky bit, such as `/tmp`, is also accepted:
/// other users cannot change our files in it.
///
/// A relative path starts at the working directory.
///
/// # Errors
/// Says which directory is not trusted, and why.
pub fn private(directory: &Path) -> Result<PathBuf, NotPrivate> {
    walk(directory, Missing::IsAnError)
}

/// The same as [`private`], but creates missing directories for this user alone (mode 0700).
/// Nothing is created in a directory that other users can change.
///
/// # Errors
/// As [`private`].
pub fn make_private(directory: &Path) -> Result<PathBuf, NotPrivate> {
    walk(directory, Missing::IsMade)
}

/// Whether a file or directory belongs to root or the effective user, and nobody else may write to
/// it. Its parents are not checked.
#[must_use]
pub fn is_ours(data: &Metadata) -> bool {
    is_owned(data) && data.mode() & OTHERS_WRITE == 0
}

/// The directory for this user's caches: `$XDG_CACHE_HOME/bpfpack`, or `~/.cache/bpfpack`. It may not
/// exist, and need not be private: with `sudo -E`, HOME can belong to another user. Returns `None` if
/// neither variable is an absolute path.
#[must_use]
pub fn user_cache() -> Option<PathBuf> {
    user_cache_of(|name| std::env::var_os(name))
}

fn user_cache_of(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let absolute = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    Some(base.join("bpfpack"))
}

/// Opens a file in a private directory to read it: a regular file of root or the effective user, to
/// which nobody else may write. Links are not followed.
///
/// # Errors
/// Returns an error if it cannot be opened, and `PermissionDenied` if it is another kind of file, or
/// others can change it.
pub fn open_file(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let file = OpenOptions::new().read(true).custom_flags(flags as i32).open(path)?;
    let data = file.metadata()?;
    match data.is_file() && is_ours(&data) {
        true => Ok(file),
        false => Err(io::ErrorKind::PermissionDenied.into()),
    }
}

/// Writes a file in a private directory, for this user alone: it is complete, or as it was before. Until
/// it is complete, it has another name: the one before the first dot of `name`, then `.PROCESS.TIME`.
///
/// # Errors
/// Returns an error if it cannot be written. Nothing is left then.
pub fn write_file(directory: &Path, name: &str, parts: &[&[u8]]) -> io::Result<()> {
    // Process IDs are reused, and containers that share the directory have the same ones. The time
    // keeps a file that was left incomplete from being in the way.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let stem = name.split('.').next().unwrap_or_default();
    let own = format!("{stem}.{}.{}", std::process::id(), now.as_nanos());
    let temporary = directory.join(own);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits() as i32)
        .open(&temporary)?;
    let written = parts.iter().try_for_each(|part| file.write_all(part));
    let result = written.and_then(|()| fs::rename(&temporary, directory.join(name)));
    if result.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    result
}

fn is_owned(data: &Metadata) -> bool {
    data.uid() == 0 || data.uid() == rustix::process::geteuid().as_raw()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    IsAnError,
    IsMade,
}

/// What to do next on the path.
enum Step {
    Up,
    Down(OsString),
}

/// The components of a path, without the initial `/`.
fn steps(path: &Path) -> impl DoubleEndedIterator<Item = Step> {
    path.components().filter_map(|component| match component {
        Component::ParentDir => Some(Step::Up),
        Component::Normal(name) => Some(Step::Down(name.to_owned())),
        Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
    })
}

fn walk(directory: &Path, missing: Missing) -> Result<PathBuf, NotPrivate> {
    let absolute = std::path::absolute(directory)
        .map_err(|error| NotPrivate::Io { path: directory.to_owned(), error })?;
    let mut todo: VecDeque<Step> = steps(&absolute).collect();
    let mut at = PathBuf::from("/");
    let mut links = 0;
    let mut data = look(&at)?;
    loop {
        check(&at, &data, todo.is_empty())?;
        let Some(step) = todo.pop_front() else { return Ok(at) };
        let Step::Down(name) = step else {
            // `at` contains no links: its parents have been checked.
            at.pop();
            data = look(&at)?;
            continue;
        };
        let next = at.join(name);
        data = match fs::symlink_metadata(&next) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && missing == Missing::IsMade => {
                make(&next)?;
                look(&next)?
            }
            result => result.map_err(|error| NotPrivate::Io { path: next.clone(), error })?,
        };
        if !data.is_symlink() {
            at = next;
            continue;
        }
        // In a sticky directory, the owner of a link can change it at any time.
        if !is_owned(&data) {
            return Err(NotPrivate::Owner { path: next, uid: data.uid() });
        }
        links += 1;
        let target = match links > MAX_LINKS {
            true => Err(rustix::io::Errno::LOOP.into()),
            false => fs::read_link(&next),
        };
        let target = target.map_err(|error| NotPrivate::Io { path: next, error })?;
        if target.is_absolute() {
            at = PathBuf::from("/");
        }
        for step in steps(&target).rev() {
            todo.push_front(step);
        }
        data = look(&at)?;
    }
}

fn look(path: &Path) -> Result<Metadata, NotPrivate> {
    fs::symlink_metadata(path).map_err(|error| NotPrivate::Io { path: path.to_owned(), error })
}

/// Creates a directory. If another process creates it first, its owner is checked as usual.
fn make(path: &Path) -> Result<(), NotPrivate> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(NotPrivate::Io { path: path.to_owned(), error })
        }
        _ => Ok(()),
    }
}

/// Whether a directory is acceptable on the path, or at its end.
fn check(path: &Path, data: &Metadata, is_last: bool) -> Result<(), NotPrivate> {
    let path = || path.to_owned();
    if !data.is_dir() {
        return Err(NotPrivate::NoDirectory { path: path() });
    }
    if !is_owned(data) {
        return Err(NotPrivate::Owner { path: path(), uid: data.uid() });
    }
    let is_sticky = data.mode() & STICKY != 0 && data.uid() == 0;
    if data.mode() & OTHERS_WRITE != 0 && (is_last || !is_sticky) {
        return Err(NotPrivate::Writable { path: path(), mode: data.mode() & 0o7777 });
    }
    Ok(())
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
