// SPDX-License-Identifier: MIT
//! The scope of tracing: a process, threads with a name, a cgroup, a container; by an argument of
//! the package or by a member of its data.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bpfpack_tests::wait::status;
use bpfpack_tests::{Running, can, ecli, is_root, json_lines, pack, run, scratch, sys};
use serde_json::Value;
use tempfile::TempDir;

const EXECS: &str = "tests/fixtures/execs.bpf.c";
const OPENSNOOP: &str = "examples/opensnoop/opensnoop.bpf.c";
const ID: &str = "4a6f0c9f3a52d1e7b8c4a6f0c9f3a52d1e7b8c4a6f0c9f3a52d1e7b8c4a6f0c9";

#[test]
fn a_process_is_an_argument_or_a_member() {
    if !is_root() {
        return;
    }
    let (one, two) = (scratch(), scratch());
    let us = std::process::id().to_string();
    let script = "true; /bin/true; exec /bin/echo done";
    // By a member.
    let execs = pack(EXECS, &one);
    let running = Running::ecli(&["run", "-j", "-p", &us, &execs]);
    let _ = status(&mut Command::new("true"));
    let outcome = running.interrupt().succeeded();
    assert_eq!(outcome.objects(), Vec::<Value>::new(), "this process executes nothing");
    assert!(outcome.stderr.contains(" read, 0 shown"), "{}", outcome.stderr);
    let outcome = ecli(&["run", "-d", "0.1", "-p", &us, &execs]).succeeded();
    let words = format!("-p {us}: shows only data with `pid == {us}`");
    assert!(outcome.stderr.contains(&words), "{}", outcome.stderr);
    let filtered = ["run", "-j", &execs, "--comm", "echo", "--", "sh", "-c", script];
    let outcome = ecli(&filtered).succeeded();
    let shown: Vec<&str> = outcome.stdout.lines().filter(|line| *line != "done").collect();
    assert!(shown.len() == 1 && shown[0].contains("\"echo\""), "{}", outcome.stdout);
    assert!(
        outcome.stderr.contains("shows only data with `comm == \"echo\"`"),
        "{}",
        outcome.stderr
    );
    // By an argument, before and after the package's name.
    let opensnoop = pack(OPENSNOOP, &two);
    let before = ecli(&["run", "-d", "0.1", "-p", &us, &opensnoop]).succeeded();
    let words = format!("-p {us}: passed to the package's argument `pid`");
    assert!(before.stderr.contains(&words), "{}", before.stderr);
    let both = ecli(&["run", "-p", &us, &opensnoop, "-p", "3"]);
    both.failed(2, &["`--pid` of the package is also given"]);
}

#[test]
fn what_no_package_can_be_limited_to_is_an_error() {
    if !is_root() {
        return;
    }
    let dir = scratch();
    let package = pack("tests/fixtures/one_raw_tp.bpf.c", &dir);
    let run = |args: &[&str]| ecli(&[&["run"], args, &[&package]].concat());
    run(&["-p", "1"]).failed(2, &["-p 1: the package has no argument for a process", "members"]);
    run(&["--comm", "x"]).failed(2, &["no argument for a name of a process"]);
    run(&["-p", "bash"]).failed(2, &["it must be a process ID"]);
    // As in eunomia's ecli, whose `-p` has another meaning.
    let _ = run(&["-p", "json", "-d", "0.1"]).succeeded();
    let there_is_none = run(&["--container", "zzz"]);
    there_is_none.failed(2, &["--container zzz: no cgroup"]);
}

/// A cgroup v2 hierarchy that is mounted only for this thread, with the cgroup of a container. It
/// is removed when it is dropped.
struct Container {
    _dir: TempDir,
    parent: PathBuf,
    directory: PathBuf,
}

impl Container {
    fn make(name: &str) -> Option<Container> {
        let cgroups = fs::read_to_string("/proc/filesystems").unwrap_or_default();
        let has_cgroups = can("needs cgroup2", cgroups.contains("cgroup2"));
        if !is_root() || !has_cgroups || !can("needs own mounts", sys::own_mounts().is_ok()) {
            return None;
        }
        let dir = scratch();
        let _ = run("umount", &["-a", "-t", "cgroup2"]);
        let mounted = run("mount", &["-t", "cgroup2", "none", dir.path().to_str().unwrap()]);
        if !can("needs to mount cgroup2", mounted.code == 0) {
            return None;
        }
        let parent = dir.path().join(format!("bpfpack-test-{}", sys::thread_id()));
        let directory = parent.join(name);
        fs::create_dir_all(&directory).unwrap();
        Some(Container { _dir: dir, parent, directory })
    }

    /// A command that runs in the container's cgroup.
    fn inside(&self, command: &str) -> String {
        format!("/bin/true; sh -c 'echo $$ > {}/cgroup.procs; {command}'", self.directory.display())
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.directory);
        let _ = fs::remove_dir(&self.parent);
        let _ = run("umount", &[self.parent.parent().unwrap_or(Path::new("/"))]);
    }
}

#[test]
fn a_container_is_found_by_its_id_and_filters_by_its_cgroup() {
    let Some(container) = Container::make(&format!("docker-{ID}.scope")) else { return };
    let dir = scratch();
    let package = pack(EXECS, &dir);
    let script = container.inside("/bin/true; exec /bin/uname -s");
    let out = dir.path().join("out");
    let out = out.to_str().unwrap();
    let args =
        ["run", "-j", "-o", out, "--container", &ID[..5], &package, "--", "sh", "-c", &script];
    let outcome = ecli(&args).succeeded();
    assert!(outcome.stderr.contains("`cgroup_id == "), "{}", outcome.stderr);
    let text = fs::read_to_string(out).unwrap();
    let comms: Vec<String> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["comm"].as_str().unwrap().into())
        .collect();
    assert_eq!(comms, ["true", "uname"], "{text}");
    // The same by its path.
    let path = container.directory.to_str().unwrap();
    let args = ["run", "-j", "-o", out, "--cgroup", path, &package, "--", "sh", "-c", &script];
    let _ = ecli(&args).succeeded();
    assert_eq!(fs::read_to_string(out).unwrap().lines().count(), 2);
    // Another container.
    let other = container.parent.join(format!("libpod-4a6f1{}.scope", &ID[5..]));
    fs::create_dir(&other).unwrap();
    let ambiguous = ecli(&["run", "--container", "4a6f", &package]);
    fs::remove_dir(&other).unwrap();
    ambiguous
        .failed(2, &["2 containers have an ID that begins with it", "4a6f0c9f3a52, 4a6f1c9f3a52"]);
    ecli(&["run", "--container", "beef", &package]).failed(2, &["no cgroup below", "4a6f0c9f3a52"]);
}

#[test]
fn a_package_that_names_processes_is_filtered_by_their_cgroups() {
    // The other test uses the same hierarchy.
    let id = ID.replace("4a6f", "77e0");
    let Some(container) = Container::make(&format!("crio-{id}.scope")) else { return };
    let dir = scratch();
    let package = pack(OPENSNOOP, &dir);
    let script = container.inside("cat /etc/hostname /no/such/file; sleep 2");
    let out = dir.path().join("out");
    let out = out.to_str().unwrap();
    let args = ["run", "-j", "-o", out, "--container", &id, &package, "--pid", "0", "--", "sh"];
    let outcome = ecli(&[&args[..], &["-c", &script]].concat());
    assert!(outcome.stderr.contains("shows only what processes in it do"), "{}", outcome.stderr);
    let text = fs::read_to_string(out).unwrap();
    let records = json_lines(&text);
    assert!(records.iter().any(|record| record["comm"] == "sleep"), "{text}");
    assert!(!text.contains("\"true\""), "that is outside: {text}");
}
