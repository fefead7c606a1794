// SPDX-License-Identifier: MIT
//! Calls on descriptors: the streams, and files that are read.

use rustix::fs::{FileType, Stat, fstat};
use rustix::io::{pread, read};
use wasmtime::{Caller, Linker};

use super::files::File;
use super::place::{self, Pieces};
use super::{Answer, Errno, HasWasi, MODULE, Output, number};

/// The bits of rights.
mod right {
    pub(super) const READ: u64 = 1 << 1;
    pub(super) const SEEK: u64 = 1 << 2;
    pub(super) const TELL: u64 = 1 << 5;
    pub(super) const WRITE: u64 = 1 << 6;
    pub(super) const OPEN: u64 = 1 << 13;
    pub(super) const LIST: u64 = 1 << 14;
    pub(super) const READ_LINK: u64 = 1 << 15;
    pub(super) const STAT_PATH: u64 = 1 << 18;
    pub(super) const STAT: u64 = 1 << 21;
    pub(super) const POLL: u64 = 1 << 27;
    /// The rights for a file.
    pub(super) const FILE: u64 = READ | SEEK | TELL | STAT | POLL;
    /// The rights for a directory.
    pub(super) const DIRECTORY: u64 = OPEN | LIST | READ_LINK | STAT_PATH | STAT;
}

/// Any of these rights makes an open fail. Libraries request others that change files (times,
/// sizes) even if they only read them; those are ignored.
pub(super) const CHANGING: u64 = right::WRITE;

/// The number of a file type in WASI.
pub(super) fn type_number(ty: FileType) -> u8 {
    match ty {
        FileType::BlockDevice => 1,
        FileType::CharacterDevice => 2,
        FileType::Directory => 3,
        FileType::RegularFile => 4,
        FileType::Socket => 6,
        FileType::Symlink => 7,
        _ => 0,
    }
}

/// The file type of all streams. Libraries then write line by line.
const TERMINAL: u8 = 2;

pub(super) fn link<T: HasWasi>(linker: &mut Linker<T>) -> Result<(), wasmtime::Error> {
    type In<'a, T> = Caller<'a, T>;
    linker.func_wrap(MODULE, "fd_close", |mut caller: In<'_, T>, fd: u32| {
        number(caller.data_mut().wasi().files.close(fd))
    })?;
    linker.func_wrap(MODULE, "fd_renumber", |mut caller: In<'_, T>, fd: u32, to: u32| {
        number(caller.data_mut().wasi().files.renumber(fd, to))
    })?;
    linker.func_wrap(
        MODULE,
        "fd_write",
        |mut caller: In<'_, T>, fd: u32, vectors: u32, count: u32, done: u32| {
            number(write(&mut caller, fd, vectors, count, done))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "fd_read",
        |mut caller: In<'_, T>, fd: u32, vectors: u32, count: u32, done: u32| {
            number(read_on(&mut caller, fd, vectors, count, done))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "fd_pread",
        |mut caller: In<'_, T>, fd: u32, vectors: u32, count: u32, offset: u64, done: u32| {
            number(read_at(&mut caller, fd, vectors, count, offset, done))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "fd_seek",
        |mut caller: In<'_, T>, fd: u32, offset: i64, whence: u32, to: u32| {
            number(seek(&mut caller, fd, offset, whence, to))
        },
    )?;
    linker.func_wrap(MODULE, "fd_tell", |mut caller: In<'_, T>, fd: u32, to: u32| {
        number(seek(&mut caller, fd, 0, 1, to))
    })?;
    linker.func_wrap(MODULE, "fd_fdstat_get", |mut caller: In<'_, T>, fd: u32, to: u32| {
        number(describe(&mut caller, fd, to))
    })?;
    linker.func_wrap(MODULE, "fd_filestat_get", |mut caller: In<'_, T>, fd: u32, to: u32| {
        number(stat(&mut caller, fd, to))
    })?;
    // Advice may be ignored, and nothing is written that needs a sync.
    linker.func_wrap(
        MODULE,
        "fd_advise",
        |mut caller: In<'_, T>, fd: u32, _: u64, _: u64, _: u32| known(&mut caller, fd, None),
    )?;
    linker.func_wrap(MODULE, "fd_sync", |mut caller: In<'_, T>, fd: u32| {
        known(&mut caller, fd, None)
    })?;
    linker.func_wrap(MODULE, "fd_datasync", |mut caller: In<'_, T>, fd: u32| {
        known(&mut caller, fd, None)
    })?;
    let denied = Some(Errno::NotCapable);
    linker.func_wrap(
        MODULE,
        "fd_allocate",
        move |mut caller: In<'_, T>, fd: u32, _: u64, _: u64| known(&mut caller, fd, denied),
    )?;
    linker.func_wrap(MODULE, "fd_fdstat_set_flags", |mut caller: In<'_, T>, fd: u32, _: u32| {
        known(&mut caller, fd, Some(Errno::NotSupported))
    })?;
    linker.func_wrap(
        MODULE,
        "fd_fdstat_set_rights",
        |mut caller: In<'_, T>, fd: u32, _: u64, _: u64| {
            known(&mut caller, fd, Some(Errno::NotSupported))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "fd_filestat_set_size",
        move |mut caller: In<'_, T>, fd: u32, _: u64| known(&mut caller, fd, denied),
    )?;
    linker.func_wrap(
        MODULE,
        "fd_filestat_set_times",
        move |mut caller: In<'_, T>, fd: u32, _: u64, _: u64, _: u32| {
            known(&mut caller, fd, denied)
        },
    )?;
    linker.func_wrap(
        MODULE,
        "fd_pwrite",
        move |mut caller: In<'_, T>, fd: u32, _: u32, _: u32, _: u64, _: u32| {
            known(&mut caller, fd, denied)
        },
    )?;
    Ok(())
}

/// Returns a result that does not depend on the kind of descriptor.
fn known<T: HasWasi>(caller: &mut Caller<'_, T>, fd: u32, answer: Option<Errno>) -> u32 {
    match caller.data_mut().wasi().files.get(fd) {
        Ok(_) => answer.map_or(0, |errno| errno as u32),
        Err(_) => Errno::BadDescriptor as u32,
    }
}

fn write<T: HasWasi>(
    caller: &mut Caller<'_, T>,
    fd: u32,
    vectors: u32,
    count: u32,
    done: u32,
) -> Answer<()> {
    let (data, store) = place::split(caller)?;
    let to: Output = match store.wasi().files.get(fd)? {
        File::Output(output) => *output,
        File::Regular(_) => return Err(Errno::NotCapable.into()),
        _ => return Err(Errno::BadDescriptor.into()),
    };
    let pieces = Pieces::read(data, vectors, count)?;
    let written = pieces.each(data, |piece| store.streams().write(to, piece))?;
    place::put32(data, done, written)
}

fn read_on<T: HasWasi>(
    caller: &mut Caller<'_, T>,
    fd: u32,
    vectors: u32,
    count: u32,
    done: u32,
) -> Answer<()> {
    let (data, store) = place::split(caller)?;
    let pieces = Pieces::read(data, vectors, count)?;
    let count = match store.wasi().files.get(fd)? {
        File::Input => {
            // Only the first read may wait, because it may already return enough.
            let mut is_first = true;
            pieces.each(data, |piece| match std::mem::take(&mut is_first) {
                true => store.streams().read(piece),
                false => Ok(0),
            })?
        }
        File::Regular(file) => pieces.each(data, |piece| Ok(read(file, piece)?))?,
        File::Output(_) => return Err(Errno::BadDescriptor.into()),
        _ => return Err(Errno::IsDirectory.into()),
    };
    place::put32(data, done, count)
}

fn read_at<T: HasWasi>(
    caller: &mut Caller<'_, T>,
    fd: u32,
    vectors: u32,
    count: u32,
    offset: u64,
    done: u32,
) -> Answer<()> {
    let (data, store) = place::split(caller)?;
    let pieces = Pieces::read(data, vectors, count)?;
    let file = store.wasi().files.regular(fd)?;
    let mut at = offset;
    let count = pieces.each(data, |piece| {
        let count = pread(file, piece, at)?;
        at = at.saturating_add(count as u64);
        Ok(count)
    })?;
    place::put32(data, done, count)
}

fn seek<T: HasWasi>(
    caller: &mut Caller<'_, T>,
    fd: u32,
    offset: i64,
    whence: u32,
    to: u32,
) -> Answer<()> {
    use rustix::fs::SeekFrom;
    let (data, store) = place::split(caller)?;
    let file = store.wasi().files.regular(fd)?;
    let position = rustix::fs::seek(
        file,
        match whence {
            0 => SeekFrom::Start(u64::try_from(offset).map_err(|_| Errno::Invalid)?),
            1 => SeekFrom::Current(offset),
            2 => SeekFrom::End(offset),
            _ => return Err(Errno::Invalid.into()),
        },
    )?;
    place::put64(data, to, position)
}

fn describe<T: HasWasi>(caller: &mut Caller<'_, T>, fd: u32, to: u32) -> Answer<()> {
    let (data, store) = place::split(caller)?;
    let (ty, rights, inherited) = match store.wasi().files.get(fd)? {
        File::Input => (TERMINAL, right::READ | right::STAT | right::POLL, 0),
        File::Output(_) => (TERMINAL, right::WRITE | right::STAT | right::POLL, 0),
        File::Given(..) | File::Directory(_) => {
            let directory = type_number(FileType::Directory);
            (directory, right::DIRECTORY, right::DIRECTORY | right::FILE)
        }
        File::Regular(_) => (type_number(FileType::RegularFile), right::FILE, 0),
    };
    let mut description = [0; 24];
    description[0] = ty;
    description[8..16].copy_from_slice(&rights.to_le_bytes());
    description[16..24].copy_from_slice(&inherited.to_le_bytes());
    place::put(data, to, &description)
}

fn stat<T: HasWasi>(caller: &mut Caller<'_, T>, fd: u32, to: u32) -> Answer<()> {
    let (data, store) = place::split(caller)?;
    let bytes = match store.wasi().files.get(fd)? {
        File::Given(file, _) | File::Directory(file) | File::Regular(file) => {
            stat_bytes(&fstat(file)?)
        }
        File::Input | File::Output(_) => {
            let mut bytes = [0; 64];
            bytes[16] = TERMINAL;
            bytes
        }
    };
    place::put(data, to, &bytes)
}

/// Encodes the attributes of a file as WASI lays them out.
#[allow(clippy::unnecessary_cast, reason = "the numbers' types differ by architecture")]
pub(super) fn stat_bytes(stat: &Stat) -> [u8; 64] {
    let time = |seconds: i64, nanoseconds: u64| {
        let seconds = u64::try_from(seconds).unwrap_or(0);
        seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds)
    };
    let numbers: [(usize, u64); 7] = [
        (0, stat.st_dev),
        (8, stat.st_ino),
        (24, stat.st_nlink as u64),
        (32, u64::try_from(stat.st_size).unwrap_or(0)),
        (40, time(stat.st_atime as i64, stat.st_atime_nsec as u64)),
        (48, time(stat.st_mtime as i64, stat.st_mtime_nsec as u64)),
        (56, time(stat.st_ctime as i64, stat.st_ctime_nsec as u64)),
    ];
    let mut bytes = [0; 64];
    bytes[16] = type_number(FileType::from_raw_mode(stat.st_mode));
    for (at, number) in numbers {
        bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
    }
    bytes
}
