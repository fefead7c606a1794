// SPDX-License-Identifier: MIT
//! Runs in the background: `ecli run --detach`, `ecli ps`, `ecli read`, `ecli stop`.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use bpfpack_tests::wait::outcome;
use bpfpack_tests::{Held, Outcome, eventually, is_root, names, pack_with, program, scratch, sys};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

struct Setup {
    dir: TempDir,
    package: String,
}

impl Setup {
    fn new(flags: &[&str]) -> Setup {
        let dir = scratch();
        let package = pack_with("tests/fixtures/metrics.bpf.c", &dir, flags);
        Setup { dir, package }
    }

    #[track_caller]
    fn ecli(&self, words: &[&str]) -> Outcome {
        let runs = self.runs();
        let mut command = Command::new(program("ecli"));
        command.arg(words[0]).args(["--run-directory", &runs]).args(&words[1..]);
        outcome(command.current_dir(self.dir.path()).stdin(Stdio::null()))
    }

    fn runs(&self) -> String {
        self.dir.path().join("runs").display().to_string()
    }

    #[track_caller]
    fn start(&self, options: &[&str]) -> Outcome {
        let (pid, carrier) = (sys::thread_id().to_string(), libc::SYS_getpgid.to_string());
        let own = [&*self.package, "--target_pid", &pid, "--carrier", &carrier];
        self.ecli(&[&["run"], options, &own].concat())
    }

    fn listed(&self) -> Vec<Value> {
        self.ecli(&["ps", "-j"]).succeeded().objects()
    }
}

impl Drop for Setup {
    fn drop(&mut self) {
        // A test that failed may have left a run.
        for name in names(&self.dir.path().join("runs")) {
            let _ = self.ecli(&["stop", &name]);
        }
    }
}

#[test]
fn a_run_in_the_background_is_read_and_stopped() {
    if !is_root() {
        return;
    }
    let setup = Setup::new(&[]);
    fs::create_dir(setup.dir.path().join("runs")).unwrap();
    assert_eq!(setup.ecli(&["ps"]).succeeded().stdout, "Nothing runs in the background.\n");
    let started = setup.start(&["--detach", "one"]).succeeded();
    assert!(started.stderr.contains("`one` runs in the background"), "{}", started.stderr);
    let listed = setup.listed();
    assert_eq!((listed.len(), &listed[0]["name"]), (1, &Value::from("one")));
    let pid = listed[0]["pid"].as_u64().unwrap() as u32;
    let held = Held::by(pid);
    assert!(!held.links.is_empty());
    sys::carry(5 << 2 | 1);
    sys::carry(5 << 2 | 1);
    let read = setup.ecli(&["read", "-j", "one"]).succeeded().objects();
    let total = read.iter().find(|object| object["map"] == "totals").unwrap();
    assert_eq!((&total["key"], &total["value"]["calls"]), (&Value::from(1), &Value::from(2)));
    // A later one has more: nothing was consumed. As text, too.
    sys::carry(5 << 2 | 1);
    let text = setup.ecli(&["read", "one"]).succeeded().stdout;
    assert!(text.contains("4 -> 7") && text.contains("total 3"), "{text}");
    let table = setup.ecli(&["ps"]).succeeded().stdout;
    assert!(table.starts_with("NAME") && table.contains("package.json"), "{table}");

    setup.start(&["--detach", "one"]).failed(2, &["has the name `one`", "`ecli stop one`"]);
    let stopped = setup.ecli(&["stop", "one"]).succeeded();
    assert_eq!(stopped.stdout, "");
    held.is_gone();
    assert!(setup.listed().is_empty());
    assert_eq!(names(Path::new(&setup.runs())), [""; 0]);
    setup.ecli(&["stop", "one"]).failed(3, &["nothing in the background has the name `one`"]);
    setup.ecli(&["read", "one"]).failed(3, &["nothing in the background has the name `one`"]);
}

#[test]
fn records_are_read_for_a_time_and_their_losses_are_told_at_the_end() {
    if !is_root() {
        return;
    }
    let setup = Setup::new(&["-a", "-DRECORDS"]);
    fs::create_dir(setup.dir.path().join("runs")).unwrap();
    let file = setup.dir.path().join("out.csv");
    let output = format!("csv:{}", file.display());
    let _ = setup.start(&["--detach", "records", "-o", &output, "--only", "events"]).succeeded();
    let mut reading = Command::new(program("ecli"));
    reading.args(["read", "--run-directory", &setup.runs(), "-j", "-d", "700ms", "records"]);
    let child = reading.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    // It is asked for some time after it has started.
    for _ in 0..60 {
        sys::carry(7 << 2);
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let read = Outcome::from(child.wait_with_output().unwrap()).succeeded();
    let records = read.objects().iter().filter(|object| object["took_us"] == 7).count();
    assert!((1..=60).contains(&records), "{records}: {}", read.stdout);
    let stopped = setup.ecli(&["stop", "records"]).succeeded();
    assert!(stopped.stderr.contains("records: 60 shown, none lost"), "{}", stopped.stderr);
    assert_eq!(fs::read_to_string(file).unwrap().lines().count(), 61);
}

#[test]
fn what_a_crash_leaves_is_found_and_removed() {
    if !is_root() {
        return;
    }
    let setup = Setup::new(&[]);
    fs::create_dir(setup.dir.path().join("runs")).unwrap();
    let kill = || {
        let pid = setup.listed()[0]["pid"].as_u64().unwrap() as i32;
        let held = Held::by(pid as u32);
        kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
        held.is_gone();
        eventually("the process is gone", || {
            fs::read_to_string(format!("/proc/{pid}/stat"))
                .map_or(true, |stat| stat.contains(") Z "))
        });
    };
    let _ = setup.start(&["--detach", "x"]).succeeded();
    kill();
    let listed = setup.ecli(&["ps"]).succeeded();
    assert!(listed.stderr.contains("`x` has ended without cleaning up"), "{}", listed.stderr);
    assert_eq!(names(Path::new(&setup.runs())), [""; 0]);
    // Its name can be used at once.
    let _ = setup.start(&["--detach", "x"]).succeeded();
    kill();
    let again = setup.start(&["--detach", "x"]).succeeded();
    assert!(again.stderr.contains("what it left is removed"), "{}", again.stderr);
    let _ = setup.ecli(&["stop", "x"]).succeeded();
}

#[test]
fn failures_are_seen_at_once() {
    if !is_root() {
        return;
    }
    let setup = Setup::new(&[]);
    fs::create_dir(setup.dir.path().join("runs")).unwrap();
    setup.start(&["--detach", "a/b"]).failed(2, &["`a/b` is not a name"]);
    setup.start(&["--detach", "x", "-o", "-"]).failed(2, &["there is no standard output"]);
    let with = setup.ecli(&["run", "--detach", "x", &setup.package, "--", "true"]);
    with.failed(2, &["--detach cannot be used with a command"]);
    let nowhere = ["--detach", "x", "-o", "json:/nowhere/x"];
    setup.start(&nowhere).failed(7, &["cannot write `/nowhere/x`"]);
    // What it says before it fails is seen here.
    let bad = pack_with("tests/fixtures/unverifiable.bpf.c", &setup.dir, &[]);
    setup.ecli(&["run", "--detach", "x", &bad]).failed(4, &["verifier refused"]);
    assert_eq!(names(Path::new(&setup.runs())), [""; 0]);
}
