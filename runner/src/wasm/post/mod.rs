// SPDX-License-Identifier: MIT
//! Post-processors: modules that process the frames of a package before they are shown.
//! runner/WASM.md specifies the interface.
//!
//! Each module is a stage. Records are added to its batch if it handles their source; what it emits
//! goes to the next stage.

mod declare;
mod describe;
mod flow;
mod imports;
mod json;
mod maps;
mod sources;
mod stage;
mod state;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use bpfpack_frame::Chain;
use bpfpack_spec::Spec;
use wasmtime::Module;

use crate::failure::{Failure, system};
use crate::symbolizer::SharedSymbols;
use crate::wasm::engine::Engine;
use crate::wasm::wasi::Wasi;
use crate::wasm::watch::Watch;
use describe::{About, describe};
pub(crate) use maps::Table;
use sources::{ModuleSource, Row};
use stage::PostProcessor;
use state::World;

/// The version of the interface.
pub(crate) const VERSION: i32 = 1;

/// A compiled module with its arguments from the command line.
#[derive(Debug)]
pub(crate) struct Compiled {
    /// Its name in messages.
    pub(crate) name: String,
    /// The module.
    pub(crate) module: Module,
    /// Names and values.
    pub(crate) parameters: Vec<(String, String)>,
}

/// What modules can find out about the package.
#[derive(Debug)]
pub(crate) struct Package<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// Values of its arguments, by variable.
    pub(crate) arguments: &'a [(String, String)],
    /// What is shown.
    pub(crate) spec: &'a Spec,
    /// Its maps.
    pub(crate) maps: Table,
    /// The number of possible CPUs.
    pub(crate) cpus: usize,
    /// The name of the first output's format.
    pub(crate) format: &'a str,
    /// The members to show; empty shows all.
    pub(crate) fields: &'a [String],
    /// Whether standard error shows only errors.
    pub(crate) is_quiet: bool,
    /// Looks up names of addresses.
    pub(crate) symbols: SharedSymbols,
    /// The environment of modules.
    pub(crate) environment: &'a [(String, String)],
    /// The directories that they may read.
    pub(crate) directories: &'a [PathBuf],
}

/// Starts modules, each a stage after those before it.
///
/// # Errors
/// Returns an error if a module is not a post-processor or fails to start.
pub(crate) fn start(
    engine: &Engine,
    modules: &[Compiled],
    package: Package<'_>,
    chain: &mut Chain,
) -> Result<(), Failure> {
    let Package { environment, directories, cpus, .. } = package;
    let of_spec = |source: &bpfpack_spec::Source| match source {
        bpfpack_spec::Source::Stream(stream) => ModuleSource::Records(Arc::clone(stream)),
        bpfpack_spec::Source::View(view) => ModuleSource::Rows(Arc::clone(view), Row::of(view)),
    };
    let sources: Vec<ModuleSource> = package.spec.sources.iter().map(of_spec).collect();
    let world = Rc::new(World {
        of_package: sources.len(),
        sources: RefCell::new(sources),
        package: package.name.to_owned(),
        format: package.format.to_owned(),
        arguments: package.arguments.to_vec(),
        maps: package.maps,
        fields: package.fields.to_vec(),
        symbols: package.symbols,
        is_quiet: package.is_quiet,
    });
    let watch = Watch::start(engine.inner().clone(), engine.limits().time);
    let watch = Rc::new(watch.map_err(system("cannot start a thread"))?);
    for Compiled { name, module, parameters } in modules {
        let wasi = Wasi::new(Vec::new(), environment, directories)?;
        let mut stage =
            PostProcessor::start(engine, module, &watch, &world, (name, parameters.clone()), wasi)?;
        let description = {
            let about = About {
                package: &world.package,
                format: &world.format,
                cpus,
                arguments: &world.arguments,
                parameters: stage.parameters(),
            };
            describe(&about, &world.sources.borrow(), &world.maps)
        };
        stage.describe(&description)?;
        chain.push(Box::new(stage));
    }
    Ok(())
}
