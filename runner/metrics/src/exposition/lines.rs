// SPDX-License-Identifier: MIT
//! The lines of samples, which both text formats have in common. Labels and bounds are written once
//! for all lines of a histogram, and bounds once for all series that share them.

use std::sync::Arc;

use bpfpack_render::number as unsigned;

use super::number::{float, number};
use crate::{Bounds, Family, Histogram, Kind, Number, Series, Value};

/// Where the two formats differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Text,
    OpenMetrics,
}

/// A writer of samples.
#[derive(Debug)]
pub(super) struct Lines {
    dialect: Dialect,
    /// The labels of the series, without braces.
    labels: Vec<u8>,
    bounds: Option<Arc<Bounds>>,
    /// The bounds as text, one after the other, and where each one ends.
    edges: Vec<u8>,
    ends: Vec<usize>,
}

impl Lines {
    pub(super) fn new(dialect: Dialect) -> Lines {
        Lines { dialect, labels: Vec::new(), bounds: None, edges: Vec::new(), ends: Vec::new() }
    }

    /// Appends the samples of a family.
    pub(super) fn family(&mut self, family: &Family, out: &mut Vec<u8>) {
        for series in &family.series {
            match (family.kind, &series.value) {
                (Kind::Counter | Kind::Gauge, Value::Number(value)) => {
                    self.sample(family, series, *value, out);
                }
                (Kind::Info, Value::Number(_)) => {
                    self.sample(family, series, Number::Unsigned(1), out);
                }
                (Kind::Histogram, Value::Histogram(histogram)) => {
                    self.histogram(family, series, histogram, out);
                }
                _ => {}
            }
        }
    }

    fn sample(&mut self, family: &Family, series: &Series, value: Number, out: &mut Vec<u8>) {
        self.labels.clear();
        labels(family, series, &mut self.labels);
        self.total(&family.name, family.kind.suffix(), value, out);
    }

    fn histogram(
        &mut self,
        family: &Family,
        series: &Series,
        histogram: &Histogram,
        out: &mut Vec<u8>,
    ) {
        self.format_bounds(&histogram.bounds);
        self.labels.clear();
        labels(family, series, &mut self.labels);
        let mut total = 0u64;
        let mut from = 0;
        for (count, end) in histogram.counts.iter().zip(&self.ends) {
            total = total.wrapping_add(*count);
            self.bucket(&family.name, &self.edges[from..*end], total, out);
            from = *end;
        }
        let count = histogram.count();
        self.bucket(&family.name, b"+Inf", count, out);
        let sum = match self.dialect {
            Dialect::Text => histogram.sum,
            Dialect::OpenMetrics => sum_of_openmetrics(histogram),
        };
        if let Some(sum) = sum {
            self.total(&family.name, "_sum", Number::Float(sum), out);
        }
        // In OpenMetrics, there is a count exactly if there is a sum.
        if sum.is_some() || self.dialect == Dialect::Text {
            self.total(&family.name, "_count", Number::Unsigned(count), out);
        }
    }

    fn bucket(&self, name: &str, edge: &[u8], count: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"_bucket{");
        if !self.labels.is_empty() {
            out.extend_from_slice(&self.labels);
            out.push(b',');
        }
        out.extend_from_slice(b"le=\"");
        out.extend_from_slice(edge);
        out.extend_from_slice(b"\"} ");
        unsigned(count, out);
        out.push(b'\n');
    }

    fn total(&self, name: &str, suffix: &str, value: Number, out: &mut Vec<u8>) {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(suffix.as_bytes());
        if !self.labels.is_empty() {
            out.push(b'{');
            out.extend_from_slice(&self.labels);
            out.push(b'}');
        }
        out.push(b' ');
        number(value, out);
        out.push(b'\n');
    }

    /// Writes bounds as text, unless they are those of the series before.
    fn format_bounds(&mut self, bounds: &Arc<Bounds>) {
        if self.bounds.as_ref().is_some_and(|known| Arc::ptr_eq(known, bounds)) {
            return;
        }
        self.edges.clear();
        self.ends.clear();
        for bound in &bounds.upper {
            let from = self.edges.len();
            float(*bound, &mut self.edges);
            // In OpenMetrics, an integer is not the canonical form of a float.
            if self.dialect == Dialect::OpenMetrics
                && self.edges[from..].iter().all(|byte| matches!(byte, b'0'..=b'9' | b'-'))
            {
                self.edges.extend_from_slice(b".0");
            }
            self.ends.push(self.edges.len());
        }
        self.bounds = Some(bounds.clone());
    }
}

/// The sum in OpenMetrics: NaN if it is unknown, because without a sum there must not be a count.
/// There is none if values may be negative: it is a counter, and cannot shrink.
fn sum_of_openmetrics(histogram: &Histogram) -> Option<f64> {
    let is_positive = histogram.bounds.upper.first().is_none_or(|first| *first >= 0.0);
    Some(histogram.sum.filter(|sum| *sum >= 0.0).unwrap_or(f64::NAN)).filter(|_| is_positive)
}

/// Appends the labels of a series that are not empty, separated by commas.
fn labels(family: &Family, series: &Series, out: &mut Vec<u8>) {
    let mut is_first = true;
    for (name, value) in family.labels_of(series) {
        if !is_first {
            out.push(b',');
        }
        is_first = false;
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"=\"");
        escape(value, true, out);
        out.push(b'"');
    }
}

/// Appends a text in which a backslash, a line feed and perhaps a quote are escaped.
pub(super) fn escape(text: &str, has_quotes: bool, out: &mut Vec<u8>) {
    let is_special = |byte: &u8| matches!(byte, b'\\' | b'\n') || *byte == b'"' && has_quotes;
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(is_special) {
        out.extend_from_slice(&rest[..at]);
        out.push(b'\\');
        out.push(if rest[at] == b'\n' { b'n' } else { rest[at] });
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}
