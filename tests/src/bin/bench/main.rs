// SPDX-License-Identifier: MIT
//! `make bench`: compares ecli and ecc with minimal programs that do the same, and with the tools
//! in C. Runs are interleaved, and medians are compared as ratios, so that the machine's noise
//! affects all alike.
#![allow(clippy::print_stdout)]

mod compile;
mod consumer;
mod events;
mod fetch;
mod filter;
mod idle;
mod latency;
mod modules;
mod readings;
mod scrape;
mod start_up;
mod versus;

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};

type Part = fn() -> Result<()>;

const PARTS: [(&str, Part); 11] = [
    ("start-up", start_up::start_up),
    ("idle", idle::idle),
    ("fetch", fetch::fetch),
    ("compile", compile::compile),
    ("events", events::events),
    ("latency", latency::latency),
    ("filter", filter::filter),
    ("modules", modules::modules),
    ("readings", readings::readings),
    ("scrape", scrape::scrape),
    ("versus", versus::versus),
];

fn main() -> Result<()> {
    ensure!(rustix::process::geteuid().is_root(), "the benchmarks load BPF programs: run as root");
    // `bench compile` runs only that part.
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    for name in &wanted {
        let names = PARTS.map(|(name, _)| name);
        ensure!(
            names.contains(&name.as_str()),
            "no part `{name}`: the parts are {}",
            names.join(", ")
        );
    }
    for (name, part) in PARTS {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            part()?;
        }
    }
    Ok(())
}

/// The median; the larger one of two.
fn median<T: PartialOrd + Copy>(values: &[T]) -> T {
    let mut values = values.to_vec();
    values.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    values[values.len() / 2]
}

/// The median of times, in milliseconds.
fn milliseconds(times: Vec<Duration>) -> f64 {
    median(&times).as_secs_f64() * 1e3
}

fn path(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
