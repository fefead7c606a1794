// SPDX-License-Identifier: MIT
//! Several outputs of one run: each shows all frames in its format.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{BufRead as _, BufReader};

use bpfpack_tests::wait::eventually;
use bpfpack_tests::{Running, ecli, is_root, json_lines, pack, scratch, sys};
use tempfile::TempDir;

/// A package with records and a map, and the arguments with which it sees this thread.
fn package(fixture: &str) -> (TempDir, Vec<String>) {
    let dir = scratch();
    let package = pack(&format!("tests/fixtures/{fixture}.bpf.c"), &dir);
    let pid = sys::thread_id().to_string();
    let carrier = libc::SYS_getpgid.to_string();
    (dir, vec![package, "--target_pid".into(), pid, "--carrier".into(), carrier])
}

#[test]
fn all_outputs_show_the_same_records_and_readings() {
    if !is_root() {
        return;
    }
    const CALLS: usize = 25;
    let (dir, package) = package("losses");
    let at = |name: &str| dir.path().join(name).display().to_string();
    let (csv, json) = (format!("csv:{}", at("out.csv")), format!("json:{}", at("out.json")));
    let mut args: Vec<&str> = vec!["run", "--output", &csv, "-o", &json, "-i", "1h"];
    args.extend(package.iter().map(String::as_str));
    let running = Running::ecli(&args);
    (0..CALLS).for_each(|_| sys::carry(1));
    let outcome = running.interrupt().succeeded();
    let json = json_lines(&fs::read_to_string(at("out.json")).unwrap());
    let records = json.iter().filter(|object| object["seq"].is_u64()).count();
    let readings = json.iter().filter(|object| object["value"].is_u64()).count();
    assert!(records >= CALLS && readings == 1, "{records} records, {readings} entries");
    let said = format!("records: {records} shown, none lost");
    assert!(outcome.stderr.contains(&said), "each counts once: {}", outcome.stderr);
    // A row for each, and a header for each change of the source.
    let csv = fs::read_to_string(at("out.csv")).unwrap();
    let is_names = |line: &&str| line.starts_with("map,");
    let rows = csv.lines().filter(|line| !is_names(line)).count();
    assert_eq!(rows, records + readings, "{csv}");
    let seqs = |text: &str| text.lines().filter(|line| line.contains("reserved")).count();
    assert_eq!(seqs(&csv), json.iter().filter(|object| object["map"] == "reserved").count());
    // Text has another layout: a header, and the map as a table.
    assert!(outcome.stdout.contains("SEQ"), "{}", outcome.stdout);
    let lines = outcome.stdout.lines().filter(|line| line.contains(':')).count();
    assert!(lines >= records, "{lines} lines of {records} records: {}", outcome.stdout);
}

#[test]
fn the_end_of_one_reader_ends_the_run_and_the_others_get_the_rest() {
    if !is_root() {
        return;
    }
    let (dir, package) = package("losses");
    let file = dir.path().join("out.json");
    let output = format!("json:{}", file.display());
    let mut args: Vec<&str> = vec!["run", "-o", &output, "-i", "1h"];
    args.extend(package.iter().map(String::as_str));
    let mut running = Running::ecli(&args);
    let mut lines = BufReader::new(running.take_stdout()).lines();
    sys::carry(1);
    assert!(lines.next().is_some());
    drop(lines);
    eventually("ecli ends", || {
        sys::carry(1);
        running.has_ended()
    });
    let outcome = running.wait().succeeded();
    let objects = json_lines(&fs::read_to_string(&file).unwrap());
    assert!(objects.iter().any(|object| object["seq"].is_u64()));
    let calls = objects.iter().filter_map(|object| object["value"].as_u64()).next_back();
    // There is no other reading in an hour.
    assert!(calls.is_some_and(|calls| calls > 0), "the last reading: {objects:?}");
    assert!(outcome.stderr.contains("records: "), "{}", outcome.stderr);
}

#[test]
fn outputs_that_are_none() {
    for (args, words) in [
        (&["-o", "csv:a", "-o", "json:a"][..], &["`a` is given twice", "--output csv:out.csv"][..]),
        (&["-o", "csv:"], &["file name is missing"]),
        (&["-o", "raw:a", "--fields", "pid"], &["--fields"]),
    ] {
        ecli(&[&["run"], args, &["package.json"]].concat()).failed(2, words);
    }
}
