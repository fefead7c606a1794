// SPDX-License-Identifier: MIT
//! `--filter` and `--until` on this kernel: what is shown of records, maps and histograms for the
//! same calls, and the messages.
#![allow(clippy::unwrap_used)]

use bpfpack_tests::{Outcome, Running, ecli, is_root, pack, scratch, sys};
use serde_json::Value;
use tempfile::TempDir;

/// The numbers from 1 on that each test passes.
const CALLS: i32 = 20;

struct Setup {
    dir: TempDir,
    package: String,
}

impl Setup {
    fn new() -> Setup {
        let dir = scratch();
        let package = pack("tests/fixtures/filters.bpf.c", &dir);
        Setup { dir, package }
    }

    fn args<'a>(&'a self, options: &[&'a str]) -> Vec<String> {
        let us = [("target_pid", i64::from(sys::thread_id())), ("carrier", libc::SYS_getpgid)];
        let us = us.map(|(name, value)| format!("--{name}={value}"));
        let options = [&["run", "--interval", "1h"], options, &[&*self.package]].concat();
        options.into_iter().map(str::to_owned).chain(us).collect()
    }

    /// Runs ecli while this thread passes all numbers, and ends it.
    fn run(&self, options: &[&str]) -> Outcome {
        let running = Running::ecli(&self.args(options));
        (1..=CALLS).for_each(sys::carry);
        running.interrupt().succeeded()
    }

    /// The numbers of the records that a filter keeps.
    fn numbers(&self, filter: &str) -> Vec<i32> {
        numbers(&self.run(&["-j", "--only", "events", "--filter", filter]))
    }
}

fn numbers(outcome: &Outcome) -> Vec<i32> {
    let lines = outcome.objects();
    let numbers = lines.iter().filter_map(|line| line["number"].as_i64());
    numbers.map(|number| i32::try_from(number).unwrap()).collect()
}

#[test]
fn records_by_what_their_members_stand_for() {
    if !is_root() {
        return;
    }
    let setup = Setup::new();
    assert_eq!(setup.numbers("latency_us > 7.5ms and ret == -ENOENT"), [20]);
    assert_eq!(setup.numbers("latency_us <= 2500000ns && ret != ENOENT"), [1, 2, 3, 4]);
    assert_eq!(setup.numbers("saddr in 10.0.4.0/22 || saddr == 10.0.19.1"), [4, 5, 6, 7, 19]);
    assert_eq!(setup.numbers("is_odd && number in (1, 2, 3)"), [1, 3]);
    let comm = std::fs::read_to_string("/proc/thread-self/comm").unwrap();
    let (comm, other) = (comm.trim(), "nothing");
    let here = format!("comm == \"{comm}\" && comm !~ '^{other}' && number < 3");
    assert_eq!(setup.numbers(&here), [1, 2]);
}

#[test]
fn what_is_kept_does_not_depend_on_what_is_shown() {
    if !is_root() {
        return;
    }
    let setup = Setup::new();
    let only = ["--only", "events", "--filter", "number > 3"];
    let options = ["-j", "--fields", "ret", "--filter", "ret == ENOENT"];
    let outcome = setup.run(&[&only[..], &options].concat());
    assert_eq!(outcome.stdout.lines().count(), 4, "{}", outcome.stdout);
    assert!(outcome.stderr.contains("20 read, 4 shown"), "{}", outcome.stderr);
    let path = setup.dir.path().join("records");
    let output = format!("raw:{}", path.display());
    let outcome = setup.run(&[&only[..], &["-o", &output, "-c", "2"]].concat());
    assert!(outcome.stderr.contains("2 shown"), "{}", outcome.stderr);
    // Two of `struct event`.
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 2 * 48);
}

#[test]
fn entries_of_maps_by_their_keys_and_values() {
    if !is_root() {
        return;
    }
    let setup = Setup::new();
    let outcome = setup.run(&["-j", "--filter", "key.parity == 1 && value >= 10"]);
    let lines = outcome.objects();
    let [line] = &lines[..] else { panic!("{}", outcome.stdout) };
    assert_eq!((&line["map"], &line["key"]["parity"]), (&"counts".into(), &1.into()));
    assert!(outcome.stderr.contains("20 read, 0 shown"), "{}", outcome.stderr);
    let outcome = ecli(&setup.args(&["-d", "100ms", "--filter", "key.parity == 1"])).succeeded();
    for words in [
        "`events` has no member `key.parity`: --filter hides it",
        "`times` has no member `key.parity`: --filter hides it",
    ] {
        assert!(outcome.stderr.contains(words), "{}", outcome.stderr);
    }
}

#[test]
fn histograms_by_what_is_calculated_of_them() {
    if !is_root() {
        return;
    }
    let setup = Setup::new();
    let keys = |filter: &str| -> Vec<Value> {
        let outcome = setup.run(&["-j", "--only", "times", "--filter", filter]);
        outcome.objects().iter().map(|line| line["key"].clone()).collect()
    };
    // Odd numbers have from 500 to 9500 us, even ones from 1000 to 10000.
    assert_eq!(keys("total == 10 && p99 > 8ms && max < 16.384ms"), [0, 1]);
    assert_eq!(keys("total == 10 && key == 1 && p50 < 10ms"), [1]);
    assert_eq!(keys("max < 9ms"), [0; 0]);
}

#[test]
fn an_expression_that_fits_nothing_ends_before_anything_is_loaded() {
    if !is_root() {
        return;
    }
    let setup = Setup::new();
    let fails = |option: &str, expr: &str, words: &[&str]| {
        let outcome = ecli(&setup.args(&[option, expr]));
        outcome.failed(2, words);
        assert!(!outcome.stderr.contains("tracing with"), "{}", outcome.stderr);
    };
    let members = "hint: did you mean `latency_us`? the members are number, latency_us, ret, saddr, \
                   is_odd, comm, parity, value, key, slots, total, average, p50, p90, p99, max";
    fails(
        "--filter",
        "is_odd && latncy_us > 1ms",
        &[
            "error: --filter: there is no member `latncy_us`\n",
            "  | is_odd && latncy_us > 1ms\n  |           ^^^^^^^^^\n",
            members,
        ],
    );
    fails(
        "--until",
        "number >",
        &["--until: expected a value, found the end", "\n  |         ^\n"],
    );
    fails("--filter", "comm > 1 && number == one", &["`number` is a number, and `one` is not"]);
    fails("--filter", "number > 1ms", &["`number` has no unit of time", "  |          ^^^\n"]);
}

#[test]
fn the_run_ends_with_the_record_for_which_it_is_true() {
    if !is_root() {
        return;
    }
    let setup = Setup::new();
    let options = ["-j", "--filter", "number != 6", "--until", "number in (6, 7)"];
    let running = Running::ecli(&setup.args(&options));
    (1..=CALLS).for_each(sys::carry);
    let outcome = running.wait().succeeded();
    assert_eq!(numbers(&outcome), [1, 2, 3, 4, 5, 7], "{}", outcome.stdout);
    assert_eq!(outcome.stdout.lines().count(), 6, "no reading: {}", outcome.stdout);
}

#[test]
fn the_run_ends_with_the_reading_for_which_it_is_true() {
    if !is_root() {
        return;
    }
    let setup = Setup::new();
    let options = ["-j", "--only", "times", "--interval", "20ms", "--until", "total >= 3"];
    let mut args = setup.args(&options);
    args.remove(args.iter().position(|arg| arg == "1h").unwrap() - 1);
    args.remove(args.iter().position(|arg| arg == "1h").unwrap());
    let running = Running::ecli(&args);
    // Three of each.
    (1..=6).for_each(sys::carry);
    let outcome = running.wait().succeeded();
    let lines = outcome.objects();
    let sum = |line: &Value| -> u64 {
        line["value"]["slots"].as_array().unwrap().iter().filter_map(Value::as_u64).sum()
    };
    assert!(lines.iter().any(|line| sum(line) == 3), "{}", outcome.stdout);
}

#[test]
fn modules_see_what_a_filter_keeps() {
    if !is_root() {
        return;
    }
    let setup = Setup::new();
    let module = setup.dir.path().join("seen.wat");
    // Prints `seen` for each record, and passes none on.
    let text = r#"(module (import "bpfpack" "text" (func $text (param i32 i32)))
        (memory (export "memory") 4) (data (i32.const 8) "seen")
        (func (export "bpfpack_version") (result i32) (i32.const 1))
        (func (export "bpfpack_alloc") (param i32) (result i32) (i32.const 65536))
        (func (export "bpfpack_records") (param $source i32) (param $at i32) (param $len i32)
              (param $time i64) (result i32)
          (local.set $len (i32.add (local.get $at) (local.get $len)))
          (loop $next
            (call $text (i32.const 8) (i32.const 4))
            (local.set $at (i32.add (local.get $at) (i32.and (i32.const -8)
              (i32.add (i32.load (local.get $at)) (i32.const 15)))))
            (br_if $next (i32.lt_u (local.get $at) (local.get $len))))
          (i32.const 0)))"#;
    std::fs::write(&module, text).unwrap();
    let options = ["--only", "events", "--wasm-cache", "none", "--wasm", module.to_str().unwrap()];
    let outcome = setup.run(&[&options[..], &["--filter", "number <= 5"]].concat());
    assert_eq!(outcome.stdout.matches("seen").count(), 5, "{}", outcome.stdout);
    let failed = ecli(&setup.args(&[&options[..], &["--filter", "nothing"]].concat()));
    failed.failed(2, &["--filter: there is no member `nothing`"]);
}
