// SPDX-License-Identifier: MIT
//! `make bench`: ecli and ecc beside the least that could do the same, and beside the tools in C.
//! Runs are interleaved, and medians compared as ratios: the machine's noise hits all alike.
#![allow(clippy::print_stdout)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bpfpack_tests::sys::{Usage, next_link, wait_usage};
use bpfpack_tests::{pack, program, root, scratch};
use rustix::process::{Pid, Signal, kill_process};

const ROUNDS: usize = 41;
const COMPILE_ROUNDS: usize = 15;

/// A command line, and how many links it attaches.
struct Loader {
    name: &'static str,
    command: Vec<String>,
    links: usize,
}

fn main() -> Result<()> {
    ensure!(rustix::process::geteuid().is_root(), "the benchmarks load BPF programs: run as root");
    // `bench compile` does that part alone.
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    type Part = fn() -> Result<()>;
    let parts: [(&str, Part); 3] = [("start-up", start_up), ("idle", idle), ("compile", compile)];
    for (name, part) in parts {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            part()?;
        }
    }
    Ok(())
}

/// From exec to the last link attached, and the peak memory.
fn start_up() -> Result<()> {
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

fn compare(what: &str, loaders: &[Loader]) -> Result<()> {
    let mut times = vec![Vec::new(); loaders.len()];
    let mut memory = vec![0; loaders.len()];
    for round in 0..ROUNDS {
        // Who goes first may find the machine in another state: each does in turn.
        for step in 0..loaders.len() {
            let at = (round + step) % loaders.len();
            let loader = &loaders[at];
            let (time, usage) = once(loader)?;
            times[at].push(time);
            memory[at] = usage.peak_memory.max(memory[at]);
        }
    }
    let medians: Vec<f64> = times.into_iter().map(median).collect();
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

/// Starts a loader, waits for its links by asking the kernel, ends it.
fn once(loader: &Loader) -> Result<(Duration, Usage)> {
    let last = bpfpack_tests::sys::links().into_iter().max().unwrap_or(0);
    let begin = Instant::now();
    let child = Command::new(&loader.command[0])
        .args(&loader.command[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("can not start {}", loader.command[0]))?;
    let mut id = last;
    let mut seen = 0;
    while seen < loader.links {
        if let Some(next) = next_link(id) {
            id = next;
            seen += 1;
        } else {
            // Asking takes locks that attaching needs, too.
            std::thread::sleep(Duration::from_micros(20));
        }
        ensure!(begin.elapsed() < Duration::from_secs(20), "{} attaches nothing", loader.name);
    }
    let time = begin.elapsed();
    let pid = Pid::from_raw(child.id() as i32).context("no process")?;
    kill_process(pid, Signal::KILL)?;
    let usage = wait_usage(child)?;
    // The kernel takes programs down after their owner has gone.
    std::thread::sleep(Duration::from_millis(30));
    Ok((time, usage))
}

/// What a tracer costs that sees nothing.
fn idle() -> Result<()> {
    println!("idle: ecli run of a tracer without events, readings each second, for 5 s\n");
    let dir = scratch();
    let package = pack("tests/fixtures/edges.bpf.c", &dir);
    let child = Command::new(program("ecli"))
        .args(["run", "-q", "--duration", "5s", &package])
        .stdout(Stdio::null())
        .spawn()?;
    let usage = wait_usage(child)?;
    println!(
        "slept {} times, {:.1} ms of CPU in all\n",
        usage.sleeps,
        usage.cpu.as_secs_f64() * 1e3
    );
    Ok(())
}

/// ecc beside clang alone, with and without its cache.
fn compile() -> Result<()> {
    println!("compile: ecc beside `clang -O2 -g -target bpf -c`, {COMPILE_ROUNDS} rounds\n");
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86" };
    let names = ["clang alone", "ecc cold", "ecc again", "first edit", "later edits"];
    let mut sums = [0.0; 5];
    for tracer in ["hardirqs", "softirqs", "runqlat", "exits"] {
        let dir = scratch();
        for file in std::fs::read_dir(root().join("examples").join(tracer))?.flatten() {
            std::fs::copy(file.path(), dir.path().join(file.file_name()))?;
        }
        let source = path(&dir.path().join(format!("{tracer}.bpf.c")));
        let cache = dir.path().join("cache");
        let ecc = || {
            let mut command = Command::new(program("ecc"));
            command.arg(&source).env("XDG_CACHE_HOME", &cache);
            command
        };
        let edit = || -> Result<()> {
            let text = std::fs::read_to_string(&source)?;
            std::fs::write(&source, text + "// edited\n")?;
            // ecc does not trust a file that changed in this very moment.
            std::thread::sleep(Duration::from_millis(50));
            Ok(())
        };
        // The first run puts the headers where clang alone finds them, too.
        timed(ecc())?;
        let headers = std::fs::read_dir(cache.join("bpfpack"))?
            .flatten()
            .find(|entry| entry.file_name().to_string_lossy().starts_with("headers-"))
            .context("no headers in the cache")?;
        let kept = dir.path().join("headers");
        std::fs::rename(headers.path(), &kept)?;
        let mut times = [const { Vec::new() }; 5];
        for _ in 0..COMPILE_ROUNDS {
            let mut clang = Command::new("clang");
            clang.args(["-O2", "-g", "-target", "bpf", "-c", &source, "-o", "/dev/null"]);
            clang.arg(format!("-D__TARGET_ARCH_{arch}")).arg("-I").arg(&kept);
            times[0].push(timed(clang)?);
            std::fs::remove_dir_all(&cache)?;
            edit()?;
            times[1].push(timed(ecc())?);
            times[2].push(timed(ecc())?);
            edit()?;
            times[3].push(timed(ecc())?);
            edit()?;
            times[4].push(timed(ecc())?);
        }
        let medians = times.map(median);
        for (sum, median) in sums.iter_mut().zip(medians) {
            *sum += median;
        }
        for (name, time) in names.iter().zip(medians) {
            let ratio = time / medians[0];
            println!("{tracer:<11} {name:<12} {time:8.1} ms  {ratio:5.2} x clang alone");
        }
        println!();
    }
    for (name, time) in names.iter().zip(sums) {
        println!("{:<11} {name:<12} {time:8.1} ms  {:5.2} x clang alone", "all", time / sums[0]);
    }
    println!();
    Ok(())
}

fn timed(mut command: Command) -> Result<Duration> {
    let begin = Instant::now();
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    ensure!(status.success(), "{command:?} failed");
    Ok(begin.elapsed())
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1e3
}

fn path(path: &Path) -> String {
    PathBuf::from(path).to_string_lossy().into_owned()
}
