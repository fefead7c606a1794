// SPDX-License-Identifier: MIT
//! Signals, one or several within milliseconds, in each phase of a run. A regular file receives
//! everything that was read, and the exit code is 0.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use super::case::Case;
use super::check::{self, SUCCESS, Verdict};
use super::outputs::is_whole;
use super::perf_maps::{Victims, waited_for_cpu};
use super::process::{Ended, Io, Started};
use super::random::Random;

const SIGNALS: [Signal; 3] = [Signal::INT, Signal::TERM, Signal::HUP];

/// How long after a signal a run may take to end.
const ENDS: Duration = Duration::from_secs(1);

/// Sends signals to a run.
pub(super) fn case(case: &mut Case<'_>) -> Verdict {
    match case.random.below(10) {
        0 => while_reading(case),
        1 => huge(case),
        2..5 => at_any_time(case),
        _ => while_tracing(case),
    }
}

/// Sends one or several signals.
fn send(started: &Started, random: &mut Random) -> String {
    let count = random.between(1, 3);
    let mut said = Vec::new();
    for at in 0..count {
        let signal = *random.choose(&SIGNALS);
        let gap = if random.one_in(3) { 0 } else { random.below(4000) as u64 };
        if at > 0 {
            std::thread::sleep(Duration::from_micros(gap));
        }
        started.signal(signal);
        said.push(format!("{signal:?} after {gap} µs"));
    }
    said.join(", ")
}

/// Waits for the end. Fails if it takes too long, not counting waits for a CPU.
fn end(case: &mut Case<'_>, started: Started) -> Result<Ended, String> {
    let begun = Instant::now();
    let pid = started.pid();
    let before = waited_for_cpu(pid);
    let mut delay = Duration::ZERO;
    while !started.ends_within(Duration::from_millis(2)) && begun.elapsed() < ENDS * 10 {
        delay = delay.max(waited_for_cpu(pid).saturating_sub(before));
    }
    let took = begun.elapsed().saturating_sub(delay);
    let ended = case.wait(started, Duration::ZERO)?;
    if took > ENDS {
        return Err(format!("it ended {:.2} s after the last signal", took.as_secs_f64()));
    }
    Ok(ended)
}

/// Whether a signal ended a run before it traced: by the signal's default action, or with the
/// corresponding exit code.
fn is_ended_by_signal(ended: &Ended) -> bool {
    let is_ours = |signal| SIGNALS.iter().any(|ours| ours.as_raw() == signal);
    let stderr = String::from_utf8_lossy(&ended.stderr);
    let signal = ended.signal().or(ended.code().map(|code| code - 128));
    signal.is_some_and(is_ours) && !stderr.contains("tracing with")
}

/// While the package is read from a pipe that does not deliver all of it.
fn while_reading(case: &mut Case<'_>) -> Verdict {
    let (reader, mut writer) = std::io::pipe().map_err(|error| error.to_string())?;
    let text = &case.seeds.package("hostile").text;
    let half = case.random.below(text.len());
    writer.write_all(&text.as_bytes()[..half]).map_err(|error| error.to_string())?;
    let mut command = case.ecli(&["run", "-"]);
    let io = Io { stdin: Some(Stdio::from(reader)), ..Io::default() };
    let started = case.start(&mut command, io)?;
    std::thread::sleep(Duration::from_millis(case.random.below(30) as u64));
    let sent = send(&started, &mut case.random);
    case.note(sent);
    let ended = end(case, started)?;
    drop(writer);
    if is_ended_by_signal(&ended) { Ok(()) } else { check::ended(&ended, SUCCESS, None) }
}

/// Options of a run whose output is a file.
fn to_file(case: &mut Case<'_>, package: &str) -> Result<Vec<String>, String> {
    let text = &case.seeds.package(package).text;
    let package = case.write("package.json", text)?;
    let output = case.path("output").to_string_lossy().into_owned();
    let mut args: Vec<String> = ["run", "-j", "-o", &output].map(str::to_owned).to_vec();
    args.push(package.to_string_lossy().into_owned());
    Ok(args)
}

/// At any moment from the start.
fn at_any_time(case: &mut Case<'_>) -> Verdict {
    let victims = Victims::start(case, "calls", "made", 1)?;
    let name = *case.random.choose(&["hostile", "profile", "hello", "hardirqs", "opensnoop"]);
    let mut args = to_file(case, name)?;
    if name == "hostile" {
        args.extend(["--target_pid".to_owned(), victims.pids()[0].to_string()]);
    }
    let mut command = case.ecli(&args);
    let started = case.start(&mut command, Io::default())?;
    // Most of a run's work happens in the first 0.1 s.
    let most = *case.random.choose(&[3_000, 30_000, 150_000, 400_000]);
    std::thread::sleep(Duration::from_micros(case.random.below(most) as u64));
    let pid = started.pid();
    let sent = send(&started, &mut case.random);
    case.note(sent);
    let ended = end(case, started)?;
    if let Some(instance) = super::place::trace_instances(pid).first() {
        return Err(format!("the trace instance `{}` is left", instance.display()));
    }
    if is_ended_by_signal(&ended) {
        return Ok(());
    }
    check::ended(&ended, SUCCESS, None)
}

/// While records and readings arrive. The last reading counts each call for which a record was
/// made, so the number of records that must be in the file is known.
fn while_tracing(case: &mut Case<'_>) -> Verdict {
    let victims = Victims::start(case, "calls", "made", 1)?;
    let mut args = to_file(case, "hostile")?;
    args.extend(["--target_pid".to_owned(), victims.pids()[0].to_string()]);
    let mut command = case.ecli(&args);
    let started = case.start(&mut command, Io::default())?;
    if !started.says("tracing with", Duration::from_secs(10)) {
        drop(case.wait(started, Duration::ZERO)?);
        return Err("it did not trace within ten seconds".into());
    }
    std::thread::sleep(Duration::from_micros(case.random.below(200_000) as u64));
    let sent = send(&started, &mut case.random);
    case.note(sent);
    let ended = end(case, started)?;
    drop(victims);
    check::ended(&ended, SUCCESS, None)?;
    let bytes = fs::read(case.path("output")).map_err(|error| error.to_string())?;
    if !bytes.is_empty() {
        is_whole(&bytes, "json")?;
    }
    let found = Found::read(&bytes);
    case.note(format!("{found:?}"));
    let stderr = String::from_utf8_lossy(&ended.stderr).into_owned();
    let line = stderr.lines().find(|line| line.contains("records: "));
    let line = line.ok_or("it does not say how many records there were")?;
    let (shown, lost) = (number_before(line, "shown"), number_before(line, "lost"));
    if found.records != shown.unwrap_or(0) {
        return Err(format!("{} records are in the file: {line}", found.records));
    }
    if found.counted != found.records + lost.unwrap_or(0) {
        return Err(format!(
            "the last reading counts {} calls, and {} records were made: {line}",
            found.counted,
            found.records + lost.unwrap_or(0)
        ));
    }
    Ok(())
}

/// The content of a file.
#[derive(Debug, Default)]
struct Found {
    records: u64,
    /// The sum of the table's last reading.
    counted: u64,
}

impl Found {
    fn read(bytes: &[u8]) -> Found {
        let mut found = Found::default();
        let mut is_in_table = false;
        for line in bytes.split(|byte| *byte == b'\n') {
            let Ok(line) = serde_json::from_slice::<Value>(line) else { continue };
            let is_table = line["map"] == "table_to_replace";
            if is_table {
                // The lines of a reading are consecutive. Names that are not UTF-8 may look the
                // same.
                let before = if is_in_table { found.counted } else { 0 };
                found.counted = before + line["value"].as_u64().unwrap_or(0);
            } else if line["map"] != "histogram_to_replace" {
                found.records += 1;
            }
            is_in_table = is_table;
        }
        found
    }
}

fn number_before(line: &str, word: &str) -> Option<u64> {
    let words: Vec<&str> = line.split([' ', ',']).filter(|word| !word.is_empty()).collect();
    let at = words.iter().position(|found| *found == word)?;
    words.get(at.checked_sub(1)?)?.parse().ok()
}

/// With a map of millions of elements, which takes seconds to read.
fn huge(case: &mut Case<'_>) -> Verdict {
    let mut args = to_file(case, "huge")?;
    let time = Duration::from_millis(case.random.between(50, 1500) as u64);
    let is_timed = case.random.one_in(2);
    if is_timed {
        args.splice(1..1, ["-d".to_owned(), format!("{}ms", time.as_millis())]);
    }
    let mut command = case.ecli(&args);
    let started = case.start(&mut command, Io::default())?;
    if !started.says("tracing with", Duration::from_secs(10)) {
        let ended = case.wait(started, Duration::ZERO)?;
        check::ended(&ended, SUCCESS, None)?;
        return Err("it did not trace within ten seconds".into());
    }
    std::thread::sleep(time);
    if !is_timed {
        let sent = send(&started, &mut case.random);
        case.note(sent);
    }
    let ended = end(case, started)?;
    check::ended(&ended, SUCCESS, None)?;
    // A reading may be cut short, but not within a line.
    match fs::read(case.path("output")) {
        Ok(bytes) if !bytes.is_empty() => is_whole(&bytes, "json"),
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}
