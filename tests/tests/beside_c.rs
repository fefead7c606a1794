// SPDX-License-Identifier: MIT
//! Compares the examples with libbpf's tools in C under the same load: the counts must be equal. (A
//! loader that attaches both of two alternatives counts twice as many.)
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use bpfpack_tests::beside::{apart, element, log2_buckets, printed, same_buckets, start_tool};
use bpfpack_tests::held::unique_name;
use bpfpack_tests::load::{
    Caller, Disk, PingPong, interrupt_of_disk, run_and_sleep, stay_on_last_cpu,
};
use bpfpack_tests::sys::thread_id;
use bpfpack_tests::{
    Running, alone, can, has_tool, histogram_sums, is_root, pack, scratch, sum_of,
};

const READS: usize = 20_000;

/// A disk to read from; without one, a test is skipped.
fn disk() -> Option<Disk> {
    let disk = Disk::new().ok();
    let _ = can("needs a disk below /var/tmp that can be read directly", disk.is_some());
    disk
}

#[test]
fn hardirqs_counts_each_interrupt_once() {
    if !is_root() || !has_tool("hardirqs") {
        return;
    }
    let _alone = alone();
    let Some(disk) = disk() else { return };
    let name = interrupt_of_disk(&disk).unwrap();
    let Some(name) = name else {
        let _ = can("needs a disk whose interrupts are counted in /proc/interrupts", false);
        return;
    };
    let dir = scratch();
    let package = pack("examples/hardirqs/hardirqs.bpf.c", &dir);
    let ours = Running::ecli(&["run", "--interval", "1h", &package, "--targ_dist"]);
    let tool = start_tool("hardirqs", &["-d", "3600"], 2);
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
    let ours = Running::ecli(&["run", "--interval", "1h", &package, "--targ_dist"]);
    let tool = start_tool("softirqs", &["-d", "3600"], 2);
    let load = PingPong::start();
    std::thread::sleep(Duration::from_secs(3));
    drop(load);
    let (ours, tool) = (ours.interrupt().succeeded(), tool.interrupt().succeeded());
    let all = |text: &str, heading| -> u64 {
        histogram_sums(text, heading).iter().map(|(_, sum)| sum).sum()
    };
    let (ours, tool) = (all(&ours.stdout, "key = "), all(&tool.stdout, "softirq = "));
    println!("softirqs: ecli {ours}, softirqs {tool}");
    // There are few of them, so the edges of the time windows, some hundredths of a second, have
    // more influence than elsewhere, but much less than the factor of two from counting twice.
    assert!(ours > 100 && apart(ours, tool) < 0.2, "ecli {ours}, softirqs {tool}");
}

#[test]
fn runqlat_counts_each_switch_once() {
    if !is_root() || !has_tool("runqlat") {
        return;
    }
    let _alone = alone();
    let dir = scratch();
    let package = pack("examples/runqlat/runqlat.bpf.c", &dir);
    let ours = Running::ecli(&["run", "--interval", "1h", &package]);
    let tool = start_tool("runqlat", &["3600"], 3);
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

#[test]
fn biolatency_has_the_same_buckets() {
    if !is_root() || !has_tool("biolatency") {
        return;
    }
    let _alone = alone();
    let Some(disk) = disk() else { return };
    let dir = scratch();
    let package = pack("examples/biolatency/biolatency.bpf.c", &dir);
    let ours = Running::ecli(&["run", "-j", "--interval", "1h", &package]);
    let tool = start_tool("biolatency", &["3600"], 2);
    let begin = Instant::now();
    let mut reads = 0;
    while begin.elapsed() < Duration::from_secs(2) {
        disk.read(100).unwrap();
        reads += 100;
    }
    let (ours, tool) = (ours.interrupt().succeeded(), tool.interrupt().succeeded());
    let ours = log2_buckets(&element(&ours.stdout, |_| true).unwrap());
    let tool = printed(&tool.stdout, None);
    let seen = (ours.values().sum::<u64>(), tool.values().sum::<u64>());
    println!("reads {reads}, ecli {}, biolatency {}", seen.0, seen.1);
    // Values near an edge of a bucket may differ, because the two read the clock one after the
    // other.
    same_buckets("biolatency", &ours, &tool, reads / 30 + 30);
    assert!(seen.0 >= reads * 9 / 10, "the load was seen: {ours:?}");
}

#[test]
fn bitesize_has_the_same_buckets() {
    if !is_root() || !has_tool("bitesize") {
        return;
    }
    let _alone = alone();
    let Some(disk) = disk() else { return };
    let dir = scratch();
    let package = pack("examples/bitesize/bitesize.bpf.c", &dir);
    let ours = Running::ecli(&["run", "-j", "--interval", "1h", &package]);
    let tool = start_tool("bitesize", &["3600"], 1);
    // A unique name, so that activity of others is counted elsewhere.
    let name = unique_name();
    let reader = std::thread::Builder::new().name(name.clone()).spawn(move || {
        for (count, blocks) in [(1000, 1), (300, 4), (100, 16)] {
            disk.read_pieces(count, blocks).unwrap();
        }
    });
    reader.unwrap().join().unwrap();
    let (ours, tool) = (ours.interrupt().succeeded(), tool.interrupt().succeeded());
    let ours = element(&ours.stdout, |key| key["comm"] == *name).unwrap();
    let ours = log2_buckets(&ours);
    let tool = printed(&tool.stdout, Some(&format!("Process Name = {name} ")));
    same_buckets("bitesize", &ours, &tool, 2);
    // If the disk is busy, kernel threads submit some of them.
    assert!(ours[&4] >= 500, "the load was seen: {ours:?}");
}

/// Compares the times of the two threads of a load.
fn cpudist(ours: &[&str], tool: &[&str], load: fn()) {
    if !is_root() || !has_tool("cpudist") {
        return;
    }
    let _alone = alone();
    let dir = scratch();
    let package = pack("examples/cpudist/cpudist.bpf.c", &dir);
    let run = ["run", "-j", "--interval", "1h", &package, "-L"];
    let ours = Running::ecli(&[&run, ours].concat());
    let tool = start_tool("cpudist", &[tool, &["-L", "3600"]].concat(), 1);
    let run = move || {
        load();
        thread_id()
    };
    let threads = [(); 2].map(|()| std::thread::spawn(run));
    let tids = threads.map(|thread| thread.join().unwrap());
    let (ours, tool) = (ours.interrupt().succeeded(), tool.interrupt().succeeded());
    for tid in tids {
        let ours = element(&ours.stdout, |key| key["tid"] == tid).unwrap();
        let ours = log2_buckets(&ours);
        let total: u64 = ours.values().sum();
        assert!(total > 20, "the load was seen: {ours:?}");
        let tool = printed(&tool.stdout, Some(&format!("tid = {tid} ")));
        same_buckets("cpudist", &ours, &tool, total / 30 + 5);
    }
}

#[test]
fn cpudist_has_the_same_buckets_on_the_cpu() {
    // The tool in C counts only times that end although the task could continue.
    cpudist(&["--preempted"], &[], || {
        stay_on_last_cpu();
        run_and_sleep(Duration::from_secs(2), Duration::ZERO, Duration::from_secs(2));
    });
}

#[test]
fn cpudist_has_the_same_buckets_off_the_cpu() {
    // Far from a power of two, so that the overhead of the other's programs moves no time to
    // another bucket.
    const SPAN: Duration = Duration::from_micros(350);
    cpudist(&["-O"], &["-O"], || run_and_sleep(SPAN, SPAN, Duration::from_secs(2)));
}

#[test]
fn syscount_counts_each_call_once() {
    const CALLS: u64 = 100_000;
    if !is_root() || !has_tool("syscount") {
        return;
    }
    let _alone = alone();
    let dir = scratch();
    let package = pack("examples/syscount/syscount.bpf.c", &dir);
    let pid = std::process::id().to_string();
    let ours = Running::ecli(&[
        "run",
        "-j",
        "--decode",
        "--interval",
        "1h",
        &package,
        "--times",
        "-p",
        &pid,
    ]);
    let tool = start_tool("syscount", &["-p", &pid, "-T", "100", "-i", "3600"], 1);
    let _ = Caller::start().unwrap().call(CALLS);
    let (ours, tool) = (ours.interrupt().succeeded(), tool.interrupt().succeeded());
    let mut rows = tool.stdout.lines().filter_map(|line| {
        let (name, count) = line.split_once(char::is_whitespace)?;
        Some((name.to_owned(), count.trim().parse::<u64>().ok()?))
    });
    let (name, of_tool) = rows.next().unwrap();
    assert_eq!(name, "getpgid");
    let ours = element(&ours.stdout, |key| key["syscall"] == *name).unwrap();
    println!("{name}: ecli {ours}, syscount {of_tool}");
    assert_eq!((ours["count"].as_u64(), of_tool), (Some(CALLS), CALLS));
    let times = ours["total_ns"].as_u64().unwrap() / CALLS;
    assert!((10..100_000).contains(&times), "a call takes {times} ns");
}
