// SPDX-License-Identifier: MIT
//! Tests of modules without a tracer: how they end, and that they cannot misuse the interface.
//! Tests that need the kernel are in tests/.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};

use super::*;
use crate::failure::exit_code;
use crate::wasm::engine::Limits;

/// The imports for the modules below.
const IMPORTS: &str = r#"
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $sleep (param i32 i32 i32 i32) (result i32)))
  (import "wasm_bpf" "wasm_load_bpf_object" (func $load (param i32 i32) (result i64)))
  (import "wasm_bpf" "wasm_close_bpf_object" (func $close (param i64) (result i32)))
  (import "wasm_bpf" "wasm_attach_bpf_program" (func $attach (param i64 i32 i32) (result i32)))
  (import "wasm_bpf" "wasm_bpf_map_fd_by_name" (func $map (param i64 i32) (result i32)))
  (import "wasm_bpf" "wasm_bpf_map_operate"
    (func $operate (param i32 i32 i32 i32 i32 i64) (result i32)))
  (import "wasm_bpf" "wasm_bpf_buffer_poll"
    (func $poll (param i64 i32 i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (type $callback (func (param i32 i32 i32) (result i32)))
  (func $ignore (type $callback) i32.const 0)
  (func $other)
  (table (export "__indirect_function_table") 4 funcref)
  (elem (i32.const 1) $ignore $other)
"#;

/// A sleep of one hour: a subscription at 0, which is zero except for the time.
const AN_HOUR: &str = r"
  (func $an_hour
    (i64.store (i32.const 24) (i64.const 3600000000000))
    (i32.store (i32.const 16) (i32.const 1))
    (drop (call $sleep (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128))))
";

fn engine() -> Engine {
    Engine::new(Limits { memory: 1 << 20, time: Duration::from_secs(1) }, 0, None).unwrap()
}

fn signals(come: u32) -> (Signals, OwnedFd) {
    let fd = eventfd(come, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).unwrap();
    (Signals::of_descriptor(fd.try_clone().unwrap()), fd)
}

fn run_text(text: &str, signals: &Signals, plan: &TracerPlan) -> Result<u8, Failure> {
    let engine = engine();
    let module = engine.compile("x.wasm", text.as_bytes()).unwrap();
    run(&engine, &module, "x.wasm", plan, signals, &Talk::silent())
}

/// Runs code with all imports.
fn run_code(functions: &str) -> Result<u8, Failure> {
    run_text(&format!("(module {IMPORTS} {functions})"), &signals(0).0, &TracerPlan::default())
}

/// The negative result of a function, which becomes the exit code.
fn answer(call: &str) -> i32 {
    let code = run_code(&format!(
        "(func (export \"_start\") (call $exit (i32.sub (i32.const 0) {call})))"
    ));
    -i32::from(code.unwrap())
}

#[test]
fn exit_codes() {
    assert_eq!(run_code("(func (export \"_start\"))").unwrap(), 0);
    for (code, seen) in [(0, 0), (3, 3), (-1, 255), (256, 0)] {
        let text = format!("(func (export \"_start\") (call $exit (i32.const {code})))");
        assert_eq!(run_code(&text).unwrap(), seen);
    }
}

#[test]
fn what_is_missing_is_listed() {
    let text = r#"(module (import "env" "one" (func)) (import "wasm_bpf" "two" (func))
        (func (export "_start")))"#;
    let failure = run_text(text, &signals(0).0, &TracerPlan::default()).unwrap_err();
    assert_eq!(failure.exit_code(), exit_code::MODULE);
    let message = failure.message();
    assert!(message.contains("`one` of `env`, `two` of `wasm_bpf`"), "{message}");
    let failure = run_code("(func (export \"_start\") (param i32))").unwrap_err();
    assert_eq!(failure.exit_code(), exit_code::MODULE);
    assert!(failure.message().contains("_start"), "{}", failure.message());
    let wrong =
        r#"(module (import "wasm_bpf" "wasm_close_bpf_object" (func)) (func (export "_start")))"#;
    let failure = run_text(wrong, &signals(0).0, &TracerPlan::default()).unwrap_err();
    assert_eq!(failure.exit_code(), exit_code::MODULE);
}

#[test]
fn traps_name_the_function_and_the_cause() {
    let failure =
        run_code("(func $inner unreachable) (func (export \"_start\") (call $inner))").unwrap_err();
    assert_eq!(failure.exit_code(), exit_code::MODULE_FAILED);
    let text = format!("{failure:?}");
    assert!(text.contains("inner") && text.contains("unreachable"), "{text}");
    let failure = run_code("(func $f (call $f)) (func (export \"_start\") (call $f))").unwrap_err();
    assert!(failure.message().contains("stack"), "{}", failure.message());
    let failure = run_code(
        "(func (export \"_start\") (drop (memory.grow (i32.const 16))) \
         (i32.store (i32.const 70000) (i32.const 1)))",
    );
    let text = format!("{:?}", failure.unwrap_err());
    assert!(text.contains("--wasm-memory"), "{text}");
}

#[test]
fn output_goes_to_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("out");
    let text = format!(
        "(module {IMPORTS} (data (i32.const 100) \"Hello\\n\") \
         (func (export \"_start\") \
           (i32.store (i32.const 0) (i32.const 100)) (i32.store (i32.const 4) (i32.const 6)) \
           (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))) \
           unreachable))"
    );
    let plan = TracerPlan { output: Some(output.clone()), ..TracerPlan::default() };
    let failure = run_text(&text, &signals(0).0, &plan).unwrap_err();
    assert_eq!(failure.exit_code(), exit_code::MODULE_FAILED);
    assert_eq!(std::fs::read_to_string(output).unwrap(), "Hello\n", "whatever comes later");
    let plan = TracerPlan { output: Some("/dev/full".into()), ..TracerPlan::default() };
    assert_eq!(run_text(&text, &signals(0).0, &plan).unwrap_err().exit_code(), exit_code::OUTPUT);
}

/// Runs a module while signals arrive. Returns its exit code, and how long it ran.
fn interrupted(functions: &str, come: u32) -> (u8, Duration) {
    let begin = Instant::now();
    let text = format!("(module {IMPORTS} {AN_HOUR} {functions})");
    let code = run_text(&text, &signals(come).0, &TracerPlan::default());
    (code.unwrap(), begin.elapsed())
}

const SOON: Duration = Duration::from_secs(5);

#[test]
fn who_spins_is_ended() {
    let (code, took) = interrupted("(func (export \"_start\") (loop (br 0)))", 1);
    assert_eq!(code, 0);
    assert!(took >= Duration::from_millis(500) && took < SOON, "{took:?}");
}

#[test]
fn who_sleeps_is_woken_once() {
    let (code, took) = interrupted("(func (export \"_start\") (loop (call $an_hour) (br 0)))", 1);
    assert_eq!(code, 0);
    assert!(took < SOON, "{took:?}");
    let (code, took) =
        interrupted("(func (export \"_start\") (call $an_hour) (call $exit (i32.const 7)))", 1);
    assert_eq!(code, 7);
    assert!(took < SOON, "{took:?}");
}

#[test]
fn a_second_signal_ends_who_spins_at_once() {
    let (signals, sender) = signals(0);
    let ending = std::thread::spawn(move || {
        for _ in 0..2 {
            std::thread::sleep(Duration::from_millis(100));
            rustix::io::write(&sender, &1u64.to_ne_bytes()).unwrap();
        }
        Instant::now()
    });
    let text = format!("(module {IMPORTS} (func (export \"_start\") (loop (br 0))))");
    assert_eq!(run_text(&text, &signals, &TracerPlan::default()).unwrap(), 0);
    assert!(ending.join().unwrap().elapsed() < Duration::from_millis(400));
}

#[test]
fn numbers_that_are_none_of_its_maps() {
    let operate = |fd: i32, command: i32| {
        answer(&format!(
            "(call $operate (i32.const {fd}) (i32.const {command}) (i32.const 0) (i32.const 8) \
             (i32.const 16) (i64.const 0))"
        ))
    };
    for fd in [-1, 0, 1, 3, 5, 1023, 1024, i32::MAX, i32::MIN] {
        for command in [1, 2, 3, 4, 21, 99] {
            assert_eq!(operate(fd, command), -libc::EBADF, "{fd} {command}");
        }
    }
}

#[test]
fn handles_and_pointers_that_lead_nowhere() {
    assert_eq!(answer("(call $close (i64.const 1))"), -1);
    assert_eq!(answer("(call $map (i64.const 1) (i32.const 0))"), -1);
    assert_eq!(answer("(call $map (i64.const -1) (i32.const -1))"), -1);
    for (at, len) in [(0, 16), (65530, 7), (-1, -1), (0, -1), (0, 0)] {
        let load = format!("(i32.wrap_i64 (call $load (i32.const {at}) (i32.const {len})))");
        assert_eq!(answer(&load), 0);
    }
    let attach = |name: i32| {
        answer(&format!("(call $attach (i64.const 1) (i32.const {name}) (i32.const 0))"))
    };
    assert_eq!(attach(0), -libc::EINVAL);
    assert_eq!(attach(8), -libc::EINVAL, "no object");
    assert_eq!(attach(-1), -libc::EFAULT);
}

fn poll(callback: i32, data: i32, size: i32) -> String {
    format!(
        "(call $poll (i64.const 1) (i32.const 1024) (i32.const {callback}) (i32.const 0) \
         (i32.const {data}) (i32.const {size}) (i32.const -1))"
    )
}

#[test]
fn polls_that_make_no_sense() {
    assert_eq!(answer(&poll(1, 0, 64)), -libc::EBADF);
    assert_eq!(answer(&poll(1, 0, -1)), -libc::EINVAL);
    assert_eq!(answer(&poll(1, 65530, 7)), -libc::EFAULT);
    assert_eq!(answer(&poll(1, -1, i32::MAX)), -libc::EFAULT);
    // A null entry, another type, an index outside of the table.
    for callback in [0, 2, 4, -1] {
        let text = format!("(func (export \"_start\") (drop {}))", poll(callback, 0, 64));
        let failure = run_code(&text).unwrap_err();
        assert_eq!(failure.exit_code(), exit_code::MODULE_FAILED);
        assert!(failure.message().contains("callback"), "{}", failure.message());
    }
}

#[test]
fn tinygo_in_both_orders() {
    for [wrapper, name] in [WRAPPERS, [WRAPPERS[1], WRAPPERS[0]]] {
        let text = format!(
            r#"(module
              (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
              (import "{wrapper}" "wasm_bpf_buffer_poll"
                (func $poll (param i64 i32 i32 i32 i32 i32) (result i32)))
              (memory (export "memory") 1)
              (func (export "{name}") (param i32 i32 i32) (result i32) i32.const 0)
              (func (export "_start")
                (call $exit (i32.sub (i32.const 0) (call $poll (i64.const 1) (i32.const 3)
                  (i32.const 0) (i32.const 0) (i32.const 64) (i32.const 10))))))"#
        );
        let code = run_text(&text, &signals(0).0, &TracerPlan::default());
        assert_eq!(code.unwrap(), libc::EBADF as u8);
    }
}
