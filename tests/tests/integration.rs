// SPDX-License-Identifier: MIT
//! Metrics in servers as users run them, and at a collector: what they store is what the maps have.
//! Tests that take longer are run by `make integration`; figures are printed, and not asserted.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use bpfpack_tests::definitions::scrape;
use bpfpack_tests::http::{Answer, Server};
use bpfpack_tests::numbers::{self, Calls, SLOTS, Setup};
use bpfpack_tests::otlp::{PACKAGE, attributes, decoded, metric, records};
use bpfpack_tests::python::python;
use bpfpack_tests::scrape::Target;
use bpfpack_tests::servers::{Job, Store, free_address, installed};
use bpfpack_tests::sys::carry;
use bpfpack_tests::wait::{PATIENCE, finished, within};
use bpfpack_tests::{
    Outcome, Running, eventually, is_root, json_lines, names, pack, pack_with, root, scratch,
};
use serde_json::Value;

/// How often servers scrape.
const EVERY: &str = "500ms";

/// Calls in all slots: kind, microseconds, and how often.
const CALLS: &Calls = &[
    (0, 0, 3),
    (0, 1, 2),
    (0, 2, 1),
    (1, 5, 3),
    (1, 9000, 1),
    (2, 4, 1),
    (2, 8, 2),
    (2, 31, 3),
    (2, 100, 7),
    (2, 2047, 1),
    (2, 2048, 4),
    (3, 500, 130),
];

/// The sums that a query has for each kind.
fn by_kind(of: impl Fn(i32) -> f64) -> BTreeMap<String, f64> {
    (0..4).map(|kind| (kind.to_string(), of(kind))).collect()
}

/// Checks all that is a number in any server.
#[track_caller]
fn check_numbers(store: &Store) {
    let count = |kind| numbers::slots(CALLS, kind).iter().sum::<u64>() as f64;
    let seconds = |kind| numbers::micros(CALLS, kind) as f64 / 1e6;
    assert_eq!(store.numbers("calls_by_kind_calls_total", "kind"), by_kind(count));
    assert_eq!(store.numbers("metrics_events_total", "kind"), by_kind(count));
    assert_eq!(store.numbers("metrics_took_seconds_total", "kind"), by_kind(seconds));
    let longest = |kind| CALLS.iter().filter(|it| it.0 == kind).map(|it| it.1).max().unwrap();
    let longest = |kind| f64::from(longest(kind)) / 1e6;
    assert_eq!(store.numbers("calls_by_kind_max_seconds", "kind"), by_kind(longest));
    let total = numbers::total(CALLS) as f64;
    let of = |label: &str, number| BTreeMap::from([(label.to_owned(), number)]);
    assert_eq!(store.numbers("bpfpack_records_total", "source"), of("events", total));
    assert_eq!(store.numbers("bpfpack_lost_records_total", "source"), of("events", 0.0));
    let elements = store.numbers("bpfpack_map_elements", "map");
    assert_eq!(elements, [of("hists", 4.0), of("totals", 4.0)].into_iter().flatten().collect());
}

/// Checks each bucket of each classic histogram, its count and its sum.
#[track_caller]
fn check_classic(store: &Store) {
    for kind in 0..4 {
        let found = store.buckets(&format!("metrics_seconds_bucket{{key=\"{kind}\"}}"));
        assert_eq!(found, numbers::classic(CALLS, kind), "kind {kind}");
    }
    let count = |kind| numbers::slots(CALLS, kind).iter().sum::<u64>() as f64;
    let seconds = |kind| numbers::micros(CALLS, kind) as f64 / 1e6;
    assert_eq!(store.numbers("metrics_seconds_count", "key"), by_kind(count));
    assert_eq!(store.numbers("metrics_seconds_sum", "key"), by_kind(seconds));
}

/// Checks each bucket of each native histogram.
#[track_caller]
fn check_native(store: &Store) {
    let found = store.query("metrics_seconds");
    assert_eq!(found.len(), 4, "{found:?}");
    for series in found {
        let kind: i32 = series["metric"]["key"].as_str().unwrap().parse().unwrap();
        let (slots, histogram) = (numbers::slots(CALLS, kind), &series["histogram"][1]);
        let number = |value: &Value| value.as_str().unwrap().parse::<f64>().unwrap();
        assert_eq!(number(&histogram["count"]), slots.iter().sum::<u64>() as f64);
        assert_eq!(number(&histogram["sum"]), numbers::micros(CALLS, kind) as f64 / 1e6);
        let buckets: BTreeMap<i32, u64> = histogram["buckets"]
            .as_array()
            .unwrap()
            .iter()
            .map(|bucket| (number(&bucket[2]).log2().round() as i32, number(&bucket[3]) as u64))
            .collect();
        // The slot from 2^n microseconds is the bucket up to 2^(n - 19) seconds.
        let expected = slots.iter().enumerate().filter(|(_, count)| **count > 0);
        let expected = expected.map(|(slot, count)| (slot as i32 - 19, *count)).collect();
        assert_eq!(buckets, expected, "kind {kind}: {series}");
    }
    assert_eq!(store.query("metrics_seconds_bucket"), Vec::<Value>::new());
}

#[test]
fn prometheus_has_what_the_maps_have() {
    if !is_root() {
        return;
    }
    let setup = Setup::new();
    let (running, target) = setup.start(&[]);
    let jobs = [Job::of("tracer", target.address())];
    let Some(classic) = Store::prometheus(&jobs, EVERY, &[]) else { return };
    let native = ["--enable-feature=native-histograms"];
    let Some(native) = Store::prometheus(&jobs, EVERY, &native) else { return };
    numbers::call(CALLS);
    let total = numbers::total(CALLS) as f64;
    for store in [&classic, &native] {
        eventually("all calls are scraped", || {
            store.numbers("bpfpack_records_total", "source").get("events") == Some(&total)
        });
        check_numbers(store);
    }
    check_classic(&classic);
    check_native(&native);
    // The median of kind 2 is in the bucket from 64 to 128 us, in both.
    let median = |query: &str| {
        let query = format!("histogram_quantile(0.5, {query})");
        let found = classic_or_native(&classic, &native, &query);
        assert!((0.000_06..0.000_128).contains(&found), "{query}: {found}");
    };
    median("metrics_seconds_bucket{key=\"2\"}");
    median("metrics_seconds{key=\"2\"}");
    let _ = running.interrupt().succeeded();
}

/// The only number of a query, in the server that knows its metric.
#[track_caller]
fn classic_or_native(classic: &Store, native: &Store, query: &str) -> f64 {
    let store = if query.contains("_bucket") { classic } else { native };
    let found = store.numbers(query, "key");
    assert_eq!(found.len(), 1, "{query}");
    found["2"]
}

#[test]
fn victoria_metrics_has_what_the_maps_have() {
    if !is_root() {
        return;
    }
    let setup = Setup::new();
    let (running, target) = setup.start(&[]);
    let jobs = [Job::of("tracer", target.address())];
    let Some(store) = Store::victoria_metrics(&jobs, "1s") else { return };
    numbers::call(CALLS);
    let total = numbers::total(CALLS) as f64;
    eventually("all calls are scraped", || {
        store.flush();
        store.numbers("bpfpack_records_total", "source").get("events") == Some(&total)
    });
    check_numbers(&store);
    check_classic(&store);
    let _ = running.interrupt().succeeded();
}

#[test]
fn promtool_has_no_complaint() {
    if !is_root() {
        return;
    }
    let Some(promtool) = installed("promtool") else { return };
    let setup = Setup::new();
    // It refuses all.
    let server = Server::start();
    let (running, target) = setup.start(&["--run-times", "--otlp", &server.url("")]);
    numbers::call(CALLS);
    let text = target.get("/metrics", "").text();
    assert!(text.contains("bpfpack_otlp_lost_total"), "{text}");
    let _ = running.interrupt().succeeded();
    assert_eq!(complaints(&promtool, setup.dir.path(), &text), "");
}

/// What promtool says of a scrape.
#[track_caller]
fn complaints(promtool: &Path, dir: &Path, text: &str) -> String {
    let file = dir.join("scraped");
    fs::write(&file, text).unwrap();
    let mut check = Command::new(promtool);
    let check = check.args(["check", "metrics"]).stdin(fs::File::open(file).unwrap());
    let check = check.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let outcome = Outcome::from(finished(check));
    assert!(matches!(outcome.code, 0 | 3), "{}", outcome.stderr);
    outcome.stderr + &outcome.stdout
}

#[test]
#[ignore = "packs all examples: make integration"]
fn promtool_has_no_complaint_about_the_examples() {
    let Some(promtool) = installed("promtool") else { return };
    let dir = scratch();
    let mut checked = 0;
    for example in names(&root().join("examples")) {
        let source = format!("examples/{example}/{example}.bpf.c");
        if !root().join(&source).exists() {
            continue;
        }
        let text = scrape(Path::new(&pack(&source, &dir)));
        assert_eq!(complaints(&promtool, dir.path(), &text), "", "{source}:\n{text}");
        checked += usize::from(!text.is_empty());
    }
    assert!(checked > 20, "{checked} examples have metrics");
}

#[test]
fn json_prometheus_and_otlp_agree() {
    if !is_root() {
        return;
    }
    let Some(python) = python(PACKAGE) else { return };
    let setup = Setup::new();
    let server = Server::start();
    for path in ["/v1/metrics", "/v1/logs"] {
        server.answer(path, Answer::Bytes(Vec::new()));
    }
    let file = setup.dir.path().join("out.json");
    let output = format!("json:{}", file.display());
    let url = server.url("");
    let (running, target) = setup.start(&["-o", &output, "-i", "200ms", "--otlp", &url]);
    numbers::call(CALLS);
    let total = numbers::total(CALLS) as f64;
    let mut samples = BTreeMap::new();
    eventually("a reading has all calls", || {
        samples = target.samples();
        let counts = samples.iter().filter(|it| it.0.starts_with("metrics_seconds_count"));
        counts.map(|it| it.1).sum::<f64>() == total
    });
    let _ = running.interrupt().succeeded();
    let lines = json_lines(&fs::read_to_string(file).unwrap());
    let requests = server.requests();
    let last = requests.iter().rfind(|request| request.path == "/v1/metrics").unwrap();
    let last = decoded(&python, scratch().path(), last);
    let points = &metric(&last, "metrics")["exponentialHistogram"]["dataPoints"];
    for kind in 0..4 {
        let slots = numbers::slots(CALLS, kind);
        let micros = numbers::micros(CALLS, kind);
        // JSON.
        let is_it = |line: &&Value| line["map"] == "hists" && line["key"] == kind;
        let line = lines.iter().rfind(is_it).unwrap();
        let found: Vec<u64> =
            line["value"]["slots"].as_array().unwrap().iter().filter_map(Value::as_u64).collect();
        assert_eq!((&found[..], &line["value"]["total_time"]), (&slots[..], &Value::from(micros)));
        // Prometheus' text.
        let seconds = micros as f64 / 1e6;
        assert_eq!(samples[&format!("metrics_seconds_sum{{key=\"{kind}\"}}")], seconds);
        let begin = format!("metrics_seconds_bucket{{key=\"{kind}\",le=\"");
        let mut buckets: Vec<(f64, f64)> = samples
            .iter()
            .filter_map(|(name, count)| Some((name.strip_prefix(&begin)?, *count)))
            .map(|(le, count)| (le.trim_end_matches("\"}").parse().unwrap(), count))
            .collect();
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert_eq!(buckets, numbers::classic(CALLS, kind));
        // OTLP.
        let is_it = |point: &&Value| attributes(&point["attributes"]) == [format!("key={kind}")];
        let point = points.as_array().unwrap().iter().find(is_it).unwrap();
        let number = |value: &Value| value.as_str().map_or(0, |text| text.parse::<i64>().unwrap());
        assert_eq!(number(&point["count"]) as u64, slots.iter().sum::<u64>());
        assert_eq!(point["sum"], seconds);
        let mut found = vec![0; SLOTS];
        found[0] = number(&point["zeroCount"]) as u64;
        let positive = &point["positive"];
        let offset = positive["offset"].as_i64().unwrap_or(0);
        for (at, count) in positive["bucketCounts"].as_array().into_iter().flatten().enumerate() {
            found[(offset + at as i64 + 20) as usize] = number(count) as u64;
        }
        assert_eq!(found, slots, "{point}");
    }
}

/// Calls in a round, rounds in a second, and records for each call.
const ROUND: i32 = 50;
const ROUNDS: u64 = 100;
const BURST: u64 = 4;

/// What ecli may use at most: 24 MiB of records and requests that wait, and itself.
const MOST_MEMORY: u64 = 96 << 20;

#[test]
#[ignore = "takes a minute: make integration"]
fn a_receiver_is_away_for_twenty_seconds() {
    a_receiver_is_away(20);
}

#[test]
#[ignore = "takes eleven minutes: make integration"]
fn a_receiver_is_away_for_ten_minutes() {
    a_receiver_is_away(600);
}

/// Nobody listens at the receiver's address for a while: memory is bounded, what is lost is counted,
/// and what comes later is delivered.
fn a_receiver_is_away(seconds: u64) {
    if !is_root() {
        return;
    }
    let Some(python) = python(PACKAGE) else { return };
    let dir = scratch();
    let package = pack_with("tests/fixtures/flood.bpf.c", &dir, &["-DWIDE"]);
    let address = free_address();
    let (url, burst) = (format!("http://{address}"), BURST.to_string());
    let own = numbers::of_this_thread();
    let mut args = vec!["run", "--listen", "127.0.0.1:0", "--otlp", &url, "--otlp-interval", "1s"];
    args.extend([&*package, "--burst", &burst]);
    args.extend(own.iter().map(String::as_str));
    let mut running = Running::ecli(&args);
    let target = Target::of(&mut running);
    let mut most = [0, 0];
    for second in 0..seconds {
        for _ in 0..ROUNDS {
            (0..ROUND).for_each(carry);
            std::thread::sleep(Duration::from_millis(1000 / ROUNDS));
        }
        let half = &mut most[(second * 2 / seconds) as usize];
        *half = memory(running.pid()).max(*half);
    }
    println!(
        "the receiver is away for {seconds} s: at most {} MiB, {} MiB in the second half",
        most[0].max(most[1]) >> 20,
        most[1] >> 20
    );
    assert!(most[0].max(most[1]) < MOST_MEMORY, "{most:?} bytes");
    let server = Server::start_at(&address.to_string());
    for path in ["/v1/metrics", "/v1/logs"] {
        server.answer(path, Answer::Bytes(Vec::new()));
    }
    let mut requests = Vec::new();
    within(PATIENCE, "it sends again", || {
        requests.extend(server.requests());
        requests.iter().any(|request| request.path == "/v1/logs")
    });
    (0..ROUND).for_each(carry);
    let samples = target.samples();
    let passed = samples["bpfpack_records_total{source=\"events\"}"] as u64;
    let gone = samples["bpfpack_lost_records_total{source=\"events\"}"] as u64;
    let produced = (seconds * ROUNDS + 1) * ROUND as u64 * BURST;
    assert_eq!(passed + gone, produced);
    let outcome = running.interrupt().succeeded();
    requests.extend(server.requests());
    let logs = requests.iter().filter(|request| request.path == "/v1/logs");
    let numbers: Vec<u64> = logs
        .flat_map(|request| {
            let request = decoded(&python, dir.path(), request);
            records(&request).iter().map(number_of).collect::<Vec<u64>>()
        })
        .collect();
    assert_eq!(numbers.last(), Some(&(produced - 1)), "the last record has arrived");
    let lost = passed - numbers.len() as u64;
    println!("{passed} records: {} delivered, {lost} not; {gone} lost before", numbers.len());
    assert!(lost > 0 && numbers.is_sorted(), "{lost} are lost");
    let said = format!("{lost} records were not delivered to {url}");
    assert!(outcome.stderr.contains(&said), "no `{said}` in: {}", outcome.stderr);
    assert!(outcome.stderr.contains("values of metrics were not delivered"), "{}", outcome.stderr);
}

/// The number of a record.
fn number_of(record: &Value) -> u64 {
    let attributes = record["attributes"].as_array().unwrap();
    let seq = attributes.iter().find(|attribute| attribute["key"] == "seq").unwrap();
    seq["value"]["intValue"].as_str().unwrap().parse().unwrap()
}

/// The resident memory of a process, in bytes.
fn memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}
