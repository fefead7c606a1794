// SPDX-License-Identifier: MIT
//! Which programs are attached, which are not, and the messages about them.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // tests fail by panicking

use bpfpack_tests::targets::{Package, calls, has_network, pack_text, send};
use bpfpack_tests::{Running, can, ecli, eventually, is_root, pack, run, scratch, sys};

#[test]
fn what_has_no_target_is_told_and_the_rest_runs() {
    if !is_root() {
        return;
    }
    let dir = scratch();
    let package = pack("tests/fixtures/targets.bpf.c", &dir);
    let network = has_network();
    // The tracepoint is refused, and nothing of another kind can replace it.
    let outcome = ecli(&["run", "-d", "50ms", &package]);
    outcome.failed(5, &["`on_tracepoint`", "no tracepoint `sched/no_such_tracepoint`", "--loose"]);
    if !network {
        return;
    }
    let outcome = ecli(&["run", "--loose", "-d", "50ms", &package]).succeeded();
    for words in [
        "`on_tracepoint` is not attached: cannot attach",
        "`on_user` (uprobe) is not attached: it needs a function of a program or library",
        "`on_connect` (cgroup/connect4) is not attached: it needs the path of a cgroup; name one with --attach \
         'on_connect=cgroup:/sys/fs/cgroup', or --cgroup PATH",
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
    with("uprobe:x:y")
        .failed(2, &["`on_xdp` cannot be attached as uprobe", "it can be attached as xdp"]);
    with("xdp:no-such-one").failed(5, &["cannot attach `on_xdp` to `no-such-one`"]);
    with("xdp:lo/fast").failed(5, &["unknown mode `fast`: use generic or native"]);
    let outcome = ecli(&["run", "--attach", "nobody=off", &package.path]);
    outcome.failed(2, &["the package has no program `nobody`", "on_xdp"]);
    let outcome = ecli(&["run", "--attach", "on_xdp=xpd:lo", &package.path]);
    outcome.failed(2, &["unknown kind of target `xpd`"]);
    let outcome = ecli(&["run", "--attach", "*=off", &package.path]);
    outcome.failed(2, &["no program is left to attach"]);
    let dir = scratch();
    let other = pack("tests/fixtures/keys.bpf.c", &dir);
    let outcome = ecli(&["run", "--interface", "lo", &other]);
    outcome.failed(2, &["no program of the package attaches to an interface"]);
}

#[test]
fn values_of_maps() {
    if !is_root() {
        return;
    }
    let package = Package::only("on_call");
    let set = |value: &str| ecli(&package.args(None, &["-d", "50ms", "--map-set", value]));
    set("nothing=0:1")
        .failed(2, &["--map-set nothing=0:1: the package does not have this map", "counts"]);
    set("counts=x:1").failed(2, &["--map-set counts=x:1: the key: it is not a whole number"]);
    let outcome = set("counts=0:41").succeeded();
    assert_eq!((calls(&outcome, "USER"), calls(&outcome, "CALL")), (41, 2), "{}", outcome.stdout);
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
    // The mounts of this thread, which has its own.
    let mounts = std::fs::read_to_string("/proc/thread-self/mounts").unwrap();
    assert!(!mounts.contains("tracefs"), "{mounts}");
    let package = pack("examples/hello/hello.bpf.c", &dir);
    let running = Running::ecli(&["run", &package]);
    let _ = run("true", &[] as &[&str]).succeeded();
    let outcome = running.interrupt().succeeded();
    assert!(outcome.stdout.starts_with("TIME"), "{}", outcome.stdout);
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
    for words in
        ["tracing with 1 program", "`callee` (tc/egress) is not attached: other programs call it"]
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
    // Kernels without support for it report that; the target is the one that was named.
    if replaced.has_ended() {
        let outcome = replaced.wait();
        let is_refused = outcome.stderr.contains("(freplace): Operation not permitted");
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
    outcome.failed(5, &["no program is left", "`on_tracepoint` is not attached: cannot attach"]);
    let package = Package::only("on_user");
    let outcome = ecli(&package.args(Some("uprobe:libc.so.6:strlen"), &[]));
    outcome.failed(5, &["`strlen` is an indirect function"]);
    let outcome = ecli(&package.args(None, &["--force"]));
    // The package has an XDP program, which is off.
    outcome.failed(2, &["`on_user` (uprobe) is not attached"]);
    let dir = scratch();
    let other = pack("tests/fixtures/keys.bpf.c", &dir);
    for (option, value) in [("--binary", Some("sh")), ("--force", None)] {
        let args: Vec<&str> =
            ["run", option].into_iter().chain(value).chain([other.as_str()]).collect();
        ecli(&args).failed(2, &[option, "no program of the package attaches to"]);
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
