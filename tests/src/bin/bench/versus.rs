// SPDX-License-Identifier: MIT
//! Compares this ecli with another one in pairs, to measure a change. The environment names the
//! other one, as in `BPFPACK_BENCH_OTHER=/old/ecli make bench PARTS=versus`.

use std::fs::File;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use bpfpack_tests::load::Caller;
use bpfpack_tests::sys::{Usage, carry, thread_id, wait_usage};
use bpfpack_tests::{pack, program, scratch};

use crate::consumer::{Consumer, Flood, OTHER, Who, other};
use crate::start_up::{self, Loader};
use crate::{events, latency, median, modules, path};

/// Pairs of each measurement.
const PAIRS: usize = 31;

/// Calls per pair of event streams, with four records each.
const CALLS: u64 = 250_000;

/// Events per pair for which latency is measured.
const EVENTS: usize = 10;

/// Keys of the map that is read.
const KEYS: i32 = 10_240;

/// Compares start-up, event streams with and without a module, idle runs, latency, and readings of
/// a full map. Does nothing if there is no other ecli.
pub(crate) fn versus() -> Result<()> {
    let Some(other) = other() else {
        println!("versus: skipped, since {OTHER} does not name another ecli\n");
        return Ok(());
    };
    println!("versus: this ecli / {}, {PAIRS} pairs\n", other.display());
    let programs = [path(&program("ecli")), path(&other)];
    programs.iter().try_for_each(forget)?;
    start(&programs)?;
    for (size, flood) in [(48, Flood::pack(false)), (64, Flood::pack(true))] {
        for (format, json) in [("text", false), ("json", true)] {
            let what = format!("events, {size} bytes, {format}: CPU of each");
            pairs(&what, |who| Ok(events::once(who, &flood, json, CALLS)?.cpu))?;
        }
    }
    let flood = Flood::pack(true);
    let dir = scratch();
    let filter = modules::compile("tests/fixtures/keep.c", dir.path())?;
    pairs("events, 64 bytes, with a module: CPU of each", |who| {
        Ok(modules::once(who, &flood, Some(&filter), CALLS)?.cpu)
    })?;
    let flood = Flood::pack(false);
    pairs("idle for a second, records: CPU", |who| idle(&flood, who))?;
    pairs("latency, text: median", |who| {
        Ok(median(&latency::once(who, &flood, false, EVENTS)?).as_secs_f64())
    })?;
    readings(&programs)
}

/// Removes a program from the page cache, so that it is read again page by page. The cache
/// determines how much of a file each fault maps: for a file that was just copied, 10 % more than
/// for the same file read from disk.
fn forget(program: &String) -> Result<()> {
    let file = File::open(program)?;
    file.sync_all()?;
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
    Ok(())
}

/// The CPU seconds of a run that waits for records of no thread, because none has the ID 0. Work
/// right after it reports that it traces counts as start. The minimum is a microsecond.
fn idle(flood: &Flood, who: Who) -> Result<f64> {
    let consumer = Consumer::start(who, flood, false, 0, 1)?;
    std::thread::sleep(Duration::from_millis(100));
    let begin = consumer.cpu()?;
    std::thread::sleep(Duration::from_secs(1));
    let cpu = (consumer.cpu()? - begin).as_secs_f64();
    let _ = consumer.end()?;
    Ok(cpu.max(1e-6))
}

fn start([this, other]: &[String; 2]) -> Result<()> {
    let dir = scratch();
    let package = pack("examples/hardirqs/hardirqs.bpf.c", &dir);
    let loader = |program: &String| Loader {
        name: "ecli",
        command: vec![program.clone(), "run".into(), "-q".into(), package.clone()],
        links: 2,
    };
    let (this, other) = (loader(this), loader(other));
    let of = |who| if who == Who::Other { &other } else { &this };
    pairs("start-up, hardirqs: time", |who| Ok(start_up::once(of(who))?.0.as_secs_f64()))?;
    pairs(
        "start-up, hardirqs: peak memory",
        |who| Ok(start_up::once(of(who))?.1.peak_memory as f64),
    )
}

/// The CPU time and memory of a run that reads a full map 20 times.
fn readings([this, other]: &[String; 2]) -> Result<()> {
    let dir = scratch();
    let package = pack("tests/fixtures/keys.bpf.c", &dir);
    let run = |who| -> Result<Usage> {
        let program = if who == Who::Other { other } else { this };
        let tid = thread_id().to_string();
        let carrier = Caller::NUMBER.to_string();
        let child = Command::new(program)
            .args(["run", "-q", "-j", "-i", "50ms", "-c", "20", "-o", "/dev/null", &package])
            .args(["--target_pid", &tid, "--carrier", &carrier])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start ecli")?;
        // Calls are not seen before it is attached, so all keys are made repeatedly.
        for _ in 0..40 {
            (0..KEYS).for_each(carry);
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(wait_usage(child)?)
    };
    pairs("readings of 10,240 entries: CPU", |who| Ok(run(who)?.cpu.as_secs_f64()))?;
    pairs("readings of 10,240 entries: peak memory", |who| Ok(run(who)?.peak_memory as f64))
}

/// Measures both in turn, and prints the ratios.
fn pairs(what: &str, mut measure: impl FnMut(Who) -> Result<f64>) -> Result<()> {
    let mut ratios = Vec::new();
    for round in 0..PAIRS {
        // The first one may find the machine in another state, so the order alternates.
        let (this, other) = if round % 2 == 0 {
            let this = measure(Who::Ecli)?;
            (this, measure(Who::Other)?)
        } else {
            let other = measure(Who::Other)?;
            (measure(Who::Ecli)?, other)
        };
        ratios.push(this / other);
    }
    ratios.sort_by(f64::total_cmp);
    let at = |part: usize| ratios[(ratios.len() - 1) * part / 4];
    println!("{what:<42} {:5.3} x other  (half of them {:5.3} to {:5.3})", at(2), at(1), at(3));
    Ok(())
}
