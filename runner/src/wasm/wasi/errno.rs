// SPDX-License-Identifier: MIT
//! Error numbers of WASI preview 1, which differ from Linux's.

/// Why a call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum Errno {
    /// Permission denied by the kernel.
    Access = 2,
    /// Nothing is available now.
    Again = 6,
    /// No such descriptor, or one of another kind.
    BadDescriptor = 8,
    /// The resource is in use.
    Busy = 10,
    /// An address outside of the module's memory.
    Fault = 21,
    /// A text is not UTF-8.
    IllegalText = 25,
    /// A signal arrived.
    Interrupted = 27,
    /// An argument is not valid.
    Invalid = 28,
    /// An input or output error.
    Io = 29,
    /// A directory cannot be read as a file.
    IsDirectory = 31,
    /// Too many symbolic links.
    Loop = 32,
    /// Too many open files.
    TooManyFiles = 33,
    /// A name is too long.
    NameTooLong = 37,
    /// There is no such file.
    NoEntry = 44,
    /// Out of memory.
    NoMemory = 48,
    /// No such function.
    NoSystem = 52,
    /// Not a directory.
    NotDirectory = 54,
    /// Not supported.
    NotSupported = 58,
    /// A number is too large.
    Overflow = 61,
    /// Not allowed.
    Permission = 63,
    /// The descriptor has no position.
    Seek = 70,
    /// The module does not have the right.
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
            // The path leads out of its directory.
            Linux::XDEV => Errno::NotCapable,
            _ => Errno::Io,
        }
    }
}
