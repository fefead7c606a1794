// SPDX-License-Identifier: MIT
//! Families of metrics, with the values of one moment. Names are complete but for the suffixes of a
//! format: `_total`, `_bucket`, `_sum`, `_count`, `_info`.

use std::sync::Arc;

/// A metric with its series.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// Its name, with its unit at the end if it has one: `hardirqs_seconds`. A counter's name has no
    /// `_total`.
    pub name: String,
    /// What it is, in a sentence.
    pub help: String,
    /// Its unit.
    pub unit: Option<Unit>,
    /// Its type.
    pub kind: Kind,
    /// The names of the labels of all series.
    pub labels: Vec<String>,
    /// The series. No two have the same labels.
    pub series: Vec<Series>,
}

/// The type of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A sum that only grows.
    Counter,
    /// A value that goes up and down.
    Gauge,
    /// Counts of values by their size, which only grow.
    Histogram,
    /// A gauge that is always 1: its labels say something.
    Info,
}

impl Kind {
    /// What follows the name of a family in the name of a sample with one number.
    #[must_use]
    pub fn suffix(self) -> &'static str {
        match self {
            Kind::Counter => "_total",
            Kind::Gauge | Kind::Histogram => "",
            Kind::Info => "_info",
        }
    }
}

impl Family {
    /// The labels that a series has: their names, with their values.
    pub(crate) fn labels_of<'f>(
        &'f self,
        series: &'f Series,
    ) -> impl Iterator<Item = (&'f str, &'f str)> {
        let all = self.labels.iter().zip(&series.labels).map(|(name, value)| (&**name, &**value));
        all.filter(|(_, value)| !value.is_empty())
    }
}

/// A base unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
}

impl Unit {
    /// Its name, which ends the name of a metric.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Unit::Seconds => "seconds",
            Unit::Bytes => "bytes",
        }
    }
}

/// A series: a value with labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// The values of the labels, in the order of their names. An empty value is the same as no such
    /// label.
    pub labels: Vec<Box<str>>,
    /// The value.
    pub value: Value,
}

/// The value of a series.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Of a counter, a gauge or an info.
    Number(Number),
    /// Of a histogram.
    Histogram(Histogram),
}

/// A number. Integers are exact, also above 2^53.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// An integer.
    Unsigned(u64),
    /// An integer that may be negative.
    Signed(i64),
    /// Any other number.
    Float(f64),
}

/// A histogram.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// The bounds of its buckets, shared by all series of a family.
    pub bounds: Arc<Bounds>,
    /// The number of values in each bucket, not cumulative: one more than there are bounds. The last
    /// one counts the values above all bounds.
    pub counts: Vec<u64>,
    /// The sum of the values, in the metric's unit, if programs keep it.
    pub sum: Option<f64>,
}

impl Histogram {
    /// The number of values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.wrapping_add(*count))
    }
}

/// The bounds of the buckets of a histogram. By default, there is only the bucket without a bound.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bounds {
    /// The largest value of each bucket but the last, in the metric's unit, in ascending order.
    pub upper: Vec<f64>,
    /// The same buckets as powers of two, if they are some.
    pub exponential: Option<Exponential>,
}

/// Buckets whose bounds are powers of two: those of a Prometheus native histogram of schema 0 and of
/// an OTLP exponential histogram of scale 0. A unit of 10^-6 s is not a power of two in seconds; such
/// buckets are the nearest ones.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exponential {
    /// Whether the first bucket counts zero, and values up to `zero_threshold`.
    pub has_zero: bool,
    /// The largest value that counts as zero, in the metric's unit.
    pub zero_threshold: f64,
    /// The first bucket after the one for zero has values in (2^(`first` - 1), 2^`first`], the next
    /// one those up to 2^(`first` + 1). This is the index of native histograms; that of OTLP is one
    /// less.
    pub first: i32,
}
