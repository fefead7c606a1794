// SPDX-License-Identifier: MIT
//! Programs that the kernel refuses: the first two lines of the message name the cause and the
//! place, and a program that follows the hint is accepted.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // tests fail by panicking

use std::path::Path;

use bpfpack_refusal::since::Version;
use bpfpack_tests::refused::{Program, all};
use bpfpack_tests::targets::has_network;
use bpfpack_tests::{Outcome, can, ecli, scratch};

/// Programs for functions of the kernel. A kernel without kprobes refuses them for another reason.
const FUNCTIONS: [&str; 3] = ["function", "typed_function", "hook"];

fn run(package: &Path) -> Outcome {
    ecli(&["run", "-q", "-d", "20ms", package.to_str().unwrap()])
}

/// The programs that this machine can judge.
fn judged() -> Vec<Program> {
    let has_kprobes = Path::new("/sys/bus/event_source/devices/kprobe").exists();
    let mut programs = all();
    programs.retain(|program| {
        let can_judge = has_kprobes || !FUNCTIONS.contains(&&*program.name);
        if !can_judge {
            let name = &program.name;
            println!("skipped `{name}`: this kernel has no kprobes; the virtual machines do");
        }
        can_judge
    });
    programs
}

#[test]
fn messages_name_the_cause_and_the_place() {
    if !has_network() {
        return;
    }
    let dir = scratch();
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let kernel = Version::parse(&release).unwrap();
    let programs = judged();
    assert!(programs.len() >= 40, "there are {} programs", programs.len());
    let wrong: Vec<String> = programs
        .iter()
        .filter_map(|program| program.judge(&run(&program.pack(&dir, false)), kernel))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn programs_that_follow_the_hint_are_accepted() {
    if !has_network() {
        return;
    }
    let dir = scratch();
    for program in judged().iter().filter(|program| program.name != "operations") {
        let outcome = run(&program.pack(&dir, true));
        assert_eq!(outcome.code, 0, "{}: {}", program.name, outcome.stderr);
    }
}

#[test]
fn the_nearest_names_are_suggested() {
    if !has_network() || !can("needs tracepoints of system calls", has_system_calls()) {
        return;
    }
    let dir = scratch();
    for (name, suggested) in [
        ("tracepoint", "but `syscalls/sys_enter_openat`, "),
        ("raw_tracepoint", "but `sched_switch`"),
        ("typed_tracepoint", "but `sched_process_exec`"),
        ("iterator", "but `task`"),
        ("binary_function", "but `malloc`"),
        ("member", "but `pid`"),
        ("type", "but `task_struct`"),
        ("enumerator", "but `BPF_MAP_TYPE_RINGBUF`"),
        ("kernel_function", "but `bpf_task_acquire`"),
        ("operations", "and `tcp_congestion_ops`"),
    ] {
        let program = all().into_iter().find(|program| program.name == name).unwrap();
        let outcome = run(&program.pack(&dir, false));
        assert!(outcome.stderr.contains(suggested), "{}", outcome.stderr);
    }
}

fn has_system_calls() -> bool {
    let events = "/sys/kernel/tracing/events/syscalls/sys_enter_openat";
    Path::new(events).exists()
}

#[test]
fn the_whole_log_is_shown_if_it_is_asked_for() {
    if !has_network() {
        return;
    }
    let dir = scratch();
    let program = all().into_iter().find(|program| program.name == "null_value").unwrap();
    let package = program.pack(&dir, false);
    let outcome = ecli(&["run", "-v", "-d", "20ms", package.to_str().unwrap()]);
    for words in ["-- BEGIN PROG LOAD LOG --", "R0 invalid mem access", "processed "] {
        assert!(outcome.stderr.contains(words), "no `{words}` in:\n{}", outcome.stderr);
    }
    let short = run(&package).stderr;
    assert!(short.lines().count() <= 8 && !short.contains("processed "), "{short}");
}
