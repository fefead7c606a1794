// SPDX-License-Identifier: MIT
//! Files made to harm those who run them: archives, compression and JSON. Each has its message and
//! exit code 3, takes little memory, and runs nothing.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::process::{Command, Stdio};

use bpfpack_tests::http::{Answer, Server};
use bpfpack_tests::registry::{Image, ecli_in};
use bpfpack_tests::wait::outcome;
use bpfpack_tests::{Outcome, is_root, names, pack, program, scratch};
use tempfile::TempDir;

/// More than any layer may unpack to.
const BOMB: &str = "head -c 70000000 /dev/zero";

/// What `ecli` may use for an input: the limit of a layer, as unpacked and as packed, and itself.
const MEMORY: u64 = 256 << 20;

/// A directory with files that a shell script made. It may leave a file `package.json`.
fn made(script: &str) -> TempDir {
    let dir = scratch();
    let _ = outcome(Command::new("sh").args(["-ec", script]).current_dir(dir.path())).succeeded();
    dir
}

fn at(dir: &TempDir, name: &str) -> String {
    dir.path().join(name).to_str().unwrap().to_owned()
}

/// Runs a package around a command that leaves a file, with the memory that this took.
fn run(dir: &TempDir, package: &str) -> (Outcome, u64) {
    let peak = at(dir, "peak");
    let mut command = Command::new(env!("CARGO_BIN_EXE_peak"));
    command.arg(&peak).arg(program("ecli")).args(["run", "--package-cache", "none", package]);
    command.args(["--", "touch", &at(dir, "ran")]).stdin(Stdio::null());
    let outcome = outcome(&mut command);
    (outcome, fs::read_to_string(peak).unwrap().parse().unwrap())
}

/// Checks that a file neither runs nor is inspected, and how that fails.
#[track_caller]
fn is_no_package(dir: &TempDir, name: &str, words: &[&str]) {
    is_refused(dir, name, words);
    bpfpack_tests::ecli(&["inspect", &at(dir, name)]).failed(3, words);
}

/// Checks that a file does not run, and how that fails.
#[track_caller]
fn is_refused(dir: &TempDir, name: &str, words: &[&str]) {
    let (outcome, memory) = run(dir, &at(dir, name));
    outcome.failed(3, &[&[name], words].concat());
    assert!(!dir.path().join("ran").exists() && outcome.stdout.is_empty(), "{name}");
    assert!(memory < MEMORY, "{name}: {memory} bytes");
}

#[test]
fn members_of_archives_that_are_no_plain_files() {
    let dir = made(
        "echo '{}' > package.json; ln package.json hard; ln -s package.json soft; mkfifo pipe
         truncate -s 10G huge.json; truncate -s 3M holes.json
         tar cf hard.tar package.json hard; tar cf soft.tar soft; tar cf pipe.tar pipe
         tar cf device.tar -C /dev null; tar cPf absolute.tar $PWD/package.json
         tar cPf above.tar ../$(basename $PWD)/package.json
         tar cSf sparse.tar huge.json; tar cSf holes.tar holes.json
         for version in 0.0 0.1 1.0; do
           tar --format=pax --sparse-version=$version -cSf pax-$version.tar huge.json
           tar --format=pax --sparse-version=$version -cSf pax-holes-$version.tar holes.json
         done
         { tar cf - huge.json || true; } | head -c 1000000 > claims.tar
         { tar --format=pax -cf - huge.json || true; } | head -c 1000000 > pax-claims.tar
         { tar czf - huge.json || true; } | head -c 100000 > claims.tar.gz",
    );
    for (name, words) in [
        ("hard.tar", "the archive has the link `hard`"),
        ("soft.tar", "the archive has the link `soft`"),
        ("pipe.tar", "the archive has the special file `pipe`"),
        ("device.tar", "the archive has the special file `null`"),
        ("absolute.tar", "the archive has the absolute name `/"),
        ("above.tar", "the archive has a name with `..`, `../"),
        ("sparse.tar", "the archive has the sparse file `huge.json`"),
        ("holes.tar", "the archive has the sparse file `holes.json`"),
        ("pax-0.0.tar", "the archive has the sparse file `"),
        ("pax-0.1.tar", "the archive has the sparse file `"),
        ("pax-1.0.tar", "the archive has the sparse file `"),
        ("pax-holes-0.0.tar", "the archive has the sparse file `"),
        ("pax-holes-0.1.tar", "the archive has the sparse file `"),
        ("pax-holes-1.0.tar", "the archive has the sparse file `"),
        ("claims.tar", "the archive has the too large file `huge.json`"),
        ("pax-claims.tar", "the archive has the too large file `huge.json`"),
        ("claims.tar.gz", "the gzip data "),
    ] {
        is_no_package(&dir, name, &[words]);
    }
}

#[test]
fn archives_with_many_members() {
    if !is_root() {
        return;
    }
    let dir = made(
        "mkdir a b; (cd a; touch $(seq 1000)); (cd b; touch $(seq 5000))
         touch package.json; tar cf many.tar b package.json",
    );
    is_refused(&dir, "many.tar", &["the archive has more than 4096 members"]);
    fs::remove_file(dir.path().join("package.json")).unwrap();
    let _ = pack("examples/exits/exits.bpf.c", &dir);
    let tar = Command::new("tar")
        .args(["cf", "some.tar", "a", "package.json"])
        .current_dir(dir.path())
        .status();
    assert!(tar.unwrap().success());
    let (outcome, _) = run(&dir, &at(&dir, "some.tar"));
    let _ = outcome.succeeded();
    assert!(dir.path().join("ran").exists());
}

/// Bombs in each layer, as a shell makes them.
fn bombs() -> TempDir {
    made(&format!(
        "{BOMB} | gzip > bomb.gz; gzip -c bomb.gz > gz.gz; gzip -c gz.gz > gz.gz.gz
         {BOMB} | zstd -q > bomb.zst; gzip -c bomb.zst > zst.gz; zstd -q < bomb.gz > gz.zst
         {BOMB} | zstd -q --long=31 > wide.zst
         {BOMB} > package.json; tar czf big.tar.gz package.json; tar cf big.tar package.json
         cp bomb.gz package.json; tar cf member.tar package.json; gzip -k member.tar
         zstd -q member.tar; cp bomb.zst package.json; tar czf zst-member.tar.gz package.json
         {{ echo 'bpf_object: x'; {BOMB} | tr '\\0' ' '; }} | gzip > yaml.gz
         rm package.json"
    ))
}

#[test]
fn compression_bombs() {
    let dir = bombs();
    let gzip = "the gzip data unpacks to more than 64 MiB";
    let zstd = "the zstd data unpacks to more than 64 MiB";
    for (name, words) in [
        ("bomb.gz", gzip),
        ("gz.gz", gzip),
        ("gz.gz.gz", gzip),
        ("bomb.zst", zstd),
        ("zst.gz", zstd),
        ("gz.zst", gzip),
        ("wide.zst", "the zstd data"),
        ("big.tar.gz", gzip),
        ("big.tar", "the archive has the too large file `package.json`"),
        ("member.tar", gzip),
        ("member.tar.gz", gzip),
        ("member.tar.zst", gzip),
        ("zst-member.tar.gz", zstd),
        ("yaml.gz", gzip),
    ] {
        is_refused(&dir, name, &[words]);
    }
}

#[test]
fn a_bomb_in_a_registry_or_behind_a_url() {
    let (dir, server) = (bombs(), Server::start());
    let before = names(dir.path());
    for (name, words) in [
        ("bomb.gz", "the gzip data unpacks to more than 64 MiB"),
        ("zst.gz", "the zstd data unpacks to more than 64 MiB"),
        ("member.tar.gz", "the gzip data unpacks to more than 64 MiB"),
    ] {
        let bomb = fs::read(dir.path().join(name)).unwrap();
        server.answer("/bomb", Answer::Bytes(bomb.clone()));
        let image = Image::new("bomb", &bomb).answer(&server);
        for source in [&server.url("/bomb"), &image] {
            let (outcome, memory) = run(&dir, source);
            outcome.failed(3, &["is not a package", words]);
            assert!(!dir.path().join("ran").exists() && outcome.stdout.is_empty());
            assert!(memory < MEMORY, "{source}: {memory} bytes");
            fs::remove_file(dir.path().join("peak")).unwrap();
        }
        // What is pulled is a package, or is not written.
        outcome(&mut ecli_in(&dir, &["pull", &image])).failed(3, &["is not a package"]);
        assert_eq!(names(dir.path()), before);
    }
}

#[test]
fn json_of_great_depth() {
    let dir = scratch();
    let at_depth = |begin: &str, open: &str, middle: &str, close: &str, end: &str| {
        format!("{begin}{}{middle}{}{end}", open.repeat(10_000), close.repeat(10_000))
    };
    for (name, text) in [
        ("open", "[".repeat(10_000)),
        ("lists", at_depth("", "[", "", "]", "")),
        ("objects", at_depth("", "{\"a\":", "1", "}", "")),
        ("object", at_depth("{\"bpf_object\":", "[", "", "]", "}")),
        ("meta", at_depth("{\"bpf_object\":\"\",\"meta\":", "{\"a\":", "1", "}", "}")),
        ("other", at_depth("{\"bpf_object\":\"\",\"meta\":{},\"x\":", "[", "", "]", "}")),
        ("yaml", at_depth("bpf_object: x\nmeta: ", "[", "", "]", "\n")),
    ] {
        let file = dir.path().join("package.json");
        fs::write(&file, text).unwrap();
        let pack = format!(
            "cp package.json {name}.json; tar cf {name}.tar package.json
             gzip -c package.json > {name}.gz; tar czf {name}.tar.gz package.json"
        );
        let mut shell = Command::new("sh");
        let _ = outcome(shell.args(["-ec", &pack]).current_dir(dir.path())).succeeded();
        for ending in ["json", "tar", "gz", "tar.gz"] {
            is_no_package(&dir, &format!("{name}.{ending}"), &["is not a package"]);
        }
        let push = ["push", "package.json", "127.0.0.1:1/a:1"];
        outcome(&mut ecli_in(&dir, &push)).failed(3, &["is not a package"]);
    }
}
