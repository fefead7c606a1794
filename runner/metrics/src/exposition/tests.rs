// SPDX-License-Identifier: MIT
//! What each format writes of the same families, and that readers get back what was written.

mod parser;

use std::collections::BTreeMap;

use proptest::prelude::*;
use prost::Message as _;

use super::Exposition;
use super::client_model::{Histogram, Metric, MetricFamily, MetricType, Scalar};
use crate::fixtures::{any_families, families};
use crate::{Family, Kind, Number, Series, Value};

fn written(exposition: Exposition, families: &[Family]) -> Vec<u8> {
    let mut out = Vec::new();
    exposition.write(families, &mut out);
    out
}

fn text(exposition: Exposition, families: &[Family]) -> String {
    String::from_utf8(written(exposition, families)).unwrap()
}

fn decoded(mut bytes: &[u8]) -> Vec<MetricFamily> {
    let mut families = Vec::new();
    while !bytes.is_empty() {
        families.push(MetricFamily::decode_length_delimited(&mut bytes).unwrap());
    }
    families
}

#[test]
fn text_of_all_kinds() {
    insta::assert_snapshot!(text(Exposition::Text, &families()));
}

#[test]
fn openmetrics_of_all_kinds() {
    insta::assert_snapshot!(text(Exposition::OpenMetrics, &families()));
}

#[test]
fn protobuf_of_all_kinds() {
    insta::assert_debug_snapshot!(decoded(&written(Exposition::Protobuf, &families())));
}

#[test]
fn nothing_is_written_of_nothing() {
    assert_eq!(text(Exposition::Text, &[]), "");
    assert_eq!(text(Exposition::OpenMetrics, &[]), "# EOF\n");
    assert_eq!(written(Exposition::Protobuf, &[]), b"");
}

/// Labels without empty ones, as a reader has them.
fn labels(family: &Family, series: &Series) -> BTreeMap<String, String> {
    let pairs = family.labels.iter().zip(&series.labels);
    let pairs = pairs.filter(|(_, value)| !value.is_empty());
    pairs.map(|(name, value)| (name.clone(), value.to_string())).collect()
}

fn as_float(number: Number) -> f64 {
    match number {
        Number::Unsigned(value) => value as f64,
        Number::Signed(value) => value as f64,
        Number::Float(value) => value,
    }
}

fn same(one: f64, other: f64) -> bool {
    one == other || one.is_nan() && other.is_nan()
}

/// Checks that a text has exactly the samples of families.
fn check_text(families: &[Family], text: &str, is_openmetrics: bool) -> Result<(), TestCaseError> {
    let read = parser::parse(text, is_openmetrics).map_err(TestCaseError::fail)?;
    let written: Vec<&Family> = families.iter().filter(|f| !f.series.is_empty()).collect();
    prop_assert_eq!(read.len(), written.len());
    for (read, family) in read.iter().zip(written) {
        prop_assert_eq!(&read.name, &family.name);
        prop_assert_eq!(&read.help, &family.help);
        let mut samples = read.samples.iter();
        for series in &family.series {
            let labels = labels(family, series);
            let mut next = |suffix: &str| {
                let sample = samples.next().ok_or_else(|| TestCaseError::fail("one is missing"))?;
                let mut read = sample.labels.clone();
                let le = read.remove("le");
                prop_assert_eq!(&sample.suffix, suffix);
                prop_assert_eq!(&read, &labels);
                Ok((le, sample.value.clone()))
            };
            match &series.value {
                Value::Number(number) => {
                    let (le, value) = next(read.suffix())?;
                    prop_assert_eq!(le, None);
                    match number {
                        Number::Unsigned(number) => prop_assert_eq!(value, number.to_string()),
                        Number::Signed(number) => prop_assert_eq!(value, number.to_string()),
                        Number::Float(number) => {
                            prop_assert!(same(parser::float(&value).unwrap(), *number));
                        }
                    }
                }
                Value::Histogram(histogram) => {
                    let mut total = 0;
                    for (bound, count) in histogram.bounds.upper.iter().zip(&histogram.counts) {
                        total += count;
                        let (le, read) = next("_bucket")?;
                        let is_right = parser::is_canonical(&le.unwrap(), *bound, is_openmetrics);
                        prop_assert!(is_right);
                        prop_assert_eq!(read, total.to_string());
                    }
                    let count = histogram.count().to_string();
                    prop_assert_eq!(next("_bucket")?, (Some("+Inf".to_owned()), count.clone()));
                    let is_negative = histogram.bounds.upper.first().is_some_and(|le| *le < 0.0);
                    // NaN stands for a sum that is not known.
                    let known = histogram.sum.unwrap_or(f64::NAN);
                    let sum = match is_openmetrics {
                        true => Some(known).filter(|_| !is_negative),
                        false => histogram.sum,
                    };
                    if let Some(sum) = sum {
                        let (le, read) = next("_sum")?;
                        prop_assert!(le.is_none() && same(parser::float(&read).unwrap(), sum));
                    }
                    if sum.is_some() || !is_openmetrics {
                        prop_assert_eq!(next("_count")?, (None, count));
                    }
                }
            }
        }
        prop_assert!(samples.next().is_none());
    }
    Ok(())
}

/// The counts of a native histogram by the index of their bucket.
fn native_counts(histogram: &Histogram) -> BTreeMap<i32, u64> {
    let mut deltas = histogram.positive_delta.iter();
    let (mut index, mut count) = (0i32, 0i64);
    let mut counts = BTreeMap::new();
    for span in &histogram.positive_span {
        index += span.offset.unwrap();
        for _ in 0..span.length.unwrap() {
            count += deltas.next().unwrap();
            assert!(counts.insert(index, count as u64).is_none());
            index += 1;
        }
    }
    assert!(deltas.next().is_none());
    counts.retain(|_, count| *count > 0);
    counts
}

fn check_histogram(series: &crate::Histogram, read: &Histogram) -> Result<(), TestCaseError> {
    prop_assert_eq!(read.sample_count, Some(series.count()));
    prop_assert!(same(read.sample_sum.unwrap(), series.sum.unwrap_or(f64::NAN)));
    let mut total = 0;
    let mut expected = Vec::new();
    for (bound, count) in series.bounds.upper.iter().zip(&series.counts) {
        total += count;
        expected.push((Some(total), Some(*bound)));
    }
    let buckets = read.bucket.iter();
    let buckets: Vec<_> = buckets.map(|b| (b.cumulative_count, b.upper_bound)).collect();
    prop_assert_eq!(buckets, expected);
    let Some(exponential) = series.bounds.exponential else {
        prop_assert_eq!((read.schema, read.zero_count, read.zero_threshold), (None, None, None));
        prop_assert!(read.positive_span.is_empty() && read.positive_delta.is_empty());
        return Ok(());
    };
    let (zero, counts) = series.counts.split_at(usize::from(exponential.has_zero));
    prop_assert_eq!(read.schema, Some(0));
    prop_assert_eq!(read.zero_count, Some(zero.first().copied().unwrap_or(0)));
    // This is how a reader tells an empty one from a classic one.
    prop_assert!(read.zero_threshold.unwrap() > 0.0);
    prop_assert!(read.zero_threshold.unwrap() <= exponential.zero_threshold.max(1e-30));
    let mut expected: BTreeMap<i32, u64> = (exponential.first..).zip(counts.to_vec()).collect();
    expected.retain(|_, count| *count > 0);
    prop_assert_eq!(native_counts(read), expected);
    Ok(())
}

fn check_metric(family: &Family, series: &Series, read: &Metric) -> Result<(), TestCaseError> {
    let pairs = read.label.iter().map(|pair| (pair.name.clone(), pair.value.clone()));
    prop_assert_eq!(pairs.collect::<BTreeMap<_, _>>(), labels(family, series));
    let scalar = |scalar: &Option<Scalar>| scalar.as_ref().and_then(|scalar| scalar.value);
    match &series.value {
        Value::Number(number) => {
            let (value, other) = match family.kind {
                Kind::Counter => (scalar(&read.counter), &read.gauge),
                _ => (scalar(&read.gauge), &read.counter),
            };
            prop_assert!(same(value.unwrap(), as_float(*number)));
            prop_assert!(other.is_none() && read.histogram.is_none());
            Ok(())
        }
        Value::Histogram(histogram) => {
            prop_assert!(read.gauge.is_none() && read.counter.is_none());
            check_histogram(histogram, read.histogram.as_ref().unwrap())
        }
    }
}

proptest! {
    #[test]
    fn text_reads_back(families in any_families()) {
        check_text(&families, &text(Exposition::Text, &families), false)?;
    }

    #[test]
    fn openmetrics_reads_back(families in any_families()) {
        check_text(&families, &text(Exposition::OpenMetrics, &families), true)?;
    }

    #[test]
    fn protobuf_reads_back(families in any_families()) {
        let read = decoded(&written(Exposition::Protobuf, &families));
        let written: Vec<&Family> = families.iter().filter(|f| !f.series.is_empty()).collect();
        prop_assert_eq!(read.len(), written.len());
        for (read, family) in read.iter().zip(written) {
            let (suffix, kind) = match family.kind {
                Kind::Counter => ("_total", MetricType::Counter),
                Kind::Gauge => ("", MetricType::Gauge),
                Kind::Info => ("_info", MetricType::Gauge),
                Kind::Histogram => ("", MetricType::Histogram),
            };
            prop_assert_eq!(&read.name, &format!("{}{suffix}", family.name));
            prop_assert_eq!(read.r#type, Some(kind.into()));
            prop_assert_eq!(&read.help, &family.help);
            prop_assert_eq!(read.metric.len(), family.series.len());
            for (series, metric) in family.series.iter().zip(&read.metric) {
                check_metric(family, series, metric)?;
            }
        }
    }
}
