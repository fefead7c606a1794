// SPDX-License-Identifier: MIT
//! Decides which metrics a source becomes, from its spec and from what the user and the package
//! choose.
//!
//! - A histogram becomes a histogram in base units; the members of its key are labels.
//! - A table becomes a counter or a gauge for each number in its value. Members of the key are
//!   labels, and so is what names something in the value: strings, users, interfaces.
//! - Records become a counter of records for each type, and a counter for each duration and size.
//!   Members become labels only if they are chosen: any process could make new series.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use bpfpack_decode::meaning::Meaning;
use bpfpack_decode::{Edges, Layout, Member, Slots};
use bpfpack_schemas::meta::MetricMeta;
use bpfpack_spec::{Average, RecordType, Shape, Source, Stream, View};

use crate::containers::Part;
use crate::name::{Scale, join, name, of_member, of_source, unique};
use crate::{Bounds, Exponential, Kind};

/// The metrics of a source.
#[derive(Debug)]
pub(crate) struct Defined {
    /// Of a view one, of a stream one for each record type.
    pub(crate) types: Vec<DefinedType>,
}

/// The metrics of entries or records of a type. All have the same labels.
#[derive(Debug)]
pub(crate) struct DefinedType {
    pub(crate) labels: Vec<Label>,
    pub(crate) metrics: Vec<Metric>,
}

/// A label.
#[derive(Debug)]
pub(crate) struct Label {
    /// Its name.
    pub(crate) name: String,
    /// The member.
    pub(crate) member: Member,
    /// Whether it is a member of the value, not of the key. Records have values.
    pub(crate) is_in_value: bool,
    /// If the member is a cgroup: what the label says of its container.
    pub(crate) part: Option<Part>,
}

/// A metric.
#[derive(Debug)]
pub(crate) struct Metric {
    /// Its name, with its unit.
    pub(crate) name: String,
    pub(crate) help: String,
    pub(crate) kind: Kind,
    pub(crate) scale: Scale,
    pub(crate) from: From,
}

/// Where the numbers of a metric come from.
#[derive(Debug)]
pub(crate) enum From {
    /// Each record counts as one.
    Records,
    /// A member of the value.
    Member(Member),
    /// The slots of a histogram.
    Slots { slots: Slots, bounds: Arc<Bounds>, average: Option<Average> },
}

/// A choice that names something that a source does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownMember {
    /// The source.
    pub source: String,
    /// The member.
    pub member: String,
    /// The members that can be labels.
    pub known: Vec<String>,
}

/// Defines the metrics of a source. `prefix` is the name of the package, and `choice` what is chosen
/// for the source.
///
/// # Errors
/// Returns an error if a label is chosen that the source does not have.
pub(crate) fn define(
    source: &Source,
    prefix: &str,
    choice: &MetricMeta,
) -> Result<Defined, UnknownMember> {
    let types = match source {
        Source::View(view) => vec![of_view(view, prefix, choice)?],
        Source::Stream(stream) => of_stream(stream, prefix, choice)?,
    };
    Ok(Defined { types })
}

fn of_view(view: &View, prefix: &str, choice: &MetricMeta) -> Result<DefinedType, UnknownMember> {
    let keys = view.key.as_ref().map_or(Vec::new(), |key| leaves(key, "key"));
    let is_stack = |member: &Member| view.stacks.iter().any(|stack| stack.is_made_of(member));
    let mut possible: Vec<Label> = Vec::new();
    for member in keys.into_iter().filter(|member| !is_stack(member)) {
        possible.push(Label { name: name(&member.name), member, is_in_value: false, part: None });
    }
    let mut values = leaves(&view.value, "value");
    if let Shape::Histogram { slots, .. } = &view.shape {
        let average = view.average;
        let of_average = |offset| {
            let fields = average.map(|average| [Some(average.sum), average.count]);
            fields.into_iter().flatten().flatten().any(|field| field.offset == offset)
        };
        values.retain(|member| member.offset != slots.offset && !of_average(member.offset));
    }
    let (named, numbers): (Vec<Member>, Vec<Member>) = values.into_iter().partition(names);
    for member in named {
        possible.push(Label { name: name(&member.name), member, is_in_value: true, part: None });
    }
    let labels = with_containers(choose(possible, choice, &view.name, true)?);
    let base = base(choice, prefix, &view.name);
    let mut metrics = Vec::new();
    if let Shape::Histogram { slots, edges, unit } = &view.shape
        && !choice.is_off("*")
    {
        let scale = Scale::of_text(unit);
        let bounds = Arc::new(bounds(*slots, *edges, scale));
        metrics.push(Metric {
            name: join(&[Some(&base), scale.unit.map(crate::Unit::name)]),
            help: help(choice, &format!("The histogram `{}` of `{prefix}`.", view.name)),
            kind: Kind::Histogram,
            scale,
            from: From::Slots { slots: *slots, bounds, average: view.average },
        });
    }
    for member in numbers {
        if !is_number(&member) || choice.is_off(&member.name) {
            continue;
        }
        let what = format!("`{}` of the map `{}` of `{prefix}`.", member.name, view.name);
        let is_counter = view.counters.iter().any(|field| field.offset == member.offset)
            && !matches!(member.layout, Layout::Int { signed: true, .. });
        let is_counter = is_counter && !choice.gauges.contains(&member.name)
            || choice.counters.contains(&member.name);
        metrics.push(number(member, &base, is_counter, help(choice, &what)));
    }
    Ok(DefinedType { labels, metrics })
}

fn of_stream(
    stream: &Stream,
    prefix: &str,
    choice: &MetricMeta,
) -> Result<Vec<DefinedType>, UnknownMember> {
    let members = |ty: &RecordType| leaves(ty.all(), "value");
    let mut missing = BTreeSet::new();
    let mut defined = Vec::new();
    for ty in &stream.records {
        let possible = |member: Member| Label {
            name: name(&member.name),
            member,
            is_in_value: true,
            part: None,
        };
        let possible: Vec<Label> = members(ty).into_iter().map(possible).collect();
        // With several types, a type may lack a member that another one has.
        let has = |chosen: &&String| {
            let wanted = chosen.split('=').next().unwrap_or_default();
            possible.iter().any(|label| label.member.is_called(wanted))
        };
        let (there, lacking): (Vec<&String>, Vec<&String>) =
            choice.labels.iter().flatten().partition(has);
        missing.extend(lacking.into_iter().filter(|chosen| {
            let wanted = chosen.split('=').next().unwrap_or_default();
            let in_type = |ty| members(ty).iter().any(|member| member.is_called(wanted));
            !stream.records.iter().any(in_type)
        }));
        let there = choice.labels.as_ref().map(|_| there.into_iter().cloned().collect());
        let of_type = MetricMeta { labels: there, ..choice.clone() };
        let labels = with_containers(choose(possible, &of_type, &stream.name, false)?);
        defined.push(DefinedType { labels, metrics: of_records(stream, ty, prefix, choice) });
    }
    if let Some(member) = missing.into_iter().next() {
        let known: BTreeSet<String> =
            stream.records.iter().flat_map(members).map(|member| member.name).collect();
        return Err(UnknownMember {
            source: stream.name.clone(),
            member: member.split('=').next().unwrap_or_default().to_owned(),
            known: known.into_iter().collect(),
        });
    }
    Ok(defined)
}

fn of_records(stream: &Stream, ty: &RecordType, prefix: &str, choice: &MetricMeta) -> Vec<Metric> {
    let several = stream.records.len() > 1;
    let of_type = several.then(|| name(&ty.name));
    let base = join(&[Some(&base(choice, prefix, &stream.name)), of_type.as_deref()]);
    let mut metrics = Vec::new();
    let what = if several { format!("Records `{}`", ty.name) } else { "Records".to_owned() };
    if !choice.is_off("events") {
        let text = format!("{what} in the buffer `{}` of `{prefix}`.", stream.name);
        let name =
            if choice.name.is_some() { base.clone() } else { join(&[Some(&base), Some("events")]) };
        metrics.push(Metric {
            name,
            help: help(choice, &text),
            kind: Kind::Counter,
            scale: Scale::ONE,
            from: From::Records,
        });
    }
    for member in leaves(ty.all(), "value") {
        let is_quantity = matches!(member.meaning, Some(Meaning::Duration(_) | Meaning::Size))
            && is_integer(&member);
        let is_wanted =
            is_quantity || choice.counters.contains(&member.name) && is_integer(&member);
        if is_wanted && !choice.is_off(&member.name) {
            let text = format!(
                "Sum of `{}` of the records in `{}` of `{prefix}`.",
                member.name, stream.name
            );
            metrics.push(number(member, &base, true, help(choice, &text)));
        }
    }
    metrics
}

/// The beginning of the names of metrics of a source.
fn base(choice: &MetricMeta, prefix: &str, source: &str) -> String {
    let own = || join(&[Some(&name(prefix)), of_source(source).as_deref()]);
    choice.name.clone().unwrap_or_else(own)
}

fn help(choice: &MetricMeta, otherwise: &str) -> String {
    choice.help.clone().unwrap_or_else(|| otherwise.to_owned())
}

fn number(member: Member, base: &str, is_counter: bool, help: String) -> Metric {
    let scale = Scale::of_meaning(member.meaning);
    let stem = of_member(&member.name, scale);
    let unit = scale.unit.map(crate::Unit::name);
    let kind = if is_counter { Kind::Counter } else { Kind::Gauge };
    let name = join(&[Some(base), stem.as_deref(), unit]);
    // The format appends this again.
    let name = match name.strip_suffix("_total") {
        Some(stem) if is_counter => stem.to_owned(),
        _ => name,
    };
    Metric { name, help, kind, scale, from: From::Member(member) }
}

/// The labels that are chosen; all of those that are possible if none are chosen and `all` is set.
fn choose(
    possible: Vec<Label>,
    choice: &MetricMeta,
    source: &str,
    all: bool,
) -> Result<Vec<Label>, UnknownMember> {
    let Some(chosen) = &choice.labels else {
        let is_good =
            |label: &Label| is_good_label(&label.member) && !choice.is_off(&label.member.name);
        return Ok(if all { possible.into_iter().filter(is_good).collect() } else { Vec::new() });
    };
    let mut possible: Vec<Option<Label>> = possible.into_iter().map(Some).collect();
    let mut labels = Vec::new();
    for text in chosen {
        let (wanted, new) = match text.split_once('=') {
            Some((wanted, new)) => (wanted, Some(new)),
            None => (&**text, None),
        };
        let is_it = |label: &&mut Option<Label>| {
            label.as_ref().is_some_and(|label| label.member.is_called(wanted))
        };
        let found = possible.iter_mut().find(is_it).and_then(Option::take);
        let Some(label) = found else {
            let known = possible.iter().flatten().map(|label| label.member.name.clone());
            let known = known.chain(labels.iter().map(|label: &Label| label.member.name.clone()));
            return Err(UnknownMember {
                source: source.to_owned(),
                member: wanted.to_owned(),
                known: known.collect(),
            });
        };
        labels.push(Label { name: new.map_or(label.name, str::to_owned), ..label });
    }
    Ok(labels)
}

/// Adds the labels of containers behind those of cgroups, and gives each label a name of its own.
fn with_containers(labels: Vec<Label>) -> Vec<Label> {
    let mut all: Vec<Label> = Vec::new();
    let mut taken = HashSet::from(["le".to_owned(), "quantile".to_owned()]);
    let mut push = |mut label: Label| {
        label.name = unique(label.name, &mut taken);
        all.push(label);
    };
    for label in labels {
        let is_cgroup = label.member.meaning == Some(Meaning::Cgroup);
        let (member, is_in_value) = (label.member.clone(), label.is_in_value);
        push(label);
        for (part, name) in Part::ALL.into_iter().filter(|_| is_cgroup) {
            let (name, member) = (name.to_owned(), member.clone());
            push(Label { name, member, is_in_value, part: Some(part) });
        }
    }
    all
}

/// Whether a member of a key should be a label unless others are chosen: times and pointers differ
/// each time.
fn is_good_label(member: &Member) -> bool {
    !matches!(member.meaning, Some(Meaning::Clock(_)))
        && !matches!(member.layout, Layout::Pointer | Layout::Rest { .. } | Layout::Float { .. })
}

/// Whether a member of a value names something, and is no number to add up.
fn names(member: &Member) -> bool {
    let is_id = |name: &str| ["pid", "tid", "tgid", "ppid"].contains(&name);
    match (&member.layout, member.meaning) {
        (Layout::Text { .. } | Layout::Enum { .. } | Layout::Label { .. } | Layout::Bool, _) => {
            true
        }
        (Layout::Int { .. }, Some(Meaning::Duration(_) | Meaning::Size | Meaning::Plain)) => false,
        (Layout::Int { .. }, Some(Meaning::Clock(_) | Meaning::KernelAddress | Meaning::Hex)) => {
            false
        }
        (Layout::Int { .. }, Some(_)) => true,
        (Layout::Int { .. }, None) => is_id(member.name.rsplit('_').next().unwrap_or_default()),
        (_, Some(Meaning::Ip(_) | Meaning::Ipv6(_) | Meaning::Mac | Meaning::Text)) => true,
        _ => false,
    }
}

/// Whether a member of a value is a number that can be a metric: no time of day, no address.
fn is_number(member: &Member) -> bool {
    match member.meaning {
        Some(Meaning::Clock(_) | Meaning::KernelAddress | Meaning::Hex) => false,
        _ => is_integer(member) || matches!(member.layout, Layout::Float { .. }),
    }
}

fn is_integer(member: &Member) -> bool {
    matches!(member.layout, Layout::Int { .. })
}

/// The members of a layout that are not structs themselves. Members of inner structs have the names
/// of both, with a `_` between. A value that is not a struct is a member `bare`.
#[must_use]
pub fn leaves(layout: &Layout, bare: &str) -> Vec<Member> {
    let mut found = Vec::new();
    for member in layout.members(bare) {
        match &member.layout {
            Layout::Struct(_) if member.bits.is_none() => {
                let inner = leaves(&member.layout, "value");
                found.extend(inner.into_iter().map(|inner| Member {
                    name: format!("{}_{}", member.name, inner.name),
                    offset: member.offset + inner.offset,
                    meaning: inner.meaning.map(|meaning| meaning.moved(member.offset)),
                    ..inner
                }));
            }
            _ => found.push(member),
        }
    }
    found
}

/// The bounds of a histogram.
#[allow(clippy::cast_precision_loss)] // bounds are floats in all formats
fn bounds(slots: Slots, edges: Edges, scale: Scale) -> Bounds {
    // Packages that round slots up mean the same with times that were rounded down.
    let is_up = matches!(edges, Edges::Log2Up | Edges::Log2ZeroUp);
    let is_between = scale.is_rounded() && !is_up;
    let upper = |slot: usize| {
        let edge = if is_between { edges.of(slot + 1).0 } else { edges.of(slot).1 };
        scale.apply(edge as f64)
    };
    let exponent = scale.exponent();
    let power = |exponent: i32| 2f64.powi(exponent);
    let exponential = match edges {
        // Slot 0 has zero and one, slot 1 has two and three.
        Edges::Log2 => Some((power(exponent + i32::from(scale.is_rounded())), exponent + 2)),
        Edges::Log2Zero if scale.is_rounded() => Some((power(exponent), exponent + 1)),
        Edges::Log2Zero => Some((0.0, exponent + 1)),
        // Slot 1 has two.
        Edges::Log2Up => Some((power(exponent), exponent + 1)),
        Edges::Log2ZeroUp => Some((0.0, exponent)),
        Edges::Linear { .. } => None,
    };
    Bounds {
        upper: (0..slots.len.saturating_sub(1)).map(upper).collect(),
        exponential: exponential.map(|(zero_threshold, first)| Exponential {
            has_zero: true,
            zero_threshold,
            first,
        }),
    }
}

/// Whether all integers in the values of a view are counters: differences from one reading to the
/// next would change others, such as the ID of a process. `choice` is what is chosen for its metrics.
#[must_use]
pub fn has_only_counters(view: &View, choice: Option<&MetricMeta>) -> bool {
    let slots = match &view.shape {
        Shape::Histogram { slots, .. } => Some(slots.offset),
        _ => None,
    };
    let is_gauge = |name: &String| choice.is_some_and(|choice| choice.gauges.contains(name));
    let is_counter = |member: &Member| match &member.layout {
        Layout::Int { signed, .. } => {
            let field = view.counters.iter().any(|field| field.offset == member.offset);
            !signed && field && is_number(member) && !names(member) && !is_gauge(&member.name)
        }
        Layout::Text { .. } => true,
        Layout::Array { .. } => slots == Some(member.offset),
        _ => false,
    };
    leaves(&view.value, "value").iter().all(is_counter)
}
