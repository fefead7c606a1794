// SPDX-License-Identifier: MIT
//! The stages of `ecli run`, each in its module. Only this file wires them:
//!
//! fetch -> package -> arguments -> open -> load -> attach -> collect -> decode -> render -> sink

mod alternatives;
pub mod args;
mod attach;
mod collect;
mod decode;
mod failure;
mod fetch;
#[cfg(fuzzing)]
pub mod fuzzing;
mod instrument;
mod kernel;
mod load;
mod render;
mod sink;
mod symbols;
mod sys;
mod talk;
mod vars;
mod view;
#[cfg(feature = "wasm")]
mod wasm;

use bpfpack_schemas::object::BpfObject;
use libbpf_rs::Object;

pub use failure::Failure;

/// Runs what the command line asks for.
///
/// # Errors
/// With everything detached; what was shown before stays shown.
pub fn run(args: args::Args) -> Result<(), Failure> {
    let plan = args.resolve()?;
    let talk = talk::Talk::new(&plan);
    let package = fetch::package(&plan.package)?;
    // From here on, signals are read from a descriptor, so that nothing is left behind.
    let signals = sys::Signals::catch().map_err(failure::system("can not catch signals"))?;
    let elf = BpfObject::parse(&package.object).map_err(failure::bad_object)?;
    let btf = elf.btf().map_err(failure::bad_object)?;
    let Some(arguments) = vars::parse(&package.meta, &elf, &btf, &plan.arguments)? else {
        return Ok(()); // --help or --version of the package
    };
    let verbose = plan.verbose || arguments.verbose || package.meta.debug_verbose == Some(true);
    load::capture_log(verbose);
    kernel::check_capabilities(&elf)?;
    // Buffers are opened before the programs are attached: no record comes too early.
    let prepare = |object: &Object| {
        let views = view::plan(&plan, &package.meta, &elf, &btf, object, &arguments, &talk)?;
        collect::Sources::open(&plan, object, views)
    };
    let attached = attach::load_and_attach(&plan, &package, &elf, &arguments, &talk, prepare)?;
    collect::run(&plan, attached, &signals, &talk)
}
