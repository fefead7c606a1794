// SPDX-License-Identifier: MIT
//! Output formats, a file each. They turn views and records into bytes; [`crate::sink`] writes them.

mod clock;
mod columns;
mod delimited;
pub mod histogram;
pub mod json;
mod raw;
pub mod text;
mod tracer;
mod yaml;

use crate::args::{FormatName, Plan, TimeColumn};
use crate::collect::maps::Entry;
use crate::decode::meaning::Names;
use crate::failure::{Failure, exit_code};
use crate::os;
use crate::symbols::{Hurry, Patience, Setup};
use crate::view::{Stream, View, Views};
use clock::Clock;
pub use tracer::Tracer;

/// An output format.
pub trait Format: std::fmt::Debug {
    /// Records that follow were read now.
    fn now(&mut self);

    /// Appends a record of a stream; false, and nothing appended, where nothing of what it should
    /// be is in it.
    fn record(&mut self, stream: &Stream, record: &[u8], out: &mut Vec<u8>) -> bool;

    /// Draws entries of a reading of a view, in order, to be shown by [`Format::chunk`], perhaps
    /// that of another of this format.
    fn piece(&mut self, view: &View, entries: &[Entry], piece: Piece) -> Chunk;

    /// Whether these entries can be drawn some at a time, so that a large reading takes little
    /// memory, and can be ended.
    fn has_pieces(&self, _view: &View, _entries: &[Entry]) -> bool {
        true
    }

    /// Draws a reading as a whole.
    fn reading(&mut self, view: &View, entries: &[Entry]) -> Chunk {
        self.piece(view, entries, Piece::All)
    }

    /// Appends a reading.
    fn chunk(&mut self, chunk: Chunk, out: &mut Vec<u8>);

    /// Appends lines of text that a module made.
    fn lines(&mut self, text: &[u8], out: &mut Vec<u8>);

    /// Appends a JSON value that a module made: it is on one line.
    fn value(&mut self, json: &[u8], out: &mut Vec<u8>);

    /// What names addresses, where the format shows their names.
    fn tracer(&mut self) -> Option<&mut Tracer> {
        None
    }
}

/// Which part of a reading is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// All of it.
    All,
    /// The first entries.
    First,
    /// Entries behind those.
    More,
}

impl Piece {
    /// Whether the reading begins with it.
    fn begins(self) -> bool {
        self != Piece::More
    }
}

/// Where what modules let through, and what they make, goes.
pub trait Output {
    /// A record.
    fn record(&mut self, stream: &Stream, record: &[u8]);

    /// A reading.
    fn reading(&mut self, view: &View, entries: &[Entry]);

    /// Lines of text.
    fn text(&mut self, text: &[u8]);

    /// A JSON value, on one line.
    fn json(&mut self, json: &[u8]);

    /// Bytes that are made and not written yet.
    fn waiting(&self) -> usize {
        0
    }
}

/// A reading, drawn.
#[derive(Debug, Default)]
pub struct Chunk {
    /// The line with the names of its columns, and of what: it is shown where another stands above
    /// what comes.
    pub header: Option<(Heading, Vec<u8>)>,
    /// What follows.
    pub body: Vec<u8>,
}

/// The lines of a module's text.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.strip_suffix(b"\n").unwrap_or(text).split(|byte| *byte == b'\n')
}

/// What a line of names was printed for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heading {
    /// A stream and the kind of its records, by their indexes.
    Records(usize, usize),
    /// A view, by its name.
    View(String),
    /// What a module makes, by the name of its only column.
    Module(&'static str),
}

/// What a format makes once for each kind of records, when the first one comes.
#[derive(Debug)]
struct PerKind<T>(Vec<Vec<Option<T>>>);

impl<T> Default for PerKind<T> {
    fn default() -> PerKind<T> {
        PerKind(Vec::new())
    }
}

impl<T> PerKind<T> {
    fn get(&mut self, stream: usize, kind: usize, make: impl FnOnce() -> T) -> &mut T {
        if self.0.len() <= stream {
            self.0.resize_with(stream + 1, Vec::new);
        }
        let kinds = &mut self.0[stream];
        if kinds.len() <= kind {
            kinds.resize_with(kind + 1, || None);
        }
        kinds[kind].get_or_insert_with(make)
    }

    fn known(&mut self, stream: usize, kind: usize) -> Option<&mut T> {
        self.0.get_mut(stream)?.get_mut(kind)?.as_mut()
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}

/// Whether the output may be what the plan asks for.
///
/// # Errors
/// When raw bytes would go to a terminal, which obeys some of them.
pub fn check_terminal(plan: &Plan) -> Result<(), Failure> {
    let is_terminal = plan.output.is_none() && os::terminal_size().is_some();
    if plan.format == FormatName::Raw && is_terminal {
        let error = anyhow::anyhow!("--format raw: raw bytes are not written to a terminal");
        return Err(Failure::new(exit_code::USAGE, error)
            .hint("write them to a file (-o FILE), or to a pipe: ecli run … | xxd"));
    }
    Ok(())
}

/// How the output looks, whatever its format is.
#[derive(Debug, Clone)]
pub struct Settings {
    name: FormatName,
    /// Several views or streams: the output says which it is.
    several: bool,
    /// The time before each reading.
    timestamps: bool,
    /// The time of records; none where nothing was said.
    time: Option<TimeColumn>,
    /// Values as what they stand for.
    meanings: bool,
    /// The output is a terminal.
    is_terminal: bool,
    /// With colours.
    has_colors: bool,
    /// Records hold addresses of the kernel.
    needs_symbols: bool,
    /// What finds names of addresses.
    setup: Setup,
    /// How long it is waited for.
    patience: Patience,
    /// Tells that the run ends.
    hurry: Hurry,
}

impl Settings {
    /// As the command line asks for it. Modules have `declared` so many sources.
    pub fn new(plan: &Plan, views: &Views, declared: usize) -> Settings {
        let is_terminal = plan.output.is_none() && os::terminal_size().is_some();
        let colors = anstream::AutoStream::choice(&std::io::stdout());
        let hurry = Hurry::default();
        Settings {
            name: plan.format,
            several: views.samples.len() + views.streams.len() + declared > 1,
            timestamps: plan.timestamp,
            time: plan.time,
            meanings: match plan.format {
                FormatName::Text => !plan.raw,
                _ => plan.decode,
            },
            is_terminal,
            has_colors: is_terminal && colors != anstream::ColorChoice::Never,
            needs_symbols: views.streams.iter().any(|stream| stream.has_addresses()),
            setup: Setup::of(plan),
            patience: Patience::Records(hurry.clone()),
            hurry,
        }
    }

    /// The same for a thread of its own, which may wait for names until the run ends.
    pub fn for_readings(&self) -> Settings {
        let patience = Patience::Readings(self.hurry.clone());
        Settings { patience, ..self.clone() }
    }

    /// What tells the formats that the run ends.
    pub fn hurry(&self) -> Hurry {
        self.hurry.clone()
    }

    /// What names the addresses of stacks, by nothing that was read yet.
    fn tracer(&self) -> Tracer {
        Tracer::new(self.setup.clone(), self.patience.clone())
    }

    /// The format that the settings name.
    pub fn format(&self) -> Box<dyn Format> {
        match self.name {
            FormatName::Text => Box::new(text::Text::new(self)),
            FormatName::Json => Box::new(json::Json::new(self)),
            FormatName::Csv => Box::new(delimited::Delimited::new(self, delimited::Style::Csv)),
            FormatName::Tsv => Box::new(delimited::Delimited::new(self, delimited::Style::Tsv)),
            FormatName::Yaml => Box::new(yaml::Yaml::new(self)),
            FormatName::Raw => Box::new(raw::Raw),
        }
    }

    /// The clocks of records and of readings, in formats that show a time only where it is asked
    /// for. What `--time` says goes for both.
    fn clocks(&self) -> (Option<Clock>, Option<Clock>) {
        let clock = |column: TimeColumn| Some(Clock::new(column)).filter(|c| c.width() > 0);
        let stamp = self.timestamps.then_some(TimeColumn::Wall);
        (self.time.and_then(clock), self.time.or(stamp).and_then(clock))
    }

    /// What names numbers, and what names the addresses of stacks; none where values are bare.
    fn words(&self) -> (Option<Names>, Option<Tracer>) {
        if !self.meanings {
            return (None, None);
        }
        // Nothing of the machine is looked up for bytes that are no addresses.
        if cfg!(fuzzing) {
            return (Some(Names::default()), None);
        }
        let mut tracer = self.tracer();
        if self.needs_symbols {
            tracer.warm();
        }
        let mut names = Names::default();
        names.kernel = Some(tracer.kernel_names());
        names.exact = self.name != FormatName::Text;
        (Some(names), Some(tracer))
    }
}
