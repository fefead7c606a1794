// SPDX-License-Identifier: MIT
//! WASI preview 1, `wasi_snapshot_preview1`: what modules have of a system.
//!
//! It is our own because the library for it, wasmtime-wasi, brings an asynchronous runtime whose
//! sleeps and writes our signals could not wake, and whose output would go past [`crate::sink`].
//! All functions are there, so that every module links; what a module was not given is refused by
//! an error number. Where its output goes, and how it waits, its owner says: [`Streams`].

mod descriptors;
mod directories;
mod errno;
mod files;
mod place;
mod poll;
mod system;

#[cfg(test)]
mod tests;

use std::time::Duration;

use wasmtime::{Caller, Linker};

use super::memory::{BadText, Guest, OutOfBounds};
use crate::failure::Failure;
use files::Files;

pub(crate) use errno::Errno;

/// The name that modules import from.
pub(crate) const MODULE: &str = "wasi_snapshot_preview1";

/// What a module has of a system: its arguments, its environment, its files.
#[derive(Debug)]
pub(crate) struct Wasi {
    arguments: Vec<String>,
    /// `NAME=VALUE` each.
    environment: Vec<String>,
    files: Files,
}

/// Where a module's output goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// Data.
    Stdout,
    /// Talk.
    Stderr,
}

/// Why a call does not do what it was asked for.
#[derive(Debug)]
pub(crate) enum WasiError {
    /// The module is told.
    Errno(Errno),
    /// The module is ended.
    End(wasmtime::Error),
}

/// What calls answer.
pub(crate) type Answer<T> = Result<T, WasiError>;

/// How a module speaks and waits.
pub(crate) trait Streams {
    /// Takes output: of `bytes`, which are not empty, as many as it says, at least one.
    fn write(&mut self, to: Output, bytes: &[u8]) -> Answer<usize>;

    /// Reads standard input, waiting for it; 0 at its end.
    fn read(&mut self, room: &mut [u8]) -> Answer<usize> {
        let _ = room;
        Ok(0)
    }

    /// Waits for a time, without one for ever; with `input` at most until standard input has
    /// something, or has ended. Tells whether it has. [`Errno::Interrupted`] ends a sleep early.
    fn wait(&mut self, time: Option<Duration>, input: bool) -> Answer<bool>;
}

/// What the data of a store has for WASI.
pub(crate) trait HasWasi: Guest + 'static {
    /// What the module has of a system.
    fn wasi(&mut self) -> &mut Wasi;

    /// How it speaks and waits.
    fn streams(&mut self) -> &mut dyn Streams;
}

/// A module has ended itself, with a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the module has ended itself with code {0}")]
pub(crate) struct Exit(pub u32);

impl Wasi {
    /// What is given to a module: arguments, the first being its name, variables, and directories
    /// whose files it may read.
    ///
    /// # Errors
    /// When a directory cannot be opened.
    pub(crate) fn new(
        arguments: Vec<String>,
        environment: &[(String, String)],
        directories: &[std::path::PathBuf],
    ) -> Result<Wasi, Failure> {
        let environment = environment.iter().map(|(name, value)| format!("{name}={value}"));
        Ok(Wasi { arguments, environment: environment.collect(), files: Files::with(directories)? })
    }

    /// A directory that the module has opened, for the kernel.
    #[must_use]
    pub(crate) fn directory(&self, descriptor: u32) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.files.directory(descriptor).ok()
    }
}

impl From<Errno> for WasiError {
    fn from(errno: Errno) -> WasiError {
        WasiError::Errno(errno)
    }
}

impl From<rustix::io::Errno> for WasiError {
    fn from(errno: rustix::io::Errno) -> WasiError {
        WasiError::Errno(errno.into())
    }
}

impl From<OutOfBounds> for WasiError {
    fn from(_: OutOfBounds) -> WasiError {
        WasiError::Errno(Errno::Fault)
    }
}

impl From<BadText> for WasiError {
    fn from(bad: BadText) -> WasiError {
        match bad {
            BadText::OutOfBounds(_) => WasiError::Errno(Errno::Fault),
            BadText::NotUtf8(_) => WasiError::Errno(Errno::IllegalText),
        }
    }
}

/// What the module gets: 0, or the error's number.
fn number(answer: Answer<()>) -> Result<u32, wasmtime::Error> {
    match answer {
        Ok(()) => Ok(0),
        Err(WasiError::Errno(errno)) => Ok(errno as u32),
        Err(WasiError::End(error)) => Err(error),
    }
}

/// Adds all functions to a linker.
///
/// # Errors
/// When one is there already.
pub(crate) fn link<T: HasWasi>(linker: &mut Linker<T>) -> Result<(), wasmtime::Error> {
    system::link(linker)?;
    descriptors::link(linker)?;
    directories::link(linker)?;
    linker.func_wrap(
        MODULE,
        "poll_oneoff",
        |mut caller: Caller<'_, T>, subscriptions: u32, events: u32, count: u32, happened: u32| {
            number(poll::oneoff(&mut caller, subscriptions, events, count, happened))
        },
    )?;
    Ok(())
}
