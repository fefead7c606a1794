// SPDX-License-Identifier: MIT
//! Programs of all kinds attach to the targets on the command line, and nothing of that is left.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // tests fail by panicking

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

use bpfpack_tests::targets::{Package, calls, has_network, network_state, send};
use bpfpack_tests::{Running, can, ecli, eventually, is_root, pack, run, scratch, sys};

#[test]
fn user_functions_of_a_process_by_the_name_of_a_library() {
    if !is_root() {
        return;
    }
    let package = Package::only("on_user");
    // It calls a function of its own library for each line.
    let calling = |more: fn(String) -> Vec<String>| {
        let mut bash = Command::new("bash")
            .args(["-c", "while read line; do umask 022; done"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let more = more(bash.id().to_string());
        let more: Vec<&str> = more.iter().map(String::as_str).collect();
        let running = Running::ecli(&package.args(Some("uprobe:libc.so.6:umask"), &more));
        bash.stdin.take().unwrap().write_all(&b"again\n".repeat(7)).unwrap();
        assert!(bash.wait().unwrap().success());
        let outcome = running.interrupt().succeeded();
        calls(&outcome, "USER")
    };
    assert_eq!(calling(|pid| vec!["--pid".to_owned(), pid]), 7);
    assert!(calling(|_| Vec::new()) >= 7);
    let outcome = ecli(&package.args(Some("uprobe:libc.so.6:no_such_function"), &[]));
    outcome.failed(5, &["libc.so.6` has no function `no_such_function`"]);
    let outcome = ecli(&package.args(Some("uprobe:no-such-program:main"), &[]));
    outcome.failed(5, &["no-such-program", "the program or library does not exist"]);
}

#[test]
fn packets_of_an_interface() {
    if !has_network() {
        return;
    }
    let before = network_state();
    for (name, hook, target) in [
        ("on_xdp", "XDP", "xdp:lo/generic"),
        ("on_ingress", "INGRESS", "tc:lo"),
        ("on_ingress", "INGRESS", "tc:1/egress"),
        ("on_egress", "EGRESS", "tc:lo"),
        ("on_socket", "SOCKET", "socket:lo"),
        ("on_filter", "FILTER", "netfilter:ipv4/local_in"),
    ] {
        let package = Package::only(name);
        let running = Running::ecli(&package.args(Some(target), &[]));
        send(10);
        let outcome = running.interrupt().succeeded();
        // A packet socket sees both sent and received packets.
        let expected = if hook == "SOCKET" { 20 } else { 10 };
        assert_eq!(calls(&outcome, hook), expected, "{target}: {}", outcome.stderr);
        assert_eq!(network_state(), before, "{target}");
    }
    let package = Package::only("on_egress");
    let running = Running::ecli(&package.args(None, &["--interface", "lo"]));
    send(3);
    assert_eq!(calls(&running.interrupt().succeeded(), "EGRESS"), 3);
}

#[test]
fn a_killed_run_leaves_nothing_at_an_interface() {
    if !has_network() {
        return;
    }
    let before = network_state();
    for (name, target) in [("on_xdp", "xdp:lo"), ("on_egress", "tc:lo")] {
        let package = Package::only(name);
        let running = Running::ecli(&package.args(Some(target), &[]));
        assert!(!running.held().links.is_empty(), "{target}");
        running.signal(rustix::process::Signal::KILL);
        assert_eq!(running.wait().code, 128 + 9);
        eventually("nothing is attached any more", || network_state() == before);
    }
}

#[test]
fn an_xdp_program_of_somebody_else_stays_or_comes_back() {
    // ip mounts a BPF file system if there is none, and leaves directories in it.
    if !has_network() || !can("needs mounts of its own", sys::own_mounts().is_ok()) {
        return;
    }
    let bpffs = run("mount", &["-t", "bpf", "none", "/sys/fs/bpf"]);
    if !can("needs to mount bpf", bpffs.code == 0) {
        return;
    }
    let package = Package::only("on_xdp");
    let object = Path::new(&package.path).with_file_name("targets.bpf.o");
    let others = ["link", "set", "dev", "lo", "xdpgeneric", "obj"];
    let others = [&others[..], &[object.to_str().unwrap(), "sec", "xdp"]].concat();
    // This iproute2 may be built without libbpf.
    let attached = run("ip", &others);
    if !can(&format!("needs ip to attach XDP: {}", attached.stderr), attached.code == 0) {
        return;
    }
    let before = network_state();
    let outcome = ecli(&package.args(Some("xdp:lo/generic"), &["-d", "100ms"]));
    outcome.failed(5, &["cannot attach `on_xdp`", "--force"]);
    assert_eq!(network_state(), before);
    let running = Running::ecli(&package.args(Some("xdp:lo/generic"), &["--force"]));
    send(4);
    assert_eq!(calls(&running.interrupt().succeeded(), "XDP"), 4);
    assert_eq!(network_state(), before, "the other one is there again");
}

#[test]
fn processes_of_a_cgroup() {
    let cgroups = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if !has_network()
        || !can("needs cgroup2", cgroups.contains("cgroup2"))
        || !can("needs mounts of its own", sys::own_mounts().is_ok())
    {
        return;
    }
    let dir = scratch();
    let mounted = run("mount", &["-t", "cgroup2", "none", dir.path().to_str().unwrap()]);
    if !can("needs to mount cgroup2", mounted.code == 0) {
        return;
    }
    let group = dir.path().join(dir.path().file_name().unwrap());
    std::fs::create_dir(&group).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let group_path = group.to_str().unwrap();
    let package = Package::only("on_connect");
    let running = Running::ecli(&package.args(None, &["--cgroup", group_path]));
    // One inside, and one outside.
    let script = "echo $$ > \"$0/cgroup.procs\" && exec 3<>/dev/tcp/127.0.0.1/$1";
    let _ = run("bash", &["-c", script, group_path, &port]).succeeded();
    let _outside = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let outcome = running.interrupt().succeeded();
    assert_eq!(calls(&outcome, "CONNECT"), 1, "{}", outcome.stderr);
    let outcome = ecli(&package.args(Some("cgroup:/dev/null"), &[]));
    outcome.failed(5, &["cannot attach `on_connect` to `/dev/null`", "Not a directory"]);
    std::fs::remove_dir(&group).unwrap();
    let _ = run("umount", &[dir.path().to_str().unwrap()]).succeeded();
}

#[test]
fn samples_by_an_event_and_a_rate() {
    if !is_root() {
        return;
    }
    let package = Package::only("on_sample");
    let outcome = ecli(&package.args(Some("perf:cpu-clock@2000hz"), &["-d", "500ms"])).succeeded();
    assert!(calls(&outcome, "SAMPLE") > 0, "{}", outcome.stdout);
    assert!(!outcome.stderr.contains("times a second"), "{}", outcome.stderr);
    let outcome = ecli(&package.args(None, &["-d", "50ms"])).succeeded();
    let said =
        "`on_sample` samples 49 times per second on each CPU; --frequency changes the number";
    assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
    let outcome = ecli(&package.args(Some("perf:cpuclock"), &[]));
    outcome.failed(5, &["unknown event `cpuclock`: use one of cpu-clock"]);
}

#[test]
fn programs_that_are_called() {
    if !is_root() {
        return;
    }
    let package = Package::only("on_call");
    let more = ["-i", "50ms", "-d", "400ms"];
    let outcome = ecli(&package.args(None, &more)).succeeded();
    let count = calls(&outcome, "CALL");
    assert!((4..=9).contains(&count), "{count}: {}", outcome.stderr);
}

#[test]
fn iterators_are_read_once_or_by_the_clock() {
    if !is_root() {
        return;
    }
    let dir = scratch();
    let package = pack("examples/tasks/tasks.bpf.c", &dir);
    let outcome = ecli(&["run", &package]).succeeded();
    let own = format!(" {} ", std::process::id());
    assert!(outcome.stdout.lines().any(|line| line.contains(&own)), "{}", outcome.stdout);
    let headings = |text: &str| text.lines().filter(|line| line.contains(" TID ")).count();
    assert_eq!(headings(&outcome.stdout), 1);
    let outcome = ecli(&["run", "-i", "20ms", "-c", "3", &package]).succeeded();
    assert_eq!(headings(&outcome.stdout), 3);
    let outcome = ecli(&["run", "-f", "json", &package]).succeeded();
    assert!(outcome.stdout.lines().all(|line| line.starts_with("{\"text\":")));
}

#[test]
fn operations_of_the_kernel() {
    if !is_root() {
        return;
    }
    let known = || {
        let path = "/proc/sys/net/ipv4/tcp_available_congestion_control";
        std::fs::read_to_string(path).unwrap_or_default()
    };
    let dir = scratch();
    let package = pack("examples/reno/reno.bpf.c", &dir);
    let running = Running::ecli(&["run", &package]);
    assert!(known().contains("counted_reno"), "{}", known());
    let _ = running.interrupt().succeeded();
    eventually("it is gone", || !known().contains("counted_reno"));
}

#[test]
fn examples_of_the_network() {
    if !has_network() {
        return;
    }
    for (example, options) in [
        ("xdpcount", ["--interface", "lo"]),
        ("tcbytes", ["--interface", "lo"]),
        ("nfcount", ["--attach", "count=netfilter:ipv4/local_in"]),
    ] {
        let dir = scratch();
        let package = pack(&format!("examples/{example}/{example}.bpf.c"), &dir);
        let args = [&["run", "-j", "--decode"], &options[..], &[package.as_str()]].concat();
        let running = Running::ecli(&args);
        send(10);
        let outcome = running.interrupt().succeeded();
        let row = outcome.stdout.lines().rfind(|line| line.contains("UDP"));
        let row = row.unwrap_or_else(|| panic!("{example}: {}", outcome.stdout));
        assert!(row.contains("\"packets\":10"), "{example}: {row}");
    }
}

#[test]
fn probes_that_a_library_defines() {
    if !is_root() {
        return;
    }
    let dir = scratch();
    let package = pack("examples/throws/throws.bpf.c", &dir);
    let source = dir.path().join("throws.cc");
    let text = "#include <stdexcept>\n\
        int main() { for (int i = 0; i < 100; i++) try { throw std::runtime_error(\"x\"); } \
        catch (const std::exception &) {} }\n";
    std::fs::write(&source, text).unwrap();
    let throws = dir.path().join("throws");
    let args = [source.as_os_str(), "-o".as_ref(), throws.as_os_str()];
    let _ = run("g++", &args).succeeded();
    let running = Running::ecli(&["run", "-j", &package]);
    let _ = run::<&str>(&throws, &[]).succeeded();
    let outcome = running.interrupt().succeeded();
    let row = outcome.stdout.lines().rfind(|line| line.contains("\"comm\":\"throws\""));
    let row = row.unwrap_or_else(|| panic!("{}", outcome.stdout));
    assert!(row.contains("\"thrown\":100,\"rethrown\":0,\"caught\":100"), "{row}");
}
