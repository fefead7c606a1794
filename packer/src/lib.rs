// SPDX-License-Identifier: MIT
//! The stages of `ecc`, each in its module; [`run`] is the flow of data through them.

pub mod annotations;
pub mod args;
mod cache;
mod compile;
mod describe;
mod emit;
mod export;
mod failure;
mod message;
mod results;
mod strip;

use bpfpack_schemas::Package;
use bpfpack_schemas::object::BpfObject;

pub use failure::Failure;

/// Source to package.
///
/// # Errors
/// Nothing is written where anything fails.
pub fn run(args: args::Args) -> Result<(), Failure> {
    let plan = args.resolve()?;
    let talk = message::Talk::new(plan.verbose);
    let source = compile::Source::read(&plan)?;
    talk.progress("Compiling bpf object...");
    let object = compile::compile(&plan, &source)?;
    let elf = BpfObject::parse(&object).map_err(|error| failure::bad_object(&plan, error))?;
    let btf = elf.btf().map_err(|error| failure::bad_object(&plan, error))?;
    if plan.export_header.is_some() {
        talk.progress("Generating export types...");
    }
    let found = annotations::find(&source.text);
    let mut meta = describe::meta(&plan, &elf, &btf);
    meta.export_types = export::types(&source.exported, &btf, &plan)?;
    let meta = annotations::apply(meta, &found, &plan.source, &talk)?;
    talk.progress("Packing ebpf object and config into package.json...");
    let package = Package { object, meta, other: Default::default() };
    emit::write(&plan, &package)
}
