// SPDX-License-Identifier: MIT
//! The cost of a Wasm module: a filter that drops 99 of 100 records, compared with reading all
//! records without a module; and what a module of 150 KB adds to the start.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bpfpack_tests::load::Caller;
use bpfpack_tests::sys::cpu_of;
use bpfpack_tests::{Running, pack, program, root, scratch};

use crate::consumer::{Flood, Who};
use crate::start_up::{Loader, compare};
use crate::{median, path};

const ROUNDS: usize = 7;
/// As in `events`.
const CALLS: u64 = 1_000_000;
const BURST: u64 = 4;
/// Records of a round.
pub(crate) const EVENTS: u64 = CALLS * BURST;

/// Size of a large module in bytes.
const LARGE: usize = 150 << 10;

/// The result of a round.
pub(crate) struct Round {
    /// Records read per second.
    pub(crate) read: f64,
    pub(crate) lost: f64,
    /// CPU nanoseconds per record.
    pub(crate) cpu: f64,
}

/// Measures throughput, then start-up.
pub(crate) fn modules() -> Result<()> {
    throughput()?;
    start()
}

fn throughput() -> Result<()> {
    println!(
        "modules: {} records of 64 bytes, {BURST} for each system call, to /dev/null as raw bytes, \
         without a module and with a filter in C that keeps 1 of 100; {ROUNDS} rounds, interleaved\n",
        CALLS * BURST
    );
    let flood = Flood::pack(true);
    let dir = scratch();
    let filter = compile("tests/fixtures/keep.c", dir.path())?;
    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        rounds.push(if round % 2 == 0 {
            let without = once(Who::Ecli, &flood, None, CALLS)?;
            [without, once(Who::Ecli, &flood, Some(&filter), CALLS)?]
        } else {
            let with = once(Who::Ecli, &flood, Some(&filter), CALLS)?;
            [once(Who::Ecli, &flood, None, CALLS)?, with]
        });
    }
    let of = |at: usize, number: fn(&Round) -> f64| {
        median(&rounds.iter().map(|round| number(&round[at])).collect::<Vec<_>>())
    };
    for (at, name) in ["without", "filter"].into_iter().enumerate() {
        println!(
            "{name:<8} {:5.2} M/s read  {:7.0} lost  {:6.1} ns of CPU each",
            of(at, |round| round.read) / 1e6,
            of(at, |round| round.lost),
            of(at, |round| round.cpu),
        );
    }
    let more: Vec<f64> = rounds.iter().map(|[without, with]| with.cpu - without.cpu).collect();
    println!("filter costs {:.1} ns of CPU more for each record\n", median(&more));
    Ok(())
}

/// Compiles a post-processor.
pub(crate) fn compile(source: &str, dir: &Path) -> Result<PathBuf> {
    let module = dir.join("module.wasm");
    let status = Command::new("clang")
        .args([
            "--target=wasm32-unknown-unknown",
            "-nostdlib",
            "-O2",
            "-Wl,--no-entry,--strip-debug",
            "-I",
        ])
        .arg(root().join("runner/sdk/c"))
        .arg(root().join(source))
        .arg("-o")
        .arg(&module)
        .status()
        .context("clang cannot be started")?;
    ensure!(status.success(), "{source} does not compile: is lld installed?");
    Ok(module)
}

/// Reads the records of some calls, four each, with or without a filter.
pub(crate) fn once(who: Who, flood: &Flood, filter: Option<&Path>, calls: u64) -> Result<Round> {
    let filter = filter.map(path);
    let mut options = vec!["-f", "raw"];
    options.extend(filter.iter().flat_map(|filter| ["--wasm", filter]));
    let (round, shown) = read(who, flood, &options, calls * BURST)?;
    if filter.is_some() {
        let read = (calls * BURST) as f64 - round.lost;
        ensure!((shown - read / 100.0).abs() <= round.lost + 1.0, "{shown} shown of {read}");
    }
    Ok(round)
}

/// Reads some records with these options to /dev/null. Returns how many were shown.
pub(crate) fn read(who: Who, flood: &Flood, options: &[&str], events: u64) -> Result<(Round, f64)> {
    let caller = Caller::start()?;
    let mut args: Vec<String> = ["run", "-o", "/dev/null"].map(str::to_owned).into();
    args.extend(options.iter().map(|option| (*option).to_owned()));
    args.extend(flood.run_args(caller.tid(), BURST));
    let running = Running::tracing(who.ecli()?, &args);
    let before = cpu_of(running.pid())?;
    let time = caller.call(events / BURST);
    // The rest is read within some milliseconds.
    std::thread::sleep(Duration::from_millis(50));
    let cpu = cpu_of(running.pid())? - before;
    let outcome = running.interrupt();
    ensure!(outcome.code == 0, "it ended with {}: {}", outcome.code, outcome.stderr);
    let line = outcome.stderr.lines().rfind(|line| line.contains("records: "));
    let line = line.with_context(|| outcome.stderr.clone())?;
    let number = |what: &str| -> Option<f64> {
        let words: Vec<&str> = line.split([' ', ',']).filter(|word| !word.is_empty()).collect();
        let at = words.iter().position(|word| *word == what)?;
        words.get(at - 1)?.parse().ok()
    };
    let all = events as f64;
    let (lost, shown) = (number("lost").unwrap_or(0.0), number("shown").unwrap_or(0.0));
    let read = number("read").or(number("shown")).with_context(|| line.to_owned())?;
    ensure!((read + lost - all).abs() < 0.5, "{read} read and {lost} lost of {all}: {line}");
    let cpu = cpu.as_nanos() as f64 / read;
    Ok((Round { read: read / time.as_secs_f64(), lost, cpu }, shown))
}

fn start() -> Result<()> {
    let dir = scratch();
    let package = pack("examples/hardirqs/hardirqs.bpf.c", &dir);
    let large = dir.path().join("large.wasm");
    let text = large_module(LARGE);
    fs::write(&large, wat::parse_str(&text)?)?;
    let small = compile("examples/hardirqs/p99.c", dir.path())?;
    println!(
        "start-up with a module: from exec to all links attached; p99.wasm has {} bytes, the large \
         one {}\n",
        fs::metadata(&small)?.len(),
        fs::metadata(&large)?.len()
    );
    let cache = dir.path().join("cache");
    let run = |module: Option<&Path>, cache: &str| {
        let mut command = vec![path(&program("ecli")), "run".into(), "-q".into()];
        if let Some(module) = module {
            command.extend([
                "--wasm".into(),
                path(module),
                "--wasm-cache".into(),
                cache.to_owned(),
            ]);
        }
        command.extend([package.clone(), "--targ_dist".into()]);
        command
    };
    let loader = |name, command| Loader { name, command, links: 2 };
    compare(
        "hardirqs",
        &[
            loader("no module", run(None, "none")),
            loader("p99 cold", run(Some(&small), "none")),
            loader("p99 warm", run(Some(&small), &path(&cache))),
            loader("large cold", run(Some(&large), "none")),
            loader("large warm", run(Some(&large), &path(&cache))),
        ],
    )
}

/// A module of about this size: functions with loops, loads and calls, like those of compilers.
fn large_module(bytes: usize) -> String {
    let function = |at: usize| {
        let mut body = String::new();
        for step in 0..24 {
            let offset = (at * 31 + step * 8) % 4096;
            body += &format!(
                "(local.set 2 (i32.add (local.get 2) (i32.load offset={offset} (local.get 0))))
                 (if (i32.lt_u (local.get 2) (i32.const {offset}))
                   (then (i32.store offset={offset} (local.get 1) (local.get 2))))
                 (local.set 3 (i64.mul (local.get 3) (i64.extend_i32_u (local.get 2))))\n"
            );
        }
        let call = match at {
            0 => "(local.get 2)".to_owned(),
            _ => format!("(call $f{} (local.get 2) (local.get 1))", at - 1),
        };
        format!(
            "(func $f{at} (param i32 i32) (result i32) (local i32 i64)
               (loop $again {body} (br_if $again (i64.lt_u (local.get 3) (i64.const {at}))))
               {call})\n"
        )
    };
    // A function takes about this number of bytes.
    let count = bytes / 860;
    let functions: String = (0..count).map(function).collect();
    format!(
        r#"(module (memory (export "memory") 4)
          (func (export "bpfpack_version") (result i32) (i32.const 1))
          (func (export "bpfpack_alloc") (param i32) (result i32) (i32.const 65536))
          (func (export "bpfpack_end") (result i32) (i32.const 0))
          {functions} (export "work" (func $f{})))"#,
        count - 1
    )
}
