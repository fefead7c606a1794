// SPDX-License-Identifier: MIT
//! `ecc`: its results, and its errors.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use bpfpack_tests::wait::{ended, outcome};
use bpfpack_tests::{ecc, ecc_command, json, names, run, scratch};
use serde_json::{Value, json as value};

/// A source as people write them.
const SOURCE: &str = r#"
#include <vmlinux.h>
#include <bpf/bpf_helpers.h>
#include "event.h"

/// @description Only this process
/// @cmdarg {"short": "p", "long": "pid"}
const volatile int target_pid = 0;
const volatile bool on = true;
int seen;
struct seen_by { int a; } by[2];

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} rb SEC(".maps");

/// @link_to something
SEC("tp/syscalls/sys_enter_getpgid")
int handle(void *ctx)
{
	struct event *event = bpf_ringbuf_reserve(&rb, sizeof(*event), 0);

	if (!event)
		return 0;
	event->pid = target_pid;
	seen++;
	bpf_ringbuf_submit(event, 0);
	return 0;
}

/// @brief A test
char LICENSE[] SEC("license") = "GPL";
"#;

const HEADER: &str = "struct event { int pid; char comm[16]; enum kind { A, B } kind; };\n";

fn project() -> tempfile::TempDir {
    let dir = scratch();
    fs::write(dir.path().join("my-tool.bpf.c"), SOURCE).unwrap();
    fs::write(dir.path().join("event.h"), HEADER).unwrap();
    dir
}

#[test]
fn the_files_and_the_description() {
    let dir = project();
    let _ = ecc(dir.path(), &["my-tool.bpf.c"]).succeeded();
    let expected =
        ["event.h", "my-tool.bpf.c", "my-tool.bpf.o", "my-tool.skel.json", "package.json"];
    assert_eq!(names(dir.path()), expected);
    let meta = json(&dir.path().join("my-tool.skel.json"));
    assert_eq!(json(&dir.path().join("package.json"))["meta"], meta);
    let event = meta["export_types"][0]["type_id"].as_u64().unwrap();
    assert_eq!(
        meta,
        value!({
            "bpf_skel": {
                "data_sections": [
                    {"name": ".rodata", "variables": [
                        {"name": "target_pid", "type": "int", "description": "Only this process",
                         "cmdarg": {"short": "p", "long": "pid"}},
                        {"name": "on", "type": "bool", "value": true}]},
                    {"name": ".bss", "variables": [
                        {"name": "seen", "type": "int", "view": {"kind": "table"}},
                        {"name": "by", "type": "struct seen_by[2]"}]}],
                "maps": [
                    {"name": "rb", "ident": "rb", "records": [
                        {"name": "event", "size": 24, "btf_type_id": event}]},
                    {"name": "my_tool_.rodata", "ident": "rodata", "mmaped": true},
                    {"name": "my_tool_.bss", "ident": "bss", "mmaped": true}],
                "obj_name": "my_tool_bpf",
                "progs": [{"name": "handle", "attach": "tp/syscalls/sys_enter_getpgid",
                           "link": true, "link_to": "something"}],
                "doc": {"brief": "A test"}},
            "export_types": [{"name": "event", "size": 24, "type_id": event, "members": [
                {"name": "pid", "type": "int"}, {"name": "comm", "type": "char[16]"},
                {"name": "kind", "type": "enum kind"}]}],
            "eunomia_version": "0.3.4",
            "bpfpack": {"version": 3}})
    );
}

#[test]
fn a_header_exports_its_structs() {
    let dir = project();
    let _ = ecc(dir.path(), &["my-tool.bpf.c", "event.h"]).succeeded();
    let meta = json(&dir.path().join("my-tool.skel.json"));
    let ty = &meta["export_types"][0];
    assert_eq!(ty["name"], "event");
    assert_eq!(ty["size"], 24);
    assert_eq!(
        ty["members"],
        value!([{"name": "pid", "type": "int"}, {"name": "comm", "type": "char[16]"},
               {"name": "kind", "type": "enum kind"}])
    );
    let dummy = &meta["bpf_skel"]["data_sections"][1]["variables"];
    let is_there =
        |v: &Value| v["name"] == "__eunomia_dummy_event_ptr" && v["type"] == "struct event *";
    assert!(dummy.as_array().unwrap().iter().any(is_there), "{dummy}");
    // The source file is unchanged.
    assert_eq!(fs::read_to_string(dir.path().join("my-tool.bpf.c")).unwrap(), SOURCE);
}

#[test]
fn a_header_that_the_source_does_not_include() {
    let dir = project();
    fs::write(dir.path().join("other.h"), "struct other { int x; };\n").unwrap();
    let outcome = ecc(dir.path(), &["my-tool.bpf.c", "other.h"]);
    outcome.failed(6, &["struct other", "other.h", "does the source include"]);
    assert_eq!(names(dir.path()), ["event.h", "my-tool.bpf.c", "other.h"]);
}

#[test]
fn the_same_source_gives_the_same_bytes_wherever_it_is() {
    let (one, two) = (project(), project());
    let sub = two.path().join("a b/c");
    fs::create_dir_all(&sub).unwrap();
    for name in ["my-tool.bpf.c", "event.h"] {
        fs::rename(two.path().join(name), sub.join(name)).unwrap();
    }
    let cache = one.path().join("cache");
    let results: Vec<Vec<u8>> = [
        // No cache, a new one, one with the headers, one with precompiled headers …
        (one.path(), "my-tool.bpf.c", None),
        (one.path(), "my-tool.bpf.c", Some(&cache)),
        (two.path(), "a b/c/my-tool.bpf.c", Some(&cache)),
        (two.path(), "./a b/../a b/c/my-tool.bpf.c", Some(&cache)),
        (&sub, "my-tool.bpf.c", Some(&cache)),
        (&sub, "my-tool.bpf.c", None),
    ]
    .into_iter()
    .map(|(dir, source, cache)| {
        let mut command = ecc_command(dir);
        let nowhere = Path::new("/proc/nowhere");
        command.env("XDG_CACHE_HOME", cache.map_or(nowhere, |cache| cache.as_path()));
        let out = scratch();
        let _ = outcome(command.arg(source).arg("-o").arg(out.path())).succeeded();
        fs::read(out.path().join("package.json")).unwrap()
    })
    .collect();
    for result in &results {
        assert!(*result == results[0]);
    }
    // … and no path of this machine in it.
    let object = fs::read({
        let _ = ecc(one.path(), &["my-tool.bpf.c"]).succeeded();
        one.path().join("my-tool.bpf.o")
    })
    .unwrap();
    let text = String::from_utf8_lossy(&object);
    assert!(!text.contains(one.path().to_str().unwrap()) && !text.contains("/headers-"));
    assert!(text.contains("event->pid = target_pid;"), "source lines for the verifier's log");
    assert!(!text.contains(".debug_info"));
}

#[test]
fn a_change_of_anything_is_seen() {
    let dir = project();
    let object = || {
        let _ = ecc(dir.path(), &["my-tool.bpf.c"]).succeeded();
        fs::read(dir.path().join("my-tool.bpf.o")).unwrap()
    };
    let first = object();
    assert!(first == object(), "nothing changed");
    // a header
    fs::write(dir.path().join("event.h"), HEADER.replace("int pid", "int tid, pid")).unwrap();
    let second = object();
    assert!(first != second, "the header changed");
    // a header that hides one of ecc's
    let ours = "#include_next <bpf/bpf_helpers.h>\nint hidden;\n";
    fs::create_dir(dir.path().join("bpf")).unwrap();
    fs::write(dir.path().join("bpf/bpf_helpers.h"), ours).unwrap();
    let third = object();
    assert!(
        String::from_utf8_lossy(&third).contains("hidden"),
        "the directory's header comes first"
    );
    fs::remove_dir_all(dir.path().join("bpf")).unwrap();
    assert!(second == object());
    // flags
    let _ = ecc(dir.path(), &["my-tool.bpf.c", "-a", "-O1 -DX"]).succeeded();
    // a comment at the end of a line is in the source lines in the object
    let source = SOURCE.replace("seen++;", "seen++; /* counted */");
    fs::write(dir.path().join("my-tool.bpf.c"), source).unwrap();
    assert!(String::from_utf8_lossy(&object()).contains("counted"));
}

#[test]
fn a_damaged_cache_does_no_harm() {
    let dir = project();
    let cache = dir.path().join("cache");
    let compile = |source: &str| {
        fs::write(dir.path().join("my-tool.bpf.c"), source).unwrap();
        let mut command = ecc_command(dir.path());
        let _ = outcome(command.env("XDG_CACHE_HOME", &cache).arg("my-tool.bpf.c")).succeeded();
        fs::read(dir.path().join("package.json")).unwrap()
    };
    let first = compile(SOURCE);
    let _ = compile(&SOURCE.replace("seen++", "seen += 2"));
    let _ = compile(&SOURCE.replace("seen++", "seen += 3"));
    let mut damaged = 0;
    for entry in fs::read_dir(cache.join("bpfpack")).unwrap().flatten() {
        if entry.path().is_file() {
            fs::write(entry.path(), b"garbage").unwrap();
            damaged += 1;
        }
    }
    assert!(damaged > 0, "there is something to damage");
    assert!(compile(SOURCE) == first);
    // A cache to which others can write is not used.
    let directory = cache.join("bpfpack");
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o777)).unwrap();
    assert!(compile(SOURCE) == first);
}

#[test]
fn several_at_once() {
    let dir = project();
    let cache = dir.path().join("cache");
    let start = || {
        let out = scratch();
        let mut command = ecc_command(dir.path());
        command.env("XDG_CACHE_HOME", &cache).arg("my-tool.bpf.c").arg("-o").arg(out.path());
        (command.spawn().unwrap(), out)
    };
    for _ in 0..2 {
        let running: Vec<_> = (0..4).map(|_| start()).collect();
        let results: Vec<_> = running
            .into_iter()
            .map(|(mut child, out)| {
                assert!(ended(&mut child).success());
                fs::read(out.path().join("package.json")).unwrap()
            })
            .collect();
        assert!(results.iter().all(|result| *result == results[0]));
    }
    let leftovers: Vec<_> =
        names(&cache.join("bpfpack")).into_iter().filter(|n| n.starts_with("new-")).collect();
    assert!(leftovers.is_empty(), "{leftovers:?}");
}

#[test]
fn clangs_errors_are_clangs_and_nothing_is_written() {
    let dir = project();
    fs::write(dir.path().join("my-tool.bpf.c"), SOURCE.replace("seen++", "zq++")).unwrap();
    let outcome = ecc(dir.path(), &["my-tool.bpf.c"]);
    outcome.failed(5, &["my-tool.bpf.c:27:2: error: use of undeclared identifier 'zq'", "^"]);
    assert!(!outcome.stderr.contains("Packing"), "{}", outcome.stderr);
    assert_eq!(names(dir.path()), ["event.h", "my-tool.bpf.c"]);
    // Warnings are repeated when a source is compiled again.
    let source = SOURCE.replace("seen++;", "seen++; int unused_one;");
    fs::write(dir.path().join("my-tool.bpf.c"), source).unwrap();
    for _ in 0..3 {
        let outcome = ecc(dir.path(), &["my-tool.bpf.c", "-a", "-Wall"]).succeeded();
        assert!(outcome.stderr.contains("unused variable 'unused_one'"), "{}", outcome.stderr);
    }
}

#[test]
fn no_compiler_or_one_without_bpf() {
    let dir = project();
    let outcome = ecc(dir.path(), &["my-tool.bpf.c", "-c", "clang-99"]);
    outcome.failed(4, &["cannot find the compiler `clang-99`", "apt-get install clang"]);
    // A compiler without BPF.
    let fake = dir.path().join("fake-clang");
    fs::write(
        &fake,
        "#!/bin/sh\n[ \"$1\" = --print-targets ] && echo ' x86 - X' && exit 0\nexit 1\n",
    )
    .unwrap();
    fs::set_permissions(&fake, fs::Permissions::from_mode(0o755)).unwrap();
    let outcome = ecc(dir.path(), &["my-tool.bpf.c", "-c", "./fake-clang"]);
    outcome.failed(4, &["cannot compile for BPF", "apt-get install clang"]);
    assert!(!dir.path().join("package.json").exists());
}

#[test]
fn files_that_are_not_there_or_can_not_be_written() {
    let dir = project();
    ecc(dir.path(), &["nothing.bpf.c"]).failed(3, &["cannot read `nothing.bpf.c`", "No such file"]);
    ecc(dir.path(), &["my-tool.bpf.c", "no.h"]).failed(3, &["cannot read `no.h`"]);
    ecc(dir.path(), &["my-tool.bpf.c", "--vmlinux", "no.h"]).failed(3, &["cannot read `no.h`"]);
    ecc(dir.path(), &["my-tool.bpf.c", "-o", "/proc/x"]).failed(7, &["/proc/x"]);
    fs::create_dir(dir.path().join("package.json")).unwrap();
    ecc(dir.path(), &["my-tool.bpf.c"]).failed(7, &["cannot write", "package.json"]);
    assert_eq!(names(dir.path()), ["event.h", "my-tool.bpf.c", "package.json"]);
    fs::remove_dir(dir.path().join("package.json")).unwrap();
    let leftovers: Vec<_> = names(dir.path()).into_iter().filter(|n| n.starts_with('.')).collect();
    assert!(leftovers.is_empty(), "{leftovers:?}");
    let _ = ecc(dir.path(), &["my-tool.bpf.c", "-o", "a/b/c"]).succeeded();
    assert!(dir.path().join("a/b/c/package.json").exists());
    let _ = ecc(dir.path(), &["my-tool.bpf.c", "-n", "-o", "d"]).succeeded();
    assert_eq!(names(&dir.path().join("d")), ["my-tool.bpf.o", "my-tool.skel.json"]);
}

#[test]
fn annotations_that_are_wrong_are_told_with_their_place() {
    let dir = project();
    let source = SOURCE.replace("/// @link_to something", "/// @autoload perhaps");
    fs::write(dir.path().join("my-tool.bpf.c"), source).unwrap();
    let outcome = ecc(dir.path(), &["my-tool.bpf.c"]);
    outcome.failed(6, &["my-tool.bpf.c:18:1: `@autoload`", "expected a boolean"]);
    for (from, to, words) in [
        ("\"short\": \"p\"", "\"short\": \"pid\"", "one letter"),
        ("\"long\": \"pid\"", "\"long\": \"help\"", "options of every package"),
    ] {
        fs::write(dir.path().join("my-tool.bpf.c"), SOURCE.replace(from, to)).unwrap();
        ecc(dir.path(), &["my-tool.bpf.c"]).failed(6, &["my-tool.bpf.c:7:1: `@cmdarg`", words]);
    }
    let source = SOURCE.replace("\"long\": \"pid\"}", "\"long\": }");
    fs::write(dir.path().join("my-tool.bpf.c"), source).unwrap();
    let outcome = ecc(dir.path(), &["my-tool.bpf.c"]).succeeded();
    assert!(
        outcome.stderr.contains("`@cmdarg` is ignored: not valid JSON: expected value\n    7 | ")
    );
    let source = SOURCE.replace("int seen;", "/// @sample {}\n#define X\nint seen;");
    fs::write(dir.path().join("my-tool.bpf.c"), source).unwrap();
    let outcome = ecc(dir.path(), &["my-tool.bpf.c"]).succeeded();
    assert!(
        outcome.stderr.contains("nothing in the object belongs to the declaration"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn other_architectures_and_other_headers() {
    let dir = project();
    for target in ["x86", "arm64", "aarch64"] {
        let _ = ecc(dir.path(), &["my-tool.bpf.c", "--target", target, "-o", target]).succeeded();
    }
    ecc(dir.path(), &["my-tool.bpf.c", "--target", "vax"]).failed(2, &["vax", "arm64"]);
    if Path::new("/sys/kernel/btf/vmlinux").exists() {
        let _ = ecc(dir.path(), &["my-tool.bpf.c", "--vmlinux", "kernel"]).succeeded();
    }
    // A vmlinux.h next to the source takes precedence.
    fs::write(dir.path().join("vmlinux.h"), "#error mine\n").unwrap();
    ecc(dir.path(), &["my-tool.bpf.c"]).failed(5, &["mine"]);
    fs::rename(dir.path().join("vmlinux.h"), dir.path().join("v.h")).unwrap();
    ecc(dir.path(), &["my-tool.bpf.c", "--vmlinux", "v.h"]).failed(5, &["mine"]);
}

#[test]
fn help_tells_all_options() {
    let outcome = run(bpfpack_tests::program("ecc"), &["--help"]).succeeded();
    for option in ["--output-path", "--vmlinux", "--target", "--additional-cflags", "--clang-bin"] {
        assert!(outcome.stdout.contains(option), "no {option}");
    }
    let version = run(bpfpack_tests::program("ecc"), &["--version"]).succeeded().stdout;
    assert!(version.starts_with("ecc "), "{version}");
    let version = run(bpfpack_tests::program("ecli"), &["--version"]).succeeded().stdout;
    assert!(version.starts_with("ecli "), "{version}");
}
