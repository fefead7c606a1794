// SPDX-License-Identifier: MIT
//! Sources that need the types of older kernels: `ecc` chooses them, unless `--vmlinux` does.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use bpfpack_tests::{Outcome, ecc_command, ecli, is_root, names, scratch, wait};
use tempfile::TempDir;

/// Linux 6.12 has it, and 6.18 does not.
const NAME: &str = "((struct dentry *)ctx)->d_iname";

/// Linux 6.1 has it, and 6.12 does not.
const CAPACITY: &str = "((struct rq *)ctx)->cpu_capacity_orig";

/// Linux 6.12 and 6.18 have it, and 6.1 does not.
const TIME: &str = "((struct inode *)ctx)->i_ctime_sec";

const SOURCE: &str = "\
#include <vmlinux.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>
#include <maps.bpf.h>
#include <bits.bpf.h>
#include <annotate.bpf.h>
struct event { u32 found; };
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); } events SEC(\".maps\");
SEC(\"raw_tp/sched_switch\")
int handle(void *ctx)
{
	struct event event = { .found = 0 FOUND };
	return bpf_ringbuf_output(&events, &event, sizeof(event), 0);
}
char LICENSE[] SEC(\"license\") = \"GPL\";
";

/// A directory with `x.bpf.c`, which reports how many of these members the kernel has.
fn source(members: &[&str]) -> TempDir {
    let found: String =
        members.iter().map(|member| format!("+ bpf_core_field_exists({member}) ")).collect();
    let dir = scratch();
    fs::write(dir.path().join("x.bpf.c"), SOURCE.replace("FOUND", &found)).unwrap();
    dir
}

/// Packs for one instruction set, which takes half of the time.
fn ecc(dir: &Path, args: &[&str]) -> Outcome {
    bpfpack_tests::ecc(dir, &[args, &["--mcpu", "v3"]].concat())
}

/// The note for a source that needs one member.
fn note(member: &str, release: &str) -> String {
    format!(
        "note: x.bpf.c needs types that Linux 6.18 no longer has (`{member}`): compiled with the \
         types of Linux {release}. A kernel that lacks them refuses a program that uses them \
         without a check (`bpf_core_field_exists`)\n"
    )
}

/// Whether this kernel has `d_iname`; `None` without BTF.
fn kernel_has_name() -> Option<bool> {
    let btf = fs::read("/sys/kernel/btf/vmlinux").ok()?;
    Some(btf.windows(9).any(|bytes| bytes == b"\0d_iname\0"))
}

#[test]
fn a_source_gets_the_newest_types_that_suit_it() {
    for target in ["x86", "arm64"] {
        for (members, note) in [
            (&[TIME][..], String::new()),
            (&[NAME], note("dentry.d_iname", "6.12")),
            (&[NAME, TIME], note("dentry.d_iname", "6.12")),
            (&[CAPACITY], note("rq.cpu_capacity_orig", "6.1")),
        ] {
            let dir = source(members);
            let outcome = ecc(dir.path(), &["x.bpf.c", "--target", target]).succeeded();
            assert_eq!(outcome.stderr, note, "{members:?}");
        }
    }
}

#[test]
fn a_check_and_a_header_get_them_too() {
    let dir = source(&[NAME]);
    let outcome = ecc(dir.path(), &["--check", "x.bpf.c"]).succeeded();
    assert!(outcome.stdout.contains("records of event (4 bytes)"), "{}", outcome.stdout);
    assert_eq!(outcome.stderr, note("dentry.d_iname", "6.12"));
    let header = "struct event { struct mm_rss_stat stat; u64 x; };\n";
    fs::write(dir.path().join("x.h"), header).unwrap();
    let outcome = ecc(dir.path(), &["--header-only", "x.h", "-o", "out"]).succeeded();
    assert!(outcome.stderr.contains("(`struct mm_rss_stat`)"), "{}", outcome.stderr);
    assert_eq!(names(&dir.path().join("out")), ["package.json", "x.bpf.o", "x.skel.json"]);
}

#[test]
fn a_source_for_which_no_types_suffice_is_refused_as_with_the_newest() {
    // No release has both.
    let dir = source(&[CAPACITY, TIME]);
    let outcome = ecc(dir.path(), &["x.bpf.c"]);
    let hint =
        "`struct rq` of the bundled vmlinux.h (Linux 6.18) has no member `cpu_capacity_orig`";
    outcome.failed(5, &["no member named 'cpu_capacity_orig'", hint]);
    for word in ["note: x.bpf.c needs", "i_ctime_sec'", "6.12"] {
        assert!(!outcome.stderr.contains(word), "{word}: {}", outcome.stderr);
    }
    assert_eq!(names(dir.path()), ["x.bpf.c"]);
    let dir = source(&["((struct rq *)ctx)->no_such_member", NAME]);
    ecc(dir.path(), &["x.bpf.c"]).failed(5, &["no_such_member", "(Linux 6.18)"]);
}

#[test]
fn other_remedies_and_older_types_go_together() {
    let dir = source(&[NAME]);
    let path = dir.path().join("x.bpf.c");
    let own = "#include \"own.h\"\nenum softirq_names { HI_SOFTIRQ = 5 };\nstruct event {";
    let text = fs::read_to_string(&path).unwrap().replace("struct event {", own);
    fs::write(&path, text).unwrap();
    fs::create_dir(dir.path().join("include")).unwrap();
    fs::write(dir.path().join("include/own.h"), "struct own { int x; };\n").unwrap();
    let outcome = ecc(dir.path(), &["x.bpf.c"]).succeeded();
    assert_eq!(outcome.stderr, note("dentry.d_iname", "6.12"));
}

#[test]
fn the_option_decides() {
    let dir = source(&[NAME]);
    let object = || fs::read(dir.path().join("x.bpf.o")).unwrap();
    // An object in the cache does not change that.
    std::thread::sleep(Duration::from_millis(60));
    for _ in 0..2 {
        let _ = ecc(dir.path(), &["x.bpf.c"]).succeeded();
    }
    let chosen = object();
    let with = |which: &str| ecc(dir.path(), &["x.bpf.c", "--vmlinux", which]);
    with("6.18").failed(5, &["'d_iname'", "(Linux 6.18)"]);
    assert_eq!(with("6.1").succeeded().stderr, "");
    assert_eq!(with("6.12").succeeded().stderr, "");
    assert!(object() == chosen, "the same types give the same bytes");
    let refused = |outcome: Outcome, word: &str| {
        outcome.failed(5, &[word]);
        assert!(!outcome.stderr.contains("note: x.bpf.c"), "{}", outcome.stderr);
    };
    match kernel_has_name() {
        Some(true) => assert_eq!(with("kernel").succeeded().stderr, ""),
        Some(false) => refused(with("kernel"), "'d_iname'"),
        None => {}
    }
    // A file decides, and so does a vmlinux.h of the project.
    let own = "int x = no_such_name;\n";
    fs::write(dir.path().join("6.1"), own).unwrap();
    refused(with("./6.1"), "'no_such_name'");
    fs::write(dir.path().join("vmlinux.h"), own).unwrap();
    refused(ecc(dir.path(), &["x.bpf.c"]), "'no_such_name'");
}

/// Packs with a cache of its own. Returns the outcome, and how often clang compiled the source.
fn pack_verbosely(dir: &Path, cache: &Path) -> (Outcome, usize) {
    let mut command = ecc_command(dir);
    let outcome =
        wait::outcome(command.env("XDG_CACHE_HOME", cache).args(["x.bpf.c", "-v", "--mcpu", "v3"]));
    let runs = outcome.stderr.lines().filter(|line| line.contains(" -c x.bpf.c ")).count();
    (outcome.succeeded(), runs)
}

#[test]
fn an_unchanged_source_is_not_compiled_again_and_a_changed_one_is() {
    let dir = source(&[NAME]);
    let cache = scratch();
    std::thread::sleep(Duration::from_millis(60));
    let (first, runs) = pack_verbosely(dir.path(), cache.path());
    assert_eq!(runs, 2, "{}", first.stderr);
    let object = fs::read(dir.path().join("x.bpf.o")).unwrap();
    let (second, runs) = pack_verbosely(dir.path(), cache.path());
    assert_eq!(runs, 0, "{}", second.stderr);
    let note = note("dentry.d_iname", "6.12");
    for outcome in [&first, &second] {
        assert_eq!(outcome.stderr.matches(&note).count(), 1, "{}", outcome.stderr);
    }
    assert!(fs::read(dir.path().join("x.bpf.o")).unwrap() == object);
    // Another source under the same name, which needs no older types.
    let other = source(&[TIME]);
    fs::rename(other.path().join("x.bpf.c"), dir.path().join("x.bpf.c")).unwrap();
    let (third, runs) = pack_verbosely(dir.path(), cache.path());
    assert!(runs > 0 && !third.stderr.contains("note: x.bpf.c"), "{}", third.stderr);
}

#[test]
fn the_header_that_was_used_is_precompiled() {
    let dir = source(&[NAME]);
    let cache = scratch();
    let path = dir.path().join("x.bpf.c");
    let text = fs::read_to_string(&path).unwrap();
    let uses = (0..3).map(|number| {
        fs::write(&path, text.replace(".found = 0", &format!(".found = {number}"))).unwrap();
        let (outcome, _) = pack_verbosely(dir.path(), cache.path());
        outcome.stderr.matches("-include-pch").count()
    });
    // The first run creates the headers, the second the precompiled one, and the third uses it.
    assert_eq!(uses.collect::<Vec<_>>(), [0, 0, 1]);
    // The header of Linux 6.18 was not, and nothing is left of the attempts.
    let entries = names(&cache.path().join("bpfpack"));
    assert!(!entries.iter().any(|name| name.starts_with("new-")), "{entries:?}");
    let (outcome, _) = pack_verbosely(source(&[TIME]).path(), cache.path());
    assert!(!outcome.stderr.contains("-include-pch"), "{}", outcome.stderr);
}

#[test]
fn the_package_runs_on_kernels_with_the_member_and_without() {
    // A virtual machine with Linux 6.1 runs such a package, too (vm.rs).
    let dir = source(&[NAME]);
    let _ = ecc(dir.path(), &["x.bpf.c"]).succeeded();
    if let Some(has_it) = kernel_has_name().filter(|_| is_root()) {
        let package = dir.path().join("package.json");
        let outcome = ecli(&["run", "-j", "--count", "1", package.to_str().unwrap()]).succeeded();
        assert_eq!(outcome.objects()[0]["found"], u32::from(has_it), "{}", outcome.stdout);
    }
}
