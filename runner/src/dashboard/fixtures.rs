// SPDX-License-Identifier: MIT
//! Metrics for tests.

use bpfpack_metrics::{Definition, Kind, LabelDefinition, Unit};

use super::subject::Subject;

/// A metric. Labels that begin with `few_` have few values.
pub(super) fn definition(
    name: &str,
    kind: Kind,
    unit: Option<Unit>,
    labels: &[&str],
) -> Definition {
    let label = |label: &&str| LabelDefinition {
        name: (*label).to_owned(),
        has_few_values: label.starts_with("few_"),
    };
    Definition {
        source: format!("map_{name}"),
        name: name.to_owned(),
        help: format!("What is {name}."),
        kind,
        unit,
        labels: labels.iter().map(label).collect(),
        has_sum: false,
    }
}

/// A package `tool` with these metrics.
pub(super) fn subject(metrics: Vec<Definition>) -> Subject {
    Subject { package: "tool".to_owned(), metrics, has_buffers: true, has_maps: true }
}
