// SPDX-License-Identifier: MIT
//! Calls on paths and directories. Calls that would change something are refused.

use rustix::fs::{Dir, fstat};
use wasmtime::{Caller, Linker};

use super::descriptors::{CHANGING, stat_bytes, type_number};
use super::files::{File, How, below};
use super::{Answer, Errno, HasWasi, MODULE, number, place};

/// A lookup flag: follow a symbolic link at the end of the path.
const FOLLOW: u32 = 1;

/// The bits of open flags.
mod open {
    pub(super) const CREATE: u32 = 1;
    pub(super) const DIRECTORY: u32 = 2;
    pub(super) const TRUNCATE: u32 = 8;
}

pub(super) fn link<T: HasWasi>(linker: &mut Linker<T>) -> Result<(), wasmtime::Error> {
    type In<'a, T> = Caller<'a, T>;
    linker.func_wrap(MODULE, "fd_prestat_get", |mut caller: In<'_, T>, fd: u32, to: u32| {
        number(given(&mut caller, fd, |data, name| {
            // A tag, 0 for directories; then the length of the name.
            place::put32(data, to, 0)?;
            place::put32(data, to.saturating_add(4), name.len() as u32)
        }))
    })?;
    linker.func_wrap(
        MODULE,
        "fd_prestat_dir_name",
        |mut caller: In<'_, T>, fd: u32, to: u32, len: u32| {
            number(given(&mut caller, fd, |data, name| match name.len() > len as usize {
                true => Err(Errno::NameTooLong.into()),
                false => place::put(data, to, name.as_bytes()),
            }))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "fd_readdir",
        |mut caller: In<'_, T>, fd: u32, to: u32, len: u32, cookie: u64, done: u32| {
            number(list(&mut caller, fd, (to, len), cookie, done))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "path_open",
        |mut caller: In<'_, T>,
         fd: u32,
         lookup: u32,
         path: u32,
         len: u32,
         how: u32,
         rights: u64,
         _inherited: u64,
         _flags: u32,
         to: u32| {
            let changes = how & (open::CREATE | open::TRUNCATE) != 0 || rights & CHANGING != 0;
            let how =
                How { is_directory: how & open::DIRECTORY != 0, follows: lookup & FOLLOW != 0 };
            number(open(&mut caller, fd, (path, len), how, changes, to))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "path_filestat_get",
        |mut caller: In<'_, T>, fd: u32, lookup: u32, path: u32, len: u32, to: u32| {
            number(stat(&mut caller, fd, lookup & FOLLOW != 0, (path, len), to))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "path_readlink",
        |mut caller: In<'_, T>, fd: u32, path: u32, len: u32, to: u32, room: u32, done: u32| {
            number(read_link(&mut caller, fd, (path, len), (to, room), done))
        },
    )?;
    let denied = |caller: &mut In<'_, T>, fd: u32| {
        number(caller.data_mut().wasi().files.directory(fd).and(Err(Errno::NotCapable.into())))
    };
    linker.func_wrap(
        MODULE,
        "path_create_directory",
        move |mut caller: In<'_, T>, fd: u32, _: u32, _: u32| denied(&mut caller, fd),
    )?;
    linker.func_wrap(
        MODULE,
        "path_remove_directory",
        move |mut caller: In<'_, T>, fd: u32, _: u32, _: u32| denied(&mut caller, fd),
    )?;
    linker.func_wrap(
        MODULE,
        "path_unlink_file",
        move |mut caller: In<'_, T>, fd: u32, _: u32, _: u32| denied(&mut caller, fd),
    )?;
    linker.func_wrap(
        MODULE,
        "path_filestat_set_times",
        move |mut caller: In<'_, T>, fd: u32, _: u32, _: u32, _: u32, _: u64, _: u64, _: u32| {
            denied(&mut caller, fd)
        },
    )?;
    linker.func_wrap(
        MODULE,
        "path_link",
        move |mut caller: In<'_, T>, fd: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32| {
            denied(&mut caller, fd)
        },
    )?;
    linker.func_wrap(
        MODULE,
        "path_rename",
        move |mut caller: In<'_, T>, fd: u32, _: u32, _: u32, _: u32, _: u32, _: u32| {
            denied(&mut caller, fd)
        },
    )?;
    linker.func_wrap(
        MODULE,
        "path_symlink",
        move |mut caller: In<'_, T>, _: u32, _: u32, fd: u32, _: u32, _: u32| {
            denied(&mut caller, fd)
        },
    )?;
    Ok(())
}

/// Passes the name of a preopened directory to `tell`.
fn given<T: HasWasi>(
    caller: &mut Caller<'_, T>,
    fd: u32,
    tell: impl Fn(&mut [u8], &str) -> Answer<()>,
) -> Answer<()> {
    let (data, store) = place::split(caller)?;
    match store.wasi().files.get(fd)? {
        File::Given(_, name) => tell(data, name),
        _ => Err(Errno::BadDescriptor.into()),
    }
}

fn open<T: HasWasi>(
    caller: &mut Caller<'_, T>,
    fd: u32,
    (path, len): (u32, u32),
    how: How,
    changes: bool,
    to: u32,
) -> Answer<()> {
    let (data, store) = place::split(caller)?;
    let files = &mut store.wasi().files;
    files.directory(fd)?;
    if changes {
        return Err(Errno::NotCapable.into());
    }
    let opened = files.open(fd, place::text(data, path, len)?, how)?;
    place::put32(data, to, opened)
}

fn stat<T: HasWasi>(
    caller: &mut Caller<'_, T>,
    fd: u32,
    follows: bool,
    (path, len): (u32, u32),
    to: u32,
) -> Answer<()> {
    let (data, store) = place::split(caller)?;
    let how = How { is_directory: false, follows };
    let directory = store.wasi().files.directory(fd)?;
    let file = below(directory, place::text(data, path, len)?, how)?;
    place::put(data, to, &stat_bytes(&fstat(&file)?))
}

fn read_link<T: HasWasi>(
    caller: &mut Caller<'_, T>,
    fd: u32,
    (path, len): (u32, u32),
    (to, room): (u32, u32),
    done: u32,
) -> Answer<()> {
    let (data, store) = place::split(caller)?;
    let how = How { is_directory: false, follows: false };
    let directory = store.wasi().files.directory(fd)?;
    let link = below(directory, place::text(data, path, len)?, how)?;
    let target = rustix::fs::readlinkat(link, "", Vec::new())?;
    let target = target.to_bytes();
    let target = &target[..target.len().min(room as usize)];
    place::put(data, to, target)?;
    place::put32(data, done, target.len() as u32)
}

/// Writes as many entries as fit. The last one may be truncated; the reader then sees that the
/// buffer is full, and calls again. Cookies are the kernel's.
fn list<T: HasWasi>(
    caller: &mut Caller<'_, T>,
    fd: u32,
    (to, len): (u32, u32),
    cookie: u64,
    done: u32,
) -> Answer<()> {
    let (data, store) = place::split(caller)?;
    let room = place::at(data, to, len)?;
    // A new descriptor, because its position must be independent of the module's.
    let mut directory = Dir::read_from(store.wasi().files.directory(fd)?)?;
    if cookie != 0 {
        directory.seek(i64::try_from(cookie).map_err(|_| Errno::Invalid)?)?;
    }
    let mut used = 0;
    while used < room.len() {
        let Some(entry) = directory.read() else { break };
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        let mut bytes = Vec::with_capacity(24 + name.len());
        bytes.extend((entry.offset() as u64).to_le_bytes());
        bytes.extend(entry.ino().to_le_bytes());
        bytes.extend((name.len() as u32).to_le_bytes());
        bytes.extend([type_number(entry.file_type()), 0, 0, 0]);
        bytes.extend(name);
        let fits = bytes.len().min(room.len() - used);
        room[used..used + fits].copy_from_slice(&bytes[..fits]);
        used += fits;
    }
    place::put32(data, done, used as u32)
}
