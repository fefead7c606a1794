// SPDX-License-Identifier: MIT
//! Which folders are private: those in which nobody but root and this user can put, change or
//! replace anything. What a program executes or compiles from a cache must come from such a folder,
//! and what it deletes must be in one.
//!
//! ```
//! match bpfpack_folders::private("/var/cache/bpfpack".as_ref()) {
//!     Ok(real) => println!("use {}", real.display()),
//!     Err(why) => println!("not used: {why}"),
//! }
//! ```
//!
//! The path is followed here once, component by component from `/`, symbolic links included. Each
//! folder on the way is checked before anything in it is looked at, so that nobody else can change
//! what was checked already. The result has no links, and only the result may be used afterwards.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, DirBuilder, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Component, Path, PathBuf};

/// Symbolic links that are followed, as the kernel has it.
const MAX_LINKS: usize = 40;

/// Bits of a mode by which others than the owner may write. Where a folder has an access control
/// list, the bits of the group are the most that any entry of the list may give.
const OTHERS_WRITE: u32 = 0o022;

const STICKY: u32 = 0o1000;

/// Why a folder is not private. The paths are those at which it was found, without links.
#[derive(Debug)]
pub enum NotPrivate {
    /// It belongs to somebody else.
    Owner {
        /// The folder, or the link, on the way.
        path: PathBuf,
        /// The user whose it is.
        uid: u32,
    },
    /// Others may write to it.
    Writable {
        /// The folder on the way.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Something on the way is no folder.
    NoFolder {
        /// What it is.
        path: PathBuf,
    },
    /// Something on the way is missing, or cannot be looked at or made.
    Io {
        /// What was looked at.
        path: PathBuf,
        /// Why it cannot be.
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
            NotPrivate::NoFolder { path } => write!(f, "`{}` is not a directory", path.display()),
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

/// The folder's path without links, if the folder is private: it, every folder above it and every
/// link on the way belong to root or to the effective user, and nobody else may write there. Above
/// it, a folder of root's with the sticky bit is as good, as `/tmp` is: others cannot touch what is
/// ours in there.
///
/// A relative path begins at the working folder.
///
/// # Errors
/// Says which folder is not trusted, and why.
pub fn private(folder: &Path) -> Result<PathBuf, NotPrivate> {
    walk(folder, Missing::IsAnError)
}

/// The same, for a folder that is made where it is missing, with the folders above it, for this user
/// alone (mode 0700). Nothing is made in a folder that others can change.
///
/// # Errors
/// As [`private`].
pub fn make_private(folder: &Path) -> Result<PathBuf, NotPrivate> {
    walk(folder, Missing::IsMade)
}

/// Whether a file, or a folder, is root's or the effective user's, and nobody else may write to it.
/// What is above it does not count here.
#[must_use]
pub fn is_ours(data: &Metadata) -> bool {
    is_owned(data) && data.mode() & OTHERS_WRITE == 0
}

fn is_owned(data: &Metadata) -> bool {
    data.uid() == 0 || data.uid() == rustix::process::geteuid().as_raw()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    IsAnError,
    IsMade,
}

/// What is to be done on the way.
enum Step {
    Up,
    Down(OsString),
}

/// The steps of a path, but for the first one to `/`.
fn steps(path: &Path) -> impl DoubleEndedIterator<Item = Step> {
    path.components().filter_map(|component| match component {
        Component::ParentDir => Some(Step::Up),
        Component::Normal(name) => Some(Step::Down(name.to_owned())),
        Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
    })
}

fn walk(folder: &Path, missing: Missing) -> Result<PathBuf, NotPrivate> {
    let absolute = std::path::absolute(folder)
        .map_err(|error| NotPrivate::Io { path: folder.to_owned(), error })?;
    let mut todo: VecDeque<Step> = steps(&absolute).collect();
    let mut at = PathBuf::from("/");
    let mut links = 0;
    let mut data = look(&at)?;
    loop {
        check(&at, &data, todo.is_empty())?;
        let Some(step) = todo.pop_front() else { return Ok(at) };
        let Step::Down(name) = step else {
            // `at` has no links: what is above it was checked on the way.
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
        // In a sticky folder, a link of somebody else's may be changed by them at any time.
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

/// Makes one folder. Another process may be quicker; whose it is then is checked as ever.
fn make(path: &Path) -> Result<(), NotPrivate> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(NotPrivate::Io { path: path.to_owned(), error })
        }
        _ => Ok(()),
    }
}

/// Whether a folder may be on the way, or at its end.
fn check(path: &Path, data: &Metadata, is_last: bool) -> Result<(), NotPrivate> {
    let path = || path.to_owned();
    if !data.is_dir() {
        return Err(NotPrivate::NoFolder { path: path() });
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
