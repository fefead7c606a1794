// SPDX-License-Identifier: MIT
//! The Wasm modules of the examples, built by `examples/wasm.sh`, with events that the test causes.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bpfpack_tests::load::{Disk, interrupt_of_disk};
use bpfpack_tests::stream::{Stream, has_tracefs, pick, records};
use bpfpack_tests::sys::{self, Open};
use bpfpack_tests::wait::{ended, status};
use bpfpack_tests::wasm::{Tracer, examples, fixtures};
use bpfpack_tests::{Running, alone, can, ecli, histogram_sums, is_root, pack, scratch, sum_of};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A package of the examples, and one of their modules.
struct Example {
    dir: TempDir,
    package: String,
    module: String,
}

impl Example {
    fn new(name: &str, module: &str) -> Option<Example> {
        if !is_root() {
            return None;
        }
        let module = examples()?.join(module).to_str().unwrap().to_owned();
        let dir = scratch();
        let package = pack(&format!("examples/{name}/{name}.bpf.c"), &dir);
        Some(Example { dir, package, module })
    }

    /// Arguments of `ecli`, starting with `run`.
    fn args<'a>(&'a self, options: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
        [&["run", "--wasm", &self.module], options, &[&self.package], more].concat()
    }

    /// Runs it.
    fn stream(&self, options: &[&str], more: &[&str]) -> Stream {
        Stream::ecli(&self.dir, "out", &self.args(options, more)[1..])
    }
}

/// A disk whose reads cause counted interrupts, and their name.
fn disk() -> Option<(Disk, String)> {
    let Ok(disk) = Disk::new() else {
        let _ = can("needs a disk below /var/tmp that can be read directly", false);
        return None;
    };
    let Some(name) = interrupt_of_disk(&disk).unwrap() else {
        let _ = can("needs a disk whose interrupts are counted in /proc/interrupts", false);
        return None;
    };
    Some((disk, name))
}

#[test]
fn slow_interrupts_are_alerts() {
    const READS: usize = 2000;
    let Some(example) = Example::new("hardirqs", "p99.wasm") else { return };
    let _alone = alone();
    let Some((disk, name)) = disk() else { return };
    let run = |options: &[&str]| {
        let options = [&["--interval", "1h"], options].concat();
        let running = Running::ecli(&example.args(&options, &["--targ_dist", "--targ_ns"]));
        disk.read(READS).unwrap();
        running.interrupt().succeeded().stdout
    };
    // Each takes longer than this; and the readings are passed on, so that their counts are known.
    let text = run(&["--wasm-arg", "p99=1ns", "--wasm-arg", "show=yes"]);
    let count = sum_of(&histogram_sums(&text, "key = "), &name);
    assert!(count as usize >= READS * 9 / 10, "the load was seen: {text}");
    let alert = format!("{name}: 99 % of {count} took up to ");
    let alerts: Vec<&str> = text.lines().filter(|line| line.starts_with(&alert)).collect();
    assert_eq!(alerts.len(), 1, "one for its only reading: {text}");
    // The module calculates the limit, from the whole slot of the 99th percentile.
    let took = alerts[0].strip_prefix(&alert).unwrap().strip_suffix(" us").unwrap();
    let took: f64 = took.parse().unwrap();
    assert!(took > 0.1 && took < 10_000.0, "{text}");
    // Without a limit, nothing is shown.
    assert_eq!(run(&["--wasm-arg", "p99=1h"]), "");
}

#[test]
fn an_alert_may_end_the_run_with_a_code() {
    let Some(example) = Example::new("hardirqs", "p99.wasm") else { return };
    let _alone = alone();
    let Some((disk, name)) = disk() else { return };
    let options = ["--interval", "300ms", "--wasm-arg", "p99=1ns", "--wasm-arg", "stop=3"];
    let running = Running::ecli(&example.args(&options, &["--targ_dist"]));
    disk.read(500).unwrap();
    let outcome = running.wait();
    assert_eq!(outcome.code, 3, "{outcome:?}");
    let of_disk = outcome.stdout.lines().filter(|line| line.starts_with(&name));
    assert!(of_disk.count() <= 1, "it is told once: {}", outcome.stdout);
    assert!(!outcome.stdout.is_empty());
}

#[test]
fn what_a_module_refuses_is_told() {
    let Some(example) = Example::new("hardirqs", "p99.wasm") else { return };
    ecli(&example.args(&[], &[])).failed(10, &["p99.wasm", "no histograms without --targ_dist"]);
    let args = example.args(&["--wasm-arg", "p99=soon"], &["--targ_dist"]);
    ecli(&args).failed(10, &["bpfpack_start", "p99=soon is not a time"]);
    // A module for another package.
    let other = Example::new("opensnoop", "failed.wat").unwrap();
    let args = ["run", "--wasm", &example.module, &other.package, "--targ_dist"];
    assert_ne!(ecli(&args).code, 0);
    let args = ["run", "--wasm", &example.module, &other.package];
    ecli(&args).failed(10, &["has no source `infos`"]);
}

#[test]
fn the_header_for_c_works_with_and_without_a_c_library() {
    if !is_root() {
        return;
    }
    let Some(modules) = fixtures() else { return };
    let dir = scratch();
    let package = pack("examples/processes/processes.bpf.c", &dir);
    for name in ["check-bare.wasm", "check-wasi.wasm"] {
        let module = modules.join(name);
        // A user that nobody is, so there are no records.
        let options = ["run", "--duration", "10ms", "--wasm", module.to_str().unwrap()];
        let outcome = ecli(&[&options[..], &[&package, "--uid", "4000000000"]].concat());
        assert_eq!(
            outcome.succeeded().stdout,
            "processes_bpf: checked\n{\"quoted\":\"a\\\"b\",\"number\":-1}\n"
        );
    }
}

/// Processes that end in known ways, by process ID.
fn known_ends() -> BTreeMap<u64, Value> {
    let us = std::process::id();
    let mut made = BTreeMap::new();
    for code in 0..20 {
        let mut child = Command::new("/bin/sh")
            .args(["-c", &format!("exit {code}")])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let _ = ended(&mut child);
        made.insert(
            u64::from(child.id()),
            json!({"pid": child.id(), "ppid": us, "comm": "sh", "file": "/bin/sh",
                "exit_code": code, "sig": 0}),
        );
    }
    // It kills itself: a signal from here could arrive before its program has started.
    let mut child = Command::new("/bin/sh").args(["-c", "kill -9 $$"]).spawn().unwrap();
    let _ = ended(&mut child);
    made.insert(
        u64::from(child.id()),
        json!({"pid": child.id(), "ppid": us, "comm": "sh", "file": "/bin/sh",
            "exit_code": 0, "sig": 9}),
    );
    made
}

/// A process that runs until it is dropped.
struct Sleeper(Child);

impl Sleeper {
    fn start(seconds: &str) -> Sleeper {
        Sleeper(Command::new("/bin/sleep").arg(seconds).spawn().unwrap())
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn execs_and_exits_are_joined() {
    let Some(example) = Example::new("processes", "lifetimes.wasm") else { return };
    let stream = example.stream(&["-j"], &[]);
    let made = known_ends();
    let sleeper = Sleeper::start("61");
    let seconds = Duration::from_millis(300);
    // The exec matters, not the fork; the command line shows it.
    bpfpack_tests::eventually("the last one has started its program", || {
        std::fs::read(format!("/proc/{}/cmdline", sleeper.0.id()))
            .unwrap()
            .starts_with(b"/bin/sleep")
    });
    std::thread::sleep(seconds);
    let all = records(&stream.interrupt());
    let of = |record: &Value| record["pid"].as_u64().unwrap();
    let ended: Vec<&Value> = all.iter().filter(|record| made.contains_key(&of(record))).collect();
    let names = ["pid", "ppid", "comm", "file", "exit_code", "sig"];
    let told: BTreeMap<u64, Value> =
        ended.iter().map(|record| (of(record), pick(record, &names))).collect();
    assert_eq!(told, made);
    assert_eq!(ended.len(), made.len(), "each once");
    for record in ended {
        assert_eq!(record["map"], "processes");
        let ran = record["ran"].as_u64().unwrap();
        assert!((10_000..10_000_000_000).contains(&ran), "{record}");
    }
    let still: Vec<&Value> =
        all.iter().filter(|record| of(record) == u64::from(sleeper.0.id())).collect();
    assert_eq!(still.len(), 1, "{still:?}");
    assert_eq!((&still[0]["map"], &still[0]["comm"]), (&json!("running"), &json!("sleep")));
    assert!(still[0]["runs"].as_u64().unwrap() >= seconds.as_nanos() as u64, "{}", still[0]);
}

#[test]
fn a_least_run_time_leaves_out_what_is_shorter() {
    let Some(example) = Example::new("processes", "lifetimes.wasm") else { return };
    let stream = example.stream(&["-j", "--wasm-arg", "least=0.4s"], &[]);
    let mut kept = Command::new("/bin/sleep").arg("0.5").spawn().unwrap();
    let mut left_out = Command::new("/bin/sleep").arg("0.1").spawn().unwrap();
    for child in [&mut kept, &mut left_out] {
        assert!(ended(child).success());
    }
    let all = records(&stream.interrupt());
    let count = |child: &Child| all.iter().filter(|record| record["pid"] == child.id()).count();
    assert_eq!((count(&kept), count(&left_out)), (1, 0));
}

/// Opens files in the test's directories a given number of times; some do not exist.
fn open_files(dir: &Path) -> Vec<(PathBuf, u64, u64)> {
    let mut made = Vec::new();
    for (name, there, missing) in [("one", 7, 3), ("two", 5, 0), ("three", 0, 4)] {
        let directory = dir.join(name);
        std::fs::create_dir(&directory).unwrap();
        std::fs::write(directory.join("file"), "").unwrap();
        let open = |file: &str, times: u64| {
            let path = CString::new(directory.join(file).to_str().unwrap()).unwrap();
            (0..times).map(|_| sys::open(Open::At, &path, 0)).filter(|ret| *ret < 0).count() as u64
        };
        // Writing the file was one more open.
        assert_eq!((open("file", there), open("nonsuch", missing)), (0, missing));
        made.push((directory, there + missing + 1, missing));
    }
    made
}

#[test]
fn opens_are_counted_by_directory() {
    let Some(example) = Example::new("opensnoop", "directories.wasm") else { return };
    if !has_tracefs() {
        return;
    }
    let us = std::process::id();
    let options = ["-j", "--wasm-arg", "every=1h", "--wasm-arg", "top=1000"];
    let stream = example.stream(&options, &["--pid", &us.to_string()]);
    let files = scratch();
    let made = open_files(files.path());
    let rows = records(&stream.interrupt());
    for (directory, opens, failed) in made {
        let of = |row: &&Value| row["key"]["directory"] == directory.to_str().unwrap();
        let rows: Vec<&Value> = rows.iter().filter(of).collect();
        assert_eq!(rows.len(), 1, "{rows:?}");
        assert_eq!(rows[0]["map"], "directories");
        assert_eq!(rows[0]["key"]["pid"], us);
        assert_eq!(rows[0]["value"], json!({"opens": opens, "failed": failed}));
    }
    let opens: Vec<u64> = rows.iter().map(|row| row["value"]["opens"].as_u64().unwrap()).collect();
    assert!(opens.is_sorted_by(|a, b| a >= b), "those with the most come first: {opens:?}");
}

#[test]
fn a_table_comes_as_often_as_was_asked_for() {
    let Some(example) = Example::new("opensnoop", "directories.wasm") else { return };
    if !has_tracefs() {
        return;
    }
    let options = ["-j", "--wasm-arg", "every=50ms", "--wasm-arg", "top=1"];
    let stream = example.stream(&options, &["--pid", &std::process::id().to_string()]);
    let files = scratch();
    let _ = open_files(files.path());
    bpfpack_tests::eventually("three tables", || stream.text().lines().count() >= 3);
    let rows = records(&stream.interrupt());
    assert!(rows.iter().all(|row| row["map"] == "directories"), "{rows:?}");
}

#[test]
fn a_filter_in_text_form_lets_failures_past() {
    let Some(example) = Example::new("opensnoop", "failed.wat") else { return };
    if !has_tracefs() {
        return;
    }
    let stream = example.stream(&["-j"], &["--pid", &std::process::id().to_string()]);
    let files = scratch();
    let made = open_files(files.path());
    let all = records(&stream.interrupt());
    assert!(all.iter().all(|record| record["ret"].as_i64().unwrap() < 0), "{all:?}");
    for (directory, _, failed) in made {
        let name = directory.join("nonsuch");
        let of_it = all.iter().filter(|record| record["fname"] == name.to_str().unwrap());
        assert_eq!(of_it.count() as u64, failed);
    }
}

#[test]
fn modules_follow_each_other() {
    let Some(example) = Example::new("opensnoop", "failed.wat") else { return };
    if !has_tracefs() {
        return;
    }
    let second = examples().unwrap().join("directories.wasm");
    let options = ["--wasm", second.to_str().unwrap(), "-j", "--wasm-arg", "top=1000"];
    let stream = example.stream(&options, &["--pid", &std::process::id().to_string()]);
    let files = scratch();
    let made = open_files(files.path());
    let rows = records(&stream.interrupt());
    for (directory, _, failed) in made {
        let of = |row: &&Value| row["key"]["directory"] == directory.to_str().unwrap();
        // Only what the first module passes on reaches the second; the last table counts.
        let last = rows.iter().rfind(of).map(|row| row["value"].clone());
        let expected = (failed > 0).then(|| json!({"opens": failed, "failed": failed}));
        assert_eq!(last, expected);
    }
}

fn bootstrap() -> Option<PathBuf> {
    if !is_root() {
        return None;
    }
    Some(examples()?.join("bootstrap.wasm"))
}

#[test]
fn a_whole_module_tells_of_each_process() {
    let Some(module) = bootstrap() else { return };
    let mut tracer = Tracer::start(&module, &[""; 0], "EVENT COMM");
    let made = known_ends();
    let last = made.keys().map(u64::to_string).collect::<Vec<_>>();
    let is_exit = |line: &str, pid: &str| {
        line.starts_with("EXIT") && line.split_whitespace().nth(2) == Some(pid)
    };
    tracer.wait_for("all exits", |text| {
        last.iter().all(|pid| text.lines().any(|line| is_exit(line, pid)))
    });
    let (outcome, took) = tracer.signal(Signal::INT);
    assert!(took < Duration::from_secs(10), "{took:?}");
    let text = outcome.succeeded().stdout;
    let us = std::process::id().to_string();
    for (pid, process) in made {
        let pid = pid.to_string();
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            .filter(|words| words.get(2) == Some(&&pid[..]))
            .collect();
        let comm = process["comm"].as_str().unwrap();
        assert_eq!(lines.len(), 2, "{text}");
        assert_eq!(lines[0], ["EXEC", comm, &pid, &us, process["file"].as_str().unwrap()]);
        let code = format!("[{}]", process["exit_code"]);
        assert_eq!(lines[1][..5], ["EXIT", comm, &pid, &us, &code], "{text}");
        assert_eq!(lines[1][5] == "signal", process["sig"] == 9, "{text}");
    }
}

#[test]
fn a_whole_module_has_arguments_of_its_own() {
    let Some(module) = bootstrap() else { return };
    let module = module.to_str().unwrap();
    for args in [&["-x"][..], &["-m"], &["-m", "many"], &["more"]] {
        let outcome = ecli(&[&["run", module], args].concat());
        outcome.failed(2, &["usage: bootstrap.wasm [-m MILLISECONDS] [-n COUNT]"]);
    }
    let tracer = Tracer::start(module.as_ref(), &["-m", "200", "-n", "1"], "EVENT COMM");
    let short = status(Command::new("/bin/sh").args(["-c", "exit 5"]));
    assert_eq!(short.code(), Some(5));
    // Others may end meanwhile, too; one that lives long enough suffices.
    assert!(status(Command::new("/bin/sleep").arg("0.3")).success());
    let text = tracer.wait().succeeded().stdout;
    let lines: Vec<&str> = text.lines().skip(1).collect();
    assert_eq!(lines.len(), 1, "{text}");
    let lived = lines[0].split_whitespace().rev().nth(1).unwrap();
    assert!(lines[0].starts_with("EXIT") && lived.parse::<f64>().unwrap() >= 200.0, "{text}");
}
