// SPDX-License-Identifier: MIT
//! Tests of the stages with frames, without a kernel.

use std::rc::Rc;
use std::sync::Arc;

use bpfpack_decode::{Edges, Layout, Member, Slots, Struct};
use bpfpack_frame::{Chain, Entry, Frame, Next, Reading, Records, Time};
use bpfpack_spec::fixtures::{counter_view, stream};
use bpfpack_spec::{RecordType, Shape, Stream, View};

use super::*;
use crate::args::tests::plan;

/// The output: numbers of records, and keys of readings.
#[derive(Default)]
struct Out(Vec<String>);

impl Next for Out {
    fn frame(&mut self, frame: Frame<'_>) -> Result<(), Failure> {
        self.0.push(match frame {
            Frame::Records(records) => {
                let first = records.bytes.iter().map(|record| record[0].to_string());
                format!("{}: {}", records.source.name, first.collect::<Vec<_>>().join(" "))
            }
            Frame::Reading(reading) => {
                let keys = reading.entries.iter().map(|entry| entry.key()[0].to_string());
                format!("{}: {}", reading.source.name, keys.collect::<Vec<_>>().join(" "))
            }
            Frame::Text(_, text) | Frame::Json(_, text) => String::from_utf8_lossy(text).into(),
        });
        Ok(())
    }

    fn waiting(&self) -> usize {
        0
    }
}

/// A buffer with two record types, and a map from a byte to a counter.
fn sources() -> (Arc<Stream>, Arc<View>) {
    let mut stream = stream();
    let members = vec![Member::new("tid", 0, Layout::Int { size: 4, signed: false })];
    let other = Layout::Struct(Struct { size: 4, members });
    stream.records.push(RecordType::new("other", other, None));
    (stream.into(), View { index: 1, ..counter_view() }.into())
}

fn spec() -> Spec {
    let (stream, view) = sources();
    Spec { sources: vec![Source::Stream(stream), Source::View(view)] }
}

fn filters(options: &[&str], has_modules: bool) -> Result<Filters, Failure> {
    let plan = plan(&[&["run"], options, &["p"]].concat()).unwrap();
    Filters::new(&plan, &spec(), has_modules, &Talk::silent())
}

/// The stages without modules.
fn chain(options: &[&str]) -> Chain {
    let (filters, spec) = (filters(options, false).unwrap(), spec());
    let mut chain = Chain::default();
    filters.stage().into_iter().for_each(|stage| chain.push(stage));
    filters.behind(&spec.sources, &[]).unwrap().into_iter().for_each(|stage| chain.push(stage));
    chain
}

/// Passes records of processes with these IDs through the stages.
fn put(chain: &mut Chain, out: &mut Out, size: usize, numbers: &[u8]) {
    let (stream, _) = sources();
    let bytes: Vec<Vec<u8>> =
        numbers.iter().map(|number| vec![*number, 0, 0, 0, b'a', 0, 0, 0]).collect();
    let bytes: Vec<&[u8]> = bytes.iter().map(|record| &record[..size]).collect();
    for records in Records::by_type(&stream, Time::default(), None, &bytes) {
        chain.frame(Frame::Records(&records), out).unwrap();
    }
}

fn read(chain: &mut Chain, out: &mut Out, entries: &[(u8, u64)]) {
    let (_, view) = sources();
    let entry = |(key, value): &(u8, u64)| Entry::new(&[*key], &value.to_le_bytes());
    let reading = Reading::new(view, Time::default(), entries.iter().map(entry).collect());
    chain.frame(Frame::Reading(reading.into()), out).unwrap();
}

#[test]
fn records_and_entries_that_are_kept() {
    let (mut chain, mut out) = (
        chain(&["--filter", "pid > 2 || value > 10", "--filter", "pid != 5 || value"]),
        Out::default(),
    );
    put(&mut chain, &mut out, 8, &[1, 3, 4, 2, 5, 6]);
    put(&mut chain, &mut out, 8, &[3, 4]);
    put(&mut chain, &mut out, 8, &[1, 2]);
    put(&mut chain, &mut out, 4, &[7]);
    read(&mut chain, &mut out, &[(1, 10), (2, 11), (3, 5)]);
    chain.frame(Frame::Text(Time::default(), b"text"), &mut out).unwrap();
    assert_eq!(out.0, ["rb: 3 4 6", "rb: 3 4", "counts: 2", "text"]);
    assert!(!chain.is_enough());
}

#[test]
fn what_has_no_such_member_is_not_shown() {
    let (mut chain, mut out) = (chain(&["--filter", "tid > 1"]), Out::default());
    put(&mut chain, &mut out, 8, &[7]);
    put(&mut chain, &mut out, 4, &[7, 1]);
    read(&mut chain, &mut out, &[(1, 10)]);
    assert_eq!(out.0, ["rb: 7"]);
}

#[test]
fn a_reading_that_others_have_stays_as_it_is() {
    let (mut chain, mut out) = (chain(&["--filter", "key == 1"]), Out::default());
    let (_, view) = sources();
    let entries = vec![Entry::new(&[1], &[0; 8]), Entry::new(&[2], &[0; 8])];
    let reading = Rc::new(Reading::new(view, Time::default(), entries));
    chain.frame(Frame::Reading(Rc::clone(&reading)), &mut out).unwrap();
    assert_eq!((reading.entries.len(), &*out.0[0]), (2, "counts: 1"));
}

#[test]
fn the_run_ends_behind_the_first() {
    let (mut chain, mut out) =
        (chain(&["--filter", "pid != 4", "--until", "pid >= 4"]), Out::default());
    put(&mut chain, &mut out, 8, &[1, 4, 2]);
    assert!(!chain.is_enough());
    put(&mut chain, &mut out, 8, &[3, 5, 6, 7]);
    assert!(chain.is_enough());
    put(&mut chain, &mut out, 8, &[8, 9]);
    read(&mut chain, &mut out, &[(1, 1)]);
    chain.flush(&mut out).unwrap();
    put(&mut chain, &mut out, 8, &[8]);
    chain.frame(Frame::Text(Time::default(), b"summary"), &mut out).unwrap();
    assert_eq!(out.0, ["rb: 1 2", "rb: 3 5", "summary"]);
}

#[test]
fn the_run_ends_behind_a_reading() {
    let (mut chain, mut out) = (chain(&["--until", "value >= 4"]), Out::default());
    read(&mut chain, &mut out, &[(1, 1), (2, 3)]);
    assert!(!chain.is_enough());
    read(&mut chain, &mut out, &[(1, 4), (2, 3)]);
    assert!(chain.is_enough());
    assert_eq!(out.0, ["counts: 1 2", "counts: 1 2"]);
}

#[test]
fn what_fits_nothing_fails_before_the_run() {
    let error = |options: &[&str]| filters(options, false).unwrap_err();
    let failure = error(&["--filter", "pdi == 1"]);
    assert_eq!(
        (failure.exit_code(), &*failure.message()),
        (2, "--filter: there is no member `pdi`")
    );
    assert_eq!(error(&["--until", "pdi == 1"]).message(), "--until: there is no member `pdi`");
    let message = error(&["--filter", "pid == 1 && tid == 1"]).message();
    assert_eq!(message, "--filter: neither records nor maps have all of these members");
    let message = plan(&["run", "--filter", "pid ==", "p"]).unwrap_err();
    assert!(message.contains("found the end of the expression"), "{message}");
}

#[test]
fn sources_of_modules() {
    let own = spec().sources;
    let added = [Source::View(
        View { index: 2, name: "made".into(), value: Layout::Text { size: 4 }, ..counter_view() }
            .into(),
    )];
    let behind = |filter: &str| {
        let filters = filters(&["--filter", filter], true).unwrap();
        let count = filters.behind(&own, &added).map(|stages| stages.len());
        (filters.stage().is_some(), count.map_err(|failure| failure.message()))
    };
    assert_eq!(behind("pid == 1"), (true, Ok(0)), "what a module makes of those is kept");
    assert_eq!(behind("key == 1"), (true, Ok(1)), "both have it");
    assert_eq!(behind("value == abc"), (false, Ok(1)), "only the module's is text");
    assert_eq!(behind("nothing"), (false, Err("--filter: there is no member `nothing`".into())));
}

#[test]
fn histograms_have_calculated_numbers() {
    let element = Box::new(Layout::Int { size: 4, signed: false });
    let slots = Slots { offset: 0, size: 4, len: 3 };
    let view = View {
        value: Layout::Array { element, stride: 4, len: 3 },
        shape: Shape::Histogram { slots, edges: Edges::Log2, unit: "msecs".into() },
        ..counter_view()
    };
    let sources = [Source::View(view.clone().into())];
    // Two values from 0 to 1 ms, one from 2 to 3, and four above.
    let of = |counts: [u32; 3]| Entry::new(&[1], &counts.map(u32::to_le_bytes).concat());
    let is = |text: &str, entry: &Entry| {
        let compiled = compile(&Expr::parse(text).unwrap(), &sources).unwrap();
        stage::is_match(&compiled[&(0, 0)], &view, entry)
    };
    let entry = of([2, 1, 4]);
    for text in ["total == 7", "p50 > 1h", "max > 3s", "key == 1 && p90 >= 3ms", "TOTAL > 6"] {
        assert!(is(text, &entry), "{text}");
    }
    let entry = of([2, 1, 0]);
    assert!(is("p50 == 1ms && p99 == 3ms && max < 4ms && total < 4", &entry));
    assert!(!is("average > 0", &entry), "nothing is known of it");
    assert!(!is("p50 > 0", &of([0; 3])) && is("total == 0", &of([0; 3])));
}
