// SPDX-License-Identifier: MIT
//! Event streams: reads the output of programs while they run, and compares the events of ecli and
//! a tool in C under the same load.
//!
//! The load runs on one CPU. The tools have a perf buffer per CPU, so once an event after the load
//! is shown, all of the load has been shown.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde_json::Value;
use tempfile::TempDir;

use crate::{Outcome, Running, can, eventually, program};

/// Starts a program with its output to a file, so that it never waits for a reader.
const TO_FILE: &str = "exec \"$@\" >\"$0\"";

/// Causes an event that a tool shows, different each time. Returns a text in its line.
pub type Probe<'a> = dyn FnMut() -> String + Send + 'a;

/// A program whose output can be read while it runs. Dropping this kills it, also if the test
/// fails.
#[derive(Debug)]
pub struct Stream {
    running: Running,
    output: PathBuf,
}

impl Stream {
    /// Starts `ecli run`, and waits until its programs are attached. `name` is the name of its
    /// output file in `dir`.
    #[must_use]
    pub fn ecli(dir: &TempDir, name: &str, args: &[&str]) -> Stream {
        let output = dir.path().join(name);
        let ecli = program("ecli");
        let mut all = ["-c", TO_FILE].map(OsStr::new).to_vec();
        all.extend([output.as_os_str(), ecli.as_os_str(), OsStr::new("run")]);
        all.extend(args.iter().map(OsStr::new));
        Stream { running: Running::tracing("sh", &all), output }
    }

    /// Starts one of libbpf's tools in C with line buffering, and waits until it shows an event.
    #[must_use]
    pub fn tool(dir: &TempDir, tool: &[&str], probe: &mut Probe<'_>) -> Stream {
        let (name, args) = tool.split_first().unwrap();
        let output = dir.path().join(name);
        let path = format!("/usr/sbin/{name}");
        let mut all = ["-c", TO_FILE].map(OsStr::new).to_vec();
        all.extend([output.as_os_str(), OsStr::new("stdbuf"), OsStr::new("-oL"), path.as_ref()]);
        all.extend(args.iter().map(OsStr::new));
        let stream = Stream { running: Running::start("sh", &all), output };
        let mut made: Vec<String> = Vec::new();
        eventually("the tool shows events", || {
            made.push(on_one_cpu("probe", &mut *probe));
            let text = stream.text();
            made.iter().any(|words| text.contains(words))
        });
        stream
    }

    /// Its output so far.
    #[must_use]
    pub fn text(&self) -> String {
        // The last line may be incomplete.
        let bytes = std::fs::read(&self.output).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Ends it like Ctrl-C. Fails unless it succeeds without losses.
    #[must_use]
    #[track_caller]
    pub fn interrupt(self) -> String {
        let outcome = self.running.interrupt();
        let bytes = std::fs::read(&self.output).unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Outcome { code, stderr, .. } = &outcome;
        assert_eq!(*code, 0, "stderr:\n{stderr}\noutput:\n{text}");
        let talk = stderr.replace("none lost", "").replace(", 0 lost", "").to_lowercase();
        assert!(!talk.contains("lost"), "stderr:\n{stderr}");
        text
    }
}

/// The result of [`beside`].
#[derive(Debug)]
pub struct Beside<T> {
    /// Output of the tool.
    pub tool: String,
    /// The output of ecli for each list of arguments.
    pub ecli: Vec<String>,
    /// The result of the load.
    pub load: T,
}

/// The running programs, for a load that has to wait for them.
#[derive(Debug)]
pub struct Watchers<'a> {
    tool: &'a Stream,
    ecli: &'a [Stream],
}

impl Watchers<'_> {
    /// Waits until a condition holds for each output; fails after ten seconds.
    pub fn wait(&self, what: &str, is_so: impl Fn(&str) -> bool) {
        for (number, stream) in std::iter::once(self.tool).chain(self.ecli).enumerate() {
            let who = if number == 0 { "the tool" } else { "ecli" };
            let deadline = Instant::now() + Duration::from_secs(10);
            while !is_so(&stream.text()) {
                let is_late = Instant::now() > deadline;
                assert!(!is_late, "{who}, in ten seconds not so: {what}:\n{}", stream.text());
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

/// Runs a tool in C and ecli at the same time, runs a load while both are attached, and ends them.
/// `ecli` has the arguments of each `ecli run`.
pub fn beside<T: Send>(
    tool: &[&str],
    ecli: &[&[&str]],
    probe: &mut Probe<'_>,
    load: impl FnOnce(&Watchers<'_>) -> T + Send,
) -> Beside<T> {
    let dir = crate::scratch();
    let tool = Stream::tool(&dir, tool, probe);
    let ecli: Vec<Stream> = ecli
        .iter()
        .enumerate()
        .map(|(number, args)| Stream::ecli(&dir, &format!("ecli-{number}"), args))
        .collect();
    let load = on_one_cpu("load", || load(&Watchers { tool: &tool, ecli: &ecli }));
    // At its end, ecli shows what is left in its buffers; the tools do not.
    let last = on_one_cpu("probe", &mut *probe);
    let ecli = ecli.into_iter().map(Stream::interrupt).collect();
    eventually("the tool shows the last event", || tool.text().contains(&last));
    Beside { tool: tool.interrupt(), ecli, load }
}

/// Runs a load on a thread with this name, which stays on the last CPU, as do its children.
pub fn on_one_cpu<T: Send>(name: &str, load: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, || {
            let cpus = sched_getaffinity(None).unwrap();
            let last = (0..CpuSet::MAX_CPU).rfind(|cpu| cpus.is_set(*cpu)).unwrap();
            let mut only = CpuSet::new();
            only.set(last);
            sched_setaffinity(None, &only).unwrap();
            load()
        });
        thread.unwrap().join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// The records in ecli's JSON.
#[must_use]
pub fn records(text: &str) -> Vec<Value> {
    let parse =
        |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    text.lines().map(parse).collect()
}

/// An object with only these members, in this order.
#[must_use]
pub fn pick(record: &Value, names: &[&str]) -> Value {
    let member = |name: &&str| {
        let value = record.get(name).unwrap_or_else(|| panic!("no `{name}` in {record}"));
        ((*name).to_owned(), value.clone())
    };
    Value::Object(names.iter().map(member).collect())
}

/// Fails unless both have the same events, each equally often. The message says which one has more.
#[track_caller]
pub fn assert_same(ours: (&str, &[Value]), others: (&str, &[Value])) {
    let mut surplus: BTreeMap<String, i64> = BTreeMap::new();
    for event in ours.1 {
        *surplus.entry(event.to_string()).or_default() += 1;
    }
    for event in others.1 {
        *surplus.entry(event.to_string()).or_default() -= 1;
    }
    surplus.retain(|_, count| *count != 0);
    let list: String = surplus
        .iter()
        .map(|(event, count)| {
            let who = if *count > 0 { ours.0 } else { others.0 };
            format!("\n  {} more by {who}: {event}", count.abs())
        })
        .collect();
    let (ours_count, others_count) = (ours.1.len(), others.1.len());
    assert!(
        surplus.is_empty(),
        "{ours_count} events by {}, {others_count} by {}:{list}",
        ours.0,
        others.0
    );
}

/// The first words of a line, and the rest after one space.
#[must_use]
pub fn words(line: &str, count: usize) -> Option<(Vec<&str>, &str)> {
    let mut words = Vec::with_capacity(count);
    let mut rest = line;
    for _ in 0..count {
        let (word, after) = rest.trim_start().split_once(' ')?;
        words.push(word);
        rest = after;
    }
    Some((words, rest))
}

/// Whether programs can attach to tracepoints by name.
#[must_use]
pub fn has_tracefs() -> bool {
    let is_there = std::path::Path::new("/sys/kernel/tracing/events").is_dir();
    can("needs tracefs, which tests/run.sh mounts for the tests alone", is_there)
}
