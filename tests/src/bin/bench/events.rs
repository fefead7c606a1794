// SPDX-License-Identifier: MIT
//! More records than can be shown: how many lines come out of a pipe, and what each costs. A thread
//! on its own CPU makes them; another thread reads the pipe, and only counts lines.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::ChildStdout;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bpfpack_tests::load::Caller;

use crate::consumer::{Consumer, Flood, Who};
use crate::median;

const ROUNDS: usize = 5;
/// Calls per round, and records per call: more than two million records per second on their own
/// CPU, which is more than the bare consumer can show.
pub(crate) const CALLS: u64 = 1_000_000;
pub(crate) const BURST: u64 = 4;
const EVENTS: u64 = CALLS * BURST;
/// If a consumer has shown nothing for this time, it has shown everything.
const QUIET: Duration = Duration::from_millis(200);

/// The result of a round.
pub(crate) struct Round {
    /// Records per second, including lost ones.
    produced: f64,
    /// Records shown per second, from the first call to the last line.
    pub shown: f64,
    lines: u64,
    /// CPU nanoseconds per shown record.
    pub cpu: f64,
}

/// Measures each size and format with ecli and the bare consumer in turn.
pub(crate) fn events() -> Result<()> {
    println!(
        "events: {EVENTS} records as fast as they come, {BURST} for each system call, \
         {ROUNDS} rounds, interleaved\n"
    );
    for (size, flood) in [(48, Flood::pack(false)), (64, Flood::pack(true))] {
        for (format, json) in [("text", false), ("json", true)] {
            for who in Who::BOTH {
                check(who, &flood, json)?;
            }
            let mut rounds = Vec::new();
            for round in 0..ROUNDS {
                // The first one may find the machine in another state, so the order alternates.
                rounds.push(if round % 2 == 0 {
                    let bare = once(Who::Bare, &flood, json, CALLS)?;
                    [bare, once(Who::Ecli, &flood, json, CALLS)?]
                } else {
                    let ecli = once(Who::Ecli, &flood, json, CALLS)?;
                    [once(Who::Bare, &flood, json, CALLS)?, ecli]
                });
            }
            report(&format!("{size} bytes, {format}"), &rounds);
        }
    }
    Ok(())
}

fn report(what: &str, rounds: &[[Round; 2]]) {
    for (at, who) in Who::BOTH.into_iter().enumerate() {
        let of = |number: fn(&Round) -> f64| {
            median(&rounds.iter().map(|round| number(&round[at])).collect::<Vec<_>>())
        };
        let lines = of(|round| round.lines as f64);
        println!(
            "{what:<15} {:<9} {:5.2} M/s produced  {:5.2} M/s shown  {lines:7.0} lines  \
             {:7.0} lost  {:6.0} ns of CPU each",
            who.name(),
            of(|round| round.produced) / 1e6,
            of(|round| round.shown) / 1e6,
            EVENTS as f64 - lines,
            of(|round| round.cpu),
        );
    }
    let ratios = |number: fn(&Round) -> f64| {
        let each = rounds.iter().map(|[bare, ecli]| number(ecli) / number(bare));
        let each: Vec<f64> = each.collect();
        let least = each.iter().copied().fold(f64::INFINITY, f64::min);
        let most = each.iter().copied().fold(0.0, f64::max);
        format!("{:.2} x bare ({least:.2} to {most:.2})", median(&each))
    };
    println!(
        "{what:<15} ecli run shows {} in a second, for {} of CPU each\n",
        ratios(|round| round.shown),
        ratios(|round| round.cpu),
    );
}

/// Measures one consumer with the records of some calls.
pub(crate) fn once(who: Who, flood: &Flood, json: bool, calls: u64) -> Result<Round> {
    let caller = Caller::start()?;
    let consumer = Consumer::start(who, flood, json, caller.tid(), BURST)?;
    measure(consumer, caller, calls, u64::from(!json))
}

/// Measures a consumer of the records of a caller, which shows some lines before them.
pub(crate) fn measure(
    mut consumer: Consumer,
    caller: Caller,
    calls: u64,
    head: u64,
) -> Result<Round> {
    let lines = Arc::new(AtomicU64::new(0));
    let stdout = consumer.take_stdout();
    let counted = Arc::clone(&lines);
    let reader = std::thread::spawn(move || count(stdout, &counted));
    let begin = Instant::now();
    let time = caller.call(calls);
    let mut before = 0;
    while before != lines.load(Ordering::Relaxed) {
        before = lines.load(Ordering::Relaxed);
        std::thread::sleep(QUIET);
    }
    let cpu = consumer.cpu()?;
    let said = consumer.end()?;
    let last = reader.join().ok().flatten().context("nothing was shown")?;
    // Nothing new may be shown at the end.
    ensure!(lines.load(Ordering::Relaxed) == before, "it shows records late: {said}");
    let lines = before - head;
    Ok(Round {
        produced: (calls * BURST) as f64 / time.as_secs_f64(),
        shown: lines as f64 / (last - begin).as_secs_f64(),
        lines,
        cpu: cpu.as_nanos() as f64 / lines as f64,
    })
}

/// Counts lines to the end. Returns when the last bytes arrived.
fn count(mut stdout: ChildStdout, lines: &AtomicU64) -> Option<Instant> {
    let mut bytes = vec![0; 1 << 16];
    let mut last = None;
    while let Ok(read) = stdout.read(&mut bytes)
        && read > 0
    {
        let ends = bytes[..read].iter().filter(|byte| **byte == b'\n').count();
        lines.fetch_add(ends as u64, Ordering::Relaxed);
        last = Some(Instant::now());
    }
    last
}

/// A round that is not measured: each line must be complete and in order, and the counts exact.
fn check(who: Who, flood: &Flood, json: bool) -> Result<()> {
    let caller = Caller::start()?;
    let mut consumer = Consumer::start(who, flood, json, caller.tid(), BURST)?;
    let stdout = consumer.take_stdout();
    let reader = std::thread::spawn(move || in_order(stdout, json));
    let _ = caller.call(CALLS / 4);
    let said = consumer.end()?;
    let shown = reader.join().ok().context("the reader failed")??;
    let produced = EVENTS / 4;
    ensure!((1..=produced).contains(&shown), "{}: {shown} records were shown", who.name());
    // The bare consumer uses the program's own count, in which lost records are included.
    let counts = format!("{shown} of {produced} records");
    ensure!(who == Who::Ecli || said.contains(&counts), "not {counts}: {said}");
    Ok(())
}

/// Reads lines to the end. Returns the number of records.
fn in_order(stdout: ChildStdout, json: bool) -> Result<u64> {
    let mut next = 0;
    let mut shown = 0;
    for line in BufReader::new(stdout).lines() {
        let line = line?;
        if line.starts_with("TIME") {
            continue;
        }
        let number = match json {
            true => line.split("\"seq\":").nth(1).and_then(|rest| rest.split(',').next()),
            // After the time and five members.
            false => line.split_whitespace().nth(6),
        };
        let number: u64 = number.and_then(|number| number.parse().ok()).context(line.clone())?;
        ensure!(number >= next, "after record {next}: {line}");
        next = number + 1;
        shown += 1;
    }
    Ok(shown)
}
