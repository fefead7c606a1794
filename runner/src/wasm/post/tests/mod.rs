// SPDX-License-Identifier: MIT
//! Tests with modules in text format, which run in the chain as in ecli, without a kernel.

mod failures;

use std::time::Duration;

use bpfpack_decode::{Layout, Member, Struct};
use bpfpack_frame::{Entry, Frame, Next, Reading, Records, Time};
use bpfpack_spec::fixtures::{counter_view, stream_of};
use bpfpack_spec::{Stream, View};

use super::*;
use crate::symbols::{Hurry, Patience, Setup, Symbols};
use crate::wasm::engine::Limits;

/// What was shown.
#[derive(Debug, Default)]
struct Seen(Vec<String>);

impl Next for Seen {
    fn frame(&mut self, frame: Frame<'_>) -> Result<(), Failure> {
        self.0.push(match frame {
            Frame::Records(Records { source, bytes, .. }) => {
                let record = |bytes: &&[u8]| format!("{} {bytes:?}", source.name);
                self.0.extend(bytes.iter().map(record));
                return Ok(());
            }
            Frame::Reading(reading) => {
                let entry = |entry: &Entry| format!("{:?}={:?}", entry.key(), entry.value());
                let entries: Vec<String> = reading.entries.iter().map(entry).collect();
                format!("{} {}", reading.source.name, entries.join(" "))
            }
            Frame::Text(_, text) => format!("text {}", String::from_utf8_lossy(text)),
            Frame::Json(_, json) => format!("json {}", String::from_utf8_lossy(json)),
        });
        Ok(())
    }

    fn waiting(&self) -> usize {
        0
    }
}

/// The common part of most modules: 3 pages of memory, of which the first is theirs.
const BASICS: &str = r#"
    (memory (export "memory") 3)
    (func (export "bpfpack_version") (result i32) (i32.const 1))
    (func (export "bpfpack_alloc") (param i32) (result i32) (i32.const 65536))
"#;

fn limits() -> Limits {
    Limits { memory: 1 << 20, time: Duration::from_secs(5) }
}

/// A buffer whose records are two numbers.
fn stream() -> Stream {
    let number = |size| Layout::Int { size, signed: false };
    let members = vec![Member::new("pid", 0, number(4)), Member::new("ret", 4, number(4))];
    stream_of(Struct { size: 8, members })
}

/// A map of counters.
fn view() -> View {
    View { index: 1, ..counter_view() }
}

/// Passes a record.
fn record(
    chain: &mut Chain,
    cpu: Option<u16>,
    bytes: &[u8],
    seen: &mut dyn Next,
) -> Result<(), Failure> {
    let (source, bytes) = (stream(), [bytes]);
    let mut records = Records::by_type(&source, Time::now(), cpu, &bytes);
    records.try_for_each(|records| chain.frame(Frame::Records(&records), seen))
}

/// Passes a reading.
fn sample(chain: &mut Chain, entries: &[Entry], seen: &mut Seen) {
    let (source, entries) = (Arc::new(view()), entries.to_vec());
    let reading = Reading::new(source, Time::now(), entries);
    chain.frame(Frame::Reading(Rc::new(reading)), seen).unwrap();
    chain.flush(seen).unwrap();
}

fn start(modules: &[(&str, &str)], limits: Limits) -> Result<Chain, Failure> {
    let engine = Engine::new(limits, 0, None)?;
    let compile = |(name, text): &(&str, &str)| {
        Ok(Compiled {
            name: (*name).to_owned(),
            module: engine.compile(name, text.as_bytes())?,
            parameters: vec![("least".to_owned(), "5".to_owned())],
        })
    };
    let modules = modules.iter().map(compile).collect::<Result<Vec<_>, Failure>>()?;
    let spec = Spec {
        sources: vec![
            bpfpack_spec::Source::Stream(Arc::new(stream())),
            bpfpack_spec::Source::View(Arc::new(view())),
        ],
    };
    let symbols = Symbols::new(Setup::none(), Patience::Records(Hurry::default()));
    let package = Package {
        name: "test_bpf",
        arguments: &[("targ".to_owned(), "7".to_owned())],
        spec: &spec,
        maps: Table::default(),
        cpus: 2,
        format: "text",
        fields: &[],
        is_quiet: true,
        symbols: Rc::new(RefCell::new(symbols)),
        environment: &[],
        directories: &[],
    };
    let mut chain = Chain::default();
    super::start(&engine, &modules, package, &mut chain)?;
    Ok(chain)
}

fn module(imports: &str, rest: &str) -> String {
    format!("(module {imports} {BASICS} {rest})")
}

fn started(text: &str) -> Chain {
    start(&[("m.wasm", text)], limits()).map_err(|failure| failure.message()).unwrap()
}

/// Passes records with a PID and a result each. Returns the output, and how the run ended.
fn run(chain: &mut Chain, records: &[(u32, u32)]) -> (Vec<String>, Result<(), String>) {
    let mut seen = Seen::default();
    let mut run = || -> Result<(), Failure> {
        for (pid, ret) in records {
            let bytes = [pid.to_le_bytes(), ret.to_le_bytes()].concat();
            record(chain, Some(1), &bytes, &mut seen)?;
        }
        chain.flush(&mut seen)?;
        chain.end(&mut seen)
    };
    let result = run().map_err(|failure| failure.message());
    (seen.0, result)
}

const EMIT: &str = r#"(import "bpfpack" "emit" (func $emit (param i32 i32 i32 i32)))"#;
const TEXT: &str = r#"(import "bpfpack" "text" (func $text (param i32 i32)))"#;

/// Passes on records whose second number is not 0.
fn filter() -> String {
    module(
        EMIT,
        r#"(func (export "bpfpack_records") (param $source i32) (param $at i32) (param $len i32)
              (param $time i64) (result i32)
            (local.set $len (i32.add (local.get $at) (local.get $len)))
            (loop $next
              (if (i32.load offset=12 (local.get $at))
                (then (call $emit (local.get $source) (i32.load16_u offset=4 (local.get $at))
                  (i32.add (local.get $at) (i32.const 8)) (i32.load (local.get $at)))))
              (local.set $at (i32.add (local.get $at) (i32.const 16)))
              (br_if $next (i32.lt_u (local.get $at) (local.get $len))))
            (i32.const 0))"#,
    )
}

/// Shows the bytes of each batch and row as text.
fn echo() -> String {
    module(
        TEXT,
        r#"(func $show (param i32 i32 i32 i64) (result i32)
            (call $text (local.get 1) (local.get 2)) (i32.const 0))
           (export "bpfpack_records" (func $show))
           (export "bpfpack_sample" (func $show))"#,
    )
}

#[test]
fn a_filter_lets_some_records_through() {
    let mut chain = started(&filter());
    let (seen, result) = run(&mut chain, &[(1, 0), (2, 5), (3, 0), (4, 9)]);
    assert_eq!(result, Ok(()));
    assert_eq!(seen, ["rb [2, 0, 0, 0, 5, 0, 0, 0]", "rb [4, 0, 0, 0, 9, 0, 0, 0]"]);
}

#[test]
fn many_records_come_in_batches_in_their_order() {
    let mut chain = started(&filter());
    let records: Vec<(u32, u32)> = (0..20_000).map(|at| (at, at % 2)).collect();
    let (seen, result) = run(&mut chain, &records);
    assert_eq!((result, seen.len()), (Ok(()), 10_000));
    let record = [19_999u32.to_le_bytes(), 1u32.to_le_bytes()].concat();
    assert_eq!(seen[9_999], format!("rb {record:?}"));
}

#[test]
fn a_batch_is_as_specified() {
    let mut chain = started(&echo());
    let mut seen = Seen::default();
    for bytes in [&[1, 2, 3, 4, 5, 6, 7, 8, 9][..], &[b'a'; 5]] {
        record(&mut chain, Some(3), bytes, &mut seen).unwrap();
    }
    chain.flush(&mut seen).unwrap();
    let expected = [
        &[9, 0, 0, 0, 0, 0, 3, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 0, 0, 0, 0, 0, 0][..],
        &[5, 0, 0, 0, 0, 0, 3, 0, b'a', b'a', b'a', b'a', b'a', 0, 0, 0],
    ]
    .concat();
    assert_eq!(seen.0, [format!("text {}", String::from_utf8(expected).unwrap())]);
}

#[test]
fn readings_come_as_rows() {
    let mut chain = started(&echo());
    let mut seen = Seen::default();
    let entry = |key: u8, count: u64| Entry::new(&[key], &count.to_le_bytes());
    sample(&mut chain, &[entry(65, 66), entry(67, 68)], &mut seen);
    sample(&mut chain, &[], &mut seen);
    let row = |key: char, count: char| format!("{key}{}{count}{}", "\0".repeat(7), "\0".repeat(7));
    assert_eq!(seen.0, [format!("text {}{}", row('A', 'B'), row('C', 'D')), "text ".to_owned()]);
    // A module without the function passes them on.
    let mut chain = started(&filter());
    seen.0.clear();
    sample(&mut chain, &[entry(65, 1)], &mut seen);
    assert_eq!(seen.0, ["counts [65]=[1, 0, 0, 0, 0, 0, 0, 0]"]);
}

#[test]
fn what_one_lets_through_the_next_one_sees() {
    let mut chain = start(&[("a", &filter()), ("b", &echo())], limits()).unwrap();
    let (seen, result) = run(&mut chain, &[(65, 0), (66, 7)]);
    assert_eq!(result, Ok(()));
    // The CPU is no longer known.
    assert_eq!(seen, ["text \u{8}\0\0\0\0\0\u{fffd}\u{fffd}B\0\0\0\u{7}\0\0\0"]);
}

#[test]
fn a_module_makes_sources_of_its_own() {
    let declare = r#"
        (import "bpfpack" "declare" (func $declare (param i32 i32) (result i32)))
        (import "bpfpack" "rows" (func $rows (param i32 i32 i32)))
        (import "bpfpack" "json" (func $json (param i32 i32)))"#;
    let rest = r#"
        (data (i32.const 0) "{\"name\":\"p\",\"members\":{\"pid\":\"u32\"}}")
        (data (i32.const 64) "{\"name\":\"t\",\"key\":{\"pid\":\"u32\"},\"value\":{\"n\":\"u8\"}}")
        (data (i32.const 256) " { \"a\" : 1 } ")
        (data (i32.const 512) "\01\02\03\04\05\06\07\08\09\0a\0b\0c\0d\0e\0f\10")
        (global $p (mut i32) (i32.const 0))
        (global $t (mut i32) (i32.const 0))
        (func (export "bpfpack_start") (param i32 i32) (result i32)
            (global.set $p (call $declare (i32.const 0) (i32.const 36)))
            (global.set $t (call $declare (i32.const 64) (i32.const 51)))
            (i32.const 0))
        (func (export "bpfpack_end") (result i32)
            (call $emit (global.get $p) (i32.const 0) (i32.const 512) (i32.const 4))
            (call $rows (global.get $t) (i32.const 512) (i32.const 16))
            (call $json (i32.const 256) (i32.const 13))
            (i32.const 1))"#;
    let mut chain = started(&module(&format!("{declare}{EMIT}"), rest));
    let declared = chain.sources();
    let names: Vec<_> = declared.iter().map(|source| (source.index(), source.name())).collect();
    assert_eq!(names, [(2, "p"), (3, "t")]);
    assert!(matches!(
        declared[..],
        [bpfpack_spec::Source::Stream(_), bpfpack_spec::Source::View(_)]
    ));
    let (seen, result) = run(&mut chain, &[]);
    assert_eq!(result, Ok(()));
    assert_eq!(seen, ["p [1, 2, 3, 4]", "t [1, 2, 3, 4]=[9]", "json {\"a\":1}"]);
    assert_eq!(chain.stopped(), Some(0));
}

/// A module that calls a function at its start and shows the answer as text.
fn asks(imports: &str, data: &str, call: &str, answer: &str) -> String {
    module(
        &format!("{TEXT}{imports}"),
        &format!(
            r#"(data (i32.const 0) "{data}") (global $len (mut i32) (i32.const 0))
            (func (export "bpfpack_start") (param i32 i32) (result i32)
                (global.set $len {call}) (i32.const 0))
            (func (export "bpfpack_end") (result i32)
                (call $text (i32.const 1024) {answer}) (i32.const 0))"#
        ),
    )
}

fn answer(imports: &str, data: &str, call: &str, answer: &str) -> Vec<String> {
    let (seen, result) = run(&mut started(&asks(imports, data, call, answer)), &[]);
    assert_eq!(result, Ok(()));
    seen
}

#[test]
fn arguments_and_parameters_are_told() {
    let import = |name: &str| {
        format!(r#"(import "bpfpack" "{name}" (func $ask (param i32 i32 i32 i32) (result i32)))"#)
    };
    let ask = |len: u32| {
        format!("(call $ask (i32.const 0) (i32.const {len}) (i32.const 1024) (i32.const 8))")
    };
    let len = "(global.get $len)";
    assert_eq!(answer(&import("argument"), "targ", &ask(4), len), ["text 7"]);
    assert_eq!(answer(&import("parameter"), "least", &ask(5), len), ["text 5"]);
    let none =
        answer(&import("parameter"), "most", &ask(4), "(i32.add (global.get $len) (i32.const 1))");
    assert_eq!(none, ["text "]);
}

#[test]
fn members_are_found() {
    let import =
        r#"(import "bpfpack" "member" (func $ask (param i32 i32 i32 i32 i32) (result i32)))"#;
    let ask = |source: u32, len: u32| {
        format!(
            "(call $ask (i32.const {source}) (i32.const 0) (i32.const 0) (i32.const {len}) \
             (i32.const 1024))"
        )
    };
    let place = |seen: Vec<String>| seen[0].bytes().skip(5).step_by(4).collect::<Vec<u8>>();
    let found = place(answer(import, "ret", &ask(0, 3), "(i32.const 24)"));
    assert_eq!(found, [4, 4, 1, 1, 4, 0]);
    let found = place(answer(import, "value", &ask(1, 5), "(i32.const 24)"));
    assert_eq!(found, [8, 8, 1, 1, 8, 0]);
}

#[test]
fn the_description_is_json() {
    let text = module(
        TEXT,
        r#"(func (export "bpfpack_start") (param i32 i32) (result i32)
            (call $text (local.get 0) (local.get 1)) (i32.const 0))"#,
    );
    let mut chain = started(&text);
    let mut seen = Seen::default();
    chain.begin(&mut seen).unwrap();
    let text = seen.0[0].strip_prefix("text ").unwrap();
    let json: serde_json::Value = serde_json::from_str(text).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&json).unwrap());
}

#[test]
fn it_is_called_as_often_as_it_asks() {
    let imports = format!(r#"{TEXT}(import "bpfpack" "every" (func $every (param i32)))"#);
    let text = module(
        &imports,
        r#"(func (export "bpfpack_start") (param i32 i32) (result i32)
            (call $every (i32.const 10)) (i32.const 0))
           (func (export "bpfpack_tick") (param i64) (result i32)
            (call $text (i32.const 0) (i32.const 1)) (call $every (i32.const 0)) (i32.const 0))"#,
    );
    let mut chain = started(&text);
    let mut seen = Seen::default();
    chain.tick(&mut seen).unwrap();
    assert_eq!(seen.0.len(), 0, "too early");
    std::thread::sleep(Duration::from_millis(12));
    chain.tick(&mut seen).unwrap();
    assert_eq!((seen.0.len(), chain.next_tick()), (1, None));
}

#[test]
fn it_ends_the_run_with_a_code() {
    let imports = r#"(import "bpfpack" "stop" (func $stop (param i32)))"#;
    let text = module(
        imports,
        r#"(func (export "bpfpack_records") (param i32 i32 i32 i64) (result i32)
            (call $stop (i32.const 42)) (i32.const 1))"#,
    );
    let mut chain = started(&text);
    assert_eq!(chain.stopped(), None);
    let (_, result) = run(&mut chain, &[(1, 2)]);
    assert_eq!((result, chain.stopped()), (Ok(()), Some(42)));
}

/// What a libc does if a program prints.
fn prints(text: &str, rest: &str) -> String {
    let imports = r#"(import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))"#;
    let len = text.len() - text.matches("\\0a").count() * 2;
    module(
        imports,
        &format!(
            r#"(data (i32.const 64) "{text}")
            (func $print (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const {len}))
                (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
            (func (export "bpfpack_records") (param i32 i32 i32 i64) (result i32) (call $print) {rest} (i32.const 0))"#
        ),
    )
}

#[test]
fn what_it_prints_is_text_by_lines() {
    let mut chain = started(&prints("a\\0ab", ""));
    let mut seen = Seen::default();
    for _ in 0..2 {
        record(&mut chain, None, &[1; 8], &mut seen).unwrap();
        chain.flush(&mut seen).unwrap();
    }
    assert_eq!(seen.0, ["text a\n", "text ba\n"]);
    chain.end(&mut seen).unwrap();
    assert_eq!(seen.0[2..], ["text b"]);
}

#[test]
fn it_may_end_itself() {
    let mut chain = started(&prints("a", "(call $exit (i32.const 0))"));
    let (seen, result) = run(&mut chain, &[(1, 2)]);
    assert_eq!((seen, result, chain.stopped()), (vec!["text a".to_owned()], Ok(()), Some(0)));
    // It is not called any more.
    assert_eq!(run(&mut chain, &[(1, 2)]), (Vec::new(), Ok(())));
    let mut chain = started(&prints("a", "(call $exit (i32.const 3))"));
    let (seen, result) = run(&mut chain, &[(1, 2)]);
    let message = result.unwrap_err();
    assert!(message.contains("bpfpack_records") && message.contains("code 3"), "{message}");
    assert_eq!(seen, ["text a"]);
}

#[test]
fn what_is_said_at_the_start_is_shown_before_all_else() {
    let rest = r#"(func (export "bpfpack_start") (param i32 i32) (result i32)
        (call $text (i32.const 0) (i32.const 1)) (i32.const 1))"#;
    let mut chain = started(&module(TEXT, rest));
    let mut seen = Seen::default();
    chain.begin(&mut seen).unwrap();
    assert_eq!((seen.0, chain.stopped()), (vec!["text \0".to_owned()], Some(0)));
}

#[test]
fn without_a_function_no_time_comes() {
    let import = r#"(import "bpfpack" "every" (func $every (param i32)))"#;
    let rest = r#"(func (export "bpfpack_start") (param i32 i32) (result i32)
        (call $every (i32.const 10)) (i32.const 0))"#;
    assert_eq!(started(&module(import, rest)).next_tick(), None);
}
