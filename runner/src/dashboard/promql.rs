// SPDX-License-Identifier: MIT
//! Parts of PromQL expressions.

use crate::metrics::names;

/// The labels by which the metrics of ecli itself belong to a tracer. Only `ecli serve` has several
/// tracers in one target, and a label `tracer`.
pub(super) const ON: &str = "job, instance, tracer";

/// The series that says which package a tracer runs: other metrics of ecli itself do not name it.
/// `more` are conditions.
pub(super) fn of_package(package: &str, more: &[&str]) -> String {
    let package = format!("package={}", quoted(package));
    let conditions = [&[&*package], more].concat().join(", ");
    format!("{}_info{{{conditions}}}", names::PACKAGE)
}

/// The name of the samples of a counter.
pub(super) fn total(name: &str) -> String {
    format!("{name}_total")
}

/// The name of the samples of the buckets of a histogram.
pub(super) fn bucket(name: &str) -> String {
    format!("{name}_bucket")
}

/// A label as Prometheus stores it. `job` and `instance` are those of the target, so the metric's own
/// ones get other names.
pub(super) fn stored(label: &str) -> String {
    match label {
        "job" | "instance" => format!("exported_{label}"),
        _ => label.to_owned(),
    }
}

/// A text as a string literal. Its escapes are those of JSON, which are some of Go's.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The sum of an expression by labels.
pub(super) fn sum(by: &[&str], of: &str) -> String {
    format!("sum by ({}) ({of})", by.join(", "))
}

/// The increase per second of a counter in a time.
pub(super) fn rate(of: &str, time: &str) -> String {
    format!("rate({of}[{time}])")
}

/// The increase of a counter in a time.
pub(super) fn increase(of: &str, time: &str) -> String {
    format!("increase({of}[{time}])")
}

/// A quantile of a histogram, from the rates of its buckets.
pub(super) fn quantile(quantile: f64, rates: &str) -> String {
    format!("histogram_quantile({quantile}, {rates})")
}

/// The ten largest values.
pub(super) fn largest(of: &str) -> String {
    format!("topk(10, {of})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_cannot_end_early() {
        assert_eq!(quoted("a\"b\\c\n\u{1}"), r#""a\"b\\c\n\u0001""#);
        assert_eq!([stored("job"), stored("jobs")], ["exported_job", "jobs"]);
    }
}
