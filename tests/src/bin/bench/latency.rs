// SPDX-License-Identifier: MIT
//! How long after an event its line can be read, if events are rare.

use std::io::{BufRead as _, BufReader};
use std::process::ChildStdout;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bpfpack_tests::sys::{carry, thread_id};

use crate::consumer::{Consumer, Flood, Who};
use crate::median;

const ROUNDS: usize = 3;
const EVENTS: usize = 100;
const PAUSE: Duration = Duration::from_millis(20);

/// Measures the time from the system call until the line was read.
pub(crate) fn latency() -> Result<()> {
    let events = ROUNDS * EVENTS;
    println!("latency: from a system call to its line, {events} events, one each 20 ms\n");
    let flood = Flood::pack(false);
    let cases = [false, true].map(|json| Who::BOTH.map(|who| (who, json)));
    let mut times = [const { Vec::new() }; 4];
    for _ in 0..ROUNDS {
        for ((who, json), times) in cases.iter().flatten().zip(&mut times) {
            times.extend(once(*who, &flood, *json, EVENTS)?);
        }
    }
    let mut of_bare = 0.0;
    for ((who, json), times) in cases.iter().flatten().zip(&times) {
        let middle = micros(median(times));
        let most = times.iter().max().copied().map_or(0.0, micros);
        if *who == Who::Bare {
            of_bare = middle;
        }
        println!(
            "{:<5} {:<9} {middle:7.1} us median  {most:8.1} us at most  {:5.2} x bare",
            if *json { "json" } else { "text" },
            who.name(),
            middle / of_bare,
        );
    }
    println!();
    Ok(())
}

/// The times of some events.
pub(crate) fn once(who: Who, flood: &Flood, json: bool, events: usize) -> Result<Vec<Duration>> {
    let mut consumer = Consumer::start(who, flood, json, thread_id(), 1)?;
    let stdout = consumer.take_stdout();
    let reader = std::thread::spawn(move || arrivals(stdout));
    let mut begins = Vec::new();
    for number in 0..events {
        std::thread::sleep(PAUSE);
        begins.push(Instant::now());
        carry(number as i32);
    }
    std::thread::sleep(PAUSE);
    let _ = consumer.end()?;
    let arrivals = reader.join().unwrap_or_default();
    ensure!(arrivals.len() == events, "{}: {} lines of {events}", who.name(), arrivals.len());
    Ok(arrivals.iter().zip(begins).map(|(arrival, begin)| *arrival - begin).collect())
}

/// When each line arrived, without the header.
fn arrivals(stdout: ChildStdout) -> Vec<Instant> {
    let mut reader = BufReader::new(stdout);
    let mut line = Vec::new();
    let mut times = Vec::new();
    while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        if !line.starts_with(b"TIME") {
            times.push(Instant::now());
        }
        line.clear();
    }
    times
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
