// SPDX-License-Identifier: MIT
//! `ecli run --otlp`: what a collector receives, and what happens if it refuses, stalls and fails.
//! Requests are decoded by OpenTelemetry's own classes.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bpfpack_tests::http::{Answer, Request, Server};
use bpfpack_tests::numbers::{call, of_this_thread};
use bpfpack_tests::otlp::{self, attributes, metric};
use bpfpack_tests::python::python;
use bpfpack_tests::{Outcome, Running, ecli, eventually, is_root, pack_with, scratch};
use serde_json::Value;
use tempfile::TempDir;

struct Setup {
    dir: TempDir,
    server: Server,
    package: String,
}

impl Setup {
    fn new() -> Setup {
        let dir = scratch();
        let package = pack_with("tests/fixtures/metrics.bpf.c", &dir, &["-a", "-DRECORDS"]);
        let server = Server::start();
        for path in ["/v1/metrics", "/v1/logs"] {
            server.answer(path, Answer::Bytes(Vec::new()));
        }
        Setup { dir, server, package }
    }

    fn start(&self, options: &[&str]) -> Running {
        let (url, own) = (self.server.url(""), of_this_thread());
        let own = own.each_ref().map(String::as_str);
        Running::ecli(&[&["run", "--otlp", &url], options, &[&self.package], &own].concat())
    }

    fn decoded(&self, python: &Path, request: &Request) -> Value {
        otlp::decoded(python, self.dir.path(), request)
    }
}

fn has_python() -> Option<PathBuf> {
    python(otlp::PACKAGE)
}

#[test]
fn a_collector_receives_metrics_and_records() {
    if !is_root() {
        return;
    }
    let Some(python) = has_python() else { return };
    let setup = Setup::new();
    let header = ["--otlp-header", "X-Token=a b"];
    let running = setup.start(&header);
    call(&[(1, 0, 2), (1, 5, 3), (1, 9000, 1)]);
    let outcome = running.interrupt().succeeded();
    assert!(
        outcome.stderr.contains("metrics and logs are sent to http://127."),
        "{}",
        outcome.stderr
    );
    let requests = setup.server.requests();
    let of = |path: &str| -> Vec<Value> {
        let found = requests.iter().filter(|request| request.path == path);
        found.map(|request| setup.decoded(&python, request)).collect()
    };
    assert!(requests.iter().all(|request| request.header("X-Token") == Some("a b")));

    let metrics = of("/v1/metrics").pop().unwrap();
    let resource = attributes(&metrics["resourceMetrics"][0]["resource"]["attributes"]);
    assert!(resource.contains(&"service.name=metrics".to_owned()), "{resource:?}");
    assert!(resource.iter().any(|attribute| attribute.starts_with("host.name=")));
    let histogram = metric(&metrics, "metrics");
    assert_eq!(histogram["unit"], "s");
    let point = &histogram["exponentialHistogram"]["dataPoints"][0];
    assert_eq!(attributes(&point["attributes"]), ["key=1"]);
    assert_eq!((&point["count"], &point["sum"]), (&Value::from("6"), &Value::from(0.009_015)));
    assert_eq!(
        (&point["zeroCount"], &point["scale"]),
        (&Value::from("2"), &Value::Null),
        "{point}"
    );
    // 5 us is in the slot from 4 us; the last slot has 9000 us.
    let counts = point["positive"]["bucketCounts"].as_array().unwrap();
    let expected = [3, 0, 0, 0, 0, 0, 0, 0, 0, 1].map(|count: u64| count.to_string());
    assert_eq!(point["positive"]["offset"], -18, "above 2^-18 s: {point}");
    assert_eq!(counts, &expected.map(Value::from), "{point}");
    let calls = metric(&metrics, "calls_by_kind_calls");
    assert_eq!(calls["sum"]["isMonotonic"], true);
    assert_eq!(calls["sum"]["dataPoints"][0]["asInt"], "6");
    let gauge = metric(&metrics, "calls_by_kind_max");
    assert_eq!(gauge["gauge"]["dataPoints"][0]["asDouble"], 0.009);

    let logs: Vec<Value> = of("/v1/logs");
    let records: Vec<&Value> = logs.iter().flat_map(otlp::records).collect();
    assert_eq!(records.len(), 6);
    let last = records[5];
    let list = attributes(&last["attributes"]);
    assert_eq!(list[..2], ["took_us=9000", "kind=1"], "{list:?}");
    assert_eq!(last["eventName"], "metrics.events");
    assert!(last["body"]["stringValue"].as_str().unwrap().starts_with("took_us=9000 kind=1 comm="));
    assert!(last["timeUnixNano"].as_str().unwrap().parse::<u64>().unwrap() > 1 << 60);
}

#[test]
fn what_fails_for_a_while_is_sent_again_and_what_is_refused_is_lost() {
    if !is_root() {
        return;
    }
    let setup = Setup::new();
    let busy = Answer::Full(503, vec!["Retry-After: 1".to_owned()], Vec::new());
    // A stall and a failure, too: the head announces more than comes.
    setup.server.answer_in_turn("/v1/logs", vec![busy, Answer::Short, Answer::Bytes(Vec::new())]);
    setup.server.answer("/v1/metrics", Answer::Full(400, Vec::new(), Vec::new()));
    let begin = Instant::now();
    let running = setup.start(&[]);
    call(&[(1, 7, 3)]);
    let mut logs = 0;
    eventually("the records are sent again", || {
        logs += setup.server.asked().iter().filter(|path| *path == "/v1/logs").count();
        logs >= 2
    });
    assert!(begin.elapsed() > Duration::from_secs(1), "it waits as long as it is told");
    let outcome = running.interrupt().succeeded();
    assert!(outcome.stderr.contains("values of metrics were not delivered"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("status 400"), "{}", outcome.stderr);
    assert!(!outcome.stderr.contains("records were not"), "{}", outcome.stderr);
}

#[test]
fn a_collector_that_is_away_does_not_hold_up_the_end() {
    if !is_root() {
        return;
    }
    let setup = Setup::new();
    let run = |url: &str, signals: &str| -> Outcome {
        let own = of_this_thread();
        let options = ["run", "--otlp", url, "--otlp-signals", signals, "-j", &setup.package];
        let running = Running::start(
            bpfpack_tests::program("ecli"),
            &[&options[..], &own.each_ref().map(String::as_str)].concat(),
        );
        eventually("it is attached", || {
            call(&[(1, 7, 1)]);
            running.held().links.len() == 1
        });
        running.interrupt().succeeded()
    };
    let begin = Instant::now();
    let outcome = run("http://127.0.0.1:1", "logs");
    assert!(begin.elapsed() < Duration::from_secs(20));
    assert!(outcome.stdout.contains("\"took_us\":7"), "{}", outcome.stdout);
    let said = &outcome.stderr;
    assert!(
        said.contains("not delivered to http://127.0.0.1:1") && said.contains("refused"),
        "{said}"
    );
    // A part may be refused.
    let partial = [0x0a, 0x08, 0x08, 0x01, 0x12, 0x04, b'f', b'u', b'l', b'l'];
    setup.server.answer("/v1/logs", Answer::Bytes(partial.to_vec()));
    let outcome = run(&setup.server.url(""), "logs");
    assert!(outcome.stderr.contains("1 record was not delivered"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("full"), "{}", outcome.stderr);
    assert!(setup.server.asked().iter().all(|path| path == "/v1/logs"));
}

#[test]
fn addresses_and_headers_that_are_wrong() {
    let dir = scratch();
    let package = pack_with("tests/fixtures/execs.bpf.c", &dir, &[]);
    let run = |options: &[&str]| ecli(&[&["run"], options, &[&package]].concat());
    run(&["--otlp", "ftp://a"]).failed(2, &["--otlp", "hint: for example"]);
    run(&["--otlp", "http://a", "--otlp-header", "a b=c"]).failed(2, &["`a b` is not a header"]);
    run(&["--otlp", "http://a", "--otlp-signals", "traces"]).failed(2, &["traces"]);
    run(&["--otlp-interval", "1s", "--otlp-header", "a=b"]).failed(2, &["--otlp"]);
}
