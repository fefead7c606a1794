// SPDX-License-Identifier: MIT
//! `ecli run` shows the events that the test causes: each of them once, in order, and with the
//! right values.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};
use std::process::{Command, Stdio};

use bpfpack_tests::stream::{Stream, assert_same, has_tracefs, on_one_cpu, pick, records};
use bpfpack_tests::wait::ended;
use bpfpack_tests::{alone, can, is_root, pack, scratch};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

#[test]
fn tcpconnect_tells_of_connections_as_they_were_made() {
    if !is_root() {
        return;
    }
    let dir = scratch();
    let package = pack("examples/tcpconnect/tcpconnect.bpf.c", &dir);
    let us = std::process::id();
    let mut listeners = vec![TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()];
    let v6 = TcpListener::bind((Ipv6Addr::LOCALHOST, 0));
    if can("needs IPv6", v6.is_ok()) {
        listeners.push(v6.unwrap());
    }
    let ecli = Stream::ecli(&dir, "out", &["-j", "--decode", &package, "--pid", &us.to_string()]);
    let mut made = Vec::new();
    for listener in listeners.iter().cycle().take(10) {
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (local, peer) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
        made.push(json!({"pid": us, "uid": "root",
            "family": if local.is_ipv4() { "AF_INET" } else { "AF_INET6" },
            "saddr": local.ip().to_string(), "daddr": peer.ip().to_string(),
            "dport": peer.port()}));
    }
    // Parallel tests may connect, too, but to other ports.
    let names = ["pid", "uid", "family", "saddr", "daddr", "dport"];
    let ours = |event: &Value| made.iter().any(|made| made["dport"] == event["dport"]);
    let events = records(&ecli.interrupt());
    let events = events.iter().map(|event| pick(event, &names)).filter(ours);
    assert_eq!(events.collect::<Vec<_>>(), made);
}

#[test]
fn sigsnoop_names_signals_and_errors() {
    if !is_root() || !has_tracefs() {
        return;
    }
    let dir = scratch();
    let package = pack("examples/sigsnoop/sigsnoop.bpf.c", &dir);
    let us = std::process::id().to_string();
    let ecli = Stream::ecli(&dir, "out", &[&package, "--pid", &us]);
    let mut child = Command::new("/bin/sleep").arg("60").spawn().unwrap();
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::USR1).unwrap();
    let _ = ended(&mut child);
    // No process can have this ID.
    let nobody = Pid::from_raw(i32::MAX).unwrap();
    assert_eq!(kill_process(nobody, Signal::USR1), Err(rustix::io::Errno::SRCH));
    let text = ecli.interrupt();
    let lines: Vec<Vec<&str>> =
        text.lines().map(|line| line.split_whitespace().skip(1).collect()).collect();
    assert_eq!(lines[0], ["PID", "TPID", "SIG", "RET", "KERNEL", "COMM"], "{text}");
    let (pid, nobody) = (child.id().to_string(), i32::MAX.to_string());
    // The name is that of the thread that runs this test, and may have spaces.
    let of = |tpid: &str| -> Vec<&[&str]> {
        lines.iter().filter(|line| line[1] == tpid).map(|line| &line[..5]).collect()
    };
    assert_eq!(of(&pid), [[&us, &pid, "SIGUSR1", "0", "false"]], "{text}");
    assert_eq!(of(&nobody), [[&us, &nobody, "SIGUSR1", "-ESRCH", "false"]], "{text}");
}

#[test]
fn filesnoop_tells_of_each_directory_in_order() {
    if !is_root() || !has_tracefs() {
        return;
    }
    let dir = scratch();
    let package = pack("examples/filesnoop/filesnoop.bpf.c", &dir);
    let us = std::process::id();
    let ecli = Stream::ecli(&dir, "out", &["-j", &package, "--pid", &us.to_string()]);
    // There is a perf buffer per CPU, so order holds only within a CPU.
    let made = on_one_cpu("load", || {
        let mut made = Vec::new();
        for number in 0..200 {
            let path = dir.path().join(format!("directory {number}"));
            std::fs::create_dir(&path).unwrap();
            std::fs::remove_dir(&path).unwrap();
            for op in ["MKDIR(1)", "RMDIR(2)"] {
                made.push(json!({"pid": us, "op": op, "ret": 0, "comm": "load",
                    "path": path.to_str().unwrap(), "newpath": null}));
            }
        }
        made
    });
    let events = records(&ecli.interrupt());
    let ours = |event: &Value| event["path"].as_str().unwrap().contains("/directory ");
    let events: Vec<Value> = events.into_iter().filter(ours).collect();
    assert_same(("ecli", &events), ("the load", &made));
    assert!(events == made, "in another order: {events:#?}");
}

#[test]
fn bootstrap_tells_of_each_process_once_at_its_start_and_once_at_its_end() {
    if !is_root() {
        return;
    }
    let _alone = alone();
    let dir = scratch();
    let package = pack("examples/bootstrap/bootstrap.bpf.c", &dir);
    let us = std::process::id();
    let ecli = Stream::ecli(&dir, "out", &["-j", &package]);
    // Several at a time, on any CPU.
    let mut made = BTreeMap::new();
    for number in 0..10 {
        let spawn = |code: u32| {
            let script = format!("exit {code}");
            Command::new("/bin/sh").args(["-c", &script]).stdin(Stdio::null()).spawn().unwrap()
        };
        let children: Vec<_> = (0..5).map(|more| (number + more, spawn(number + more))).collect();
        for (code, mut child) in children {
            assert_eq!(ended(&mut child).code(), Some(code as i32));
            made.insert(child.id(), code);
        }
    }
    assert_eq!(made.len(), 50);
    let events = records(&ecli.interrupt());
    let ours = |event: &&Value| made.contains_key(&(event["pid"].as_u64().unwrap() as u32));
    let (mut told, mut as_made) = (Vec::new(), Vec::new());
    for event in events.iter().filter(ours) {
        let names: &[&str] = match event["record"].as_str().unwrap() {
            "started" => &["record", "kind", "pid", "ppid", "comm", "filename"],
            _ => &["record", "kind", "pid", "ppid", "comm", "exit_code", "sig"],
        };
        told.push(pick(event, names));
    }
    for (pid, code) in &made {
        as_made.push(json!({"record": "started", "kind": "EXEC(0)", "pid": pid, "ppid": us,
            "comm": "sh", "filename": "/bin/sh"}));
        as_made.push(json!({"record": "ended", "kind": "EXIT(1)", "pid": pid, "ppid": us,
            "comm": "sh", "exit_code": code, "sig": 0}));
    }
    assert_same(("ecli", &told), ("the load", &as_made));
}
