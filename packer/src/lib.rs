// SPDX-License-Identifier: MIT
//! Packs BPF objects for `ecli`: the library of `ecc`.
//!
//! ```no_run
//! use bpfpack_packer::{DescribeOptions, describe_object};
//!
//! let object = std::fs::read("hardirqs.bpf.o")?;
//! let source = std::fs::read_to_string("hardirqs.bpf.c")?;
//! let options = DescribeOptions { name: "hardirqs".into(), ..Default::default() };
//! let package = describe_object(object, &source, &options)?;
//! std::fs::write("package.json", package.encode())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Each stage of `ecc` has a module, and [`run`] connects them. Modules depend in one direction;
//! only this one uses all of them.

#![warn(unreachable_pub)]

mod annotations;
mod args;
mod buffers;
mod cache;
pub mod command_line;
mod compile;
mod compiled;
mod emit;
mod existing;
mod export;
mod failure;
mod files;
mod headers;
mod lexer;
mod limits;
mod message;
mod modules;
mod object_cache;
mod options;
mod parsed;
mod recognize;
mod records;
mod report;
mod runner;
pub mod sign;
mod skeleton;
mod source;
mod strip;
mod undefined;
mod vmlinux;

use std::sync::atomic::{AtomicUsize, Ordering};

use bpfpack_schemas::{Meta, Package};

use compiled::Compiled;
use message::Console;
use parsed::Parsed;
use records::Facts;
use source::Source;

pub use args::Args;
pub use failure::Failure;
pub use options::{DescribeOptions, Input};

/// Packs each source, as many at once as the machine has CPUs.
///
/// # Errors
/// The first failure, after all are reported. Nothing is written for a source that fails.
pub fn run(args: Args) -> Result<(), Failure> {
    let plans = args.resolve()?;
    let signals = compile::Signals::catch()?;
    if let [plan] = &plans[..] {
        return pack(plan, &signals);
    }
    let next = AtomicUsize::new(0);
    // Reports are printed in the order of the sources.
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
    results.into_iter().flatten().next().map_or(Ok(()), |code| Err(Failure::reported(code)))
}

/// Packs one source.
fn pack(plan: &args::Plan, signals: &compile::Signals) -> Result<(), Failure> {
    let console = Console::new(plan.verbose);
    let options = plan.describe_options();
    let source = Source::read(&options)?;
    let targets = existing::targets(plan);
    if !plan.check {
        existing::check(plan, &targets)?;
    }
    console.progress("Compiling bpf object...");
    let compiled = compile::compile(plan, &source, signals, &console)?;
    if plan.export_header.is_some() {
        console.progress("Generating export types...");
    }
    let object = compiled.parse(&options)?;
    let meta = describe(&options, &source, &object, &compiled.facts, &console)?;
    if plan.check {
        return report::print(&plan.source, &meta, &object.btf);
    }
    // Free memory before writing, which needs its own.
    drop(object);
    console.progress(&format!("Packing ebpf object and config into {}...", plan.package_name));
    let wasm = modules::read(&plan.wasm)?;
    let (object, variants) = (compiled.object, compiled.variants);
    let package = Package { object, variants, meta, wasm, other: Default::default() };
    emit::write(plan, package, &targets, &console)
}

/// The description of an object: from the object, from its debug information, from what is
/// recognized in both, and from annotations, which override the rest.
fn describe(
    options: &DescribeOptions,
    source: &Source,
    object: &Parsed<'_>,
    facts: &Facts,
    console: &Console,
) -> Result<Meta, Failure> {
    let Parsed { elf, btf, .. } = object;
    let too_many = |error| failure::too_much(&options.source, error);
    let mut found = annotations::tags(btf).map_err(too_many)?;
    found.extend(annotations::find(&source.text).map_err(too_many)?);
    skeleton::check_map_types(options, btf)?;
    undefined::check(options, &facts.undefined)?;
    let mut meta = skeleton::meta(&options.name, elf, btf);
    meta.export_types = export::types(&source.exported, btf, options)?;
    if let Some(header) = options.export_header.as_ref().filter(|_| source.exported.is_empty()) {
        let header = message::shown(header);
        console.warning(format!("`{header}` defines no struct, so nothing is exported"));
    }
    buffers::records(&mut meta, facts, btf);
    if options.recognition {
        recognize::recognize(&mut meta, object, &records::flow::walk(elf.elf()), facts);
    }
    let location = (options.source.as_path(), source.text.as_str());
    let mut meta = annotations::apply(meta, btf, &found, location, console)?;
    buffers::export(&mut meta, btf).map_err(|error| failure::too_much(&options.source, error))?;
    annotations::check_arguments(&meta, elf, btf, &options.source, console)?;
    buffers::warn_of_unknown(&meta, facts, options, console);
    Ok(meta)
}

/// The package of an object, with annotations from a text. Prints nothing, and accesses no files.
/// # Errors
/// The object cannot be packed, or an annotation is invalid.
pub fn describe_object(
    object: Vec<u8>,
    text: &str,
    options: &DescribeOptions,
) -> Result<Package, Failure> {
    let source = Source::new(text.to_owned(), Vec::new(), options)?;
    let compiled = Compiled::of_raw(object, options, None)?;
    let parsed = compiled.parse(options)?;
    let meta = describe(options, &source, &parsed, &compiled.facts, &Console::silent())?;
    let (object, variants) = (compiled.object, compiled.variants);
    Ok(Package { object, variants, meta, wasm: Vec::new(), other: Default::default() })
}
