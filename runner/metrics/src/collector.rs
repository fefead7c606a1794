// SPDX-License-Identifier: MIT
//! Collects the metrics of a run from its readings and records. What it counts never decreases: if a
//! program deletes an element of a map and creates it again, the new count is added to the old one.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use bpfpack_decode::field::{float, has_grown};
use bpfpack_decode::{Field, Member};
use bpfpack_frame::{Entry, Reading, Records};
use bpfpack_render::Labels;
use bpfpack_spec::{Source, View};

use crate::containers::{Containers, PAUSE};
use crate::define::{Defined, DefinedType, From, Label, Metric, UnknownMember};
use crate::definition::{Options, define_all};
use crate::{Family, Histogram, Kind, Number, Series, Value};

/// The value of all labels of the series that has what exceeds the limit on series.
pub const OTHER: &str = "_other_";

/// The number of keys whose series are remembered. Beyond it, they are looked up again.
const KEYS: usize = 1 << 18;

/// The number of bytes of such keys of a source.
const KEY_BYTES: usize = 32 << 20;

/// Writes the values of labels.
#[derive(Debug)]
struct Text {
    labels: Labels,
    containers: Containers,
}

impl Text {
    /// The value of a label. Sets `is_pending` if it may be another one some time later.
    fn of(&mut self, label: &Label, record: &[u8], is_pending: &mut bool) -> Box<str> {
        let mut out = Vec::new();
        self.labels.write(&label.member, record, &mut out);
        let text = String::from_utf8_lossy(&out);
        match label.part {
            Some(part) => {
                let found = self.containers.find(&text, part).into();
                *is_pending |= self.containers.is_pending(&text);
                found
            }
            None => text.into(),
        }
    }
}

/// The metrics of a run.
#[derive(Debug)]
pub struct Collector {
    /// By the index of the source.
    sources: Vec<Vec<OfType>>,
    text: Text,
    most_series: usize,
}

/// The metrics of the entries or records of a type.
#[derive(Debug)]
struct OfType {
    /// The name of the source.
    source: String,
    defined: DefinedType,
    /// What is known of each key. A key of records is the bytes of their labels.
    keys: HashMap<Box<[u8]>, Known>,
    /// The index of each series by its labels.
    by_labels: HashMap<Vec<Box<str>>, usize>,
    series: Vec<OfSeries>,
    /// The number of the current reading.
    reading: u64,
    /// The number of keys in the current reading.
    seen: usize,
    /// Keys whose labels were replaced by [`OTHER`].
    merged: u64,
    /// The bytes of all keys.
    key_bytes: usize,
    /// The size in bytes of each counter of a key.
    sizes: Vec<u8>,
    scratch: Vec<u8>,
    now: Vec<u64>,
}

/// What is known of a key.
#[derive(Debug, Default)]
struct Known {
    series: usize,
    /// The bytes of the labels in its value. A process may change its name.
    names: Box<[u8]>,
    /// The counters at the last reading, if readings are totals.
    last: Vec<u64>,
    gauges: Vec<f64>,
    /// The last reading that had it.
    reading: u64,
    /// When its labels should be looked up again.
    retry: Option<Instant>,
}

impl Known {
    /// Whether its labels need no further look.
    fn is_settled(&self) -> bool {
        self.retry.is_none_or(|at| Instant::now() < at)
    }
}

/// The numbers of a series: those of counters, and the slots and the sum of a histogram.
#[derive(Debug, Default)]
struct OfSeries {
    labels: Vec<Box<str>>,
    totals: Vec<u64>,
}

impl Collector {
    /// A collector for the sources of a run.
    ///
    /// # Errors
    /// Returns an error if a label is chosen that a source does not have.
    pub fn new(
        sources: &[Source],
        options: &Options,
        labels: Labels,
    ) -> Result<Collector, UnknownMember> {
        let of = |(source, defined): (&Source, Defined)| {
            defined.types.into_iter().map(|ty| OfType::new(source.name(), ty)).collect()
        };
        let all = sources.iter().zip(define_all(sources, options)?).map(of).collect();
        let text = Text { labels, containers: Containers::default() };
        Ok(Collector { sources: all, text, most_series: options.most_series.max(1) })
    }

    /// Adds records.
    pub fn records(&mut self, records: &Records<'_>) {
        let of_source = self.sources.get_mut(records.source.index);
        if let Some(ty) = of_source.and_then(|types| types.get_mut(records.ty)) {
            ty.records(records, &mut self.text, self.most_series);
        }
    }

    /// Adds a part of the entries of a reading. Parts come in order; the first one begins at 0.
    pub fn entries(&mut self, reading: &Reading, part: std::ops::Range<usize>) {
        let view = &*reading.source;
        let Some(ty) = self.sources.get_mut(view.index).and_then(|types| types.first_mut()) else {
            return;
        };
        if part.start == 0 {
            (ty.reading, ty.seen) = (ty.reading + 1, 0);
        }
        let is_last = part.end >= reading.entries.len();
        for entry in reading.entries.get(part).unwrap_or_default() {
            ty.entry(view, entry, &mut self.text, self.most_series);
        }
        // An element that is gone begins at zero when it comes back.
        let is_whole = reading.hidden == 0 && !reading.is_partial;
        let is_too_large = ty.keys.len() > KEYS;
        if is_last && (is_whole || is_too_large) && !view.differences && ty.seen < ty.keys.len() {
            let current = ty.reading;
            ty.keys.retain(|_, known| known.reading == current);
        }
    }

    /// The metrics with their values now, in the order of the sources.
    #[must_use]
    pub fn families(&self) -> Vec<Family> {
        self.sources.iter().flatten().flat_map(OfType::families).collect()
    }

    /// The sources, each with the number of keys that were added to the series [`OTHER`] because of
    /// the limit on series.
    pub fn merged(&self) -> impl Iterator<Item = (&str, u64)> {
        let sum = |types: &[OfType]| types.iter().map(|ty| ty.merged).sum();
        self.sources.iter().filter_map(move |types| Some((&*types.first()?.source, sum(types))))
    }
}

impl OfType {
    fn new(source: &str, defined: DefinedType) -> OfType {
        let sizes = defined.metrics.iter().flat_map(sizes).collect();
        let mut made = OfType {
            source: source.to_owned(),
            defined,
            sizes,
            keys: HashMap::new(),
            by_labels: HashMap::new(),
            series: Vec::new(),
            reading: 0,
            seen: 0,
            merged: 0,
            key_bytes: 0,
            scratch: Vec::new(),
            now: Vec::new(),
        };
        // A counter without labels is there from the start, as zero.
        if made.defined.labels.is_empty() && !made.defined.metrics.is_empty() {
            made.series_of(Vec::new(), usize::MAX);
        }
        made
    }

    /// The number of counts in a series.
    fn width(&self) -> usize {
        self.defined.metrics.iter().map(width).sum()
    }

    /// The index of the series with these labels, and whether it is the one for all others.
    fn series_of(&mut self, labels: Vec<Box<str>>, most: usize) -> (usize, bool) {
        if let Some(at) = self.by_labels.get(&labels) {
            return (*at, false);
        }
        // One is kept for all others.
        let is_merged = self.series.len() + 1 >= most && !labels.is_empty();
        let labels = match is_merged {
            true => vec![OTHER.into(); labels.len()],
            false => labels,
        };
        if let Some(at) = self.by_labels.get(&labels) {
            return (*at, true);
        }
        let at = self.series.len();
        self.series.push(OfSeries { labels: labels.clone(), totals: vec![0; self.width()] });
        self.by_labels.insert(labels, at);
        (at, is_merged)
    }

    /// The values of the labels, and when they should be looked up again, if at all.
    fn labels(
        &self,
        key: &[u8],
        value: &[u8],
        text: &mut Text,
    ) -> (Vec<Box<str>>, Option<Instant>) {
        let mut is_pending = false;
        let of = |label: &Label| {
            text.of(label, if label.is_in_value { value } else { key }, &mut is_pending)
        };
        let labels = self.defined.labels.iter().map(of).collect();
        (labels, is_pending.then(|| Instant::now() + PAUSE))
    }

    fn records(&mut self, records: &Records<'_>, text: &mut Text, most: usize) {
        let only_counts = matches!(&self.defined.metrics[..], [Metric { from: From::Records, .. }]);
        if self.defined.metrics.is_empty() {
            return;
        }
        if self.defined.labels.is_empty() && only_counts {
            self.series[0].totals[0] += records.bytes.len() as u64;
            return;
        }
        for record in records.bytes {
            let series = match self.defined.labels.is_empty() {
                true => 0,
                false => self.series_of_record(record, text, most),
            };
            let totals = &mut self.series[series].totals;
            for (metric, total) in self.defined.metrics.iter().zip(totals) {
                *total = total.wrapping_add(match &metric.from {
                    From::Records => 1,
                    From::Member(member) => unsigned_or_zero(member, record),
                    From::Slots { .. } => 0,
                });
            }
        }
    }

    fn series_of_record(&mut self, record: &[u8], text: &mut Text, most: usize) -> usize {
        let mut key = std::mem::take(&mut self.scratch);
        key.clear();
        for label in &self.defined.labels {
            push_bytes(&label.member, record, &mut key);
        }
        let series = match self.keys.get(&*key) {
            Some(known) if known.is_settled() => known.series,
            known => {
                let is_new = known.is_none();
                let (labels, retry) = self.labels(&[], record, text);
                let (series, is_merged) = self.series_of(labels, most);
                if is_new {
                    self.forget(key.len());
                    self.merged += u64::from(is_merged);
                }
                self.keys.insert((*key).into(), Known { series, retry, ..Known::default() });
                series
            }
        };
        self.scratch = key;
        series
    }

    /// Forgets all keys if there are too many, or if they are too large together. `size` is that of a
    /// new one.
    fn forget(&mut self, size: usize) {
        self.key_bytes += size;
        if self.keys.len() >= KEYS || self.key_bytes > KEY_BYTES {
            self.keys.clear();
            self.key_bytes = size;
        }
    }

    fn entry(&mut self, view: &View, entry: &Entry, text: &mut Text, most: usize) {
        if self.defined.metrics.is_empty() {
            return;
        }
        let mut names = std::mem::take(&mut self.scratch);
        names.clear();
        for label in self.defined.labels.iter().filter(|label| label.is_in_value) {
            push_bytes(&label.member, entry.value(), &mut names);
        }
        let known = self.keys.get(entry.key());
        let is_same = known.is_some_and(|known| *known.names == *names && known.is_settled());
        if !is_same {
            let is_new = known.is_none();
            let (labels, retry) = self.labels(entry.key(), entry.value(), text);
            let (series, is_merged) = self.series_of(labels, most);
            if view.differences && is_new {
                self.forget(entry.key().len());
            }
            self.merged += u64::from(is_merged);
            let known = self.keys.entry(entry.key().into()).or_default();
            // What was counted before stays where it was counted.
            (known.series, known.names, known.retry) = (series, (*names).into(), retry);
        }
        let mut now = std::mem::take(&mut self.now);
        now.clear();
        let value = entry.value();
        if let Some(known) = self.keys.get_mut(entry.key()) {
            self.seen += usize::from(known.reading != self.reading);
            known.reading = self.reading;
            known.gauges.clear();
            for metric in &self.defined.metrics {
                match &metric.from {
                    From::Records => now.push(1),
                    From::Member(member) if metric.kind == Kind::Gauge => {
                        known.gauges.push(any_number(member, value));
                        now.push(0);
                    }
                    From::Member(member) => now.push(unsigned_or_zero(member, value)),
                    From::Slots { slots, average, .. } => {
                        let end = now.len() + slots.len;
                        now.extend(slots.counts(value));
                        now.resize(end, 0);
                        let field = |field: Option<Field>| {
                            field.map_or(0, |field| field.unsigned(value) as u64)
                        };
                        now.push(field(average.map(|average| average.sum)));
                        now.push(field(average.and_then(|average| average.count)));
                    }
                }
            }
            let of_key = known.last.iter().zip(&now).zip(&self.sizes);
            let has_grown = known.last.len() == now.len()
                && of_key.clone().all(|((last, now), size)| {
                    has_grown((*size).into(), (*last).into(), (*now).into())
                });
            let totals = &mut self.series[known.series].totals;
            for (at, (total, now)) in totals.iter_mut().zip(&now).enumerate() {
                let added = match (has_grown, self.sizes.get(at)) {
                    // It may have wrapped around.
                    (true, Some(4)) => u64::from((*now as u32).wrapping_sub(known.last[at] as u32)),
                    (true, _) => now - known.last[at],
                    (false, _) => *now,
                };
                *total = total.wrapping_add(added);
            }
            if !view.differences {
                std::mem::swap(&mut known.last, &mut now);
            }
        }
        (self.scratch, self.now) = (names, now);
    }

    fn families(&self) -> Vec<Family> {
        let mut families = Vec::new();
        let (mut at, mut gauge) = (0, 0);
        for metric in &self.defined.metrics {
            let series = match metric.kind {
                Kind::Gauge => self.gauges(gauge, metric),
                _ => self
                    .series
                    .iter()
                    .map(|series| Series {
                        labels: series.labels.clone(),
                        value: value(metric, &series.totals[at..at + width(metric)]),
                    })
                    .collect(),
            };
            gauge += usize::from(metric.kind == Kind::Gauge);
            at += width(metric);
            families.push(Family {
                name: metric.name.clone(),
                help: metric.help.clone(),
                unit: metric.scale.unit,
                kind: metric.kind,
                labels: self.defined.labels.iter().map(|label| label.name.clone()).collect(),
                series,
            });
        }
        families
    }

    /// The series of a gauge: the sum of the keys that have it now.
    fn gauges(&self, index: usize, metric: &Metric) -> Vec<Series> {
        let mut sums: BTreeMap<usize, f64> = BTreeMap::new();
        for known in self.keys.values() {
            let value = known.gauges.get(index).copied().unwrap_or_default();
            *sums.entry(known.series).or_default() += metric.scale.apply(value);
        }
        let series = |(at, sum): (usize, f64)| Series {
            labels: self.series[at].labels.clone(),
            value: Value::Number(Number::Float(sum)),
        };
        sums.into_iter().map(series).collect()
    }
}

/// The sizes in bytes of the counters of a metric, in the order of its counts.
fn sizes(metric: &Metric) -> Vec<u8> {
    let small = |size: usize| u8::try_from(size).unwrap_or(u8::MAX);
    match &metric.from {
        From::Records => vec![8],
        // A bitfield is read as a larger number.
        From::Member(member) if member.bits.is_some() => vec![8],
        From::Member(member) => vec![small(member.layout.size())],
        From::Slots { slots, average, .. } => {
            let field = |field: Option<Field>| field.map_or(8, |field| small(field.size));
            let mut sizes = vec![small(slots.size); slots.len];
            sizes.push(field(average.map(|average| average.sum)));
            sizes.push(field(average.and_then(|average| average.count)));
            sizes
        }
    }
}

/// The number of counts of a metric in a series. A gauge has an unused one.
fn width(metric: &Metric) -> usize {
    match &metric.from {
        // Behind the slots, the sum and the number of values.
        From::Slots { slots, .. } => slots.len + 2,
        _ => 1,
    }
}

#[allow(clippy::cast_precision_loss)] // sums in base units are floats
fn value(metric: &Metric, totals: &[u64]) -> Value {
    match &metric.from {
        From::Slots { bounds, average, .. } => {
            let (counts, [sum, count]) = totals.split_last_chunk().unwrap_or((&[], &[0, 0]));
            let sum = average.map(|_| metric.scale.apply(*sum as f64));
            // Some tools count and add up, and use slots only if an argument asks for them.
            Value::Histogram(match *count > 0 && counts.iter().all(|count| *count == 0) {
                true => Histogram { bounds: Arc::default(), counts: vec![*count], sum },
                false => Histogram { bounds: bounds.clone(), counts: counts.to_vec(), sum },
            })
        }
        _ => Value::Number(match totals.first().copied().unwrap_or(0) {
            total if metric.scale.is_one() => Number::Unsigned(total),
            total => Number::Float(metric.scale.apply(total as f64)),
        }),
    }
}

/// Appends the bytes of a member, as many in each record.
fn push_bytes(member: &Member, record: &[u8], out: &mut Vec<u8>) {
    let mut number = [0; 16];
    let bytes = member.bytes(record, &mut number);
    let size = match member.layout.size() {
        // A flexible array extends to the end of the record.
        0 => bytes.len(),
        size => size,
    };
    let end = out.len() + size;
    out.extend_from_slice(&bytes[..bytes.len().min(size)]);
    out.resize(end, 0);
}

/// The value of a member that only grows: negative numbers add nothing.
#[allow(clippy::cast_possible_truncation)] // integers of 16 bytes keep their lower half
fn unsigned_or_zero(member: &Member, record: &[u8]) -> u64 {
    let (size, is_signed) = member.layout.number();
    if is_signed && signed(member, record, size) < 0 {
        return 0;
    }
    member.raw(record) as u64
}

fn signed(member: &Member, record: &[u8], size: usize) -> i128 {
    let mut number = [0; 16];
    let bytes = member.bytes(record, &mut number);
    bpfpack_decode::field::signed(bytes, if member.bits.is_some() { 16 } else { size })
}

#[allow(clippy::cast_precision_loss)] // gauges are floats
fn any_number(member: &Member, record: &[u8]) -> f64 {
    let (size, is_signed) = member.layout.number();
    match &member.layout {
        bpfpack_decode::Layout::Float { size } => {
            float(bpfpack_decode::field::part(record, member.offset), *size)
        }
        _ if is_signed => signed(member, record, size) as f64,
        _ => member.raw(record) as f64,
    }
}

#[cfg(test)]
mod tests;
