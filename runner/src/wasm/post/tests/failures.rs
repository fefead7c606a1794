// SPDX-License-Identifier: MIT
//! Tests of failing modules: each error names the function and the cause, and nothing else is
//! affected.

use std::time::Instant;

use super::*;
use crate::failure::exit_code::{MODULE, MODULE_FAILED};

fn refused(text: &str) -> (u8, String) {
    let failure = start(&[("m.wasm", text)], limits()).unwrap_err();
    (failure.exit_code(), failure.message())
}

#[track_caller]
fn assert_refused(text: &str, code: u8, words: &[&str]) {
    let (found, message) = refused(text);
    assert_eq!(found, code, "{message}");
    for word in words.iter().chain(&["m.wasm"]) {
        assert!(message.contains(word), "{word}: {message}");
    }
}

/// A module with this body of `bpfpack_records`.
fn records(imports: &str, body: &str) -> String {
    let export = r#"(func (export "bpfpack_records") (param i32 i32 i32 i64) (result i32)"#;
    module(imports, &format!("{export} {body})"))
}

#[track_caller]
fn assert_fails(text: &str, words: &[&str]) -> Vec<String> {
    let mut chain = started(text);
    let (seen, result) = run(&mut chain, &[(1, 2)]);
    let message = result.unwrap_err();
    for word in words.iter().chain(&["m.wasm", "bpfpack_records"]) {
        assert!(message.contains(word), "{word}: {message}");
    }
    seen
}

#[test]
fn what_is_no_post_processor() {
    assert_refused("(module)", MODULE, &["exports no `memory`"]);
    assert_refused(r#"(module (memory (export "memory") 1))"#, MODULE, &["bpfpack_version"]);
    assert_refused("(modul", MODULE, &["not a module"]);
    assert_refused(&module("", ""), MODULE, &["none of bpfpack_start"]);
    let other = r#"(module (memory (export "memory") 1)
        (func (export "bpfpack_version") (result i32) (i32.const 2))
        (func (export "bpfpack_alloc") (param i32) (result i32) (i32.const 8)))"#;
    assert_refused(other, MODULE, &["version 2", "uses version 1"]);
    let typed = module("", r#"(func (export "bpfpack_end"))"#);
    assert_refused(&typed, MODULE, &["bpfpack_end", "wrong type"]);
    let imports = r#"(import "bpfpack" "emit" (func (param i32)))"#;
    assert_refused(&module(imports, ""), MODULE, &["cannot run", "emit"]);
}

#[test]
fn all_missing_imports_are_named() {
    let imports = r#"(import "bpfpack" "later" (func)) (import "wasm_bpf" "x" (func))"#;
    assert_refused(&module(imports, ""), MODULE, &["bpfpack.later", "wasm_bpf.x"]);
}

#[test]
fn traps_name_the_function_and_the_cause() {
    assert_fails(&records("", "unreachable"), &["aborted"]);
    assert_fails(&records("", "(i32.div_u (i32.const 1) (i32.const 0))"), &["divided by zero"]);
    assert_fails(&records("", "(i32.load (i32.const -8))"), &["outside of its memory"]);
    assert_fails(&records("", "(i32.const 7)"), &["it returned 7"]);
    let endless =
        r#"(func $f (param i32) (result i32) (i32.add (i32.const 1) (call $f (local.get 0))))"#;
    let text = records("", "(call $f (i32.const 0))").replace(
        "(func (export \"bpfpack_records\")",
        &format!("{endless} (func (export \"bpfpack_records\")"),
    );
    assert_fails(&text, &["stack overflowed"]);
}

#[test]
fn what_was_emitted_before_is_shown() {
    let emit = "(call $emit (local.get 0) (i32.const 0) (i32.add (local.get 1) (i32.const 8)) (i32.const 8)) unreachable";
    let seen = assert_fails(&records(EMIT, emit), &["aborted"]);
    assert_eq!(seen, ["rb [1, 0, 0, 0, 2, 0, 0, 0]"]);
}

#[test]
fn it_says_why_it_failed() {
    let import = r#"(import "bpfpack" "fail" (func $fail (param i32 i32)))"#;
    let body = r#"(call $fail (i32.const 0) (i32.const 7)) (i32.const 0)"#;
    let text = records(import, body).replace(
        "(func (export \"bpfpack_records\")",
        "(data (i32.const 0) \"no\\1b disk\") (func (export \"bpfpack_records\")",
    );
    assert_fails(&text, &["it says: no\\x1b dis"]);
}

#[test]
fn places_outside_of_its_memory_are_errors() {
    let calls = [
        (EMIT, "(call $emit (i32.const 0) (i32.const 0) (i32.const -4) (i32.const 8))", "emit"),
        (EMIT, "(call $emit (i32.const 0) (i32.const 0) (i32.const 0) (i32.const -1))", "emit"),
        (
            EMIT,
            "(call $emit (i32.const 9) (i32.const 0) (i32.const 0) (i32.const 0))",
            "source 9 does not exist",
        ),
        (
            EMIT,
            "(call $emit (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0))",
            "is a table",
        ),
        (EMIT, "(call $emit (i32.const 0) (i32.const 3) (i32.const 0) (i32.const 0))", "not 3"),
        (TEXT, "(call $text (i32.const 196608) (i32.const 1))", "text"),
    ];
    for (import, call, word) in calls {
        assert_fails(&records(import, &format!("{call} (i32.const 0)")), &[word]);
    }
    let import =
        r#"(import "bpfpack" "argument" (func $ask (param i32 i32 i32 i32) (result i32)))"#;
    let call = "(call $ask (i32.const 0) (i32.const 4) (i32.const -1) (i32.const -1))";
    let text = records(import, call).replace(
        "(func (export \"bpfpack_records\")",
        "(data (i32.const 0) \"targ\") (func (export \"bpfpack_records\")",
    );
    assert_fails(&text, &["argument", "outside of the module"]);
}

#[test]
fn nonsense_from_alloc_is_an_error() {
    for (answer, word) in [
        ("0", "no memory"),
        ("12", "multiple of 8"),
        ("-8", "outside of the module"),
        ("196000", "outside of the module"),
    ] {
        let text = records("", "(i32.const 0)").replace(
            "(result i32) (i32.const 65536)",
            &format!("(result i32) (i32.const {answer})"),
        );
        let mut chain = started(&text);
        let (_, result) = run(&mut chain, &[(1, 2)]);
        let message = result.unwrap_err();
        assert!(message.contains("bpfpack_alloc") && message.contains(word), "{message}");
    }
}

#[test]
fn the_time_limit_ends_a_call() {
    let text = records("", "(loop $for_ever (br $for_ever)) (i32.const 0)");
    let limits = Limits { time: Duration::from_millis(50), ..limits() };
    let mut chain = start(&[("m.wasm", &text)], limits).unwrap();
    let (_, result) = run(&mut chain, &[(1, 2)]);
    let message = result.unwrap_err();
    assert!(
        message.contains("bpfpack_records") && message.contains("longer than 50ms"),
        "{message}"
    );
}

#[test]
fn short_calls_are_not_hit_by_the_limit() {
    let text = records("", "(i32.const 0)");
    let limits = Limits { time: Duration::from_millis(20), ..limits() };
    let mut chain = start(&[("m.wasm", &text)], limits).unwrap();
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(150) {
        assert_eq!(run(&mut chain, &[(1, 2)]).1, Ok(()));
    }
}

#[test]
fn the_memory_limit_is_kept() {
    let grow = "(if (i32.ne (memory.grow (i32.const 64)) (i32.const -1)) (then unreachable)) \
        (i32.load (i32.const 1048576))";
    let mut chain = started(&records("", grow));
    let (_, result) = run(&mut chain, &[(1, 2)]);
    let message = result.unwrap_err();
    assert!(message.contains("outside of its memory") && message.contains("limit"), "{message}");
    let large = module("", "").replace("\"memory\") 3", "\"memory\") 64");
    let (code, message) = refused(&large);
    assert!(code == MODULE && message.contains("m.wasm"), "{message}");
}

#[test]
fn too_much_in_one_call_is_an_error() {
    let text = "(loop $for_ever (call $text (i32.const 0) (i32.const 65536)) (br $for_ever)) (i32.const 0)";
    let seen = assert_fails(&records(TEXT, text), &["more than 64 MB"]);
    assert_eq!(seen.len(), 1024);
}

#[test]
fn sources_are_declared_at_the_start_only() {
    let import = r#"(import "bpfpack" "declare" (func $declare (param i32 i32) (result i32)))"#;
    let call = "(drop (call $declare (i32.const 0) (i32.const 0))) (i32.const 0)";
    assert_fails(&records(import, call), &["bpfpack_start"]);
    let at_start = module(
        import,
        r#"(func (export "bpfpack_start") (param i32 i32) (result i32)
        (call $declare (i32.const 0) (i32.const 2)))"#,
    );
    let (code, message) = refused(&at_start);
    assert!(code == MODULE_FAILED && message.contains("declare"), "{message}");
    assert!(message.contains("bpfpack_start"), "{message}");
}

#[test]
fn pieces_without_bytes_count_too() {
    let text =
        "(loop $for_ever (call $text (i32.const 0) (i32.const 0)) (br $for_ever)) (i32.const 0)";
    let seen = assert_fails(&records(TEXT, text), &["more than 64 MB"]);
    assert!(seen.len() <= 2 << 20, "{}", seen.len());
    // A row takes more memory than its bytes.
    let import = r#"(import "bpfpack" "rows" (func $rows (param i32 i32 i32)))"#;
    let rows = "(loop $for_ever (call $rows (i32.const 1) (i32.const 0) (i32.const 65536)) (br $for_ever)) (i32.const 0)";
    let seen = assert_fails(&records(import, rows), &["more than 64 MB"]);
    assert_eq!(seen.len(), (64 << 20) / (65536 / 16 * 64));
}

#[test]
fn what_is_shown_at_once_has_an_end() {
    /// An output that is much larger than its input.
    struct Large(usize);
    impl Next for Large {
        fn frame(&mut self, frame: Frame<'_>) -> Result<(), Failure> {
            self.0 += if matches!(frame, Frame::Text(..)) { 100 << 20 } else { 0 };
            Ok(())
        }
        fn waiting(&self) -> usize {
            self.0
        }
    }
    let text = "(call $text (i32.const 0) (i32.const 1))".repeat(4) + "(i32.const 0)";
    let mut chain = started(&records(TEXT, &text));
    let mut output = Large(0);
    super::record(&mut chain, None, &[0; 8], &mut output).unwrap();
    let failure = chain.flush(&mut output).unwrap_err();
    assert_eq!((failure.exit_code(), output.0), (MODULE_FAILED, 300 << 20));
    assert!(failure.message().contains("m.wasm"), "{}", failure.message());
}

#[test]
fn long_declarations_are_refused() {
    let import = r#"(import "bpfpack" "declare" (func $declare (param i32 i32) (result i32)))"#;
    let start = r#"(func (export "bpfpack_start") (param i32 i32) (result i32)
        (call $declare (i32.const 0) (i32.const 65537)))"#;
    assert_refused(&module(import, start), MODULE_FAILED, &["declare", "65537 bytes"]);
}

#[test]
fn a_failure_of_the_beginning_is_one_of_the_module() {
    let spins = module("", "(func $spin (loop $l (br $l))) (start $spin)");
    let limits = Limits { time: Duration::from_millis(50), ..limits() };
    let failure = start(&[("m.wasm", &spins)], limits).unwrap_err();
    assert_eq!(failure.exit_code(), MODULE_FAILED);
    assert!(failure.message().contains("longer than 50ms"), "{}", failure.message());
}
