// SPDX-License-Identifier: MIT
//! Modules that load their own tracer (the interface `wasm_bpf`), like existing ones: how they end,
//! that each record arrives, what they can do with maps, and that nothing stays attached.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use bpfpack_tests::held::unique_name;
use bpfpack_tests::wasm::{Tracer, fixtures};
use bpfpack_tests::{Held, Outcome, ecc, ecli, eventually, is_root, program, sys};
use rustix::process::Signal;

/// Ctrl-C must end a module within this time, whatever it does, even on a busy machine; otherwise,
/// it would run forever.
const SOON: Duration = Duration::from_secs(10);

/// The program of numbers.bpf.c.
const PROGRAM: &str = "wasm_numbers";

fn module(name: &str) -> Option<PathBuf> {
    Some(fixtures()?.join(name).with_extension("wasm"))
}

/// A module that loads numbers.bpf.c.
fn tracer(name: &str) -> Option<PathBuf> {
    if !is_root() {
        return None;
    }
    module(name)
}

/// Arguments with which it sees this thread's system calls.
fn us(more: &[&str]) -> Vec<String> {
    let us = [sys::thread_id().to_string(), libc::SYS_getpgid.to_string()];
    us.into_iter().chain(more.iter().map(|word| (*word).to_owned())).collect()
}

/// What a module holds after it has loaded the object once.
fn held(tracer: &Tracer) -> Held {
    let held = tracer.held();
    assert_eq!(held.count(PROGRAM), 1, "{held:?}");
    held
}

fn run(name: &str, args: &[&str]) -> Option<Outcome> {
    let module = module(name)?;
    Some(ecli(&[&["run", module.to_str().unwrap()], args].concat()))
}

#[test]
fn the_exit_code_is_the_modules() {
    for code in [0, 3, 255] {
        for how in [&[][..], &["by exit"]] {
            let text = code.to_string();
            let Some(outcome) = run("code", &[&[&text[..]], how].concat()) else { return };
            assert_eq!(outcome.code, code, "{outcome:?}");
            assert_eq!(outcome.stdout, "");
        }
    }
}

#[test]
fn a_module_may_sleep() {
    let Some(outcome) = run("tick", &["3"]) else { return };
    assert_eq!(outcome.succeeded().stdout, "tick 1\ntick 2\ntick 3\n");
}

#[test]
fn ctrl_c_ends_modules_that_tick_sleep_and_spin() {
    for (name, until) in [("tick", "tick 3\n"), ("asleep", "begun\n"), ("spin", "begun\n")] {
        for signal in [Signal::INT, Signal::TERM] {
            let Some(module) = module(name) else { return };
            let (outcome, took) = Tracer::start(&module, &[""; 0], until).signal(signal);
            assert!(took < SOON, "{name}: {took:?}");
            assert!(outcome.succeeded().stdout.starts_with(if name == "tick" {
                "tick"
            } else {
                "begun"
            }));
        }
    }
}

#[test]
fn one_that_is_woken_may_end_by_itself() {
    let Some(module) = module("asleep") else { return };
    let (outcome, took) = Tracer::start(&module, &["7"], "begun\n").signal(Signal::INT);
    assert!(took < SOON, "{took:?}");
    assert_eq!((outcome.code, &outcome.stdout[..]), (7, "begun\nwoken\n"), "{outcome:?}");
}

#[test]
fn each_record_of_a_poll_comes() {
    const CALLS: i32 = 300;
    const BURST: u64 = 40;
    let Some(module) = tracer("records") else { return };
    let args = us(&["ring", &BURST.to_string()]);
    let mut tracer = Tracer::start(&module, &args, "begun\n");
    let held = held(&tracer);
    for number in 0..CALLS {
        sys::carry(number);
    }
    let expected: Vec<String> =
        (0..CALLS as u64 * BURST).map(|seq| format!("{seq} {}", seq / BURST)).collect();
    tracer.wait_for("all records", |text| text.lines().count() > expected.len());
    let (outcome, took) = tracer.signal(Signal::INT);
    assert!(took < SOON, "{took:?}");
    let text = outcome.succeeded().stdout;
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.first(), Some(&"begun"));
    assert_eq!(lines.last(), Some(&"ended: -27"), "woken with WASI's EINTR");
    assert_eq!(lines[1..lines.len() - 1], expected, "each once, in order");
    held.is_gone();
}

#[test]
fn each_record_of_a_perf_buffer_comes() {
    const CALLS: usize = 500;
    let Some(module) = tracer("records") else { return };
    let mut tracer = Tracer::start(&module, &us(&["perf", "0"]), "begun\n");
    let held = held(&tracer);
    for number in 0..CALLS {
        sys::carry(number as i32);
    }
    tracer.wait_for("all records", |text| text.lines().count() > CALLS);
    let (outcome, took) = tracer.signal(Signal::INT);
    assert!(took < SOON, "{took:?}");
    // Order holds only within a CPU, and the thread may have been on several.
    let text = outcome.succeeded().stdout;
    let words = text.lines().filter_map(|line| line.split_once(' ')?.1.parse::<usize>().ok());
    let mut numbers: Vec<usize> = words.collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..CALLS).collect::<Vec<_>>());
    held.is_gone();
}

#[test]
fn a_callback_may_end_the_poll() {
    let Some(module) = tracer("stops") else { return };
    let tracer = Tracer::start(&module, &us(&[]), "begun\n");
    let held = held(&tracer);
    sys::carry(1);
    assert_eq!(tracer.wait().succeeded().stdout, "begun\nended: -77, 0 left\n");
    held.is_gone();
}

#[test]
fn objects_live_beside_each_other() {
    let Some(module) = tracer("objects") else { return };
    let mut tracer = Tracer::start(&module, &us(&[]), "begun\n");
    let held = tracer.held();
    assert_eq!(held.count(PROGRAM), 2, "{held:?}");
    for number in 0..10 {
        sys::carry(number);
    }
    tracer.wait_for("one is closed", |text| text.contains("closed: "));
    eventually("the closed one is gone", || tracer.held().count(PROGRAM) == 1);
    for number in 0..10 {
        sys::carry(number);
    }
    assert_eq!(
        tracer.wait().succeeded().stdout,
        "begun\nboth: 20 30\nclosed: 0 -1 -1 -1 -1 1 1\nsecond: 30\n"
    );
    held.is_gone();
}

#[test]
fn maps_are_read_and_written() {
    let Some(module) = tracer("maps") else { return };
    let possible = std::fs::read_to_string("/sys/devices/system/cpu/possible").unwrap();
    let last = possible.trim().rsplit(['-', ',']).next().unwrap();
    let cpus = (last.parse::<u32>().unwrap() + 1).to_string();
    let mut tracer = Tracer::start(&module, &us(&[&cpus]), "begun\n");
    let held = held(&tracer);
    for number in [1, 2, 2, 3, 3, 3] {
        sys::carry(number);
    }
    tracer.tell("made");
    assert_eq!(
        tracer.wait().succeeded().stdout,
        "begun\n\
         keys: 3, sum 14, then -2\n\
         calls: 6\n\
         missing: -2 -2 -2 0 -17\n\
         taken: 0 5 -2\n\
         others: 0\n\
         unknown command: 1\n"
    );
    held.is_gone();
}

#[test]
fn what_is_killed_leaves_nothing_attached() {
    let Some(module) = tracer("records") else { return };
    let tracer = Tracer::start(&module, &us(&["ring", "1"]), "begun\n");
    let held = held(&tracer);
    drop(tracer);
    held.is_gone();
}

#[test]
fn programs_are_attached_to_interfaces() {
    if !is_root() {
        return;
    }
    let Some(module) = module("attach") else { return };
    // In a new network namespace, which has a loopback interface.
    let attached = ["wasm_net_xdp", "lo", "wasm_net_tc", "lo", "wasm_net_egress", "lo"];
    let refused = ["wasm_net_xdp", "nonsuch", "wasm_net_tc", "", "nothing", "lo"];
    let mut command = Command::new("unshare");
    command.arg("-n").arg(program("ecli")).arg("run").arg(module).args(attached).args(refused);
    let mut tracer = Tracer::spawn(command, "nothing to lo");
    let held = tracer.held();
    assert_eq!(held.count("wasm_net"), 3, "{held:?}");
    tracer.tell("end");
    let outcome = tracer.wait().succeeded();
    let answers: Vec<bool> = outcome
        .stdout
        .lines()
        .map(|line| line.rsplit_once(": ").unwrap().1.parse::<i32>().unwrap() == 0)
        .collect();
    assert_eq!(answers, [true, true, true, false, false, false], "{outcome:?}");
    // Standard error has the reason.
    for word in ["nonsuch", "wasm_net_tc", "nothing"] {
        assert!(outcome.stderr.contains(word), "{word}: {outcome:?}");
    }
    held.is_gone();
}

#[test]
fn maps_are_the_modules_own_though_they_ask_to_be_pinned() {
    if !is_root() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let map = unique_name();
    let source = directory.path().join("pinned.bpf.c");
    let text = r#"
        #include "vmlinux.h"
        #include <bpf/bpf_helpers.h>
        struct {
            __uint(type, BPF_MAP_TYPE_HASH);
            __uint(max_entries, 4);
            __type(key, u32);
            __type(value, u32);
            __uint(pinning, LIBBPF_PIN_BY_NAME);
        } wasm_pinned SEC(".maps");
        SEC("raw_tp/sys_enter") int wasm_pins(void *ctx)
        {
            u32 key = 1;
            bpf_map_delete_elem(&wasm_pinned, &key);
            return 0;
        }
        char LICENSE[] SEC("license") = "GPL";"#;
    std::fs::write(&source, text.replace("wasm_pinned", &map)).unwrap();
    let _ = ecc(directory.path(), &[source.as_os_str()]).succeeded();
    let object = std::fs::read(directory.path().join("pinned.bpf.o")).unwrap();
    let bytes: String = object.iter().map(|byte| format!("\\{byte:02x}")).collect();
    let module = directory.path().join("pinned.wat");
    let text = format!(
        r#"(module
            (import "wasm_bpf" "wasm_load_bpf_object" (func $load (param i32 i32) (result i64)))
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (memory (export "memory") 4)
            (data (i32.const 1024) "{bytes}")
            (func (export "_start")
                (call $exit (i64.eqz (call $load (i32.const 1024) (i32.const {}))))))"#,
        object.len()
    );
    std::fs::write(&module, text).unwrap();
    let outcome = ecli(&["run", module.to_str().unwrap()]).succeeded();
    assert!(outcome.stderr.contains(&format!("cannot pin maps: {map}")), "{outcome:?}");
    assert!(!PathBuf::from("/sys/fs/bpf").join(map).exists());
}
