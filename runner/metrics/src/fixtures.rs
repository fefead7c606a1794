// SPDX-License-Identifier: MIT
//! Families for tests: a table of all that formats write differently, and any families.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use crate::{Bounds, Exponential, Family, Histogram, Kind, Number, Series, Unit, Value};

fn family(name: &str, kind: Kind, labels: &[&str]) -> Family {
    Family {
        name: name.into(),
        help: format!("What is {name}."),
        unit: None,
        kind,
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        series: Vec::new(),
    }
}

fn number(labels: &[&str], number: Number) -> Series {
    let labels = labels.iter().map(|label| (*label).into()).collect();
    Series { labels, value: Value::Number(number) }
}

fn histogram(labels: &[&str], bounds: &Arc<Bounds>, counts: &[u64], sum: Option<f64>) -> Series {
    let labels = labels.iter().map(|label| (*label).into()).collect();
    let (bounds, counts) = (bounds.clone(), counts.to_vec());
    Series { labels, value: Value::Histogram(Histogram { bounds, counts, sum }) }
}

/// One family of each kind, and what is hard to write.
pub(crate) fn families() -> Vec<Family> {
    let exits = Family {
        help: "Processes that ended,\nby \"name\" and C:\\path.".into(),
        series: vec![
            number(&["sh", "0"], Number::Unsigned(3)),
            number(&["a\"b\\c\nd", "1"], Number::Unsigned((1 << 53) + 1)),
            number(&["größe\u{1f980}", ""], Number::Float(0.5)),
            number(&["", ""], Number::Unsigned(u64::MAX)),
        ],
        ..family("exits", Kind::Counter, &["comm", "code"])
    };
    let read = Family {
        unit: Some(Unit::Bytes),
        series: vec![number(&[], Number::Unsigned(1_000_000))],
        ..family("read_bytes", Kind::Counter, &[])
    };
    let values = [
        Number::Signed(-5),
        Number::Signed(i64::MIN),
        Number::Float(1e6),
        Number::Float(-0.000_01),
        Number::Float(f64::NAN),
        Number::Float(f64::INFINITY),
        Number::Float(f64::NEG_INFINITY),
    ];
    let depth = Family {
        series: values
            .iter()
            .enumerate()
            .map(|(at, value)| number(&[&at.to_string()], *value))
            .collect(),
        ..family("depth", Kind::Gauge, &["cpu"])
    };
    let kernel = Family {
        help: String::new(),
        series: vec![number(&["6.1"], Number::Unsigned(1))],
        ..family("kernel", Kind::Info, &["release"])
    };
    let log2 = Arc::new(Bounds {
        upper: vec![0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0],
        exponential: Some(Exponential { has_zero: true, zero_threshold: 0.0, first: 0 }),
    });
    let sizes = Family {
        unit: Some(Unit::Bytes),
        series: vec![
            histogram(&["sda"], &log2, &[2, 3, 1, 0, 0, 7, 0, 0, 0], Some(99.0)),
            histogram(&["sdb"], &log2, &[0, 0, 1, 0, 0, 0, 2, 0, 3], Some(512.5)),
            histogram(&["sdc"], &log2, &[0; 9], Some(0.0)),
        ],
        ..family("size_bytes", Kind::Histogram, &["disk"])
    };
    let micros = Arc::new(Bounds {
        upper: vec![0.000_001, 0.000_002, 0.000_004, 0.000_008],
        exponential: Some(Exponential { has_zero: false, zero_threshold: 0.0, first: -20 }),
    });
    let latency = Family {
        unit: Some(Unit::Seconds),
        series: vec![histogram(&[], &micros, &[0, 5, 0, 6, 1], None)],
        ..family("latency_seconds", Kind::Histogram, &[])
    };
    let linear = Arc::new(Bounds { upper: vec![-10.0, 0.0, 2_097_152.0], exponential: None });
    let nice = Family {
        series: vec![histogram(&["x"], &linear, &[1, 2, 3, 4], Some(-3.5))],
        ..family("nice", Kind::Histogram, &["comm"])
    };
    // Nothing is written of it.
    let empty = family("empty", Kind::Counter, &["comm"]);
    vec![exits, read, depth, kernel, sizes, latency, nice, empty]
}

/// Any families: names and labels are valid, all values are of their family's type, counters are
/// not negative, and counts do not overflow.
pub(crate) fn any_families() -> impl Strategy<Value = Vec<Family>> {
    vec(any_family(), 0..5).prop_map(|mut families| {
        for (at, family) in families.iter_mut().enumerate() {
            family.name = format!("f{at}_{}", family.name);
        }
        families
    })
}

fn any_family() -> impl Strategy<Value = Family> {
    let kind = select(vec![Kind::Counter, Kind::Gauge, Kind::Histogram, Kind::Info]);
    let unit = select(vec![None, Some(Unit::Seconds), Some(Unit::Bytes)]);
    let labels = subsequence(vec!["comm", "cpu", "_x", "L9"], 0..4);
    let head = ("[a-z_][a-z0-9_]{0,3}z", ".*|[\\\\\"\n]{0,4}", kind, unit, labels);
    head.prop_flat_map(|(name, help, kind, unit, labels)| {
        let name = unit.map_or(name.clone(), |unit| format!("{name}_{}", unit.name()));
        let bounds = any_bounds().prop_map(Arc::new);
        let count = labels.len();
        let series = bounds.prop_flat_map(move |bounds| vec(any_series(kind, count, bounds), 0..4));
        let labels: Vec<String> = labels.into_iter().map(str::to_owned).collect();
        series.prop_map(move |mut series| {
            let mut seen = Vec::new();
            series.retain(|series| {
                let is_new = !seen.contains(&series.labels);
                seen.push(series.labels.clone());
                is_new
            });
            let (name, help, labels) = (name.clone(), help.clone(), labels.clone());
            Family { name, help, unit, kind, labels, series }
        })
    })
}

fn any_series(kind: Kind, labels: usize, bounds: Arc<Bounds>) -> impl Strategy<Value = Series> {
    let value = match kind {
        Kind::Counter => prop_oneof![
            any::<u64>().prop_map(Number::Unsigned),
            (0.0..f64::MAX).prop_map(Number::Float)
        ]
        .prop_map(Value::Number)
        .boxed(),
        Kind::Gauge => prop_oneof![
            any::<u64>().prop_map(Number::Unsigned),
            any::<i64>().prop_map(Number::Signed),
            any::<u64>().prop_map(|bits| Number::Float(f64::from_bits(bits)))
        ]
        .prop_map(Value::Number)
        .boxed(),
        Kind::Info => Just(Value::Number(Number::Unsigned(1))).boxed(),
        Kind::Histogram => {
            // Most slots of real histograms are empty.
            let count = prop_oneof![3 => Just(0), 2 => 0..1000u64, 1 => 0..u64::MAX / 64];
            let sum = prop_oneof![Just(None), (0.0..1e9).prop_map(Some)];
            (vec(count, bounds.upper.len() + 1), sum)
                .prop_map(move |(counts, sum)| {
                    Value::Histogram(Histogram { bounds: bounds.clone(), counts, sum })
                })
                .boxed()
        }
    };
    let text = prop_oneof![".*", "[\\\\\"\n,={} ]{0,6}"].prop_map(String::into_boxed_str);
    (vec(text, labels), value).prop_map(|(labels, value)| Series { labels, value })
}

fn any_bounds() -> impl Strategy<Value = Bounds> {
    let linear =
        (-5..5i32, 0..12i32, select(vec![1.0, 0.25, 1e5])).prop_map(|(from, len, step)| {
            let upper = (from..from + len).map(|at| f64::from(at) * step).collect();
            Bounds { upper, exponential: None }
        });
    let log2 = (any::<bool>(), -30..40i32, 1..30i32).prop_map(|(has_zero, first, len)| {
        let zero = has_zero.then_some(0.0);
        let powers = (first..first + len).map(|power| f64::from(power).exp2());
        let exponential = Some(Exponential { has_zero, zero_threshold: 0.0, first });
        Bounds { upper: zero.into_iter().chain(powers).collect(), exponential }
    });
    prop_oneof![linear, log2]
}
