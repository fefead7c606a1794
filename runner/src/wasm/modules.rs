// SPDX-License-Identifier: MIT
//! The modules of a run: reads them, determines their kind, and compiles them while the kernel
//! verifies the programs.

use std::cell::{OnceCell, RefCell};
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::rc::Rc;
use std::thread::JoinHandle;

use anyhow::{Context as _, anyhow};
use bpfpack_frame::Chain;
use bpfpack_schemas::package::{MAX_MODULE_SIZE, WasmModule};
use bpfpack_schemas::{module, printable};
use libbpf_rs::Object;

use super::engine::{Engine, Limits};
use super::post::{self, Compiled};
use crate::args::{Plan, WasmArg};
use crate::context::Context;
use crate::failure::{Failure, exit_code, system};
use crate::fetch;
use crate::policy::Policies;
use crate::symbolizer::SharedSymbols;

/// Post-processors that are compiled or being compiled.
#[derive(Debug)]
pub(crate) struct Modules {
    /// The compiling thread, until its result is needed.
    compiling: RefCell<Option<JoinHandle<Result<Ready, Failure>>>>,
    /// Its result, which is needed again if another kind of program is tried.
    ready: OnceCell<Ready>,
}

#[derive(Debug)]
struct Ready {
    engine: Engine,
    modules: Vec<Compiled>,
}

/// A module that was not inspected yet.
struct Raw {
    name: String,
    bytes: Vec<u8>,
    parameters: Vec<(String, String)>,
}

impl Modules {
    /// Takes the modules of the package, reads those of the command line, and starts to compile
    /// them; `None` if there are none.
    ///
    /// # Errors
    /// Returns an error if a file cannot be read, or if `--wasm-arg` names an unknown module.
    pub(crate) fn find(
        plan: &Plan,
        policies: &Policies,
        packed: Vec<WasmModule>,
    ) -> Result<Option<Modules>, Failure> {
        let wasm = &plan.wasm;
        let mut found = Vec::new();
        if !wasm.only_given {
            for WasmModule { name, module } in packed {
                found.push((printable::clean(&name), module));
            }
        }
        for path in &wasm.modules {
            let bytes = read(path)?;
            fetch::verify_file(&policies.sources, path, &bytes)?;
            found.push((name_of(path), bytes));
        }
        check_names(&wasm.arguments, &found)?;
        if found.is_empty() {
            return Ok(None);
        }
        let raw: Vec<Raw> = found
            .into_iter()
            .map(|(name, bytes)| {
                let parameters = parameters(&wasm.arguments, &name);
                Raw { name, bytes, parameters }
            })
            .collect();
        let limits = Limits { memory: wasm.memory, time: wasm.time };
        let cache = wasm.cache.clone();
        let compile = move || -> Result<Ready, Failure> {
            let largest = raw.iter().map(|raw| raw.bytes.len()).max().unwrap_or(0);
            let engine = Engine::new(limits, largest, cache.as_deref())?;
            let compiled = |raw: Raw| {
                let module = engine.compile(&raw.name, &raw.bytes)?;
                Ok(Compiled { name: raw.name, module, parameters: raw.parameters })
            };
            let modules = raw.into_iter().map(compiled).collect::<Result<_, Failure>>()?;
            Ok(Ready { engine, modules })
        };
        let thread = std::thread::Builder::new()
            .name("wasm compiler".into())
            .spawn(compile)
            .map_err(system("cannot start a thread"))?;
        Ok(Some(Modules { compiling: RefCell::new(Some(thread)), ready: OnceCell::new() }))
    }

    /// Starts the modules for a loaded package.
    ///
    /// # Errors
    /// Returns an error if a module is not a post-processor or fails to start.
    pub(crate) fn start(
        &self,
        context: &Context<'_>,
        object: &Object,
        symbols: &SharedSymbols,
        chain: &mut Chain,
    ) -> Result<(), Failure> {
        let Context { plan, package, arguments, spec, .. } = *context;
        let cpus =
            libbpf_rs::num_possible_cpus().map_err(system("cannot find out the number of CPUs"))?;
        let ready = self.ready()?;
        let told = post::Package {
            name: &package.meta.bpf_skel.obj_name,
            arguments: &arguments.values,
            spec,
            maps: post::Table::of(object)?,
            cpus,
            format: plan.outputs.first().map_or("text", |output| output.format.name),
            fields: &plan.fields,
            is_quiet: plan.quiet,
            symbols: Rc::clone(symbols),
            environment: &plan.wasm.environment,
            directories: &plan.wasm.directories,
        };
        post::start(&ready.engine, &ready.modules, told, chain)
    }

    fn ready(&self) -> Result<&Ready, Failure> {
        if let Some(thread) = self.compiling.take() {
            let crashed =
                |_| Failure::new(exit_code::OTHER, anyhow!("the compiler of modules crashed"));
            let _ = self.ready.set(thread.join().map_err(crashed)??);
        }
        // Not reached after a failure, which ends the run.
        self.ready
            .get()
            .ok_or_else(|| Failure::new(exit_code::OTHER, anyhow!("the modules were not compiled")))
    }
}

/// The name of a module in messages and `--wasm-arg`: its file name.
#[must_use]
pub(super) fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    printable::clean(&name)
}

/// Reads a module from a file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(MAX_MODULE_SIZE + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read()
        .with_context(|| format!("cannot read the module `{}`", path.display()))
        .map_err(|error| Failure::new(exit_code::MODULE, error))?;
    module::check(&bytes)
        .with_context(|| format!("the module `{}` is too large", path.display()))
        .map_err(|error| Failure::new(exit_code::MODULE, error))?;
    Ok(bytes)
}

/// Whether an argument is for this module: its file name, with or without the extension.
fn is_for(argument: &WasmArg, name: &str) -> bool {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    argument.module.as_ref().is_none_or(|module| module == name || module == stem)
}

fn parameters(arguments: &[WasmArg], name: &str) -> Vec<(String, String)> {
    let of_it = arguments.iter().filter(|argument| is_for(argument, name));
    of_it.map(|argument| (argument.name.clone(), argument.value.clone())).collect()
}

fn check_names(arguments: &[WasmArg], found: &[(String, Vec<u8>)]) -> Result<(), Failure> {
    let names = || found.iter().map(|(name, _)| name.as_str());
    let Some(lost) = arguments.iter().find(|argument| !names().any(|name| is_for(argument, name)))
    else {
        return Ok(());
    };
    let failure = Failure::usage(match &lost.module {
        Some(module) => format!("--wasm-arg: no module has the name `{module}`"),
        None => format!("--wasm-arg {}: there is no module", lost.name),
    });
    let known: Vec<_> = names().collect();
    Err(match known.is_empty() {
        true => failure.hint("--wasm FILE names one"),
        false => failure.hint(format!("the modules are {}", known.join(", "))),
    })
}
