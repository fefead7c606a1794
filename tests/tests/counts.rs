// SPDX-License-Identifier: MIT
//! Compares the counts of examples with what was done, because their tools in C do not run
//! everywhere.
#![allow(clippy::unwrap_used)]

use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, Instant};

use bpfpack_tests::beside::element;
use bpfpack_tests::held::unique_name;
use bpfpack_tests::load::{Disk, run_and_sleep, stay_on_last_cpu};
use bpfpack_tests::{Running, alone, can, is_root, pack, scratch};
use serde_json::{Value, json};

/// Starts an example, which is read when it ends.
fn started(name: &str, arguments: &[&str]) -> Running {
    let dir = scratch();
    let package = pack(&format!("examples/{name}/{name}.bpf.c"), &dir);
    Running::ecli(&[&["run", "-j", "--interval", "1h", &package], arguments].concat())
}

/// Its results as JSON.
fn ended(example: Running) -> String {
    example.interrupt().succeeded().stdout
}

fn slots(value: &Value) -> u64 {
    value["slots"].as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).sum()
}

#[test]
fn filetop_counts_reads_and_writes() {
    if !is_root() {
        return;
    }
    let dir = scratch();
    let path = dir.path().join("read-and-written");
    let pid = std::process::id();
    let example = started("filetop", &["--pid", &pid.to_string()]);
    let name = unique_name();
    let load = std::thread::Builder::new().name(name.clone()).spawn(move || {
        let mut file =
            std::fs::File::options().create_new(true).read(true).write(true).open(path).unwrap();
        let mut memory = [7; 1000];
        for _ in 0..50 {
            file.write_all(&memory).unwrap();
        }
        file.write_all_at(&memory[..500], 0).unwrap();
        file.rewind().unwrap();
        for _ in 0..20 {
            file.read_exact(&mut memory).unwrap();
        }
        file.read_exact_at(&mut memory[..10], 5).unwrap();
    });
    load.unwrap().join().unwrap();
    let key = json!({"pid": pid, "comm": name, "file": "read-and-written"});
    let found = element(&ended(example), |it| *it == key).unwrap();
    let expected = json!({"reads": 21, "writes": 51, "rbytes": 20_010, "wbytes": 50_500});
    assert_eq!(found, expected);
}

#[test]
fn cachestat_counts_pages_of_a_file() {
    if !is_root() {
        return;
    }
    let example = started("cachestat", &[]);
    // Written, synchronized and removed.
    let is_on_disk = Disk::new().is_ok();
    let found = ended(example);
    if !can("needs a disk below /var/tmp that can be read directly", is_on_disk) {
        return;
    }
    for what in ["added", "dirtied", "removed"] {
        let row = element(&found, |key| key == what).unwrap();
        assert!(row["pages"].as_u64().unwrap() >= 2048, "{what}: {row}");
    }
}

#[test]
fn runqlen_sees_tasks_that_wait() {
    if !is_root() {
        return;
    }
    let _alone = alone();
    let example = started("runqlen", &["--cpus"]);
    let spin = || {
        stay_on_last_cpu();
        let cpu = rustix::thread::sched_getcpu();
        run_and_sleep(Duration::from_secs(1), Duration::ZERO, Duration::from_secs(1));
        cpu
    };
    let threads = [(); 3].map(|()| std::thread::spawn(spin));
    let [cpu, ..] = threads.map(|thread| thread.join().unwrap());
    let found = element(&ended(example), |key| key["cpu"] == cpu).unwrap();
    // Two of three wait, except for the time before and after.
    let (samples, waiting) = (slots(&found), found["total_tasks"].as_u64().unwrap());
    assert!(samples >= 20 && waiting >= samples, "{waiting} in {samples} samples: {found}");
}

#[test]
fn cpubusy_has_no_more_time_than_there_is() {
    if !is_root() {
        return;
    }
    let _alone = alone();
    let begin = Instant::now();
    let example = started("cpubusy", &[]);
    let span = Duration::from_millis(1);
    run_and_sleep(span, span, Duration::from_secs(1));
    let found = ended(example);
    let cpus = std::thread::available_parallelism().unwrap().get() as u128;
    let most = begin.elapsed().as_micros() * cpus;
    let mut total = 0;
    for what in ["busy", "idle"] {
        // There are none if all CPUs were always busy.
        let Some(periods) = element(&found, |key| key == what) else { continue };
        assert_eq!(periods["count"], slots(&periods), "{what}: {periods}");
        total += u128::from(periods["total_time"].as_u64().unwrap());
    }
    assert!(total > 0 && total <= most, "{total} of {most}: {found}");
}
