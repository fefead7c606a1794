// SPDX-License-Identifier: MIT
//! Tests on this kernel: printed text is read, losses are counted, and nothing is left behind.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::*;
use crate::sys::printer::Printer;

/// Returns the directory of tracefs. If a test cannot run, it prints the reason; if `CI` is set, it
/// fails.
fn tracefs() -> Option<&'static Path> {
    let missing = match (rustix::process::geteuid().is_root(), kernel::tracefs()) {
        (true, Some(root)) => return Some(root),
        (true, None) => "needs tracefs: mount -t tracefs tracefs /sys/kernel/tracing",
        (false, _) => "needs root",
    };
    println!("skipped: {missing}");
    assert!(std::env::var_os("CI").is_none(), "in CI nothing may be skipped: {missing}");
    None
}

/// Serializes tests. Every pipe receives all printed text, so a test that prints more than a pipe
/// holds would make tests in other processes lose lines.
fn alone() -> fs::File {
    let file = fs::File::create(std::env::temp_dir().join("bpfpack-printk.lock")).unwrap();
    file.lock().unwrap();
    file
}

/// Whether the pipe becomes readable within `millis`.
fn is_ready(pipe: &TracePipe, millis: i64) -> bool {
    let timeout = Timespec { tv_sec: 0, tv_nsec: millis * 1_000_000 };
    poll(&mut [PollFd::new(pipe, PollFlags::IN)], Some(&timeout)).unwrap() == 1
}

/// All available lines that begin with `mark`; others may print, too.
fn lines(pipe: &mut TracePipe, mark: &str) -> Vec<(u32, Duration, String)> {
    let mut found = Vec::new();
    let mut take = |line: Line<'_>| {
        let text = String::from_utf8_lossy(line.text);
        if text.starts_with(mark) {
            assert!(!line.comm.is_empty() && line.comm != FORGOTTEN);
            found.push((line.pid, line.time, text.into_owned()));
        }
    };
    while pipe.read(&mut take).unwrap() > 0 {}
    found
}

fn mark(name: &str) -> String {
    format!("{name} {}:", std::process::id())
}

#[test]
fn a_line_wakes_the_reader() {
    let Some(root) = tracefs() else { return };
    let _alone = alone();
    let mark = mark("wakes");
    let mut pipe = TracePipe::open().unwrap();
    assert_eq!(pipe.shared(), None);
    let Origin::Own(Instance { dir }) = &pipe.origin else { panic!() };
    let dir: PathBuf = dir.clone();
    assert!(dir.starts_with(root) && dir.is_dir());
    let printer = Printer::load(&format!("{mark} at %llu\nand more\n")).unwrap();
    for _ in 0..3 {
        printer.run(1).unwrap();
        assert!(is_ready(&pipe, 900));
        let found = lines(&mut pipe, &mark);
        assert_eq!(found.len(), 1, "{found:?}");
        let (pid, time, text) = &found[0];
        assert_eq!(*pid, rustix::thread::gettid().as_raw_pid() as u32);
        // The pipe's clock is that of `bpf_ktime_get_ns`.
        let told = text.strip_prefix(&format!("{mark} at ")).unwrap();
        let nanos: u64 = told.strip_suffix("\nand more").unwrap().parse().unwrap();
        assert!(time.abs_diff(Duration::from_nanos(nanos)) < Duration::from_secs(1), "{found:?}");
    }
    assert_eq!(pipe.lost(), 0);
    drop(pipe);
    assert!(!dir.exists());
}

#[test]
fn each_line_is_read_or_lost() {
    if tracefs().is_none() {
        return;
    }
    let _alone = alone();
    let mark = mark("lost");
    let printer = Printer::load(&format!("{mark} %llu")).unwrap();
    let mut pipe = TracePipe::open().unwrap();
    let mut read = 0;
    // Losses after the last read are counted like those between two reads.
    for times in [20_000, 10, 40_000] {
        printer.run(times).unwrap();
        read += lines(&mut pipe, &mark).len() as u64;
    }
    printer.run(50_000).unwrap();
    let lost = pipe.lost();
    assert!(lost > 20_000, "{lost}");
    read += lines(&mut pipe, &mark).len() as u64;
    let (lost, told) = (pipe.lost(), pipe.told);
    // Lines of others may be lost, too.
    assert!((110_010..111_000).contains(&(read + lost)), "{read} read, {lost} lost");
    assert!(told <= lost, "{told} {lost}");
}

#[test]
fn what_killed_processes_left_is_removed() {
    let Some(root) = tracefs() else { return };
    let mut child = Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    let stale = root.join("instances").join(format!("bpfpack-{}-1", child.id()));
    fs::create_dir(&stale).unwrap();
    let _one = TracePipe::open().unwrap();
    assert!(!stale.exists());
    // The instance of a living process stays, and a process may have several.
    let _two = TracePipe::open().unwrap();
    let names: Vec<_> = fs::read_dir(root.join("instances")).unwrap().collect();
    let ours = |name: &io::Result<fs::DirEntry>| {
        let name = name.as_ref().unwrap().file_name();
        name.to_string_lossy().starts_with(&format!("bpfpack-{}", std::process::id()))
    };
    assert!(names.iter().filter(|name| ours(name)).count() >= 2);
}

#[test]
fn the_pipe_of_everybody_is_left_as_it_was() {
    let Some(root) = tracefs() else { return };
    let _alone = alone();
    let mark = mark("shared");
    let settings = || {
        ["trace_options", "tracing_on", "trace_clock"]
            .map(|file| fs::read(root.join(file)).unwrap())
    };
    let before = settings();
    let printer = Printer::load(&format!("{mark} %llu")).unwrap();
    printer.run(1).unwrap(); // before we start
    let mut pipe = match TracePipe::open_shared(root, "a test".into()) {
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
            println!("skipped: somebody reads trace_pipe");
            return;
        }
        pipe => pipe.unwrap(),
    };
    assert_eq!(pipe.shared(), Some("a test"));
    printer.run(2).unwrap();
    let start = Instant::now();
    assert!(is_ready(&pipe, 900), "after {:?}", start.elapsed());
    assert_eq!(lines(&mut pipe, &mark).len(), 2);
    drop(pipe);
    assert_eq!(settings(), before);
}
