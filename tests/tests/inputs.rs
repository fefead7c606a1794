// SPDX-License-Identifier: MIT
//! What `ecli` runs besides a plain package.json: compressed, in archives, in YAML, behind an
//! executable; and the executables of `ecc -s`, used as their tools in C would be.
#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use bpfpack_tests::wait::outcome;
use bpfpack_tests::{Outcome, ecc, ecli, is_root, pack, pack_with, program, root, run, scratch};
use tempfile::TempDir;

const EXITS: &str = "examples/exits/exits.bpf.c";

/// Runs a package while `sh` exits with 3; it must have seen that.
#[track_caller]
fn sees_an_exit(package: &str) {
    let outcome = ecli(&["run", "-j", "-q", package, "--", "sh", "-c", "exit 3"]);
    shows_an_exit(&outcome);
}

#[track_caller]
fn shows_an_exit(outcome: &Outcome) {
    assert_eq!(outcome.code, 3, "{}", outcome.stderr);
    let is_it = |record: &serde_json::Value| record["comm"] == "sh" && record["exit_code"] == 3;
    assert!(outcome.objects().iter().any(is_it), "{}", outcome.stdout);
}

/// Runs a shell command in a directory.
#[track_caller]
fn shell(dir: &TempDir, script: &str) {
    let _ = outcome(Command::new("sh").args(["-ec", script]).current_dir(dir.path())).succeeded();
}

#[test]
fn compressed_archived_and_yaml_packages_run() {
    if !is_root() {
        return;
    }
    let dir = scratch();
    let package = pack(EXITS, &dir);
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    shell(
        &dir,
        "gzip -k package.json; tar cf p.tar exits.skel.json package.json; gzip -k p.tar; \
         mkdir sub; cp package.json sub; tar cf deep.tar ./sub",
    );
    for name in ["package.json.gz", "p.tar", "p.tar.gz", "deep.tar"] {
        sees_an_exit(&at(name));
    }
    // The name does not matter.
    fs::rename(at("p.tar.gz"), at("any")).unwrap();
    sees_an_exit(&at("any"));
    let stdin = File::open(at("any")).unwrap();
    let mut command = Command::new(program("ecli"));
    command.args(["run", "-j", "-q", "-", "--", "sh", "-c", "exit 3"]);
    shows_an_exit(&outcome(command.stdin(Stdio::from(stdin))));
    let yaml = scratch();
    let _ = pack_with(EXITS, &yaml, &["-y"]);
    sees_an_exit(yaml.path().join("package.yaml").to_str().unwrap());
    fs::remove_file(package).unwrap();
}

#[test]
fn what_cannot_be_unpacked_is_an_error() {
    let dir = scratch();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    shell(
        &dir,
        "echo {} > package.json; gzip -k package.json; head -c 20 package.json.gz > short.gz; \
         ln -s package.json link; tar cf link.tar link; tar cf none.tar short.gz; \
         tar cPf dots.tar ../$(basename $PWD)/package.json; \
         head -c 70000000 /dev/zero | gzip -1 > bomb.gz; gzip -c bomb.gz > bomb.gz.gz",
    );
    for (name, words) in [
        ("short.gz", "the gzip data is damaged"),
        ("link.tar", "the archive has the link `link`"),
        ("none.tar", "the archive has no package.json"),
        ("dots.tar", "the archive has a name with `..`"),
        ("bomb.gz", "the gzip data unpacks to more than 64 MiB"),
        ("bomb.gz.gz", "the gzip data unpacks to more than 64 MiB"),
    ] {
        ecli(&["run", &at(name)]).failed(3, &[name, words]);
    }
    ecli(&["run", "/proc/self/exe"]).failed(3, &["an ELF file without a package", "hint: `ecc"]);
}

fn standalone(dir: &TempDir) -> PathBuf {
    let _ = pack_with(EXITS, dir, &["-s"]);
    dir.path().join("exits")
}

#[test]
fn a_standalone_executable_is_used_as_a_tool_in_c() {
    if !is_root() {
        return;
    }
    let dir = scratch();
    let exits = standalone(&dir);
    assert_eq!(fs::metadata(&exits).unwrap().permissions().mode() & 0o111, 0o111);
    // It needs neither the package nor ecli.
    fs::remove_file(dir.path().join("package.json")).unwrap();
    let help = run(&exits, &["--help"]).succeeded().stdout;
    assert!(help.contains("Usage: exits [OPTIONS]\n"), "{help}");
    assert!(help.contains("--only_failed") && help.contains("`exits --ecli-help`"), "{help}");
    let help = run(&exits, &["--ecli-help"]).succeeded().stdout;
    assert!(help.contains("--duration"), "{help}");
    shows_an_exit(&run(&exits, &["-j", "-q", "--only_failed", "--", "sh", "-c", "exit 3"]));
    let none = run(&exits, &["-q", "-j", "--only_failed", "--", "true"]).succeeded();
    // Other processes of this machine may fail meanwhile.
    assert!(!none.objects().iter().any(|object| object["comm"] == "true"), "{}", none.stdout);
    run(&exits, &["--nonsense"]).failed(2, &["unknown option `--nonsense`"]);
    run(&exits, &["run"]).failed(2, &["`run` is not an option"]);
    // It is still a package.
    sees_an_exit(exits.to_str().unwrap());
}

#[test]
fn executables_are_made_from_ecli_only() {
    let dir = scratch();
    let exits = standalone(&dir);
    let size = fs::metadata(&exits).unwrap().len();
    let source = root().join(EXITS);
    let source = source.to_str().unwrap();
    let output = dir.path().to_str().unwrap();
    let make = |runner: &str| ecc(dir.path(), &["-s", source, "-o", output, "--runner", runner]);
    // One takes the place of another, and is a runner itself.
    let own = exits.to_str().unwrap();
    let _ = make(own).succeeded();
    assert_eq!(fs::metadata(&exits).unwrap().len(), size);
    make("/bin/true").failed(3, &["is not an ecli to which a package can be appended"]);
    make(source).failed(3, &["is not an executable", "--runner FILE"]);
    assert_eq!(fs::metadata(&exits).unwrap().len(), size, "it stays as it was");
    fs::write(&exits, "other").unwrap();
    make(program("ecli").to_str().unwrap())
        .failed(7, &["exits` is not replaced: it is not an executable of ecc"]);
}
