// SPDX-License-Identifier: MIT
//! What OTLP requests say of families and records.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proptest::prelude::*;
use prost::Message;

use super::common::{Any, InstrumentationScope, KeyValue, ResourceMessage};
use super::logs_proto::LogRecordMessage;
use super::metrics_proto::{Data, ExportMetricsServiceRequest, Metric, NumberDataPoint, Point};
use super::name::Names;
use super::{Attribute, LogRecord, Logs, Resource, metrics};
use crate::fixtures::{any_families, families};
use crate::{Family, Kind, Number, Series, Value};

#[derive(Clone, PartialEq, Message)]
struct ExportLogsServiceRequest {
    #[prost(message, repeated, tag = "1")]
    resource_logs: Vec<ResourceLogs>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceLogs {
    #[prost(message, optional, tag = "1")]
    resource: Option<ResourceMessage>,
    #[prost(message, repeated, tag = "2")]
    scope_logs: Vec<ScopeLogs>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeLogs {
    #[prost(message, optional, tag = "1")]
    scope: Option<InstrumentationScope>,
    #[prost(message, repeated, tag = "2")]
    log_records: Vec<LogRecordMessage>,
}

fn resource() -> Resource {
    Resource::new(&[
        ("service.name", Attribute::String("biolatency")),
        ("process.pid", Attribute::Int(4711)),
    ])
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn request(families: &[Family]) -> ExportMetricsServiceRequest {
    let bytes = metrics(families, &resource(), at(10), at(20));
    ExportMetricsServiceRequest::decode(&bytes[..]).unwrap()
}

#[test]
fn metrics_of_all_kinds() {
    let mut request = request(&families());
    // A release changes no snapshot.
    let scope = request.resource_metrics[0].scope_metrics[0].scope.as_mut().unwrap();
    assert_eq!(std::mem::take(&mut scope.version), env!("CARGO_PKG_VERSION"));
    insta::assert_debug_snapshot!(request);
}

fn attributes(pairs: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |pair: &KeyValue| match &pair.value.as_ref().unwrap().value {
        Some(Any::String(text)) => text.clone(),
        other => panic!("{other:?}"),
    };
    pairs.iter().map(|pair| (pair.key.clone(), text(pair))).collect()
}

fn check_attributes(
    family: &Family,
    series: &Series,
    read: &[KeyValue],
) -> Result<(), TestCaseError> {
    let pairs = family.labels.iter().zip(&series.labels).filter(|(_, value)| !value.is_empty());
    let expected = pairs.map(|(name, value)| (name.clone(), value.to_string())).collect();
    prop_assert_eq!(attributes(read), expected);
    Ok(())
}

fn check_number(family: &Family, read: &[NumberDataPoint]) -> Result<(), TestCaseError> {
    prop_assert_eq!(read.len(), family.series.len());
    for (series, read) in family.series.iter().zip(read) {
        check_attributes(family, series, &read.attributes)?;
        let Value::Number(number) = series.value else { panic!("{series:?}") };
        match (number, read.value.unwrap()) {
            (Number::Unsigned(number), Point::Int(value)) => {
                prop_assert_eq!(u64::try_from(value), Ok(number));
            }
            (Number::Unsigned(number), Point::Double(value)) => {
                prop_assert!(number > i64::MAX as u64 && value == number as f64);
            }
            (Number::Signed(number), Point::Int(value)) => prop_assert_eq!(value, number),
            (Number::Float(number), Point::Double(value)) => {
                prop_assert_eq!(value.to_bits(), number.to_bits());
            }
            other => panic!("{other:?}"),
        }
    }
    Ok(())
}

fn check(family: &Family, read: &Metric) -> Result<(), TestCaseError> {
    prop_assert_eq!(&read.description, &family.help);
    match (family.kind, read.data.as_ref().unwrap()) {
        (Kind::Counter, Data::Sum(sum)) => {
            prop_assert!(sum.is_monotonic && sum.aggregation_temporality == 2);
            check_number(family, &sum.data_points)
        }
        (Kind::Info, Data::Sum(sum)) => {
            prop_assert!(!sum.is_monotonic && sum.aggregation_temporality == 2);
            check_number(family, &sum.data_points)
        }
        (Kind::Gauge, Data::Gauge(gauge)) => check_number(family, &gauge.data_points),
        (Kind::Histogram, Data::Histogram(read)) => {
            prop_assert_eq!(read.data_points.len(), family.series.len());
            for (series, read) in family.series.iter().zip(&read.data_points) {
                let Value::Histogram(histogram) = &series.value else { panic!("{series:?}") };
                check_attributes(family, series, &read.attributes)?;
                prop_assert_eq!(histogram.bounds.exponential, None);
                prop_assert_eq!(&read.bucket_counts, &histogram.counts);
                prop_assert_eq!(&read.explicit_bounds, &histogram.bounds.upper);
                prop_assert_eq!((read.count, read.sum), (histogram.count(), histogram.sum));
            }
            Ok(())
        }
        (Kind::Histogram, Data::ExponentialHistogram(read)) => {
            prop_assert_eq!(read.data_points.len(), family.series.len());
            for (series, read) in family.series.iter().zip(&read.data_points) {
                let Value::Histogram(histogram) = &series.value else { panic!("{series:?}") };
                check_attributes(family, series, &read.attributes)?;
                let exponential = histogram.bounds.exponential.unwrap();
                let skipped = usize::from(exponential.has_zero);
                let (zero, counts) = histogram.counts.split_at(skipped);
                prop_assert_eq!(read.zero_count, zero.first().copied().unwrap_or(0));
                prop_assert_eq!((read.count, read.sum), (histogram.count(), histogram.sum));
                // By the power of two at which they end.
                let mut expected: BTreeMap<i32, u64> =
                    (exponential.first..).zip(counts.to_vec()).collect();
                expected.retain(|_, count| *count > 0);
                let buckets = read.positive.clone().unwrap_or_default();
                let mut found: BTreeMap<i32, u64> =
                    (buckets.offset + 1..).zip(buckets.bucket_counts).collect();
                found.retain(|_, count| *count > 0);
                prop_assert_eq!(found, expected);
            }
            Ok(())
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn records() {
    let mut logs = Logs::new(&resource());
    assert!(logs.is_empty());
    logs.push(&LogRecord {
        time: Some(at(3)),
        observed: at(4),
        event_name: "exec",
        body: "sh starts",
        attributes: &[
            ("comm", Attribute::String("sh \"x\"\n")),
            ("pid", Attribute::Int(-1)),
            ("cookie", Attribute::Unsigned(u64::MAX)),
            ("len", Attribute::Unsigned(7)),
            ("share", Attribute::Double(0.5)),
            ("ok", Attribute::Bool(true)),
        ],
    });
    // It has fewer attributes, and of other types.
    logs.push(&LogRecord {
        time: None,
        observed: at(5),
        event_name: "",
        body: "",
        attributes: &[("comm", Attribute::Int(1)), ("pid", Attribute::String(""))],
    });
    assert_eq!(logs.len(), 2);
    let size = logs.size();
    let bytes = logs.take();
    assert_eq!(bytes.len(), size);
    let mut request = ExportLogsServiceRequest::decode(&bytes[..]).unwrap();
    let scope = request.resource_logs[0].scope_logs[0].scope.as_mut().unwrap();
    assert_eq!(std::mem::take(&mut scope.version), env!("CARGO_PKG_VERSION"));
    insta::assert_debug_snapshot!(request);
    // The next batch has no record of this one.
    let bytes = logs.take();
    let request = ExportLogsServiceRequest::decode(&bytes[..]).unwrap();
    assert!(request.resource_logs[0].scope_logs[0].log_records.is_empty());
}

proptest! {
    #[test]
    fn metrics_read_back(families in any_families()) {
        let request = request(&families);
        let read = &request.resource_metrics[0].scope_metrics[0].metrics;
        let names = Names::new(&families);
        let written: Vec<&Family> = families.iter().filter(|f| !f.series.is_empty()).collect();
        prop_assert_eq!(read.len(), written.len());
        for (read, family) in read.iter().zip(written) {
            prop_assert_eq!(&read.name, &names.name(family));
            check(family, read)?;
        }
    }

    #[test]
    fn sizes_are_those_of_requests(
        texts in proptest::collection::vec((".*", ".{0,200}", any::<u64>()), 0..40)
    ) {
        let mut logs = Logs::new(&resource());
        for (body, text, number) in &texts {
            logs.push(&LogRecord {
                time: None,
                observed: at(1),
                event_name: "event",
                body,
                attributes: &[
                    ("text", Attribute::String(text)),
                    ("number", Attribute::Unsigned(*number)),
                ],
            });
        }
        let size = logs.size();
        let bytes = logs.take();
        prop_assert_eq!(bytes.len(), size);
        let request = ExportLogsServiceRequest::decode(&bytes[..]).unwrap();
        let records = &request.resource_logs[0].scope_logs[0].log_records;
        prop_assert_eq!(records.len(), texts.len());
        for (record, (body, text, number)) in records.iter().zip(&texts) {
            let value = |at: usize| record.attributes[at].value.clone().unwrap().value.unwrap();
            let read_body = record.body.clone().unwrap().value;
            prop_assert_eq!(read_body, Some(Any::String(body.clone())));
            prop_assert_eq!(value(0), Any::String(text.clone()));
            let expected = i64::try_from(*number);
            prop_assert_eq!(value(1), expected.map_or(Any::String(number.to_string()), Any::Int));
        }
    }
}
