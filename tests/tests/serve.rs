// SPDX-License-Identifier: MIT
//! `ecli serve`: many tracers in one process.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::{Child, Command, Stdio};

use bpfpack_tests::scrape::Target;
use bpfpack_tests::wait::{finished, outcome};
use bpfpack_tests::{
    Held, Outcome, ecli, eventually, is_root, names, pack_with, program, scratch, sys,
};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

struct Service {
    dir: TempDir,
    target: Target,
    /// The argument words of the fixture.
    arguments: String,
}

impl Service {
    fn new() -> Service {
        let dir = scratch();
        let package = pack_with("tests/fixtures/metrics.bpf.c", &dir, &[]);
        fs::rename(package, dir.path().join("metrics.json")).unwrap();
        let package = pack_with("tests/fixtures/execs.bpf.c", &dir, &[]);
        fs::rename(package, dir.path().join("execs.json")).unwrap();
        let (pid, carrier) = (sys::thread_id(), libc::SYS_getpgid);
        let arguments = format!("[\"--target_pid\", \"{pid}\", \"--carrier\", \"{carrier}\"]");
        Service { target: Target::unix(dir.path()), dir, arguments }
    }

    /// A table for the fixture with the metrics.
    fn metrics(&self, name: &str, more: &str) -> String {
        let arguments = &self.arguments;
        format!("[tracer.{name}]\npackage = \"metrics.json\"\narguments = {arguments}\n{more}\n")
    }

    fn write(&self, tracers: &str) {
        let text = format!("listen = \"{}\"\n{tracers}", self.target.argument());
        fs::write(self.dir.path().join("config.toml"), text).unwrap();
    }

    fn command(&self, options: &[&str]) -> Command {
        let mut command = Command::new(program("ecli"));
        command.arg("serve").args(options).arg(self.dir.path().join("config.toml"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Starts it, and waits until all tracers run.
    fn start(&self, tracers: usize) -> Started {
        let child = Started(Some(self.command(&[]).spawn().unwrap()));
        self.until_up(tracers);
        child
    }

    fn until_up(&self, tracers: usize) {
        let socket = self.dir.path().join("metrics.sock");
        eventually("the tracers run", || {
            UnixStream::connect(&socket).is_ok() && {
                let samples = self.target.samples();
                let up = samples.iter().filter(|(name, _)| name.starts_with("bpfpack_tracer_up{"));
                up.filter(|(_, value)| **value == 1.0).count() == tracers
            }
        });
    }

    fn value(&self, name: &str) -> Option<f64> {
        self.target.samples().get(name).copied()
    }
}

/// A running service. It ends with the test, however that ends.
struct Started(Option<Child>);

impl Started {
    fn send(&self, signal: Signal) {
        kill_process(Pid::from_child(self.0.as_ref().unwrap()), signal).unwrap();
    }

    fn id(&self) -> u32 {
        self.0.as_ref().unwrap().id()
    }

    /// Ends it by SIGTERM.
    fn ended(self) -> Outcome {
        self.send(Signal::TERM);
        self.finished()
    }

    fn finished(mut self) -> Outcome {
        Outcome::from(finished(self.0.take().unwrap()))
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn tracers_run_beside_each_other_and_a_reload_changes_what_differs() {
    if !is_root() {
        return;
    }
    let service = Service::new();
    let execs = "[tracer.execs]\npackage = \"execs.json\"\n";
    service.write(&format!("{}{}{execs}", service.metrics("a", ""), service.metrics("b", "")));
    let child = service.start(3);
    let held = Held::by(child.id());
    sys::carry(5 << 2 | 1);
    let calls =
        |tracer: &str| format!("calls_by_kind_calls_total{{tracer=\"{tracer}\",kind=\"1\"}}");
    assert_eq!((service.value(&calls("a")), service.value(&calls("b"))), (Some(1.0), Some(1.0)));
    assert!(service.value("process_resident_memory_bytes").is_some(), "once for all");

    // One goes, one changes, one comes; the third stays as it is.
    let only = "options = [\"--only\", \"totals\"]";
    service.write(&format!("{}{}{execs}", service.metrics("a", ""), service.metrics("c", only)));
    child.send(Signal::HUP);
    eventually("the configuration was read", || {
        service.value("bpfpack_reload_success") == Some(1.0)
    });
    service.until_up(3);
    sys::carry(5 << 2 | 1);
    let samples = service.target.samples();
    assert_eq!((samples[&calls("a")], samples[&calls("c")]), (2.0, 1.0), "`a` was not touched");
    assert!(!samples.contains_key(&calls("b")));
    assert!(!samples.keys().any(|name| name.starts_with("metrics_seconds_count{tracer=\"c\"")));
    assert_eq!(samples["bpfpack_tracer_starts_total{tracer=\"execs\"}"], 1.0);

    // A wrong one changes nothing.
    service.write("nonsense = 1");
    child.send(Signal::HUP);
    eventually("the failure is seen", || service.value("bpfpack_reload_success") == Some(0.0));
    assert_eq!(service.value(&calls("a")), Some(2.0));
    let outcome = child.ended().succeeded();
    held.is_gone();
    assert!(outcome.stderr.contains("b: stopped"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("unknown field `nonsense`"), "{}", outcome.stderr);
    assert_eq!(outcome.stdout, "");
    assert!(!names(service.dir.path()).contains(&"metrics.sock".to_owned()));
}

#[test]
fn a_tracer_that_fails_is_started_again_and_stops_no_other() {
    if !is_root() {
        return;
    }
    let service = Service::new();
    let missing = "[tracer.missing]\npackage = \"missing.json\"\n";
    let out = "outputs = [\"json:out.json\"]";
    let out = out.replace("out.json", service.dir.path().join("out.json").to_str().unwrap());
    service.write(&format!("{}{missing}", service.metrics("good", &out)));
    let child = service.start(1);
    assert_eq!(service.value("bpfpack_tracer_up{tracer=\"missing\"}"), Some(0.0));
    let package = service.dir.path().join("execs.json");
    fs::rename(package, service.dir.path().join("missing.json")).unwrap();
    service.until_up(2);
    let starts = service.value("bpfpack_tracer_starts_total{tracer=\"missing\"}").unwrap();
    assert!(starts >= 2.0, "{starts}");
    let outcome = child.ended().succeeded();
    assert!(outcome.stderr.contains("missing: cannot read `"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("missing: is started again in 1 s"), "{}", outcome.stderr);
    assert!(fs::metadata(service.dir.path().join("out.json")).is_ok());
}

#[test]
fn systemd_hears_when_all_tracers_were_tried() {
    if !is_root() {
        return;
    }
    let service = Service::new();
    service.write(&service.metrics("a", ""));
    let path = service.dir.path().join("notify");
    let systemd = UnixDatagram::bind(&path).unwrap();
    systemd.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
    let mut command = service.command(&[]);
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000");
    let child = Started(Some(command.spawn().unwrap()));
    let until = |wanted: &str| loop {
        let mut bytes = [0; 500];
        let count = systemd.recv(&mut bytes).expect(wanted);
        let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
        if text.contains(wanted) {
            return text;
        }
    };
    assert_eq!(until("READY=1"), "READY=1\nSTATUS=1 of 1 tracers run");
    until("WATCHDOG=1");
    child.send(Signal::HUP);
    until("RELOADING=1");
    until("READY=1");
    child.send(Signal::TERM);
    until("STOPPING=1");
    let _ = child.finished().succeeded();
}

#[test]
fn after_kill_9_nothing_is_left_behind() {
    if !is_root() {
        return;
    }
    let service = Service::new();
    service.write(&service.metrics("a", ""));
    let child = service.start(1);
    let held = Held::by(child.id());
    assert!(!held.programs.is_empty() && !held.links.is_empty());
    child.send(Signal::KILL);
    assert_eq!(child.finished().code, 128 + 9);
    held.is_gone();
    // The socket that it left is replaced.
    let child = service.start(1);
    let _ = child.ended().succeeded();
}

#[test]
fn a_configuration_is_checked() {
    let service = Service::new();
    let check = || outcome(&mut service.command(&["--check"]));
    service.write(&service.metrics("a", ""));
    let good = check().succeeded();
    assert!(good.stderr.contains("a: ok"), "{}", good.stderr);
    for (more, code, words) in [
        ("options = [\"--nonsense\"]", 2, "a: unknown option `--nonsense`"),
        ("labels = [\"hists:nothing\"]", 2, "a: `hists` has no member `nothing`"),
        ("filters = [\"nothing == 1\"]", 2, "nothing"),
        ("options = [\"--listen\", \":1\"]", 2, "a: --listen cannot be an option"),
        ("options = [\"-j\"]", 2, "a: the tracers of a service cannot share standard output"),
    ] {
        service.write(&service.metrics("a", more));
        check().failed(code, &[words]);
    }
    service.write("[tracer.a]\npackage = \"none.json\"\n");
    check().failed(3, &["a: cannot read", "none.json"]);
    service.write("[tracer.a]\npackage = \"metrics.json\"\narguments = [\"--\", \"true\"]\n");
    check().failed(2, &["a: a service cannot trace a command"]);
    ecli(&["serve", "/none.toml"]).failed(2, &["cannot read `/none.toml`"]);
}
