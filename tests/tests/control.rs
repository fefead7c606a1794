// SPDX-License-Identifier: MIT
//! Run control: the end of a run, requested readings, commands, and options after the package's
//! name.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use bpfpack_tests::wait::{outcome, read_until, status};
use bpfpack_tests::{
    Running, alone, ecli, eventually, is_root, json_lines, pack, program, scratch, sys,
};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

const EDGES: &str = "tests/fixtures/edges.bpf.c";
const EXECS: &str = "tests/fixtures/execs.bpf.c";

/// Starts the fixture that counts the calls of this thread.
fn edges(dir: &TempDir, options: &[&str]) -> Running {
    let package = pack(EDGES, dir);
    let (pid, carrier) = (sys::thread_id().to_string(), libc::SYS_getpgid.to_string());
    let us = [&package, "--target_pid", &pid, "--carrier", &carrier];
    Running::ecli(&[&["run", "-j"], options, &us].concat())
}

/// How often a reading of each map was shown, by key.
fn shown(lines: &[Value]) -> BTreeMap<(String, String), usize> {
    let mut shown = BTreeMap::new();
    for line in lines {
        let key = (line["map"].as_str().unwrap().to_owned(), line["key"].to_string());
        *shown.entry(key).or_default() += 1;
    }
    shown
}

#[test]
fn the_first_record_ends_a_run() {
    if !is_root() {
        return;
    }
    let dir = scratch();
    let mut running = Running::ecli(&["run", "--once", "-j", &pack(EXECS, &dir)]);
    eventually("a record has come", || {
        let _ = status(&mut Command::new("true"));
        running.has_ended()
    });
    let outcome = running.wait().succeeded();
    assert_eq!(outcome.objects().len(), 1, "{}", outcome.stdout);
}

#[test]
fn the_first_reading_with_data_of_each_view_ends_a_run() {
    if !is_root() {
        return;
    }
    let dir = scratch();
    let mut running = edges(&dir, &["--once", "-i", "0.05"]);
    // Some readings without data.
    std::thread::sleep(Duration::from_millis(200));
    assert!(!running.has_ended());
    sys::carry(3);
    eventually("a reading has come", || running.has_ended());
    let shown = shown(&running.wait().succeeded().objects());
    assert!(shown.values().all(|times| *times == 1), "{shown:?}");
    for map in ["by_parity", "totals", "per_cpu"] {
        assert!(shown.keys().any(|(name, _)| name == map), "no {map} in {shown:?}");
    }
    ecli(&["run", "--once", "-c", "2", "x.json"]).failed(2, &["--once", "--count"]);
}

#[test]
fn a_signal_asks_for_a_reading() {
    if !is_root() {
        return;
    }
    let dir = scratch();
    let mut running = edges(&dir, &["-i", "1h"]);
    let mut stdout = running.take_stdout();
    for value in [1, 2] {
        sys::carry(value);
        running.signal(Signal::USR1);
        let text = read_until(&mut stdout, "a reading", |text| {
            text.matches("\"map\":\"totals\"").count() == 2 && text.ends_with('\n')
        });
        // One number of each parity has been counted by then.
        let totals = text.lines().filter(|line| line.contains("\"map\":\"totals\""));
        let counts: Vec<serde_json::Value> =
            totals.map(|line| serde_json::from_str(line).unwrap()).collect();
        let sum: u64 = counts.iter().filter_map(|it| it["value"]["totals"].as_u64()).sum();
        assert_eq!(sum, value as u64, "{text}");
    }
    assert!(!running.has_ended());
    running.signal(Signal::INT);
    let _ = running.wait().succeeded();
}

#[test]
fn a_signal_that_asks_for_a_reading_never_ends_a_run() {
    if !is_root() {
        return;
    }
    let dir = scratch();
    let package = pack(EDGES, &dir);
    let mut running = Running::start(program("ecli"), &["run", "-d", "0.3", &package]);
    let path = format!("/proc/{}/status", running.pid());
    let is_caught = |text: &str| {
        let mask = text.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap_or("0");
        u64::from_str_radix(mask.trim(), 16).unwrap() >> (libc::SIGUSR1 - 1) & 1 == 1
    };
    eventually("signals are caught", || is_caught(&fs::read_to_string(&path).unwrap_or_default()));
    while !running.has_ended() {
        running.signal(Signal::USR1);
        std::thread::sleep(Duration::from_millis(1));
    }
    let _ = running.wait().succeeded();
}

#[test]
fn a_command_is_traced_from_its_beginning_to_its_end() {
    if !is_root() {
        return;
    }
    let dir = scratch();
    let package = pack("examples/opensnoop/opensnoop.bpf.c", &dir);
    let file = dir.path().join("opened");
    fs::write(&file, "content\n").unwrap();
    let file = file.to_str().unwrap();
    let args = ["run", "-j", "-o", &format!("{file}.json"), &package, "--", "cat", file];
    let outcome = ecli(&args).succeeded();
    assert_eq!(outcome.stdout, "content\n", "the command's own output");
    assert!(
        outcome.stderr.contains("passed to the package's argument `pid`"),
        "{}",
        outcome.stderr
    );
    let text = fs::read_to_string(format!("{file}.json")).unwrap();
    let records = json_lines(&text);
    assert!(records.iter().any(|record| record["fname"] == *file), "{text}");
    assert!(records.iter().all(|record| record["comm"] == "cat"), "only the command: {text}");
    // An explicit option wins: no process with this ID opens files.
    let given = ["run", "-q", "-j", &package, "--pid", "4194304", "--", "true"];
    assert_eq!(ecli(&given).succeeded().stdout, "");
}

#[test]
fn exit_codes_are_those_of_the_command() {
    if !is_root() {
        return;
    }
    let dir = scratch();
    let package = pack(EXECS, &dir);
    let code = |script: &str| ecli(&["run", "-q", &package, "--", "sh", "-c", script]).code;
    assert_eq!((code("exit 0"), code("exit 3"), code("kill -9 $$")), (0, 3, 137));
    let run = |command: &str| ecli(&["run", &package, "--", command]);
    run("no-such-command").failed(127, &["the command `no-such-command` does not exist", "PATH"]);
    run("/nowhere/command").failed(127, &["the command `/nowhere/command` does not exist"]);
    let outcome = run(&package);
    outcome.failed(126, &["cannot be executed", "Permission denied"]);
    assert!(!outcome.stderr.contains("tracing with"), "before anything is loaded");
    ecli(&["run", &package, "--"]).failed(2, &["the command after `--` is missing"]);
    // The failure of ecli takes precedence.
    let full = ["run", "-q", "-o", "/dev/full", &package, "--", "sh", "-c", "exit 3"];
    assert_eq!(ecli(&full).code, 7);
}

#[test]
fn a_command_never_runs_where_ecli_fails_before() {
    if !is_root() {
        return;
    }
    let dir = scratch();
    let package = pack(EXECS, &dir);
    let file = dir.path().join("made");
    let path = file.to_str().unwrap();
    let args = ["run", "--attach", "no_such=kprobe:x", &package, "--", "touch", path];
    ecli(&args).failed(2, &["no program `no_such`"]);
    assert!(!file.exists());
}

#[test]
fn a_command_ends_with_the_run() {
    if !is_root() {
        return;
    }
    let dir = scratch();
    let package = pack(EXECS, &dir);
    let file = dir.path().join("pid");
    let script = format!("echo $$ > {}; exec sleep 1000", file.display());
    let until = ["--until", "comm == sleep"];
    let args = [&["run"], &until[..], &[&package, "--", "sh", "-c", &script]].concat();
    let outcome = ecli(&args).succeeded();
    assert!(
        outcome.stderr.contains("`sh` is still running: sending SIGTERM"),
        "{}",
        outcome.stderr
    );
    let pid = fs::read_to_string(&file).unwrap();
    assert!(!fs::exists(format!("/proc/{}", pid.trim())).unwrap());
    // A signal for both, like Ctrl-C.
    let running = Running::ecli(&["run", &package, "--", "sleep", "1000"]);
    let path = format!("/proc/{0}/task/{0}/children", running.pid());
    let mut child = 0;
    eventually("the command has begun", || {
        child = fs::read_to_string(&path).unwrap().trim().parse().unwrap_or_default();
        let name = fs::read_to_string(format!("/proc/{child}/comm")).unwrap_or_default();
        name == "sleep\n"
    });
    let child = rustix::process::Pid::from_raw(child).unwrap();
    rustix::process::kill_process(child, Signal::INT).unwrap();
    let outcome = running.interrupt();
    assert_eq!(outcome.code, 130, "{}", outcome.stderr);
    assert!(!outcome.stderr.contains("SIGTERM"), "{}", outcome.stderr);
}

#[test]
fn a_command_has_the_streams_of_ecli() {
    if !is_root() {
        return;
    }
    let dir = scratch();
    let package = pack(EXECS, &dir);
    let input = dir.path().join("input");
    fs::write(&input, "from here\n").unwrap();
    let script = ["sh", "-c", "cat; ls /proc/self/fd; grep SigBlk /proc/self/status"];
    let mut plain = Command::new(script[0]);
    let mut traced = Command::new(program("ecli"));
    traced.args(["run", "-q", "-o", "/dev/null", &package, "--"]).args(script);
    let run = |command: &mut Command| {
        outcome(command.stdin(Stdio::from(fs::File::open(&input).unwrap()))).succeeded().stdout
    };
    let expected = run(plain.args(&script[1..]));
    assert!(expected.starts_with("from here\n0\n1\n"), "{expected}");
    assert_eq!(run(&mut traced), expected, "nothing of ecli is left to it");
}

#[test]
fn options_of_ecli_come_behind_the_name_too() {
    if !is_root() {
        return;
    }
    let dir = scratch();
    let package = pack("examples/opensnoop/opensnoop.bpf.c", &dir);
    // `-x` is the package's; `-j` and `-c` are ecli's.
    let outcome = ecli(&["run", &package, "-xjc", "1", "--", "cat", "/nowhere/file"]);
    let records = outcome.objects();
    assert_eq!(records.len(), 1, "{}", outcome.stdout);
    assert!(records[0]["ret"].as_i64().unwrap() < 0, "{}", outcome.stdout);
    let run = |args: &[&str]| ecli(&[&["run", &package], args].concat());
    run(&["--duratoin", "2"]).failed(2, &["unknown option `--duratoin`", "`--duration` of ecli"]);
    run(&["--faild"]).failed(2, &["`--failed` of the package"]);
    run(&["-Z"]).failed(2, &["unknown option `-Z`"]);
    run(&["stray"]).failed(2, &["`stray` is not an option", "-- CMD"]);
    run(&["--interval"]).failed(2, &["`--interval` needs a value"]);
    run(&["--interval", "soon"]).failed(2, &["soon"]);
    ecli(&["run", "-d", "1", &package, "-d", "2"]).failed(2, &["--duration", "multiple times"]);
    let help = run(&["--help"]).succeeded().stdout;
    assert!(help.contains("--failed") && help.contains("Options of ecli are accepted"), "{help}");
    ecli(&["run", "--failed", &package]).failed(2, &["come after its name"]);
}

#[test]
fn lines_of_two_programs_that_print_are_told_apart() {
    if !is_root() {
        return;
    }
    let _alone = alone();
    let (one, two) = (scratch(), scratch());
    let hello = pack("examples/hello/hello.bpf.c", &one);
    let prints = pack("tests/fixtures/prints.bpf.c", &two);
    let hello = Running::ecli(&["run", "-j", &hello]);
    let prints = Running::ecli(&["run", "-j", &prints]);
    for _ in 0..5 {
        let _ = status(&mut Command::new("true"));
    }
    let (hello, prints) = (hello.interrupt().succeeded(), prints.interrupt().succeeded());
    let texts = |outcome: &bpfpack_tests::Outcome| -> Vec<String> {
        outcome.objects().iter().map(|line| line["text"].as_str().unwrap().to_owned()).collect()
    };
    let (of_hello, of_prints) = (texts(&hello), texts(&prints));
    assert!(of_hello.len() >= 5 && of_prints.len() >= 10, "{of_hello:?} {of_prints:?}");
    assert!(of_hello.iter().all(|text| text.starts_with("hello, ")), "{of_hello:?}");
    assert!(of_prints.iter().all(|text| text.starts_with("printed")), "{of_prints:?}");
    for outcome in [&hello, &prints] {
        assert!(outcome.stderr.contains("of other programs were left out"), "{}", outcome.stderr);
    }
    // Only the second run could see the first one when it started.
    assert!(prints.stderr.contains("other programs on this machine also print"));
    assert!(prints.stderr.contains("`process_exec`"), "{}", prints.stderr);
}
