// SPDX-License-Identifier: MIT
//! The cost of a tracer without events, from when it is attached until it is ended.

use std::time::Duration;

use anyhow::{Context as _, Result};
use bpfpack_tests::{Running, pack, scratch};

use crate::consumer::{Consumer, Flood, Who};

const TIME: Duration = Duration::from_secs(10);

/// Runs all at once: they do nothing, so they do not disturb each other.
pub(crate) fn idle() -> Result<()> {
    println!("idle: tracers without events, {} s, starting not counted\n", TIME.as_secs());
    let dir = scratch();
    let sampled = pack("tests/fixtures/edges.bpf.c", &dir);
    let flood = Flood::pack(false);
    // No thread has the ID 0.
    let of_records = |who| Consumer::start(who, &flood, false, 0, 1);
    let consumers = [
        ("ecli run, readings each second", Consumer::of(Running::ecli(&["run", &sampled]))?),
        ("ecli run, records", of_records(Who::Ecli)?),
        ("bare, records, a poll of 100 ms", of_records(Who::Bare)?),
    ];
    let mut sleeps = Vec::new();
    for (_, consumer) in &consumers {
        sleeps.push(sleeps_of(consumer.pid())?);
    }
    std::thread::sleep(TIME);
    for ((name, consumer), before) in consumers.into_iter().zip(sleeps) {
        let cpu = consumer.cpu()?.as_secs_f64() * 1e3;
        let slept = sleeps_of(consumer.pid())? - before;
        println!("{name:<32} {cpu:7.3} ms of CPU, slept {slept} times");
        let _ = consumer.end()?;
    }
    println!();
    Ok(())
}

/// The number of voluntary context switches of a process.
fn sleeps_of(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    Ok(line.context("the kernel does not tell how often it slept")?.trim().parse()?)
}
