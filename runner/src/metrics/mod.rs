// SPDX-License-Identifier: MIT
//! Metrics of a run, served to Prometheus and sent by OTLP. They are an output of the run like any other: a
//! [`Collector`] takes what passes the stages. A scrape makes the loop of the run read all maps and
//! buffers, so a run that only serves metrics does nothing in between.

mod choices;
mod journal;
pub(crate) mod names;
mod otlp;
mod own;
mod place;
mod scrapes;
mod server;
mod texts;

use std::cell::RefCell;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;

use bpfpack_frame::{Reading, Records, Time};
use bpfpack_metrics::{Collector, Family};
use bpfpack_render::{Format, Labels};
use bpfpack_schemas::Meta;
use bpfpack_spec::{Spec, View};

use crate::args::{MetricsPlan, Plan};
use crate::context::Context;
use crate::failure::{self, Failure};
use crate::losses::Losses;
use crate::source::Buffer;
use crate::source::maps::Reader;
use crate::sys;
use crate::talk::Talk;
pub(crate) use choices::{defined, package_name};
use journal::Journal;
use own::{About, Fill};
use scrapes::Scrapes;
use texts::Texts;

use own::Programs;
pub(crate) use own::number_family;
pub(crate) use place::Place;
pub(crate) use scrapes::NoAnswer;
pub(crate) use server::{Listening, Running};

/// Where metrics go, before anything is loaded.
#[derive(Debug, Default)]
pub(crate) struct Exits {
    listening: Option<Listening>,
    target: Option<otlp::Target>,
    /// Where `ecli serve` finds the metrics of a tracer.
    place: Option<Place>,
}

impl Exits {
    /// Opens the address where metrics are served, and resolves the one where they are sent.
    ///
    /// # Errors
    /// Returns an error if either cannot be used.
    pub(crate) fn open(plan: &Plan) -> Result<Option<Exits>, Failure> {
        let open = |plan: &MetricsPlan| -> Result<Exits, Failure> {
            let target = plan.otlp.as_ref().map(otlp::Target::of).transpose()?;
            Ok(Exits { listening: Listening::open(plan)?, target, place: None })
        };
        plan.metrics.as_ref().map(open).transpose()
    }

    /// Also puts them where `ecli serve` finds them.
    pub(crate) fn with_place(self, place: Place) -> Exits {
        Exits { place: Some(place), ..self }
    }
}

/// Checks what is chosen for the metrics of a package.
///
/// # Errors
/// Returns an error if something is chosen that the package does not have.
pub(crate) fn check(plan: &Plan, meta: &Meta, spec: &Spec) -> Result<(), Failure> {
    let Some(metrics) = &plan.metrics else { return Ok(()) };
    defined(&metrics.choices, meta, spec).map(drop)
}

/// What a run needs once its metrics are served and sent.
#[derive(Debug)]
pub(crate) struct Started {
    /// The outputs that collect.
    pub(crate) outputs: Vec<Box<dyn Format>>,
    /// Notes for the user.
    pub(crate) notes: Vec<String>,
}

/// The metrics of a run.
#[derive(Debug)]
pub(crate) struct Metrics {
    collector: Rc<RefCell<Collector>>,
    scrapes: Scrapes,
    programs: Programs,
    package: String,
    digest: String,
    fills: Vec<Fill>,
    /// Ends after the scrapes, whose end answers all who wait.
    server: Option<Running>,
    exporting: Option<otlp::Exporting>,
    symbolizer: bpfpack_render::SharedSymbolizer,
}

impl Metrics {
    /// The metrics of a run with these sources, if it serves any.
    ///
    /// # Errors
    /// Returns an error if something is chosen that the package does not have.
    pub(crate) fn new(
        context: &Context<'_>,
        all: &Spec,
        readers: &[(Arc<View>, Reader)],
        symbolizer: &bpfpack_render::SharedSymbolizer,
    ) -> Result<Option<Metrics>, Failure> {
        let Some(plan) = &context.plan.metrics else { return Ok(None) };
        let meta = &context.package.meta;
        let options = choices::options(&plan.choices, meta, all, plan.max_series as usize)?;
        let labels = Labels::new(sys::local_time_of, Some(symbolizer));
        let collector =
            Collector::new(&all.sources, &options, labels).map_err(choices::unknown_member)?;
        let fill = |(view, reader): &(Arc<View>, Reader)| match reader {
            Reader::Map(reader) if reader.is_hash && !reader.per_cpu => {
                let (map, most) = (view.name.clone(), reader.map.max_entries());
                Some(Fill { map, elements: 0, most })
            }
            _ => None,
        };
        Ok(Some(Metrics {
            collector: Rc::new(RefCell::new(collector)),
            scrapes: Scrapes::new().map_err(failure::system("cannot open more files"))?,
            programs: Programs::default(),
            package: options.prefix,
            digest: bpfpack_trust::digest(&context.package.object),
            fills: readers.iter().filter_map(fill).collect(),
            server: None,
            exporting: None,
            symbolizer: std::rc::Rc::clone(symbolizer),
        }))
    }

    /// Begins to answer scrapes and to send.
    ///
    /// # Errors
    /// Returns an error if no thread can be started, or if the kernel cannot measure run times.
    pub(crate) fn start(
        &mut self,
        plan: &MetricsPlan,
        exits: Exits,
        programs: Vec<(String, OwnedFd)>,
        talk: &Talk,
    ) -> Result<Started, Failure> {
        self.programs = Programs::new(programs, plan.run_times)
            .map_err(failure::system("cannot measure the run time of programs"))?;
        let mut outputs: Vec<Box<dyn Format>> =
            vec![Box::new(Collecting(Rc::clone(&self.collector)))];
        let mut notes = Vec::new();
        if let Some(listening) = exits.listening {
            notes.push(format!("metrics are served at {}", listening.urls()));
            let asker = self.scrapes.asker();
            self.server = Some(listening.serve(move |wait| asker.ask(wait), &self.package)?);
        }
        if let Some(place) = exits.place {
            place.set(self.scrapes.asker());
        }
        if let (Some(target), Some(plan)) = (exits.target, &plan.otlp) {
            let asker = self.scrapes.asker();
            let exporting = target.start(plan, asker, &self.package, &self.digest)?;
            let labels = Labels::new(sys::local_time_of, Some(&self.symbolizer));
            outputs.extend(exporting.logs(labels));
            notes.push(format!("{} are sent to {}", plan.signals.join(" and "), exporting.name()));
            self.exporting = Some(exporting);
        }
        if let Some(path) = &plan.journal {
            let labels = Labels::new(sys::local_time_of, Some(&self.symbolizer));
            let texts = Texts::new(labels, &self.package);
            outputs.push(Box::new(Journal::open(path, texts, talk.clone())?));
            notes.push("records are written to the journal".to_owned());
        }
        Ok(Started { outputs, notes })
    }

    /// The number of the last scrape that waits for an answer.
    pub(crate) fn take(&self) -> Option<u64> {
        self.scrapes.take()
    }

    /// Notes the number of elements in a map.
    pub(crate) fn note_elements(&mut self, map: &str, elements: Option<u64>) {
        let fill = self.fills.iter_mut().find(|fill| fill.map == map);
        if let (Some(fill), Some(elements)) = (fill, elements) {
            fill.elements = elements;
        }
    }

    /// Answers scrapes up to a number, for which all maps and buffers have been read.
    pub(crate) fn answer(&self, number: u64, buffers: &[Buffer], losses: &Losses) {
        self.scrapes.answer(number, self.families(buffers, losses));
    }

    /// Sends the last metrics and what remains, if anything is sent. Reports what was lost.
    pub(crate) fn finish(
        &self,
        buffers: &[Buffer],
        losses: &Losses,
        talk: &Talk,
        is_impatient: impl FnMut() -> bool,
    ) {
        // The thread that sends may be waiting for an answer.
        if let Some(number) = self.take() {
            self.answer(number, buffers, losses);
        }
        if let Some(exporting) = &self.exporting {
            exporting.finish(self.families(buffers, losses), talk, is_impatient);
        }
    }

    fn families(&self, buffers: &[Buffer], losses: &Losses) -> Vec<Family> {
        let collector = self.collector.borrow();
        let mut families = collector.families();
        families.extend(own::families(&About {
            package: &self.package,
            digest: &self.digest,
            buffers,
            losses,
            programs: &self.programs,
            fills: &self.fills,
        }));
        families.push(own::merged(collector.merged()));
        if let Some(exporting) = &self.exporting {
            families.extend(own::exported(&exporting.counts()));
        }
        families
    }
}

impl AsFd for Metrics {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.scrapes.as_fd()
    }
}

/// Chooses how views are read if nothing but metrics is made of them: as differences where that makes
/// room in a map that is nearly full.
pub(crate) fn read_for_metrics(plan: &Plan, meta: &Meta, spec: &mut Spec) {
    let Some(metrics) = &plan.metrics else { return };
    // A client of a run in the background sees totals.
    if !plan.outputs.is_empty() || plan.detach.is_some() {
        return;
    }
    // A choice may be for what a module makes. It is checked when all sources are known.
    let choices = choices::of(&metrics.choices, meta, spec).unwrap_or_default();
    for source in &mut spec.sources {
        let bpfpack_spec::Source::View(view) = source else { continue };
        let view = Arc::make_mut(view);
        // Differences would change other numbers than counters, such as the ID of a process; and a
        // filter is for totals.
        let is_hash = !view.leave_out_zeros;
        let has_only_counters = bpfpack_metrics::has_only_counters(view, choices.get(&view.name));
        view.differences = is_hash && has_only_counters && plan.filters.is_empty();
    }
}

/// An output that has no bytes: it collects.
#[derive(Debug)]
struct Collecting(Rc<RefCell<Collector>>);

impl Format for Collecting {
    fn records(&mut self, records: &Records<'_>, _out: &mut Vec<u8>) {
        self.0.borrow_mut().records(records);
    }

    fn entries(&mut self, reading: &Rc<Reading>, part: Range<usize>, _out: &mut Vec<u8>) {
        self.0.borrow_mut().entries(reading, part);
    }

    fn text(&mut self, _time: Time, _text: &[u8], _out: &mut Vec<u8>) {}

    fn json(&mut self, _time: Time, _json: &[u8], _out: &mut Vec<u8>) {}
}
