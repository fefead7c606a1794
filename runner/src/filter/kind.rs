// SPDX-License-Identifier: MIT
//! The kinds of frames, and the scope of names in each.

use bpfpack_decode::meaning::{Meaning, Unit};
use bpfpack_decode::{Quantile, Slots};
use bpfpack_filter::{Derived, Part, Scope, Value};
use bpfpack_frame::Entry;
use bpfpack_spec::{RecordType, Shape, Source, View};

/// Values that are calculated from a histogram. The names of quantiles follow them.
const CALCULATED: [&str; 2] = ["total", "average"];

/// Records of a type, or entries of a view.
pub(crate) enum FrameKind<'s> {
    Record(&'s Source, usize, &'s RecordType),
    View(&'s View),
}

impl<'s> FrameKind<'s> {
    /// All kinds of frames of these sources.
    pub(crate) fn all(sources: &'s [Source]) -> Vec<FrameKind<'s>> {
        let kinds = |source: &'s Source| -> Vec<FrameKind<'s>> {
            match source {
                Source::Stream(stream) => {
                    let types = stream.records.iter().enumerate();
                    types.map(|(at, ty)| FrameKind::Record(source, at, ty)).collect()
                }
                Source::View(view) => vec![FrameKind::View(view)],
            }
        };
        sources.iter().flat_map(kinds).collect()
    }

    /// The index of the source and of the record type; 0 for a view.
    pub(crate) fn key(&self) -> (usize, usize) {
        match self {
            FrameKind::Record(source, ty, _) => (source.index(), *ty),
            FrameKind::View(view) => (view.index, 0),
        }
    }

    /// The name in messages.
    pub(super) fn in_words(&self) -> String {
        match self {
            FrameKind::Record(Source::Stream(stream), _, ty) if stream.records.len() > 1 => {
                format!("`{}` of `{}`", ty.name, stream.name)
            }
            FrameKind::Record(source, ..) => format!("`{}`", source.name()),
            FrameKind::View(view) => format!("`{}`", view.name),
        }
    }

    /// The scope of names: all members, whether they are shown or not.
    pub(super) fn scope(&self) -> Scope<'s> {
        let view = match self {
            FrameKind::Record(_, _, ty) => return Scope::record(ty.all()),
            FrameKind::View(view) => view,
        };
        let part = |qualifier, layout| Part { qualifier: Some(qualifier), layout };
        let key = view.key.iter().map(|key| part("key", key));
        let parts = key.chain([part("value", &view.value)]).collect();
        let Shape::Histogram { unit, .. } = &view.shape else {
            return Scope { parts, derived: Vec::new() };
        };
        let [total, average] = CALCULATED;
        let meaning = meaning(unit);
        let calculated = [(total, None), (average, meaning)].into_iter();
        let quantiles = Quantile::ALL.into_iter().map(|quantile| (quantile.name(), meaning));
        let derived = calculated.chain(quantiles).map(|(name, meaning)| Derived { name, meaning });
        Scope { parts, derived: derived.collect() }
    }
}

/// The meaning of the values in a histogram.
fn meaning(unit: &str) -> Option<Meaning> {
    match unit {
        "bytes" => Some(Meaning::Size),
        unit => Unit::of_word(unit).map(Meaning::Duration),
    }
}

/// A number that is calculated from a histogram, by its index. A quantile is the upper end of its
/// bucket. The last bucket has no upper end, so a quantile in it is larger than every number.
pub(super) fn calculated(view: &View, entry: &Entry, index: usize) -> Option<Value> {
    let Shape::Histogram { slots, edges, .. } = &view.shape else { return None };
    let count = |slots: &Slots| slots.total(entry.value());
    match index {
        0 => Some(Value::Int(i128::try_from(count(slots)).unwrap_or(i128::MAX))),
        1 => view.average?.of(entry.value(), count(slots)).map(Value::Float),
        _ => {
            let quantile = *Quantile::ALL.get(index - CALCULATED.len())?;
            let slot = slots.summary(entry.value())?.slot(quantile);
            Some(Value::Int(slots.bucket(*edges, slot).high.unwrap_or(i128::MAX)))
        }
    }
}
