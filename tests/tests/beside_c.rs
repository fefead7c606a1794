// SPDX-License-Identifier: MIT
//! The examples beside libbpf's tools in C, over the same load: the same counts. (A loader that
//! attaches both of two alternatives shows twice as many.)
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use bpfpack_tests::load::{Disk, PingPong, interrupt_of_disk};
use bpfpack_tests::{
    Running, alone, can, eventually, has_tool, histogram_sums, is_root, pack, scratch, sum_of,
};

const READS: usize = 20_000;

/// Starts a tool in C, and waits until it has attached its programs.
fn start_tool(name: &str, args: &[&str], links: usize) -> Running {
    let running = Running::start(format!("/usr/sbin/{name}"), args);
    eventually("the tool has attached", || running.held().links.len() >= links);
    running
}

/// How far apart two counts are, as a part of the larger.
fn apart(a: u64, b: u64) -> f64 {
    a.abs_diff(b) as f64 / a.max(b).max(1) as f64
}

#[test]
fn hardirqs_counts_each_interrupt_once() {
    if !is_root() || !has_tool("hardirqs") {
        return;
    }
    let _alone = alone();
    let Ok(disk) = Disk::new() else {
        let _ = can("needs a disk below /var/tmp that can be read directly", false);
        return;
    };
    let name = interrupt_of_disk(&disk).unwrap();
    let Some(name) = name else {
        let _ = can("needs a disk whose interrupts are counted in /proc/interrupts", false);
        return;
    };
    let dir = scratch();
    let package = pack("examples/hardirqs/hardirqs.bpf.c", &dir);
    let tool = start_tool("hardirqs", &["-d", "3600"], 2);
    let ours = Running::ecli(&["run", "--interval", "1h", &package, "--targ_dist"]);
    disk.read(READS).unwrap();
    let (ours, tool) = (ours.interrupt().succeeded(), tool.interrupt().succeeded());
    let ours = sum_of(&histogram_sums(&ours.stdout, "key = "), &name);
    let tool = sum_of(&histogram_sums(&tool.stdout, "hardirq = "), &name);
    println!("{name}: ecli {ours}, hardirqs {tool}, reads {READS}");
    assert!(ours as usize >= READS * 9 / 10, "the load was seen: {ours}");
    assert!(apart(ours, tool) < 0.02, "ecli {ours}, hardirqs {tool}");
}

#[test]
fn softirqs_counts_each_soft_interrupt_once() {
    if !is_root() || !has_tool("softirqs") {
        return;
    }
    let _alone = alone();
    let dir = scratch();
    let package = pack("examples/softirqs/softirqs.bpf.c", &dir);
    let tool = start_tool("softirqs", &["-d", "3600"], 2);
    let ours = Running::ecli(&["run", "--interval", "1h", &package, "--targ_dist"]);
    let load = PingPong::start();
    std::thread::sleep(Duration::from_secs(3));
    drop(load);
    let (ours, tool) = (ours.interrupt().succeeded(), tool.interrupt().succeeded());
    let all = |text: &str, heading| -> u64 {
        histogram_sums(text, heading).iter().map(|(_, sum)| sum).sum()
    };
    let (ours, tool) = (all(&ours.stdout, "key = "), all(&tool.stdout, "softirq = "));
    println!("softirqs: ecli {ours}, softirqs {tool}");
    // There are few of them, so that the windows' edges, some hundredths of a second, weigh more
    // than in the others: still far less than the factor of two that counting twice would make.
    assert!(ours > 100 && apart(ours, tool) < 0.1, "ecli {ours}, softirqs {tool}");
}

#[test]
fn runqlat_counts_each_switch_once() {
    if !is_root() || !has_tool("runqlat") {
        return;
    }
    let _alone = alone();
    let dir = scratch();
    let package = pack("examples/runqlat/runqlat.bpf.c", &dir);
    let tool = start_tool("runqlat", &["3600"], 3);
    let ours = Running::ecli(&["run", "--interval", "1h", &package]);
    let load = PingPong::start();
    std::thread::sleep(Duration::from_secs(3));
    drop(load);
    let (ours, tool) = (ours.interrupt().succeeded(), tool.interrupt().succeeded());
    let ours: u64 = histogram_sums(&ours.stdout, "key = ").iter().map(|(_, sum)| sum).sum();
    let tool: u64 = histogram_sums(&tool.stdout, "pid = ").iter().map(|(_, sum)| sum).sum();
    println!("runqlat: ecli {ours}, runqlat {tool}");
    assert!(ours > 10_000, "the load was seen: {ours}");
    assert!(apart(ours, tool) < 0.02, "ecli {ours}, runqlat {tool}");
}
