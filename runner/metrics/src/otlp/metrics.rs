// SPDX-License-Identifier: MIT
//! Metrics. All are cumulative since the start of the run. Integers stay integers up to 2^63 - 1,
//! above which they become floats. An info is a sum of ones that is not monotonic, as in the
//! OpenTelemetry specification of compatibility with OpenMetrics.

use std::time::SystemTime;

use prost::Message as _;

use super::attribute::{Attribute, Resource, fill};
use super::common::{InstrumentationScope, KeyValue};
use super::metrics_proto::{
    AggregationTemporality, Buckets, Data, ExponentialHistogram, ExponentialHistogramDataPoint,
    ExportMetricsServiceRequest, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
    Point, ResourceMetrics, ScopeMetrics, Sum,
};
use super::name::{Names, unit};
use super::nanoseconds;
use crate::powers::Powers;
use crate::{Family, Kind, Number, Series, Value};

const CUMULATIVE: i32 = AggregationTemporality::Cumulative as i32;

/// Buckets are powers of two.
const SCALE: i32 = 0;

/// An `ExportMetricsServiceRequest` of values at a time. Values count since `start`.
///
/// Families without series are left out, as are labels without values, and values that are not of
/// their family's type.
#[must_use]
pub fn metrics(
    families: &[Family],
    resource: &Resource,
    start: SystemTime,
    time: SystemTime,
) -> Vec<u8> {
    let names = Names::new(families);
    let times = Times { start: nanoseconds(start), now: nanoseconds(time) };
    let metrics = families.iter().filter(|family| !family.series.is_empty());
    let metrics = metrics.map(|family| Metric {
        name: names.name(family),
        description: family.help.clone(),
        unit: unit(family.unit).to_owned(),
        data: Some(data(family, times)),
    });
    let scope =
        ScopeMetrics { scope: Some(InstrumentationScope::own()), metrics: metrics.collect() };
    let resource =
        ResourceMetrics { resource: Some(resource.message()), scope_metrics: vec![scope] };
    ExportMetricsServiceRequest { resource_metrics: vec![resource] }.encode_to_vec()
}

/// Times in nanoseconds since 1970.
#[derive(Debug, Clone, Copy)]
struct Times {
    start: u64,
    now: u64,
}

/// The series of a family.
fn data(family: &Family, times: Times) -> Data {
    match family.kind {
        Kind::Counter => Data::Sum(Sum {
            data_points: numbers(family, times),
            aggregation_temporality: CUMULATIVE,
            is_monotonic: true,
        }),
        Kind::Info => {
            let mut data_points = numbers(family, times);
            data_points.iter_mut().for_each(|point| point.value = Some(Point::Int(1)));
            Data::Sum(Sum { data_points, aggregation_temporality: CUMULATIVE, is_monotonic: false })
        }
        Kind::Gauge => {
            // A gauge counts nothing since the start.
            Data::Gauge(Gauge { data_points: numbers(family, Times { start: 0, ..times }) })
        }
        // All series have the same bounds.
        Kind::Histogram if histograms(family).any(|(_, h)| h.bounds.exponential.is_some()) => {
            Data::ExponentialHistogram(ExponentialHistogram {
                data_points: histograms(family)
                    .filter_map(|(series, histogram)| exponential(family, series, histogram, times))
                    .collect(),
                aggregation_temporality: CUMULATIVE,
            })
        }
        Kind::Histogram => Data::Histogram(Histogram {
            data_points: histograms(family)
                .map(|(series, histogram)| explicit(family, series, histogram, times))
                .collect(),
            aggregation_temporality: CUMULATIVE,
        }),
    }
}

fn attributes(family: &Family, series: &Series) -> Vec<KeyValue> {
    let pairs = family.labels_of(series);
    let mut attributes = Vec::new();
    fill(pairs.map(|(name, value)| (name, Attribute::String(value))), &mut attributes);
    attributes
}

fn numbers(family: &Family, times: Times) -> Vec<NumberDataPoint> {
    let points = family.series.iter().filter_map(|series| {
        let Value::Number(number) = &series.value else { return None };
        Some(NumberDataPoint {
            start_time_unix_nano: times.start,
            time_unix_nano: times.now,
            value: Some(point(*number)),
            attributes: attributes(family, series),
        })
    });
    points.collect()
}

fn point(number: Number) -> Point {
    match number {
        Number::Unsigned(value) => {
            i64::try_from(value).map_or(Point::Double(value as f64), Point::Int)
        }
        Number::Signed(value) => Point::Int(value),
        Number::Float(value) => Point::Double(value),
    }
}

fn histograms(family: &Family) -> impl Iterator<Item = (&Series, &crate::Histogram)> {
    family.series.iter().filter_map(|series| match &series.value {
        Value::Histogram(histogram) => Some((series, histogram)),
        Value::Number(_) => None,
    })
}

fn explicit(
    family: &Family,
    series: &Series,
    histogram: &crate::Histogram,
    times: Times,
) -> HistogramDataPoint {
    HistogramDataPoint {
        start_time_unix_nano: times.start,
        time_unix_nano: times.now,
        count: histogram.count(),
        sum: histogram.sum,
        bucket_counts: histogram.counts.clone(),
        explicit_bounds: histogram.bounds.upper.clone(),
        attributes: attributes(family, series),
    }
}

fn exponential(
    family: &Family,
    series: &Series,
    histogram: &crate::Histogram,
    times: Times,
) -> Option<ExponentialHistogramDataPoint> {
    let powers = Powers::of(histogram)?;
    Some(ExponentialHistogramDataPoint {
        attributes: attributes(family, series),
        start_time_unix_nano: times.start,
        time_unix_nano: times.now,
        count: histogram.count(),
        sum: histogram.sum,
        scale: SCALE,
        zero_count: powers.zero_count,
        positive: buckets(&powers),
        zero_threshold: powers.zero_threshold,
    })
}

/// The counts from the first to the last one that is not zero. OTLP's bucket `n` begins at 2^n, where
/// that of a native histogram ends.
fn buckets(powers: &Powers<'_>) -> Option<Buckets> {
    let first = powers.counts.iter().position(|count| *count > 0)?;
    let last = powers.counts.iter().rposition(|count| *count > 0)?;
    Some(Buckets {
        offset: powers.first.saturating_add(first as i32).saturating_sub(1),
        bucket_counts: powers.counts[first..=last].to_vec(),
    })
}
