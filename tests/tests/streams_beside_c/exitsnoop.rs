// SPDX-License-Identifier: MIT
//! Processes and threads that end.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use bpfpack_tests::stream::{Watchers, assert_same, beside, on_one_cpu, pick, records, words};
use bpfpack_tests::wait;
use bpfpack_tests::{alone, pack, scratch, sys};
use serde_json::{Value, json};

use crate::{events, has, number};

/// Members that both have.
const NAMES: [&str; 6] = ["comm", "pid", "ppid", "tid", "exit_code", "sig"];

/// How a process ended according to the tool: exit code and signal.
fn ending(words: &str) -> Option<(i64, i64)> {
    if let Some(code) = words.strip_prefix("code ") {
        return Some((number(code)?, 0));
    }
    if let Some(signal) = words.strip_prefix("signal ") {
        return Some((0, number(signal.split(' ').next()?)?));
    }
    Some((number(words)?, 0))
}

/// The events in the tool's lines, without the age.
fn of_tool(text: &str) -> Vec<Value> {
    events(text, |line| {
        // Names may have spaces, but the column has a fixed width.
        let (comm, rest) = line.split_at_checked(16)?;
        let (words, rest) = words(rest, 4)?;
        let (code, sig) = ending(rest.trim())?;
        Some(json!({"comm": comm.trim_end(), "pid": number(words[0])?, "ppid": number(words[1])?,
            "tid": number(words[2])?, "exit_code": code, "sig": sig}))
    })
}

/// A child that ends at once. Returns its line in exitsnoop.
fn child_that_ends() -> String {
    let mut child = Command::new("/bin/true").spawn().unwrap();
    let pid = child.id();
    assert!(wait::ended(&mut child).success());
    format!("{:<16} {pid:<7} ", "true")
}

#[test]
fn exitsnoop_tells_how_each_process_ended() {
    if !has("exitsnoop") {
        return;
    }
    // Not compared: how long they lived, because each of the two reads the clock itself; and
    // processes whose first thread ends before the others, which the tool reports at that time, and
    // ecli's example at their end, like `wait`. None of these is of that kind.
    let _alone = alone();
    let dir = scratch();
    let package = pack("examples/exitsnoop/exitsnoop.bpf.c", &dir);
    let load = |_: &Watchers<'_>| {
        let mut ended = BTreeMap::new();
        let mut end = |script: &str, code: i32, sig: i32| {
            let begin = Instant::now();
            let mut child =
                Command::new("/bin/sh").args(["-c", script]).current_dir(&dir).spawn().unwrap();
            let status = wait::ended(&mut child);
            assert_eq!((status.code().unwrap_or(0), status.signal().unwrap_or(0)), (code, sig));
            ended.insert(child.id(), (code, sig, begin.elapsed()));
        };
        for _ in 0..10 {
            end("exit 0", 0, 0);
            end("exit 1", 1, 0);
        }
        for code in [2, 42, 127, 255] {
            end(&format!("exit {code}"), code, 0);
        }
        for sig in [libc::SIGKILL, libc::SIGTERM, libc::SIGSEGV, libc::SIGABRT, libc::SIGUSR1] {
            end(&format!("ulimit -c 0; kill -{sig} $$"), 0, sig);
        }
        end("exec sleep 0.1", 0, 0);
        ended
    };
    let ran = beside(&["exitsnoop"], &[&["-j", &package]], &mut child_that_ends, load);
    let is_of_load =
        |event: &&Value| ran.load.contains_key(&(event["pid"].as_u64().unwrap() as u32));
    let all = records(&ran.ecli[0]);
    let ours: Vec<&Value> = all.iter().filter(is_of_load).collect();
    let as_made = ours.iter().map(|event| pick(event, &["pid", "exit_code", "sig"]));
    let made = ran
        .load
        .iter()
        .map(|(pid, (code, sig, _))| json!({"pid": pid, "exit_code": code, "sig": sig}));
    assert_same(("ecli", &as_made.collect::<Vec<_>>()), ("the load", &made.collect::<Vec<_>>()));
    for event in &ours {
        let lived = Duration::from_nanos(event["duration_ns"].as_u64().unwrap());
        let at_most = ran.load[&(event["pid"].as_u64().unwrap() as u32)].2;
        let at_least = Duration::from_millis(if event["comm"] == "sleep" { 100 } else { 0 });
        assert!(at_least < lived && lived < at_most, "not up to {at_most:?}: {event}");
    }
    let tool = of_tool(&ran.tool).into_iter().filter(|event| is_of_load(&event));
    let ours: Vec<Value> = ours.iter().map(|event| pick(event, &NAMES)).collect();
    assert_same(("ecli", &ours), ("exitsnoop", &tool.collect::<Vec<_>>()));
}

#[test]
fn exitsnoop_tells_of_each_thread() {
    if !has("exitsnoop") {
        return;
    }
    let _alone = alone();
    let dir = scratch();
    let package = pack("examples/exitsnoop/exitsnoop.bpf.c", &dir);
    let load = |watchers: &Watchers<'_>| -> Vec<(String, i32)> {
        let thread = |number: u32| {
            let name = format!("a thread {number}");
            (name.clone(), on_one_cpu(&name, sys::thread_id))
        };
        let ended = (10..30).map(thread).collect();
        // A joined thread may not be quite gone yet.
        watchers.wait("the threads are seen", |text| text.matches("a thread ").count() >= 20);
        ended
    };
    let ran = beside(
        &["exitsnoop", "-T"],
        &[&["-j", &package, "--threads", "--pid", &std::process::id().to_string()]],
        &mut child_that_ends,
        load,
    );
    let is_of_load = |event: &Value| ran.load.iter().any(|(_, tid)| event["tid"] == *tid);
    let ours: Vec<Value> = records(&ran.ecli[0]).iter().map(|event| pick(event, &NAMES)).collect();
    let ours: Vec<Value> = ours.into_iter().filter(is_of_load).collect();
    let parent = std::os::unix::process::parent_id();
    let made = ran.load.iter().map(|(name, tid)| {
        json!({"comm": name, "pid": std::process::id(), "ppid": parent, "tid": tid,
            "exit_code": 0, "sig": 0})
    });
    assert_same(("ecli", &ours), ("the load", &made.collect::<Vec<_>>()));
    let tool: Vec<Value> = of_tool(&ran.tool).into_iter().filter(is_of_load).collect();
    assert_same(("ecli", &ours), ("exitsnoop", &tool));
}
