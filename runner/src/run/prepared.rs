// SPDX-License-Identifier: MIT
//! Prepares a run before its programs are attached, so that no record is missed.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bpfpack_frame::{Chain, Entry};
use bpfpack_render::{Format, FormatKind, LiveSettings, Settings, Symbolize as _, Terminal};
use bpfpack_spec::{Spec, View, check_fields};
use libbpf_rs::Object;

use crate::args::{OutputPlan, Plan};
use crate::context::Context;
use crate::failure::Failure;
use crate::keyboard::{self, Keyboard};
use crate::memory;
use crate::metrics::Metrics;
use crate::os;
use crate::output::with_formats;
use crate::source::Buffer;
use crate::source::maps::Reader;
use crate::spec;
use crate::symbolizer::{SharedSymbols, Symbolizer};
use crate::symbols::{Hurry, Patience, Setup, Symbols};
use crate::sys;
use crate::wasm;

/// Names the addresses of stacks.
pub(crate) type SharedSymbolizer = Rc<RefCell<Symbolizer>>;

/// Everything that is bound to a loaded object before its programs are attached.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// All sources, including those of stages.
    pub(crate) spec: Spec,
    pub(crate) chain: Chain,
    pub(crate) buffers: Vec<Buffer>,
    pub(crate) readers: Vec<(Arc<View>, Reader)>,
    pub(crate) formats: Vec<(OutputPlan, Box<dyn Format>)>,
    /// Whether readings are drawn in place on the terminal.
    pub(crate) is_live: bool,
    /// Names stacks, if any are shown with names.
    pub(crate) symbolizer: Option<SharedSymbolizer>,
    pub(crate) hurry: Hurry,
    /// The metrics, if any are served.
    pub(crate) metrics: Option<Metrics>,
    /// Makes the formats of clients.
    pub(crate) make_format: MakeFormat,
}

/// Makes a format, with meanings or without.
pub(crate) struct MakeFormat(Box<dyn Fn(&'static FormatKind, bool) -> Box<dyn Format>>);

impl MakeFormat {
    /// Makes formats with the options of a plan.
    fn new(plan: &Plan, symbolizer: bpfpack_render::SharedSymbolizer) -> MakeFormat {
        let (timestamps, time) = (plan.timestamp, plan.time);
        MakeFormat(Box::new(move |kind, meanings| {
            let symbolizer = Some(Rc::clone(&symbolizer));
            let bare = Settings::bare(sys::local_time_of);
            kind.format(&Settings { timestamps, time, meanings, symbolizer, ..bare })
        }))
    }

    /// Makes a format.
    pub(crate) fn make(&self, kind: &'static FormatKind, meanings: bool) -> Box<dyn Format> {
        (self.0)(kind, meanings)
    }
}

impl std::fmt::Debug for MakeFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MakeFormat").finish_non_exhaustive()
    }
}

impl Prepared {
    /// Opens what the spec names in a loaded object, and starts the stages.
    ///
    /// # Errors
    /// Returns an error if a source cannot be opened or a stage does not start.
    pub(crate) fn new(
        context: &Context<'_>,
        modules: Option<&wasm::Modules>,
        object: &Object,
    ) -> Result<Prepared, Failure> {
        let Context { plan, spec, .. } = *context;
        let hurry = Hurry::default();
        // Readings can wait longer for names than records, whose buffers fill up meanwhile.
        let patience = match spec.streams().next() {
            Some(_) => Patience::Records(hurry.clone()),
            None => Patience::Readings(hurry.clone()),
        };
        let symbols = Rc::new(RefCell::new(Symbols::new(setup(context), patience)));
        let mut chain = stages(context, modules, object, &symbols)?;
        let mut sources = spec.sources.clone();
        sources.extend(chain.sources());
        let all = Spec { sources };
        let views: Vec<Arc<View>> = all.views().cloned().collect();
        if !views.is_empty() {
            let arranged = plan.arrangement.stages(&views).map_err(spec::arrangement_failure)?;
            arranged.into_iter().for_each(|stage| chain.push(stage));
        }
        check_fields(all.streams().map(|stream| &**stream), &plan.fields).map_err(spec::failure)?;
        let perf = spec.streams().filter_map(|stream| match stream.buffer {
            bpfpack_spec::BufferType::Perf { pages } => Some((&*stream.name, pages)),
            _ => None,
        });
        memory::check_perf(perf, plan.max_memory)?;
        let buffers = Buffer::open_all(object, spec)?;
        let readers = Reader::open_all(object, spec)?;
        let symbolizer = Rc::new(RefCell::new(Symbolizer::open(symbols, object, spec)?));
        let shows_names = plan.outputs.iter().any(|output| shows_names(plan, output));
        if shows_names && all.streams().any(|stream| stream.has_addresses()) {
            // This reads the kernel's symbols now, not when the first record arrives.
            symbolizer.borrow_mut().warm();
        }
        let is_live = is_live(plan, &all, modules.is_some());
        let outputs: Vec<OutputPlan> =
            plan.outputs.iter().map(|output| output.on_screen(is_live)).collect();
        let settings = |output: &OutputPlan| settings(context, output, &symbolizer);
        let formats = with_formats(&outputs, settings);
        let shared: bpfpack_render::SharedSymbolizer = Rc::clone(&symbolizer) as _;
        let metrics = Metrics::new(context, &all, &readers, &shared)?;
        let symbolizer = Some(symbolizer).filter(|_| shows_names);
        Ok(Prepared {
            spec: all,
            chain,
            buffers,
            readers,
            formats,
            is_live,
            symbolizer,
            hurry,
            metrics,
            make_format: MakeFormat::new(plan, shared),
        })
    }
}

/// The stages of a run, in the order in which frames pass through them. Add a new stage here.
fn stages(
    context: &Context<'_>,
    modules: Option<&wasm::Modules>,
    object: &Object,
    symbols: &SharedSymbols,
) -> Result<Chain, Failure> {
    let mut chain = Chain::default();
    context.of_cgroup.into_iter().for_each(|stage| chain.push(Box::new(stage.clone())));
    context.filters.stage().into_iter().for_each(|stage| chain.push(stage));
    if let Some(modules) = modules {
        modules.start(context, object, symbols, &mut chain)?;
    }
    let behind = context.filters.behind(&context.spec.sources, &chain.sources())?;
    behind.into_iter().for_each(|stage| chain.push(stage));
    Ok(chain)
}

/// The setup of the symbolizer.
fn setup(context: &Context<'_>) -> Setup {
    let Context { plan, talk, .. } = *context;
    Setup {
        program: plan.program.clone(),
        lines: plan.lines,
        memory: plan.memory(),
        talk: talk.clone(),
    }
}

/// Whether readings are drawn in place on a terminal. That is so if nothing else would be printed
/// in between, and if the run has more than one reading.
fn is_live(plan: &Plan, spec: &Spec, has_modules: bool) -> bool {
    let is_dumb = || std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    let is_one_reading = plan.once || plan.count == Some(1);
    !plan.no_redraw
        && !is_one_reading
        // The command uses the terminal.
        && plan.command.is_none()
        && !has_modules
        && spec.streams().next().is_none()
        && spec.views().next().is_some()
        && plan.outputs.iter().any(OutputPlan::is_screen)
        && !is_dumb()
        && os::terminal_size().is_some()
        && keyboard::is_in_foreground()
}

/// Whether an output shows meanings instead of bare numbers.
fn shows_names(plan: &Plan, output: &OutputPlan) -> bool {
    if output.format.has_meanings { !plan.raw } else { plan.decode }
}

/// The settings of an output's format.
fn settings(context: &Context<'_>, output: &OutputPlan, symbolizer: &SharedSymbolizer) -> Settings {
    let Context { plan, talk, .. } = *context;
    let talk = talk.clone();
    let colors = anstream::AutoStream::choice(&std::io::stdout());
    let has_colors = colors != anstream::ColorChoice::Never;
    Settings {
        timestamps: plan.timestamp,
        time: plan.time,
        meanings: shows_names(plan, output),
        terminal: output.is_terminal().then_some(Terminal { size: os::terminal_size, has_colors }),
        live: LiveSettings {
            sort: plan.arrangement.sort.clone(),
            is_cut: plan.arrangement.top.is_some() || !plan.filters.is_empty(),
            has_keys: Keyboard::can_open(),
        },
        message: Some(Rc::new(move || talk.last_held())),
        symbolizer: Some(Rc::clone(symbolizer) as _),
        local_time: sys::local_time_of,
    }
}

/// How long names are looked up before the buffers are polled again.
const SLICE: Duration = Duration::from_millis(2);

/// Keys whose stacks get names before a reading shows them.
#[derive(Debug)]
pub(super) struct Names {
    view: Arc<View>,
    entries: Vec<Entry>,
    /// The number of keys that are done.
    done: usize,
}

impl Names {
    pub(super) fn new(view: Arc<View>, entries: Vec<Entry>) -> Names {
        Names { view, entries, done: 0 }
    }

    /// Looks up names for a short time. Returns true when all keys are done.
    pub(super) fn look_for(&mut self, symbolizer: &mut Symbolizer) -> bool {
        let since = Instant::now();
        while let Some(entry) = self.entries.get(self.done) {
            self.done += 1;
            symbolizer.note(&self.view.stacks, entry.key());
            for stack in &self.view.stacks {
                symbolizer.frames(stack, entry.key(), &mut |_| {});
            }
            if since.elapsed() >= SLICE {
                return self.done == self.entries.len();
            }
        }
        true
    }
}
