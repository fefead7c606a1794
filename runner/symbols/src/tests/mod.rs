// SPDX-License-Identifier: MIT
//! Tests with names of the kernel, of this program, and of children that have ended.

mod faked;

use std::fs;
use std::hint::black_box;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::engine::Engine;
use super::processes::FRESH;
use std::rc::Rc;

use super::kernel::Kernel;
use super::*;

fn skipped(why: &str) {
    println!("skipped: {why}");
    assert!(std::env::var_os("CI").is_none(), "in CI nothing may be skipped: {why}");
}

#[inline(never)]
fn landmark(number: u64) -> u64 {
    black_box(number) / 3
}

#[inline(always)]
fn inner(number: u64) -> u64 {
    black_box(number) * 3 + black_box(1)
}

#[inline(never)]
fn outer(number: u64) -> u64 {
    inner(number) ^ black_box(5)
}

fn shown(symbols: &mut Engine, pid: u32, place: CodeAddress) -> String {
    let (_, found) = symbols.user(pid, &[place]);
    let mut out = Vec::new();
    write_frame(place.address(), &found[0].frames[0], &mut out);
    String::from_utf8(out).unwrap()
}

fn frames(symbols: &mut Engine, pid: u32, places: &[CodeAddress]) -> Vec<StackFrames> {
    symbols.user(pid, places).1.into_iter().map(|found| found.frames).collect()
}

fn landmark_address() -> u64 {
    landmark as *const () as u64
}

#[test]
fn kernel_functions() {
    let text = fs::read_to_string("/proc/kallsyms").unwrap_or_default();
    let line = text.lines().find(|line| line.ends_with(" T vfs_read"));
    let address = line.and_then(|line| u64::from_str_radix(line.split_once(' ')?.0, 16).ok());
    let Some(address) = address.filter(|address| *address != 0) else {
        return skipped("kernel addresses are hidden from this user");
    };
    let mut kernel = Kernel::new();
    kernel.warm();
    let places = [
        CodeAddress::Exact(address + 2),
        CodeAddress::Return(address + 5),
        CodeAddress::Exact(1 << 40),
    ];
    let frames = kernel.frames(&places, true);
    let names: Vec<_> = frames.iter().map(|one| (one[0].name.as_deref(), one[0].offset)).collect();
    assert_eq!(names, [(Some("vfs_read"), 2), (Some("vfs_read"), 5), (None, 0)]);
    assert!(Rc::ptr_eq(&frames[0], &kernel.frames(&places, true)[0]));
}

#[test]
fn own_functions_demangled_each_address_once() {
    let mut symbols = Engine::new(false);
    let (own, at) = (std::process::id(), landmark_address());
    let text = shown(&mut symbols, own, CodeAddress::Exact(at + 1));
    assert!(text.starts_with("bpfpack_symbols::tests::landmark+0x1 [bpfpack_symbols-"), "{text}");
    let frames =
        frames(&mut symbols, own, &stack(&[at + 1, 5, at + 1, at + 1]).collect::<Vec<_>>());
    assert_eq!(frames[1][..], [StackFrame::unknown(5)]);
    assert_eq!((frames[0][0].offset, frames[2][0].offset), (1, 1));
    assert!(Rc::ptr_eq(&frames[2], &frames[3]));
    assert!(!Rc::ptr_eq(&frames[0], &frames[2]), "the byte before may be of another line");
}

#[test]
fn lines_and_inlined_calls() {
    let mut symbols = Engine::new(true);
    let start = outer as *const () as u64;
    assert_eq!(outer(2), 2);
    let places: Vec<CodeAddress> = (start..start + 64).map(CodeAddress::Exact).collect();
    let frames = frames(&mut symbols, std::process::id(), &places);
    let inlined = frames.iter().find(|frames| frames.len() > 1 && frames[0].inlined).unwrap();
    let ends =
        |frame: &StackFrame, end: &str| frame.name.as_deref().is_some_and(|n| n.ends_with(end));
    let within = inlined.iter().position(|frame| ends(frame, "inner")).unwrap();
    let (call, function) = (&inlined[within], inlined.last().unwrap());
    assert!(ends(function, "tests::outer") && !function.inlined, "{inlined:?}");
    let line = |frame: &StackFrame| frame.source.clone().unwrap();
    assert!(line(call).0.ends_with("symbols/src/tests/mod.rs"), "{:?}", line(call));
    assert!(line(call).1 < line(function).1, "{inlined:?}");
}

#[test]
fn the_vdso() {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let Some(line) = maps.lines().find(|line| line.ends_with("[vdso]")) else {
        return skipped("this kernel maps no vdso");
    };
    let start = u64::from_str_radix(line.split_once('-').unwrap().0, 16).unwrap();
    let places: Vec<CodeAddress> =
        (start..start + 0x2000).step_by(16).map(CodeAddress::Exact).collect();
    let frames = frames(&mut Engine::new(false), std::process::id(), &places);
    let is_clock = |frame: &StackFrame| {
        frame.module.as_deref() == Some("[vdso]")
            && frame.name.as_deref().is_some_and(|name| name.contains("clock_gettime"))
    };
    assert!(frames.iter().any(|frames| is_clock(&frames[0])));
}

/// Not a test: prints the address of a function and waits, for a test that runs it.
#[test]
fn child() {
    if std::env::var_os("BPFPACK_TEST_CHILD").is_some() {
        println!("\naddress={}", landmark_address());
        std::io::stdin().read_line(&mut String::new()).unwrap();
    }
}

/// Runs `program`, a copy of this one, calls `meanwhile` for it, and waits for its end.
fn run_child(program: &Path, meanwhile: impl FnOnce(u32)) -> (u32, CodeAddress) {
    let mut child = Command::new(program)
        .args(["--exact", "tests::child", "--nocapture"])
        .env("BPFPACK_TEST_CHILD", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = lines.find_map(|line| line.unwrap().strip_prefix("address=")?.parse().ok());
    meanwhile(child.id());
    drop(child.stdin.take());
    assert!(lines.last().is_some() && child.wait().unwrap().success());
    (child.id(), CodeAddress::Exact(address.unwrap()))
}

#[test]
fn a_process_that_ended_keeps_its_names() {
    let mut symbols = Engine::new(false);
    let exe = std::env::current_exe().unwrap();
    let (pid, place) = run_child(&exe, |pid| {
        symbols.note(pid);
    });
    assert!(!Path::new("/proc").join(pid.to_string()).exists());
    let name = "bpfpack_symbols::tests::landmark+0x0";
    let text = shown(&mut symbols, pid, place);
    assert!(text.starts_with(name), "{text}");
    std::thread::sleep(FRESH);
    assert_eq!(shown(&mut symbols, pid, place), text);
    // A process that was never inspected has no names, and nothing fails.
    assert!(!shown(&mut Engine::new(false), pid, place).contains("landmark"));
}

#[test]
fn a_deleted_program_keeps_its_names() {
    let dir = TempDir::new().unwrap();
    let copy = dir.path().join("a copy");
    fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    let mut symbols = Engine::new(false);
    let mut readable = false;
    let (pid, place) = run_child(&copy, |pid| {
        fs::remove_file(&copy).unwrap();
        readable = fs::read_dir(format!("/proc/{pid}/map_files"))
            .is_ok_and(|mut files| files.any(|file| fs::metadata(file.unwrap().path()).is_ok()));
        symbols.note(pid);
    });
    if !readable {
        return skipped("this user may not open the files that a process maps");
    }
    let text = shown(&mut symbols, pid, place);
    assert_eq!(text, "bpfpack_symbols::tests::landmark+0x0 [a copy]");
}
