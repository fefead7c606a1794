// SPDX-License-Identifier: MIT
//! Rows, panels and queries, as data.

/// The time over which Grafana's panels calculate rates: Grafana derives it from the interval of
/// scrapes and the width of the panel.
pub(super) const TIME: &str = "$__rate_interval";

/// The conditions on the target in every query.
pub(super) const TARGET: &str = r#"job=~"$job", instance=~"$instance""#;

/// A part of a dashboard that can be folded.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) title: String,
    pub(super) panels: Vec<Panel>,
}

/// A panel.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Panel {
    pub(super) title: String,
    pub(super) description: String,
    pub(super) drawing: Drawing,
    /// Grafana's ID of the unit.
    pub(super) unit: &'static str,
    pub(super) queries: Vec<Query>,
}

/// How a panel draws.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Drawing {
    /// The counts in buckets over time.
    HeatMap,
    /// Values over time.
    Lines,
    /// Shares over time, with this limit.
    Share { limit: &'static str },
}

/// A query of a panel.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Query {
    pub(super) expr: String,
    /// The name of a series, with `{{label}}`.
    pub(super) legend: String,
}

/// A list from which users select values of a label.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Variable {
    pub(super) name: String,
    /// A query for the values.
    pub(super) query: String,
    /// Whether series without the label are shown, too, if all values are selected.
    pub(super) matches_all: bool,
}

impl Query {
    pub(super) fn new(expr: String, legend: &str) -> Query {
        Query { expr, legend: legend.to_owned() }
    }
}

/// The name of a series: the values of labels.
pub(super) fn legend(labels: &[&str]) -> String {
    labels.iter().map(|label| format!("{{{{{label}}}}}")).collect::<Vec<_>>().join(" ")
}
