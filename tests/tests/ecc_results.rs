// SPDX-License-Identifier: MIT
//! Where `ecc` writes its results: an existing file is replaced only if it is a result of the same
//! kind.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::symlink;

use bpfpack_tests::wait::outcome;
use bpfpack_tests::{ecc, ecc_command, json, names, program, run, scratch};

const SOURCE: &str = "
#include <vmlinux.h>
#include <bpf/bpf_helpers.h>
SEC(\"raw_tp/sched_switch\")
int handle(void *ctx)
{
	return 0;
}
char LICENSE[] SEC(\"license\") = \"GPL\";
";

const NPM: &str = "{\"name\": \"web\", \"version\": \"1.0.0\", \"scripts\": {\"build\": \"tsc\"},\n \
    \"dependencies\": {\"left-pad\": \"^1.3.0\"}}\n";

fn project() -> tempfile::TempDir {
    let dir = scratch();
    fs::write(dir.path().join("x.bpf.c"), SOURCE).unwrap();
    dir
}

/// A compiler that must not run.
const NO_COMPILER: [&str; 2] = ["-c", "/proc/nowhere/clang"];

#[test]
fn a_package_json_of_npms_stays() {
    let dir = project();
    let package = dir.path().join("package.json");
    fs::write(&package, NPM).unwrap();
    // It is noticed before anything is compiled.
    for args in [&["x.bpf.c"][..], &["x.bpf.c", NO_COMPILER[0], NO_COMPILER[1]]] {
        let outcome = ecc(dir.path(), args);
        outcome.failed(7, &["package.json`", "an npm package.json", "-o DIR", "--force"]);
        assert_eq!(fs::read_to_string(&package).unwrap(), NPM);
        assert_eq!(names(dir.path()), ["package.json", "x.bpf.c"]);
    }
    // If nothing is in the way, or no package is written.
    let _ = ecc(dir.path(), &["x.bpf.c", "-o", "out"]).succeeded();
    let _ = ecc(dir.path(), &["x.bpf.c", "-n"]).succeeded();
    let _ = ecc(dir.path(), &["x.bpf.c", "--check"]).succeeded();
    assert_eq!(fs::read_to_string(&package).unwrap(), NPM);
    let outcome = ecc(dir.path(), &["x.bpf.c", "--force"]).succeeded();
    let line = "note: replaced `package.json`, which was an npm package.json\n";
    assert_eq!(outcome.stderr, line);
    assert!(json(&package)["bpf_object"].is_string());
}

#[test]
fn files_of_other_kinds_stay_and_are_named() {
    for (name, content, what) in [
        ("package.json", "{}", "not a package of ecc"),
        ("package.json", "", "not a package of ecc"),
        ("package.json", "[\"bpf_object\"]", "not a package of ecc"),
        ("x.bpf.o", "no object", "not an object for BPF"),
        ("x.skel.json", "{\"bones\": 206}", "not a description of ecc"),
        ("ewasm-skel.h", "#pragma once\nint mine;\n", "not a header of ecc"),
    ] {
        let dir = project();
        fs::write(dir.path().join(name), content).unwrap();
        let before = names(dir.path());
        let args = ["x.bpf.c", "--wasm-header"];
        ecc(dir.path(), &args).failed(7, &[name, what, "--force"]);
        assert_eq!(names(dir.path()), before);
        assert_eq!(fs::read_to_string(dir.path().join(name)).unwrap(), content);
        let _ = ecc(dir.path(), &[args[0], args[1], "--force"]).succeeded();
        // Replaced by a result of ecc, which the next one replaces silently.
        assert_eq!(ecc(dir.path(), &args).succeeded().stderr, "");
    }
    let dir = project();
    for (name, what) in
        [("package.yaml", "an npm package.json"), ("x.skel.yaml", "not a description of ecc")]
    {
        let path = dir.path().join(name);
        fs::write(&path, "name: web\nscripts:\n  build: tsc\n").unwrap();
        ecc(dir.path(), &["-y", "x.bpf.c"]).failed(7, &[name, what]);
        fs::remove_file(path).unwrap();
    }
    let _ = ecc(dir.path(), &["-y", "x.bpf.c"]).succeeded();
    assert_eq!(ecc(dir.path(), &["-y", "x.bpf.c"]).succeeded().stderr, "");
    // A program for this machine under the object's name.
    fs::copy("/bin/true", dir.path().join("x.bpf.o")).unwrap();
    ecc(dir.path(), &["x.bpf.c"]).failed(7, &["x.bpf.o`", "ELF file, but not for BPF"]);
}

#[test]
fn a_package_of_another_source_is_replaced_with_a_word() {
    let dir = project();
    fs::write(dir.path().join("y-z.bpf.c"), SOURCE).unwrap();
    for extra in [&[][..], &["-y"]] {
        let pack = |name| ecc(dir.path(), &[&[name], extra].concat()).succeeded().stderr;
        assert_eq!(pack("x.bpf.c"), "");
        assert_eq!(pack("x.bpf.c"), "");
        let package = if extra.is_empty() { "package.json" } else { "package.yaml" };
        let told =
            |source| format!("note: replaced `{package}`, which was packed from `{source}`\n");
        assert_eq!(pack("y-z.bpf.c"), told("x"));
        assert_eq!(pack("x.bpf.c"), told("y_z"));
        let name = fs::read_to_string(dir.path().join(package)).unwrap();
        assert!(name.contains("x_bpf"));
    }
    // With several sources, each has its own.
    let _ = ecc(dir.path(), &["x.bpf.c", "y-z.bpf.c"]).succeeded();
    fs::write(dir.path().join("x.package.json"), NPM).unwrap();
    fs::remove_file(dir.path().join("y-z.package.json")).unwrap();
    let outcome = ecc(dir.path(), &["x.bpf.c", "y-z.bpf.c"]);
    outcome.failed(7, &["x.package.json", "an npm package.json"]);
    assert!(dir.path().join("y-z.package.json").exists());
    assert_eq!(fs::read_to_string(dir.path().join("x.package.json")).unwrap(), NPM);
}

#[test]
fn links_are_replaced_only_by_force_and_never_followed() {
    for target in ["elsewhere/package.json", "nowhere"] {
        let dir = project();
        let elsewhere = dir.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        fs::write(elsewhere.join("package.json"), NPM).unwrap();
        let package = dir.path().join("package.json");
        symlink(target, &package).unwrap();
        let told = format!("a symbolic link to `{target}`");
        ecc(dir.path(), &["x.bpf.c"]).failed(7, &["package.json`", &told, "--force"]);
        assert_eq!(names(dir.path()), ["elsewhere", "package.json", "x.bpf.c"]);
        let outcome = ecc(dir.path(), &["x.bpf.c", "--force"]).succeeded();
        assert!(outcome.stderr.contains(&told), "{}", outcome.stderr);
        assert!(!package.is_symlink() && json(&package)["bpf_object"].is_string());
        assert_eq!(names(&elsewhere), ["package.json"], "what it led to is as it was");
        assert_eq!(fs::read_to_string(elsewhere.join("package.json")).unwrap(), NPM);
        assert!(!dir.path().join("nowhere").exists());
    }
    // A link to a directory is a directory.
    let dir = project();
    fs::create_dir(dir.path().join("real")).unwrap();
    symlink("real", dir.path().join("out")).unwrap();
    let _ = ecc(dir.path(), &["x.bpf.c", "-o", "out"]).succeeded();
    assert!(dir.path().join("real/package.json").exists());
}

#[test]
fn what_is_no_file_is_an_error_at_once() {
    // Opening a pipe that nobody writes to would block forever.
    for name in ["package.json", "x.bpf.o", "x.skel.json", "ewasm-skel.h"] {
        let dir = project();
        let path = dir.path().join(name);
        let check = |what: &str| {
            for force in [&[][..], &["--force"]] {
                let args = [&["x.bpf.c", "--wasm-header"], force].concat();
                ecc(dir.path(), &args).failed(7, &["cannot write", name, what]);
            }
            assert_eq!(names(dir.path()).len(), 2);
        };
        let _ = run("mkfifo", &[&path]).succeeded();
        check("a named pipe");
        fs::remove_file(&path).unwrap();
        let socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
        check("a socket");
        drop(socket);
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        check("a directory");
    }
}

#[test]
fn a_huge_file_is_not_replaced() {
    let dir = project();
    for name in ["package.json", "x.skel.json", "x.bpf.o", "ewasm-skel.h"] {
        let path = dir.path().join(name);
        fs::File::create(&path).unwrap().set_len(10 << 30).unwrap();
        ecc(dir.path(), &["x.bpf.c", "--wasm-header", NO_COMPILER[0], NO_COMPILER[1]])
            .failed(7, &[name, "is not replaced"]);
        assert_eq!(fs::metadata(&path).unwrap().len(), 10 << 30);
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn what_comes_while_the_source_is_compiled_stays() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = project();
    let slow = dir.path().join("slow-clang");
    fs::write(
        &slow,
        "#!/bin/sh\nprintf '{\"name\": 1, \"scripts\": 2}' > package.json\nexec clang \"$@\"\n",
    )
    .unwrap();
    fs::set_permissions(&slow, fs::Permissions::from_mode(0o755)).unwrap();
    ecc(dir.path(), &["x.bpf.c", "-c", "./slow-clang"]).failed(7, &["an npm package.json"]);
    assert_eq!(names(dir.path()), ["package.json", "slow-clang", "x.bpf.c"]);
}

#[test]
fn what_is_read_is_never_replaced() {
    let dir = scratch();
    fs::write(dir.path().join("ewasm-skel.h"), "struct a { int EWASM_JSON_INCLUDE_H_; };\n")
        .unwrap();
    let args = ["--header-only", "ewasm-skel.h", "--wasm-header", "--force"];
    ecc(dir.path(), &args).failed(7, &["ewasm-skel.h", "it is also an input"]);
    assert_eq!(names(dir.path()), ["ewasm-skel.h"]);
    // An object may be packed in place.
    let dir = project();
    let _ = ecc(dir.path(), &["x.bpf.c"]).succeeded();
    let object = fs::read(dir.path().join("x.bpf.o")).unwrap();
    let _ = ecc(dir.path(), &["x.bpf.o"]).succeeded();
    assert_eq!(fs::read(dir.path().join("x.bpf.o")).unwrap(), object);
}

#[test]
fn files_that_can_not_be_looked_at_are_told() {
    let dir = project();
    let mut command = ecc_command(dir.path());
    outcome(command.args(["x.bpf.c", "-o", "x.bpf.c/in"])).failed(7, &["x.bpf.c/in"]);
    let help = run(program("ecc"), &["--help"]).succeeded().stdout;
    assert!(help.contains("--force"));
}
