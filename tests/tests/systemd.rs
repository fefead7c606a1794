// SPDX-License-Identifier: MIT
//! `examples/systemd`: systemd accepts the units, and `ecli serve` runs with their capabilities and
//! their socket.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use bpfpack_tests::scrape::Target;
use bpfpack_tests::{Running, can, ecli, eventually, is_root, pack, program, root, run, scratch};
use rustix::process::Signal;
use tempfile::TempDir;

/// The user and group `nobody`.
const NOBODY: u32 = 65534;

/// The packages of the configuration.
const PACKAGES: [&str; 3] = ["hardirqs", "biolatency", "exits"];

/// Whether a program of systemd is there.
fn has(name: &str) -> bool {
    let is_there = Path::new("/usr/bin").join(name).exists();
    can(&format!("needs {name} (apt-get install systemd)"), is_there)
}

fn text(name: &str) -> String {
    fs::read_to_string(root().join("examples/systemd").join(name)).unwrap()
}

/// The value of a key of the service.
fn value(key: &str) -> String {
    let service = text("bpfpack.service");
    let line = service.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    line.unwrap().to_owned()
}

#[test]
fn systemd_accepts_the_units() {
    if !has("systemd-analyze") {
        return;
    }
    let dir = scratch();
    let ecli = program("ecli").display().to_string();
    let service = text("bpfpack.service").replace("/usr/local/bin/ecli", &ecli);
    fs::write(dir.path().join("bpfpack.service"), service).unwrap();
    fs::write(dir.path().join("bpfpack.socket"), text("bpfpack.socket")).unwrap();
    let units = ["bpfpack.service", "bpfpack.socket"].map(|name| dir.path().join(name));
    let [service, socket] = units.each_ref().map(|path| path.to_str().unwrap());
    let verified = run("systemd-analyze", &["verify", service, socket]).succeeded();
    assert_eq!(verified.stderr, "", "no warnings");
    // The figure in README.md, times ten.
    let limits = ["security", "--offline=yes", "--threshold=22", service];
    let _ = run("systemd-analyze", &limits).succeeded();
}

/// Makes `/etc/bpfpack` in a directory, which is also that of the state. Returns the path of the
/// configuration.
fn configure(dir: &TempDir, listen: &str) -> PathBuf {
    let state = dir.path().display().to_string();
    for name in ["packages", "tracers.d"] {
        fs::create_dir(dir.path().join(name)).unwrap();
    }
    for name in PACKAGES {
        let package = pack(&format!("examples/{name}/{name}.bpf.c"), dir);
        fs::rename(package, dir.path().join(format!("packages/{name}.json"))).unwrap();
    }
    let processes = text("tracers.d/processes.toml");
    assert!(processes.contains("/var/lib/bpfpack"));
    let processes = processes.replace("/var/lib/bpfpack", &state);
    fs::write(dir.path().join("tracers.d/processes.toml"), processes).unwrap();
    let configuration = text("bpfpack.toml").replace("fd://", listen);
    fs::write(dir.path().join("bpfpack.toml"), configuration).unwrap();
    dir.path().join("bpfpack.toml")
}

#[test]
fn the_configuration_is_right() {
    let dir = scratch();
    let listen = format!("unix:{}", dir.path().join("s.sock").display());
    let configuration = configure(&dir, &listen);
    let checked = ecli(&["serve", "--check", configuration.to_str().unwrap()]).succeeded();
    for name in PACKAGES {
        assert!(checked.stderr.contains(&format!("{name}: ok")), "{}", checked.stderr);
    }
}

#[test]
fn the_service_traces_with_its_capabilities_and_its_socket() {
    if !is_root() || !has("systemd-socket-activate") {
        return;
    }
    assert_eq!(value("DynamicUser"), "yes");
    assert_eq!(value("AmbientCapabilities"), value("CapabilityBoundingSet"));
    let added = value("AmbientCapabilities").to_lowercase().replace("cap_", "+");
    let capabilities = format!("-all,{}", added.replace(' ', ","));

    let dir = scratch();
    let configuration = configure(&dir, "fd://");
    chown(dir.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    let socket = dir.path().join("metrics.sock");
    let (ecli, nobody) = (program("ecli"), NOBODY.to_string());
    let who = ["--reuid", &nobody, "--regid", &nobody, "--clear-groups", "--no-new-privs"];
    let sets = ["--bounding-set", "--inh-caps", "--ambient-caps"];
    let mut arguments = who.to_vec();
    sets.iter().for_each(|set| arguments.extend([set, &*capabilities]));
    arguments.extend(["systemd-socket-activate", "-l", socket.to_str().unwrap()]);
    arguments.extend([ecli.to_str().unwrap(), "serve", configuration.to_str().unwrap()]);
    // setpriv becomes systemd-socket-activate, and that becomes ecli at the first connection.
    let running = Running::start("setpriv", &arguments);
    eventually("the socket is open", || socket.exists());
    let target = Target::unix(dir.path());
    eventually("all tracers run", || {
        let up = target
            .samples()
            .into_iter()
            .filter(|(name, value)| name.starts_with("bpfpack_tracer_up{") && *value == 1.0);
        up.count() == PACKAGES.len()
    });
    let held = running.held();
    let _ = run("sh", &["-c", "exit 3"]);
    eventually("the end of a process is written", || {
        let written = fs::read_to_string(dir.path().join("exits.json")).unwrap_or_default();
        written.contains("\"exit_code\":3")
    });
    assert!(target.samples().keys().any(|name| name.starts_with("exits_ended_events_total{")));
    running.signal(Signal::TERM);
    let ended = running.wait().succeeded();
    assert!(ended.stderr.contains("3 of 3 tracers run"), "{}", ended.stderr);
    held.is_gone();
}
