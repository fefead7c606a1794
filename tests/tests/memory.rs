// SPDX-License-Identifier: MIT
//! The memory of `ecli run` is proportional to the file that it runs, whatever it contains: less
//! than four times its size, plus 20 MB. (This does not hold for compiled Wasm modules.)
#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use bpfpack_schemas::package::{FREE_UNPACKED, MAX_DEPTH, MAX_TEXT, MAX_VALUES, WasmModule};
use bpfpack_schemas::{Meta, Package};
use bpfpack_tests::wait::{ended, outcome};
use bpfpack_tests::{Outcome, json, pack, program, scratch};
use serde_json::{Value, json};

/// Bytes that ecli may take in addition to four times the size of the file.
const FREE: u64 = 20_000_000;

/// The part of them for the file, if ecli itself takes more, as a debug build does.
const FREE_FOR_FILE: u64 = 13_500_000;

/// The approximate number of bytes to write at once.
const BLOCK: usize = 64 << 10;

/// Accepted, or refused for lack of permissions, which is checked after the package was read.
const TAKEN: &[i32] = &[0, 6];
const REFUSED: &[i32] = &[3];
const NO_MODULE: &[i32] = &[9];

/// The content of a file: pieces, and how often each is repeated.
type Pieces = Vec<(Vec<u8>, usize)>;

/// A name, a file, the allowed exit codes, and a text in the message.
type Case = (&'static str, Pieces, &'static [i32], &'static str);

/// Runs a file. Returns the maximum memory of ecli, and whether its exit code and message are as
/// expected.
fn run(file: &Path, stdin: Stdio, codes: &[i32], words: &str) -> (u64, Result<(), String>) {
    let dir = scratch();
    let result = dir.path().join("peak");
    let mut command = Command::new(env!("CARGO_BIN_EXE_peak"));
    command.arg(&result).arg(program("ecli")).stdin(stdin);
    command.args(["run", "-q", "--duration", "1ms", "--wasm-cache", "none"]).arg(file);
    let Outcome { code, stderr, .. } = outcome(&mut command);
    let said: String = stderr.chars().take(300).collect();
    let is_so = codes.contains(&code) && stderr.contains(words);
    let what = || format!("it ends with {code}, not {codes:?}; no `{words}`: {said}");
    let peak = fs::read_to_string(result).unwrap().parse().unwrap();
    (peak, is_so.then_some(()).ok_or_else(what))
}

/// Writes a file. Returns its size.
fn write(path: &Path, pieces: &[(Vec<u8>, usize)]) -> u64 {
    let mut file = File::create(path).unwrap();
    for (piece, times) in pieces {
        let in_block = (BLOCK / piece.len()).clamp(1, *times);
        let block = piece.repeat(in_block);
        for _ in 0..times / in_block {
            file.write_all(&block).unwrap();
        }
        file.write_all(&block[..times % in_block * piece.len()]).unwrap();
    }
    file.metadata().unwrap().len()
}

/// A valid package.
fn good() -> Value {
    let dir = scratch();
    json(Path::new(&pack("examples/hardirqs/hardirqs.bpf.c", &dir)))
}

/// A valid package with pieces in place of the value that `change` sets to `@@`.
fn with(pieces: &[(&str, usize)], change: impl FnOnce(&mut Value)) -> Pieces {
    let mut package = good();
    change(&mut package);
    let text = package.to_string();
    let (before, after) = text.split_once("\"@@\"").unwrap();
    let pieces = [&[(before, 1)], pieces, &[(after, 1)]].concat();
    pieces.into_iter().map(|(piece, times)| (piece.as_bytes().to_vec(), times)).collect()
}

/// A valid package with an array of these values under an unknown key.
fn with_array(value: &str, times: usize) -> Pieces {
    let more = format!(",{value}");
    with(&[("[0", 1), (&more, times), ("]", 1)], |p| p["x"] = json!("@@"))
}

/// A valid package with a string of these pieces under an unknown key.
fn with_string(begin: &str, piece: &str, times: usize) -> Pieces {
    let begin = format!("\"{begin}");
    with(&[(&begin, 1), (piece, times), ("\"", 1)], |p| p["x"] = json!("@@"))
}

/// A package with any bytes.
fn packed(object: Vec<u8>, wasm: Vec<WasmModule>, meta: &Value) -> Value {
    let meta: Meta = serde_json::from_value(meta.clone()).unwrap();
    let variants = Vec::new();
    let package = Package { object, variants, meta, wasm, other: Default::default() };
    serde_json::from_str(&package.encode()).unwrap()
}

fn text(package: &Value) -> Pieces {
    vec![(package.to_string().into_bytes(), 1)]
}

/// The number of keys and values in a value.
fn count(value: &Value) -> usize {
    match value {
        Value::Array(array) => 1 + array.iter().map(count).sum::<usize>(),
        Value::Object(object) => 1 + object.values().map(|value| 1 + count(value)).sum::<usize>(),
        _ => 1,
    }
}

/// The largest accepted package: an object of the maximum size, which is copied, and the maximum
/// number of values, as objects with one key, which take most memory.
fn largest() -> Value {
    let dir = scratch();
    let package = json(Path::new(&pack("tests/fixtures/flood.bpf.c", &dir)));
    let mut object = fs::read(dir.path().join("flood.bpf.o")).unwrap();
    object.resize(FREE_UNPACKED as usize / 3, 0);
    let mut package = packed(object, Vec::new(), &package["meta"]);
    let nested = |depth: usize| (0..depth).fold(json!(0), |inside, _| json!({"": inside}));
    let deepest = nested(MAX_DEPTH - 2);
    let times = (MAX_VALUES - count(&package) - 2) / count(&deepest);
    package["x"] = vec![deepest; times].into();
    package
}

/// A binary module with these sections: ID, number of items, item.
fn module(sections: &[(u8, usize, &[u8])]) -> Pieces {
    // Always five bytes, however small the number is.
    let leb = |number: usize| -> Vec<u8> {
        let bits = |at: usize| (number >> (7 * at)) as u8 & 0x7f;
        (0..5).map(|at| bits(at) | if at < 4 { 0x80 } else { 0 }).collect()
    };
    let mut pieces = vec![(b"\0asm\x01\0\0\0".to_vec(), 1)];
    for (id, count, item) in sections {
        pieces.push(([&[*id][..], &leb(5 + count * item.len()), &leb(*count)].concat(), 1));
        pieces.push((item.to_vec(), *count));
    }
    pieces
}

fn hostile() -> Vec<Case> {
    let good = good();
    let mut lies = good.clone();
    lies["bpf_object_size"] = json!(60 << 20);
    let zeros = |len: usize| WasmModule { name: "m".into(), module: vec![0; len] };
    let bomb = packed(vec![0; 16 << 20], Vec::new(), &good["meta"]);
    let modules = packed(Vec::new(), vec![zeros(8 << 20); 2], &good["meta"]);
    let deep = vec![(b"[".to_vec(), 2_000_000)];
    let keys = vec![(b"{\"a key\":0".to_vec(), 1), (b",\"a key\":0".to_vec(), 400_000)];
    let (mega, many) = (1_000_000, "keys and values");
    let bad_size = |piece: &str| {
        with(&[("\"", 1), (piece, 2 * mega), ("\"", 1)], |p| p["bpf_object_size"] = json!("@@"))
    };
    let long_name = with(&[("\"", 1), ("n", 2 * mega), ("\"", 1)], |p| {
        p["meta"]["bpf_skel"]["obj_name"] = json!("@@");
    });
    let function = [(1, 1, &b"\x60\0\0"[..]), (3, 100_000, b"\0"), (10, 100_000, b"\x02\0\x0b")];
    let types = [(1, 500_000, &b"\x60\0\0"[..])];
    let locals =
        [(1, 1, &b"\x60\0\0"[..]), (3, 1000, b"\0"), (10, 1000, b"\x06\x01\xd0\x86\x03\x7f\x0b")];
    vec![
        ("objects", with_array("{}", mega), REFUSED, many),
        ("objects with a key", with_array("{\"\":0}", mega / 2), REFUSED, many),
        ("numbers", with_array("0", 2 * mega), REFUSED, many),
        ("keys", keys, REFUSED, many),
        ("nested", deep, REFUSED, "the limit is 64 levels"),
        ("string", with_string("", "s", 4 * mega), TAKEN, ""),
        // Reading texts with escapes needs more copies.
        ("string with an escape", with_string("\\n", "s", 9 * mega), TAKEN, ""),
        ("string of escapes", with_string("", "\\u0041", mega / 2), TAKEN, ""),
        ("strings", with_array(&format!("\"{}\"", "s".repeat(MAX_TEXT)), 50), TAKEN, ""),
        ("name of the object", long_name, REFUSED, "has 2000000 bytes; the limit is 65536"),
        ("string for a number", bad_size("\u{7f}"), REFUSED, "the limit is 65536"),
        ("object", text(&bomb), REFUSED, "too large for a package"),
        ("size of the object", text(&lies), REFUSED, "too large for a package"),
        ("modules", text(&modules), REFUSED, "too large for a package"),
        ("the most", text(&largest()), TAKEN, ""),
        ("functions.wasm", module(&function), NO_MODULE, "the limit is 20000"),
        ("types.wasm", module(&types), NO_MODULE, "the limit is 20000"),
        ("locals.wasm", module(&locals), NO_MODULE, "the limit is 1000000"),
        ("unused.wasm", module(&[(0, 1, &[b'x'; 3_000_000])]), NO_MODULE, "exports neither"),
        ("text.wat", vec![(b" ".to_vec(), 2 * mega)], NO_MODULE, "the limit is 1048576"),
    ]
}

#[test]
fn memory_is_in_proportion_to_the_file() {
    let dir = scratch();
    let path = dir.path().join("good.json");
    fs::write(&path, good().to_string()).unwrap();
    let (own, is_good) = run(&path, Stdio::null(), TAKEN, "");
    is_good.unwrap();
    let free = FREE.max(own + FREE_FOR_FILE);
    let mut wrong = Vec::new();
    for (name, pieces, codes, words) in hostile() {
        let path = dir.path().join(name);
        let size = write(&path, &pieces);
        drop(pieces);
        let most = 4 * size + free;
        let mut check = |(peak, is_so): (u64, Result<(), String>), how: &str| {
            println!("{name}, {how}: {size} bytes take {peak}, {most} at the most");
            if peak > most {
                wrong.push(format!("{name}, {how}: {size} bytes take {peak}, more than {most}"));
            }
            wrong.extend(is_so.err().map(|why| format!("{name}, {how}: {why}")));
        };
        check(run(&path, Stdio::null(), codes, words), "a file");
        // The text format is recognized only by the file's name.
        if !name.ends_with(".wat") {
            let mut cat = Command::new("cat").arg(&path).stdout(Stdio::piped()).spawn().unwrap();
            let pipe = cat.stdout.take().unwrap();
            check(run(Path::new("-"), pipe.into(), codes, words), "a pipe");
            let _ = ended(&mut cat);
        }
        fs::remove_file(path).unwrap();
    }
    assert!(wrong.is_empty(), "ecli itself takes {own} bytes;\n{}", wrong.join("\n"));
}
