// SPDX-License-Identifier: MIT
//! Hostile modules as text: calls of host functions with any numbers, traps, loops, recursion,
//! growth, floods of output, and modules that are large in every way.

use std::fmt::Write as _;

use super::super::random::Random;
use super::super::texts;

/// A host function: its module, its name, its parameters (`l` is 64 bits), and its result.
pub(super) type Function = (&'static str, &'static str, &'static str, &'static str);

/// Functions that post-processors import.
pub(super) const POST: [Function; 21] = [
    ("bpfpack", "emit", "iiii", ""),
    ("bpfpack", "rows", "iii", ""),
    ("bpfpack", "text", "ii", ""),
    ("bpfpack", "json", "ii", ""),
    ("bpfpack", "declare", "ii", "i"),
    ("bpfpack", "source", "ii", "i"),
    ("bpfpack", "member", "iiiii", "i"),
    ("bpfpack", "argument", "iiii", "i"),
    ("bpfpack", "parameter", "iiii", "i"),
    ("bpfpack", "symbol", "liii", "i"),
    ("bpfpack", "map", "ii", "i"),
    ("bpfpack", "map_lookup", "iii", "i"),
    ("bpfpack", "map_update", "iiil", "i"),
    ("bpfpack", "map_delete", "ii", "i"),
    ("bpfpack", "map_next", "iii", "i"),
    ("bpfpack", "every", "i", ""),
    ("bpfpack", "clock", "i", "l"),
    ("bpfpack", "log", "iii", ""),
    ("bpfpack", "stop", "i", ""),
    ("bpfpack", "fail", "ii", ""),
    ("env", "abort", "iiii", ""),
];

/// Functions that tracers import.
pub(super) const TRACER: [Function; 6] = [
    ("wasm_bpf", "wasm_load_bpf_object", "ii", "l"),
    ("wasm_bpf", "wasm_close_bpf_object", "l", "i"),
    ("wasm_bpf", "wasm_attach_bpf_program", "lii", "i"),
    ("wasm_bpf", "wasm_bpf_map_fd_by_name", "li", "i"),
    ("wasm_bpf", "wasm_bpf_map_operate", "iiiiil", "i"),
    ("wasm_bpf", "wasm_bpf_buffer_poll", "liiiiii", "i"),
];

/// Functions of WASI that all import.
pub(super) const WASI: [Function; 18] = [
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
    ("wasi_snapshot_preview1", "fd_prestat_dir_name", "iii", "i"),
    ("wasi_snapshot_preview1", "fd_readdir", "iiili", "i"),
    ("wasi_snapshot_preview1", "path_open", "iiiiillii", "i"),
    ("wasi_snapshot_preview1", "path_filestat_get", "iiiii", "i"),
    ("wasi_snapshot_preview1", "poll_oneoff", "iiii", "i"),
    ("wasi_snapshot_preview1", "random_get", "ii", "i"),
    ("wasi_snapshot_preview1", "proc_exit", "i", ""),
];

/// Exit codes of modules; none of them is of Rust's runtime.
pub(super) const CODES: [i32; 5] = [0, 1, 42, 77, 255];

/// The distance of texts in a module's memory, in bytes.
const PLACE: usize = 256;

/// Texts that host functions look up, and hostile ones.
fn data(random: &mut Random) -> (String, usize) {
    let mut all: Vec<Vec<u8>> = [
        "samples",
        "records",
        "table_to_replace",
        "histogram_to_replace",
        "pid",
        "comm",
        "kstack",
        "value.slots",
        "key.kind",
        "",
        r#"{"name":"p","members":{"pid":"u32","c":"char[9]"}}"#,
        r#"{"name":"t","value":{"slots":"u32[4]"},"histogram":"log2"}"#,
        r#"{"name":"t","key":{"pid":"u32"},"value":{"n":"u64"},"sort":"n"}"#,
        r#"{"name":"big","members":{"a":"u64[4294967295]","b":"char[2147483647]"}}"#,
        r#"{"name":"big","value":{"slots":"u32[1000000]"},"histogram":{"origin":-1,"step":0}}"#,
        r#"{"name":"","members":{}}"#,
        r#"[1, {"a": [null, 1e999]}]"#,
        "take_sample",
        "lo",
        "/",
        "/proc/self/mem",
        "../../etc/shadow",
        "wasm_net_tc",
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect();
    for _ in 0..6 {
        all.push(texts::bytes(random, PLACE));
        let name = serde_json::Value::from(texts::text(random));
        all.push(format!("{{\"name\":{name},\"members\":{{{name}:\"u32\"}}}}").into_bytes());
    }
    all.push([b"[".repeat(100), b"]".repeat(100)].concat());
    let count = all.len();
    let mut text = String::new();
    for (at, bytes) in all.iter().enumerate() {
        let escaped: String =
            bytes.iter().take(PLACE).map(|byte| format!("\\{byte:02x}")).collect();
        let _ = writeln!(text, "(data (i32.const {}) \"{escaped}\")", at * PLACE);
    }
    (text, count)
}

/// The address of a module's object.
pub(super) const OBJECT: usize = 1 << 16;

/// Generates functions that call others.
struct Calls<'r> {
    random: &'r mut Random,
    functions: Vec<Function>,
    texts: usize,
    pages: usize,
    /// Size of the object at [`OBJECT`] in bytes.
    object: usize,
    /// Whether most calls are invalid; otherwise only some are, so that the rest is reached.
    is_wild: bool,
}

impl Calls<'_> {
    fn number(&mut self) -> i64 {
        let end = (self.pages << 16) as i64;
        let most = if self.is_wild || self.random.one_in(30) { 12 } else { 5 };
        match self.random.below(most) {
            0..4 => (self.random.below(self.texts) * PLACE) as i64,
            4..6 => self.random.below(64) as i64,
            6 => end - self.random.below(16) as i64,
            7 => OBJECT as i64,
            8 => i64::from(self.random.edge() as i32),
            9 => -(self.random.below(32) as i64),
            10 => self.random.below(end as usize) as i64,
            _ => self.object as i64,
        }
    }

    fn call(&mut self, which: usize) -> String {
        let (_, _, parameters, result) = self.functions[which];
        let mut text = String::new();
        for ty in parameters.chars() {
            let number = self.number();
            let _ = match ty {
                // A handle of the module, or any number.
                'l' if self.random.one_in(2) => write!(text, "(global.get $handle)"),
                'l' => write!(text, "(i64.const {number})"),
                _ if self.random.one_in(12) => write!(text, "(global.get $found)"),
                _ => write!(text, "(i32.const {})", number as i32),
            };
        }
        match result {
            "" => format!("(call $f{which} {text})\n"),
            "l" => format!("(global.set $handle (call $f{which} {text}))\n"),
            _ => format!("(global.set $found (call $f{which} {text}))\n"),
        }
    }

    /// Generates a statement.
    fn statement(&mut self, depth: usize) -> String {
        let any = self.random.below(self.functions.len());
        let most = if self.is_wild { 30 } else { 150 };
        match self.random.below(most) {
            0 => "(unreachable)\n".to_owned(),
            1 => "(loop $l (br $l))\n".to_owned(),
            2 => "(call $deep (i64.const 1))\n".to_owned(),
            3 => {
                format!("(global.set $found (memory.grow (i32.const {})))\n", self.number() as i32)
            }
            4 => "(call $grow)\n".to_owned(),
            5 => format!(
                "(i32.store (i32.const {}) (i32.const {}))\n",
                self.number() as i32,
                self.number() as i32
            ),
            6 => format!(
                "(memory.fill (i32.const {}) (i32.const 97) (i32.const {}))\n",
                self.number() as i32,
                self.number() as i32
            ),
            7 => "(global.set $found (i32.div_s (i32.const 1) (global.get $zero)))\n".to_owned(),
            8 => format!("(call_indirect (type $nothing) (i32.const {}))\n", self.random.below(8)),
            9..14 if depth > 0 => {
                let times = 1u64 << self.random.below(20);
                let body = self.statement(depth - 1) + &self.statement(depth - 1);
                let counter = depth - 1;
                format!(
                    "(local.set $n{counter} (i64.const {times}))
                     (loop $again{depth} {body}
                       (local.set $n{counter} (i64.sub (local.get $n{counter}) (i64.const 1)))
                       (br_if $again{depth} (i64.ne (local.get $n{counter}) (i64.const 0))))\n"
                )
            }
            _ => self.call(any),
        }
    }

    fn body(&mut self) -> String {
        let count = self.random.below(10);
        let statements: String = (0..count).map(|_| self.statement(2)).collect();
        format!("(local $n0 i64) (local $n1 i64)\n{statements}")
    }
}

/// The beginning: imports, memory, a table, and functions that recurse and grow.
fn head(calls: &Calls<'_>, data: &str) -> String {
    let mut text = String::from("(module (type $nothing (func))\n");
    for (at, (from, name, parameters, result)) in calls.functions.iter().enumerate() {
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
    let _ = writeln!(
        text,
        "(memory (export \"memory\") {})
         (table (export \"__indirect_function_table\") 8 funcref)
         (elem (i32.const 1) $record $trap $never $other)
         (global $handle (mut i64) (i64.const 0)) (global $found (mut i32) (i32.const 0))
         (global $zero (mut i32) (i32.const 0))
         (func $record (param i32 i32 i32) (result i32) (i32.const 0))
         (func $trap (param i32 i32 i32) (result i32) (unreachable))
         (func $never (param i32 i32 i32) (result i32) (loop $l (br $l)) (i32.const 0))
         (func $other)
         (func $deep (param i64) (call $deep (i64.add (local.get 0) (i64.const 1))))
         (func $grow (loop $l
           (br_if 1 (i32.eq (memory.grow (i32.const 16)) (i32.const -1)))
           (memory.fill (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 1048576))
                        (i32.const 1) (i32.const 1048576))
           (br $l)))
         {data}",
        calls.pages
    );
    text
}

/// A post-processor that calls host functions with any numbers, in each of its functions.
pub(super) fn post(random: &mut Random) -> String {
    let (data, texts) = data(random);
    let pages = random.between(4, 32);
    let functions: Vec<Function> = POST.iter().chain(&WASI).copied().collect();
    let is_wild = random.one_in(3);
    let mut calls = Calls { random, functions, texts, pages, object: 0, is_wild };
    let mut text = head(&calls, &data);
    // Usually valid, so that the rest is reached.
    let alloc = match calls.random.below(6) {
        0 => format!("(i32.const {})", calls.number() as i32),
        1 => format!("{} (i32.const {OBJECT})", calls.statement(0)),
        _ => format!("(i32.const {OBJECT})"),
    };
    let version = if calls.random.one_in(20) { calls.statement(0) } else { String::new() };
    let _ = writeln!(
        text,
        "(func (export \"bpfpack_version\") (result i32) {version} (i32.const 1))
         (func (export \"bpfpack_alloc\") (param i32) (result i32) {alloc})"
    );
    if calls.random.one_in(10) {
        let body = calls.body();
        let _ = writeln!(text, "(func (export \"_initialize\") {body})");
    }
    for (name, parameters) in [
        ("start", "(param i32 i32)"),
        ("records", "(param i32 i32 i32 i64)"),
        ("sample", "(param i32 i32 i32 i64)"),
        ("tick", "(param i64)"),
        ("end", ""),
    ] {
        if calls.random.one_in(3) {
            continue;
        }
        let body = calls.body();
        let answer = if calls.random.one_in(8) { calls.number() as i32 } else { 0 };
        let _ = writeln!(
            text,
            "(func (export \"bpfpack_{name}\") {parameters} (result i32) {body} (i32.const {answer}))"
        );
    }
    text.push(')');
    text
}

/// A tracer that loads an object, and calls host functions with any numbers.
pub(super) fn tracer(random: &mut Random, object: &[u8], programs: &[String]) -> String {
    let (data, texts) = data(random);
    let pages = 2 + object.len().div_ceil(1 << 16) + random.below(16);
    let functions: Vec<Function> = TRACER.iter().chain(&WASI).copied().collect();
    let is_wild = random.one_in(3);
    let mut calls = Calls { random, functions, texts, pages, object: object.len(), is_wild };
    let mut text = head(&calls, &data);
    let bytes: String = object.iter().map(|byte| format!("\\{byte:02x}")).collect();
    let _ = writeln!(text, "(data (i32.const {OBJECT}) \"{bytes}\")");
    let mut body = String::from("(local $n0 i64) (local $n1 i64)\n");
    // Usually, the object is loaded and programs are attached.
    if !calls.random.one_in(8) {
        let _ = writeln!(
            body,
            "(global.set $handle (call $f0 (i32.const {OBJECT}) (i32.const {})))",
            object.len()
        );
        let place = (texts + 1) * PLACE;
        for (at, program) in programs.iter().take(8).enumerate() {
            let at = place + at * PLACE;
            let _ = writeln!(text, "(data (i32.const {at}) \"{program}\\00\")");
            let target = if calls.random.one_in(2) { 0 } else { calls.number() as i32 };
            let _ = writeln!(
                body,
                "(global.set $found (call $f2 (global.get $handle) (i32.const {at}) (i32.const {target})))"
            );
        }
    }
    for _ in 0..calls.random.below(16) {
        body.push_str(&calls.statement(2));
    }
    if calls.random.one_in(4) {
        let code = *calls.random.choose(&CODES);
        let _ = writeln!(body, "(call $f{} (i32.const {code}))", calls.functions.len() - 1);
    }
    let _ = writeln!(text, "(func (export \"_start\") {body}))");
    text
}

/// A tracer that attaches programs to the interface `lo`, and then loops forever.
pub(super) fn attaching(object: &[u8], programs: &[&str]) -> String {
    let bytes: String = object.iter().map(|byte| format!("\\{byte:02x}")).collect();
    let mut text = format!(
        "(module
         (import \"wasm_bpf\" \"wasm_load_bpf_object\" (func $load (param i32 i32) (result i64)))
         (import \"wasm_bpf\" \"wasm_attach_bpf_program\"
           (func $attach (param i64 i32 i32) (result i32)))
         (memory (export \"memory\") 64) (global $handle (mut i64) (i64.const 0))
         (data (i32.const {OBJECT}) \"{bytes}\") (data (i32.const 0) \"lo\\00\")
         (func (export \"_start\")
           (global.set $handle (call $load (i32.const {OBJECT}) (i32.const {})))\n",
        object.len()
    );
    let mut names = String::new();
    for (at, name) in programs.iter().enumerate() {
        let at = (at + 1) * PLACE;
        let _ = writeln!(names, "(data (i32.const {at}) \"{name}\\00\")");
        let _ = writeln!(
            text,
            "(drop (call $attach (global.get $handle) (i32.const {at}) (i32.const 0)))"
        );
    }
    text + "(loop $l (br $l)))" + &names + ")"
}

/// A post-processor that is large in one way.
pub(super) fn large(random: &mut Random) -> String {
    let count = 1usize << random.between(4, 16);
    let good = "(memory (export \"memory\") 4)
        (func (export \"bpfpack_version\") (result i32) (i32.const 1))
        (func (export \"bpfpack_alloc\") (param i32) (result i32) (i32.const 65536))
        (func (export \"bpfpack_end\") (result i32) (i32.const 0))";
    let many = |one: &dyn Fn(usize) -> String| (0..count).map(one).collect::<String>();
    let deep = |open: &str, inner: &str, close: &str, depth: usize| {
        format!("{}{inner}{}", open.repeat(depth), close.repeat(depth))
    };
    let more = match random.below(19) {
        0 => "(table 100000000 funcref)".to_owned(),
        1 => "(table 4294967295 externref)".to_owned(),
        2 => many(&|_| "(table 1000 funcref)".to_owned()),
        3 => many(&|at| format!("(func (export \"e{at}\"))")),
        4 => many(&|_| "(func (result i32) (i32.const 1))".to_owned()),
        5 => many(&|at| format!("(global (export \"g{at}\") (mut i64) (i64.const {at}))")),
        6 => format!(
            "(func {})",
            many(&|_| "(drop (i32.add (i32.const 1) (i32.const 2)))".to_owned())
        ),
        7 => format!("(func {})", many(&|_| "(local i64 i64 i64 i64)".to_owned())),
        8 => {
            format!("(func (param i32) (local.get 0) (br_table {} 0))", many(&|_| "0 ".to_owned()))
        }
        9 => format!("(func {})", deep("(block ", "", ")", count.min(1 << 11))),
        10 => format!(
            "(func (result i32) {})",
            deep("(i32.eqz ", "(i32.const 1)", ")", count.min(1 << 11))
        ),
        11 => format!(
            "(func (result i32) {} {})",
            "(i32.const 1)".repeat(count),
            "(i32.add)".repeat(count - 1)
        ),
        12 => many(&|at| format!("(data (i32.const {}) \"x\")", at % 1000)),
        13 => "(data (i32.const -1) \"x\")".to_owned(),
        14 => many(&|at| format!("(import \"m{at}\" \"f\" (func))")),
        15 => many(&|at| format!("(type (func (param {})))", "i32 ".repeat(at % 50))),
        16 => "(memory 65536)".to_owned(),
        17 => format!("(func $s (loop $l (br $l))) (start $s) {}", many(&|_| "(func)".to_owned())),
        _ => format!("(func (param {}))", "i64 ".repeat(count.min(1500))),
    };
    // Imports come first.
    format!("(module {more} {good})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_that_are_made_are_modules() {
        for case in 0..12 {
            let mut random = Random::new(1, "wat", case);
            let text = post(&mut random);
            assert!(wat::parse_str(&text).is_ok(), "{:?}", wat::parse_str(&text));
            let text = tracer(&mut random, b"object", &["program".to_owned()]);
            assert!(wat::parse_str(&text).is_ok(), "{:?}", wat::parse_str(&text));
            let text = attaching(b"object", &["a", "b"]);
            assert!(wat::parse_str(&text).is_ok(), "{:?}", wat::parse_str(&text));
            let text = large(&mut random);
            assert!(wat::parse_str(&text).is_ok(), "{:?}", wat::parse_str(&text));
        }
    }
}
