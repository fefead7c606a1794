// SPDX-License-Identifier: MIT
//! WASI preview 1, `wasi_snapshot_preview1`: the system as modules see it.
//!
//! This is our own implementation. The library for it, wasmtime-wasi, needs an asynchronous runtime
//! whose sleeps and writes our signals cannot interrupt, and its output would bypass
//! `output/sink.rs`. All functions exist, so every module links; calls beyond a module's rights
//! return an error number. The owner of a module implements its output and its waits: [`Streams`].

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

/// The import module of these functions.
pub(crate) const MODULE: &str = "wasi_snapshot_preview1";

/// A module's view of the system: its arguments, environment and files.
#[derive(Debug)]
pub(crate) struct Wasi {
    arguments: Vec<String>,
    /// Each is `NAME=VALUE`.
    environment: Vec<String>,
    files: Files,
}

/// An output stream of a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// Data.
    Stdout,
    /// Messages.
    Stderr,
}

/// Why a call failed.
#[derive(Debug)]
pub(crate) enum WasiError {
    /// The module receives this error number.
    Errno(Errno),
    /// The module is ended.
    End(wasmtime::Error),
}

/// The result of a call.
pub(crate) type Answer<T> = Result<T, WasiError>;

/// The output and waits of a module.
pub(crate) trait Streams {
    /// Writes `bytes`, which is not empty. Returns how many were accepted, at least one.
    fn write(&mut self, to: Output, bytes: &[u8]) -> Answer<usize>;

    /// Reads standard input, waiting for it. Returns 0 at its end.
    fn read(&mut self, room: &mut [u8]) -> Answer<usize> {
        let _ = room;
        Ok(0)
    }

    /// Waits for a time, or forever if `time` is `None`. With `input`, it waits at most until
    /// standard input is readable or has ended. Returns whether it is. [`Errno::Interrupted`] ends
    /// a sleep early.
    fn wait(&mut self, time: Option<Duration>, input: bool) -> Answer<bool>;
}

/// Data of a store with WASI.
pub(crate) trait HasWasi: Guest + 'static {
    /// The module's view of the system.
    fn wasi(&mut self) -> &mut Wasi;

    /// Its streams.
    fn streams(&mut self) -> &mut dyn Streams;
}

/// A module has exited with this code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the module has ended itself with code {0}")]
pub(crate) struct Exit(pub u32);

impl Wasi {
    /// Makes a module's view of the system: arguments (the first is its name), environment
    /// variables, and directories that it may read.
    ///
    /// # Errors
    /// Returns an error if a directory cannot be opened.
    pub(crate) fn new(
        arguments: Vec<String>,
        environment: &[(String, String)],
        directories: &[std::path::PathBuf],
    ) -> Result<Wasi, Failure> {
        let environment = environment.iter().map(|(name, value)| format!("{name}={value}"));
        Ok(Wasi { arguments, environment: environment.collect(), files: Files::with(directories)? })
    }

    /// The descriptor of a directory that the module has opened.
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

/// The result for the module: 0, or an error number.
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
/// Returns an error if a function is already defined.
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
