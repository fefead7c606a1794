// SPDX-License-Identifier: MIT
//! In a virtual machine, on an older kernel than this one. `tests/tests/matrix.rs` tests others.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use bpfpack_refusal::since::Version;
use bpfpack_tests::matrix::{self, FILES};
use bpfpack_tests::refused::{self, Program};
use bpfpack_tests::vm::{OLD, kernel};
use bpfpack_tests::{Outcome, histogram_sums, pack, pack_with, scratch};

const GUEST: &str = env!("CARGO_BIN_EXE_guest");

/// Kinds that this kernel may lack, with examples of them.
const CASES: [&str; 7] = ["kprobe", "fentry", "fexit", "lsm", "tc", "vfslat", "lsmopen"];

/// Programs that are refused: by the verifier, whose log has another format here, and by kinds that
/// the machine on which the tests run may not have.
const REFUSED: [&str; 6] =
    ["null_value", "unreleased", "member", "function", "typed_function", "hook"];

/// One boot, since that takes most of the time.
#[test]
fn an_old_kernel() {
    let Some(kernel) = kernel(OLD) else { return };
    let files = matrix::files();
    let dir = scratch();
    let _ = pack_with("examples/hardirqs/hardirqs.bpf.c", &dir, &["-s"]);
    let machine = matrix::machine(kernel, Path::new(GUEST), files.path());
    let machine = machine.file(&dir.path().join("hardirqs"), "/hardirqs");
    let older = scratch();
    let older_types = pack("tests/fixtures/older_types.bpf.c", &older);
    let mut machine = machine.file(Path::new(&older_types), "/older_types.json");
    let refused: Vec<Program> =
        refused::all().into_iter().filter(|it| REFUSED.contains(&&*it.name)).collect();
    for program in &refused {
        machine = machine.file(&program.pack(&dir, false), &format!("/{}.json", program.name));
    }
    let ecli = format!("{FILES}/ecli");
    let commands = [
        &["/init", "/proc/modules", "/proc/mounts", "/a b"][..],
        // What it writes, its message and each reading, goes through serial ports with interrupts.
        &["/hardirqs", "--targ_dist", "--targ_ns", "-i", "1", "-c", "3"],
        &[&ecli, "doctor", "-j"],
        &[&["/init", "cases", FILES], &CASES[..]].concat(),
    ];
    let mut commands: Vec<Vec<String>> = commands.map(owned).into();
    commands.push(owned(&[&ecli, "run", "-j", "-c", "1", "/older_types.json"]));
    commands.extend(refused.iter().map(|program| refused::command(&ecli, &program.name)));
    let mut ended = machine.run_all(&commands);
    assert_eq!(ended.outcomes.len(), commands.len(), "{}", ended.failure());
    let mut next = || ended.outcomes.remove(0);
    has_file_systems_and_modules(&next());
    runs_a_standalone_executable(&next().succeeded());
    has_what_the_doctor_finds(&next().succeeded());
    let cases = matrix::ended(&next().succeeded().stdout);
    assert!(cases.len() == CASES.len() && cases.iter().all(matrix::Ended::works), "{cases:#?}");
    let found = next().succeeded().objects().remove(0);
    assert!(found["value"]["found"].as_u64() > Some(0), "this kernel has the older type: {found}");
    for program in &refused {
        assert_eq!(program.judge(&next(), Version(6, 1)), None);
    }
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn has_file_systems_and_modules(outcome: &Outcome) {
    assert_eq!(outcome.code, 1);
    assert!(outcome.stderr.starts_with("/a b: No such file"), "{}", outcome.stderr);
    for words in ["sch_ingress ", "cls_bpf ", "/sys/fs/bpf bpf ", "/sys/fs/cgroup cgroup2 "] {
        assert!(outcome.stdout.contains(words), "no `{words}` in:\n{}", outcome.stdout);
    }
}

fn runs_a_standalone_executable(outcome: &Outcome) {
    let sums = histogram_sums(&outcome.stdout, "key = ");
    assert!(sums.iter().any(|(_, sum)| *sum > 0), "{}{}", outcome.stdout, outcome.stderr);
    assert!(outcome.stdout.contains("nsecs"), "{}", outcome.stdout);
}

fn has_what_the_doctor_finds(outcome: &Outcome) {
    let report = outcome.objects().remove(0);
    for kind in report["kinds"].as_array().unwrap() {
        let name = kind["name"].as_str().unwrap();
        let is_in_matrix = matrix::CASES.iter().any(|case| case.name.starts_with(name));
        assert!(is_in_matrix, "`{name}` has no row in tests/src/matrix/cases.rs");
    }
    let state = |list: &str, name: &str| {
        let checks = report[list].as_array().unwrap();
        let check = checks.iter().find(|check| check["name"] == name);
        check.unwrap_or_else(|| panic!("no `{name}`"))["state"].as_str().unwrap().to_owned()
    };
    for kind in ["kprobe", "kretprobe", "fentry", "fexit", "fmod_ret", "tp", "uprobe", "socket"] {
        assert_eq!(state("kinds", kind), "ok", "{kind}: {}", outcome.stdout);
    }
    // Linux 6.1 does not have them.
    for (list, name) in [
        ("kinds", "uprobe.multi"),
        ("kinds", "tcx"),
        ("kinds", "netfilter"),
        ("maps", "arena"),
        ("features", "sign extension"),
    ] {
        assert_eq!(state(list, name), "missing", "{name}: {}", outcome.stdout);
    }
    for name in ["bpffs", "cgroup v2", "kernel BTF"] {
        assert_eq!(state("system", name), "ok", "{name}: {}", outcome.stdout);
    }
}
