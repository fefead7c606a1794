// SPDX-License-Identifier: MIT
//! `ecli dashboard`: Prometheus accepts the rules and all expressions, and they name what a run
//! exports.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use bpfpack_tests::scrape::Target;
use bpfpack_tests::servers::installed;
use bpfpack_tests::wait::outcome;
use bpfpack_tests::wasm::fixtures;
use bpfpack_tests::{
    Running, ecli, eventually, is_root, json, names, pack, pack_with, scratch, sys,
};
use serde_json::Value;
use tempfile::TempDir;

const FIXTURE: &str = "tests/fixtures/metrics.bpf.c";

/// Packs the fixture, with records and the rows of tables.
fn package(dir: &TempDir) -> String {
    pack_with(FIXTURE, dir, &["-a", "-DRECORDS"])
}

fn dashboard(args: &[&str]) -> Value {
    serde_json::from_str(&ecli(&[&["dashboard"], args].concat()).succeeded().stdout).unwrap()
}

fn rules(args: &[&str]) -> String {
    ecli(&[&["dashboard", "--rules"], args].concat()).succeeded().stdout
}

fn promtool(program: &Path, args: &[&str], dir: &Path) {
    let _ = outcome(Command::new(program).args(args).current_dir(dir)).succeeded();
}

/// The expressions in panels, as Grafana sends them.
fn expressions(dashboard: &Value) -> Vec<String> {
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let expr = |target: &Value| target["expr"].as_str().unwrap().replace("$__rate_interval", "5m");
    targets.map(expr).collect()
}

/// The expressions in rules.
fn expressions_of_rules(rules: &str) -> Vec<String> {
    let rules: Value = yaml_serde::from_str(rules).unwrap();
    let groups = rules["groups"].as_array().unwrap().iter();
    let rules = groups.flat_map(|group| group["rules"].as_array().unwrap());
    rules.map(|rule| rule["expr"].as_str().unwrap().to_owned()).collect()
}

/// The names of metrics in an expression: words that begin as those of the package and of ecli do.
fn metrics_in(expr: &str) -> BTreeSet<String> {
    // Texts are at odd places.
    let outside: String = expr.split('"').step_by(2).collect();
    let words = outside.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | ':')));
    let begins = |word: &&str| {
        let begins = ["metrics_", "calls_by_kind", "bpfpack_", "process_"];
        begins.iter().any(|begin| word.starts_with(begin))
    };
    words.filter(begins).map(str::to_owned).collect()
}

#[test]
fn both_files_are_written_and_replaced() {
    let dir = scratch();
    let package = package(&dir);
    let out = dir.path().join("out");
    let write = |more: &[&str]| {
        ecli(&[&["dashboard", "-o", out.to_str().unwrap()], more, &[&package]].concat())
    };
    let outcome = write(&[]).succeeded();
    assert_eq!(outcome.stdout, "");
    assert!(outcome.stderr.contains("metrics.dashboard.json"), "{}", outcome.stderr);
    assert_eq!(names(&out), ["metrics.dashboard.json", "metrics.rules.yml"]);
    assert_eq!(json(&out.join("metrics.dashboard.json")), dashboard(&[&package]));
    assert_eq!(fs::read_to_string(out.join("metrics.rules.yml")).unwrap(), rules(&[&package]));
    let _ = write(&["--title", "Other"]).succeeded();
    assert_eq!(json(&out.join("metrics.dashboard.json"))["title"], "Other");
    fs::write(out.join("metrics.rules.yml"), "groups: []\n").unwrap();
    write(&[]).failed(7, &["metrics.rules.yml", "did not write this file", "--force"]);
    assert_eq!(json(&out.join("metrics.dashboard.json"))["title"], "Other", "both or none");
    let _ = write(&["--force"]).succeeded();
    assert_eq!(names(&out).len(), 2);
}

#[test]
fn what_is_chosen_has_the_names_of_a_run() {
    let dir = scratch();
    let package = package(&dir);
    let options = ["--metric", "hists=slow", "--metric", "events=off", "--labels", "totals:key=k"];
    let options = [&options[..], &["--datasource", "main", "--title", "T"], &[&package]].concat();
    let chosen = dashboard(&options);
    assert_eq!((&chosen["title"], &chosen["uid"]), (&"T".into(), &"bpfpack-metrics".into()));
    assert_eq!(chosen["templating"]["list"][0]["current"]["value"], "main");
    let all = expressions(&chosen).join("\n");
    for (text, is_there) in [
        ("rate(slow_seconds_bucket{", true),
        ("sum by (k) (rate(calls_by_kind_calls_total{", true),
        ("k=~\"$k\"", true),
        ("metrics_", false),
    ] {
        assert_eq!(all.contains(text), is_there, "{text}:\n{all}");
    }
    let run = |args: &[&str]| ecli(&[&["dashboard"], args].concat());
    run(&["--labels", "hists:comm", &package]).failed(2, &["no member `comm`", "these can: key"]);
    run(&["--metric", "nothing=off", &package]).failed(2, &["named `nothing`"]);
    run(&["none.json"]).failed(3, &["none.json"]);
    if let Some(fixtures) = fixtures() {
        let module = fixtures.join("records.wasm");
        run(&[module.to_str().unwrap()]).failed(2, &["is a Wasm module"]);
    }
    let off = ["--metric", "hists=off", "--metric", "totals=off", "--metric", "events=off"];
    run(&[&off[..], &[&package]].concat()).failed(2, &["no data to export"]);
}

#[test]
fn prometheus_accepts_rules_and_expressions() {
    let Some(program) = installed("promtool") else { return };
    let dir = scratch();
    let examples = ["examples/hardirqs/hardirqs.bpf.c", "examples/tcpconnect/tcpconnect.bpf.c"];
    for example in examples.map(Some).into_iter().chain([None]) {
        let package = example.map_or_else(|| package(&dir), |example| pack(example, &dir));
        fs::write(dir.path().join("rules.yml"), rules(&[&package])).unwrap();
        promtool(&program, &["check", "rules", "rules.yml"], dir.path());
        let expressions = expressions(&dashboard(&[&package]));
        assert!(expressions.len() > 10, "{expressions:?}");
        let rule = |(at, expr): (usize, &String)| serde_json::json!({"record": format!("expression:{at}"), "expr": expr});
        let rules: Vec<Value> = expressions.iter().enumerate().map(rule).collect();
        let wrapped = serde_json::json!({"groups": [{"name": "all", "rules": rules}]});
        fs::write(dir.path().join("all.yml"), wrapped.to_string()).unwrap();
        promtool(&program, &["check", "rules", "all.yml"], dir.path());
    }
}

#[test]
fn expressions_name_what_a_run_exports() {
    if !is_root() {
        return;
    }
    let dir = scratch();
    let package = package(&dir);
    let target = Target::unix(dir.path());
    let (pid, carrier) = (sys::thread_id().to_string(), libc::SYS_getpgid.to_string());
    let own = [&package, "--target_pid", &pid, "--carrier", &carrier];
    let listen = target.argument();
    let options = ["run", "--run-times", "--listen", &listen];
    let running = Running::ecli(&[&options[..], &own].concat());
    let socket = dir.path().join("metrics.sock");
    eventually("the socket exists", || socket.exists());
    for kind in 0..3 {
        sys::carry(1000 << 2 | kind);
    }
    let samples = target.samples();
    let _ = running.interrupt().succeeded();
    let name = |sample: &String| sample.split('{').next().unwrap().to_owned();
    let exported: BTreeSet<String> = samples.keys().map(name).collect();
    let in_panels: BTreeSet<String> =
        expressions(&dashboard(&[&package])).iter().flat_map(|expr| metrics_in(expr)).collect();
    let unknown: Vec<&String> = in_panels.difference(&exported).collect();
    assert!(unknown.is_empty(), "{unknown:?} are not among {exported:?}");
    let not_shown: Vec<&String> = exported
        .difference(&in_panels)
        .filter(|name| name.starts_with("metrics_") || name.starts_with("calls_by_kind"))
        .collect();
    assert!(not_shown.is_empty(), "{not_shown:?}");
    let rules = expressions_of_rules(&rules(&[&package]));
    let mut in_rules: BTreeSet<String> = rules.iter().flat_map(|expr| metrics_in(expr)).collect();
    // Only `ecli serve` has it.
    assert!(in_rules.remove("bpfpack_tracer_up"));
    let unknown: Vec<&String> = in_rules.difference(&exported).collect();
    assert!(!in_rules.is_empty() && unknown.is_empty(), "{unknown:?}");
}

/// What happens to `metrics` on `a`, an `ecli serve` that also runs another package and later ends the
/// tracer, and on `b`, where the target fails.
const EVENTS: &str = r#"
rule_files: [rules.yml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - {series: 'up{job="j", instance="a"}', values: '1x60'}
      - {series: 'up{job="j", instance="b"}', values: '1x10 0x50'}
      - {series: 'bpfpack_package_info{job="j", instance="a", tracer="t", package="metrics", sha256="1"}', values: '1x40 stale'}
      - {series: 'bpfpack_tracer_up{job="j", instance="a", tracer="t"}', values: '1x40 0x20'}
      - {series: 'bpfpack_tracer_up{job="j", instance="a", tracer="o"}', values: '1x60'}
      - {series: 'bpfpack_package_info{job="j", instance="a", tracer="o", package="other", sha256="2"}', values: '1x60'}
      - {series: 'bpfpack_package_info{job="j", instance="b", package="metrics", sha256="1"}', values: '1x10 stale'}
      - {series: 'bpfpack_lost_records_total{job="j", instance="a", tracer="t", source="events"}', values: '0x10 5x50'}
      - {series: 'bpfpack_lost_records_total{job="j", instance="a", tracer="o", source="events"}', values: '0+9x60'}
      - {series: 'bpfpack_map_elements{job="j", instance="a", tracer="t", map="hists"}', values: '61x60'}
      - {series: 'bpfpack_map_max_elements{job="j", instance="a", tracer="t", map="hists"}', values: '64x60'}
      - {series: 'bpfpack_merged_keys_total{job="j", instance="a", tracer="t", source="totals"}', values: '0x60'}
      - {series: 'metrics_seconds_bucket{job="j", instance="a", key="1", le="2e-06"}', values: '0+60x60'}
      - {series: 'metrics_seconds_bucket{job="j", instance="a", key="1", le="4e-06"}', values: '0+120x60'}
      - {series: 'metrics_seconds_bucket{job="j", instance="a", key="1", le="+Inf"}', values: '0+120x60'}
    alert_rule_test:
      - eval_time: 12m
        alertname: BpfpackRecordsLost
        exp_alerts:
          - exp_labels: {severity: warning, job: j, instance: a, tracer: t, source: events, package: metrics}
            exp_annotations:
              summary: metrics lost records on a
              description: "5 records were lost in 15 minutes, because the buffer events was full. Make it larger with --map-entries, or filter in the programs."
      - {eval_time: 40m, alertname: BpfpackRecordsLost, exp_alerts: []}
      - eval_time: 12m
        alertname: BpfpackMapNearlyFull
        exp_alerts:
          - exp_labels: {severity: warning, job: j, instance: a, tracer: t, map: hists, package: metrics}
            exp_annotations:
              summary: A map of metrics is nearly full on a
              description: "95.31% of the map hists are used. When it is full, new keys are not counted. Make it larger with --map-entries."
      - {eval_time: 12m, alertname: BpfpackSeriesMerged, exp_alerts: []}
      - {eval_time: 9m, alertname: BpfpackTracerDown, exp_alerts: []}
      - eval_time: 20m
        alertname: BpfpackTracerDown
        exp_alerts:
          - exp_labels: {severity: warning, job: j, instance: b, package: metrics}
            exp_annotations:
              summary: metrics is down on b
              description: "metrics ran within a day. Now Prometheus cannot scrape b, or `ecli serve` there does not run the tracer."
      - eval_time: 50m
        alertname: BpfpackTracerDown
        exp_alerts:
          - exp_labels: {severity: warning, job: j, instance: a, tracer: t, package: metrics}
            exp_annotations:
              summary: metrics is down on a
              description: "metrics ran within a day. Now Prometheus cannot scrape a, or `ecli serve` there does not run the tracer."
          - exp_labels: {severity: warning, job: j, instance: b, package: metrics}
            exp_annotations:
              summary: metrics is down on b
              description: "metrics ran within a day. Now Prometheus cannot scrape b, or `ecli serve` there does not run the tracer."
      - {eval_time: 20m, alertname: BpfpackTracerAbsent, exp_alerts: []}
    promql_expr_test:
      - expr: instance:metrics_seconds:p50_rate5m
        eval_time: 20m
        exp_samples:
          - {labels: 'instance:metrics_seconds:p50_rate5m{job="j", instance="a"}', value: 2e-06}
      - expr: round(1e8 * job:metrics_seconds:p99_rate5m)
        eval_time: 20m
        exp_samples:
          - {labels: '{job="j"}', value: 396}
  - interval: 1m
    input_series:
      - {series: 'up{job="j", instance="a"}', values: '1x30'}
    alert_rule_test:
      - {eval_time: 5m, alertname: BpfpackTracerAbsent, exp_alerts: []}
      - eval_time: 12m
        alertname: BpfpackTracerAbsent
        exp_alerts:
          - exp_labels: {severity: warning, package: metrics}
            exp_annotations:
              summary: metrics runs nowhere
              description: No target exports the metrics of metrics.
"#;

#[test]
fn alerts_are_raised_for_what_happens_to_the_package() {
    let Some(program) = installed("promtool") else { return };
    let dir = scratch();
    let package = package(&dir);
    fs::write(dir.path().join("rules.yml"), rules(&[&package])).unwrap();
    fs::write(dir.path().join("events.yml"), EVENTS).unwrap();
    promtool(&program, &["test", "rules", "events.yml"], dir.path());
}
