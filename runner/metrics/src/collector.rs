// SPDX-License-Identifier: MIT
//! Collects the metrics of a run from its readings and records. What it counts never decreases: if a
//! program deletes an element of a map and creates it again, the new count is added to the old one.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use bpfpack_decode::Member;
use bpfpack_frame::{Entry, Reading, Records};
use bpfpack_render::Labels;
use bpfpack_spec::{Source, View};

use crate::containers::{Containers, PAUSE};
use crate::define::{Defined, DefinedType, From, Label, Metric, UnknownMember};
use crate::definition::{Options, define_all};
use crate::{Family, Kind, Number, Series, Value};

use counts::{add, read, sizes, unsigned_or_zero, value, width};

mod counts;

/// The value of all labels of the series that collects everything beyond the limit on series.
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
    /// The value of a label. Sets `is_pending` if it may change later.
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
    sizes: Vec<usize>,
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

    /// The series of a key, and when its labels should be looked up again, if at all.
    fn find_series(
        &mut self,
        key: &[u8],
        value: &[u8],
        is_new: bool,
        text: &mut Text,
        most: usize,
    ) -> (usize, Option<Instant>) {
        let (labels, retry) = self.labels(key, value, text);
        let (series, is_merged) = self.series_of(labels, most);
        self.merged += u64::from(is_merged && is_new);
        (series, retry)
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
                let (series, retry) = self.find_series(&[], record, is_new, text, most);
                if is_new {
                    self.forget(key.len());
                }
                self.keys.insert((*key).into(), Known { series, retry, ..Known::default() });
                series
            }
        };
        self.scratch = key;
        series
    }

    /// Forgets all keys if there are too many, or if they are too large together. `size` is the size of
    /// the new key.
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
            let (key, value) = (entry.key(), entry.value());
            let (series, retry) = self.find_series(key, value, is_new, text, most);
            if view.differences && is_new {
                self.forget(key.len());
            }
            let known = self.keys.entry(entry.key().into()).or_default();
            // What was counted before stays where it was counted.
            (known.series, known.names, known.retry) = (series, (*names).into(), retry);
        }
        let mut now = std::mem::take(&mut self.now);
        now.clear();
        if let Some(known) = self.keys.get_mut(entry.key()) {
            self.seen += usize::from(known.reading != self.reading);
            known.reading = self.reading;
            known.gauges.clear();
            read(&self.defined.metrics, entry.value(), &mut now, &mut known.gauges);
            add(&mut self.series[known.series].totals, &known.last, &now, &self.sizes);
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

/// Appends the bytes of a member, as far as the record has them.
fn push_bytes(member: &Member, record: &[u8], out: &mut Vec<u8>) {
    let mut number = [0; 16];
    let bytes = member.bytes(record, &mut number);
    let size = match member.layout.size() {
        // A flexible array extends to the end of the record.
        0 => bytes.len(),
        size => bytes.len().min(size),
    };
    out.extend_from_slice(&bytes[..size]);
}

#[cfg(test)]
mod tests;
