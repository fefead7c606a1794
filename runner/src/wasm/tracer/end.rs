// SPDX-License-Identifier: MIT
//! The end of a module: its exit code, or the reason for its failure; and the rest of its output.

use anyhow::anyhow;
use wasmtime::{Linker, Module, Store, Trap};

use super::console::{Console, End};
use super::{MODULE, State};
use crate::failure::{Failure, exit_code};
use crate::output::{ReaderState, Sink, Written};
use crate::sys::Signals;
use crate::talk::Talk;
use crate::wasm::engine::{Limiter, missing_imports};
use crate::wasm::trap;
use crate::wasm::wasi::{self, Exit, WasiError};

/// Why a module stopped.
#[derive(Debug)]
pub(super) enum Stopped {
    /// It was not started.
    Before(Failure),
    /// The error with which its code ended.
    Running(wasmtime::Error),
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Stopped {
        Stopped::Before(failure)
    }
}

impl From<WasiError> for Stopped {
    fn from(error: WasiError) -> Stopped {
        match error {
            WasiError::End(error) => Stopped::Running(error),
            WasiError::Errno(errno) => Stopped::Running(wasmtime::format_err!("{errno:?}")),
        }
    }
}

/// Checks that ecli has all imports of a module.
pub(super) fn check_imports(
    linker: &Linker<State>,
    store: &mut Store<State>,
    module: &Module,
    name: &str,
) -> Result<(), Failure> {
    let missing: Vec<String> = missing_imports(linker, store, module)
        .iter()
        .map(|import| format!("`{}` of `{}`", import.name(), import.module()))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let error =
        anyhow!("`{name}` imports functions that ecli does not have: {}", missing.join(", "));
    Err(Failure::new(exit_code::MODULE, error).hint(format!(
        "a tracer's module may import from `{MODULE}` and `{}`, as runner/WASM.md says",
        wasi::MODULE
    )))
}

/// The failure of a module that cannot be linked, or whose start function has failed.
pub(super) fn not_linked(error: wasmtime::Error, name: &str) -> Stopped {
    if trap::has_run(&error) || error.is::<Exit>() {
        return Stopped::Running(error);
    }
    let error = anyhow!("{error:#}").context(format!("`{name}` cannot be linked"));
    Stopped::Before(Failure::new(exit_code::MODULE, error))
}

/// The failure of a module that cannot be started.
pub(super) fn no_start(name: &str) -> Failure {
    let error = anyhow!("`{name}` exports no function `_start` without parameters and results");
    Failure::new(exit_code::MODULE, error)
}

/// Writes the remaining output, and returns the exit code of the run.
pub(super) fn of(
    result: Result<(), Stopped>,
    console: Console,
    signals: &Signals,
    name: &str,
    limiter: &Limiter,
    talk: &Talk,
) -> Result<u8, Failure> {
    let (mut sink, mut interrupts, end) = console.into_parts();
    interrupts.stop();
    let code = match (result, end) {
        (_, Some(End::Gone)) => return Ok(0),
        (_, Some(End::Failed(failure))) => return Err(failure),
        (_, Some(End::Signal)) | (Ok(()), None) => Ok(0),
        (Err(Stopped::Before(failure)), None) => Err(failure),
        (Err(Stopped::Running(error)), None) => match error.downcast_ref::<Exit>() {
            // Truncated as in a shell.
            Some(Exit(code)) => Ok((code & 0xff) as u8),
            None if interrupts.is_over() && error.downcast_ref() == Some(&Trap::Interrupt) => Ok(0),
            None => Err(failed(&error, name, limiter)),
        },
    };
    write_all(&mut sink, interrupts.is_urgent(), signals, talk)?;
    code
}

/// The failure of a module: the location and the cause.
fn failed(error: &wasmtime::Error, name: &str, limiter: &Limiter) -> Failure {
    let cause = trap::cause(error, limiter.was_hit);
    let failure =
        Failure::new(exit_code::MODULE_FAILED, anyhow!("`_start` of `{name}` failed: {cause}"));
    limiter.explain(failure.details(trap::frames(error).unwrap_or_default()))
}

/// Writes the remaining output. It waits for a slow reader until a signal arrives.
fn write_all(
    sink: &mut Sink,
    is_urgent: bool,
    signals: &Signals,
    talk: &Talk,
) -> Result<(), Failure> {
    let written = match is_urgent {
        true if sink.flush()? == ReaderState::There && sink.left() > 0 => Written::GivenUp,
        true => Written::All,
        false => sink.write_all(0, None, signals, talk)?,
    };
    if written != Written::GivenUp {
        return Ok(());
    }
    let error = anyhow!(
        "{} bytes of output were not written: a signal arrived while nobody read them",
        sink.left()
    );
    Err(Failure::new(exit_code::OUTPUT, error))
}
