// SPDX-License-Identifier: MIT
//! The stages of `ecc`, each in its module; [`run`] is the flow of data through them.

pub mod annotations;
pub mod args;
mod buffers;
mod cache;
pub mod command_line;
mod compile;
mod describe;
mod emit;
mod existing;
mod export;
mod failure;
mod headers;
mod limits;
mod message;
mod modules;
mod recognise;
pub mod records;
mod report;
mod results;
mod strip;

use std::sync::atomic::{AtomicUsize, Ordering};

use bpfpack_schemas::object::{BpfObject, ObjectError};
use bpfpack_schemas::{Meta, Package};

pub use failure::Failure;

/// Each source to its package, as many at once as the machine has CPUs.
///
/// # Errors
/// The first failure, all of them reported; of a source that fails, nothing is written.
pub fn run(args: args::Args) -> Result<(), Failure> {
    let plans = args.resolve()?;
    let signals = compile::Signals::catch()?;
    if let [plan] = &plans[..] {
        return pack(plan, &signals);
    }
    let next = AtomicUsize::new(0);
    // Reports come in the order of the sources.
    let is_report = plans.iter().any(|plan| plan.check);
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = if is_report { 1 } else { cpus.min(plans.len()) };
    let work = || {
        let mut first = None;
        while let Some(plan) = plans.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(failure) = pack(plan, &signals) {
                failure.report();
                first = first.or(Some(failure.exit_code));
            }
        }
        first
    };
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or(Some(1))).collect()
    });
    results.into_iter().flatten().next().map_or(Ok(()), |code| Err(Failure::told(code)))
}

/// One source to its package.
fn pack(plan: &args::Plan, signals: &compile::Signals) -> Result<(), Failure> {
    let talk = message::Talk::new(plan.verbose);
    let source = compile::Source::read(plan)?;
    let targets = existing::targets(plan);
    if !plan.check {
        existing::check(plan, &targets)?;
    }
    talk.progress("Compiling bpf object...");
    let compiled = compile::compile(plan, &source, signals, &talk)?;
    if plan.export_header.is_some() {
        talk.progress("Generating export types...");
    }
    let meta = describe(plan, &source, &compiled, &talk)?;
    if plan.check {
        let elf = BpfObject::parse(&compiled.object).map_err(bad_object(plan))?;
        return report::print(plan, &meta, &elf.btf().map_err(bad_object(plan))?);
    }
    talk.progress(&format!("Packing ebpf object and config into {}...", plan.package_name));
    let wasm = modules::read(&plan.wasm)?;
    let package = Package { object: compiled.object, meta, wasm, other: Default::default() };
    emit::write(plan, package, &targets, &talk)
}

fn bad_object(plan: &args::Plan) -> impl Fn(ObjectError) -> Failure {
    |error| failure::bad_object(plan, error)
}

/// What the package says of an object: what the object itself tells, what its debug information
/// told, what is recognised of both, and over all of it what annotations say.
fn describe(
    plan: &args::Plan,
    source: &compile::Source,
    compiled: &compile::Compiled,
    talk: &message::Talk,
) -> Result<Meta, Failure> {
    let elf = BpfObject::parse(&compiled.object).map_err(bad_object(plan))?;
    let btf = elf.btf().map_err(bad_object(plan))?;
    let too_many = |error| failure::too_much(plan, error);
    let mut found = annotations::tags(&btf).map_err(too_many)?;
    found.extend(annotations::find(&source.text).map_err(too_many)?);
    describe::check_map_types(plan, &btf)?;
    let mut meta = describe::meta(plan, &elf, &btf);
    meta.export_types = export::types(&source.exported, &btf, plan)?;
    if let Some(header) = plan.export_header.as_ref().filter(|_| source.exported.is_empty()) {
        talk.warning(format!(
            "`{}` defines no struct: nothing is exported",
            message::shown(header)
        ));
    }
    buffers::records(&mut meta, &compiled.facts, &btf);
    if plan.recognition {
        let flow = records::flow::of_object(&compiled.object)
            .map_err(|error| failure::bad_object(plan, error.into()))?;
        recognise::recognise(&mut meta, &elf, &btf, &flow, &compiled.facts);
    }
    let place = (plan.source.as_path(), source.text.as_str());
    let mut meta = annotations::apply(meta, &btf, &found, place, talk)?;
    buffers::export(&mut meta, &btf).map_err(|error| failure::too_much(plan, error))?;
    annotations::check_arguments(&meta, &elf, &btf, &plan.source, talk)?;
    buffers::tell_unknown(&meta, &compiled.facts, plan, talk);
    Ok(meta)
}

/// The description of an object, with annotations from a text; nothing is said, and no file touched.
///
/// # Errors
/// When it is no object that can be packed, or an annotation is wrong.
pub fn describe_object(object: Vec<u8>, text: &str) -> Result<Package, Failure> {
    let args = <args::Args as clap::Parser>::parse_from(["ecc", "x.bpf.o"]);
    let plan = args.resolve()?.remove(0);
    let compiled = compile::finished(&plan, object)?;
    let source = compile::Source::of_text(text);
    let meta = describe(&plan, &source, &compiled, &message::Talk::silent())?;
    Ok(Package { object: compiled.object, meta, wasm: Vec::new(), other: Default::default() })
}
