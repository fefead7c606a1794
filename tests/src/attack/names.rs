// SPDX-License-Identifier: MIT
//! Hostile names of processes, files, maps, programs, members, arguments and units, in all outputs
//! and messages of both programs on a terminal. Each byte that arrives there is checked.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::case::{Case, DEADLINE};
use super::check::{self, ECC, MODULES, Screen, Verdict};
use super::modules::post_processor;
use super::packages::{FORMATS, with_object};
use super::perf_maps::Victims;
use super::process::Io;
use super::random::Random;
use super::texts;
use crate::sys;

/// How long programs are traced.
const TIME: &str = "150ms";

/// Formats that can be shown on a terminal.
const SHOWN: &[&str] = FORMATS.split_at(5).0;

/// Makes a program show hostile names.
pub(super) fn case(case: &mut Case<'_>) -> Verdict {
    match case.random.below(12) {
        0..2 => help(case),
        2..5 => names_of_a_package(case),
        5..7 => names_of_processes(case),
        7 | 8 => arguments(case),
        9 => objects(case),
        10 => modules(case),
        _ if case.random.one_in(3) => sources(case),
        _ => made_code(case),
    }
}

/// Runs a program on a terminal, and checks all of its output. `meanwhile` is called repeatedly.
fn on_terminal(
    case: &mut Case<'_>,
    command: &mut Command,
    codes: &[i32],
    mut meanwhile: impl FnMut(&mut Random),
) -> Result<Vec<u8>, String> {
    let (mut master, slave) = sys::terminal().map_err(|error| format!("no terminal: {error}"))?;
    let out = || slave.try_clone().map(Stdio::from).map_err(|error| error.to_string());
    let io = Io { stdin: None, stdout: Some(out()?), stderr: Some(out()?) };
    command.env("TERM", "xterm-256color").env_remove("NO_COLOR");
    let started = case.start(command, io)?;
    drop(slave);
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // After the last close, the kernel returns EIO.
        let _ = master.read_to_end(&mut bytes);
        bytes
    });
    let mut random = case.random.clone();
    while !started.ends_within(Duration::from_millis(5)) && started.begun().elapsed() < DEADLINE {
        meanwhile(&mut random);
    }
    let ended = case.wait(started, DEADLINE)?;
    let bytes = reader.join().map_err(|_| "the terminal cannot be read")?;
    case.write("terminal", &bytes)?;
    check::ended(&ended, codes, None)?;
    check::shown(&bytes, Screen::Terminal)?;
    Ok(bytes)
}

fn ecli(case: &mut Case<'_>, args: &[OsString], meanwhile: impl FnMut(&mut Random)) -> Verdict {
    let mut command = case.ecli(args);
    let bytes = on_terminal(case, &mut command, MODULES, meanwhile)?;
    let format = args.iter().skip_while(|arg| *arg != "-f").nth(1).and_then(|arg| arg.to_str());
    // The terminal ends lines with a carriage return.
    let text = String::from_utf8_lossy(&bytes).replace("\r\n", "\n");
    match format {
        Some("csv") => check::cells(&text, ','),
        Some("tsv") => check::cells(&text, '\t'),
        _ => Ok(()),
    }
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

/// Replaces texts of a package that a test accepts by hostile ones.
fn replace_texts(value: &mut Value, random: &mut Random, is_wanted: fn(&str) -> bool) {
    match value {
        Value::String(text) if is_wanted(text) && random.one_in(2) => *text = texts::text(random),
        Value::Array(all) => {
            all.iter_mut().for_each(|value| replace_texts(value, random, is_wanted))
        }
        Value::Object(all) => {
            all.values_mut().for_each(|value| replace_texts(value, random, is_wanted));
        }
        _ => {}
    }
}

/// Texts of the fixture that are only for people.
fn is_for_people(text: &str) -> bool {
    ["_of_an_argument", "_of_the_package", "unit_of_", "Shown as"]
        .iter()
        .any(|part| text.contains(part))
}

/// The help of a package.
fn help(case: &mut Case<'_>) -> Verdict {
    let is_fixture = case.random.one_in(2);
    let seed = match is_fixture {
        true => case.seeds.package("hostile"),
        false => case.seeds.any(&mut case.random),
    };
    let mut package = seed.json.clone();
    // In the fixture, texts for people; otherwise any text, which is usually refused.
    let is_wanted = if is_fixture { is_for_people } else { |_: &str| true };
    replace_texts(&mut package["meta"], &mut case.random, is_wanted);
    let path = case.write("package.json", package.to_string())?.into_os_string();
    let mut args = vec!["run".into(), path];
    let hostile = OsString::from_vec(texts::bytes(&mut case.random, 100));
    match case.random.below(5) {
        0 => args.push("--version".into()),
        1 => args.push(hostile),
        2 => args.extend(["--target_pid".into(), hostile]),
        _ => args.push("--help".into()),
    }
    ecli(case, &args, |_| ())
}

/// Names in an object: the placeholder in the fixture, and whether the package has the name, too.
const PLACEHOLDERS: [(&str, bool); 7] = [
    ("member_name_to_replace", false),
    ("enum_name_to_replace", false),
    ("FIRST_VALUE_TO_REPLACE", false),
    ("SECOND_VALUE_TO_REPLACE", false),
    ("table_to_replace", true),
    ("histogram_to_replace", true),
    ("program_to_replace", true),
];

/// A hostile text with this number of bytes.
fn of_length(random: &mut Random, len: usize) -> String {
    let mut text = texts::text(random);
    let end = (0..=len.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.truncate(end);
    text + &"x".repeat(len - end)
}

/// A package with an object that has hostile names, as text.
fn hostile_package(case: &mut Case<'_>) -> String {
    let seed = case.seeds.package("hostile");
    let mut object = seed.object.clone();
    let random = &mut case.random;
    let mut changes = Vec::new();
    for (name, is_in_package) in PLACEHOLDERS {
        // The kernel refuses such names of maps and programs, so others are tried more often.
        if !random.one_in(if is_in_package { 8 } else { 2 }) {
            continue;
        }
        let other = of_length(random, name.len());
        for at in 0..object.len().saturating_sub(name.len()) {
            if object[at..].starts_with(name.as_bytes()) {
                object[at..at + name.len()].copy_from_slice(other.as_bytes());
            }
        }
        if is_in_package {
            changes.push((name, other));
        }
    }
    let mut package: Value = serde_json::from_str(&with_object(seed, &object)).unwrap_or_default();
    replace_texts(&mut package["meta"], random, is_for_people);
    let mut text = package.to_string();
    for (name, other) in changes {
        let other = Value::from(other).to_string();
        text = text.replace(name, other.trim_matches('"'));
    }
    text
}

/// Records, tables and histograms of a process with any name.
fn names_of_a_package(case: &mut Case<'_>) -> Verdict {
    let victims = Victims::start(case, "calls", "made", 1)?;
    let package = hostile_package(case);
    let path = case.write("package.json", package)?.into_os_string();
    let format = *case.random.choose(SHOWN);
    let mut args = words(&["run", "-d", TIME, "-i", "40ms", "-f", format]);
    if matches!(format, "csv" | "tsv") {
        args.push("-q".into());
    }
    match case.random.below(6) {
        0 => args.extend(words(&["--time", "wall", "-T"])),
        // On a terminal, both outputs are mixed, and messages are not cells.
        1 if !matches!(format, "csv" | "tsv") => args.push("--verbose".into()),
        2 => args.extend(words(&["--fields", "comm,text"])),
        3 if format != "text" => args.push("--decode".into()),
        _ => {}
    }
    args.extend([path, "--target_pid".into(), victims.pids()[0].to_string().into()]);
    if case.random.one_in(2) {
        args.extend(["--text".into(), OsString::from_vec(texts::bytes(&mut case.random, 60))]);
    }
    ecli(case, &args, |_| ())
}

/// Processes and files with hostile names, traced by the examples.
fn names_of_processes(case: &mut Case<'_>) -> Verdict {
    let name = *case.random.choose(&["bootstrap", "execsnoop", "opensnoop", "exits", "hello"]);
    let path = case.write("package.json", &case.seeds.package(name).text)?.into_os_string();
    let format = *case.random.choose(SHOWN);
    let mut args = words(&["run", "-d", TIME, "-f", format]);
    if matches!(format, "csv" | "tsv") {
        args.push("-q".into());
    }
    args.push(path);
    let name = texts::file_name(&mut case.random);
    let program = case.path(OsStr::from_bytes(&name));
    fs::copy("/bin/true", &program).map_err(|error| format!("{program:?}: {error}"))?;
    let dir = case.path("");
    ecli(case, &args, |random| {
        let hostile = OsString::from_vec(texts::bytes(random, 100));
        let _ = Command::new(&program).arg(hostile).status();
        let _ = File::open(dir.join(OsStr::from_bytes(&texts::file_name(random))));
    })
}

/// Hostile words on the command line of ecli.
fn arguments(case: &mut Case<'_>) -> Verdict {
    let hostile = OsString::from_vec(texts::bytes(&mut case.random, 200));
    let name = OsString::from_vec(texts::file_name(&mut case.random));
    let package = case.write("package.json", &case.seeds.package("hostile").text)?.into_os_string();
    let missing = case.path(&name).join("missing").into_os_string();
    let mut args = words(&["run", "-d", "20ms"]);
    match case.random.below(14) {
        0 => args.push(hostile),
        1 => args.extend([missing]),
        2 => {
            // A file that exists but is not a package.
            let content = texts::bytes(&mut case.random, 200);
            args.push(case.write(&name, content)?.into());
        }
        3 => args.extend(["-o".into(), missing, package]),
        4 => args.extend(["--fields".into(), hostile, package]),
        5 => args.extend(["--only".into(), hostile, package]),
        6 => args.extend(["--without".into(), hostile, package]),
        7 => args.extend(["--map-entries".into(), hostile, package]),
        8 => args.extend(["--cgroup".into(), missing, package]),
        9 => args.extend(["--wasm".into(), missing, package]),
        10 => args.extend(["--wasm-arg".into(), hostile, package]),
        11 => args.extend(["-f".into(), hostile, package]),
        12 => args.extend(["-i".into(), hostile, package]),
        _ => args.extend([package, "--text".into(), hostile.clone(), hostile]),
    }
    ecli(case, &args, |_| ())
}

/// The output of ecc for an object with hostile names in a file with a hostile name.
fn objects(case: &mut Case<'_>) -> Verdict {
    let package: Value = serde_json::from_str(&hostile_package(case)).unwrap_or_default();
    let object = package["bpf_object"].as_str().unwrap_or_default();
    // Stored blocks of zlib, as this attack makes them: a header of 7 bytes precedes the content.
    let stream = super::encoding::from_base64(object);
    let object = stream.get(7..stream.len().saturating_sub(4)).unwrap_or_default();
    let mut name = texts::file_name(&mut case.random);
    name.extend(b".bpf.o");
    let path = case.write(OsStr::from_bytes(&name), object)?;
    ecc(case, path)
}

fn ecc(case: &mut Case<'_>, path: PathBuf) -> Verdict {
    let hostile = OsString::from_vec(texts::bytes(&mut case.random, 100));
    let name = texts::file_name(&mut case.random);
    let missing = case.path(OsStr::from_bytes(&name)).join("missing");
    let mut args: Vec<OsString> = Vec::new();
    match case.random.below(8) {
        0 => args.extend(["--verbose".into(), "-o".into(), case.path("out").into(), path.into()]),
        1 => args.extend([path.into(), missing.into()]),
        2 => args.push(missing.into()),
        3 => args.extend([path.into(), "--target".into(), hostile]),
        4 => args.push(hostile),
        _ => args.extend(["--check".into(), path.into()]),
    }
    let mut command = case.ecc(&args);
    on_terminal(case, &mut command, ECC, |_| ()).map(drop)
}

/// A source with hostile comments, which clang may refuse.
fn sources(case: &mut Case<'_>) -> Verdict {
    let random = &mut case.random;
    let mut comment = || texts::text(random).replace("*/", "").replace(['\n', '\r'], " ");
    let source = format!(
        "/// {}\n/// @cmdarg {{\"long\": \"{}\"}}\nconst volatile int number = 0;\n\
         /// @brief {}\nchar LICENSE[] __attribute__((section(\"license\"))) = \"GPL\";\n{}\n",
        comment(),
        comment(),
        comment(),
        *case.random.choose(&["", "\n", "int broken = \"\u{202e}\u{1b}[35m\" + ;", "# \u{1b}[7m"]),
    );
    let path = case.write("source.bpf.c", source)?;
    ecc(case, path)
}

/// Texts that modules show.
fn modules(case: &mut Case<'_>) -> Verdict {
    let module = post_processor(&mut case.random)?;
    let module = case.write("m.wasm", module)?.into_os_string();
    let path = case.write("package.json", &case.seeds.package("hostile").text)?.into_os_string();
    let format = *case.random.choose(SHOWN);
    let mut args = words(&["run", "-q", "-d", "60ms", "-i", "20ms", "-f", format]);
    args.extend(words(&["--wasm-cache", "none", "--wasm-time", "200ms", "--wasm-memory", "16M"]));
    args.extend(["--wasm".into(), module, path, "--target_pid".into()]);
    args.push(std::process::id().to_string().into());
    let mut command = case.ecli(&args);
    // A module may choose its exit code.
    let codes: Vec<i32> = (0..256).filter(|code| *code != 101).collect();
    on_terminal(case, &mut command, &codes, |_| ()).map(drop)
}

/// Names of code that a process generates, and of its own code.
fn made_code(case: &mut Case<'_>) -> Verdict {
    let kind = *case.random.choose(&["escapes", "renamed"]);
    let place = *case.random.choose(&["made", "files", "changed"]);
    let victims = Victims::start(case, kind, place, 1)?;
    let path = case.write("package.json", &case.seeds.package("profile").text)?.into_os_string();
    let format = *case.random.choose(SHOWN);
    let mut args = words(&["run", "-d", TIME, "--frequency", "99", "-f", format]);
    if matches!(format, "csv" | "tsv") {
        args.push("-q".into());
    }
    if format != "text" {
        args.push("--decode".into());
    }
    args.extend([path, "--pid".into(), victims.pids()[0].to_string().into()]);
    let begun = Instant::now();
    let result = ecli(case, &args, |_| ());
    case.note(format!("{:.1} s", begun.elapsed().as_secs_f64()));
    result
}
