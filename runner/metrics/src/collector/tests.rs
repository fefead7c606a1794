// SPDX-License-Identifier: MIT

use std::sync::Arc;

use bpfpack_decode::meaning::{Meaning, Unit as Time};
use bpfpack_decode::{Edges, Field, Layout, Slots, Struct};
use bpfpack_frame::Time as Moment;
use bpfpack_schemas::meta::MetricMeta;
use bpfpack_spec::fixtures::{counter_view, stream, stream_of};
use bpfpack_spec::{Average, Shape, Stream};

use super::*;
use crate::{Exponential, Histogram};

fn int(size: usize) -> Layout {
    Layout::Int { size, signed: false }
}

fn collector(sources: &[Source], choices: &[(&str, MetricMeta)], most_series: usize) -> Collector {
    let choices = choices.iter().map(|(name, choice)| ((*name).to_owned(), choice.clone()));
    let options = Options { prefix: "tool".into(), choices: choices.collect(), most_series };
    Collector::new(sources, &options, Labels::new(bpfpack_render::utc, None)).unwrap()
}

fn read(collector: &mut Collector, view: &Arc<View>, entries: &[(&[u8], &[u8])]) {
    let entries = entries.iter().map(|(key, value)| Entry::new(key, value)).collect();
    let reading = Reading::new(Arc::clone(view), Moment::default(), entries);
    let middle = reading.entries.len() / 2;
    collector.entries(&reading, 0..middle);
    if middle < reading.entries.len() || middle == 0 {
        collector.entries(&reading, middle..reading.entries.len());
    }
}

fn send(collector: &mut Collector, stream: &Stream, records: &[&[u8]]) {
    for records in Records::by_type(stream, Moment::default(), None, records) {
        collector.records(&records);
    }
}

/// The series of all families: `name{label="value"} number`.
fn shown(collector: &Collector) -> Vec<String> {
    let mut lines = Vec::new();
    for family in collector.families() {
        for series in &family.series {
            let labels = family.labels.iter().zip(&series.labels);
            let labels: Vec<String> =
                labels.map(|(name, value)| format!("{name}={value}")).collect();
            let value = match &series.value {
                Value::Number(Number::Unsigned(number)) => number.to_string(),
                Value::Number(Number::Float(number)) => number.to_string(),
                Value::Number(Number::Signed(number)) => number.to_string(),
                Value::Histogram(Histogram { counts, sum, .. }) => format!("{counts:?} {sum:?}"),
            };
            lines.push(format!(
                "{:?} {}{{{}}} {value}",
                family.kind,
                family.name,
                labels.join(",")
            ));
        }
    }
    lines
}

fn totals() -> Arc<View> {
    Arc::new(View { differences: false, ..counter_view() })
}

fn eight(number: u64) -> [u8; 8] {
    number.to_le_bytes()
}

#[test]
fn counters_never_decrease() {
    let view = totals();
    let mut collector = collector(&[Source::View(Arc::clone(&view))], &[], 9);
    let total = |collector: &Collector| shown(collector);
    read(&mut collector, &view, &[(&[1], &eight(5)), (&[2], &eight(1))]);
    read(&mut collector, &view, &[(&[1], &eight(7)), (&[2], &eight(1))]);
    assert_eq!(total(&collector), ["Counter tool{key=1} 7", "Counter tool{key=2} 1"]);
    // The element was deleted and created again.
    read(&mut collector, &view, &[(&[1], &eight(3)), (&[2], &eight(1))]);
    assert_eq!(total(&collector)[0], "Counter tool{key=1} 10");
    // It was absent in between, so it begins at zero.
    read(&mut collector, &view, &[(&[2], &eight(1))]);
    read(&mut collector, &view, &[(&[1], &eight(4)), (&[2], &eight(1))]);
    assert_eq!(total(&collector), ["Counter tool{key=1} 14", "Counter tool{key=2} 1"]);
    read(&mut collector, &view, &[]);
    assert_eq!(total(&collector).len(), 2, "series stay");
    // In a reading that lacks entries, an absent one may still be in the map.
    let mut reading = Reading::new(Arc::clone(&view), Moment::default(), Vec::new());
    read(&mut collector, &view, &[(&[1], &eight(4))]);
    reading.hidden = 1;
    collector.entries(&reading, 0..0);
    read(&mut collector, &view, &[(&[1], &eight(5))]);
    assert_eq!(total(&collector)[0], "Counter tool{key=1} 19");
}

#[test]
fn a_counter_of_four_bytes_wraps_around() {
    let view = histogram(Edges::Log2, "usecs");
    let mut collector = collector(&[Source::View(Arc::clone(&view))], &[], 9);
    let value = |sum: u64, slots: [u32; 4]| {
        [&eight(sum)[..], &slots.map(u32::to_le_bytes).concat()].concat()
    };
    read(&mut collector, &view, &[(&[3], &value(100, [u32::MAX - 1, 5, 0, 0]))]);
    read(&mut collector, &view, &[(&[3], &value(150, [2, 6, 0, 0]))]);
    assert_eq!(
        shown(&collector),
        [format!("Histogram tool_seconds{{key=3}} [{}, 6, 0, 0] Some(0.00015)", (1u64 << 32) + 2)]
    );
}

#[test]
fn differences_are_added_up() {
    let view = Arc::new(counter_view());
    let mut collector = collector(&[Source::View(Arc::clone(&view))], &[], 9);
    for number in [5, 3, 4] {
        read(&mut collector, &view, &[(&[1], &eight(number))]);
    }
    assert_eq!(shown(&collector), ["Counter tool{key=1} 12"]);
}

#[test]
fn series_that_differ_in_other_members_are_added_up() {
    let key = Struct {
        size: 8,
        members: vec![Member::new("dev", 0, int(4)), Member::new("op", 4, int(4))],
    };
    let value = Struct {
        size: 24,
        members: vec![
            Member { meaning: Some(Meaning::Size), ..Member::new("bytes", 0, int(8)) },
            Member {
                meaning: Some(Meaning::Duration(Time::Microseconds)),
                ..Member::new("longest_us", 8, int(8))
            },
            Member::new("comm", 16, Layout::Text { size: 4 }),
            Member::new("pid", 20, int(4)),
        ],
    };
    let field = |offset| Field { offset, size: 8 };
    let view = Arc::new(View {
        key: Some(Layout::Struct(key)),
        value: Layout::Struct(value),
        counters: vec![field(0)],
        name: "io_by_disk".into(),
        ..View::clone(&totals())
    });
    let chosen = |labels: &[&str]| MetricMeta {
        labels: Some(labels.iter().map(|label| (*label).to_owned()).collect()),
        ..MetricMeta::default()
    };
    let run = |choice: MetricMeta| {
        let source = Source::View(Arc::clone(&view));
        let mut collector = collector(&[source], &[("io_by_disk", choice)], 9);
        let value = |bytes: u64, us: u64, comm: &[u8; 4]| {
            [&eight(bytes)[..], &eight(us), comm, &[7, 0, 0, 0]].concat()
        };
        let (a, b) = (value(1, 2_000_000, b"dd\0\0"), value(4, 500_000, b"dd\0\0"));
        let entries: [(&[u8], &[u8]); 2] =
            [(&[1, 0, 0, 0, 1, 0, 0, 0], &a), (&[1, 0, 0, 0, 2, 0, 0, 0], &b)];
        read(&mut collector, &view, &entries);
        shown(&collector)
    };
    assert_eq!(
        run(MetricMeta::default()),
        [
            "Counter tool_io_by_disk_bytes{dev=1,op=1,comm=dd,pid=7} 1",
            "Counter tool_io_by_disk_bytes{dev=1,op=2,comm=dd,pid=7} 4",
            "Gauge tool_io_by_disk_longest_seconds{dev=1,op=1,comm=dd,pid=7} 2",
            "Gauge tool_io_by_disk_longest_seconds{dev=1,op=2,comm=dd,pid=7} 0.5",
        ]
    );
    assert_eq!(
        run(chosen(&["dev=disk"])),
        [
            "Counter tool_io_by_disk_bytes{disk=1} 5",
            "Gauge tool_io_by_disk_longest_seconds{disk=1} 2.5"
        ]
    );
    let quiet = MetricMeta { off: vec!["longest_us".into()], ..chosen(&[]) };
    assert_eq!(run(quiet), ["Counter tool_io_by_disk_bytes{} 5"]);
    let named = MetricMeta {
        name: Some("disk_io".into()),
        off: vec!["longest_us".into()],
        ..chosen(&["comm"])
    };
    assert_eq!(run(named), ["Counter disk_io_bytes{comm=dd} 5"]);
    let options = Options {
        choices: [("io_by_disk".to_owned(), chosen(&["nothing"]))].into(),
        most_series: 9,
        prefix: String::new(),
    };
    let labels = Labels::new(bpfpack_render::utc, None);
    let error = Collector::new(&[Source::View(view)], &options, labels).unwrap_err();
    assert_eq!(error.known, ["dev", "op", "comm", "pid"]);
}

#[test]
fn what_exceeds_the_limit_is_in_one_series() {
    let view = totals();
    let mut collector = collector(&[Source::View(Arc::clone(&view))], &[], 3);
    let entries: Vec<([u8; 1], [u8; 8])> =
        (0..9).map(|key| ([key], eight(10 + u64::from(key)))).collect();
    let entries: Vec<(&[u8], &[u8])> = entries.iter().map(|(k, v)| (&k[..], &v[..])).collect();
    read(&mut collector, &view, &entries);
    read(&mut collector, &view, &entries);
    assert_eq!(
        shown(&collector),
        ["Counter tool{key=0} 10", "Counter tool{key=1} 11", "Counter tool{key=_other_} 105"]
    );
    assert_eq!(collector.merged().collect::<Vec<_>>(), [("counts", 7)]);
}

#[test]
fn members_that_a_record_lacks_need_no_memory() {
    let record = [1, 2, 3, 4];
    for (member, key) in [
        (Member::new("large", 2, Layout::Text { size: 1 << 40 }), &record[2..]),
        (Member::new("far", 1 << 40, int(8)), &[]),
    ] {
        let mut out = Vec::new();
        push_bytes(&member, &record, &mut out);
        assert_eq!(out, key, "{}", member.name);
    }
}

fn histogram(edges: Edges, unit: &str) -> Arc<View> {
    let slots = Slots { offset: 8, size: 4, len: 4 };
    Arc::new(View {
        name: "hists".into(),
        shape: Shape::Histogram { slots, edges, unit: unit.into() },
        average: Some(Average { sum: Field { offset: 0, size: 8 }, count: None }),
        ..View::clone(&totals())
    })
}

#[test]
fn histograms_have_base_units_and_exact_bounds() {
    let view = histogram(Edges::Log2, "usecs");
    let mut collector = collector(&[Source::View(Arc::clone(&view))], &[], 9);
    let value = |sum: u64, slots: [u32; 4]| {
        [&eight(sum)[..], &slots.map(u32::to_le_bytes).concat()].concat()
    };
    read(&mut collector, &view, &[(&[3], &value(100, [1, 0, 2, 4]))]);
    read(&mut collector, &view, &[(&[3], &value(150, [1, 1, 2, 4]))]);
    read(&mut collector, &view, &[(&[3], &value(1, [1, 0, 0, 0]))]);
    assert_eq!(shown(&collector), ["Histogram tool_seconds{key=3} [2, 1, 2, 4] Some(0.000151)"]);
    let bounds = |edges, unit| {
        let view = histogram(edges, unit);
        let collector = self::collector(&[Source::View(view)], &[], 9);
        match &collector.sources[0][0].defined.metrics[0].from {
            From::Slots { bounds, .. } => bounds.as_ref().clone(),
            _ => unreachable!(),
        }
    };
    let found = bounds(Edges::Log2, "usecs");
    assert_eq!(found.upper, [2e-6, 4e-6, 8e-6]);
    let exponential =
        |zero_threshold, first| Some(Exponential { has_zero: true, zero_threshold, first });
    // (2^-19, 2^-18] s is 1.9 to 3.8 us, for 2 and 3 us.
    assert_eq!(found.exponential, exponential(2f64.powi(-19), -18));
    let found = bounds(Edges::Log2, "bytes");
    assert_eq!((&found.upper[..], found.exponential), (&[1.0, 3.0, 7.0][..], exponential(1.0, 2)));
    let found = bounds(Edges::Log2Zero, "");
    assert_eq!((&found.upper[..], found.exponential), (&[0.0, 1.0, 3.0][..], exponential(0.0, 1)));
    let found = bounds(Edges::Log2Zero, "ms");
    assert_eq!(found.upper, [0.001, 0.002, 0.004]);
    assert_eq!(found.exponential, exponential(2f64.powi(-10), -9));
    let found = bounds(Edges::Log2Up, "us");
    assert_eq!(found.upper, [1e-6, 2e-6, 4e-6]);
    assert_eq!(found.exponential, exponential(2f64.powi(-20), -19));
    let found = bounds(Edges::Log2ZeroUp, "");
    assert_eq!((&found.upper[..], found.exponential), (&[0.0, 1.0, 2.0][..], exponential(0.0, 0)));
    let found = bounds(Edges::Linear { origin: -5, step: 10 }, "");
    assert_eq!((&found.upper[..], found.exponential), (&[4.0, 14.0, 24.0][..], None));
}

#[test]
fn a_key_may_change_its_name_and_what_counts_without_slots_has_one_bucket() {
    let value = Struct {
        size: 32,
        members: vec![
            Member::new("sum", 0, int(8)),
            Member::new("slots", 8, Layout::Array { element: Box::new(int(4)), stride: 4, len: 2 }),
            Member::new("cnt", 16, int(8)),
            Member::new("comm", 24, Layout::Text { size: 8 }),
        ],
    };
    let field = |offset| Field { offset, size: 8 };
    let slots = Slots { offset: 8, size: 4, len: 2 };
    let view = Arc::new(View {
        value: Layout::Struct(value),
        shape: Shape::Histogram { slots, edges: Edges::Log2, unit: "secs".into() },
        average: Some(Average { sum: field(0), count: Some(field(16)) }),
        ..View::clone(&totals())
    });
    let mut collector = collector(&[Source::View(Arc::clone(&view))], &[], 9);
    let value = |sum: u64, slots: [u32; 2], count: u64, comm: &[u8; 8]| {
        let slots = slots.map(u32::to_le_bytes).concat();
        [&eight(sum)[..], &slots, &eight(count), comm].concat()
    };
    read(&mut collector, &view, &[(&[1], &value(9, [0, 0], 3, b"a\0\0\0\0\0\0\0"))]);
    let one = "Histogram tool_seconds{key=1,comm=a} [3] Some(9.0)";
    assert_eq!(shown(&collector), [one]);
    read(&mut collector, &view, &[(&[1], &value(11, [0, 1], 4, b"b\0\0\0\0\0\0\0"))]);
    assert_eq!(
        shown(&collector),
        [one, "Histogram tool_seconds{key=1,comm=b} [0, 1] Some(2.0)"],
        "only what was added since counts for the new name"
    );
}

#[test]
fn records_are_counted_and_their_quantities_are_added_up() {
    let record = Struct {
        size: 16,
        members: vec![
            Member::new("comm", 0, Layout::Text { size: 4 }),
            Member {
                meaning: Some(Meaning::Duration(Time::Milliseconds)),
                ..Member::new("took_ms", 8, Layout::Int { size: 8, signed: true })
            },
        ],
    };
    let stream = stream_of(record);
    let record = |comm: &[u8; 4], ms: i64| [&comm[..], &[0; 4], &ms.to_le_bytes()].concat();
    let records = [record(b"a\0\0\0", 1500), record(b"b\0\0x", 1), record(b"b\0\0y", -7)];
    let records: Vec<&[u8]> = records.iter().map(|record| &record[..]).collect();
    let source = Source::Stream(Arc::new(stream.clone()));
    let mut plain = collector(std::slice::from_ref(&source), &[], 9);
    assert_eq!(
        shown(&plain),
        ["Counter tool_events{} 0", "Counter tool_took_seconds{} 0"],
        "they are there from the start"
    );
    send(&mut plain, &stream, &records);
    send(&mut plain, &stream, &records[..1]);
    assert_eq!(shown(&plain), ["Counter tool_events{} 4", "Counter tool_took_seconds{} 3.001"]);
    let choice = MetricMeta {
        labels: Some(vec!["comm".into()]),
        off: vec!["took_ms".into()],
        ..MetricMeta::default()
    };
    let mut by_comm = collector(&[source], &[("rb", choice)], 9);
    send(&mut by_comm, &stream, &records);
    assert_eq!(shown(&by_comm), ["Counter tool_events{comm=a} 1", "Counter tool_events{comm=b} 2"]);
}

#[test]
fn a_label_is_of_some_type_of_a_buffer() {
    let int = |name: &str| Member::new(name, 0, int(4));
    let ty = |name: &str, member: &str| {
        let record = Struct { size: 4, members: vec![int(member)] };
        bpfpack_spec::RecordType::new(name, Layout::Struct(record), None)
    };
    let stream = Stream { records: vec![ty("opened", "mode"), ty("closed", "bytes")], ..stream() };
    let source = Source::Stream(Arc::new(stream));
    let with = |labels: &[&str]| {
        let labels = Some(labels.iter().map(|label| (*label).to_owned()).collect());
        let choice = MetricMeta { labels, ..MetricMeta::default() };
        let options = Options {
            prefix: "tool".into(),
            choices: [("rb".to_owned(), choice)].into(),
            most_series: 9,
        };
        let labels = Labels::new(bpfpack_render::utc, None);
        Collector::new(std::slice::from_ref(&source), &options, labels)
    };
    let names = |collector: &Collector| -> Vec<String> {
        collector
            .families()
            .iter()
            .map(|family| format!("{} {:?}", family.name, family.labels))
            .collect()
    };
    assert_eq!(
        names(&with(&["mode", "bytes=size"]).unwrap()),
        [r#"tool_opened_events ["mode"]"#, r#"tool_closed_events ["size"]"#]
    );
    let error = with(&["mode", "nothing=x"]).unwrap_err();
    assert_eq!(
        (error.member.as_str(), &error.known[..]),
        ("nothing", &["bytes".to_owned(), "mode".into()][..])
    );
}

#[test]
fn metrics_of_two_sources_have_names_of_their_own() {
    let view = |name: &str, index| {
        Source::View(Arc::new(View { name: name.into(), index, ..counter_view() }))
    };
    let sources = [
        view("counts", 0),
        view("stats", 1),
        Source::Stream(Arc::new(Stream { index: 2, ..stream() })),
    ];
    let collector = collector(&sources, &[], 9);
    let names: Vec<String> = collector.families().into_iter().map(|family| family.name).collect();
    assert_eq!(names, ["tool", "tool_stats", "tool_events"]);
}

#[test]
fn definitions_are_those_of_families() {
    let sources = [
        Source::View(histogram(Edges::Log2, "usecs")),
        Source::View(totals()),
        Source::Stream(Arc::new(stream())),
    ];
    let choices = [("counts", MetricMeta { labels: Some(Vec::new()), ..MetricMeta::default() })];
    let collector = collector(&sources, &choices, 9);
    let choices = choices.map(|(name, choice)| (name.to_owned(), choice)).into();
    let options = Options { prefix: "tool".into(), choices, most_series: 9 };
    let definitions = crate::definitions(&sources, &options).unwrap();
    let families = collector.families();
    assert_eq!(definitions.len(), families.len());
    for (definition, family) in definitions.iter().zip(&families) {
        let labels = definition.labels.iter().map(|label| label.name.clone()).collect();
        let of_definition = (&definition.name, &definition.help, definition.kind, definition.unit);
        let of_family = (&family.name, &family.help, family.kind, family.unit);
        assert_eq!((of_definition, labels), (of_family, family.labels.clone()));
    }
    let first = &definitions[0];
    assert_eq!((&*first.source, &*first.name), ("hists", "tool_seconds"));
    assert!(first.has_sum && !definitions[1].has_sum);
}

#[test]
fn what_is_merged_of_several_types_is_one_number() {
    let mut two = stream();
    two.records.push(two.records[0].clone());
    let collector = collector(&[Source::Stream(Arc::new(two))], &[], 9);
    assert_eq!(collector.merged().collect::<Vec<_>>(), [("rb", 0)]);
}
