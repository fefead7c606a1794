// SPDX-License-Identifier: MIT
//! Packages with objects for several instruction sets.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // tests fail by panicking

use std::fs;
use std::path::{Path, PathBuf};

use bpfpack_tests::{ecc, ecli, is_root, json, scratch};
use serde_json::{Value, json};

/// A program that counts system calls; `EXTRA` is in its body.
const SOURCE: &str = "#include <vmlinux.h>\n#include <bpf/bpf_helpers.h>\n\
    u64 total;\nunsigned int limit;\n\
    SEC(\"raw_tp/sys_enter\")\nint handle(unsigned long *ctx)\n{\n\
    \tunsigned int n = bpf_get_prandom_u32();\n\n\
    \tif (n > limit)\n\t\ttotal++;\n\tEXTRA\n\treturn 0;\n}\n\
    char LICENSE[] SEC(\"license\") = \"GPL\";\n";

/// Packs the source with another body, for one instruction set.
fn packed(dir: &Path, name: &str, extra: &str, options: &[&str]) -> Value {
    let path = dir.join(format!("{name}.bpf.c"));
    fs::write(&path, SOURCE.replace("EXTRA", extra)).unwrap();
    let out = dir.join(name);
    let args = [path.to_str().unwrap(), "-o", out.to_str().unwrap()];
    let _ = ecc(dir, &[&args[..], options].concat()).succeeded();
    json(&out.join("package.json"))
}

/// A package whose object is that of `first`, with a variant from `second`.
fn with_variant(dir: &Path, first: &Value, second: &Value) -> PathBuf {
    let mut package = first.clone();
    package["bpf_object_variants"] = json!([{
        "cpu": "v2",
        "bpf_object": second["bpf_object"],
        "bpf_object_size": second["bpf_object_size"],
    }]);
    let path = dir.join("both.json");
    fs::write(&path, package.to_string()).unwrap();
    path
}

fn instruction_sets(package: &Value) -> Vec<&str> {
    let variants = package["bpf_object_variants"].as_array();
    variants.into_iter().flatten().map(|variant| variant["cpu"].as_str().unwrap()).collect()
}

#[test]
fn ecc_packs_variants_unless_one_instruction_set_is_chosen() {
    let dir = scratch();
    let package = packed(dir.path(), "a", "", &[]);
    assert_eq!(instruction_sets(&package), ["v2"]);
    // The second time, all of them come from the cache.
    assert_eq!(packed(dir.path(), "a", "", &[]), package);
    let one = packed(dir.path(), "b", "", &["--mcpu", "v3"]);
    assert_eq!(one["bpf_object_variants"], Value::Null);
    assert_eq!(one["bpf_object_size"], package["bpf_object_size"]);
    let other = packed(dir.path(), "c", "", &["--mcpu", "v1,v3,v2"]);
    assert_eq!(instruction_sets(&other), ["v3", "v2"]);
    // An instruction set that gives the same instructions is no variant, and neither is one for which
    // clang makes no object.
    let same = packed(dir.path(), "d", "", &["--mcpu", "v2,v1,v9"]);
    assert!(!instruction_sets(&same).contains(&"v9"), "{:?}", instruction_sets(&same));
    for bad in ["v3,", "v3,v2,v2"] {
        let outcome = ecc(dir.path(), &["a.bpf.c", "--mcpu", bad]);
        outcome.failed(2, &[&format!("--mcpu {bad}: "), "name each instruction set once"]);
    }
}

#[test]
fn ecli_loads_the_variant_if_the_kernel_refuses_the_object() {
    if !is_root() {
        return;
    }
    let dir = scratch();
    let good = packed(dir.path(), "good", "", &["--mcpu", "v2"]);
    let bad = packed(dir.path(), "bad", "total += *(int *)(ctx[0] + 8);", &["--mcpu", "v3"]);
    let both = with_variant(dir.path(), &bad, &good);
    let path = both.to_str().unwrap();
    let outcome = ecli(&["run", "-v", "-j", "-d", "50ms", path]).succeeded();
    assert!(outcome.stdout.contains("\"total\":"), "{}", outcome.stdout);
    let words = "loaded for `v2`, because the kernel's verifier refused `handle`";
    assert!(outcome.stderr.contains(words), "{}", outcome.stderr);
    assert!(!ecli(&["run", "-d", "50ms", path]).succeeded().stderr.contains("refused"));
    // If all are refused, the message is that of the object.
    let worse = packed(dir.path(), "worse", "while (1) total++;", &["--mcpu", "v2"]);
    let both = with_variant(dir.path(), &bad, &worse);
    let outcome = ecli(&["run", "-d", "50ms", both.to_str().unwrap()]);
    outcome.failed(4, &["verifier refused `handle`", "bad.bpf.c:12: total += *(int *)"]);
    // What is not the same tracer is no variant of it.
    let mut other = packed(dir.path(), "other", "static u32 more; total += more++;", &[]);
    other["bpf_object"] = json_of_another(dir.path())["bpf_object"].clone();
    other["bpf_object_size"] = json_of_another(dir.path())["bpf_object_size"].clone();
    let both = with_variant(dir.path(), &bad, &other);
    ecli(&["run", "-d", "50ms", both.to_str().unwrap()]).failed(4, &["verifier refused `handle`"]);
}

/// A package with other programs.
fn json_of_another(dir: &Path) -> Value {
    let path = dir.join("another.bpf.c");
    fs::write(&path, SOURCE.replace("handle", "another")).unwrap();
    let text = fs::read_to_string(&path).unwrap().replace("EXTRA", "");
    fs::write(&path, text).unwrap();
    let out = dir.join("another");
    let _ = ecc(dir, &[path.to_str().unwrap(), "-o", out.to_str().unwrap()]).succeeded();
    json(&out.join("package.json"))
}

#[test]
fn rules_and_reports_concern_all_variants() {
    let dir = scratch();
    let good = packed(dir.path(), "good", "", &["--mcpu", "v3"]);
    let signals = packed(dir.path(), "signals", "bpf_send_signal(9);", &["--mcpu", "v2"]);
    let both = with_variant(dir.path(), &good, &signals);
    let path = both.to_str().unwrap();
    let outcome = ecli(&["run", "--observe-only", path]);
    outcome.failed(11, &["send signals", "`handle`: bpf_send_signal"]);
    let outcome = ecli(&["inspect", path]).succeeded();
    for words in ["variant  ", "(v2,", "bpf_send_signal"] {
        assert!(outcome.stdout.contains(words), "no `{words}` in:\n{}", outcome.stdout);
    }
    let outcome = ecli(&["inspect", "--disassemble", path]).succeeded();
    let (_, of_variant) = outcome.stdout.split_once("The variant for v2:").unwrap();
    assert!(of_variant.contains("call bpf_send_signal"), "{of_variant}");
    let outcome = ecli(&["inspect", "-j", path]).succeeded();
    let report = outcome.objects().remove(0);
    assert_eq!(report["sha256"]["variants"]["v2"].as_str().unwrap().len(), 64);
}
