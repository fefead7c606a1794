// SPDX-License-Identifier: MIT
//! What no kernel could load: `ecc` completes it.
#![allow(clippy::unwrap_used)]

use std::fs;

use bpfpack_tests::{ecc, ecli, is_root, json, scratch};
use serde_json::Value;
use tempfile::TempDir;

/// A source with more declarations, and a program with this in it.
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

const RING: &str = "struct event { int n; };\nstruct {\n\
    \t__uint(type, BPF_MAP_TYPE_RINGBUF);\n} events SEC(\".maps\");\n\
    struct {\n\t__uint(type, BPF_MAP_TYPE_USER_RINGBUF);\n} asked SEC(\".maps\");";

const WRITE: &str = "struct event event = { 7 };\n\t\
    bpf_ringbuf_output(&events, &event, sizeof(event), 0);";

/// Number of entries of a map in a description.
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
    // An annotation decides, and what is too large for any is told.
    let annotated = |number: &str| {
        RING.replacen("struct {", &format!("/// @max_entries {number}\nstruct {{"), 1)
    };
    let dir = source(&annotated("65536"), WRITE);
    let _ = ecc(dir.path(), &["x.bpf.c"]).succeeded();
    assert_eq!([entries(&dir, "events"), entries(&dir, "asked")], [65536, 256 << 10]);
    let dir = source(&annotated("2147483649"), WRITE);
    let words = ["x.bpf.c:6:1: `@max_entries`", "a ring buffer has at most 2147483648 bytes"];
    ecc(dir.path(), &["x.bpf.c"]).failed(6, &words);
    // A size in the source is the source's.
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
    // libbpf makes a size that the kernel does not take the next larger one.
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
