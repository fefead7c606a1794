// SPDX-License-Identifier: MIT
//! The stages of `ecc`, each in its module; [`run`] is the flow of data through them.

pub mod annotations;
pub mod args;
mod buffers;
mod cache;
mod compile;
mod describe;
mod emit;
mod export;
mod failure;
mod map_type;
mod message;
mod recognise;
pub mod records;
mod report;
mod results;
mod strip;

use std::sync::atomic::{AtomicUsize, Ordering};

use bpfpack_schemas::Package;
use bpfpack_schemas::object::BpfObject;

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
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(plans.len());
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
    talk.progress("Compiling bpf object...");
    let compiled = compile::compile(plan, &source, signals)?;
    let elf =
        BpfObject::parse(&compiled.object).map_err(|error| failure::bad_object(plan, error))?;
    let btf = elf.btf().map_err(|error| failure::bad_object(plan, error))?;
    if plan.export_header.is_some() {
        talk.progress("Generating export types...");
    }
    let mut found = annotations::tags(&btf);
    found.extend(annotations::find(&source.text));
    let mut meta = describe::meta(plan, &elf, &btf);
    meta.export_types = export::types(&source.exported, &btf, plan)?;
    buffers::records(&mut meta, &compiled.facts, &btf);
    if plan.recognition {
        let flow = records::flow::of_object(&compiled.object)
            .map_err(|error| failure::bad_object(plan, error.into()))?;
        recognise::recognise(&mut meta, &elf, &btf, &flow, &compiled.facts);
    }
    let place = (plan.source.as_path(), source.text.as_str());
    let mut meta = annotations::apply(meta, &btf, &found, place, &talk)?;
    buffers::export(&mut meta, &btf);
    annotations::check_arguments(&meta, &elf, &btf, &plan.source, &talk)?;
    buffers::tell_unknown(&meta, &compiled.facts, plan, &talk);
    if plan.check {
        return report::print(plan, &meta, &btf);
    }
    talk.progress(&format!("Packing ebpf object and config into {}...", plan.package_name));
    let package = Package { object: compiled.object, meta, other: Default::default() };
    emit::write(plan, &package)
}
