// SPDX-License-Identifier: MIT
//! How much longer a run takes if its package comes from a server on this machine, or from the
//! cache, than from a file.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bpfpack_tests::http::{Answer, Server};
use bpfpack_tests::{pack, program, scratch};

use crate::{median, path};

const ROUNDS: usize = 61;

/// Where the package comes from, and how many milliseconds more than from a file that may take.
const SOURCES: [(&str, f64); 3] = [("file", 0.0), ("URL", 3.0), ("cache", 1.0)];

pub(crate) fn fetch() -> Result<()> {
    println!("fetch: `ecli run PACKAGE -- true`, {ROUNDS} rounds, interleaved\n");
    let (dir, server) = (scratch(), Server::start());
    let package = pack("examples/exits/exits.bpf.c", &dir);
    server.answer("/package.json", Answer::Bytes(std::fs::read(&package)?));
    let url = server.url("/package.json");
    let cache = path(&dir.path().join("cache"));
    let policy = path(&dir.path().join("policy.toml"));
    let once = |at: usize| -> Result<f64> {
        let mut command = Command::new(program("ecli"));
        command.args(["run", "-q", "--package-cache", &cache, "--policy", &policy]);
        match at {
            0 => command.arg(&package),
            1 => command.arg(&url),
            _ => command.args(["--offline", &url]),
        };
        command.args(["--", "true"]).stdin(Stdio::null()).stdout(Stdio::null());
        let begin = Instant::now();
        let status = command.status().context("cannot start ecli")?;
        let time = begin.elapsed().as_secs_f64() * 1e3;
        ensure!(status.success(), "ecli failed: {status}");
        // The kernel frees programs after their owner has ended.
        std::thread::sleep(Duration::from_millis(30));
        Ok(time)
    };
    // The cache must have it.
    let _ = once(1)?;
    let mut times = [const { Vec::new() }; SOURCES.len()];
    for round in 0..ROUNDS {
        // The first one may find the machine in another state, so the order alternates.
        for step in 0..SOURCES.len() {
            let at = (round + step) % SOURCES.len();
            times[at].push(once(at)?);
        }
    }
    for ((name, most), times_of) in SOURCES.iter().zip(&times) {
        print!("{name:<6} {:7.2} ms", median(times_of));
        if *most > 0.0 {
            let mut more: Vec<f64> = times_of.iter().zip(&times[0]).map(|(a, b)| a - b).collect();
            more.sort_by(f64::total_cmp);
            let at = |part: usize| more[(more.len() - 1) * part / 4];
            print!(
                "  {:+5.2} ms in the same round (half of them {:+.2} to {:+.2}); at most {most} ms",
                at(2),
                at(1),
                at(3)
            );
        }
        println!();
    }
    println!();
    Ok(())
}
