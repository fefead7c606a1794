// SPDX-License-Identifier: MIT
//! Packages: changed as JSON, as base64 and zlib, and as bytes; with hostile types and sizes in the
//! meta data, deep nesting, and many of everything.

use std::ffi::OsString;
use std::fs::File;
use std::time::Duration;

use serde_json::{Value, json};

use super::case::{Case, DEADLINE};
use super::check::{self, MODULES, Verdict};
use super::encoding::{base64, bomb, bomb_size, from_base64, stored};
use super::process::Io;
use super::random::{Random, damage};
use super::seeds::Seed;
use super::{json, texts};

/// A text of this size in bytes is not changed further.
const LARGE: usize = 1 << 20;

/// Formats in which a package is shown.
pub(super) const FORMATS: [&str; 6] = ["text", "json", "csv", "tsv", "yaml", "raw"];

/// A generated package, valid or not.
struct Made {
    text: Vec<u8>,
    /// The number of bytes to which it validly unpacks, in addition to its own.
    unpacked: usize,
}

/// Generates a package, and makes `ecli` read it: usually for its help, otherwise to run it for a
/// moment.
pub(super) fn case(case: &mut Case<'_>) -> Verdict {
    let seed = case.seeds.any(&mut case.random);
    let random = &mut case.random;
    let made = match random.below(20) {
        0..8 => plain(changed(seed, random)),
        8..11 => {
            let mut text = seed.text.clone().into_bytes();
            damage(&mut text, random);
            Made { text, unpacked: 0 }
        }
        11..14 => encoded(seed, random),
        14..17 => plain(described(seed, random)),
        17 => plain(nested(seed, random)),
        18 => counted(seed, random),
        _ => plain(twice(seed, random)),
    };
    let input = made.text.len() + made.unpacked;
    let path = case.write("package.json", &made.text)?;
    drop(made);
    let seed = seed.name;
    let mut args: Vec<OsString> = vec!["run".into()];
    let mut after: Vec<OsString> = Vec::new();
    let mut from_stdin = false;
    match case.random.below(20) {
        0..10 => after.push("--help".into()),
        10 => after.push("--version".into()),
        11 => after.push("--no-such-option".into()),
        12 => {
            from_stdin = true;
            after.push("--help".into());
        }
        how => {
            args.extend(["-d", "30ms", "-f", *case.random.choose(&FORMATS)].map(OsString::from));
            if how == 13 {
                args.push("--attach-all".into());
            }
            if how == 14 && seed != "profile" {
                args.push("--as-is".into());
            }
        }
    }
    args.push(if from_stdin { "-".into() } else { path.clone().into_os_string() });
    args.extend(after);
    let mut command = case.ecli(&args);
    let stdin = from_stdin.then(|| File::open(&path)).transpose().map_err(|e| e.to_string())?;
    let io = Io { stdin: stdin.map(Into::into), ..Io::default() };
    let started = case.start(&mut command, io)?;
    let ended = case.wait(started, DEADLINE)?;
    // A change may add modules to any package.
    check::ended(&ended, MODULES, Some(case.memory_for(input as u64)))?;
    case.nothing_temporary()?;
    if args.iter().any(|arg| arg == "--help" || arg == "--version") {
        check::shown(&ended.stdout, check::Screen::File).map_err(|what| format!("help: {what}"))?;
        slow(ended.took)?;
    }
    Ok(())
}

/// Reading a file of some kilobytes without loading anything should not take longer.
fn slow(took: Duration) -> Verdict {
    match took > Duration::from_secs(5) {
        true => {
            Err(format!("it took {:.1} s to refuse a file, or to tell of it", took.as_secs_f64()))
        }
        false => Ok(()),
    }
}

fn plain(text: String) -> Made {
    Made { text: text.into_bytes(), unpacked: 0 }
}

/// Valid JSON that differs from what a packer wrote.
fn changed(seed: &Seed, random: &mut Random) -> String {
    let mut value = seed.json.clone();
    let mut text = String::new();
    for _ in 0..=random.below(4) {
        json::change(&mut value, random);
        text = value.to_string();
        if text.len() > LARGE {
            break;
        }
    }
    text
}

/// Keys that are repeated, or that end the text early.
fn twice(seed: &Seed, random: &mut Random) -> String {
    let places: Vec<usize> = seed.text.match_indices(['{', ',']).map(|(at, _)| at + 1).collect();
    let mut text = seed.text.clone();
    let key = *random.choose(&[
        "\"meta\":{},",
        "\"bpf_object_size\":1,",
        "\"bpf_object\":\"\",",
        "\"name\":\"x\",",
        "\"maps\":[],",
        "\"\\ud800\":1,",
        "\"\\u0000\":\"\\u001b[7m\",",
        "//",
        "NaN,",
        "}",
    ]);
    text.insert_str(*random.choose(&places), key);
    text
}

/// An object that is encoded in another way than packers do.
fn encoded(seed: &Seed, random: &mut Random) -> Made {
    let mut package = seed.json.clone();
    let mut stream = from_base64(package["bpf_object"].as_str().unwrap_or_default());
    let mut size = seed.object.len();
    let mut unpacked = 0;
    match random.below(9) {
        0 | 1 => damage(&mut stream, random),
        2 => {
            let mut object = seed.object.clone();
            damage(&mut object, random);
            size = object.len();
            stream = stored(&object);
        }
        3 => {
            let zeros = 1 << random.between(10, 26);
            stream = bomb(zeros);
            size = bomb_size(zeros).wrapping_add(random.below(3)).wrapping_sub(1);
            unpacked = bomb_size(zeros);
        }
        4 => {
            let len = 1 << random.below(13);
            stream.extend(random.bytes(len));
        }
        5 => stream.truncate(random.below(stream.len())),
        6 => {
            // A stream in a stream.
            size = stream.len();
            stream = stored(&stream);
        }
        7 => size = random.edge() as usize,
        _ => stream = stored(&[]),
    }
    let mut text = base64(&stream);
    if random.one_in(5) {
        let at = random.below(text.len());
        let end = text.len().min(at + random.below(4));
        text.replace_range(at..end, random.word(&["=", "==", "\n", " ", "-_", "é", "%3D", ""]));
    }
    package["bpf_object"] = text.into();
    package["bpf_object_size"] = size.into();
    Made { text: package.to_string().into_bytes(), unpacked }
}

/// Hostile types and sizes where they have a meaning.
fn described(seed: &Seed, random: &mut Random) -> String {
    let mut package = seed.json.clone();
    for _ in 0..=random.below(5) {
        let places = json::places(&package, &|path, value| {
            path.starts_with("/meta") && !value.is_object() && !value.is_array()
        });
        let name = |place: &str| place.rsplit('/').next().unwrap_or_default().to_owned();
        let place = random.choose(&places).clone();
        let Some(node) = package.pointer_mut(&place) else { continue };
        *node = match node {
            Value::Number(_) => random.edge().into(),
            Value::String(_) if name(&place) == "attach" => (*random.choose(&SECTIONS)).into(),
            Value::String(_) if name(&place) == "type" => (*random.choose(&TYPES)).into(),
            Value::String(_) if random.one_in(2) => texts::text(random).into(),
            _ => json::other(random),
        };
    }
    let of = *random.choose(&["maps", "progs"]);
    let Some(all) = package["meta"]["bpf_skel"][of].as_array_mut() else {
        return package.to_string();
    };
    for _ in 0..random.below(3) {
        let at = random.below(all.len());
        let Some(one) = all.get_mut(at).and_then(Value::as_object_mut) else { continue };
        let (key, value) = hint(random);
        one.insert(key.to_owned(), value);
    }
    package.to_string()
}

/// Sections for attaching a program; valid ones are of another kind.
const SECTIONS: [&str; 16] = [
    "tp/",
    "tp/a",
    "tp/a/b/c",
    "tp/sched/sched_process_exec",
    "raw_tp/sched_process_exec",
    "tp_btf/",
    "kprobe/",
    "kprobe/*",
    "kprobe.multi/*",
    "uprobe//proc/self/exe:main+0xffffffffffffffff",
    "uprobe/relative:x",
    "usdt//bin/true:a:b",
    "perf_event",
    "fentry/\u{1b}[7m",
    "iter/task",
    "?tp/sched/sched_switch",
];

const TYPES: [&str; 10] =
    ["u8", "u128", "char[]", "char[18446744073709551616]", "u32[-1]", "", "[[[[", "*", "pie", "s0"];

/// Rare keys of a map or a program.
fn hint(random: &mut Random) -> (&'static str, Value) {
    let number = random.edge();
    let text = texts::text(random);
    match random.below(12) {
        // Limited to sizes for which a machine has memory: the kernel's own limit is not tested.
        0 => ("max_entries", (number & 0x000f_ffff).into()),
        1 => ("value_size", (number & 0x000f_ffff).into()),
        2 => ("frequency", number.into()),
        3 => (
            "sample",
            json!({"interval": number, "type": "log2_hist", "unit": text, "clear_map": true}),
        ),
        4 => (
            "sample",
            json!({"interval": 20, "type": "linear_hist", "step": number, "origin": -5,
                   "key_labels": [text, text], "key_enum": "parity", "gauges": [text]}),
        ),
        5 => (
            "records",
            json!([{"name": text, "size": number, "btf_type_id": random.below(200), "tag": -1},
                   {"name": "", "size": 0, "btf_type_id": number, "tag": number as i64}]),
        ),
        6 => ("record_tag", text.into()),
        7 => ("meanings", json!({(text.clone()): "ipv4", "pid": text, "comm": "stack"})),
        8 => (
            "view",
            json!({"kind": "histogram", "scale": "linear", "step": number, "slots": text,
                   "key": [text], "value": [text, text], "sort": text, "unit": text}),
        ),
        9 => {
            ("view", json!({"kind": *random.choose(&["stacks", "table", "none", "input", "pie"])}))
        }
        10 => (
            "export_config",
            json!({"custom_members": [{"name": text, "offset": number, "btf_type_id": number}]}),
        ),
        _ => (
            "intepreter",
            json!({"stack_trace": {"field_map": {"pid": text, "kstack": text}, "with_symbols": true}}),
        ),
    }
}

/// Nested values, deeper than any stack.
fn nested(seed: &Seed, random: &mut Random) -> String {
    let depth = 1 << random.between(4, 18);
    let (open, close) =
        *random.choose(&[("[", "]"), ("{\"a\":", "}"), ("{\"meta\":", "}"), ("[{\"a\":", "}]")]);
    let deep = format!(
        "{}1{}",
        open.repeat(depth),
        if random.one_in(4) { "" } else { close }.repeat(depth)
    );
    let places: Vec<usize> = seed.text.match_indices(':').map(|(at, _)| at + 1).collect();
    match random.below(4) {
        0 => deep,
        1 => format!("{{\"more\":{deep},{}", &seed.text[1..]),
        _ => {
            let mut text = seed.text.clone();
            text.insert_str(*random.choose(&places), &deep);
            text
        }
    }
}

/// Many of everything.
fn counted(seed: &Seed, random: &mut Random) -> Made {
    // Sometimes of the size that real files have if they are too large.
    let bytes = if random.one_in(40) { 24 << 20 } else { 1 << random.between(10, 21) };
    let element = *random.choose(&[
        "{}",
        "[]",
        "1",
        "\"\"",
        "null",
        "{\"a\":{}}",
        "{\"name\":\"m\",\"ident\":\"m\"}",
        "{\"name\":\"p\",\"attach\":\"tp/a/b\",\"link\":true}",
        "{\"name\":\"v\",\"type\":\"int\",\"cmdarg\":{\"long\":\"v\"}}",
        "{\"name\":\".bss\",\"variables\":[]}",
        "{\"name\":\"m.wasm\",\"module\":\"\",\"module_size\":0}",
    ]);
    let list = format!("[{element}{}]", format!(",{element}").repeat(bytes / (element.len() + 1)));
    let keys = || -> String {
        let count = bytes / 14;
        (0..count).map(|number| format!("\"k{number}\":{{}},")).collect()
    };
    let text = match random.below(7) {
        0 => format!("{{\"more\":{list},{}", &seed.text[1..]),
        1 => format!("{{{}{}", keys(), &seed.text[1..]),
        2 => list,
        3 => seed.text.replacen("\"maps\":[", &format!("\"maps\":{},\"was\":[", list), 1),
        4 => seed.text.replacen("\"progs\":[", &format!("\"progs\":{},\"was\":[", list), 1),
        5 => seed.text.replacen(
            "\"data_sections\":[",
            &format!("\"data_sections\":{list},\"was\":["),
            1,
        ),
        _ => format!("{{\"wasm_modules\":{list},{}", &seed.text[1..]),
    };
    Made { text: text.into_bytes(), unpacked: 0 }
}

/// A package with another object and the seed's meta data.
#[must_use]
pub(super) fn with_object(seed: &Seed, object: &[u8]) -> String {
    let mut package = seed.json.clone();
    package["bpf_object"] = base64(&stored(object)).into();
    package["bpf_object_size"] = object.len().into();
    package.to_string()
}
