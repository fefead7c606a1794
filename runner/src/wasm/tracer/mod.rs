// SPDX-License-Identifier: MIT
//! Modules that own their tracer: the BPF object is inside of the module, which loads it, attaches
//! its programs, and shows what they find. They import from `wasm_bpf`, the interface of the
//! wasm-bpf project, as part 2 of `runner/WASM.md` specifies it, and from WASI.

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
use crate::sys::Signals;
use crate::talk::Talk;
use console::Console;
use interrupts::Interrupts;
use objects::Objects;

/// The name that modules import from.
pub(crate) const MODULE: &str = "wasm_bpf";

/// Modules of TinyGo import `wasm_bpf_buffer_poll` from one of these, and export the callback by
/// the other's name.
pub(crate) const WRAPPERS: [&str; 2] = ["callback-wrapper", "go-callback"];

/// What a tracer's module is run with.
#[derive(Debug, Clone, Default)]
pub(crate) struct TracerPlan {
    /// Its arguments, the first being the module's file name.
    pub arguments: Vec<String>,
    /// A file instead of standard output.
    pub output: Option<PathBuf>,
    /// Its environment.
    pub environment: Vec<(String, String)>,
    /// Directories whose files it may read.
    pub directories: Vec<PathBuf>,
    /// Its objects are loaded as they are, without counts of what their buffers lose.
    pub as_is: bool,
    /// Bytes that the maps of an object may take.
    pub max_memory: Option<u64>,
}

/// What a module's host functions know.
#[derive(Debug)]
struct State {
    memory: Option<Memory>,
    limiter: Limiter,
    wasi: Wasi,
    console: Console,
    objects: Objects,
    talk: Talk,
    /// It was told that a record was cut.
    was_cut: bool,
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

/// Runs a module to its end; its exit code, or 0 where a signal or the reader of the output ended
/// it. `name` is what messages call it.
///
/// # Errors
/// When it cannot be run, or fails. What it had loaded is detached, and what it had written is
/// written, in any case.
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
        objects: Objects::new(!plan.as_is, plan.max_memory),
        talk: talk.clone(),
        was_cut: false,
    });
    let result = start(&mut store, module, name);
    let State { console, mut objects, limiter, .. } = store.into_data();
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
    // An epoch that went on before the store was there would not be seen.
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
