// SPDX-License-Identifier: MIT
//! The metrics of a run before it begins: their names, types, units and labels, without values.

use std::collections::{BTreeMap, HashSet};

use bpfpack_decode::Layout;
use bpfpack_schemas::meta::MetricMeta;
use bpfpack_spec::Source;

use crate::containers::Part;
use crate::define::{Defined, From, Label, Metric, UnknownMember, define};
use crate::name::{join, name, unique};
use crate::{Kind, Unit};

/// What is chosen for the metrics of a run.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The name of the package, which begins the names of metrics.
    pub prefix: String,
    /// What is chosen for a source, by its name.
    pub choices: BTreeMap<String, MetricMeta>,
    /// The maximum number of series of a metric. What exceeds it is added to the series whose labels
    /// are [`crate::OTHER`].
    pub most_series: usize,
}

/// A metric, as [`crate::Family`] has it, without its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// The name of its source.
    pub source: String,
    /// Its name, with its unit, without the suffixes of a format.
    pub name: String,
    /// What it is, in a sentence.
    pub help: String,
    /// Its type.
    pub kind: Kind,
    /// Its unit.
    pub unit: Option<Unit>,
    /// Its labels.
    pub labels: Vec<LabelDefinition>,
    /// Whether it is a histogram whose values have a sum.
    pub has_sum: bool,
}

/// A label of a metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelDefinition {
    /// Its name.
    pub name: String,
    /// Whether its type allows only a few values: an enum, a list of names, a flag.
    pub has_few_values: bool,
}

/// Defines the metrics of all sources, in their order.
///
/// # Errors
/// Returns an error if a label is chosen that a source does not have.
pub fn definitions(
    sources: &[Source],
    options: &Options,
) -> Result<Vec<Definition>, UnknownMember> {
    let mut found = Vec::new();
    for (source, defined) in sources.iter().zip(define_all(sources, options)?) {
        for ty in &defined.types {
            let labels: Vec<LabelDefinition> = ty.labels.iter().map(label).collect();
            let of = |metric: &Metric| Definition {
                source: source.name().to_owned(),
                name: metric.name.clone(),
                help: metric.help.clone(),
                kind: metric.kind,
                unit: metric.scale.unit,
                labels: labels.clone(),
                has_sum: matches!(&metric.from, From::Slots { average: Some(_), .. }),
            };
            found.extend(ty.metrics.iter().map(of));
        }
    }
    Ok(found)
}

fn label(label: &Label) -> LabelDefinition {
    let few = matches!(label.member.layout, Layout::Bool | Layout::Enum { .. })
        || matches!(label.member.layout, Layout::Label { .. });
    let has_few_values = match label.part {
        // There are few on a node.
        Some(part) => part == Part::Namespace,
        None => few,
    };
    LabelDefinition { name: label.name.clone(), has_few_values }
}

/// Defines the metrics of all sources. No two have the same name.
pub(crate) fn define_all(
    sources: &[Source],
    options: &Options,
) -> Result<Vec<Defined>, UnknownMember> {
    let mut taken = HashSet::new();
    let mut all = Vec::new();
    for source in sources {
        let choice = options.choices.get(source.name()).cloned().unwrap_or_default();
        let mut defined = define(source, &options.prefix, &choice)?;
        if choice.name.is_none() && names(&defined).any(|name| taken.contains(name)) {
            // Two sources with generic names would get the same metric names.
            let own = join(&[Some(&name(&options.prefix)), Some(&name(source.name()))]);
            let choice = MetricMeta { name: Some(own), ..choice };
            defined = define(source, &options.prefix, &choice)?;
        }
        for metric in defined.types.iter_mut().flat_map(|ty| &mut ty.metrics) {
            metric.name = unique(std::mem::take(&mut metric.name), &mut taken);
        }
        all.push(defined);
    }
    Ok(all)
}

fn names(defined: &Defined) -> impl Iterator<Item = &str> {
    defined.types.iter().flat_map(|ty| &ty.metrics).map(|metric| &*metric.name)
}
