// SPDX-License-Identifier: MIT
//! A module's descriptors and their rights. Files are opened for reading, below directories that
//! the user passed; the kernel prevents paths that lead out of them (`RESOLVE_BENEATH`).

use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use anyhow::Context as _;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, openat2};

use super::{Answer, Errno, Output};
use crate::failure::{Failure, exit_code};
use crate::os;

/// The maximum number of open files of a module.
const MOST: usize = 256;

/// The number of attempts if the kernel asks to try again because a directory was renamed during a
/// lookup of `..`.
const TRIES: usize = 16;

/// What a descriptor refers to.
#[derive(Debug)]
pub(super) enum File {
    /// Standard input.
    Input,
    /// Standard output or standard error.
    Output(Output),
    /// A preopened directory, with its name.
    Given(OwnedFd, String),
    /// A directory below one of them.
    Directory(OwnedFd),
    /// A regular file.
    Regular(OwnedFd),
}

/// The descriptors of a module.
#[derive(Debug)]
pub(super) struct Files(BTreeMap<u32, File>);

/// How to open a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct How {
    /// Whether it must be a directory.
    pub is_directory: bool,
    /// Whether to follow a symbolic link at the end of the path.
    pub follows: bool,
}

impl Files {
    /// The three streams, and preopened directories.
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

    /// What a descriptor refers to.
    pub(super) fn get(&self, descriptor: u32) -> Answer<&File> {
        Ok(self.0.get(&descriptor).ok_or(Errno::BadDescriptor)?)
    }

    /// The descriptor of a regular file.
    pub(super) fn regular(&self, descriptor: u32) -> Answer<BorrowedFd<'_>> {
        match self.get(descriptor)? {
            File::Regular(file) => Ok(file.as_fd()),
            File::Given(..) | File::Directory(_) => Err(Errno::IsDirectory.into()),
            File::Input | File::Output(_) => Err(Errno::Seek.into()),
        }
    }

    /// The descriptor of a directory.
    pub(super) fn directory(&self, descriptor: u32) -> Answer<BorrowedFd<'_>> {
        match self.get(descriptor)? {
            File::Given(file, _) | File::Directory(file) => Ok(file.as_fd()),
            _ => Err(Errno::NotDirectory.into()),
        }
    }

    /// Closes a descriptor.
    pub(super) fn close(&mut self, descriptor: u32) -> Answer<()> {
        self.0.remove(&descriptor).ok_or(Errno::BadDescriptor)?;
        Ok(())
    }

    /// Moves a descriptor to another number, whose file is closed.
    pub(super) fn renumber(&mut self, from: u32, to: u32) -> Answer<()> {
        self.get(to)?;
        let file = self.0.remove(&from).ok_or(Errno::BadDescriptor)?;
        self.0.insert(to, file);
        Ok(())
    }

    /// Opens a file below a directory, and returns its descriptor.
    pub(super) fn open(&mut self, directory: u32, path: &str, how: How) -> Answer<u32> {
        if self.0.len() >= MOST {
            return Err(Errno::TooManyFiles.into());
        }
        // Opening a device may have effects, and opening a pipe may wait forever, so check the type
        // first.
        let found = below(self.directory(directory)?, path, how)?;
        let open = || os::reopen(found.as_fd(), OFlags::RDONLY | OFlags::NOCTTY | OFlags::NONBLOCK);
        let file = match FileType::from_raw_mode(fstat(&found)?.st_mode) {
            FileType::Directory => File::Directory(open()?),
            FileType::RegularFile => File::Regular(open()?),
            FileType::Symlink => return Err(Errno::Loop.into()),
            _ => return Err(Errno::Access.into()),
        };
        // The numbers of the streams are not reused.
        let free = (3..).find(|number| !self.0.contains_key(number));
        let free = free.ok_or(Errno::TooManyFiles)?;
        self.0.insert(free, file);
        Ok(free)
    }
}

/// Finds a file of any type below a directory, without opening it for reading.
pub(super) fn below(directory: BorrowedFd<'_>, path: &str, how: How) -> Answer<OwnedFd> {
    let mut flags = OFlags::CLOEXEC | OFlags::PATH;
    flags.set(OFlags::DIRECTORY, how.is_directory);
    flags.set(OFlags::NOFOLLOW, !how.follows);
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
        let directory = tempfile::tempdir().unwrap();
        let _socket =
            std::os::unix::net::UnixListener::bind(directory.path().join("socket")).unwrap();
        std::fs::create_dir(directory.path().join("inner")).unwrap();
        std::fs::write(directory.path().join("file"), "text").unwrap();
        std::os::unix::fs::symlink("file", directory.path().join("link")).unwrap();
        let mut files = Files::with(&[directory.path().to_owned()]).unwrap();
        let mut open = |path: &str, follows| {
            let how = How { is_directory: false, follows };
            files.open(3, path, how).map_err(|error| match error {
                WasiError::Errno(errno) => errno,
                WasiError::End(error) => panic!("{error}"),
            })
        };
        // Opening it would fail, so it is not tried.
        assert_eq!(open("socket", true), Err(Errno::Access));
        assert_eq!(open("link", false), Err(Errno::Loop));
        assert_eq!(open("../", true), Err(Errno::NotCapable));
        assert_eq!((open("inner", true), open("link", true)), (Ok(4), Ok(5)));
        let mut bytes = [0; 8];
        assert_eq!(rustix::io::read(files.regular(5).unwrap(), &mut bytes), Ok(4));
        assert!(files.directory(4).is_ok());
    }
}
