// SPDX-License-Identifier: MIT
//! Wasm modules: post-processors of a package, whole tracers, and invalid files. Each has a sandbox
//! of 16 MB, in which a call may take 0.2 s.

mod wat;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use super::case::{Case, DEADLINE};
use super::check::{self, MODULES, Verdict};
use super::elf;
use super::encoding::{base64, stored};
use super::packages::FORMATS;
use super::process::{Ended, Io};
use super::random::{Random, damage};

/// The memory limit of a module, in bytes and as an option.
const MEMORY: (u64, &str) = (16 << 20, "16M");

/// The bytes that a call of a post-processor may emit, and that may wait to be written: the limits
/// in runner/WASM.md.
const EMITTED: u64 = (64 + 256) << 20;

/// How long a tracer runs before it is interrupted.
const RUNS: Duration = Duration::from_millis(100);

/// How long it may take after that: half a second for the module, the rest for the machine.
const ENDS: Duration = Duration::from_secs(3);

/// Generates a module and runs it.
pub(super) fn case(case: &mut Case<'_>) -> Verdict {
    match case.random.below(10) {
        0..5 => {
            let made = wat::post(&mut case.random);
            let module = binary(&made)?;
            post(case, &module, Some(made), EMITTED)
        }
        5..8 => tracer(case),
        8 => {
            let text = wat::large(&mut case.random);
            let module = binary(&text)?;
            // It emits nothing.
            post(case, &module, None, 0)
        }
        _ => {
            let made = wat::post(&mut case.random);
            let module = damaged(&made, &mut case.random)?;
            post(case, &module, None, EMITTED)
        }
    }
}

fn binary(text: &str) -> Result<Vec<u8>, String> {
    ::wat::parse_str(text).map_err(|error| format!("the attack's own module is none: {error}"))
}

/// Bytes that are not a valid module.
fn damaged(text: &str, random: &mut Random) -> Result<Vec<u8>, String> {
    let mut module = binary(text)?;
    match random.below(6) {
        0 => module = [b"\0asm\x01\0\0\0".to_vec(), random.bytes(300)].concat(),
        // A custom section with a name, and bytes with wrong lengths.
        1 => module.extend([0, 0xff, 0xff, 0xff, 0xff, 0x0f, 4, b'n', b'a', b'm', b'e']),
        // A component.
        2 => module[4..8].copy_from_slice(&[0x0d, 0, 1, 0]),
        _ => damage(&mut module, random),
    }
    // Without the magic number, it would be treated as another kind of file.
    if module.len() < 4 {
        module = b"\0asm".to_vec();
    }
    module[..4].copy_from_slice(b"\0asm");
    Ok(module)
}

/// Runs a package with a module: by `--wasm`, packed, or as text.
fn post(case: &mut Case<'_>, module: &[u8], text: Option<String>, emitted: u64) -> Verdict {
    // The first package has records, a table and a histogram of system calls of this process; the
    // second has only kernel stacks, because another part covers user stacks.
    let name = *case.random.choose(&["hostile", "hostile", "profile"]);
    let seed = case.seeds.package(name);
    let format = *case.random.choose(&FORMATS[..5]);
    let mut args: Vec<String> = ["run", "-d", "60ms", "-f", format].map(str::to_owned).to_vec();
    args.extend(["--wasm-memory", MEMORY.1, "--wasm-time", "200ms"].map(str::to_owned));
    if name == "profile" {
        args.extend(["--frequency", "500"].map(str::to_owned));
    } else {
        args.extend(["-i", "10ms"].map(str::to_owned));
    }
    let memory = case.memory_for(module.len() as u64) + compiled(module.len()) + MEMORY.0 + emitted;
    let cache = case.random.one_in(8).then(|| case.path("cache"));
    args.push("--wasm-cache".into());
    args.push(
        cache.as_ref().map_or_else(|| "none".into(), |path| path.to_string_lossy().into_owned()),
    );
    let package = match case.random.below(4) {
        0 => {
            let mut package = seed.json.clone();
            package["wasm_modules"] = json!([{
                "name": "m.wasm", "module": base64(&stored(module)), "module_size": module.len()
            }]);
            case.write("package.json", package.to_string())?
        }
        how => {
            let path = match text.filter(|_| how == 1) {
                Some(text) => case.write("m.wat", text)?,
                None => case.write("m.wasm", module)?,
            };
            args.extend(["--wasm".to_owned(), path.to_string_lossy().into_owned()]);
            case.write("package.json", &seed.text)?
        }
    };
    args.push(package.to_string_lossy().into_owned());
    match name {
        "profile" => args.push("--kernel".into()),
        _ => args.extend(["--target_pid".to_owned(), std::process::id().to_string()]),
    }
    run(case, &args, memory)?;
    let Some(cache) = cache else { return Ok(()) };
    // The compiled module is damaged and must not run.
    damage_files(&cache, &mut case.random).map_err(|error| error.to_string())?;
    run(case, &args, memory)
}

/// Memory for compiling a module of this size: 11 KB for each function (runner/README.md). The
/// smallest function takes eight bytes with its type.
fn compiled(bytes: usize) -> u64 {
    (bytes as u64 / 8).min(bpfpack_schemas::module::MAX_ITEMS) * (11 << 10)
}

fn run(case: &mut Case<'_>, args: &[String], memory: u64) -> Verdict {
    let mut command = case.ecli(args);
    let ended = case.run(&mut command)?;
    keeps_to_limits(case, &ended, memory)
}

/// Checks a run of a module, which may choose any exit code except those of Rust's runtime.
fn keeps_to_limits(case: &Case<'_>, ended: &Ended, memory: u64) -> Verdict {
    let codes: Vec<i32> = MODULES.iter().chain(&wat::CODES).copied().chain(0..=100).collect();
    let any: Vec<i32> = codes.into_iter().chain(102..=255).filter(|code| *code != 134).collect();
    check::ended(ended, &any, Some(memory))?;
    case.nothing_temporary()?;
    case.place.check_network()
}

fn damage_files(dir: &Path, random: &mut Random) -> std::io::Result<()> {
    let Ok(files) = fs::read_dir(dir) else { return Ok(()) };
    let mut files: Vec<PathBuf> = files.flatten().map(|entry| entry.path()).collect();
    files.sort();
    for path in files {
        let mut bytes = fs::read(&path)?;
        damage(&mut bytes, random);
        fs::write(path, bytes)?;
    }
    Ok(())
}

/// Runs a tracer module, and interrupts it once or twice.
fn tracer(case: &mut Case<'_>) -> Verdict {
    let seeds = case.seeds;
    let seed = seeds.package(case.random.word(&["hello", "profile", "net", "hardirqs"]));
    let mut object = seed.object.clone();
    if case.random.one_in(3) {
        elf::change(&mut object, &mut case.random, true);
        if !elf::is_harmless(&object) {
            object.clone_from(&seed.object);
        }
    }
    let programs = seed.json["meta"]["bpf_skel"]["progs"].as_array().into_iter().flatten();
    let programs: Vec<String> =
        programs.filter_map(|program| program["name"].as_str().map(str::to_owned)).collect();
    let made = wat::tracer(&mut case.random, &object, &programs);
    let module = binary(&made)?;
    let path = case.write("m.wasm", &module)?;
    let mut args = vec!["run".to_owned(), "--wasm-memory".into(), MEMORY.1.into()];
    args.extend(["--wasm-cache".into(), "none".into()]);
    if case.random.one_in(4) {
        args.extend(["--wasm-dir".to_owned(), case.path("tmp").to_string_lossy().into_owned()]);
    }
    args.push(path.to_string_lossy().into_owned());
    args.push("--argument".into());
    let mut command = case.ecli(&args);
    let started = case.start(&mut command, Io::default())?;
    if !started.ends_within(RUNS) {
        let signal = *case.random.choose(&[Signal::INT, Signal::TERM, Signal::HUP]);
        started.signal(signal);
        if case.random.one_in(2) {
            std::thread::sleep(Duration::from_micros(case.random.below(5000) as u64));
            started.signal(signal);
        }
        if !started.ends_within(ENDS) {
            drop(case.wait(started, Duration::ZERO)?);
            return Err(format!("no end within {ENDS:?} of a signal"));
        }
    }
    let ended = case.wait(started, DEADLINE)?;
    let memory = case.memory_for(module.len() as u64) + compiled(module.len()) + MEMORY.0 + EMITTED;
    keeps_to_limits(case, &ended, memory)
}

/// A post-processor that mostly works.
///
/// # Errors
/// Returns an error if the generated module is not valid.
pub(super) fn post_processor(random: &mut Random) -> Result<Vec<u8>, String> {
    binary(&wat::post(random))
}

/// A tracer that attaches programs to the loopback interface, and waits.
///
/// # Errors
/// Returns an error if the generated module is not valid.
pub(super) fn attaching(object: &[u8]) -> Result<Vec<u8>, String> {
    binary(&wat::attaching(object, &["wasm_net_xdp", "wasm_net_tc", "wasm_net_egress"]))
}
