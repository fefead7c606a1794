// SPDX-License-Identifier: MIT
//! How a module ends: its exit code, or why it failed; and the last of its output.

use anyhow::anyhow;
use rustix::event::{PollFd, PollFlags, poll};
use wasmtime::{Linker, Module, Store, Trap, WasmBacktrace};

use super::console::{Console, End};
use super::interrupts::timespec;
use super::{MODULE, State};
use crate::failure::{self, Failure, exit_code};
use crate::sink::{Reader, Sink};
use crate::sys::Signals;
use crate::talk::Talk;
use crate::wasm::trap;
use crate::wasm::wasi::{self, Exit, Trouble};

/// How long a reader may be slow before that is told.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(1);

/// Why a module does not run on.
#[derive(Debug)]
pub enum Stopped {
    /// It never began.
    Before(Failure),
    /// What its code ended with.
    Running(wasmtime::Error),
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Stopped {
        Stopped::Before(failure)
    }
}

impl From<Trouble> for Stopped {
    fn from(trouble: Trouble) -> Stopped {
        match trouble {
            Trouble::End(error) => Stopped::Running(error),
            Trouble::Errno(errno) => Stopped::Running(wasmtime::format_err!("{errno:?}")),
        }
    }
}

/// Looks whether ecli has all that a module imports.
pub fn check_imports(
    linker: &Linker<State>,
    store: &mut Store<State>,
    module: &Module,
    name: &str,
) -> Result<(), Failure> {
    let mut missing = Vec::new();
    for import in module.imports() {
        if linker.get_by_import(&mut *store, &import).is_none() {
            missing.push(format!("`{}` of `{}`", import.name(), import.module()));
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let error = anyhow!("`{name}` imports what ecli does not have: {}", missing.join(", "));
    Err(Failure::new(exit_code::MODULE, error).hint(format!(
        "a tracer's module may import from `{MODULE}` and `{}`, as runner/WASM.md says",
        wasi::MODULE
    )))
}

/// A module that can not be linked, or whose very first code has failed.
pub fn not_linked(error: wasmtime::Error, name: &str) -> Stopped {
    if error.is::<Trap>() || error.is::<Exit>() || error.is::<WasmBacktrace>() {
        return Stopped::Running(error);
    }
    let error = anyhow!("{error:#}").context(format!("`{name}` can not be linked"));
    Stopped::Before(Failure::new(exit_code::MODULE, error))
}

/// A module that can not be started.
pub fn no_start(name: &str) -> Failure {
    let error = anyhow!("`{name}` exports no function `_start` without parameters and results");
    Failure::new(exit_code::MODULE, error)
}

/// The exit code of a run, once everything is written.
pub fn of(
    result: Result<(), Stopped>,
    console: Console,
    signals: &Signals,
    name: &str,
    has_hit_limit: bool,
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
            // As a shell sees it.
            Some(Exit(code)) => Ok((code & 0xff) as u8),
            None if interrupts.is_over() && error.downcast_ref() == Some(&Trap::Interrupt) => Ok(0),
            None => Err(failed(&error, name, has_hit_limit)),
        },
    };
    write_all(&mut sink, interrupts.is_urgent(), signals, talk)?;
    code
}

/// What a module failed with: where, and why.
fn failed(error: &wasmtime::Error, name: &str, has_hit_limit: bool) -> Failure {
    let cause = trap::cause(error, has_hit_limit);
    let failure =
        Failure::new(exit_code::MODULE_FAILED, anyhow!("`_start` of `{name}` failed: {cause}"));
    let failure = match trap::frames(error) {
        Some(frames) => failure.details(frames),
        None => failure,
    };
    match has_hit_limit {
        true => failure.hint("--wasm-memory sets the limit of its memory"),
        false => failure,
    }
}

/// Writes what is left, waiting for a slow reader until a signal comes.
fn write_all(
    sink: &mut Sink,
    is_urgent: bool,
    signals: &Signals,
    talk: &Talk,
) -> Result<(), Failure> {
    let mut was_told = false;
    loop {
        if sink.flush()? == Reader::Gone || sink.left() == 0 {
            return Ok(());
        }
        let (fd, wanted) = sink.waits_for();
        let mut fds = [PollFd::new(signals, PollFlags::IN), PollFd::from_borrowed_fd(fd, wanted)];
        let patience = timespec(PATIENCE);
        let ready = match is_urgent {
            true => Ok(1),
            false => poll(&mut fds, (!was_told).then_some(&patience)),
        };
        match ready {
            Ok(0) => {
                was_told = true;
                talk.note("waiting for the reader of the output; Ctrl-C gives up");
            }
            Ok(_) if is_urgent || !fds[0].revents().is_empty() => {
                let error = anyhow!(
                    "{} bytes of output were not written: a signal came while nobody read them",
                    sink.left()
                );
                return Err(Failure::new(exit_code::OUTPUT, error));
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(failure::system("can not wait for the output")(error)),
        }
    }
}
