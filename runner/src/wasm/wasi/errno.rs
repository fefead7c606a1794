// SPDX-License-Identifier: MIT
//! Error numbers as WASI preview 1 counts them: they are not Linux's.

/// Why a call was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum Errno {
    /// The kernel does not let this user.
    Access = 2,
    /// Nothing is there now.
    Again = 6,
    /// No such descriptor, or one for something else.
    BadDescriptor = 8,
    /// In use.
    Busy = 10,
    /// A place outside of the module's memory.
    Fault = 21,
    /// A text is no UTF-8.
    IllegalText = 25,
    /// A signal came.
    Interrupted = 27,
    /// An argument makes no sense.
    Invalid = 28,
    /// The device failed.
    Io = 29,
    /// A directory is not read as a file.
    IsDirectory = 31,
    /// Too many symbolic links.
    Loop = 32,
    /// Too many open files.
    TooManyFiles = 33,
    /// A name is too long.
    NameTooLong = 37,
    /// There is no such file.
    NoEntry = 44,
    /// No memory.
    NoMemory = 48,
    /// There is no such function.
    NoSystem = 52,
    /// It is no directory.
    NotDirectory = 54,
    /// Not this way.
    NotSupported = 58,
    /// A number is too large.
    Overflow = 61,
    /// It is not allowed.
    Permission = 63,
    /// It has no position.
    Seek = 70,
    /// The module was not given the right.
    NotCapable = 76,
}

impl From<rustix::io::Errno> for Errno {
    fn from(error: rustix::io::Errno) -> Errno {
        use rustix::io::Errno as Linux;
        match error {
            Linux::ACCESS => Errno::Access,
            Linux::AGAIN => Errno::Again,
            Linux::BADF => Errno::BadDescriptor,
            Linux::BUSY => Errno::Busy,
            Linux::INTR => Errno::Interrupted,
            Linux::INVAL => Errno::Invalid,
            Linux::ISDIR => Errno::IsDirectory,
            Linux::LOOP => Errno::Loop,
            Linux::MFILE | Linux::NFILE => Errno::TooManyFiles,
            Linux::NAMETOOLONG => Errno::NameTooLong,
            Linux::NOENT => Errno::NoEntry,
            Linux::NOMEM => Errno::NoMemory,
            Linux::NOSYS => Errno::NoSystem,
            Linux::NOTDIR => Errno::NotDirectory,
            Linux::OPNOTSUPP => Errno::NotSupported,
            Linux::OVERFLOW => Errno::Overflow,
            Linux::PERM => Errno::Permission,
            Linux::SPIPE => Errno::Seek,
            // The path would have left its directory.
            Linux::XDEV => Errno::NotCapable,
            _ => Errno::Io,
        }
    }
}
