// SPDX-License-Identifier: MIT
//! In virtual machines, on other kernels than this one.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use bpfpack_tests::vm::{Machine, OLD, kernel};
use bpfpack_tests::{histogram_sums, pack_with, program, scratch};

const GUEST: &str = env!("CARGO_BIN_EXE_guest");

#[test]
fn a_machine_has_file_systems_and_modules_and_reports_the_exit_code() {
    let Some(kernel) = kernel(OLD) else { return };
    let machine = Machine::new(kernel, Path::new(GUEST)).module("sch_ingress").module("cls_bpf");
    let (outcome, console) = machine.run(&["/init", "/proc/modules", "/proc/mounts", "/a b"]);
    assert_eq!(outcome.code, 1, "{console}");
    assert!(outcome.stderr.starts_with("/a b: No such file"), "{}", outcome.stderr);
    for words in ["sch_ingress ", "cls_bpf ", "/sys/fs/bpf bpf ", "/sys/fs/cgroup cgroup2 "] {
        assert!(outcome.stdout.contains(words), "no `{words}` in:\n{}", outcome.stdout);
    }
}

#[test]
fn a_standalone_executable_needs_nothing_but_a_kernel() {
    let Some(kernel) = kernel(OLD) else { return };
    let dir = scratch();
    let _ = pack_with("examples/hardirqs/hardirqs.bpf.c", &dir, &["-s"]);
    let machine = Machine::new(kernel, Path::new(GUEST));
    let machine = machine.file(&dir.path().join("hardirqs"), "/hardirqs");
    // What it writes, its message and each reading, goes through serial ports with interrupts.
    let (outcome, _) =
        machine.run(&["/hardirqs", "--targ_dist", "--targ_ns", "-i", "1", "-c", "3"]);
    let outcome = outcome.succeeded();
    let sums = histogram_sums(&outcome.stdout, "key = ");
    assert!(sums.iter().any(|(_, sum)| *sum > 0), "{}{}", outcome.stdout, outcome.stderr);
    assert!(outcome.stdout.contains("nsecs"), "{}", outcome.stdout);
}

#[test]
fn the_doctor_finds_what_this_kernel_has_and_others_lack() {
    let Some(kernel) = kernel(OLD) else { return };
    let kernel_is_old = kernel.series == "6.1";
    let machine = Machine::new(kernel, Path::new(GUEST)).program(&program("ecli"), "/ecli");
    let (outcome, _) = machine.run(&["/ecli", "doctor", "-j"]);
    let outcome = outcome.succeeded();
    let report = outcome.objects().remove(0);
    let state = |list: &str, name: &str| {
        let checks = report[list].as_array().unwrap();
        let check = checks.iter().find(|check| check["name"] == name);
        check.unwrap_or_else(|| panic!("no `{name}`"))["state"].as_str().unwrap().to_owned()
    };
    for kind in ["kprobe", "kretprobe", "fentry", "fexit", "fmod_ret", "tp", "uprobe", "socket"] {
        assert_eq!(state("kinds", kind), "ok", "{kind}: {}", outcome.stdout);
    }
    // Linux 6.1 does not have them.
    if kernel_is_old {
        for (list, name) in [
            ("kinds", "uprobe.multi"),
            ("kinds", "tcx"),
            ("kinds", "netfilter"),
            ("maps", "arena"),
            ("features", "sign extension"),
        ] {
            assert_eq!(state(list, name), "missing", "{name}: {}", outcome.stdout);
        }
    }
    for name in ["bpffs", "cgroup v2", "kernel BTF"] {
        assert_eq!(state("system", name), "ok", "{name}: {}", outcome.stdout);
    }
}
