// SPDX-License-Identifier: MIT
//! Recording and alerting rules. Names of recorded series are `level:metric:operations`:
//! <https://prometheus.io/docs/practices/rules/>.

use bpfpack_metrics::{Definition, Kind};

use super::promql::{ON, bucket, increase, of_package, quantile, rate, sum, total};
use super::subject::Subject;
use crate::metrics::names;

/// The share of its room from which a map is nearly full.
pub(super) const FULL: &str = "0.9";

/// The time over which recorded rates are calculated.
const TIME: &str = "5m";

/// The time in which something that was lost raises an alert.
const RECENTLY: &str = "15m";

/// How long a target that ran the package is expected to come back.
const MEMORY: &str = "1d";

/// A group of rules, which are evaluated one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) rules: Vec<Rule>,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rule {
    /// Keeps the values of an expression.
    Record { name: String, expr: String },
    /// Raises an alert for each value of an expression.
    Alert(Alert),
}

/// An alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Alert {
    pub(super) name: &'static str,
    pub(super) expr: String,
    /// How long the expression must have a value.
    pub(super) time: &'static str,
    pub(super) severity: &'static str,
    /// Texts of ours, in which Prometheus expands `{{ … }}`. Names in packages are only in
    /// expressions.
    pub(super) summary: &'static str,
    pub(super) description: &'static str,
}

/// The rules of a package.
pub(super) fn groups(subject: &Subject) -> Vec<Group> {
    let recorded: Vec<Rule> = subject.metrics.iter().flat_map(recorded).collect();
    let group = |what: &str, rules| Group { name: format!("{} {what}", subject.package), rules };
    let groups = [group("rates", recorded), group("alerts", alerts(subject))];
    groups.into_iter().filter(|group| !group.rules.is_empty()).collect()
}

/// The rules that record a metric: rates, and quantiles of histograms; of each instance, and of all
/// instances of a job.
fn recorded(metric: &Definition) -> Vec<Rule> {
    let record = |name: String, expr: String| Rule::Record { name, expr };
    let (instance, job): (&[&str], &[&str]) = (&["job", "instance"], &["job"]);
    match metric.kind {
        Kind::Histogram => {
            let name = &metric.name;
            let mut rules = Vec::new();
            let mut from = rate(&bucket(name), TIME);
            for (level, labels) in [("instance", instance), ("job", job)] {
                let rates = format!("{level}:{}:rate{TIME}", bucket(name));
                rules.push(record(rates.clone(), sum(&[labels, &["le"]].concat(), &from)));
                for (part, what) in [(0.5, "p50"), (0.99, "p99")] {
                    let expr = quantile(part, &rates);
                    rules.push(record(format!("{level}:{name}:{what}_rate{TIME}"), expr));
                }
                from = rates;
            }
            rules
        }
        Kind::Counter => {
            let rates = format!("instance:{}:rate{TIME}", metric.name);
            let of_instance = sum(instance, &rate(&total(&metric.name), TIME));
            let of_job = record(format!("job:{}:rate{TIME}", metric.name), sum(job, &rates));
            vec![record(rates, of_instance), of_job]
        }
        Kind::Gauge | Kind::Info => Vec::new(),
    }
}

fn alerts(subject: &Subject) -> Vec<Rule> {
    let package = of_package(&subject.package, &[]);
    let of_tracers = |of: &str| format!("max by ({ON}, package) ({of})");
    let with_package =
        |expr: &str| format!("{expr} * on ({ON}) group_left (package) {}", of_tracers(&package));
    let by = |labels: &[&str], name: &str| {
        sum(&[&[ON], labels].concat(), &increase(&total(name), RECENTLY))
    };
    let mut alerts = Vec::new();
    if subject.has_buffers {
        let somewhere = by(&[], names::LOST_SOMEWHERE);
        let lost = format!("({} or {somewhere})", by(&["source"], names::LOST));
        alerts.push(Alert {
            name: "BpfpackRecordsLost",
            expr: format!("{} > 0", with_package(&lost)),
            time: "0s",
            severity: "warning",
            summary: "{{ $labels.package }} lost records on {{ $labels.instance }}",
            description: "{{ $value | humanize }} records were lost in 15 minutes, because \
                          {{ with $labels.source }}the buffer {{ . }}{{ else }}a buffer{{ end }} \
                          was full. Make it larger with --map-entries, or filter in the programs.",
        });
    }
    if subject.has_maps {
        let fill = format!("{} / {}", names::ELEMENTS, names::MAX_ELEMENTS);
        alerts.push(Alert {
            name: "BpfpackMapNearlyFull",
            expr: format!("{} > {FULL}", with_package(&fill)),
            time: "5m",
            severity: "warning",
            summary: "A map of {{ $labels.package }} is nearly full on {{ $labels.instance }}",
            description: "{{ $value | humanizePercentage }} of the map {{ $labels.map }} are \
                          used. When it is full, new keys are not counted. Make it larger with \
                          --map-entries.",
        });
    }
    alerts.push(Alert {
        name: "BpfpackSeriesMerged",
        expr: format!("{} > 0", with_package(&by(&["source"], names::MERGED))),
        time: "0s",
        severity: "warning",
        summary: "{{ $labels.package }} has too many series on {{ $labels.instance }}",
        description: "{{ $value | humanize }} keys of {{ $labels.source }} were added to the \
                      series _other_ in 15 minutes. Choose fewer labels with --labels, or raise \
                      --max-series.",
    });
    let before = of_tracers(&format!("last_over_time({package}[{MEMORY}])"));
    let of_target = format!("{before} and on (job, instance) (up == 0)");
    let of_tracer = format!("{before} and on ({ON}) ({} == 0)", names::TRACER_UP);
    alerts.push(Alert {
        name: "BpfpackTracerDown",
        expr: format!("{of_target} or {of_tracer}"),
        time: "5m",
        severity: "warning",
        summary: "{{ $labels.package }} is down on {{ $labels.instance }}",
        description: "{{ $labels.package }} ran within a day. Now Prometheus cannot scrape \
                      {{ $labels.instance }}, or `ecli serve` there does not run the tracer.",
    });
    alerts.push(Alert {
        name: "BpfpackTracerAbsent",
        expr: format!("absent({package})"),
        time: "10m",
        severity: "warning",
        summary: "{{ $labels.package }} runs nowhere",
        description: "No target exports the metrics of {{ $labels.package }}.",
    });
    alerts.into_iter().map(Rule::Alert).collect()
}

#[cfg(test)]
mod tests {
    use bpfpack_metrics::Unit;

    use super::super::fixtures::{definition, subject};
    use super::*;

    #[test]
    fn recorded_series_have_the_names_that_prometheus_recommends() {
        let found = |kind, unit| {
            let rules = recorded(&definition("took_seconds", kind, unit, &["comm"]));
            let rule = |rule| match rule {
                Rule::Record { name, expr } => format!("{name} = {expr}"),
                Rule::Alert(alert) => alert.name.to_owned(),
            };
            rules.into_iter().map(rule).collect::<Vec<_>>()
        };
        let buckets = "took_seconds_bucket";
        let quantiles = |level: &str| {
            [("50", "0.5"), ("99", "0.99")].map(|(percent, part)| {
                format!(
                    "{level}:took_seconds:p{percent}_rate5m = \
                     histogram_quantile({part}, {level}:{buckets}:rate5m)"
                )
            })
        };
        let of_instance =
            format!("instance:{buckets}:rate5m = sum by (job, instance, le) (rate({buckets}[5m]))");
        let of_job = format!("job:{buckets}:rate5m = sum by (job, le) (instance:{buckets}:rate5m)");
        let wanted = [&[of_instance], &quantiles("instance")[..], &[of_job], &quantiles("job")[..]];
        assert_eq!(found(Kind::Histogram, Some(Unit::Seconds)), wanted.concat());
        assert_eq!(
            found(Kind::Counter, None),
            [
                "instance:took_seconds:rate5m = \
                 sum by (job, instance) (rate(took_seconds_total[5m]))",
                "job:took_seconds:rate5m = sum by (job) (instance:took_seconds:rate5m)",
            ]
        );
        assert!(found(Kind::Gauge, None).is_empty());
    }

    #[test]
    fn alerts_are_about_what_the_package_has() {
        let names = |subject: &Subject| {
            let name = |rule| match rule {
                Rule::Alert(alert) => alert.name.replace("Bpfpack", ""),
                Rule::Record { name, .. } => name,
            };
            alerts(subject).into_iter().map(name).collect::<Vec<_>>()
        };
        let all = subject(Vec::new());
        let always = ["SeriesMerged", "TracerDown", "TracerAbsent"];
        assert_eq!(names(&all), [&["RecordsLost", "MapNearlyFull"], &always[..]].concat());
        let without_buffers = Subject { has_buffers: false, ..all.clone() };
        assert_eq!(names(&without_buffers)[0], "MapNearlyFull");
        assert_eq!(names(&Subject { has_maps: false, ..without_buffers }), always);
        assert_eq!(groups(&all).len(), 1, "no group is empty");
    }
}
