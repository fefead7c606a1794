// SPDX-License-Identifier: MIT
//! Post-processors on this kernel: every record reaches them; what they emit is shown in every
//! format; whatever they do wrong, the programs are detached and the exit code reports it.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::PathBuf;

use bpfpack_tests::{Outcome, Running, ecc, ecli, is_root, json, pack_with, root, scratch, sys};
use serde_json::Value;
use tempfile::TempDir;

const CALLS: u64 = 100;
const BURST: u64 = 20;

/// The common part of every module; three pages of memory, of which the first is its own.
const BASICS: &str = r#"
    (memory (export "memory") 4)
    (func (export "bpfpack_version") (result i32) (i32.const 1))
    (func (export "bpfpack_alloc") (param i32) (result i32) (i32.const 65536))"#;

/// Iterates over a batch: `each` has the record's header in `$at`, and its source in `$source`.
fn batches(imports: &str, rest: &str, each: &str) -> String {
    format!(
        r#"(module {imports} {BASICS} {rest}
        (func (export "bpfpack_records") (param $source i32) (param $at i32) (param $len i32)
              (param $time i64) (result i32)
          (local.set $len (i32.add (local.get $at) (local.get $len)))
          (loop $next
            {each}
            (local.set $at (i32.add (local.get $at) (i32.and (i32.const -8)
              (i32.add (i32.load (local.get $at)) (i32.const 15)))))
            (br_if $next (i32.lt_u (local.get $at) (local.get $len))))
          (i32.const 0)))"#
    )
}

const EMIT: &str = r#"(import "bpfpack" "emit" (func $emit (param i32 i32 i32 i32)))"#;
const TEXT: &str = r#"(import "bpfpack" "text" (func $text (param i32 i32)))"#;
const SHOW: &str = "(call $emit (local.get $source) (i32.load16_u offset=4 (local.get $at))
    (i32.add (local.get $at) (i32.const 8)) (i32.load (local.get $at)))";

/// Passes on the records of flood.bpf.c whose number, at 24, is a multiple of ten.
fn tenths() -> String {
    let is_tenth = "(i64.eqz (i64.rem_u (i64.load offset=32 (local.get $at)) (i64.const 10)))";
    batches(EMIT, "", &format!("(if {is_tenth} (then {SHOW}))"))
}

struct Setup {
    dir: TempDir,
    package: String,
}

impl Setup {
    fn new() -> Setup {
        let dir = scratch();
        let package = pack_with("tests/fixtures/flood.bpf.c", &dir, &[]);
        Setup { dir, package }
    }

    /// Writes a module. Returns its path.
    fn module(&self, name: &str, text: &str) -> String {
        let path: PathBuf = self.dir.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// ecli's arguments for this thread's calls.
    fn args(&self, options: &[&str]) -> Vec<String> {
        let mut args: Vec<String> = vec!["run".into(), "--wasm-cache".into(), "none".into()];
        args.extend(options.iter().map(|option| (*option).to_owned()));
        args.push(self.package.clone());
        let us = [("target_pid", i64::from(sys::thread_id())), ("carrier", libc::SYS_getpgid)];
        args.extend(us.map(|(name, value)| format!("--{name}={value}")));
        args.push(format!("--burst={BURST}"));
        args
    }

    /// Runs ecli while this thread makes all records, and ends it.
    fn run(&self, options: &[&str]) -> Outcome {
        let running = Running::ecli(&self.args(options));
        (0..CALLS).for_each(|_| sys::carry(1));
        running.interrupt()
    }

    /// Runs ecli while this thread makes records, until it ends by itself; nothing of it may be
    /// left.
    fn run_to_end(&self, options: &[&str]) -> Outcome {
        let running = Running::ecli(&self.args(options));
        let held = running.held();
        assert_eq!((held.count("on_return"), held.links.len()), (1, 1), "{held:?}");
        (0..CALLS).for_each(|_| sys::carry(1));
        let outcome = running.wait();
        held.is_gone();
        outcome
    }
}

#[test]
fn every_record_comes_to_a_filter() {
    if !is_root() {
        return;
    }
    let setup = Setup::new();
    let filter = setup.module("tenths.wat", &tenths());
    let outcome = setup.run(&["-j", "--wasm", &filter]).succeeded();
    let seqs: Vec<u64> = outcome
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["seq"].as_u64().unwrap())
        .collect();
    let expected: Vec<u64> = (0..CALLS * BURST).step_by(10).collect();
    assert_eq!(seqs, expected);
    let said = format!("records: {} read, {} shown, none lost", CALLS * BURST, expected.len());
    assert!(outcome.stderr.contains(&said), "{}", outcome.stderr);
}

#[test]
fn formats_counts_and_members_are_as_without_a_module() {
    if !is_root() {
        return;
    }
    let setup = Setup::new();
    let filter = setup.module("tenths.wat", &tenths());
    let options = ["-f", "csv", "--fields", "seq,comm", "-c", "3", "--wasm", &filter];
    let outcome = setup.run_to_end(&options).succeeded();
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    assert_eq!(lines.len(), 4, "{}", outcome.stdout);
    assert_eq!(lines[0], "seq,comm");
    assert!(lines[3].starts_with("20,"), "{}", outcome.stdout);
}

#[test]
fn modules_follow_each_other() {
    if !is_root() {
        return;
    }
    let setup = Setup::new();
    let filter = setup.module("tenths.wat", &tenths());
    // Counts records, from A to P and again from the beginning.
    let count = batches(
        TEXT,
        r#"(data (i32.const 0) "A")
           (func (export "bpfpack_end") (result i32)
             (call $text (i32.const 0) (i32.const 1)) (i32.const 0))"#,
        "(i32.store8 (i32.const 0) (i32.add (i32.const 65) (i32.and (i32.const 15)
           (i32.sub (i32.load8_u (i32.const 0)) (i32.const 64)))))",
    );
    let count = setup.module("count.wat", &count);
    let outcome = setup.run(&["-j", "--wasm", &filter, "--wasm", &count]).succeeded();
    let last = b"ABCDEFGHIJKLMNOP"[(CALLS * BURST / 10 % 16) as usize] as char;
    assert_eq!(outcome.stdout.trim_end(), format!("{{\"text\":\"{last}\"}}"));
}

#[test]
fn a_package_brings_its_modules() {
    if !is_root() {
        return;
    }
    let mut setup = Setup::new();
    let filter = setup.module("tenths.wat", &tenths());
    let out = setup.dir.path().join("packed");
    let source = root().join("tests/fixtures/flood.bpf.c");
    let args = [source.to_str().unwrap(), "-o", out.to_str().unwrap(), "--wasm", &filter];
    let _ = ecc(setup.dir.path(), &args).succeeded();
    setup.package = out.join("package.json").to_str().unwrap().to_owned();
    let packed = json(&out.join("package.json"));
    assert_eq!(packed["wasm_modules"][0]["name"], "tenths.wat");
    let outcome = setup.run(&["-j"]).succeeded();
    assert_eq!(outcome.stdout.lines().count() as u64, CALLS * BURST / 10);
    let outcome = setup.run(&["-j", "--no-wasm", "-c", "15"]).succeeded();
    assert_eq!(outcome.stdout.lines().count(), 15);
}

#[test]
fn what_a_module_does_wrong_detaches_everything() {
    if !is_root() {
        return;
    }
    let setup = Setup::new();
    let after_one = |rest: &str| {
        batches(
            EMIT,
            "",
            &format!(
                "{SHOW} (if (i64.ne (i64.const 0) (i64.load offset=32 (local.get $at))) (then {rest}))"
            ),
        )
    };
    let trap = setup.module("trap.wat", &after_one("unreachable"));
    let outcome = setup.run_to_end(&["-j", "--wasm", &trap]);
    outcome.failed(10, &["`bpfpack_records` of `trap.wat` failed", "it aborted"]);
    assert!(outcome.stdout.lines().count() >= 2, "what was emitted before is shown");
    let spin = setup.module("spin.wat", &after_one("(loop $for_ever (br $for_ever))"));
    let outcome = setup.run_to_end(&["-j", "--wasm-time", "100ms", "--wasm", &spin]);
    outcome.failed(
        10,
        &["`bpfpack_records` of `spin.wat` failed", "longer than 100ms", "--wasm-time"],
    );
    let grow = "(if (i32.eq (memory.grow (i32.const 100)) (i32.const -1)) (then unreachable))";
    let grow = setup.module("grow.wat", &after_one(grow));
    let outcome = setup.run_to_end(&["-j", "--wasm-memory", "1M", "--wasm", &grow]);
    outcome.failed(10, &["`grow.wat`", "limit", "--wasm-memory"]);
}

#[test]
fn what_can_not_be_used_is_told_before_anything_is_attached() {
    if !is_root() {
        return;
    }
    let setup = Setup::new();
    let other = BASICS.replace("(i32.const 1)", "(i32.const 2)");
    let end = r#"(func (export "bpfpack_end") (result i32) (i32.const 0))"#;
    for (name, text, words) in [
        ("broken.wat", "(module (func".to_owned(), &["is not a module that ecli can run"][..]),
        ("other.wat", format!("(module {other} {end})"), &["version 2"]),
        ("empty.wat", "(module)".to_owned(), &["exports no"]),
        (
            "imports.wat",
            format!(r#"(module (import "bpfpack" "later" (func)) {BASICS} {end})"#),
            &["bpfpack.later"],
        ),
        (
            "tracer.wat",
            r#"(module (import "wasm_bpf" "wasm_close_bpf_object" (func (param i64) (result i32)))
               (memory (export "memory") 1) (func (export "_start")))"#
                .to_owned(),
            &["whole tracer"],
        ),
    ] {
        let module = setup.module(name, &text);
        let outcome = ecli(&setup.args(&["--wasm", &module]));
        outcome.failed(9, &[words, &[name]].concat());
        assert!(!outcome.stderr.contains("tracing with"), "{}", outcome.stderr);
    }
    let package = setup.package.clone();
    let outcome = ecli(&setup.args(&["--wasm", &package]));
    outcome.failed(9, &["package.json", "not a Wasm module"]);
    assert!(outcome.stderr.len() < 400, "{}", outcome.stderr);
    let nonsuch = setup.dir.path().join("nonsuch.wasm");
    ecli(&setup.args(&["--wasm", nonsuch.to_str().unwrap()])).failed(9, &["nonsuch.wasm"]);
    ecli(&setup.args(&["--wasm-arg", "a=b"])).failed(2, &["--wasm-arg", "no module"]);
    let filter = setup.module("tenths.wat", &tenths());
    ecli(&setup.args(&["--wasm", &filter, "--wasm-arg", "x:a=b"]))
        .failed(2, &["`x`", "tenths.wat"]);
    // In reverse order.
    ecli(&["run", &filter]).failed(9, &["--wasm", "tenths.wat"]);
}

#[test]
fn a_module_ends_the_run_with_its_code() {
    if !is_root() {
        return;
    }
    let setup = Setup::new();
    let imports = format!(r#"{TEXT}(import "bpfpack" "stop" (func $stop (param i32)))"#);
    let text = batches(
        &imports,
        r#"(data (i32.const 0) "over")
           (func (export "bpfpack_end") (result i32) (call $text (i32.const 0) (i32.const 4)) (i32.const 0))"#,
        "(call $stop (i32.const 42))",
    );
    let module = setup.module("stop.wat", &text);
    let outcome = setup.run_to_end(&["--wasm", &module]);
    assert_eq!((outcome.code, outcome.stdout.trim_end()), (42, "over"), "{}", outcome.stderr);
}

#[test]
fn compiled_modules_are_kept() {
    if !is_root() {
        return;
    }
    let setup = Setup::new();
    let filter = setup.module("tenths.wat", &tenths());
    let cache = setup.dir.path().join("cache");
    let cache_arg = cache.to_str().unwrap();
    let run = || {
        let options = ["-j", "--wasm", &filter, "--wasm-cache", cache_arg];
        // The last one counts.
        let mut args = setup.args(&options);
        args.drain(1..3);
        let running = Running::ecli(&args);
        sys::carry(1);
        running.interrupt().succeeded().stdout.lines().count()
    };
    assert_eq!(run(), 2);
    let files: Vec<PathBuf> = fs::read_dir(&cache).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(files.len(), 1);
    assert_eq!(run(), 2);
    // A damaged module is compiled again.
    let mut bytes = fs::read(&files[0]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    fs::write(&files[0], &bytes).unwrap();
    assert_eq!(run(), 2);
    assert_ne!(fs::read(&files[0]).unwrap(), bytes);
}
