// SPDX-License-Identifier: MIT
//! `ecli run --listen`: what is scraped is what the maps have.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bpfpack_tests::numbers::{call, of_this_thread};
use bpfpack_tests::registry::{PASSWORD, USER, has_programs};
use bpfpack_tests::scrape::Target;
use bpfpack_tests::wait::outcome;
use bpfpack_tests::{
    Running, ecli, eventually, is_root, json_lines, names, pack, pack_with, scratch,
};
use serde_json::{Value, json};
use tempfile::TempDir;

const FIXTURE: &str = "tests/fixtures/metrics.bpf.c";

struct Setup {
    dir: TempDir,
    target: Target,
    package: String,
}

impl Setup {
    fn new(flags: &[&str]) -> Setup {
        let dir = scratch();
        let package = pack_with(FIXTURE, &dir, flags);
        Setup { target: Target::unix(dir.path()), dir, package }
    }

    fn start(&self, options: &[&str]) -> Running {
        let running = self.start_unserved(options);
        self.until_served();
        running
    }

    fn start_unserved(&self, options: &[&str]) -> Running {
        let (listen, own) = (self.target.argument(), of_this_thread());
        let own = own.each_ref().map(String::as_str);
        Running::ecli(&[&["run", "--listen", &listen], options, &[&self.package], &own].concat())
    }

    fn until_served(&self) {
        let path = self.dir.path().join("metrics.sock");
        eventually("the socket exists", || path.exists());
        // It is served a moment after it exists.
        assert_eq!(self.target.get("/-/healthy", "").status, 200);
    }
}

/// The samples that begin with a text, without it.
fn of(samples: &BTreeMap<String, f64>, begin: &str) -> Vec<(String, f64)> {
    let found =
        samples.iter().filter_map(|(name, value)| Some((name.strip_prefix(begin)?, *value)));
    found.map(|(name, value)| (name.to_owned(), value)).collect()
}

#[test]
fn a_scrape_has_what_the_maps_have() {
    if !is_root() {
        return;
    }
    let setup = Setup::new(&[]);
    let running = setup.start(&[]);
    call(&[(1, 0, 2), (1, 5, 3), (1, 9000, 1), (2, 100, 7)]);
    let samples = setup.target.samples();
    let buckets = |kind: &str| -> Vec<f64> {
        let bound =
            |micros: f64| format!("metrics_seconds_bucket{{key=\"{kind}\",le=\"{micros}\"}}");
        let value =
            |name: String| *samples.get(&name).unwrap_or_else(|| panic!("{name}: {samples:?}"));
        let mut found: Vec<f64> = (1..12).map(|log| value(bound_text(&bound, log))).collect();
        found.push(value(format!("metrics_seconds_bucket{{key=\"{kind}\",le=\"+Inf\"}}")));
        found
    };
    // Up to 1 us, up to 3 us, up to 7 us, …: the last slot has no bound.
    assert_eq!(buckets("1"), [2., 2., 5., 5., 5., 5., 5., 5., 5., 5., 5., 6.]);
    assert_eq!(buckets("2"), [0., 0., 0., 0., 0., 0., 7., 7., 7., 7., 7., 7.]);
    assert_eq!(samples["metrics_seconds_count{key=\"1\"}"], 6.0);
    assert_eq!(samples["metrics_seconds_sum{key=\"1\"}"], 0.009_015);
    // As the annotation wants it.
    let totals = [("_max_seconds{kind=\"1\"}", 0.009), ("_max_seconds{kind=\"2\"}", 0.0001)];
    let totals = totals.map(|(name, value)| (name.to_owned(), value));
    let calls_of = [("_calls_total{kind=\"1\"}", 6.0), ("_calls_total{kind=\"2\"}", 7.0)];
    let calls_of = calls_of.map(|(name, value)| (name.to_owned(), value));
    assert_eq!(of(&samples, "calls_by_kind"), [calls_of, totals].concat());
    assert_eq!(samples["bpfpack_map_elements{map=\"totals\"}"], 2.0);
    assert_eq!(samples["bpfpack_map_max_elements{map=\"totals\"}"], 64.0);
    // A later scrape has more, and nothing twice.
    call(&[(1, 0, 1)]);
    assert_eq!(setup.target.samples()["metrics_seconds_count{key=\"1\"}"], 7.0);
    let outcome = running.interrupt().succeeded();
    assert_eq!(outcome.stdout, "", "nothing else is shown");
    assert!(!names(setup.dir.path()).contains(&"metrics.sock".to_owned()), "the socket is removed");
}

/// The name of a bucket up to 2^`log` microseconds.
fn bound_text(name: &impl Fn(f64) -> String, log: u32) -> String {
    let seconds = f64::from(1u32 << log) / 1e6;
    // Prometheus has exponents of two digits.
    let text = name(seconds);
    match seconds < 1e-4 {
        false => text,
        true => {
            let digits = format!("{seconds:e}");
            let (digits, exponent) = digits.split_once("e-").unwrap();
            text.replace(&format!("le=\"{seconds}\""), &format!("le=\"{digits}e-{exponent:0>2}\""))
        }
    }
}

#[test]
fn outputs_and_metrics_agree() {
    if !is_root() {
        return;
    }
    let setup = Setup::new(&[]);
    let file = setup.dir.path().join("out.json");
    let output = format!("json:{}", file.display());
    let running = setup.start(&["-i", "100ms", "-o", &output, "--only", "hists"]);
    call(&[(3, 7, 4), (3, 70, 2)]);
    let counted = || setup.target.samples().get("metrics_seconds_count{key=\"3\"}").copied();
    eventually("a reading has been made", || counted() == Some(6.0));
    let _ = running.interrupt().succeeded();
    let last = json_lines(&fs::read_to_string(file).unwrap()).pop().unwrap();
    let slots = last["value"]["slots"].as_array().unwrap();
    let total: u64 = slots.iter().filter_map(Value::as_u64).sum();
    assert_eq!((&last["key"], total), (&Value::from(3), 6), "{last}");
}

#[test]
fn records_are_counted_beside_tables_with_the_labels_that_are_chosen() {
    if !is_root() {
        return;
    }
    let setup = Setup::new(&["-a", "-DRECORDS"]);
    let run = |options: &[&str]| {
        let running = setup.start(options);
        call(&[(0, 1000, 3), (1, 500, 2)]);
        let samples = setup.target.samples();
        let _ = running.interrupt().succeeded();
        samples
    };
    let samples = run(&[]);
    assert_eq!(samples["metrics_events_total{kind=\"0\"}"], 3.0);
    assert_eq!(samples["metrics_took_seconds_total{kind=\"0\"}"], 0.003);
    assert_eq!(samples["metrics_took_seconds_total{kind=\"1\"}"], 0.001);
    assert_eq!(samples["calls_by_kind_calls_total{kind=\"0\"}"], 3.0);
    assert_eq!(samples["bpfpack_records_total{source=\"events\"}"], 5.0);
    assert_eq!(samples["bpfpack_lost_records_total{source=\"events\"}"], 0.0);
    let chosen = ["--labels", "events:comm=command,kind", "--metric", "totals=off"];
    let samples =
        run(&[&chosen[..], &["--metric", "events=slow", "--filter", "kind == 1"]].concat());
    let found = of(&samples, "slow_total{command=");
    assert!(matches!(&found[..], [(name, 2.0)] if name.ends_with(",kind=\"1\"}")), "{samples:?}");
    assert_eq!(of(&samples, "calls_by_kind"), []);
}

#[test]
fn series_are_limited_and_programs_are_measured() {
    if !is_root() {
        return;
    }
    let setup = Setup::new(&[]);
    let running = setup.start(&["--max-series", "2", "--run-times"]);
    call(&[(0, 1, 1), (1, 1, 2), (2, 1, 3), (3, 1, 4)]);
    let samples = setup.target.samples();
    let _ = running.interrupt().succeeded();
    let series = of(&samples, "calls_by_kind_calls_total");
    assert_eq!(series.len(), 2);
    assert_eq!(series.iter().map(|(_, value)| value).sum::<f64>(), 10.0, "nothing is left out");
    assert!(series.iter().any(|(name, _)| name == "{kind=\"_other_\"}"), "{series:?}");
    assert_eq!(samples["bpfpack_merged_keys_total{source=\"totals\"}"], 3.0);
    assert!(samples["bpfpack_program_runs_total{program=\"on_number\"}"] >= 10.0);
    assert!(samples["bpfpack_program_run_seconds_total{program=\"on_number\"}"] > 0.0);
}

#[test]
fn the_server_answers_in_the_format_that_is_asked_for() {
    if !is_root() {
        return;
    }
    let setup = Setup::new(&[]);
    let running = setup.start(&[]);
    call(&[(1, 8, 2)]);
    let get = |accept: &str| setup.target.get("/metrics", &format!("Accept: {accept}\r\n"));
    let open = get("application/openmetrics-text;version=1.0.0");
    assert!(open.head.contains("application/openmetrics-text; version=1.0.0"), "{}", open.head);
    assert!(
        open.text().ends_with("# EOF\n") && open.text().contains("# UNIT metrics_seconds seconds")
    );
    let binary = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
    assert!(get(binary).head.contains("io.prometheus.client.MetricFamily"));
    assert!(setup.target.get("/", "").text().contains("<a href=\"/metrics\">"));
    assert_eq!(setup.target.get("/other", "").status, 404);
    let _ = running.interrupt().succeeded();
}

#[test]
fn users_need_their_password() {
    if !is_root() || !has_programs() {
        return;
    }
    let setup = Setup::new(&[]);
    let mut htpasswd = Command::new("htpasswd");
    let line = outcome(htpasswd.args(["-nbBC4", USER, PASSWORD])).succeeded().stdout;
    let hash = line.trim().split_once(':').unwrap().1.to_owned();
    let web = setup.dir.path().join("web.yml");
    fs::write(&web, format!("basic_auth_users:\n  {USER}: {hash}\n")).unwrap();
    let running = setup.start_unserved(&["--web-config", web.to_str().unwrap()]);
    let socket = setup.dir.path().join("metrics.sock");
    eventually("the socket exists", || socket.exists());
    let status = |user: &str, password: &str| {
        let both = BASE64_STANDARD.encode(format!("{user}:{password}"));
        setup.target.get("/metrics", &format!("Authorization: Basic {both}\r\n")).status
    };
    assert_eq!(setup.target.get("/metrics", "").status, 401);
    assert_eq!((status(USER, "wrong"), status("other", PASSWORD)), (401, 401));
    assert_eq!((status(USER, PASSWORD), status(USER, PASSWORD)), (200, 200));
    let _ = running.interrupt().succeeded();
}

#[test]
fn the_journal_has_the_members_of_records() {
    if !is_root() {
        return;
    }
    let dir = scratch();
    let package = pack_with(FIXTURE, &dir, &["-a", "-DRECORDS"]);
    let thread = of_this_thread();
    let socket = dir.path().join("journal");
    let at = socket.to_str().unwrap();
    let own = [&[&*package][..], &thread.each_ref().map(String::as_str)].concat();
    let options = ["run", "--journal", "--journal-socket", at];
    ecli(&[&options[..], &own[..]].concat())
        .failed(7, &["cannot connect to the journal", "systemd"]);
    let journal = UnixDatagram::bind(&socket).unwrap();
    let running = Running::ecli(&[&options[..], &own[..]].concat());
    call(&[(1, 9, 2)]);
    let outcome = running.interrupt().succeeded();
    assert_eq!(outcome.stdout, "");
    journal.set_nonblocking(true).unwrap();
    let mut entries = Vec::new();
    let mut bytes = [0; 1000];
    while let Ok(count) = journal.recv(&mut bytes) {
        entries.push(String::from_utf8_lossy(&bytes[..count]).into_owned());
    }
    assert_eq!(entries.len(), 2);
    let entry = &entries[1];
    assert!(entry.starts_with("MESSAGE=took_us=9 kind=1 comm="), "{entry}");
    assert!(entry.contains("\nSYSLOG_IDENTIFIER=metrics\n") && entry.contains("\nBPF_TOOK_US=9\n"));
}

#[test]
fn what_cannot_be_served_is_an_error_before_anything_is_loaded() {
    let dir = scratch();
    let package = pack("tests/fixtures/execs.bpf.c", &dir);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let run = |options: &[&str]| ecli(&[&["run"], options, &[&package]].concat());
    run(&["--listen", &address]).failed(7, &["the address is in use"]);
    run(&["--listen", "here"]).failed(2, &["`here` is not an address", "hint: for example"]);
    run(&["--listen", "203.0.113.1:9435"]).failed(7, &["not an address of this machine"]);
    run(&["--listen", "fd://"]).failed(7, &["systemd"]);
    run(&["--labels", "comm"]).failed(2, &["--listen"]);
    let mut named: Value = serde_json::from_slice(&fs::read(&package).unwrap()).unwrap();
    named["meta"]["bpf_skel"]["maps"][0]["metric"] = json!({"labels": ["comm=a b"]});
    let bad = dir.path().join("named.json");
    fs::write(&bad, named.to_string()).unwrap();
    ecli(&["run", "--listen", ":0", bad.to_str().unwrap()])
        .failed(3, &["the annotation @metric of", "`a b` is not a name for a label", "--labels"]);
    run(&["--listen", ":0", "--by", "comm"]).failed(2, &["--by cannot be used", "--labels"]);
    run(&["--listen", ":0", "--top", "3"])
        .failed(2, &["--top cannot be used with --listen and --otlp"]);
    fs::write(dir.path().join("web.yml"), "tls_server_config: {nonsense: 1}\n").unwrap();
    let web = dir.path().join("web.yml");
    run(&["--listen", "127.0.0.1:0", "--web-config", web.to_str().unwrap()])
        .failed(2, &["web.yml", "nonsense"]);
}

#[test]
fn choices_name_what_exists() {
    if !is_root() {
        return;
    }
    let setup = Setup::new(&[]);
    let listen = setup.target.argument();
    let run = |options: &[&str]| {
        ecli(&[&["run", "--listen", &listen], options, &[&setup.package]].concat())
    };
    run(&["--labels", "hists:comm"]).failed(2, &["no member `comm`", "these can: key"]);
    run(&["--metric", "nothing=off"]).failed(2, &["named `nothing`", "it shows hists, totals"]);
    assert!(!names(setup.dir.path()).contains(&"metrics.sock".to_owned()));
}
