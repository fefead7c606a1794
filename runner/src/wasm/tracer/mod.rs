// SPDX-License-Identifier: MIT
//! Modules that load their own tracer: the BPF object is in the module, which loads it, attaches
//! its programs, and prints what they find. They import from WASI and from `wasm_bpf`, the
//! interface of the wasm-bpf project, which part 2 of `runner/WASM.md` specifies.

mod buffer;
mod calls;
mod console;
mod end;
mod interrupts;
mod maps;
mod objects;
mod poll;
mod tally;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use wasmtime::{Linker, Memory, Module, Store};

use super::engine::{Engine, Limited, Limiter};
use super::memory::Guest;
use super::wasi::{self, HasWasi, Streams, Wasi};
use crate::failure::{self, Failure};
use crate::output::Sink;
use crate::policy::Rules;
use crate::sys::Signals;
use crate::talk::Talk;
use console::Console;
use interrupts::Interrupts;
use objects::Objects;

/// The import module of the interface.
pub(crate) const MODULE: &str = "wasm_bpf";

/// TinyGo modules import `wasm_bpf_buffer_poll` from one of these modules, and export the callback
/// under the other name.
pub(crate) const WRAPPERS: [&str; 2] = ["callback-wrapper", "go-callback"];

/// How to run a tracer module.
#[derive(Debug, Clone, Default)]
pub(crate) struct TracerPlan {
    /// Its arguments; the first is the module's file name.
    pub arguments: Vec<String>,
    /// The file for standard output.
    pub output: Option<PathBuf>,
    /// Its environment.
    pub environment: Vec<(String, String)>,
    /// Directories that it may read.
    pub directories: Vec<PathBuf>,
    /// Whether to load its objects unchanged, without counting losses.
    pub as_is: bool,
    /// The maximum number of bytes that the maps of an object may take.
    pub max_memory: Option<u64>,
    /// What its objects may do.
    pub rules: Vec<Rules>,
}

/// The data of a module's host functions.
#[derive(Debug)]
struct State {
    memory: Option<Memory>,
    limiter: Limiter,
    wasi: Wasi,
    console: Console,
    objects: Objects,
    talk: Talk,
    /// Whether a truncated record has been reported.
    was_cut: bool,
    /// Why an object was refused by the rules, which ends the module.
    refused: Option<Failure>,
}

impl Guest for State {
    fn memory(&mut self) -> &mut Option<Memory> {
        &mut self.memory
    }
}

impl Limited for State {
    fn limiter(&mut self) -> &mut Limiter {
        &mut self.limiter
    }
}

impl HasWasi for State {
    fn wasi(&mut self) -> &mut Wasi {
        &mut self.wasi
    }

    fn streams(&mut self) -> &mut dyn Streams {
        &mut self.console
    }
}

/// Runs a module to its end. Returns its exit code, or 0 if a signal or a closed reader ended it.
/// Messages refer to the module by `name`.
///
/// # Errors
/// Returns an error if it cannot run or fails. In any case, its programs are detached and its
/// output is written.
pub(crate) fn run(
    engine: &Engine,
    module: &Module,
    name: &str,
    plan: &TracerPlan,
    signals: &Signals,
    talk: &Talk,
) -> Result<u8, Failure> {
    let wasi = Wasi::new(plan.arguments.clone(), &plan.environment, &plan.directories)?;
    let sink = Sink::open(plan.output.as_ref())?;
    let running = engine.inner().clone();
    let interrupts = Interrupts::watch(signals, move || running.increment_epoch())
        .map_err(failure::system("cannot watch for signals"))?;
    let mut store = engine.store(State {
        memory: None,
        limiter: engine.limiter(),
        wasi,
        console: Console::new(sink, interrupts),
        objects: Objects::new(name, plan),
        talk: talk.clone(),
        was_cut: false,
        refused: None,
    });
    let result = start(&mut store, module, name);
    let State { console, mut objects, limiter, refused, .. } = store.into_data();
    let result = refused.map_or(result, |failure| Err(failure.into()));
    objects.close_all();
    talk.detail("detached");
    let code = end::of(result, console, signals, name, &limiter, talk);
    objects.tally.close(talk);
    code
}

/// Links a module, and calls its `_start`.
fn start(store: &mut Store<State>, module: &Module, name: &str) -> Result<(), end::Stopped> {
    let mut linker = Linker::new(module.engine());
    link(&mut linker).map_err(end::Stopped::Running)?;
    end::check_imports(&linker, store, module, name)?;
    // An epoch change before the store existed would be missed.
    store.data_mut().console.check_end()?;
    let instance = linker.instantiate(&mut *store, module);
    let instance = instance.map_err(|error| end::not_linked(error, name))?;
    let start = instance.get_typed_func::<(), ()>(&mut *store, "_start");
    let start = start.map_err(|_| end::no_start(name))?;
    start.call(&mut *store, ()).map_err(end::Stopped::Running)
}

fn link(linker: &mut Linker<State>) -> Result<(), wasmtime::Error> {
    wasi::link(linker)?;
    calls::link(linker)
}
