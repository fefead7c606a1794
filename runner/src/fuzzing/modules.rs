// SPDX-License-Identifier: MIT
//! Any bytes as a module, and modules that call host functions with any numbers and return any.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bpfpack_decode::{Edges, Layout, Member, Slots, Struct};
use bpfpack_frame::{Chain, Entry, Frame, Next, Reading, Records, Time};
use bpfpack_spec::{BufferType, ReadFrom, RecordType, Shape, Source, Spec, Stream, View};
use rustix::event::{EventfdFlags, eventfd};

use crate::failure::Failure;
use crate::symbols::{Hurry, Patience, Setup, Symbols};
use crate::sys::Signals;
use crate::talk::Talk;
use crate::wasm::engine::{Engine, Limits};
use crate::wasm::post::{self, Compiled, Package, Table};
use crate::wasm::tracer::{self, TracerPlan};

/// The limit for a module's memory; its output per call is checked against it.
const MEMORY: usize = 1 << 20;

/// A host function: its module, its name, its parameters (`l` is 64 bits), and its result, which is
/// dropped.
type Function = (&'static str, &'static str, &'static str, &'static str);

/// Functions that post-processors may import, except those that print or inspect the machine.
const POST: [Function; 19] = [
    ("bpfpack", "emit", "iiii", ""),
    ("bpfpack", "rows", "iii", ""),
    ("bpfpack", "text", "ii", ""),
    ("bpfpack", "json", "ii", ""),
    ("bpfpack", "declare", "ii", "i"),
    ("bpfpack", "source", "ii", "i"),
    ("bpfpack", "member", "iiiii", "i"),
    ("bpfpack", "argument", "iiii", "i"),
    ("bpfpack", "parameter", "iiii", "i"),
    ("bpfpack", "map", "ii", "i"),
    ("bpfpack", "map_lookup", "iii", "i"),
    ("bpfpack", "map_update", "iiil", "i"),
    ("bpfpack", "map_delete", "ii", "i"),
    ("bpfpack", "map_next", "iii", "i"),
    ("bpfpack", "every", "i", ""),
    ("bpfpack", "clock", "i", "l"),
    ("bpfpack", "stop", "i", ""),
    ("bpfpack", "fail", "ii", ""),
    ("env", "abort", "iiii", ""),
];

/// Functions that tracers may import.
const TRACER: [Function; 6] = [
    ("wasm_bpf", "wasm_load_bpf_object", "ii", "l"),
    ("wasm_bpf", "wasm_close_bpf_object", "l", "i"),
    ("wasm_bpf", "wasm_attach_bpf_program", "lii", "i"),
    ("wasm_bpf", "wasm_bpf_map_fd_by_name", "li", "i"),
    ("wasm_bpf", "wasm_bpf_map_operate", "iiiiil", "i"),
    ("wasm_bpf", "wasm_bpf_buffer_poll", "liiiiii", "i"),
];

/// Functions of WASI that all may import and that have a pointer among their parameters.
const WASI: [Function; 18] = [
    ("wasi_snapshot_preview1", "args_get", "ii", "i"),
    ("wasi_snapshot_preview1", "args_sizes_get", "ii", "i"),
    ("wasi_snapshot_preview1", "environ_get", "ii", "i"),
    ("wasi_snapshot_preview1", "environ_sizes_get", "ii", "i"),
    ("wasi_snapshot_preview1", "clock_time_get", "ili", "i"),
    ("wasi_snapshot_preview1", "fd_write", "iiii", "i"),
    ("wasi_snapshot_preview1", "fd_read", "iiii", "i"),
    ("wasi_snapshot_preview1", "fd_pread", "iiili", "i"),
    ("wasi_snapshot_preview1", "fd_seek", "ilii", "i"),
    ("wasi_snapshot_preview1", "fd_close", "i", "i"),
    ("wasi_snapshot_preview1", "fd_fdstat_get", "ii", "i"),
    ("wasi_snapshot_preview1", "fd_filestat_get", "ii", "i"),
    ("wasi_snapshot_preview1", "fd_prestat_dir_name", "iii", "i"),
    ("wasi_snapshot_preview1", "fd_readdir", "iiili", "i"),
    ("wasi_snapshot_preview1", "path_open", "iiiiillii", "i"),
    ("wasi_snapshot_preview1", "path_filestat_get", "iiiii", "i"),
    ("wasi_snapshot_preview1", "poll_oneoff", "iiii", "i"),
    ("wasi_snapshot_preview1", "random_get", "ii", "i"),
];

/// Texts that host functions look up, at the beginning of the memory.
const TEXTS: &str = r#"rb ret counts value key targ least {\"name\":\"p\",\"members\":{\"pid\":\"u32\",\"c\":\"char[9]\"}} {\"name\":\"t\",\"value\":{\"slots\":\"u32[4]\"},\"histogram\":\"log2\"} [1, {}]"#;

/// Checks that no output of a module is longer than it can be.
struct Checked;

impl Next for Checked {
    fn frame(&mut self, frame: Frame<'_>) -> Result<(), Failure> {
        match frame {
            Frame::Records(records) => {
                assert!(records.bytes.iter().all(|bytes| bytes.len() <= MEMORY));
            }
            Frame::Reading(reading) => {
                let view = &reading.source;
                let key = view.key.as_ref().map_or(0, Layout::size);
                for entry in &reading.entries {
                    assert_eq!((entry.key().len(), entry.value().len()), (key, view.value.size()));
                }
            }
            Frame::Text(_, text) => assert!(text.len() <= MEMORY),
            Frame::Json(_, json) => {
                assert!(serde_json::from_slice::<serde_json::Value>(json).is_ok());
            }
        }
        Ok(())
    }

    fn waiting(&self) -> usize {
        0
    }
}

/// Runs the input as a module, and as a list of calls that a module makes.
///
/// # Panics
/// Panics if the output of a module is not valid.
pub fn run_modules(input: &[u8]) {
    thread_local! {
        static ENGINE: RefCell<Option<Engine>> = const { RefCell::new(None) };
    }
    ENGINE.with_borrow_mut(|engine| {
        let limits = Limits { memory: MEMORY, time: Duration::from_millis(100) };
        let engine = engine.get_or_insert_with(|| {
            Engine::new(limits, 0, None).unwrap_or_else(|failure| panic!("{}", failure.message()))
        });
        let Some((how, rest)) = input.split_first() else { return };
        // Most inputs fail.
        let _ = match how % 4 {
            0 => run(engine, rest),
            1 => run(engine, module(rest, &POST).as_bytes()),
            2 => run_tracer(engine, rest),
            _ => run_tracer(engine, module(rest, &TRACER).as_bytes()),
        };
    });
}

fn run(engine: &Engine, module: &[u8]) -> Result<(), Failure> {
    let module = engine.compile("fuzz.wasm", module)?;
    let parameters = vec![("least".to_owned(), "5".to_owned())];
    let compiled = Compiled { name: "fuzz.wasm".to_owned(), module, parameters };
    let spec = spec();
    let symbols = Symbols::new(Setup::none(), Patience::Records(Hurry::default()));
    let package = Package {
        name: "fuzz_bpf",
        arguments: &[("targ".to_owned(), "7".to_owned())],
        spec: &spec,
        maps: Table::default(),
        cpus: 2,
        format: "json",
        fields: &[],
        is_quiet: true,
        symbols: Rc::new(RefCell::new(symbols)),
        environment: &[],
        directories: &[],
    };
    let mut chain = Chain::default();
    post::start(engine, &[compiled], package, &mut chain)?;
    let out = &mut Checked;
    let streams: Vec<_> = spec.streams().collect();
    for (at, size) in [1usize, 4, 8, 9, 64, 70_000].into_iter().enumerate() {
        let bytes = vec![at as u8; size];
        let cpu = u16::try_from(at).ok();
        for records in Records::by_type(streams[at % 2], Time::now(), cpu, &[&bytes, &bytes]) {
            chain.frame(Frame::Records(&records), out)?;
        }
    }
    chain.flush(out)?;
    let entry = |key: u32| Entry::new(&key.to_le_bytes(), &[1; 32]);
    for entries in [vec![entry(1), entry(2)], Vec::new()] {
        let Some(source) = spec.views().next().cloned() else { break };
        let reading = Reading::new(source, Time::now(), entries);
        chain.frame(Frame::Reading(Rc::new(reading)), out)?;
    }
    chain.tick(out)?;
    chain.end(out)
}

/// Runs a module that loads its own tracer. A signal has arrived already, so it waits for nothing.
fn run_tracer(engine: &Engine, module: &[u8]) -> Result<(), Failure> {
    let module = engine.compile("fuzz.wasm", module)?;
    let signal = eventfd(1, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC);
    let Ok(signal) = signal else { return Ok(()) };
    let plan = TracerPlan {
        arguments: vec!["fuzz.wasm".to_owned(), "--all".to_owned()],
        output: Some("/dev/null".into()),
        environment: vec![("A".to_owned(), "b".to_owned())],
        directories: vec!["/proc/self/fdinfo".into()],
        as_is: false,
        max_memory: None,
        rules: Vec::new(),
    };
    tracer::run(
        engine,
        &module,
        "fuzz.wasm",
        &plan,
        &Signals::of_descriptor(signal),
        &Talk::silent(),
    )?;
    Ok(())
}

/// Two buffers, one with two record types, and a map of histograms.
fn spec() -> Spec {
    let int = |size| Layout::Int { size, signed: false };
    let ty = |name: &str, size| {
        let members = vec![Member::new("pid", 0, int(4)), Member::new("ret", 4, int(4))];
        RecordType::new(name, Layout::Struct(Struct { size, members }), None)
    };
    let stream = |index, name: &str, records| {
        let (name, buffer) = (name.to_owned(), BufferType::Ring);
        Source::Stream(Arc::new(Stream { index, name, records, tag: None, buffer }))
    };
    let slots = Layout::Array { element: Box::new(int(8)), stride: 8, len: 4 };
    let value = Layout::Struct(Struct { size: 32, members: vec![Member::new("slots", 0, slots)] });
    let view = View {
        index: 2,
        name: "counts".to_owned(),
        from: ReadFrom::Stage,
        key: Some(int(4)),
        counters: value.counters(&[]),
        shape: Shape::Histogram {
            slots: Slots { offset: 0, size: 8, len: 4 },
            edges: Edges::Log2,
            unit: "usecs".to_owned(),
        },
        value,
        interval: Duration::from_secs(1),
        differences: false,
        leave_out_zeros: false,
        sort: None,
        stacks: Vec::new(),
        average: None,
        per_cpu: false,
    };
    let sources = vec![
        stream(0, "rb", vec![ty("a", 8)]),
        stream(1, "rb2", vec![ty("a", 8), ty("b", 64)]),
        Source::View(Arc::new(view)),
    ];
    Spec { sources }
}

/// Bytes that are consumed as numbers.
struct Numbers<'a>(&'a [u8]);

impl Numbers<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// A number: small, at a limit, or any.
    fn number(&mut self) -> i64 {
        let Some(byte) = self.byte() else { return 0 };
        match byte {
            0..=199 => i64::from(byte),
            200..=219 => (1 << 16) * i64::from(byte - 200),
            220..=239 => -i64::from(byte - 219),
            240..=247 => i64::from(i32::MIN) + i64::from(byte - 240),
            _ => (0..4).fold(0, |number, _| number << 8 | i64::from(self.byte().unwrap_or(0))),
        }
    }
}

/// A module that calls host functions as the bytes specify, in each of its functions.
fn module(input: &[u8], own: &[Function]) -> String {
    let mut numbers = Numbers(input);
    let mut text = String::from("(module\n");
    let functions: Vec<Function> = own.iter().chain(&WASI).copied().collect();
    for (at, (from, name, parameters, result)) in functions.iter().enumerate() {
        let types: String =
            parameters.chars().map(|ty| if ty == 'l' { " i64" } else { " i32" }).collect();
        let result = match *result {
            "" => "",
            "l" => "(result i64)",
            _ => "(result i32)",
        };
        let _ =
            writeln!(text, "(import \"{from}\" \"{name}\" (func $f{at} (param{types}) {result}))");
    }
    let (pages, alloc) = (numbers.number().rem_euclid(20), numbers.number());
    // Usually valid, so that the rest is reached.
    let (pages, alloc) = (pages.max(3), if alloc < 200 { 65536 } else { alloc });
    let _ = writeln!(
        text,
        "(memory (export \"memory\") {pages}) (data (i32.const 0) \"{TEXTS}\")
         (func $record (param i32 i32 i32) (result i32) (i32.const 0))
         (table (export \"__indirect_function_table\") 4 funcref) (elem (i32.const 1) $record)"
    );
    if own.len() == TRACER.len() {
        let _ = writeln!(text, "(func (export \"_start\")");
        calls(&mut numbers, &functions, &mut text);
        text.push_str("))");
        return text;
    }
    let _ = writeln!(
        text,
        "(func (export \"bpfpack_version\") (result i32) (i32.const 1))
         (func (export \"bpfpack_alloc\") (param i32) (result i32) (i32.const {}))",
        alloc as i32
    );
    for (name, parameters) in [
        ("start", "i32 i32"),
        ("records", "i32 i32 i32 i64"),
        ("sample", "i32 i32 i32 i64"),
        ("tick", "i64"),
        ("end", ""),
    ] {
        let head = format!("(func (export \"bpfpack_{name}\") (param {parameters}) (result i32)\n");
        text.push_str(&head);
        calls(&mut numbers, &functions, &mut text);
        let answer = numbers.number();
        let _ = writeln!(text, "(i32.const {}))", if answer < 200 { 0 } else { answer as i32 });
    }
    text.push(')');
    text
}

fn calls(numbers: &mut Numbers<'_>, functions: &[Function], text: &mut String) {
    let count = numbers.number().rem_euclid(12);
    (0..count).for_each(|_| call(numbers, functions, text));
}

fn call(numbers: &mut Numbers<'_>, functions: &[Function], text: &mut String) {
    let which = numbers.number().rem_euclid(functions.len() as i64 + 2) as usize;
    let Some((_, _, parameters, result)) = functions.get(which) else {
        let _ = match which == functions.len() {
            true => writeln!(text, "(drop (memory.grow (i32.const {})))", numbers.number() as i32),
            false => writeln!(
                text,
                "(i32.store (i32.const {}) (i32.const {}))",
                numbers.number() & 0xffff,
                numbers.number() as i32
            ),
        };
        return;
    };
    let mut arguments = String::new();
    for ty in parameters.chars() {
        let number = numbers.number();
        let _ = match ty {
            'l' => write!(arguments, "(i64.const {number})"),
            _ => write!(arguments, "(i32.const {})", number as i32),
        };
    }
    let _ = match *result {
        "" => writeln!(text, "(call $f{which} {arguments})"),
        _ => writeln!(text, "(drop (call $f{which} {arguments}))"),
    };
}
