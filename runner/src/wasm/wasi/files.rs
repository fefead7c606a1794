// SPDX-License-Identifier: MIT
//! A module's descriptors, and what it may do with each. Files are opened below directories that
//! were given, for reading; the kernel sees to it that no path leads out of them
//! (`RESOLVE_BENEATH`).

use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use anyhow::Context as _;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, openat2};

use super::{Answer, Errno, Output};
use crate::failure::{Failure, exit_code};
use crate::os;

/// Files that a module may have open.
const MOST: usize = 256;

/// The kernel says so when a directory was renamed while `..` was looked up: it is tried again.
const TRIES: usize = 16;

/// What a descriptor stands for.
#[derive(Debug)]
pub(super) enum File {
    /// Standard input.
    Input,
    /// Standard output, or error.
    Output(Output),
    /// A directory that was given, by its name.
    Given(OwnedFd, String),
    /// A directory below.
    Directory(OwnedFd),
    /// A regular file.
    Regular(OwnedFd),
}

/// The descriptors.
#[derive(Debug)]
pub(super) struct Files(BTreeMap<u32, File>);

/// What a file is opened for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish {
    /// It must be a directory.
    pub is_directory: bool,
    /// A symbolic link at the end of the path is followed.
    pub follows: bool,
}

impl Files {
    /// The three streams, and directories.
    pub(super) fn with(directories: &[PathBuf]) -> Result<Files, Failure> {
        let streams = [File::Input, File::Output(Output::Stdout), File::Output(Output::Stderr)];
        let mut files: Vec<File> = streams.into();
        for path in directories {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let name = path.display().to_string();
            let directory = rustix::fs::open(path, flags, Mode::empty())
                .with_context(|| format!("cannot open the directory `{name}` for the module"))
                .map_err(|error| Failure::new(exit_code::USAGE, error))?;
            files.push(File::Given(directory, name));
        }
        Ok(Files((0..).zip(files).collect()))
    }

    /// What a descriptor stands for.
    pub(super) fn get(&self, descriptor: u32) -> Answer<&File> {
        Ok(self.0.get(&descriptor).ok_or(Errno::BadDescriptor)?)
    }

    /// A regular file.
    pub(super) fn regular(&self, descriptor: u32) -> Answer<BorrowedFd<'_>> {
        match self.get(descriptor)? {
            File::Regular(file) => Ok(file.as_fd()),
            File::Given(..) | File::Directory(_) => Err(Errno::IsDirectory.into()),
            File::Input | File::Output(_) => Err(Errno::Seek.into()),
        }
    }

    /// A directory.
    pub(super) fn directory(&self, descriptor: u32) -> Answer<BorrowedFd<'_>> {
        match self.get(descriptor)? {
            File::Given(file, _) | File::Directory(file) => Ok(file.as_fd()),
            _ => Err(Errno::NotDirectory.into()),
        }
    }

    /// Closes it.
    pub(super) fn close(&mut self, descriptor: u32) -> Answer<()> {
        self.0.remove(&descriptor).ok_or(Errno::BadDescriptor)?;
        Ok(())
    }

    /// Gives it another number, whose file is closed.
    pub(super) fn renumber(&mut self, from: u32, to: u32) -> Answer<()> {
        self.get(to)?;
        let file = self.0.remove(&from).ok_or(Errno::BadDescriptor)?;
        self.0.insert(to, file);
        Ok(())
    }

    /// Opens a file below a directory, and gives it a number.
    pub(super) fn open(&mut self, directory: u32, path: &str, wish: Wish) -> Answer<u32> {
        if self.0.len() >= MOST {
            return Err(Errno::TooManyFiles.into());
        }
        // To open a device does something by itself, and to read a pipe may wait without an end:
        // what it is comes first.
        let found = below(self.directory(directory)?, path, wish)?;
        let open = || os::reopen(found.as_fd(), OFlags::RDONLY | OFlags::NOCTTY | OFlags::NONBLOCK);
        let file = match FileType::from_raw_mode(fstat(&found)?.st_mode) {
            FileType::Directory => File::Directory(open()?),
            FileType::RegularFile => File::Regular(open()?),
            FileType::Symlink => return Err(Errno::Loop.into()),
            _ => return Err(Errno::Access.into()),
        };
        // The streams' numbers stay theirs, even when they are closed.
        let free = (3..).find(|number| !self.0.contains_key(number));
        let free = free.ok_or(Errno::TooManyFiles)?;
        self.0.insert(free, file);
        Ok(free)
    }
}

/// Finds a file below a directory, of any kind, to be asked about, not to be read.
pub(super) fn below(directory: BorrowedFd<'_>, path: &str, wish: Wish) -> Answer<OwnedFd> {
    let mut flags = OFlags::CLOEXEC | OFlags::PATH;
    flags.set(OFlags::DIRECTORY, wish.is_directory);
    flags.set(OFlags::NOFOLLOW, !wish.follows);
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    for _ in 0..TRIES {
        match openat2(directory, path, flags, Mode::empty(), resolve) {
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            Ok(file) => return Ok(file),
        }
    }
    Err(Errno::Again.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wasm::wasi::WasiError;

    #[test]
    fn only_files_and_directories_are_opened() {
        let folder = tempfile::tempdir().unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
        std::fs::create_dir(folder.path().join("inner")).unwrap();
        std::fs::write(folder.path().join("file"), "text").unwrap();
        std::os::unix::fs::symlink("file", folder.path().join("link")).unwrap();
        let mut files = Files::with(&[folder.path().to_owned()]).unwrap();
        let mut open = |path: &str, follows| {
            let wish = Wish { is_directory: false, follows };
            files.open(3, path, wish).map_err(|trouble| match trouble {
                WasiError::Errno(errno) => errno,
                WasiError::End(error) => panic!("{error}"),
            })
        };
        // To open it would fail: it is not tried.
        assert_eq!(open("socket", true), Err(Errno::Access));
        assert_eq!(open("link", false), Err(Errno::Loop));
        assert_eq!(open("../", true), Err(Errno::NotCapable));
        assert_eq!((open("inner", true), open("link", true)), (Ok(4), Ok(5)));
        let mut bytes = [0; 8];
        assert_eq!(rustix::io::read(files.regular(5).unwrap(), &mut bytes), Ok(4));
        assert!(files.directory(4).is_ok());
    }
}
