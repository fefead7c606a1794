// SPDX-License-Identifier: MIT
//! Delimited messages of `io.prometheus.client`. All histograms have classic buckets, and those of
//! powers of two also the fields of a native histogram, so that a scraper takes what it understands.
//! A histogram whose sum is unknown has the sum NaN. Numbers are floats: integers above 2^53 are
//! rounded. Infos are gauges, as in the text format.

use prost::Message as _;

use super::client_model::{Bucket, Histogram, LabelPair, Metric, MetricFamily, MetricType, Scalar};
use super::native;
use crate::powers::Powers;
use crate::wire;
use crate::{Family, Kind, Number, Series, Unit, Value};

/// The number of `MetricFamily.metric`.
const METRIC: u8 = 4;

pub(super) fn write<'f>(families: impl Iterator<Item = &'f Family>, out: &mut Vec<u8>) {
    // Series are encoded one by one from the same message, so that their labels and buckets share
    // memory. Their size is known only then, and it precedes them.
    let mut metric = Metric::default();
    let mut metrics = Vec::new();
    for family in families {
        metrics.clear();
        for series in &family.series {
            if fill(family, series, &mut metric) {
                wire::field(METRIC, &metric, &mut metrics);
            }
        }
        let head = head(family);
        wire::length(head.encoded_len() + metrics.len(), out);
        wire::append(&head, out);
        out.extend_from_slice(&metrics);
    }
}

/// A family without its series.
fn head(family: &Family) -> MetricFamily {
    let kind = match family.kind {
        Kind::Counter => MetricType::Counter,
        Kind::Gauge | Kind::Info => MetricType::Gauge,
        Kind::Histogram => MetricType::Histogram,
    };
    MetricFamily {
        name: format!("{}{}", family.name, family.kind.suffix()),
        help: family.help.clone(),
        r#type: Some(kind.into()),
        metric: Vec::new(),
        unit: family.unit.filter(|_| family.kind != Kind::Info).map_or("", Unit::name).to_owned(),
    }
}

/// Replaces a message by that of a series. Returns whether the value is of the family's type.
fn fill(family: &Family, series: &Series, metric: &mut Metric) -> bool {
    metric.gauge = None;
    metric.counter = None;
    match (family.kind, &series.value) {
        (Kind::Counter, Value::Number(value)) => metric.counter = Some(scalar(*value)),
        (Kind::Gauge, Value::Number(value)) => metric.gauge = Some(scalar(*value)),
        (Kind::Info, Value::Number(_)) => metric.gauge = Some(scalar(Number::Unsigned(1))),
        (Kind::Histogram, Value::Histogram(_)) => {}
        _ => return false,
    }
    match &series.value {
        Value::Number(_) => metric.histogram = None,
        Value::Histogram(histogram) => {
            fill_histogram(histogram, metric.histogram.get_or_insert_default());
        }
    }
    fill_labels(family, series, &mut metric.label);
    true
}

fn scalar(number: Number) -> Scalar {
    let value = match number {
        Number::Unsigned(value) => value as f64,
        Number::Signed(value) => value as f64,
        Number::Float(value) => value,
    };
    Scalar { value: Some(value) }
}

fn fill_labels(family: &Family, series: &Series, pairs: &mut Vec<LabelPair>) {
    let mut used = 0;
    for (name, value) in family.labels_of(series) {
        if used == pairs.len() {
            pairs.push(LabelPair::default());
        }
        let pair = &mut pairs[used];
        pair.name.clear();
        pair.name.push_str(name);
        pair.value.clear();
        pair.value.push_str(value);
        used += 1;
    }
    pairs.truncate(used);
}

fn fill_histogram(histogram: &crate::Histogram, message: &mut Histogram) {
    message.sample_count = Some(histogram.count());
    message.sample_sum = Some(histogram.sum.unwrap_or(f64::NAN));
    let mut total = 0u64;
    let buckets = histogram.bounds.upper.iter().zip(&histogram.counts).map(|(bound, count)| {
        total = total.wrapping_add(*count);
        Bucket { cumulative_count: Some(total), upper_bound: Some(*bound) }
    });
    // The bucket up to infinity is implied by the count.
    message.bucket.clear();
    message.bucket.extend(buckets);
    message.schema = None;
    message.zero_threshold = None;
    message.zero_count = None;
    message.positive_span.clear();
    message.positive_delta.clear();
    if let Some(powers) = Powers::of(histogram) {
        native::fill(&powers, message);
    }
}
