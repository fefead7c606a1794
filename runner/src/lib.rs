// SPDX-License-Identifier: MIT
//! The phases of `ecli run`, each in its module; [`run`] is the flow of data through them:
//!
//! fetch -> package -> arguments -> spec -> load -> bind -> attach -> run (source -> stage -> output)

// What only modules use would need a condition in a dozen places.
#![cfg_attr(not(feature = "wasm"), allow(dead_code))]

pub mod args;
mod attach;
mod command;
mod context;
mod ending;
mod fetch;
mod filter;
#[cfg(fuzzing)]
pub mod fuzzing;
mod instrument;
mod kernel;
mod keyboard;
mod load;
mod losses;
mod map_values;
mod memory;
mod output;
mod pins;
mod run;
mod scope;
mod source;
mod spec;
mod symbolizer;
mod vars;
#[cfg(feature = "wasm")]
mod wasm;
#[cfg(not(feature = "wasm"))]
#[path = "wasm/off.rs"]
mod wasm;

use std::cell::Cell;

use bpfpack_schemas::object::BpfObject;
use libbpf_rs::Object;

use bpfpack_failure::{self as failure, talk};
use bpfpack_symbols as symbols;
use bpfpack_sys::{self as sys, os};
use command::Command;
use context::Context;
use fetch::Fetched;
use filter::Filters;
use run::Prepared;

pub use bpfpack_failure::Failure;

/// Becomes the process that reads the files of other processes, or the one that waits to become a
/// command, where the command line asks for that; otherwise returns none at once. To be called first
/// by a program that runs packages.
pub fn other_process() -> Option<std::process::ExitCode> {
    symbols::worker::run_if_asked().or_else(command::waiting::run_if_asked)
}

/// Runs what the command line asks for; the exit code, which only modules choose.
///
/// # Errors
/// With everything detached; what was shown before stays shown.
pub fn run(args: args::Args) -> Result<u8, Failure> {
    let fetched = fetch::fetch(&args.package()?)?;
    // From here on, signals are read from a descriptor, so that nothing is left behind.
    let signals = sys::Signals::catch().map_err(failure::system("cannot catch signals"))?;
    let mut package = match fetched {
        Fetched::Package(package) => package,
        Fetched::Module(module) => return wasm::run_tracer(&args.of_module()?, &module, &signals),
    };
    let elf = BpfObject::parse(&package.object).map_err(failure::bad_object)?;
    let btf = elf.btf().map_err(failure::bad_object)?;
    let variables = vars::Variables::of(&package.meta, &elf, &btf);
    // What is behind the package's name is understood now that its arguments are known.
    let known = args.has_more().then(|| variables.command(&args.name()));
    let mut plan = args.of_package(known.as_ref())?;
    let Some(given) = variables.parse(known, &plan.arguments)? else {
        return Ok(0); // --help or --version of the package
    };
    output::check::terminal(&plan.outputs)?;
    let talk = talk::Talk::new(plan.quiet, plan.verbose);
    scope::find_container(&mut plan, &talk)?;
    let command = Command::start(&plan, &signals, &talk)?;
    let about = scope::Package { meta: &package.meta, elf: &elf, btf: &btf };
    let (scope, chosen) = scope::through_arguments(&plan, command.as_ref(), &about, &given, &talk)?;
    let arguments = given.arguments(&chosen)?;
    let modules = wasm::Modules::find(&plan, std::mem::take(&mut package.wasm))?;
    let verbose = plan.verbose || arguments.verbose || package.meta.debug_verbose == Some(true);
    load::capture_log(verbose);
    attach::check_capabilities(&elf)?;
    let spec = spec::build(&plan, &package, (&elf, &btf), &arguments, &talk)?;
    let of_cgroup = scope.by_members(&mut plan, &spec, &talk)?;
    spec::check_arrangement(&plan, &spec, modules.is_some(), &talk)?;
    let filters = Filters::new(&plan, &spec, modules.is_some(), &talk)?;
    // To verify programs can take seconds, and until they are attached there is nothing to undo: a
    // signal ends ecli at once. But pins are removed where a run fails, which takes a moment.
    let passing = Cell::new(plan.pin.is_none().then(|| signals.pass()));
    let (arguments, filters, of_cgroup) = (&arguments, &filters, of_cgroup.as_ref());
    let (plan, package, spec, talk) = (&plan, &package, &spec, &talk);
    let context = Context { plan, package, arguments, spec, talk, filters, of_cgroup };
    // Buffers are opened before the programs are attached: no record comes too early.
    let prepare = |object: &Object| {
        // From here on, what is made has to be undone.
        drop(passing.take());
        Prepared::new(&context, modules.as_ref(), object)
    };
    let input = attach::Input { plan, package, elf: &elf, arguments };
    let attached = attach::load_and_attach(&input, talk, prepare)?;
    run::run(plan, attached, command, &signals, talk)
}
