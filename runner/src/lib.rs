// SPDX-License-Identifier: MIT
//! The stages of `ecli run`, each in its module. Only this file wires them:
//!
//! fetch -> package -> arguments -> open -> load -> attach -> collect -> decode -> (wasm) -> render
//! -> sink

// What only modules use would need a condition in a dozen places.
#![cfg_attr(not(feature = "wasm"), allow(dead_code))]

mod alternatives;
pub mod args;
mod attach;
mod collect;
mod decode;
mod early;
mod failure;
mod fetch;
#[cfg(fuzzing)]
pub mod fuzzing;
mod instrument;
mod kernel;
mod load;
mod memory;
mod os;
mod pins;
mod render;
mod sink;
mod symbols;
mod sys;
mod talk;
mod vars;
mod view;
#[cfg(feature = "wasm")]
mod wasm;
#[cfg(not(feature = "wasm"))]
#[path = "wasm/off.rs"]
mod wasm;

use std::cell::Cell;

use bpfpack_schemas::object::BpfObject;
use libbpf_rs::Object;

pub use failure::Failure;
use fetch::Fetched;

/// Becomes the process that reads the files of other processes, where the command line asks for
/// that; otherwise returns none at once. To be called first by a program that runs packages.
pub fn symbolizer() -> Option<std::process::ExitCode> {
    symbols::worker::run_if_asked()
}

/// Runs what the command line asks for; the exit code, which only modules choose.
///
/// # Errors
/// With everything detached; what was shown before stays shown.
pub fn run(args: args::Args) -> Result<u8, Failure> {
    let plan = args.resolve()?;
    render::check_terminal(&plan)?;
    let talk = talk::Talk::new(&plan);
    let fetched = fetch::fetch(&plan.package)?;
    // From here on, signals are read from a descriptor, so that nothing is left behind.
    let signals = sys::Signals::catch().map_err(failure::system("can not catch signals"))?;
    let mut package = match fetched {
        Fetched::Package(package) => package,
        Fetched::Module(module) => return wasm::run_tracer(&plan, &module, &signals, &talk),
    };
    let elf = BpfObject::parse(&package.object).map_err(failure::bad_object)?;
    let btf = elf.btf().map_err(failure::bad_object)?;
    let Some(arguments) = vars::parse(&package.meta, &elf, &btf, &plan.arguments)? else {
        return Ok(0); // --help or --version of the package
    };
    let modules = wasm::Modules::find(&plan, std::mem::take(&mut package.wasm))?;
    let verbose = plan.verbose || arguments.verbose || package.meta.debug_verbose == Some(true);
    load::capture_log(verbose);
    kernel::check_capabilities(&elf)?;
    // Pins are removed where a run fails, which a signal must leave time for.
    let early = plan.pin.is_none().then(|| early::Early::watch(&signals)).transpose();
    let early = Cell::new(early.map_err(failure::system("cannot watch signals"))?);
    // Buffers are opened before the programs are attached: no record comes too early.
    let prepare = |object: &Object| {
        // From here on, what is made has to be undone.
        drop(early.take());
        let views = view::plan(&plan, &package.meta, &elf, &btf, object, &arguments, &talk)?;
        let start =
            |modules: &wasm::Modules| modules.start(&plan, &package, &arguments, object, &views);
        let chain = modules.as_ref().map(start).transpose()?;
        let declared = chain.as_ref().map_or_else(Vec::new, wasm::Chain::declared);
        let streams = views.streams.iter().chain(&declared).map(|stream| &**stream);
        view::check_fields(streams, &plan.fields)?;
        collect::Sources::open(&plan, object, views, chain)
    };
    let attached = attach::load_and_attach(&plan, &package, &elf, &arguments, &talk, prepare)?;
    collect::run(&plan, attached, &signals, &talk)
}
