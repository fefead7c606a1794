// SPDX-License-Identifier: MIT
//! Sources that no kernel could load: `ecc` completes or refuses them.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::process::Command;

use bpfpack_tests::{ecc, ecli, is_root, json, names, scratch};
use serde_json::Value;
use tempfile::TempDir;

/// A source with more declarations, and a program with this body.
fn source(declarations: &str, body: &str) -> TempDir {
    let dir = scratch();
    let text = format!(
        "#include <vmlinux.h>\n#include <bpf/bpf_helpers.h>\nchar a[64], b[64];\nint n;\n\
         {declarations}\nSEC(\"raw_tp/sys_enter\")\nint handle(void *ctx)\n{{\n\t{body}\n\treturn 0;\n}}\n\
         char LICENSE[] SEC(\"license\") = \"GPL\";\n"
    );
    fs::write(dir.path().join("x.bpf.c"), text).unwrap();
    dir
}

#[track_caller]
fn packs(declarations: &str, body: &str) {
    let dir = source(declarations, body);
    let _ = ecc(dir.path(), &["x.bpf.c"]).succeeded();
    let _ = ecc(dir.path(), &["--check", "x.bpf.c"]).succeeded();
    // An object instead of a source.
    let _ = ecc(dir.path(), &["x.bpf.o", "-o", "again"]).succeeded();
}

#[track_caller]
fn refuses(declarations: &str, body: &str, words: &[&str]) {
    let dir = source(declarations, body);
    for args in [&["x.bpf.c"][..], &["--check", "x.bpf.c"]] {
        let outcome = ecc(dir.path(), args);
        outcome.failed(6, words);
        outcome.failed(6, &["no kernel can load the object", "hint: "]);
        assert_eq!(outcome.stdout, "");
    }
    assert_eq!(names(dir.path()), ["x.bpf.c"]);
}

#[test]
fn functions_that_nobody_defines_are_refused() {
    let called = "`handle` (x.bpf.c:9) calls `memcmp`, which is not defined";
    refuses("", "n += __builtin_memcmp(a, b, n);", &[called, "clang 15 or newer", "bpf_strncmp"]);
    refuses("", "n += __builtin_strlen(a);", &["calls `strlen`", "bpf_probe_read_kernel_str"]);
    let declared = "int own(int x);";
    refuses(declared, "n += own(n);", &["calls `own`", "misspelled", "__always_inline", "__ksym"]);
    // Several in one function, and a static function in `.text`.
    let inner = "int own(int x);\n\
        static __noinline int inner(int x)\n{\n\treturn own(x);\n}";
    let words = ["`inner` (x.bpf.c:8), `handle` (x.bpf.c:14) call `own`"];
    refuses(inner, "n += inner(n);\n\tn += own(n);", &words);
    // Declared weak in the source, but not as a kernel function.
    refuses("extern int own(int x) __weak;", "if (own)\n\t\tn += own(n);", &["calls `own`"]);
    refuses("extern int theirs;", "n += theirs;", &["uses `theirs`", "__kconfig"]);
}

#[test]
fn what_the_kernel_or_the_object_has_is_packed() {
    packs("extern int bpf_own(int x) __ksym;", "n += bpf_own(n);");
    packs("extern int bpf_own(int x) __ksym __weak;", "if (bpf_own)\n\t\tn += bpf_own(n);");
    packs("extern const int runqueues __ksym;", "n += (long)&runqueues;");
    packs("extern int CONFIG_HZ __kconfig;", "n += CONFIG_HZ;");
    packs("extern int CONFIG_HZ __kconfig __weak;", "n += CONFIG_HZ;");
    packs("extern int LINUX_KERNEL_VERSION __kconfig;", "n += LINUX_KERNEL_VERSION;");
    packs("", "bpf_printk(\"%d %d %d %d\", n, n, n, n);");
    packs("", "__builtin_memcpy(a, b, 64);\n\t__builtin_memset(b, 0, 64);");
    packs("static __noinline int inner(int x)\n{\n\treturn x * n;\n}", "n += inner(n);");
    packs("__noinline int global(int x)\n{\n\treturn x * n;\n}", "n += global(n);");
    packs("__weak int global(int x)\n{\n\treturn x * n;\n}", "n += global(n);");
    // Declared but not used.
    packs("int own(int x);\nextern int theirs;", "n++;");
}

#[test]
fn an_object_is_looked_at_as_a_source_is() {
    let dir = scratch();
    let text = "#define SEC(name) __attribute__((section(name), used))\n\
        int own(int x);\n\
        SEC(\"raw_tp/sys_enter\") int handle(int *ctx) { return own(*ctx); }\n\
        char LICENSE[] SEC(\"license\") = \"GPL\";\n";
    fs::write(dir.path().join("x.c"), text).unwrap();
    let mut clang = Command::new("clang");
    clang.args(["-g", "-O2", "-target", "bpf", "-c", "x.c", "-o", "x.bpf.o"]);
    assert!(clang.current_dir(dir.path()).status().unwrap().success());
    let words = ["x.bpf.o: `handle` (", "x.c:3) calls `own`", "bpftool gen object"];
    ecc(dir.path(), &["x.bpf.o", "-o", "out"]).failed(6, &words);
    assert!(!dir.path().join("out").exists());
}

#[test]
fn what_clang_does_not_expand_has_the_same_hint() {
    let dir = source("", "__builtin_memcpy(a, b, n);");
    let words = ["built-in function 'memcpy'", "hint: BPF has no C library", "constant bound"];
    ecc(dir.path(), &["x.bpf.c"]).failed(5, &words);
}

const RING: &str = "struct event { int n; };\nstruct {\n\
    \t__uint(type, BPF_MAP_TYPE_RINGBUF);\n} events SEC(\".maps\");\n\
    struct {\n\t__uint(type, BPF_MAP_TYPE_USER_RINGBUF);\n} asked SEC(\".maps\");";

const WRITE: &str = "struct event event = { 7 };\n\t\
    bpf_ringbuf_output(&events, &event, sizeof(event), 0);";

/// The number of entries of a map in the meta data.
fn entries(dir: &TempDir, name: &str) -> Value {
    let meta = json(&dir.path().join("x.skel.json"));
    let maps = meta["bpf_skel"]["maps"].as_array().unwrap();
    maps.iter().find(|map| map["name"] == name).unwrap()["max_entries"].clone()
}

#[test]
fn ring_buffers_without_a_size_get_one() {
    let dir = source(RING, WRITE);
    let _ = ecc(dir.path(), &["x.bpf.c"]).succeeded();
    assert_eq!([entries(&dir, "events"), entries(&dir, "asked")], [256 << 10, 256 << 10]);
    // An annotation takes precedence, and one that is too large is reported.
    let annotated = |number: &str| {
        RING.replacen("struct {", &format!("/// @max_entries {number}\nstruct {{"), 1)
    };
    let dir = source(&annotated("65536"), WRITE);
    let _ = ecc(dir.path(), &["x.bpf.c"]).succeeded();
    assert_eq!([entries(&dir, "events"), entries(&dir, "asked")], [65536, 256 << 10]);
    let dir = source(&annotated("2147483649"), WRITE);
    let words = ["x.bpf.c:6:1: `@max_entries`", "a ring buffer has at most 2147483648 bytes"];
    ecc(dir.path(), &["x.bpf.c"]).failed(6, &words);
    // A size in the source takes precedence.
    let sized = RING.replacen("RINGBUF);", "RINGBUF);\n\t__uint(max_entries, 4096);", 1);
    let dir = source(&sized, WRITE);
    let _ = ecc(dir.path(), &["x.bpf.c"]).succeeded();
    assert_eq!(entries(&dir, "events"), Value::Null);
}

#[test]
fn ring_buffers_are_made_with_the_size_that_is_asked_for() {
    if !is_root() {
        return;
    }
    let dir =
        source(RING.split("struct {\n\t__uint(type, BPF_MAP_TYPE_USER").next().unwrap(), WRITE);
    let _ = ecc(dir.path(), &["x.bpf.c"]).succeeded();
    let package = dir.path().join("package.json");
    let package = package.to_str().unwrap();
    // libbpf rounds a size that the kernel does not accept up to the next one.
    for options in
        [&[][..], &["--map-entries", "events=1048576"], &["--map-entries", "events=5000"]]
    {
        let args = [&["run", "-j", "-c", "3"], options, &[package]].concat();
        let outcome = ecli(&args).succeeded();
        assert_eq!(outcome.stdout, "{\"n\":7}\n".repeat(3), "{options:?}");
    }
    let outcome = ecli(&["run", "--map-entries", "events=4000000000", package]);
    outcome.failed(2, &["--map-entries events=4000000000", "at most 2147483648 bytes"]);
}
