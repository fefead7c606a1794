// SPDX-License-Identifier: MIT
//! Metrics of many nodes in one Prometheus: they add up exactly. What a fleet costs there is printed
//! by `make integration`.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use bpfpack_tests::nodes::{Nodes, Recorded};
use bpfpack_tests::numbers::{self, Calls, Setup};
use bpfpack_tests::servers::Store;
use bpfpack_tests::sys::cpu_of;
use bpfpack_tests::{is_root, wait};

/// Calls of each node: kind, microseconds, and how often.
const BY_NODE: [&Calls; 6] = [
    &[(0, 0, 1), (1, 700, 9)],
    &[(1, 3, 50), (1, 2048, 1), (2, 17, 3)],
    &[(3, 90_000, 2)],
    &[(0, 1, 7), (1, 5, 8), (2, 33, 9), (3, 250, 10)],
    &[(1, 40, 100), (2, 41, 100)],
    &[(2, 1024, 1)],
];

/// How long Prometheus may take until it has scraped all.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn nodes_add_up_to_one_node_with_all_data() {
    if !is_root() {
        return;
    }
    let setup = Setup::new();
    let (running, target) = setup.start(&[]);
    // What a node adds to the scrape before is what it would have alone.
    let (mut bodies, mut before) = (Vec::new(), BTreeMap::new());
    for calls in BY_NODE {
        numbers::call(calls);
        let text = target.get("/metrics", "").text();
        let earlier = |name: &str| before.get(name).copied().unwrap_or(0.0);
        bodies.push(Recorded::read(&text).with(|name, value| value - earlier(name)));
        before = of(&text);
        if bodies.len() == BY_NODE.len() {
            bodies.push(text);
        }
    }
    let _ = running.interrupt().succeeded();
    let nodes = Nodes::serve(move |node| bodies[node].clone());
    let all = BY_NODE.len();
    let jobs = [nodes.job("nodes", 0..all), nodes.job("one", all..all + 1)];
    let Some(store) = Store::prometheus(&jobs, "1s", &[]) else { return };
    wait::within(PATIENCE, "all nodes are scraped", || {
        store.query("metrics_events_total{kind=\"2\"}").len() > 5 // of five nodes, and all
            && store.query("up == 1").len() == all + 1
    });
    for kind in 0..4 {
        let sum = |job: &str| {
            let series = format!("metrics_seconds_bucket{{job=\"{job}\",key=\"{kind}\"}}");
            store.buckets(&format!("sum by (le) ({series})"))
        };
        let calls: Vec<(i32, i32, usize)> = BY_NODE.concat();
        assert_eq!(sum("nodes"), numbers::classic(&calls, kind), "kind {kind}");
        assert_eq!(sum("one"), sum("nodes"), "kind {kind}");
    }
    for (label, query) in [
        ("key", "sum by (key) (metrics_seconds_count{job=\"JOB\"})"),
        ("kind", "sum by (kind) (calls_by_kind_calls_total{job=\"JOB\"})"),
        ("source", "sum by (source) (bpfpack_records_total{job=\"JOB\"})"),
        ("key", "histogram_quantile(0.99, sum by (key, le) (metrics_seconds_bucket{job=\"JOB\"}))"),
        ("", "histogram_quantile(0.5, sum by (le) (metrics_seconds_bucket{job=\"JOB\"}))"),
    ] {
        let of = |job: &str| store.numbers(&query.replace("JOB", job), label);
        assert_eq!(of("nodes"), of("one"), "{query}");
    }
    // Sums are floats: the order in which they are added matters.
    let of =
        |job: &str| store.numbers(&format!("sum(metrics_seconds_sum{{job=\"{job}\"}})"), "")[""];
    assert!((of("nodes") / of("one") - 1.0).abs() < 1e-12);
}

/// The samples of a text.
fn of(text: &str) -> BTreeMap<String, f64> {
    let samples = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.parse().unwrap())
    });
    samples.collect()
}

/// Nodes of the large fleet, and how often they are scraped, and for how long.
const NODES: usize = 1000;
const EVERY: &str = "5s";
const TIME: Duration = Duration::from_secs(60);

/// How often the query for the fleet's latency is measured.
const QUERIES: usize = 21;

#[test]
#[ignore = "takes two minutes: make integration"]
fn a_fleet_of_a_thousand_nodes() {
    if !is_root() {
        return;
    }
    let setup = Setup::new();
    let (running, target) = setup.start(&[]);
    numbers::call(&BY_NODE.concat());
    let recorded = Recorded::read(&target.get("/metrics", "").text());
    let _ = running.interrupt().succeeded();
    let samples = recorded.samples();
    let start = Instant::now();
    // Each node grows, and each at a speed of its own.
    let body = move |node: usize| {
        let times = 1 + start.elapsed().as_secs() * (1 + node as u64 % 7);
        recorded.with(|_, value| value * times as f64)
    };
    let nodes = Nodes::serve(body);
    let options = ["--web.enable-admin-api"];
    let jobs = [nodes.job("nodes", 0..NODES)];
    let Some(store) = Store::prometheus(&jobs, EVERY, &options) else { return };
    wait::within(PATIENCE, "all nodes are scraped", || {
        store.numbers("sum(up)", "").get("") == Some(&(NODES as f64))
    });
    let ingested = || store.own("prometheus_tsdb_head_samples_appended_total");
    let (cpu, before) = (cpu_of(store.pid()).unwrap(), ingested());
    std::thread::sleep(TIME);
    let (cpu, after) = (cpu_of(store.pid()).unwrap() - cpu, ingested());
    let ingested = after - before;
    println!("{NODES} nodes of {samples} samples, scraped every {EVERY} for {TIME:?}:");
    println!(
        "  ingestion: {:.0} samples/s, {:.1} % of a CPU, {:.2} us of CPU for a sample",
        ingested / TIME.as_secs_f64(),
        cpu.as_secs_f64() / TIME.as_secs_f64() * 100.0,
        cpu.as_secs_f64() * 1e6 / ingested,
    );
    store.snapshot();
    let (block, all) = (size(&store.data().join("snapshots")), size(&store.data()));
    println!(
        "  storage: a block of {:.1} MB, {:.2} bytes for a sample; {:.1} MB with the log; \
         {:.0} MB of memory",
        block as f64 / 1e6,
        block as f64 / after,
        (all - block) as f64 / 1e6,
        store.own("process_resident_memory_bytes") / 1e6,
    );
    for query in [
        "histogram_quantile(0.99, sum by (le) (rate(metrics_seconds_bucket[30s])))",
        "histogram_quantile(0.99, sum by (key, le) (rate(metrics_seconds_bucket[30s])))",
    ] {
        let mut times: Vec<Duration> = (0..QUERIES)
            .map(|_| {
                let begin = Instant::now();
                assert!(!store.query(query).is_empty());
                begin.elapsed()
            })
            .collect();
        times.sort();
        println!(
            "  {query}: {:.0} ms, at most {:.0} ms",
            times[QUERIES / 2].as_secs_f64() * 1e3,
            times[QUERIES - 1].as_secs_f64() * 1e3
        );
    }
}

/// The size of the files below a directory.
fn size(directory: &Path) -> u64 {
    let of = |entry: fs::DirEntry| match entry.file_type().unwrap().is_dir() {
        true => size(&entry.path()),
        false => entry.metadata().unwrap().len(),
    };
    fs::read_dir(directory).into_iter().flatten().flatten().map(of).sum()
}
