// SPDX-License-Identifier: MIT
//! Streams of records on this kernel: every loss is reported, even with slow readers; every format;
//! several buffers and maps; stacks; lines of bpf_printk.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc::Receiver;

use bpfpack_tests::stream::Stream;
use bpfpack_tests::wait::{in_background, outcome, read_until, taken};
use bpfpack_tests::{Outcome, Running, ecli, eventually, is_root, json_lines, pack, scratch, sys};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

/// Arguments with which a fixture sees this thread's system calls.
fn see_us() -> [String; 4] {
    let pid = sys::thread_id().to_string();
    ["--target_pid".into(), pid, "--carrier".into(), libc::SYS_getpgid.to_string()]
}

/// Runs a fixture that sees this thread.
fn running(fixture: &str, options: &[&str], more: &[&str]) -> (TempDir, Running) {
    let dir = scratch();
    let package = pack(&format!("tests/fixtures/{fixture}.bpf.c"), &dir);
    let us = see_us();
    let mut args: Vec<&str> = vec!["run"];
    args.extend(options);
    args.push(&package);
    args.extend(us.iter().map(String::as_str));
    args.extend(more);
    let running = Running::ecli(&args);
    (dir, running)
}

/// The output of a program that has ended.
fn text(output: Receiver<Vec<u8>>) -> String {
    String::from_utf8(taken(Some(output))).unwrap()
}

/// The numbers after words like `put: 12 shown, 3 lost` on the closing line.
fn counts(stderr: &str, buffer: &str) -> (u64, u64) {
    let begin = format!("{buffer}: ");
    let line = stderr.lines().rfind(|line| line.contains("records: ")).unwrap();
    let rest = &line[line.find(&begin).unwrap_or_else(|| panic!("{stderr}")) + begin.len()..];
    let mut numbers = rest.split([' ', ',', ';', ')']).filter_map(|word| word.parse().ok());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

#[test]
fn what_was_shown_and_what_was_lost_are_what_was_made() {
    if !is_root() {
        return;
    }
    const CALLS: u64 = 400;
    const BURST: u64 = 100;
    let (_dir, mut running) = running("losses", &["-j"], &["--burst", "100"]);
    let output = in_background(running.take_stdout());
    for _ in 0..CALLS {
        sys::carry(1);
    }
    let outcome = running.interrupt().succeeded();
    let text = text(output);
    let mut seen: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let mut calls = None;
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        match line["seq"].as_u64() {
            Some(seq) => {
                seen.entry(line["map"].as_str().unwrap().to_owned()).or_default().push(seq);
            }
            None => calls = line["value"].as_u64(),
        }
    }
    assert_eq!(calls, Some(CALLS), "the map was read beside the buffers");
    let mut any_lost = 0;
    for buffer in ["reserved", "put", "sent"] {
        let (shown, lost) = counts(&outcome.stderr, buffer);
        let seqs = &seen[buffer];
        assert_eq!(shown, seqs.len() as u64, "{buffer}");
        assert_eq!(shown + lost, CALLS * BURST, "{buffer}: {}", outcome.stderr);
        // There is a perf buffer per CPU, so order holds only within a CPU.
        if buffer != "sent" {
            assert!(seqs.is_sorted(), "{buffer}: in order");
        }
        any_lost += lost;
    }
    // 4096 bytes are too small for a burst of 100 records.
    assert!(any_lost > 0, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("--map-entries"), "{}", outcome.stderr);
}

#[test]
fn a_perf_buffer_is_read_to_its_end_however_much_waits() {
    if !is_root() {
        return;
    }
    const CALLS: u64 = 40;
    const BURST: u64 = 100;
    let dir = scratch();
    let path = pack("tests/fixtures/losses.bpf.c", &dir);
    let mut package: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    package["meta"]["perf_buffer_pages"] = 128.into();
    std::fs::write(&path, package.to_string()).unwrap();
    let us = see_us();
    let mut args = vec!["run", "-j", "--only", "sent", &path, "--burst", "100"];
    args.extend(us.iter().map(String::as_str));
    let mut running = Running::ecli(&args);
    let output = in_background(running.take_stdout());
    running.signal(Signal::STOP);
    for _ in 0..CALLS {
        sys::carry(1);
    }
    running.signal(Signal::CONT);
    let outcome = running.interrupt().succeeded();
    assert_eq!(text(output).lines().count() as u64, CALLS * BURST, "{}", outcome.stderr);
    let all = format!("{} shown, none lost", CALLS * BURST);
    assert!(outcome.stderr.contains(&all), "{}", outcome.stderr);
}

#[test]
fn a_loss_is_a_failure_where_that_is_asked_for() {
    if !is_root() {
        return;
    }
    let run = |options: &[&str], burst: &str| -> Outcome {
        let options = [&["--only", "reserved", "-j"], options].concat();
        let (_dir, mut running) = running("losses", &options, &["--burst", burst]);
        let _output = in_background(running.take_stdout());
        sys::carry(1);
        running.interrupt()
    };
    run(&["--strict"], "500").failed(8, &["were lost", "--strict"]);
    let outcome = run(&["--strict"], "5").succeeded();
    assert!(outcome.stderr.contains("records: 5 shown, none lost"), "{}", outcome.stderr);
    let outcome = run(&["--as-is"], "500").succeeded();
    assert!(outcome.stderr.contains("losses cannot be counted"), "{}", outcome.stderr);
}

#[test]
fn a_reader_that_sleeps_costs_no_memory_and_nothing_untold() {
    if !is_root() {
        return;
    }
    const CALLS: u64 = 200_000;
    let options = ["-j", "--only", "put", "--map-entries", "put=1048576"];
    let (_dir, mut running) = running("losses", &options, &["--burst", "4"]);
    let stdout = running.take_stdout();
    for _ in 0..CALLS {
        sys::carry(1);
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.split_whitespace().next().unwrap().parse().unwrap();
    assert!(peak < 48 << 10, "{peak} KB for output that nobody reads");
    running.signal(Signal::INT);
    // The reader starts only now.
    let output = in_background(stdout);
    let outcome = running.wait().succeeded();
    let text = text(output);
    let shown = text.lines().count() as u64;
    assert!(text.ends_with("}\n"));
    let line = outcome.stderr.lines().rfind(|line| line.contains("records: ")).unwrap();
    let numbers: Vec<u64> = line.split([' ', ',']).filter_map(|word| word.parse().ok()).collect();
    assert_eq!(numbers[0], shown, "{line}");
    assert_eq!(numbers.iter().take(2).sum::<u64>(), CALLS * 4, "{line}");
}

#[test]
fn a_second_signal_gives_up_on_a_reader_that_never_reads() {
    if !is_root() {
        return;
    }
    let options = ["-j", "--only", "put", "--map-entries", "put=4194304"];
    let (_dir, mut running) = running("losses", &options, &["--burst", "1000"]);
    let stdout = running.take_stdout();
    for _ in 0..100 {
        sys::carry(1);
    }
    running.signal(Signal::INT);
    eventually("the program is detached, though the output is not written", || {
        running.held().links.is_empty()
    });
    // Signals that arrive together may be merged.
    eventually("it gives up", || {
        running.signal(Signal::INT);
        running.has_ended()
    });
    let outcome = running.wait();
    outcome.failed(7, &["bytes of output were not written"]);
    drop(stdout);
}

#[test]
fn as_many_records_as_asked_for() {
    if !is_root() {
        return;
    }
    for only in ["reserved", "sent"] {
        let options = ["-j", "--only", only, "--count", "7"];
        let (_dir, running) = running("losses", &options, &["--burst", "5"]);
        for _ in 0..4 {
            sys::carry(1);
        }
        let outcome = running.wait().succeeded();
        let seqs: Vec<u64> = outcome
            .stdout
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["seq"].as_u64().unwrap())
            .collect();
        assert_eq!(seqs, [0, 1, 2, 3, 4, 5, 6], "{only}");
    }
}

/// Some records of the flood fixture, in a format.
fn flood(options: &[&str]) -> Outcome {
    let (_dir, running) = running("flood", options, &[]);
    for _ in 0..3 {
        sys::carry(1);
    }
    running.interrupt().succeeded()
}

#[test]
fn formats_say_the_same() {
    if !is_root() {
        return;
    }
    let us = sys::thread_id();
    let fields = ["--fields", "tid,comm,seq,ret"];
    let comm = std::fs::read_to_string("/proc/thread-self/comm").unwrap().trim_end().to_owned();
    let run = |format: &[&str]| flood(&[&fields[..], format].concat()).stdout;

    let text = run(&["--raw"]);
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!(names, ["TIME", "TID", "COMM", "SEQ", "RET"]);
    assert_eq!(lines.count(), 3, "{text}");
    let text = run(&["--time", "none"]);
    assert!(!text.contains("TIME") && text.contains("-ESRCH") == text.contains("-3"), "{text}");

    let csv = run(&["--format", "csv"]);
    let mut lines = csv.lines();
    assert_eq!(lines.next(), Some("tid,comm,seq,ret"));
    assert!(lines.next().unwrap().starts_with(&format!("{us},{comm},0,")), "{csv}");
    let tsv = run(&["--format", "tsv", "--time", "boot"]);
    let row: Vec<&str> = tsv.lines().nth(2).unwrap().split('\t').collect();
    assert!(row[0].parse::<f64>().unwrap() > 0.0 && row[3] == "1", "{tsv}");

    let yaml: Value = yaml_serde::from_str(&run(&["--format", "yaml"])).unwrap();
    assert_eq!(yaml.as_array().unwrap().len(), 3);
    assert_eq!((&yaml[2]["tid"], &yaml[2]["seq"]), (&us.into(), &2.into()));

    let json = json_lines(&run(&["-j", "--time", "delta"]));
    let keys: Vec<&String> = json[0].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["time", "tid", "comm", "seq", "ret"]);
    assert!(json[1]["time"].as_f64().unwrap() >= 0.0);
    let decoded: Value =
        serde_json::from_str(run(&["-j", "--decode"]).lines().next().unwrap()).unwrap();
    assert!(decoded["ret"].is_string() || decoded["ret"].is_number(), "{decoded}");
}

#[test]
fn bytes_and_files() {
    if !is_root() {
        return;
    }
    let dir = scratch();
    let path = dir.path().join("out");
    let outcome = flood(&["--format", "raw", "--output", path.to_str().unwrap()]);
    assert_eq!(outcome.stdout, "");
    let bytes = std::fs::read(&path).unwrap();
    // 48 bytes each; the record's number is in the middle.
    assert_eq!(bytes.len(), 3 * 48);
    let seq = |record: &[u8]| u64::from_le_bytes(record[24..32].try_into().unwrap());
    assert_eq!(bytes.chunks(48).map(seq).collect::<Vec<_>>(), [0, 1, 2]);
    let package = pack("tests/fixtures/flood.bpf.c", &dir);
    let nowhere = dir.path().join("nonsuch/x");
    ecli(&["run", "-o", nowhere.to_str().unwrap(), &package]).failed(7, &["nonsuch/x"]);
    ecli(&["run", "--fields", "pid,nothing", &package]).failed(2, &["no member `nothing`", "comm"]);
    ecli(&["run", "--only", "nothing", &package]).failed(2, &["no map `nothing`", "events"]);
    let package = pack("tests/fixtures/losses.bpf.c", &dir);
    ecli(&["run", "--format", "raw", &package]).failed(2, &["--only", "reserved"]);
}

#[test]
fn stacks_are_functions() {
    if !is_root() {
        return;
    }
    // The end of a run does not wait for names, so they are looked up before.
    let shown = |options: &[&str], what: &str| {
        let dir = scratch();
        let package = pack("tests/fixtures/stacks.bpf.c", &dir);
        let us = see_us();
        let us = us.iter().map(String::as_str);
        let args: Vec<&str> = options.iter().copied().chain([&*package]).chain(us).collect();
        let stream = Stream::ecli(&dir, "out", &args);
        for _ in 0..2 {
            sys::carry(1);
        }
        eventually(what, || stream.text().contains(what));
        stream.interrupt()
    };
    let frames_with = |text: &str, function: &str| {
        text.lines().filter(|line| line.starts_with("    ") && line.contains(function)).count()
    };
    // The function by which the kernel was entered is in both records of both calls.
    let text = shown(&[], "getpgid");
    assert_eq!(frames_with(&text, "getpgid"), 4, "{text}");
    if cfg!(target_arch = "x86_64") {
        assert_eq!(frames_with(&text, "entry_SYSCALL_64_after_hwframe"), 4, "{text}");
    }
    // Also below the rows of the table, whose columns do not show the IDs.
    let table = shown(&["--only", "counts", "--interval", "100ms"], "getpgid");
    let header: Vec<&str> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(header, ["TGID", "COUNTS"], "{table}");
    assert!(frames_with(&table, "getpgid") > 0, "{table}");
    let text = shown(&["-j", "--decode", "--only", "addresses"], "getpgid");
    let record: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let frames = record["stacks"]["ustack"].as_array().unwrap();
    assert!(frames[0].as_str().unwrap().contains("getpgid"), "{frames:?}");
    let text = shown(&["--raw", "--only", "addresses"], "KSTACK");
    assert!(text.contains("KSTACK") && !text.contains("getpgid"), "{text}");
}

/// The trace instance whose pipe a process has open.
fn instance_of(pid: u32) -> Option<PathBuf> {
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let files = descriptors.filter_map(|entry| std::fs::read_link(entry.path()).ok());
    let mut instances = files.filter_map(|file| Some(file.parent()?.to_owned()));
    instances.find(|dir| dir.parent().is_some_and(|parent| parent.ends_with("tracing/instances")))
}

#[test]
fn lines_that_programs_print() {
    if !is_root() {
        return;
    }
    let dir = scratch();
    let package = pack("examples/hello/hello.bpf.c", &dir);
    let mut running = Running::ecli(&["run", "--time", "none", &package]);
    let instance = instance_of(running.pid()).expect("an instance of its own");
    let mut stdout = running.take_stdout();
    let mut shell = Command::new("/bin/sh");
    // Other tests may start processes, too.
    let pid = outcome(shell.args(["-c", "echo $$; exec true"])).succeeded().stdout;
    let pid = pid.trim_end();
    let is_whole = |text: &str| {
        text.split_inclusive('\n').any(|line| line.contains(&format!("process {pid}\n")))
    };
    let text = read_until(&mut stdout, "the line", is_whole);
    let output = in_background(stdout);
    let _ = running.interrupt().succeeded();
    drop(output);
    let header: Vec<&str> = text.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(header, ["COMM", "PID", "CPU", "TEXT"]);
    let line = text.lines().find(|line| line.contains(&format!("process {pid}"))).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[1], pid, "{line}");
    assert!(words[2].parse::<u32>().is_ok(), "{line}");
    assert!(!instance.exists(), "{instance:?} is left");
}
