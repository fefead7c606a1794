// SPDX-License-Identifier: MIT
//! Post-processors: modules that see what a package finds before it is shown. runner/WASM.md is the
//! interface's specification.
//!
//! [`Chain`] stands between the buffers and readings on one side and the output on the other: a
//! record goes into the batch of the first module that wants it; what a module emits goes to the
//! next one, and behind the last to the output.

mod declare;
mod describe;
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
use std::time::Instant;

use anyhow::anyhow;
use libbpf_rs::Object;
use rustix::time::{ClockId, clock_gettime};
use wasmtime::Module;

use crate::collect::maps::Entry;
use crate::failure::{Failure, exit_code, system};
use crate::os;
use crate::render::Output;
use crate::symbols::Setup;
use crate::view::{Stream, View};
use crate::wasm::engine::Engine;
use crate::wasm::wasi::Wasi;
use crate::wasm::watch::Watch;
use describe::{About, describe};
pub use maps::Table;
use sources::{Row, Source, What};
use stage::Stage;
use state::{Emitted, World};

/// The version of the interface.
pub const VERSION: i32 = 1;

/// Bytes of output that may wait while modules go on: what a call emits may be shown as much more,
/// and modules in a row may each make more of it.
const MOST_WAITING: usize = 256 << 20;

/// The CPU of records whose buffer does not tell.
const NO_CPU: u16 = u16::MAX;

/// A compiled module, and what the command line says to it.
#[derive(Debug)]
pub struct Compiled {
    /// What messages call it.
    pub name: String,
    /// The module.
    pub module: Module,
    /// Names and values.
    pub parameters: Vec<(String, String)>,
}

/// What modules are told of the package.
#[derive(Debug)]
pub struct Package<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its arguments' values, by their variables.
    pub arguments: &'a [(String, String)],
    /// The name of the output's format.
    pub format: &'a str,
    /// The members that the user wants to see; all where there are none.
    pub fields: &'a [String],
    /// Nothing but errors on stderr.
    pub is_quiet: bool,
    /// What finds names of addresses.
    pub symbols: Setup,
    /// The environment of modules.
    pub environment: &'a [(String, String)],
    /// The folders that they may read.
    pub directories: &'a [PathBuf],
}

/// The modules of a run.
#[derive(Debug)]
pub struct Chain {
    stages: Vec<Stage>,
    world: Rc<World>,
    /// How many of the sources are buffers.
    streams: usize,
    /// The exit code that a module ended the run with.
    stop: Option<u8>,
    /// When what is being handed over was read.
    time: i64,
    /// Rows of a reading, to be handed over.
    rows: Vec<u8>,
    /// How often a module was called with records.
    calls: u64,
}

impl Chain {
    /// Starts the modules. The streams and views are the package's, in their order.
    pub fn start(
        engine: &Engine,
        modules: &[Compiled],
        package: &Package<'_>,
        object: &Object,
        streams: &[Arc<Stream>],
        views: &[Arc<View>],
    ) -> Result<Chain, Failure> {
        let cpus = libbpf_rs::num_possible_cpus().map_err(system("can not tell how many CPUs"))?;
        Chain::of(engine, modules, package, (cpus, Table::of(object)?), streams, views)
    }

    /// Likewise, with maps that were found before.
    pub fn of(
        engine: &Engine,
        modules: &[Compiled],
        package: &Package<'_>,
        (cpus, maps): (usize, Table),
        streams: &[Arc<Stream>],
        views: &[Arc<View>],
    ) -> Result<Chain, Failure> {
        let of_stream = |stream: &Arc<Stream>| Source {
            name: stream.name.clone(),
            what: What::Records(Arc::clone(stream)),
            is_declared: false,
        };
        let of_view = |view: &Arc<View>| Source {
            name: view.name.clone(),
            what: What::Rows(Arc::clone(view), Row::of(view)),
            is_declared: false,
        };
        let sources: Vec<Source> =
            streams.iter().map(of_stream).chain(views.iter().map(of_view)).collect();
        let world = Rc::new(World {
            of_package: sources.len(),
            sources: RefCell::new(sources),
            package: package.name.to_owned(),
            format: package.format.to_owned(),
            arguments: package.arguments.to_vec(),
            maps,
            fields: package.fields.to_vec(),
            symbols: RefCell::new(None),
            symbols_setup: package.symbols.clone(),
            is_quiet: package.is_quiet,
        });
        let watch = Watch::start(engine.inner().clone(), engine.limits().time);
        let watch = Rc::new(watch.map_err(system("can not start a thread"))?);
        let mut chain = Chain {
            stages: Vec::new(),
            world: Rc::clone(&world),
            streams: streams.len(),
            stop: None,
            time: now(),
            rows: Vec::new(),
            calls: 0,
        };
        for Compiled { name, module, parameters } in modules {
            let wasi = Wasi::new(Vec::new(), package.environment, package.directories)?;
            let mut stage =
                Stage::start(engine, module, &watch, &world, (name, parameters.clone()), wasi)?;
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
            chain.stages.push(stage);
        }
        for at in 0..chain.stages.len() {
            chain.note_stop(at);
        }
        Ok(chain)
    }

    /// Shows what modules have said while they were started.
    pub fn begin(&mut self, output: &mut dyn Output) -> Result<(), Failure> {
        (0..self.stages.len()).try_for_each(|stage| self.deliver(stage, Ok(()), output))
    }

    /// How often a module was called with records: each of these calls may have taken its time.
    #[inline]
    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// How many sources modules have declared.
    pub fn count_declared(&self) -> usize {
        self.world.sources.borrow().len() - self.world.of_package
    }

    /// The streams among them.
    pub fn declared(&self) -> Vec<Arc<Stream>> {
        let sources = self.world.sources.borrow();
        let stream = |source: &Source| match &source.what {
            What::Records(stream) if source.is_declared => Some(Arc::clone(stream)),
            _ => None,
        };
        sources.iter().filter_map(stream).collect()
    }

    /// Whether any module wants readings.
    pub fn takes_samples(&self) -> bool {
        self.stages.iter().any(Stage::takes_samples)
    }

    /// The exit code that a module has ended the run with, if one has.
    pub fn stopped(&self) -> Option<u8> {
        self.stop
    }

    /// When a module wants to be called, though nothing has come.
    pub fn next_tick(&self) -> Option<Instant> {
        self.stages.iter().filter_map(Stage::next_tick).min()
    }

    /// What follows was read now.
    pub fn now(&mut self) {
        self.time = now();
    }

    /// Takes a record of a buffer; false where nothing of what it should be is in it.
    #[inline]
    pub fn record(
        &mut self,
        stream: &Stream,
        cpu: Option<u16>,
        record: &[u8],
        output: &mut dyn Output,
    ) -> Result<bool, Failure> {
        let kind = stream.kind(record);
        if stream.kinds[kind].is_malformed(record) {
            return Ok(false);
        }
        self.hand_on(0, stream, (kind, cpu.unwrap_or(NO_CPU)), record, output)?;
        Ok(true)
    }

    /// Takes a reading of a view, by its number among them.
    pub fn sample(
        &mut self,
        view: usize,
        entries: &[Entry],
        output: &mut dyn Output,
    ) -> Result<(), Failure> {
        self.time = now();
        let source = (self.streams + view) as u32;
        let Some((view, row)) = self.view(source) else { return Ok(()) };
        if !self.stages.iter().any(|stage| stage.takes_rows(source)) {
            output.reading(&view, entries);
            return Ok(());
        }
        let mut rows = std::mem::take(&mut self.rows);
        rows.clear();
        entries.iter().for_each(|entry| row.put(entry, &mut rows));
        let result = self.hand_rows_on(0, source, &rows, output);
        self.rows = rows;
        result?;
        self.flush(output)
    }

    /// Calls the modules whose time has come.
    pub fn tick(&mut self, output: &mut dyn Output) -> Result<(), Failure> {
        let at = Instant::now();
        self.time = now();
        for stage in 0..self.stages.len() {
            let result = self.stages[stage].tick(at, self.time);
            self.deliver(stage, result, output)?;
        }
        self.flush(output)
    }

    /// Hands over what waits in batches.
    pub fn flush(&mut self, output: &mut dyn Output) -> Result<(), Failure> {
        (0..self.stages.len()).try_for_each(|stage| self.flush_stage(stage, output))
    }

    /// Tells all modules that the run is over.
    pub fn end(&mut self, output: &mut dyn Output) -> Result<(), Failure> {
        self.time = now();
        for stage in 0..self.stages.len() {
            self.flush_stage(stage, output)?;
            let result = self.stages[stage].end();
            self.stages[stage].end_lines();
            self.deliver(stage, result, output)?;
        }
        Ok(())
    }

    /// Gives a record to the first module from a place on that wants it, or to the output.
    #[inline]
    fn hand_on(
        &mut self,
        from: usize,
        stream: &Stream,
        (kind, cpu): (usize, u16),
        record: &[u8],
        output: &mut dyn Output,
    ) -> Result<(), Failure> {
        // A stream's index is its number among the sources.
        let (source, kind) = (stream.index as u32, kind as u16);
        let takes = |stage: &usize| self.stages[*stage].takes_records(source);
        let Some(stage) = (from..self.stages.len()).find(takes) else {
            output.record(stream, record);
            return Ok(());
        };
        if self.stages[stage].add(source, kind, cpu, record) {
            return Ok(());
        }
        self.flush_stage(stage, output)?;
        self.stages[stage].make_room(record.len())?;
        match self.stages[stage].add(source, kind, cpu, record) {
            true => Ok(()),
            false => {
                let name = self.stages[stage].name();
                let error = anyhow!("`{name}` can not take a record of {} bytes", record.len());
                Err(Failure::new(exit_code::MODULE_FAILED, error))
            }
        }
    }

    fn hand_rows_on(
        &mut self,
        from: usize,
        source: u32,
        rows: &[u8],
        output: &mut dyn Output,
    ) -> Result<(), Failure> {
        let takes = |stage: &usize| self.stages[*stage].takes_rows(source);
        let Some(stage) = (from..self.stages.len()).find(takes) else {
            if let Some((view, row)) = self.view(source) {
                output.reading(&view, &row.entries(rows));
            }
            return Ok(());
        };
        self.flush_stage(stage, output)?;
        let result = self.stages[stage].sample(source, rows, self.time);
        self.deliver(stage, result, output)
    }

    fn flush_stage(&mut self, stage: usize, output: &mut dyn Output) -> Result<(), Failure> {
        if !self.stages[stage].has_batch() {
            return Ok(());
        }
        self.calls += 1;
        let result = self.stages[stage].flush(self.time);
        self.deliver(stage, result, output)
    }

    /// Hands on what a module has emitted; then the call's own failure, so that nothing that was
    /// emitted before is lost.
    fn deliver(
        &mut self,
        stage: usize,
        result: Result<(), Failure>,
        output: &mut dyn Output,
    ) -> Result<(), Failure> {
        if result.is_err() {
            self.stages[stage].end_lines();
        }
        let (emitted, bytes) = self.stages[stage].take_emitted();
        let mut rest = &bytes[..];
        for what in &emitted {
            let (Emitted::Record { len, .. }
            | Emitted::Rows { len, .. }
            | Emitted::Text { len }
            | Emitted::Json { len }) = *what;
            let (these, others) = rest.split_at(len);
            rest = others;
            match *what {
                Emitted::Record { source, .. } => {
                    if let Some(What::Records(stream)) = self.what(source) {
                        let place = (stream.kind(these), NO_CPU);
                        self.hand_on(stage + 1, &stream, place, these, output)?;
                    }
                }
                Emitted::Rows { source, .. } => {
                    self.hand_rows_on(stage + 1, source, these, output)?;
                }
                Emitted::Text { .. } => output.text(these),
                Emitted::Json { .. } => output.json(these),
            }
            if output.waiting() > MOST_WAITING {
                let name = self.stages[stage].name();
                let error = anyhow!("`{name}` shows more than {} MB at once", MOST_WAITING >> 20);
                return Err(Failure::new(exit_code::MODULE_FAILED, error));
            }
        }
        self.stages[stage].give_back(emitted, bytes);
        self.note_stop(stage);
        result
    }

    fn note_stop(&mut self, stage: usize) {
        let stop = self.stages[stage].take_stop();
        self.stop = self.stop.or(stop);
    }

    fn what(&self, source: u32) -> Option<What> {
        self.world.sources.borrow().get(source as usize).map(|source| source.what.clone())
    }

    fn view(&self, source: u32) -> Option<(Arc<View>, Row)> {
        match self.what(source) {
            Some(What::Rows(view, row)) => Some((view, row)),
            _ => None,
        }
    }
}

/// CLOCK_MONOTONIC in nanoseconds, as programs' bpf_ktime_get_ns.
fn now() -> i64 {
    os::nanoseconds(clock_gettime(ClockId::Monotonic)) as i64
}
