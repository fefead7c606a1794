// SPDX-License-Identifier: MIT
//! Programs of all kinds are attached to what the command line names, and nothing of that is left.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // tests fail by panicking

use std::io::Write as _;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};

use bpfpack_tests::{
    Outcome, Running, can, ecc, ecli, eventually, is_root, pack, run, scratch, sys,
};
use tempfile::TempDir;

/// The package of which each program counts its calls, all but one of them off.
struct Package {
    path: String,
    only: &'static str,
    _dir: TempDir,
}

impl Package {
    fn only(only: &'static str) -> Package {
        let dir = scratch();
        let path = pack("tests/fixtures/targets.bpf.c", &dir);
        Package { path, only, _dir: dir }
    }

    /// The command line of ecli with `--attach` for the program, if it has a target, and `more`.
    fn args(&self, target: Option<&str>, more: &[&str]) -> Vec<String> {
        let mut args = vec!["run".to_owned(), "-j".into()];
        args.extend(["--attach".into(), "*=off".into()]);
        match target {
            Some(target) => args.extend(["--attach".into(), format!("{}={target}", self.only)]),
            None => args.extend(["--with".into(), self.only.into()]),
        }
        args.extend(more.iter().map(|arg| (*arg).to_owned()));
        args.push(self.path.clone());
        args
    }
}

/// How often a hook was called, by the last reading.
fn calls(outcome: &Outcome, hook: &str) -> u64 {
    let is_it = |line: &&str| line.contains(&format!("\"hook\":\"{hook}("));
    let line = outcome.stdout.lines().rfind(is_it);
    let count = line.and_then(|line| {
        let value: serde_json::Value = serde_json::from_str(line).ok()?;
        value["value"]["calls"].as_u64()
    });
    count.unwrap_or(0)
}

fn ip(args: &[&str]) -> String {
    run("ip", args).succeeded().stdout
}

/// A network of this thread's own, with the loopback interface up; false where it cannot be had.
fn has_network() -> bool {
    if !is_root() || !can("needs a network of its own", sys::own_network().is_ok()) {
        return false;
    }
    if !can("needs ip (apt-get install iproute2)", Path::new("/sbin/ip").exists()) {
        return false;
    }
    let _ = ip(&["link", "set", "lo", "up"]);
    true
}

/// Sends this many packets to this machine.
fn send(count: u64) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = socket.local_addr().unwrap();
    (0..count).for_each(|_| assert_eq!(socket.send_to(b"packet", to).unwrap(), 6));
}

/// What is attached to interfaces.
fn network_state() -> String {
    ip(&["-d", "link", "show"]) + &run("tc", &["qdisc", "show"]).succeeded().stdout
}

#[test]
fn user_functions_of_a_process_by_the_name_of_a_library() {
    if !is_root() {
        return;
    }
    let package = Package::only("on_user");
    // It calls a function of its library, which is none of ours, for each line.
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
    outcome.failed(5, &["no-such-program", "there is no such program or library"]);
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
        // A packet socket sees what is sent, and what is received.
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
    // ip mounts a BPF file system where there is none, and leaves folders in it.
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
    // This iproute2 may have been built without libbpf.
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
    let said = "`on_sample` samples 49 times a second on each CPU; --frequency sets another number";
    assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
    let outcome = ecli(&package.args(Some("perf:cpuclock"), &[]));
    outcome.failed(5, &["`cpuclock` is no event: there are cpu-clock"]);
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
    let headings = |text: &str| text.lines().filter(|line| line.contains("TGID")).count();
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
fn what_has_no_target_is_told_and_the_rest_runs() {
    if !is_root() {
        return;
    }
    let dir = scratch();
    let package = pack("tests/fixtures/targets.bpf.c", &dir);
    let network = has_network();
    // The tracepoint is refused; what can stand for it is none of its kind.
    let outcome = ecli(&["run", "-d", "50ms", &package]);
    outcome.failed(5, &["`on_tracepoint`", "no tracepoint `sched/no_such_tracepoint`", "--loose"]);
    if !network {
        return;
    }
    let outcome = ecli(&["run", "--loose", "-d", "50ms", &package]).succeeded();
    for words in [
        "`on_tracepoint` is left out: cannot attach",
        "`on_user` (uprobe) is not attached: it needs a program or library",
        "`on_connect` (cgroup/connect4) is not attached: it needs the path of a cgroup; --attach \
         'on_connect=cgroup:/sys/fs/cgroup' names one, or --cgroup PATH",
        "`on_filter` (netfilter) is not attached: it needs a hook of the packet filter",
        "`on_socket` (socket1) is not attached: it needs the name of an interface",
        "tracing with 5 programs",
    ] {
        assert!(outcome.stderr.contains(words), "no `{words}` in:\n{}", outcome.stderr);
    }
}

#[test]
fn targets_that_make_no_sense() {
    if !is_root() {
        return;
    }
    let package = Package::only("on_xdp");
    let with = |target: &str| ecli(&package.args(Some(target), &[]));
    with("uprobe:x:y").failed(2, &["`on_xdp` cannot be attached by uprobe", "it can by xdp"]);
    with("xdp:no-such-one").failed(5, &["cannot attach `on_xdp` to `no-such-one`"]);
    with("xdp:lo/fast").failed(5, &["`fast` is no mode: there are generic and native"]);
    let outcome = ecli(&["run", "--attach", "nobody=off", &package.path]);
    outcome.failed(2, &["the package has no program `nobody`", "on_xdp"]);
    let outcome = ecli(&["run", "--attach", "on_xdp=xpd:lo", &package.path]);
    outcome.failed(2, &["`xpd` is no kind of hook"]);
    let outcome = ecli(&["run", "--attach", "*=off", &package.path]);
    outcome.failed(2, &["no program is left to be attached"]);
    let dir = scratch();
    let other = pack("tests/fixtures/keys.bpf.c", &dir);
    let outcome = ecli(&["run", "--interface", "lo", &other]);
    outcome.failed(2, &["the package has no program for an interface"]);
}

#[test]
fn values_of_maps() {
    if !is_root() {
        return;
    }
    let package = Package::only("on_call");
    let set = |value: &str| ecli(&package.args(None, &["-d", "50ms", "--map-set", value]));
    set("nothing=0:1").failed(2, &["--map-set nothing=0:1: the package has no such map", "counts"]);
    set("counts=x:1").failed(2, &["--map-set counts=x:1: the key: it is no whole number"]);
    let outcome = set("counts=0:41").succeeded();
    assert_eq!((calls(&outcome, "USER"), calls(&outcome, "CALL")), (41, 2), "{}", outcome.stdout);
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

#[test]
fn tracepoints_need_no_mounted_tracefs() {
    if !is_root() || !can("needs mounts of its own", sys::own_mounts().is_ok()) {
        return;
    }
    for place in [c"/sys/kernel/tracing", c"/sys/kernel/debug/tracing", c"/sys/kernel/debug"] {
        while sys::unmount(place, 0) == 0 {}
    }
    let dir = scratch();
    let package = pack("examples/sigsnoop/sigsnoop.bpf.c", &dir);
    let running = Running::ecli(&["run", "-j", &package]);
    let _ = run("sh", &["-c", "kill -CONT $$"]).succeeded();
    let outcome = running.interrupt().succeeded();
    assert!(outcome.stdout.contains("\"comm\":\"sh\""), "{}", outcome.stdout);
    // Of this thread, which has mounts of its own.
    let mounts = std::fs::read_to_string("/proc/thread-self/mounts").unwrap();
    assert!(!mounts.contains("tracefs"), "{mounts}");
    let package = pack("examples/hello/hello.bpf.c", &dir);
    let running = Running::ecli(&["run", &package]);
    let _ = run("true", &[] as &[&str]).succeeded();
    let outcome = running.interrupt().succeeded();
    assert!(outcome.stdout.starts_with("TIME"), "{}", outcome.stdout);
}

/// Packs a source that a test writes.
fn pack_text(name: &str, text: &str, dir: &TempDir) -> String {
    let source = dir.path().join(format!("{name}.bpf.c"));
    let head = "#include <vmlinux.h>\n#include <bpf/bpf_helpers.h>\n#include <bpf/bpf_tracing.h>\n\
        char LICENSE[] SEC(\"license\") = \"GPL\";\n";
    std::fs::write(&source, format!("{head}{text}")).unwrap();
    let _ = ecc(dir.path(), &[source.as_os_str()]).succeeded();
    dir.path().join("package.json").to_str().unwrap().to_owned()
}

#[test]
fn programs_that_others_call_are_not_attached_with_them() {
    if !has_network() {
        return;
    }
    let dir = scratch();
    let text = r#"
        u64 first, second;
        int callee(struct __sk_buff *skb);
        struct {
            __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
            __uint(max_entries, 1);
            __type(key, u32);
            __array(values, int (void *));
        } jumps SEC(".maps") = { .values = { [0] = (void *)&callee } };
        SEC("tc/egress") int caller(struct __sk_buff *skb) {
            __sync_fetch_and_add(&first, 1);
            bpf_tail_call(skb, &jumps, 0);
            return -1;
        }
        SEC("tc/egress") int callee(struct __sk_buff *skb) {
            __sync_fetch_and_add(&second, 1);
            return -1;
        }
        "#;
    let package = pack_text("calls", text, &dir);
    let other = scratch();
    let empty = text.replace(" = { .values = { [0] = (void *)&callee } }", "");
    let empty = pack_text("empty", &empty, &other);
    for (package, options) in [
        (&package, &[][..]),
        (&package, &["--interface", "lo"]),
        (&empty, &["--map-set", "jumps=0:callee"]),
    ] {
        let args = [&["run", "-j", "--only", "second"], options, &[package.as_str()]].concat();
        let running = Running::ecli(&args);
        send(10);
        let outcome = running.interrupt().succeeded();
        let last = outcome.stdout.lines().last().unwrap_or_default();
        assert!(last.contains("10") && !last.contains("20"), "{options:?}: {last}");
    }
    let args = ["run", "--without", "callee", "--map-set", "jumps=0:callee", &empty];
    ecli(&args).failed(2, &["--map-set jumps=0:callee: `callee` is not loaded"]);
    let outcome = ecli(&["run", "-d", "10ms", "--interface", "lo", &package]).succeeded();
    for words in ["tracing with 1 program", "`callee` (tc/egress) is not attached: others call it"]
    {
        assert!(outcome.stderr.contains(words), "{}", outcome.stderr);
    }
}

#[test]
fn functions_of_other_programs_are_replaced() {
    if !has_network() {
        return;
    }
    let (dir, other) = (scratch(), scratch());
    let package = pack_text(
        "whole",
        r#"
        u64 own;
        __attribute__((noinline)) int decide(struct xdp_md *ctx) {
            __sync_fetch_and_add(&own, 1);
            return XDP_PASS;
        }
        SEC("xdp") int see(struct xdp_md *ctx) { return decide(ctx); }
        "#,
        &dir,
    );
    let replacement = pack_text(
        "part",
        r#"
        u64 calls;
        SEC("freplace") int instead(struct xdp_md *ctx) {
            __sync_fetch_and_add(&calls, 1);
            return XDP_PASS;
        }
        "#,
        &other,
    );
    let running = Running::ecli(&["run", "--attach", "see=xdp:lo/generic", &package]);
    let id = running.held().programs.first().unwrap().0;
    let target = format!("instead=freplace:{id}:decide");
    let mut replaced = Running::start(
        bpfpack_tests::program("ecli"),
        &["run", "-j", "--attach", &target, &replacement],
    );
    eventually("it is attached, or refused", || {
        replaced.has_ended() || !replaced.held().links.is_empty()
    });
    // Kernels without the means for it say so; the target is the one that was named.
    if replaced.has_ended() {
        let outcome = replaced.wait();
        let is_refused = outcome.stderr.contains("does not let programs of the kind `freplace`");
        assert!(outcome.code == 4 && is_refused, "{}", outcome.stderr);
    } else {
        send(5);
        let outcome = replaced.interrupt().succeeded();
        assert!(outcome.stdout.lines().last().unwrap().contains('5'), "{}", outcome.stdout);
    }
    let _ = running.interrupt().succeeded();
    let outcome = ecli(&["run", "-d", "10ms", &replacement]);
    outcome.failed(2, &["`instead` (freplace) is not attached", "--attach 'instead="]);
    let outcome = ecli(&["run", "--attach", "instead=freplace:4000000000:decide", &replacement]);
    outcome.failed(2, &["no program `4000000000`"]);
}

#[test]
fn what_cannot_be_attached_is_told_however_it_is_left_out() {
    if !is_root() {
        return;
    }
    let package = Package::only("on_tracepoint");
    let outcome = ecli(&package.args(None, &["--loose"]));
    outcome.failed(5, &["no program is left", "`on_tracepoint` is left out: cannot attach"]);
    let package = Package::only("on_user");
    let outcome = ecli(&package.args(Some("uprobe:libc.so.6:strlen"), &[]));
    outcome.failed(5, &["`strlen` stands for one of several functions"]);
    let outcome = ecli(&package.args(None, &["--force"]));
    // The package has an XDP program, which is off.
    outcome.failed(2, &["`on_user` (uprobe) is not attached"]);
    let dir = scratch();
    let other = pack("tests/fixtures/keys.bpf.c", &dir);
    for (option, value) in [("--pid", Some("1")), ("--binary", Some("sh")), ("--force", None)] {
        let args: Vec<&str> =
            ["run", option].into_iter().chain(value).chain([other.as_str()]).collect();
        ecli(&args).failed(2, &[option, "the package has no program for"]);
    }
}

#[test]
fn a_process_without_room_for_more_files_leaves_nothing_out() {
    if !is_root() {
        return;
    }
    let dir = scratch();
    let program = |at: usize| {
        format!("SEC(\"tp/sched/sched_switch\") int p{at}(void *c) {{ n++; return 0; }}\n")
    };
    let text = format!("u64 n;\n{}", (0..30).map(program).collect::<String>());
    let package = pack_text("many", &text, &dir);
    let ecli = bpfpack_tests::program("ecli");
    let limited = |limit: &str| {
        let script = format!("ulimit {limit}; exec \"$0\" run --loose -d 10ms \"$1\"");
        run("sh", &["-c", &script, ecli.to_str().unwrap(), &package])
    };
    let outcome = limited("-S -n 64").succeeded();
    assert!(outcome.stderr.contains("tracing with 30 programs"), "{}", outcome.stderr);
    limited("-n 64").failed(4, &["open files", "ulimit -n"]);
}
