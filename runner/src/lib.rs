// SPDX-License-Identifier: MIT
//! The library behind `ecli`. Each phase of `ecli run` is a module, and [`run`] shows how data
//! flows through them:
//!
//! ```text
//! fetch -> package -> arguments -> spec -> load -> bind -> attach -> run
//!                                                       (source -> stage -> output)
//! ```

// Without these features, a dozen items have no user; this is simpler than a condition at each.
#![cfg_attr(not(all(feature = "policy", feature = "registry", feature = "wasm")), allow(dead_code))]

pub mod args;
mod attach;
#[cfg(feature = "registry")]
mod cached;
mod command;
#[cfg(feature = "registry")]
mod confirm;
mod context;
#[cfg(feature = "policy")]
mod doctor;
#[cfg(not(feature = "policy"))]
#[path = "doctor/off.rs"]
mod doctor;
mod ending;
mod fetch;
mod filter;
#[cfg(fuzzing)]
pub mod fuzzing;
mod host;
#[cfg(feature = "policy")]
mod inspect;
#[cfg(not(feature = "policy"))]
#[path = "inspect/off.rs"]
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
#[cfg(feature = "registry")]
mod transfer;
mod trust;
mod vars;
#[cfg(feature = "wasm")]
mod wasm;
#[cfg(not(feature = "wasm"))]
#[path = "wasm/off.rs"]
mod wasm;

use std::cell::Cell;

use bpfpack_schemas::object::BpfObject;
use bpfpack_schemas::printable::one_line;
use bpfpack_trust::Accepted;
use libbpf_rs::Object;

use bpfpack_failure as failure;
use bpfpack_failure::talk;
use bpfpack_symbols as symbols;
use bpfpack_sys::{self as sys, os};
use command::Command;
use context::Context;
use fetch::Fetched;
use filter::Filters;
use policy::Policies;
use run::Prepared;

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
    match request {
        args::Request::Run(args) => run(*args),
        args::Request::Inspect(plan) => inspect::inspect(&plan),
        args::Request::Doctor(plan) => doctor::perform(&plan),
        #[cfg(feature = "metrics")]
        args::Request::Serve(command) => serve::perform(&command),
        args::Request::Trust(command) => trust::perform(&command).map(|()| 0),
        #[cfg(feature = "registry")]
        args::Request::Cache(command) => cached::perform(&command).map(|()| 0),
        #[cfg(feature = "registry")]
        args::Request::Registry(command) => registry::perform(command).map(|()| 0),
    }
}

/// Runs a package. Returns the exit code, which is 0 unless a module chooses another.
///
/// # Errors
/// Returns an error if a phase fails. Everything is detached by then; output that was written
/// remains.
pub fn run(args: args::Args) -> Result<u8, Failure> {
    run_on(args, &host::Own)
}

/// Runs a package on a host. Returns the exit code.
///
/// # Errors
/// As [`run()`].
pub(crate) fn run_on(args: args::Args, host: &dyn host::Host) -> Result<u8, Failure> {
    let from = args.package()?;
    let talk = host.talk(from.quiet, false);
    let policies = Policies::read(from.policy.as_deref())?;
    let raw = fetch::obtain(&from, !policies.sources.is_empty(), &talk)?;
    let accepted = raw.verify(&policies.sources)?;
    let to_confirm = raw.to_confirm();
    let fetched = raw.decode(&from.origin)?;
    // From here on, signals arrive on a descriptor, so ecli can clean up before it ends.
    let signals = host.signals()?;
    let mut package = match fetched {
        Fetched::Package(package) => package,
        Fetched::Module(module) => {
            #[cfg(feature = "registry")]
            if let Some(digest) = to_confirm {
                confirm::ask(&from, &digest, "This module can load any programs.", &talk)?;
            }
            let plan = args.of_module()?;
            host.check(&plan)?;
            return wasm::run_tracer(&plan, &module, &policies, &signals);
        }
    };
    let elf = BpfObject::parse(&package.object).map_err(failure::bad_object)?;
    let btf = elf.btf().map_err(failure::bad_object)?;
    let variables = vars::Variables::of(&package.meta, &elf, &btf);
    // The words after the package's name can be parsed only now that its arguments are known.
    let name = args.name();
    let known = args.has_more().then(|| variables.command(&args.invocation()));
    let mut plan = args.of_package(known.as_ref())?;
    let Some(given) = variables.parse(known, &plan.arguments)? else {
        return Ok(0); // `--help` or `--version` of the package
    };
    // Options after the name may say how much is told.
    let talk = host.talk(plan.quiet, plan.verbose);
    host.check(&plan)?;
    let candidate = policy::Candidate { elf: &elf, meta: &package.meta, name: &name };
    policies.check_run(&plan, &candidate, to_confirm.as_deref(), &talk)?;
    output::check::terminal(&plan.outputs)?;
    if let Accepted::Signed { key, comment } = &accepted {
        talk.detail(&format!("signed by the key `{key}`: {}", one_line(comment)));
    }
    // The address is taken before anything is loaded, and users see at once if it is in use.
    let exits = host.exits(&plan)?;
    scope::find_container(&mut plan, &talk)?;
    let command = Command::start(&plan, &signals, &talk)?;
    let about = scope::Package { meta: &package.meta, elf: &elf, btf: &btf };
    let (scope, chosen) = scope::through_arguments(&plan, command.as_ref(), &about, &given, &talk)?;
    let arguments = given.arguments(&chosen)?;
    let modules = wasm::Modules::find(&plan, &policies, std::mem::take(&mut package.wasm))?;
    let verbose = plan.verbose || arguments.verbose || package.meta.debug_verbose == Some(true);
    let loading = host::loading();
    load::capture_log(verbose);
    if !host.only_checks() {
        attach::check_capabilities(&elf)?;
    }
    let mut spec = spec::build(&plan, &package, (&elf, &btf), &arguments, &talk)?;
    metrics::read_on_request(&plan, &mut spec);
    let of_cgroup = scope.by_members(&mut plan, &spec, &talk)?;
    spec::check_arrangement(&plan, &spec, modules.is_some(), &talk)?;
    let filters = Filters::new(&plan, &spec, modules.is_some(), &talk)?;
    if host.only_checks() {
        return metrics::check(&plan, &package.meta, &spec).map(|()| 0);
    }
    // Verifying programs can take seconds, and there is nothing to undo until they are attached, so
    // a signal ends ecli at once. With pins, it does not: a failed run has to remove them.
    let passing = Cell::new(plan.pin.is_none().then(|| signals.pass()));
    let (arguments, filters, of_cgroup) = (&arguments, &filters, of_cgroup.as_ref());
    let (plan, package, spec, talk) = (&plan, &package, &spec, &talk);
    let context = Context { plan, package, arguments, spec, talk, filters, of_cgroup };
    // Buffers are opened before programs are attached, so no record is missed.
    let prepare = |object: &Object| {
        // From here on, whatever is created has to be undone.
        drop(passing.take());
        Prepared::new(&context, modules.as_ref(), object)
    };
    let input = attach::Input { plan, package, elf: &elf, arguments };
    let attached = attach::load_and_attach(&input, talk, prepare)?;
    drop(loading);
    host.note_attached();
    run::run(plan, attached, command, exits, &signals, talk)
}
