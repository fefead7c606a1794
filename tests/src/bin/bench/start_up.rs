// SPDX-License-Identifier: MIT
//! The time from exec to the last attached link: ecli compared with a bare loader and the tools in
//! C.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bpfpack_tests::sys::{Usage, next_link, wait_usage};
use bpfpack_tests::{pack, program, scratch};
use rustix::process::{Pid, Signal, kill_process};

use crate::{milliseconds, path};

const ROUNDS: usize = 41;

/// A command line, and the number of links that it attaches.
pub(crate) struct Loader {
    pub name: &'static str,
    pub command: Vec<String>,
    pub links: usize,
}

/// Measures the time from exec to the last attached link, and the peak memory.
pub(crate) fn start_up() -> Result<()> {
    println!("start-up: from exec to all links attached, {ROUNDS} rounds, interleaved\n");
    let bare = path(&program("ecli").with_file_name("bare-libbpf"));
    let ecli = path(&program("ecli"));
    let run = |package: &str| vec![ecli.clone(), "run".into(), "-q".into(), package.to_owned()];
    for (tracer, raw) in [
        ("hardirqs", &["irq_handler_entry", "irq_handler_exit"][..]),
        ("softirqs", &["softirq_entry", "softirq_exit"]),
        ("runqlat", &["sched_wakeup", "sched_wakeup_new", "sched_switch"]),
    ] {
        let dir = scratch();
        let package = pack(&format!("examples/{tracer}/{tracer}.bpf.c"), &dir);
        let object = path(&dir.path().join(format!("{tracer}.bpf.o")));
        let mut bare_command = vec![bare.clone(), object];
        bare_command.extend(raw.iter().map(|name| (*name).to_owned()));
        let links = raw.len();
        let mut loaders = vec![
            Loader { name: "bare libbpf", command: bare_command, links },
            Loader { name: "ecli run", command: run(&package), links },
        ];
        let tool = format!("/usr/sbin/{tracer}");
        if Path::new(&tool).exists() {
            loaders.push(Loader { name: "tool in C", command: vec![tool], links });
        }
        compare(tracer, &loaders)?;
    }
    let dir = scratch();
    let package = pack("tests/fixtures/one_raw_tp.bpf.c", &dir);
    let object = path(&dir.path().join("one_raw_tp.bpf.o"));
    compare(
        "one raw_tp",
        &[
            Loader { name: "bare libbpf", command: vec![bare, object], links: 1 },
            Loader { name: "ecli run", command: run(&package), links: 1 },
        ],
    )
}

/// Starts each of them repeatedly, in turn.
pub(crate) fn compare(what: &str, loaders: &[Loader]) -> Result<()> {
    let mut times = vec![Vec::new(); loaders.len()];
    let mut memory = vec![0; loaders.len()];
    for round in 0..ROUNDS {
        // The first one may find the machine in another state, so the order alternates.
        for step in 0..loaders.len() {
            let at = (round + step) % loaders.len();
            let loader = &loaders[at];
            let (time, usage) = once(loader)?;
            times[at].push(time);
            memory[at] = usage.peak_memory.max(memory[at]);
        }
    }
    let medians: Vec<f64> = times.into_iter().map(milliseconds).collect();
    for (at, loader) in loaders.iter().enumerate() {
        println!(
            "{what:<11} {:<12} {:8.2} ms  {:5.2} x {}  {:6.1} MB peak",
            loader.name,
            medians[at],
            medians[at] / medians[0],
            loaders[0].name,
            memory[at] as f64 / 1e6,
        );
    }
    if let [_, ecli, tool] = medians[..] {
        println!("{what:<11} ecli run is {:.2} x tool in C", ecli / tool);
    }
    println!();
    Ok(())
}

/// Starts a loader, waits for its links by querying the kernel, and ends it.
pub(crate) fn once(loader: &Loader) -> Result<(Duration, Usage)> {
    let last = bpfpack_tests::sys::links().into_iter().max().unwrap_or(0);
    let begin = Instant::now();
    let child = Command::new(&loader.command[0])
        .args(&loader.command[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start {}", loader.command[0]))?;
    let mut id = last;
    let mut seen = 0;
    while seen < loader.links {
        if let Some(next) = next_link(id) {
            id = next;
            seen += 1;
        } else {
            // Queries take locks that attaching needs, too.
            std::thread::sleep(Duration::from_micros(20));
        }
        ensure!(begin.elapsed() < Duration::from_secs(20), "{} attaches nothing", loader.name);
    }
    let time = begin.elapsed();
    let pid = Pid::from_raw(child.id() as i32).context("no process")?;
    kill_process(pid, Signal::KILL)?;
    let usage = wait_usage(child)?;
    // The kernel frees programs after their owner has ended.
    std::thread::sleep(Duration::from_millis(30));
    Ok((time, usage))
}
