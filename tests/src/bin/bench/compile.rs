// SPDX-License-Identifier: MIT
//! Compares ecc with clang alone, with and without its cache.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bpfpack_tests::{program, root, scratch};

use crate::{milliseconds, path};

const ROUNDS: usize = 15;

/// Compares ecc with clang alone, with and without its cache.
pub(crate) fn compile() -> Result<()> {
    println!("compile: ecc beside `clang -O2 -g -target bpf -c`, {ROUNDS} rounds\n");
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
            // ecc does not trust a file that changed just now.
            std::thread::sleep(Duration::from_millis(50));
            Ok(())
        };
        // The first run extracts the headers, which clang alone uses, too.
        timed(ecc())?;
        let headers = std::fs::read_dir(cache.join("bpfpack"))?
            .flatten()
            .find(|entry| entry.file_name().to_string_lossy().starts_with("headers-"))
            .context("no headers in the cache")?;
        let kept = dir.path().join("headers");
        std::fs::rename(headers.path(), &kept)?;
        let mut times = [const { Vec::new() }; 5];
        for _ in 0..ROUNDS {
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
        let medians = times.map(milliseconds);
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
