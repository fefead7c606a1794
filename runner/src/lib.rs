// SPDX-License-Identifier: MIT
//! The library behind `ecli`. Each phase of `ecli run` is a module, and `tracer` shows how data
//! flows through them:
//!
//! ```text
//! fetch -> package -> arguments -> spec -> load -> bind -> attach -> run
//!                                                       (source -> stage -> output)
//! ```

// Without these features, a dozen items have no user; this is simpler than a condition at each.
#![cfg_attr(
    not(all(
        feature = "explanations",
        feature = "metrics",
        feature = "policy",
        feature = "registry",
        feature = "wasm"
    )),
    allow(dead_code)
)]

pub mod args;
mod attach;
#[cfg(feature = "registry")]
mod cached;
mod command;
#[cfg(feature = "registry")]
mod confirm;
mod context;
#[cfg(feature = "metrics")]
mod dashboard;
#[cfg(feature = "metrics")]
mod detached;
#[cfg(not(feature = "metrics"))]
#[path = "detached/off.rs"]
mod detached;
#[cfg(feature = "policy")]
mod doctor;
mod ending;
mod fetch;
mod filter;
#[cfg(fuzzing)]
pub mod fuzzing;
mod host;
#[cfg(feature = "policy")]
mod inspect;
mod instrument;
mod kernel;
mod keyboard;
#[cfg(feature = "policy")]
mod layout;
mod load;
mod losses;
mod map_values;
mod memory;
#[cfg(feature = "metrics")]
mod metrics;
#[cfg(not(feature = "metrics"))]
#[path = "metrics/off.rs"]
mod metrics;
mod output;
#[cfg(feature = "metrics")]
mod pause;
mod pins;
#[cfg(feature = "policy")]
mod policy;
#[cfg(not(feature = "policy"))]
#[path = "policy/off.rs"]
mod policy;
#[cfg(feature = "registry")]
mod registry;
#[cfg(feature = "policy")]
mod report;
mod run;
mod scope;
#[cfg(feature = "metrics")]
mod serve;
mod source;
mod spec;
mod symbolizer;
mod tracer;
#[cfg(feature = "registry")]
mod transfer;
mod trust;
mod vars;
#[cfg(feature = "wasm")]
mod wasm;
#[cfg(not(feature = "wasm"))]
#[path = "wasm/off.rs"]
mod wasm;

use bpfpack_failure as failure;
use bpfpack_failure::talk;
use bpfpack_symbols as symbols;
use bpfpack_sys::{self as sys, os};

pub use bpfpack_failure::Failure;

/// Becomes a helper process if the command line asks for one: the symbolizer, which reads files of
/// other processes, or the process that waits to become a traced command. Otherwise it returns
/// `None` at once. A program that runs packages calls this first.
pub fn other_process() -> Option<std::process::ExitCode> {
    symbols::worker::run_if_asked().or_else(command::waiting::run_if_asked)
}

/// Does what the command line asks for. Returns the exit code.
///
/// # Errors
/// Returns the failure of the command.
pub fn perform(request: args::Request) -> Result<u8, Failure> {
    use args::{Command, Request};
    match request {
        Request::Run(args) => run(*args),
        #[cfg(feature = "policy")]
        Request::Other(Command::Inspect(options)) => inspect::inspect(&options.plan()?),
        #[cfg(feature = "metrics")]
        Request::Other(Command::Dashboard(options)) => {
            dashboard::write(&options.plan()?).map(|()| 0)
        }
        #[cfg(feature = "policy")]
        Request::Other(Command::Doctor(options)) => doctor::perform(&options.plan()?),
        #[cfg(feature = "metrics")]
        Request::Other(Command::Service(command)) => match command {
            args::ServiceCommand::Serve(command) => serve::perform(&command),
            args::ServiceCommand::Ps(command) => detached::ps(&command).map(|()| 0),
            args::ServiceCommand::Read(command) => detached::read(&command).map(|()| 0),
            args::ServiceCommand::Stop(command) => detached::stop(&command).map(|()| 0),
        },
        Request::Other(Command::Trust(command)) => trust::perform(&command).map(|()| 0),
        #[cfg(feature = "registry")]
        Request::Other(Command::Cache(command)) => cached::perform(&command).map(|()| 0),
        #[cfg(feature = "registry")]
        Request::Other(Command::Registry(command)) => registry::perform(command).map(|()| 0),
    }
}

/// Runs a package. Returns the exit code, which is 0 unless a module chooses another.
///
/// # Errors
/// Returns an error if a phase fails. Everything is detached by then; output that was written
/// remains.
pub fn run(args: args::Args) -> Result<u8, Failure> {
    tracer::run(args, &host::Own)
}
