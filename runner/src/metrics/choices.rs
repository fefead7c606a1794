// SPDX-License-Identifier: MIT
//! What is chosen for metrics: by the annotations of a package, and by the command line, which
//! overrides them.

use std::collections::BTreeMap;

use anyhow::anyhow;
use bpfpack_metrics::{Definition, Options, UnknownMember, definitions};
use bpfpack_schemas::Meta;
use bpfpack_schemas::meta::MetricMeta;
use bpfpack_spec::Spec;

use crate::args::{MetricArg, MetricChoices, MetricDo};
use crate::failure::{Failure, exit_code};

/// The name of a package as metrics begin with it.
pub(crate) fn package_name(meta: &Meta) -> &str {
    let name = &*meta.bpf_skel.obj_name;
    name.strip_suffix("_bpf").unwrap_or(name)
}

/// What is chosen for the metrics of a package.
///
/// # Errors
/// Returns an error if the command line names a source that does not exist, or if the package has a
/// name that Prometheus does not allow.
pub(super) fn options(
    chosen: &MetricChoices,
    meta: &Meta,
    spec: &Spec,
    most_series: usize,
) -> Result<Options, Failure> {
    let choices = of(chosen, meta, spec)?;
    Ok(Options { prefix: package_name(meta).to_owned(), choices, most_series })
}

/// The metrics that a run with these sources exports.
///
/// # Errors
/// Returns an error if something is chosen that the package does not have.
pub(crate) fn defined(
    chosen: &MetricChoices,
    meta: &Meta,
    spec: &Spec,
) -> Result<Vec<Definition>, Failure> {
    let options = options(chosen, meta, spec, usize::MAX)?;
    definitions(&spec.sources, &options).map_err(unknown_member)
}

/// The choices for each source, by its name.
///
/// # Errors
/// Returns an error if the command line names a source that does not exist, or if the package has a
/// name that Prometheus does not allow.
pub(super) fn of(
    chosen: &MetricChoices,
    meta: &Meta,
    spec: &Spec,
) -> Result<BTreeMap<String, MetricMeta>, Failure> {
    let names: Vec<&str> = spec.sources.iter().map(bpfpack_spec::Source::name).collect();
    let mut choices = BTreeMap::new();
    for name in &names {
        if let Some(choice) = annotated(meta, name) {
            choices.insert((*name).to_owned(), choice);
        }
    }
    let known = |option: &str, source: &str| {
        let is_known = names.contains(&source);
        is_known.then_some(()).ok_or_else(|| {
            let text = format!("{option}: the package shows nothing that is named `{source}`");
            let hint = match names.is_empty() {
                true => "it has no data to export".to_owned(),
                false => format!("it shows {}", names.join(", ")),
            };
            Failure::usage(text).hint(hint)
        })
    };
    let mut add = |source: &str, choice: MetricMeta| {
        let before = choices.remove(source).unwrap_or_default();
        choices.insert(source.to_owned(), before.overridden_by(choice));
    };
    // Several options for a source add up; together, they replace what the package chooses.
    let mut labels: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for arg in &chosen.labels {
        let sources = match &arg.source {
            Some(source) => {
                known("--labels", source)?;
                vec![source.as_str()]
            }
            None => names.clone(),
        };
        for source in sources {
            labels.entry(source).or_default().extend(arg.members.iter().cloned());
        }
    }
    for (source, labels) in labels {
        add(source, MetricMeta { labels: Some(labels), ..MetricMeta::default() });
    }
    for MetricArg { source, member, action } in &chosen.metric {
        known("--metric", source)?;
        let member = member.clone();
        let one = || member.iter().cloned().collect();
        let choice = match action {
            MetricDo::Name(name) => {
                MetricMeta { name: Some(name.clone()), ..MetricMeta::default() }
            }
            MetricDo::Off => {
                let off = member.clone().unwrap_or_else(|| "*".to_owned());
                MetricMeta { off: vec![off], ..MetricMeta::default() }
            }
            MetricDo::Gauge => MetricMeta { gauges: one(), ..MetricMeta::default() },
            MetricDo::Counter => MetricMeta { counters: one(), ..MetricMeta::default() },
        };
        add(source, choice);
    }
    for (source, choice) in &choices {
        // Those of the command line are right already.
        choice.check_names().map_err(|error| {
            let text = anyhow!("the annotation @metric of `{source}`: {error}");
            Failure::new(exit_code::PACKAGE, text)
                .hint(format!("--metric {source}=NAME and --labels {source}:MEMBER choose others"))
        })?;
    }
    Ok(choices)
}

/// The choice in the annotations of a map or variable.
fn annotated(meta: &Meta, name: &str) -> Option<MetricMeta> {
    let of_map = meta.bpf_skel.maps.iter().find(|map| map.name == name || map.ident == name);
    let of_variable = || {
        let sections = &meta.bpf_skel.data_sections;
        sections.iter().flat_map(|section| &section.variables).find(|it| it.name == name)
    };
    match of_map {
        Some(map) => map.metric.clone(),
        None => of_variable().and_then(|variable| variable.metric.clone()),
    }
}

/// The failure if a label is chosen that does not exist.
pub(super) fn unknown_member(error: UnknownMember) -> Failure {
    let UnknownMember { source, member, known } = error;
    let text = format!("`{source}` has no member `{member}` that can be a label");
    Failure::usage(text).hint(match known.is_empty() {
        true => "none of its members can".to_owned(),
        false => format!("these can: {}", known.join(", ")),
    })
}
