// SPDX-License-Identifier: MIT
//! In virtual machines, on other kernels than this one.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use bpfpack_tests::vm::{Machine, any_kernel};
use bpfpack_tests::{histogram_sums, pack_with, scratch};

const GUEST: &str = env!("CARGO_BIN_EXE_guest");

#[test]
fn a_machine_has_file_systems_and_modules_and_reports_the_exit_code() {
    let Some(kernel) = any_kernel() else { return };
    let machine = Machine::new(kernel, Path::new(GUEST)).module("sch_ingress").module("cls_bpf");
    let ended = machine.run(&["/init", "/proc/modules", "/proc/mounts", "/a b"]);
    let outcome = ended.outcome;
    assert_eq!(outcome.code, 1, "{}", ended.console);
    assert!(outcome.stderr.starts_with("/a b: No such file"), "{}", outcome.stderr);
    for words in ["sch_ingress ", "cls_bpf ", "/sys/fs/bpf bpf ", "/sys/fs/cgroup cgroup2 "] {
        assert!(outcome.stdout.contains(words), "no `{words}` in:\n{}", outcome.stdout);
    }
}

#[test]
fn a_standalone_executable_needs_nothing_but_a_kernel() {
    let Some(kernel) = any_kernel() else { return };
    let dir = scratch();
    let _ = pack_with("examples/hardirqs/hardirqs.bpf.c", &dir, &["-s"]);
    let machine = Machine::new(kernel, Path::new(GUEST));
    let machine = machine.file(&dir.path().join("hardirqs"), "/hardirqs");
    // What it writes, its message and each reading, goes through serial ports with interrupts.
    let ended = machine.run(&["/hardirqs", "--targ_dist", "--targ_ns", "-i", "1", "-c", "3"]);
    let outcome = ended.outcome.succeeded();
    let sums = histogram_sums(&outcome.stdout, "key = ");
    assert!(sums.iter().any(|(_, sum)| *sum > 0), "{}{}", outcome.stdout, outcome.stderr);
    assert!(outcome.stdout.contains("nsecs"), "{}", outcome.stdout);
}
