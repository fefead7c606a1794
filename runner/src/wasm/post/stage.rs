// SPDX-License-Identifier: MIT
//! A running module: its functions, and the batch of records for its next call.

use std::ops::Range;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use bpfpack_frame::Time;
use wasmtime::{Instance, Linker, Memory, Module, Store, TypedFunc, UpdateDeadline};

use super::imports;
use super::state::{Emitted, State, World};
use crate::failure::{Failure, exit_code};
use crate::wasm::engine::{Engine, missing_imports};
use crate::wasm::wasi::{self, Exit, Wasi};
use crate::wasm::watch::Watch;
use crate::wasm::{memory, trap};

/// Size of a batch in bytes, unless a record needs more. It should fit the CPU cache.
const ROOM: usize = 64 << 10;

/// Bytes before each record of a batch.
const HEADER: usize = 8;

/// The return value of a function that ends the run.
const ENOUGH: i32 = 1;

/// A function for records or rows: source, address, length, time.
type Take = TypedFunc<(u32, u32, u32, i64), i32>;

/// A module.
#[derive(Debug)]
pub(crate) struct PostProcessor {
    /// When the data in the batch was read.
    pub(super) time: Time,
    /// Rows of a reading.
    pub(super) rows: Vec<u8>,
    store: Store<State>,
    memory: Memory,
    watch: Rc<Watch>,
    functions: Functions,
    batch: Batch,
    next_tick: Option<Instant>,
    /// The module has exited and is not called any more.
    is_over: bool,
    /// The indexes of the sources that it has declared. Sources with higher indexes were declared
    /// later.
    declared: Range<usize>,
}

/// The functions that it exports.
struct Functions {
    alloc: TypedFunc<u32, u32>,
    start: Option<TypedFunc<(u32, u32), i32>>,
    records: Option<Take>,
    sample: Option<Take>,
    tick: Option<TypedFunc<i64, i32>>,
    end: Option<TypedFunc<(), i32>>,
}

impl std::fmt::Debug for Functions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Functions").finish_non_exhaustive()
    }
}

impl Functions {
    fn do_nothing(&self) -> bool {
        let Functions { start, records, sample, tick, end, .. } = self;
        start.is_none() && records.is_none() && sample.is_none() && tick.is_none() && end.is_none()
    }
}

/// Records that are passed to the module in one call.
#[derive(Debug, Default)]
struct Batch {
    at: u32,
    room: usize,
    used: usize,
    source: u32,
}

/// The time limit was reached.
#[derive(Debug, thiserror::Error)]
#[error("it took longer than {0:?}")]
struct TooLong(Duration);

impl PostProcessor {
    /// Instantiates a module and starts it.
    pub(super) fn start(
        engine: &Engine,
        module: &Module,
        watch: &Rc<Watch>,
        world: &Rc<World>,
        (name, parameters): (&str, Vec<(String, String)>),
        wasi: Wasi,
    ) -> Result<PostProcessor, Failure> {
        let limit = engine.limits().time;
        let state = State::new(world, name, parameters, wasi, engine.limiter(), limit);
        let mut store = engine.store(state);
        store.epoch_deadline_callback(move |context| match context.data().began.elapsed() {
            // The epoch was meant for a call that has ended.
            elapsed if elapsed < limit => Ok(UpdateDeadline::Continue(1)),
            _ => Err(TooLong(limit).into()),
        });
        let unusable = |text: String| Failure::new(exit_code::MODULE, anyhow!("`{name}` {text}"));
        let mut linker = Linker::new(engine.inner());
        imports::link(&mut linker).map_err(|error| unusable(format!("cannot run: {error:#}")))?;
        wasi::link(&mut linker).map_err(|error| unusable(format!("cannot run: {error:#}")))?;
        check_imports(&linker, &mut store, module, name)?;
        watch.begin();
        store.data_mut().began = Instant::now();
        let instance = linker.instantiate(&mut store, module);
        watch.end();
        let instance = instance.map_err(|error| match trap::has_run(&error) {
            true => failed(&mut store, "the beginning", &error),
            false => store.data().limiter.explain(unusable(format!("cannot run: {error:#}"))),
        })?;
        let exports = Exports { name, instance };
        let memory = instance.get_memory(&mut store, "memory");
        let memory = memory.ok_or_else(|| unusable("exports no `memory`".to_owned()))?;
        let version: TypedFunc<(), i32> = exports.needed(&mut store, "bpfpack_version")?;
        let functions = Functions {
            alloc: exports.needed(&mut store, "bpfpack_alloc")?,
            start: exports.optional(&mut store, "bpfpack_start")?,
            records: exports.optional(&mut store, "bpfpack_records")?,
            sample: exports.optional(&mut store, "bpfpack_sample")?,
            tick: exports.optional(&mut store, "bpfpack_tick")?,
            end: exports.optional(&mut store, "bpfpack_end")?,
        };
        let does_nothing = functions.do_nothing();
        let mut stage = PostProcessor {
            time: Time::now(),
            rows: Vec::new(),
            store,
            memory,
            watch: Rc::clone(watch),
            functions,
            batch: Batch::default(),
            next_tick: None,
            is_over: false,
            declared: 0..0,
        };
        for begin in ["_initialize", "_start"] {
            let function: Option<TypedFunc<(), ()>> = exports.optional(&mut stage.store, begin)?;
            if let Some(function) = function {
                // Commands exit at the end of `_start`; their functions stay usable.
                let _ = stage.call(begin, |store| function.call(store, ()))?;
                break;
            }
        }
        let version = stage.call("bpfpack_version", |store| version.call(store, ()))?;
        let version = version.unwrap_or(0);
        if version != super::VERSION {
            let text = format!(
                "uses version {version} of the interface; this ecli uses version {}",
                super::VERSION
            );
            return Err(unusable(text).hint("build it for this version, or use another ecli"));
        }
        if does_nothing {
            return Err(unusable(
                "exports none of bpfpack_start, bpfpack_records, bpfpack_sample, bpfpack_tick, \
                 bpfpack_end: it would have no effect"
                    .to_owned(),
            ));
        }
        Ok(stage)
    }

    /// Calls `bpfpack_start`, if it exists, with the description.
    pub(super) fn describe(&mut self, description: &str) -> Result<(), Failure> {
        let before = self.world().sources.borrow().len();
        if let Some(start) = self.functions.start.clone() {
            let (at, len) = self.hand_over(description.as_bytes())?;
            self.store.data_mut().is_starting = true;
            self.finish("bpfpack_start", |store| start.call(store, (at, len)))?;
            self.store.data_mut().is_starting = false;
        }
        let after = self.world().sources.borrow().len();
        self.declared = before..after;
        Ok(())
    }

    /// The data that all modules share.
    pub(super) fn world(&self) -> &World {
        &self.store.data().world
    }

    /// The indexes of the sources that it has declared.
    pub(super) fn declared(&self) -> Range<usize> {
        self.declared.clone()
    }

    /// Its name in messages.
    pub(super) fn name(&self) -> &str {
        &self.store.data().name
    }

    /// Its arguments from `--wasm-arg`.
    pub(super) fn parameters(&self) -> &[(String, String)] {
        &self.store.data().parameters
    }

    /// Whether it handles the records of a source.
    pub(super) fn takes_records(&self, source: usize) -> bool {
        self.functions.records.is_some() && source < self.declared.end
    }

    /// Whether it handles the readings of a source.
    pub(super) fn takes_rows(&self, source: usize) -> bool {
        self.functions.sample.is_some() && source < self.declared.end
    }

    /// Adds records to the batch until it is full. Returns how many were added.
    pub(super) fn add(&mut self, source: u32, kind: u16, cpu: u16, records: &[&[u8]]) -> usize {
        let Batch { at, room, mut used, source: of } = self.batch;
        if of != source && used > 0 {
            return 0;
        }
        let memory = self.memory.data_mut(&mut self.store).get_mut(at as usize..);
        let Some(place) = memory.and_then(|memory| memory.get_mut(..room)) else { return 0 };
        let mut added = 0;
        for record in records {
            let padded = HEADER + record.len().next_multiple_of(8);
            let Some(place) = place.get_mut(used..used + padded) else { break };
            used += padded;
            let (header, place) = place.split_at_mut(HEADER);
            header[..4].copy_from_slice(&(record.len() as u32).to_le_bytes());
            header[4..6].copy_from_slice(&kind.to_le_bytes());
            header[6..].copy_from_slice(&cpu.to_le_bytes());
            let (bytes, padding) = place.split_at_mut(record.len());
            bytes.copy_from_slice(record);
            padding.fill(0);
            added += 1;
        }
        self.batch = Batch { at, room, used, source };
        added
    }

    /// Makes room for a record of this size in the empty batch.
    pub(super) fn make_room(&mut self, record: usize) -> Result<(), Failure> {
        let needed = (HEADER + record.next_multiple_of(8)).max(ROOM);
        if self.batch.room < needed {
            let room = needed.next_power_of_two();
            self.batch = Batch { at: self.alloc(room)?, room, ..Batch::default() };
        }
        Ok(())
    }

    /// Whether the batch has records.
    pub(super) fn has_batch(&self) -> bool {
        self.batch.used > 0
    }

    /// Passes the batch to the module.
    pub(super) fn hand_over_batch(&mut self) -> Result<(), Failure> {
        let time = self.time.monotonic as i64;
        let Batch { at, used, source, .. } = self.batch;
        self.batch.used = 0;
        let Some(records) = self.functions.records.clone().filter(|_| used > 0) else {
            return Ok(());
        };
        let arguments = (source, at, used as u32, time);
        self.finish("bpfpack_records", |store| records.call(store, arguments))
    }

    /// Passes the rows of a reading to the module.
    pub(super) fn sample(&mut self, source: u32, rows: &[u8]) -> Result<(), Failure> {
        let time = self.time.monotonic as i64;
        let Some(sample) = self.functions.sample.clone().filter(|_| !self.is_over) else {
            return Ok(());
        };
        let (at, len) = self.hand_over(rows)?;
        self.finish("bpfpack_sample", |store| sample.call(store, (source, at, len, time)))
    }

    /// When its next tick is due.
    pub(super) fn next_tick(&self) -> Option<Instant> {
        self.next_tick
    }

    /// Calls its tick function if it is due.
    pub(super) fn tick(&mut self, now: Instant) -> Result<(), Failure> {
        let time = self.time.monotonic as i64;
        let (Some(tick), Some(next)) = (self.functions.tick.clone(), self.next_tick) else {
            return Ok(());
        };
        if now < next {
            return Ok(());
        }
        // Avoids a burst of calls after the machine was suspended.
        let every = self.store.data().every;
        self.next_tick =
            every.map(|every| if next + every > now { next + every } else { now + every });
        self.finish("bpfpack_tick", |store| tick.call(store, time))
    }

    /// Calls its end function.
    pub(super) fn call_end(&mut self) -> Result<(), Failure> {
        let Some(end) = self.functions.end.clone() else { return Ok(()) };
        self.finish("bpfpack_end", |store| end.call(store, ()))
    }

    /// Shows incomplete lines that it has printed.
    pub(super) fn end_lines(&mut self) {
        self.store.data_mut().end_lines();
    }

    /// The exit code with which it ends the run.
    pub(super) fn stop(&self) -> Option<u8> {
        self.store.data().stop
    }

    /// Takes what it has emitted.
    pub(super) fn take_emitted(&mut self) -> (Vec<Emitted>, Vec<u8>) {
        self.store.data_mut().take_emitted()
    }

    /// Returns the buffers of what was taken, so that they are reused.
    pub(super) fn give_back(&mut self, mut emitted: Vec<Emitted>, mut bytes: Vec<u8>) {
        emitted.clear();
        bytes.clear();
        let state = self.store.data_mut();
        (state.emitted, state.bytes) = (emitted, bytes);
    }

    /// Copies bytes into the memory of the batch, which is empty.
    fn hand_over(&mut self, bytes: &[u8]) -> Result<(u32, u32), Failure> {
        self.make_room(bytes.len())?;
        let at = self.batch.at;
        let len = bytes.len() as u32;
        match memory::bytes_mut(&mut self.store, self.memory, at, len) {
            Ok(place) => place.copy_from_slice(bytes),
            Err(error) => return Err(self.bad_room(&error.to_string())),
        }
        Ok((at, len))
    }

    /// Allocates memory in the module.
    fn alloc(&mut self, size: usize) -> Result<u32, Failure> {
        let Ok(wanted) = u32::try_from(size) else {
            return Err(self.bad_room("more than 4 GB are needed"));
        };
        let alloc = self.functions.alloc.clone();
        let at = self.call("bpfpack_alloc", |store| alloc.call(store, wanted))?;
        let Some(at) = at else { return Err(self.bad_room("it ended itself")) };
        if at == 0 {
            return Err(self.bad_room(&format!("it has no memory for {size} bytes")));
        }
        if at % 8 != 0 {
            return Err(
                self.bad_room(&format!("it returned {at:#x}, which is not a multiple of 8"))
            );
        }
        match memory::bytes(&self.store, self.memory, at, wanted) {
            Ok(_) => Ok(at),
            Err(error) => Err(self.bad_room(&error.to_string())),
        }
    }

    fn bad_room(&self, why: &str) -> Failure {
        let error = anyhow!("`bpfpack_alloc` of `{}`: {why}", self.name());
        self.store.data().limiter.explain(Failure::new(exit_code::MODULE_FAILED, error))
    }

    /// Calls a function and handles its result.
    fn finish(
        &mut self,
        function: &str,
        call: impl FnOnce(&mut Store<State>) -> wasmtime::Result<i32>,
    ) -> Result<(), Failure> {
        if self.is_over {
            return Ok(());
        }
        let answer = self.call(function, call)?;
        self.is_over = answer.is_none();
        let state = self.store.data_mut();
        match answer.unwrap_or(ENOUGH) {
            0 => {}
            ENOUGH => state.stop = state.stop.or(Some(0)),
            other => {
                let error = anyhow!("`{function}` of `{}` failed: it returned {other}", state.name);
                return Err(Failure::new(exit_code::MODULE_FAILED, error));
            }
        }
        // Without a tick function, nothing is due.
        let every = state.every.filter(|_| self.functions.tick.is_some());
        let next = self.next_tick;
        match (every, next) {
            (None, _) => self.next_tick = None,
            (Some(every), None) => self.next_tick = Some(Instant::now() + every),
            // A shorter interval takes effect at once.
            (Some(every), Some(next)) => self.next_tick = Some(next.min(Instant::now() + every)),
        }
        Ok(())
    }

    /// Calls a function within the time limit. Returns `None` if the module has exited with code 0.
    fn call<R>(
        &mut self,
        function: &str,
        call: impl FnOnce(&mut Store<State>) -> wasmtime::Result<R>,
    ) -> Result<Option<R>, Failure> {
        self.store.set_epoch_deadline(1);
        self.store.data_mut().began = Instant::now();
        self.watch.begin();
        let result = call(&mut self.store);
        self.watch.end();
        match result {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if error.downcast_ref() == Some(&Exit(0)) => Ok(None),
            Err(error) => Err(failed(&mut self.store, function, &error)),
        }
    }
}

/// Looks up the exports of a module.
struct Exports<'a> {
    name: &'a str,
    instance: Instance,
}

impl Exports<'_> {
    fn needed<P: wasmtime::WasmParams, R: wasmtime::WasmResults>(
        &self,
        store: &mut Store<State>,
        function: &str,
    ) -> Result<TypedFunc<P, R>, Failure> {
        self.optional(store, function)?.ok_or_else(|| {
            let error = anyhow!("`{}` exports no `{function}`", self.name);
            Failure::new(exit_code::MODULE, error)
        })
    }

    fn optional<P: wasmtime::WasmParams, R: wasmtime::WasmResults>(
        &self,
        store: &mut Store<State>,
        function: &str,
    ) -> Result<Option<TypedFunc<P, R>>, Failure> {
        let Some(found) = self.instance.get_func(&mut *store, function) else { return Ok(None) };
        found.typed(&*store).map(Some).map_err(|error| {
            let error = anyhow!("`{function}` of `{}` has the wrong type: {error:#}", self.name);
            Failure::new(exit_code::MODULE, error)
        })
    }
}

/// Reports all missing imports together.
fn check_imports(
    linker: &Linker<State>,
    store: &mut Store<State>,
    module: &Module,
    name: &str,
) -> Result<(), Failure> {
    let missing: Vec<String> = missing_imports(linker, store, module)
        .iter()
        .map(|import| format!("{}.{}", import.module(), import.name()))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let error =
        anyhow!("`{name}` imports functions that ecli does not have: {}", missing.join(", "));
    let failure = Failure::new(exit_code::MODULE, error);
    Err(match missing.iter().any(|import| import.starts_with("wasm_bpf.")) {
        true => failure.hint("it seems to be a whole tracer: ecli run X.wasm"),
        false => failure.hint("runner/WASM.md lists the functions"),
    })
}

/// The failure of a call.
fn failed(store: &mut Store<State>, function: &str, error: &wasmtime::Error) -> Failure {
    let state = store.data_mut();
    let complaint = state.complaint.take();
    let has_said = complaint.is_some();
    let cause = match complaint {
        Some(said) => format!("it says: {said}"),
        None => trap::cause(error, state.limiter.was_hit),
    };
    let text = anyhow!("`{function}` of `{}` failed: {cause}", state.name);
    let failure = Failure::new(exit_code::MODULE_FAILED, text);
    // The module's own message is more useful than the location.
    let details = match has_said {
        true => None,
        false => trap::frames(error),
    };
    // What it printed meanwhile with `--quiet` may be the reason.
    let details = [state.take_last_words(), details].into_iter().flatten().collect::<Vec<_>>();
    let failure = failure.details(details.join("\n"));
    if error.is::<TooLong>() {
        return failure.hint("--wasm-time sets the limit");
    }
    state.limiter.explain(failure)
}
