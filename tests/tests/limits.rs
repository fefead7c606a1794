// SPDX-License-Identifier: MIT
//! Limits on what a package, or other processes, can take: memory, time, the end of a run; and
//! messages if this process reaches a limit.
#![allow(clippy::unwrap_used)]

use std::ffi::CString;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bpfpack_tests::{Outcome, Running, can, ecli, eventually, is_root, pack_with, program, run};
use bpfpack_tests::{scratch, sys};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

/// The fixture, with some of its maps.
fn keys(dir: &TempDir, maps: &[&str]) -> String {
    let flags: Vec<String> = maps.iter().map(|name| format!("-D{name}")).collect();
    pack_with(
        "tests/fixtures/keys.bpf.c",
        dir,
        &flags.iter().map(String::as_str).collect::<Vec<_>>(),
    )
}

/// The arguments of a run that sees this thread's system calls.
fn args(options: &[&str], package: &str) -> Vec<String> {
    let pid = sys::thread_id().to_string();
    let carrier = libc::SYS_getpgid.to_string();
    let ours = ["--target_pid", &pid, "--carrier", &carrier];
    let words = ["run"].iter().chain(options).chain([&package]).chain(&ours);
    words.map(|word| (*word).to_owned()).collect()
}

#[test]
fn keys_beyond_the_limit_are_counted_and_the_largest_shown() {
    if !is_root() {
        return;
    }
    let dir = scratch();
    let package = keys(&dir, &[]);
    let running = Running::ecli(&args(&["-j", "-i", "1h", "--max-keys", "10"], &package));
    for key in 1..=100 {
        for _ in 0..if key > 90 { 3 } else { 1 } {
            sys::carry(key);
        }
    }
    let outcome = running.interrupt().succeeded();
    let mut shown: Vec<u64> = outcome
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["key"].as_u64().unwrap())
        .collect();
    shown.sort_unstable();
    assert_eq!(shown, (91..=100).collect::<Vec<u64>>());
    assert!(outcome.stderr.contains("`counts` has 90 more elements"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("--max-keys"), "{}", outcome.stderr);
}

#[test]
fn a_map_of_fifty_million_entries_is_no_reason_to_stay() {
    if !is_root() {
        return;
    }
    let dir = scratch();
    let package = keys(&dir, &["LARGE"]);
    // A reading that is in progress when the signal arrives, and one that is due at the end of the
    // time.
    for options in [&["-j", "-i", "50ms"][..], &["-j", "-d", "300ms"]] {
        let child = Command::new(program("ecli"))
            .args(args(options, &package))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let started = Instant::now();
        std::thread::sleep(Duration::from_millis(1500));
        let pid = rustix::process::Pid::from_child(&child);
        // It may have ended already.
        let _ = rustix::process::kill_process(pid, Signal::INT);
        let usage = sys::wait_usage(child).unwrap();
        // It took 15 s and 3 GB before. The kernel needs some time to create and free the map.
        assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
        assert!(usage.peak_memory < 150 << 20, "{usage:?}");
    }
}

#[test]
fn a_file_receives_what_was_read_however_many_signals_come() {
    if !is_root() {
        return;
    }
    let dir = scratch();
    let package = keys(&dir, &[]);
    let output = dir.path().join("output");
    let options = ["-j", "-i", "1h", "-o", output.to_str().unwrap()];
    for round in 0..40 {
        let running = Running::ecli(&args(&options, &package));
        sys::carry(7);
        running.signal(Signal::INT);
        // Like timeout(1), which signals both the process and its group.
        std::thread::sleep(Duration::from_micros(round * 100));
        running.signal(if round % 2 == 0 { Signal::INT } else { Signal::TERM });
        let outcome = running.wait().succeeded();
        let text = std::fs::read_to_string(&output).unwrap();
        assert_eq!(text, "{\"key\":7,\"value\":1}\n", "round {round}: {}", outcome.stderr);
    }
}

#[test]
fn maps_take_no_more_memory_than_they_may() {
    if !is_root() {
        return;
    }
    let dir = scratch();
    let package = keys(&dir, &["LARGE"]);
    let outcome = ecli(&args(&["--max-memory", "64M", "-d", "10ms"], &package));
    outcome.failed(
        4,
        &["`large` needs 382 MB", "the limit is 64 MB", "raise the limit with --max-memory 383M"],
    );
    let _ = ecli(&args(&["--max-memory", "383M", "-d", "10ms"], &package)).succeeded();
    let smaller = ["--max-memory", "64M", "--map-entries", "large=1000", "-d", "10ms"];
    let _ = ecli(&args(&smaller, &package)).succeeded();
}

/// A BPF file system in a directory that only this thread and its children see.
fn own_bpf(dir: &TempDir) -> std::path::PathBuf {
    let place = dir.path().join("bpf");
    std::fs::create_dir(&place).unwrap();
    sys::own_mounts().unwrap();
    let path = CString::new(place.to_str().unwrap()).unwrap();
    assert_eq!(sys::mount(c"bpf", &path, c"bpf", 0), 0);
    place
}

fn directory(path: &Path, mode: u32) -> String {
    std::fs::DirBuilder::new().mode(mode).create(path).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn maps_are_pinned_only_where_the_user_says_so() {
    if !is_root() {
        return;
    }
    let dir = scratch();
    let package = keys(&dir, &["PINNED"]);
    let bpf = own_bpf(&dir);
    let own = directory(&bpf.join("own"), 0o700);
    let pins = || bpfpack_tests::names(Path::new(&own));
    let of = |options: &[&str]| ecli(&args(&[options, &["-j", "-d", "10ms"]].concat(), &package));
    of(&[]).failed(2, &["pins the map `pinned`", "--pin DIR"]);
    // If others may write to the directory, no map is pinned, and none of theirs is used.
    let open = directory(&bpf.join("open"), 0o777);
    of(&["--pin", &open]).failed(2, &["--pin", "other users can write"]);
    of(&["--pin", dir.path().to_str().unwrap()]).failed(2, &["not in a BPF file system"]);
    of(&["--pin", &format!("{own}/missing")]).failed(2, &["mkdir"]);
    assert!(pins().is_empty());
    // A run that fails later leaves no pin.
    let missing = dir.path().join("no-cgroup");
    of(&["--pin", &own, "--cgroup", missing.to_str().unwrap()]).failed(2, &["no-cgroup"]);
    assert!(pins().is_empty());
    let count = |outcome: &Outcome| {
        let is_pinned = |line: &&str| line.contains("\"pinned\"");
        let line = outcome.stdout.lines().find(is_pinned)?;
        serde_json::from_str::<Value>(line).unwrap()["value"].as_u64()
    };
    let counted = || {
        let running = Running::ecli(&args(&["-j", "-i", "1h", "--pin", &own], &package));
        sys::carry(7);
        running.interrupt().succeeded()
    };
    let first = counted();
    assert_eq!(count(&first), Some(1), "{}", first.stdout);
    assert!(first.stderr.contains("`pinned` is pinned at"), "{}", first.stderr);
    assert_eq!(pins(), ["pinned"]);
    let second = counted();
    assert_eq!(count(&second), Some(2), "{}", second.stdout);
    assert!(second.stderr.contains("`pinned` is pinned already at"), "{}", second.stderr);
    // A mount point cannot be removed.
    let path = CString::new(bpf.to_str().unwrap()).unwrap();
    assert_eq!(sys::unmount(&path, 0), 0);
}

#[test]
fn limits_of_this_process_are_told_as_such() {
    if !is_root() {
        return;
    }
    let dir = scratch();
    let package = keys(&dir, &[]);
    let ecli_path = program("ecli");
    let shell = |limit: &str| {
        let script = format!("ulimit -n {limit}; exec \"$0\" run -d 10ms \"$1\"");
        let ecli = ecli_path.to_str().unwrap();
        run("sh", &["-c", &script, ecli, &package])
    };
    let outcome = shell("8");
    outcome.failed(4, &["needs 21 open files", "the limit is 8", "ulimit -n 21"]);
    assert!(!outcome.stderr.contains("verifier"), "{}", outcome.stderr);
    let _ = shell("21").succeeded();
    let _ = shell("1024").succeeded();
    // A value of a package's size is not printed in full.
    let number = "9".repeat(100_000);
    let outcome = ecli(&["run", &package, "--target_pid", &number]);
    outcome.failed(2, &["--target_pid", "characters …]"]);
    assert!(outcome.stderr.len() < 4000, "{}", outcome.stderr.len());
}

#[test]
fn tracepoints_that_this_user_may_not_see_are_not_missing() {
    let has_setpriv = Path::new("/usr/bin/setpriv").exists();
    if !is_root() || !can("needs setpriv (apt-get install util-linux)", has_setpriv) {
        return;
    }
    let dir = scratch();
    let package = pack_with("tests/fixtures/no_tracepoint.bpf.c", &dir, &[]);
    sys::own_mounts().unwrap();
    let tracing = c"/sys/kernel/tracing";
    while sys::unmount(tracing, 0) == 0 {}
    assert_eq!(sys::mount(c"tracefs", tracing, c"tracefs", 0), 0);
    let closed = std::fs::Permissions::from_mode(0o700);
    let before = std::fs::metadata("/sys/kernel/tracing").unwrap().permissions();
    std::fs::set_permissions("/sys/kernel/tracing", closed).unwrap();
    let ecli = program("ecli");
    let words = ["--reuid=65534", "--clear-groups", "--inh-caps=+bpf,+perfmon"];
    let mut all: Vec<&str> = words.to_vec();
    all.extend(["--ambient-caps=+bpf,+perfmon", ecli.to_str().unwrap(), "run", "-d", "10ms"]);
    all.push(&package);
    let outcome = run("setpriv", &all);
    std::fs::set_permissions("/sys/kernel/tracing", before).unwrap();
    outcome.failed(5, &["no permission to read `/sys/kernel/tracing`", "CAP_DAC_READ_SEARCH"]);
    assert!(!outcome.stderr.contains("not mounted"), "{}", outcome.stderr);
    eventually("nothing is mounted there any more", || sys::unmount(tracing, 0) == 0);
}
