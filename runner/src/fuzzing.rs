// SPDX-License-Identifier: MIT
//! What the targets in tests/fuzz reach of this crate; only built with `--cfg fuzzing`. Nothing
//! here loads a program, and no symbol is looked up: formats have no tracer then.

mod cases;
mod modules;

use std::cell::RefCell;

use bpfpack_schemas::btf::Btf;
use clap::Parser as _;

use crate::args::{Args, FormatName, Plan, TimeColumn};
use crate::collect::maps::Entry;
use crate::decode::flat;
use crate::instrument::Calls;
use crate::render::{Format, Settings};
use crate::view::{Stream, View, Views};
use cases::{Case, Choice};
pub use modules::run_modules;

/// What a format made of records, or of readings.
#[derive(Debug)]
pub struct Shown {
    /// The format.
    pub format: FormatName,
    /// What was appended for each record, or for each reading; nothing where it is not shown.
    pub pieces: Vec<Vec<u8>>,
    /// A piece is a reading.
    pub is_reading: bool,
    /// Records or entries in a piece that is not empty.
    pub count: usize,
    /// More than any piece should have.
    pub most: usize,
}

/// Formats, each with bare values and with what they stand for.
const LOOKS: [(FormatName, bool); 11] = [
    (FormatName::Text, true),
    (FormatName::Text, false),
    (FormatName::Json, true),
    (FormatName::Json, false),
    (FormatName::Csv, true),
    (FormatName::Csv, false),
    (FormatName::Tsv, true),
    (FormatName::Tsv, false),
    (FormatName::Yaml, true),
    (FormatName::Yaml, false),
    (FormatName::Raw, false),
];

/// Shows `input`, which chooses how and has the records, as the structs of `btf`, in all formats.
///
/// # Panics
/// When the fast writer and the general one differ, or a record that is not shown leaves something.
pub fn show(btf: &[u8], input: &[u8], take: &mut dyn FnMut(&Shown)) {
    let Ok(btf) = Btf::parse(btf) else { return };
    let Some((choice, records)) = Choice::take(input) else { return };
    for case in cases::of(&btf, &choice, &records) {
        for (format, meanings) in LOOKS {
            let settings = settings(&choice, format, meanings, &case.views);
            for stream in &case.views.streams {
                let pieces = show_records(&mut *settings.format(), stream, &records);
                if !choice.has_clock {
                    flat::IS_OFF.set(true);
                    let general = show_records(&mut *settings.format(), stream, &records);
                    flat::IS_OFF.set(false);
                    assert_eq!(pieces, general, "the two writers of {format:?}");
                }
                take(&Shown { format, pieces, is_reading: false, count: 1, most: case.most });
            }
            for sample in &case.views.samples {
                take(&show_readings(&settings, format, &sample.view, &case));
            }
        }
    }
}

fn show_records(format: &mut dyn Format, stream: &Stream, records: &[&[u8]]) -> Vec<Vec<u8>> {
    format.now();
    let piece = |record: &&[u8]| {
        let mut out = Vec::new();
        let is_shown = format.record(stream, record, &mut out);
        assert!(is_shown || out.is_empty(), "a record that is not shown");
        out
    };
    records.iter().map(piece).collect()
}

/// Two readings, one after the other.
fn show_readings(settings: &Settings, format: FormatName, view: &View, case: &Case) -> Shown {
    let mut shows = settings.format();
    let mut piece = |entries: &[Entry]| {
        let mut out = Vec::new();
        let chunk = shows.reading(view, entries);
        shows.chunk(chunk, &mut out);
        out
    };
    let pieces = [&case.entries, &case.entries].map(|entries| piece(entries)).into();
    let count = case.entries.len();
    Shown { format, pieces, is_reading: true, count, most: case.most * (count + 1) }
}

fn settings(choice: &Choice, format: FormatName, meanings: bool, views: &Views) -> Settings {
    thread_local! {
        /// Parsing the command line would be most of a run.
        static PLAN: RefCell<Option<Plan>> = RefCell::new({
            let args = ["ecli", "run", "--output", "/dev/null", "package.json"];
            Args::try_parse_from(args).ok().and_then(|args| args.resolve().ok())
        });
    }
    PLAN.with_borrow_mut(|plan| {
        let plan = plan.as_mut().expect("the command line is valid");
        plan.format = format;
        (plan.raw, plan.decode) = (!meanings, meanings);
        plan.time = choice.time.or((!choice.has_clock).then_some(TimeColumn::None));
        plan.timestamp = choice.has_stamps;
        Settings::new(plan, views, 0)
    })
}

/// The object with the calls counted that write to buffers; none where there are none.
pub fn count_losses(object: &[u8]) -> Option<Vec<u8>> {
    let calls = Calls::find(object)?;
    let buffers = calls.buffers();
    let slot = |buffer: Option<&str>| {
        let known = buffer.and_then(|name| buffers.iter().position(|known| known == name));
        8 * known.unwrap_or(buffers.len()) as i32
    };
    Some(calls.counted(3, slot).0)
}
