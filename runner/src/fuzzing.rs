// SPDX-License-Identifier: MIT
//! The parts of this crate that the targets in tests/fuzz use; only built with `--cfg fuzzing`.
//! Nothing here loads a program or looks up a symbol.

mod cases;
mod filters;
mod modules;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use bpfpack_decode::Layout;
use bpfpack_frame::{Chain, Frame, Next, Reading, Records, Time};
use bpfpack_render::{
    FLAT_IS_OFF, Format, FormatKind, Settings, Terminal, TimeColumn, formats, keys,
};
use bpfpack_schemas::Meta;
use bpfpack_schemas::btf::Btf;
use bpfpack_schemas::object::BpfObject;
use bpfpack_spec::{Spec, Stream, View};
use bpfpack_stage::{Arrangement, Column, Grouping, Sort};

use crate::failure::Failure;
use crate::instrument::Calls;
use crate::symbolizer::Symbolizer;
use crate::symbols::{Hurry, Patience, Setup, Symbols};
use crate::sys;
use cases::{Case, Choice};
pub use filters::run_filter;
pub use modules::run_modules;

/// The output of a format for records or readings.
#[derive(Debug)]
pub struct Shown {
    /// The name of the format.
    pub format: &'static str,
    /// The output for each record or reading; empty if it is not shown.
    pub pieces: Vec<Vec<u8>>,
    /// Whether the pieces are readings.
    pub is_reading: bool,
    /// The number of records or entries in a piece that is not empty.
    pub count: usize,
    /// An upper bound for the size of a piece.
    pub most: usize,
}

/// Shows `input`, which has options and records, as the structs of `btf`, in all formats.
///
/// # Panics
/// Panics if the fast writer and the general one differ, or if a record that is not shown leaves
/// output.
pub fn show(btf: &[u8], input: &[u8], take: &mut dyn FnMut(&Shown)) {
    let Ok(btf) = Btf::parse(btf) else { return };
    let Some((choice, records)) = Choice::take(input) else { return };
    for case in cases::of(&btf, &choice, &records) {
        for name in formats::names() {
            for meanings in [true, false] {
                let looks = Looks::new(name, &choice, meanings, &case.spec);
                show_case(&looks, &case, &choice, &records, take);
            }
        }
    }
}

/// A format with its settings.
struct Looks<'c> {
    kind: &'static FormatKind,
    settings: Settings,
    spec: &'c Spec,
}

impl Looks<'_> {
    fn new<'c>(name: &str, choice: &Choice, meanings: bool, spec: &'c Spec) -> Looks<'c> {
        let symbols = Symbols::new(Setup::none(), Patience::Records(Hurry::default()));
        let symbolizer = Symbolizer::without_maps(Rc::new(RefCell::new(symbols)));
        // Nothing on this machine is looked up for bytes that are not addresses.
        let symbolizer = (!meanings).then(|| Rc::new(RefCell::new(symbolizer)) as _);
        let settings = Settings {
            timestamps: choice.has_stamps,
            time: choice.time.or((!choice.has_clock).then_some(TimeColumn::None)),
            meanings,
            symbolizer,
            ..Settings::bare(sys::local_time_of)
        };
        Looks { kind: formats::named(name).unwrap_or(formats::TEXT), settings, spec }
    }

    /// A format whose run has started.
    fn format(&self) -> Box<dyn Format> {
        let mut format = self.kind.format(&self.settings);
        format.start(&self.spec.sources, &mut Vec::new());
        format
    }

    fn show_records(&self, stream: &Stream, records: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut format = self.format();
        let time = Time::now();
        let piece = |bytes: &&[u8]| {
            let mut out = Vec::new();
            for records in Records::by_type(stream, time, None, &[bytes]) {
                // Malformed records are shown only as bytes.
                if !(self.kind.is_structured && records.are_malformed) {
                    format.records(&records, &mut out);
                }
            }
            out
        };
        records.iter().map(piece).collect()
    }

    /// Shows two readings, one after the other.
    fn show_readings(&self, view: &Arc<View>, case: &Case) -> Shown {
        let mut format = self.format();
        let mut piece = || {
            let mut out = Vec::new();
            let (source, entries) = (Arc::clone(view), case.entries.clone());
            format.reading(Reading::new(source, Time::now(), entries), &mut out);
            out
        };
        let pieces = vec![piece(), piece()];
        let count = case.entries.len();
        let most = case.most * (count + 1);
        Shown { format: self.kind.name, pieces, is_reading: true, count, most }
    }
}

impl Looks<'_> {
    /// Shows readings in all arrangements on a live screen, with keys in between.
    fn show_live(&self, view: &Arc<View>, case: &Case) -> Shown {
        let terminal = Terminal { size: || Some((12, 40)), has_colors: true };
        let settings = Settings { terminal: Some(terminal), ..self.settings.clone() };
        let mut live = formats::LIVE.format(&settings);
        live.start(&self.spec.sources, &mut Vec::new());
        let mut out = Vec::new();
        let member = match &view.key {
            Some(Layout::Struct(key)) => key.members.first().map(|member| member.name.clone()),
            _ => Some("key".to_owned()),
        };
        let columns = Column::all(view);
        let sort = columns.last().map(|column| column.name().to_owned());
        let sort = sort.map(|column| Sort { column, is_ascending: true });
        let ways = [
            Arrangement::default(),
            Arrangement { sort, top: Some(2), ..Arrangement::default() },
            Arrangement { grouping: Some(Grouping::Merge), ..Arrangement::default() },
            Arrangement {
                grouping: member.map(Grouping::By),
                rate: true,
                ..Arrangement::default()
            },
        ];
        for way in ways {
            let Ok(stages) = way.stages(std::slice::from_ref(view)) else { continue };
            let mut chain = Chain::default();
            stages.into_iter().for_each(|stage| chain.push(stage));
            let reading = Reading::new(Arc::clone(view), Time::now(), case.entries.clone());
            let mut show = |reading: &Rc<Reading>| live.entries(reading, 0..0, &mut out);
            let shown = chain.frame(Frame::Reading(reading.into()), &mut Out(&mut show));
            assert!(shown.is_ok(), "stages that arrange do not fail");
            for key in keys(b"scr\x1b[6~cpSp") {
                live.press(key, &mut out);
            }
        }
        live.end(&mut out);
        let most = 64 * (case.most * (case.entries.len() + 1) + 4096);
        Shown { format: "live", pieces: vec![out], is_reading: true, count: 1, most }
    }
}

fn show_case(
    looks: &Looks<'_>,
    case: &Case,
    choice: &Choice,
    records: &[&[u8]],
    take: &mut dyn FnMut(&Shown),
) {
    let format = looks.kind.name;
    for stream in case.spec.streams() {
        let pieces = looks.show_records(stream, records);
        if !choice.has_clock {
            FLAT_IS_OFF.set(true);
            let general = looks.show_records(stream, records);
            FLAT_IS_OFF.set(false);
            assert_eq!(pieces, general, "the two writers of {format}");
        }
        take(&Shown { format, pieces, is_reading: false, count: 1, most: case.most });
    }
    for view in case.spec.views() {
        take(&looks.show_readings(view, case));
    }
    if looks.kind == formats::TEXT {
        // A screen is drawn some twenty times, and each time all columns are checked. Rates have the
        // size of their type, which the kernel limits.
        let is_small = |view: &&Arc<View>| {
            let has_few = Column::all(view).len() <= 64;
            has_few && case.most <= 1 << 16 && view.value.size() <= 1 << 16
        };
        case.spec.views().filter(is_small).for_each(|view| take(&looks.show_live(view, case)));
    }
}

/// Passes on the readings that come out of stages.
struct Out<'o>(&'o mut dyn FnMut(&Rc<Reading>));

impl Next for Out<'_> {
    fn frame(&mut self, frame: Frame<'_>) -> Result<(), Failure> {
        if let Frame::Reading(reading) = frame {
            self.0(&reading);
        }
        Ok(())
    }

    fn waiting(&self) -> usize {
        0
    }
}

/// Reports what an object does, and disassembles it. Returns the length of the text.
pub fn inspect(object: &[u8]) -> Option<usize> {
    let elf = BpfObject::parse(object).ok()?;
    let report = crate::report::of(&elf, &Meta::default());
    Some(crate::report::short(&report).len() + crate::inspect::disassembly(&elf).len())
}

/// Instruments the calls of an object that write to buffers; `None` if there are none.
pub fn count_losses(object: &[u8]) -> Option<Vec<u8>> {
    let calls = Calls::find(object)?;
    let buffers = calls.buffers();
    let slot = |buffer: Option<&str>| {
        let known = buffer.and_then(|name| buffers.iter().position(|known| known == name));
        8 * known.unwrap_or(buffers.len()) as i32
    };
    Some(calls.counted(3, slot).0)
}
