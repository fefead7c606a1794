// SPDX-License-Identifier: MIT
//! Arranged readings: order, groups, rates, CPUs, over time, and on a terminal.
#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};

use bpfpack_tests::{
    Outcome, Running, ecli, eventually, is_root, json, pack, program, root, scratch, sys,
};
use rustix::termios::{Winsize, tcsetwinsize};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Passes numbers to the fixture by a call.
fn carry(group: i32, kind: i32, value: i32) {
    sys::carry(value << 8 | group << 4 | kind);
}

/// Calls that differ in every column.
fn load() {
    for (group, kind, value, calls) in
        [(0, 1, 10, 4), (0, 2, 300, 1), (1, 1, 5, 9), (2, 3, 700, 2), (3, 0, 1, 1)]
    {
        (0..calls).for_each(|_| carry(group, kind, value));
    }
}

struct Package {
    _dir: TempDir,
    args: Vec<String>,
}

fn package() -> Package {
    let dir = scratch();
    let package = pack("tests/fixtures/readings.bpf.c", &dir);
    let pid = sys::thread_id().to_string();
    let carrier = libc::SYS_getpgid.to_string();
    let args = vec![package, "--target_pid".into(), pid, "--carrier".into(), carrier];
    Package { _dir: dir, args }
}

impl Package {
    fn args<'a>(&'a self, options: &[&'a str]) -> Vec<&'a str> {
        let own = self.args.iter().map(String::as_str);
        ["run"].into_iter().chain(options.iter().copied()).chain(own).collect()
    }

    /// The last reading after the load.
    #[track_caller]
    fn shown(&self, options: &[&str]) -> Outcome {
        let running = Running::ecli(&self.args(options));
        load();
        running.interrupt().succeeded()
    }

    #[track_caller]
    fn objects(&self, options: &[&str]) -> Vec<Value> {
        self.shown(&[&["-j"], options].concat()).objects()
    }
}

/// A member in the values of all objects.
fn members(objects: &[Value], pointer: &str) -> Vec<Value> {
    objects.iter().map(|object| object.pointer(pointer).cloned().unwrap_or_default()).collect()
}

#[test]
fn entries_are_sorted_and_cut_alike_in_all_formats() {
    if !is_root() {
        return;
    }
    let package = package();
    let only = ["--only", "counts"];
    let calls =
        |options: &[&str]| members(&package.objects(&[&only, options].concat()), "/value/calls");
    assert_eq!(calls(&["--sort", "calls"]), [9, 4, 2, 1, 1]);
    assert_eq!(calls(&["--sort", "CALLS:asc", "--top", "3"]), [1, 1, 2]);
    assert_eq!(calls(&["--sort", "read_bytes"]), [2, 1, 9, 4, 1]);
    let csv =
        package.shown(&[&only[..], &["-f", "csv", "--sort", "longest", "--top", "2"]].concat());
    let rows: Vec<&str> = csv.stdout.lines().collect();
    assert_eq!(
        rows,
        ["group,kind,name,calls,read_bytes,longest", "2,3,c,2,1400,700", "0,2,a,1,300,300"]
    );
    let text = package.shown(&[&only[..], &["--sort", "longest", "--top", "2"]].concat()).stdout;
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].contains("GROUP") && lines[0].contains("READ_BYTES"), "{text}");
    assert!(lines[1].contains(" 700") && lines[2].contains(" 300"), "{text}");
    assert_eq!(lines[3], "(3 more are not shown)");
    let failed = ecli(&package.args(&["--sort", "cals"]));
    failed.failed(2, &["--sort", "column `cals`", "use one of calls, read_bytes, longest, group"]);
}

#[test]
fn histograms_are_grouped_merged_and_summarized() {
    if !is_root() {
        return;
    }
    let package = package();
    let only = ["--only", "hists", "--decode"];
    let objects = package.objects(&[&only[..], &["--by", "group"]].concat());
    assert_eq!(members(&objects, "/key/group"), [1, 0, 2, 3], "by their totals");
    assert_eq!(members(&objects, "/histogram/total"), [9, 5, 2, 1]);
    let first = &objects[1]["histogram"];
    assert_eq!(first["average"], json!(68.0), "340 in 5");
    assert_eq!(
        first["buckets"],
        json!([{"low": 8, "high": 15, "count": 4}, {"low": 256, "high": 511, "count": 1}])
    );
    assert_eq!(
        (&first["p50"], &first["p90"]),
        (&json!({"low": 8, "high": 15}), &json!({"low": 256, "high": 511}))
    );
    let objects = package.objects(&[&only[..], &["--merge"]].concat());
    assert_eq!((objects.len(), &objects[0]["key"]), (1, &Value::Null));
    assert_eq!(objects[0]["histogram"]["total"], 17);
    let text = package.shown(&["--only", "hists", "--merge"]).stdout;
    let rows: Vec<&str> = text.lines().filter(|line| line.contains(" : ")).collect();
    assert!(rows[1].trim_start().starts_with("0 -> 1 "), "{text}");
    assert!(text.contains("total 17, average 105.1, p50 4 -> 7, p90 512 -> 1023,"), "{text}");
    ecli(&package.args(&["--by", "pid"]))
        .failed(2, &["--by", "`pid`", "use one of group, kind, name"]);
    ecli(&package.args(&["--by", "kind", "--merge"])).failed(2, &["cannot be used with"]);
    // Numbers that are not counters are not added.
    let objects = package.objects(&["--only", "counts", "--by", "group", "--sort", "group:asc"]);
    assert_eq!(members(&objects, "/value/longest"), [300, 5, 700, 1]);
    assert_eq!(members(&objects, "/value/read_bytes"), [340, 45, 1400, 1]);
}

#[test]
fn cpus_are_kept_apart() {
    if !is_root() {
        return;
    }
    let package = package();
    let summed = package.objects(&["--only", "by_cpu", "--sort", "key:asc"]);
    assert_eq!(members(&summed, "/value"), [5, 9, 2, 1]);
    let apart =
        package.objects(&["--only", "by_cpu", "--per-cpu", "--by", "key", "--sort", "key:asc"]);
    assert_eq!(members(&apart, "/value"), [5, 9, 2, 1], "they add up to the same");
    let apart = package.objects(&["--only", "by_cpu", "--per-cpu"]);
    assert!(apart.iter().all(|object| object["key"]["cpu"].is_u64()), "{apart:?}");
    let failed = ecli(&package.args(&["--per-cpu", "--only", "counts"]));
    failed.failed(2, &["--per-cpu", "PERCPU_HASH"]);
}

#[test]
fn rates_are_of_the_time_between_readings() {
    if !is_root() {
        return;
    }
    let package = package();
    let objects = package.objects(&["--only", "counts", "--rate", "--merge"]);
    let value = objects[0]["value"].as_object().unwrap();
    let names: Vec<&String> = value.keys().collect();
    assert_eq!(names, ["calls/s", "read_bytes/s", "longest"]);
    let rate = value["calls/s"].as_f64().unwrap();
    // 17 calls, in less than a minute, and in more than a millisecond.
    assert!(rate > 17.0 / 60.0 && rate <= 17_000.0, "{rate}");
    assert_eq!(value["longest"], 700);
    ecli(&package.args(&["--only", "hists", "--rate"])).failed(2, &["--rate", "--clear shows"]);
}

#[test]
fn the_output_has_the_form_that_the_schema_says() {
    if !is_root() {
        return;
    }
    let schema = json(&root().join("schemas/output.schema.json"));
    let validator = jsonschema::validator_for(&schema).unwrap();
    let package = package();
    let objects = package.objects(&["--decode", "--time", "wall"]);
    for object in &objects {
        assert!(validator.is_valid(object), "{object}");
        // It is parsed as an entry, not as a record.
        let entry: bpfpack_schemas::output::OutputLine =
            serde_json::from_value(object.clone()).unwrap();
        assert!(matches!(entry, bpfpack_schemas::output::OutputLine::Entry(_)), "{object}");
        assert_eq!(object["reading"], 1);
        let time = object["time"].as_str().unwrap();
        assert!(time.len() == 27 && time.ends_with('Z') && time.contains('T'), "{time}");
    }
    assert!(objects.iter().any(|object| object["histogram"]["p99"].is_object()));
    let csv = package.shown(&["--only", "counts", "-f", "csv", "--time", "wall"]).stdout;
    assert!(csv.starts_with("time,reading,group,kind,name,calls,"), "{csv}");
    assert!(csv.lines().nth(1).unwrap().contains("Z,1,"), "{csv}");
}

#[test]
fn a_heat_map_has_a_line_for_each_reading() {
    if !is_root() {
        return;
    }
    let package = package();
    let running = Running::ecli(&package.args(&["--heatmap", "-i", "400ms", "-c", "4"]));
    load();
    let outcome = running.wait().succeeded();
    let text = &outcome.stdout;
    assert!(text.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)), "{text}");
    assert!(text.starts_with("usecs, counts from:  . 1"), "{text}");
    let lines: Vec<&str> = text.lines().filter(|line| line.get(2..3) == Some(":")).collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert!(text.lines().all(|line| line.len() < 80), "{text}");
    assert!(lines.iter().any(|line| line.contains('.')), "{text}");
    // Each line is an interval, and counts are not repeated in the next one.
    assert_eq!(lines.last().unwrap().len(), "HH:MM:SS".len(), "{text}");
    let outcome = ecli(&package.args(&["--heatmap", "-i", "10ms", "-c", "1"])).succeeded();
    for name in ["counts", "by_cpu"] {
        assert!(
            outcome.stderr.contains(&format!("`{name}` is not a histogram")),
            "{}",
            outcome.stderr
        );
    }
    let failed = ecli(&package.args(&["--heatmap", "--only", "counts"]));
    failed.failed(2, &["the package shows no histogram"]);
}

/// Reads the output on a terminal until it contains a text.
#[track_caller]
fn read_until(terminal: &mut File, text: &str, read: &mut String) {
    let from = read.len();
    eventually(text, || {
        take(terminal, read);
        read[from..].contains(text)
    });
}

/// Reads what is available.
fn take(terminal: &mut File, read: &mut String) {
    let mut bytes = [0; 65536];
    if let Ok(len) = terminal.read(&mut bytes) {
        read.push_str(&String::from_utf8_lossy(&bytes[..len]));
    }
}

/// Waits for the end of a program, which may wait for its terminal to be read.
#[track_caller]
fn ended(mut child: Child, terminal: &mut File, read: &mut String) -> ExitStatus {
    let mut status = None;
    eventually("ecli ends", || {
        status = child.try_wait().unwrap();
        take(terminal, read);
        status.is_some()
    });
    take(terminal, read);
    status.unwrap()
}

/// Starts ecli on a terminal of 6 rows and 80 columns. Returns the terminal's two ends, and the
/// process.
fn on_terminal(args: &[&str]) -> (File, File, Child) {
    let (ours, theirs) = sys::terminal().unwrap();
    let size = Winsize { ws_row: 6, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&ours, size).unwrap();
    rustix::io::ioctl_fionbio(&ours, true).unwrap();
    let stdio = || Stdio::from(theirs.try_clone().unwrap());
    let child = Command::new(program("ecli"))
        .args(args)
        .env("TERM", "xterm-256color")
        .env_remove("NO_COLOR")
        .stdin(stdio())
        .stdout(stdio())
        .stderr(stdio())
        .spawn()
        .unwrap();
    (ours, theirs, child)
}

#[test]
fn a_terminal_shows_the_last_reading_in_place_and_obeys_keys() {
    if !is_root() {
        return;
    }
    let package = package();
    let args = package.args(&["--only", "counts", "-i", "100ms"]);
    let (mut ours, theirs, child) = on_terminal(&args);
    let modes = || rustix::termios::tcgetattr(&theirs).unwrap().local_modes;
    let mut read = String::new();
    let before = modes();
    read_until(&mut ours, "nothing", &mut read);
    assert!(read.contains("\x1b[?1049h\x1b[?25l"), "the other screen, without a cursor: {read:?}");
    assert_ne!(modes(), before, "keys come one by one");
    load();
    read_until(&mut ours, "by calls  1 to 3 of 5", &mut read);
    // Only changes are written: the number of the reading, and the time.
    read_until(&mut ours, "\x1b[?2026l", &mut read);
    let begin = read.len();
    read_until(&mut ours, "\x1b[?2026l", &mut read);
    // One read may return several.
    for frame in read[begin..].split_inclusive("\x1b[?2026l") {
        assert!(frame.len() < 125, "{frame:?}");
    }
    for (key, expected) in
        [("s", "read_bytes"), ("r", "smallest first"), ("c", "last interval"), ("p", "PAUSED")]
    {
        ours.write_all(key.as_bytes()).unwrap();
        read_until(&mut ours, expected, &mut read);
    }
    let begin = read.len();
    ours.write_all(b"pcq").unwrap();
    let status = ended(child, &mut ours, &mut read);
    assert!(status.success(), "{status:?}: {read:?}");
    assert_eq!(modes(), before, "the terminal is as it was");
    // The last reading and the held messages are below the command.
    let (_, behind) = read[begin..].split_once("\x1b[?1049l").unwrap();
    assert!(behind.contains("GROUP") && behind.contains("(3 more are not shown)"), "{behind:?}");
}

#[test]
fn readings_follow_each_other_where_that_is_asked_for() {
    if !is_root() {
        return;
    }
    let package = package();
    let args = package.args(&["--only", "counts", "-i", "100ms", "--no-redraw"]);
    let (mut ours, _theirs, child) = on_terminal(&args);
    let mut read = String::new();
    read_until(&mut ours, "tracing with", &mut read);
    load();
    read_until(&mut ours, "1.4K", &mut read);
    read_until(&mut ours, "1.4K", &mut read);
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert!(ended(child, &mut ours, &mut read).success());
    assert!(!read.contains("\x1b[?1049h") && !read.contains("\x1b[2J"), "{read:?}");
}
