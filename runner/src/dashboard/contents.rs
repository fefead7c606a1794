// SPDX-License-Identifier: MIT
//! What a dashboard shows: a row of panels for each source, and one for losses and health.

use std::collections::BTreeMap;

use bpfpack_metrics::{Definition, Kind, Unit};
use bpfpack_schemas::printable::one_line;

use super::health;
use super::panels::{Drawing, Panel, Query, Row, TARGET, TIME, Variable, legend};
use super::promql::{
    bucket, increase, largest, of_package, quantile, quoted, rate, stored, sum, total,
};
use super::subject::Subject;

/// The rows.
pub(super) fn rows(subject: &Subject) -> Vec<Row> {
    let variables = of_labels(subject);
    let row = |metrics: &[Definition]| Row {
        title: one_line(&metrics[0].source).into_owned(),
        panels: metrics.iter().flat_map(|metric| panels(metric, &variables)).collect(),
    };
    subject.by_source().map(row).chain([health::row(subject)]).collect()
}

/// The lists of values: targets that run the package, and labels with few values.
pub(super) fn variables(subject: &Subject) -> Vec<Variable> {
    let runs = |more: &[&str]| of_package(&subject.package, more);
    let target = |name: &str, query: String| Variable {
        name: name.to_owned(),
        query,
        // Metrics of the process have no label of the package, so the targets are listed.
        matches_all: false,
    };
    let mut variables = vec![
        target("job", format!("label_values({}, job)", runs(&[]))),
        target("instance", format!("label_values({}, instance)", runs(&[r#"job=~"$job""#]))),
    ];
    variables.extend(of_labels(subject).into_iter().map(|(name, metrics)| {
        let metrics: Vec<String> = metrics.into_iter().map(samples).collect();
        let selector = match &metrics[..] {
            [one] => format!("{one}{{{TARGET}}}"),
            several => format!("{{__name__=~{}, {TARGET}}}", quoted(&several.join("|"))),
        };
        let query = format!("label_values({selector}, {name})");
        Variable { name, query, matches_all: true }
    }));
    variables
}

/// The labels with few values, with the metrics that have them.
fn of_labels(subject: &Subject) -> BTreeMap<String, Vec<&Definition>> {
    let mut found: BTreeMap<String, Vec<&Definition>> = BTreeMap::new();
    for metric in &subject.metrics {
        for label in metric.labels.iter().filter(|label| label.has_few_values) {
            found.entry(stored(&label.name)).or_default().push(metric);
        }
    }
    // The variable for the data source has this name.
    found.remove("datasource");
    found
}

/// The name of samples that each series of a metric has.
fn samples(metric: &Definition) -> String {
    match metric.kind {
        Kind::Histogram => format!("{}_count", metric.name),
        kind => format!("{}{}", metric.name, kind.suffix()),
    }
}

/// The panels of a metric.
fn panels(metric: &Definition, variables: &BTreeMap<String, Vec<&Definition>>) -> Vec<Panel> {
    let labels: Vec<String> = metric.labels.iter().map(|label| stored(&label.name)).collect();
    let mut conditions = TARGET.to_owned();
    for label in labels.iter().filter(|label| variables.contains_key(*label)) {
        conditions.push_str(&format!(", {label}=~\"${label}\""));
    }
    let of = |samples: &str| format!("{samples}{{{conditions}}}");
    let panel = |what: &str, drawing: Drawing, unit: &'static str, queries: Vec<Query>| Panel {
        title: format!("{}{what}", metric.name),
        description: one_line(&metric.help).into_owned(),
        drawing,
        unit,
        queries,
    };
    let by_labels = |samples: &str| {
        let rates = rate(&of(samples), TIME);
        let by: Vec<&str> = labels.iter().map(|label| &**label).collect();
        match by.is_empty() {
            true => Query::new(sum(&["instance"], &rates), "{{instance}}"),
            false => Query::new(largest(&sum(&by, &rates)), &legend(&by)),
        }
    };
    let rates = |what: &str, unit: &'static str, samples: &str| {
        panel(what, Drawing::Lines, unit, vec![by_labels(samples)])
    };
    match metric.kind {
        Kind::Histogram => {
            let buckets = of(&bucket(&metric.name));
            let counts = sum(&["le"], &increase(&buckets, TIME));
            let by_node = sum(&["le", "instance"], &rate(&buckets, TIME));
            let of_quantile = |part: f64, name: &str| {
                Query::new(quantile(part, &by_node), &format!("{name} {{{{instance}}}}"))
            };
            let unit = unit_of_values(metric.unit);
            let quantiles = vec![of_quantile(0.5, "p50"), of_quantile(0.99, "p99")];
            let counts = vec![Query::new(counts, "{{le}}")];
            let mut panels = vec![
                panel(": distribution", Drawing::HeatMap, unit, counts),
                panel(": p50 and p99", Drawing::Lines, unit, quantiles),
                rates(": rate", "cps", &format!("{}_count", metric.name)),
            ];
            if metric.has_sum {
                let unit = unit_of_rates(metric.unit);
                panels.push(rates(": sum per second", unit, &format!("{}_sum", metric.name)));
            }
            panels
        }
        Kind::Counter => {
            vec![rates(" per second", unit_of_rates(metric.unit), &total(&metric.name))]
        }
        Kind::Gauge | Kind::Info => {
            let names: Vec<&str> =
                ["instance"].into_iter().chain(labels.iter().map(|label| &**label)).collect();
            let query = Query::new(largest(&of(&metric.name)), &legend(&names));
            vec![panel("", Drawing::Lines, unit_of_values(metric.unit), vec![query])]
        }
    }
}

fn unit_of_values(unit: Option<Unit>) -> &'static str {
    match unit {
        None => "short",
        Some(Unit::Seconds) => "s",
        Some(Unit::Bytes) => "bytes",
    }
}

fn unit_of_rates(unit: Option<Unit>) -> &'static str {
    match unit {
        None => "cps",
        // More than one second in a second is possible: several CPUs or threads count.
        Some(Unit::Seconds) => "suffix: s/s",
        Some(Unit::Bytes) => "binBps",
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{definition, subject};
    use super::*;

    fn exprs(metric: Definition) -> Vec<String> {
        let rows = rows(&subject(vec![metric]));
        let panels = rows[0].panels.iter().flat_map(|panel| &panel.queries);
        panels.map(|query| query.expr.clone()).collect()
    }

    #[test]
    fn counters_are_shown_as_rates_by_their_labels() {
        let of = |labels: &[&str]| exprs(definition("calls", Kind::Counter, None, labels));
        let target = r#"job=~"$job", instance=~"$instance""#;
        let rates = format!("rate(calls_total{{{target}}}[$__rate_interval])");
        assert_eq!(of(&[]), [format!("sum by (instance) ({rates})")]);
        let by = format!("topk(10, sum by (comm, exported_job) ({rates}))");
        assert_eq!(of(&["comm", "job"]), [by]);
        let selected = rates.replace("$instance\"", "$instance\", few_kind=~\"$few_kind\"");
        assert_eq!(of(&["few_kind"]), [format!("topk(10, sum by (few_kind) ({selected}))")]);
    }

    #[test]
    fn histograms_have_heat_maps_and_quantiles() {
        let metric = definition("took_seconds", Kind::Histogram, Some(Unit::Seconds), &["comm"]);
        let metric = Definition { has_sum: true, ..metric };
        let found = exprs(metric);
        let begin = |at: usize, text: &str| assert!(found[at].starts_with(text), "{found:?}");
        assert_eq!(found.len(), 5);
        begin(0, "sum by (le) (increase(took_seconds_bucket{");
        begin(1, "histogram_quantile(0.5, sum by (le, instance) (rate(took_seconds_bucket{");
        begin(2, "histogram_quantile(0.99, sum by (le, instance) (rate(");
        begin(3, "topk(10, sum by (comm) (rate(took_seconds_count{");
        begin(4, "topk(10, sum by (comm) (rate(took_seconds_sum{");
    }

    #[test]
    fn labels_with_few_values_can_be_selected() {
        let one = definition("a", Kind::Gauge, None, &["few_kind", "comm", "few_datasource"]);
        let two = definition("b", Kind::Counter, None, &["few_kind"]);
        let found = variables(&subject(vec![one.clone()]));
        let names: Vec<&str> = found.iter().map(|variable| &*variable.name).collect();
        assert_eq!(names, ["job", "instance", "few_datasource", "few_kind"]);
        assert_eq!(found[0].query, r#"label_values(bpfpack_package_info{package="tool"}, job)"#);
        let target = r#"job=~"$job", instance=~"$instance""#;
        assert_eq!(found[3].query, format!("label_values(a{{{target}}}, few_kind)"));
        let found = variables(&subject(vec![one, two]));
        let both = format!("label_values({{__name__=~\"a|b_total\", {target}}}, few_kind)");
        assert_eq!(found[3].query, both);
    }

    #[test]
    fn gauges_are_shown_as_they_are() {
        let found = exprs(definition("depth", Kind::Gauge, None, &["cpu"]));
        assert_eq!(found, [r#"topk(10, depth{job=~"$job", instance=~"$instance"})"#]);
        assert_eq!(legend(&["instance", "cpu"]), "{{instance}} {{cpu}}");
    }
}
