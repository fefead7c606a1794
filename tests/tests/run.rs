// SPDX-License-Identifier: MIT
//! `ecli run` on this kernel: what is attached, shown, and left behind.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use bpfpack_tests::stream::Stream;
use bpfpack_tests::wait::{finished, outcome, status};
use bpfpack_tests::{
    Running, can, ecli, eventually, is_root, pack, pack_with_header, program, scratch, sys,
};
use rustix::process::Signal;
use serde_json::Value;

/// Arguments with which the fixture sees this thread's system calls.
fn see_us() -> [String; 4] {
    let pid = sys::thread_id().to_string();
    ["--target_pid".into(), pid, "--carrier".into(), libc::SYS_getpgid.to_string()]
}

fn edges(options: &[&str], more: &[&str]) -> (tempfile::TempDir, Running) {
    let dir = scratch();
    let package = pack("tests/fixtures/edges.bpf.c", &dir);
    let us = see_us();
    let mut args: Vec<&str> = vec!["run"];
    args.extend(options);
    args.push(&package);
    args.extend(us.iter().map(String::as_str));
    args.extend(more);
    let running = Running::ecli(&args);
    (dir, running)
}

/// The last reading in JSON: value by map and key.
fn last_values(text: &str) -> BTreeMap<(String, String), Value> {
    text.lines()
        .map(|line| {
            let value: Value = serde_json::from_str(line).unwrap();
            let key = value.get("key").map_or(String::new(), Value::to_string);
            ((value["map"].as_str().unwrap().to_owned(), key), value["value"].clone())
        })
        .collect()
}

#[test]
fn values_land_in_the_slots_that_their_edges_say() {
    if !is_root() {
        return;
    }
    let (_dir, running) = edges(&["-j", "--interval", "1h"], &[]);
    // The smallest and the largest value of each slot, and 1 twice.
    let mut expected = [[0u64; 32]; 2];
    let mut total = [0u64; 2];
    for slot in 0..31u32 {
        let edges = [1i32 << slot, ((1u64 << (slot + 1)) - 1) as i32];
        for value in edges {
            sys::carry(value);
            let parity = (value & 1) as usize;
            expected[parity][slot as usize] += 1;
            total[parity] += 1;
        }
    }
    sys::carry(0);
    expected[0][0] += 1;
    total[0] += 1;
    let outcome = running.interrupt().succeeded();
    let values = last_values(&outcome.stdout);
    for parity in [0, 1] {
        let key = format!("{{\"parity\":{parity}}}");
        let value = &values[&("by_parity".to_owned(), key)];
        assert_eq!(value["slots"], serde_json::json!(expected[parity]), "{}", outcome.stdout);
        assert_eq!(value["count"], total[parity]);
        let name = ["\"EVEN\"", "\"ODD\""][parity].to_owned();
        assert_eq!(values[&("totals".to_owned(), name)]["totals"], total[parity]);
    }
    let both: Vec<u64> = (0..32).map(|slot| expected[0][slot] + expected[1][slot]).collect();
    let per_cpu = &values[&("per_cpu".to_owned(), "0".to_owned())];
    assert_eq!(per_cpu["slots"], serde_json::json!(both), "summed over all CPUs");
}

#[test]
fn pictures_units_names_and_linear_slots() {
    if !is_root() {
        return;
    }
    let (_dir, running) = edges(&["--interval", "1h"], &["--targ_ns"]);
    for value in [1, 2, 3, 17] {
        sys::carry(value);
    }
    let text = running.interrupt().succeeded().stdout;
    for words in [
        "map = by_parity\nkey = 1\ncount = 3\nlargest = 17\n\n     nsecs               : count    distribution\n",
        "key = 0\ncount = 1\nlargest = 2\n",
        "         0 -> 1          : 1        |****************************************|\n",
        "         2 -> 3          : 2        |****************************************|\n",
        "        16 -> 31         : 1        |",
        "     numbers             : count    distribution\n         0 -> 7          : 3        |",
        "        16 -> 23         : 1        |",
        "map = totals\nKEY   TOTALS\nODD        3\nEVEN       1\n",
    ] {
        assert!(text.contains(words), "no\n{words}\nin\n{text}");
    }
}

#[test]
fn readings_with_clear_add_up_exactly_under_load() {
    if !is_root() {
        return;
    }
    let dir = scratch();
    let package = pack("tests/fixtures/edges.bpf.c", &dir);
    let us = see_us();
    let us = us.iter().map(String::as_str);
    let args: Vec<&str> =
        ["-j", "--interval", "20ms", "--clear", &package].into_iter().chain(us).collect();
    let running = Stream::ecli(&dir, "out", &args);
    let mut carried = [0u64; 2];
    let mut value = 0;
    eventually("there are several readings", || {
        for _ in 0..10_000 {
            sys::carry(value & 1023);
            carried[(value & 1) as usize] += 1;
            value += 1;
        }
        running.text().matches("\"per_cpu\"").count() > 5
    });
    let text = running.interrupt();
    let mut sums: BTreeMap<(String, String), u64> = BTreeMap::new();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let map = line["map"].as_str().unwrap().to_owned();
        let slots = line["value"]["slots"].as_array();
        let count = match (&line["value"]["totals"], slots) {
            (Value::Number(total), _) => total.as_u64().unwrap(),
            (_, Some(slots)) => slots.iter().map(|slot| slot.as_u64().unwrap()).sum(),
            _ => continue,
        };
        *sums.entry((map, line["key"].to_string())).or_default() += count;
    }
    let sum = |map: &str, key: &str| sums[&(map.to_owned(), key.to_owned())];
    for (parity, name) in [(0, "\"EVEN\""), (1, "\"ODD\"")] {
        assert_eq!(sum("totals", name), carried[parity]);
        assert_eq!(sum("by_parity", &format!("{{\"parity\":{parity}}}")), carried[parity]);
    }
    assert_eq!(sum("per_cpu", "0"), carried[0] + carried[1]);
}

#[test]
fn a_full_map_is_relieved_and_nothing_is_lost() {
    if !is_root() {
        return;
    }
    let dir = scratch();
    let package = pack("tests/fixtures/crowd.bpf.c", &dir);
    let pid = sys::thread_id().to_string();
    let running = Running::ecli(&[
        "run",
        "-j",
        "--interval",
        "10ms",
        "--clear",
        &package,
        "--target_pid",
        &pid,
    ]);
    // 400 keys in a map of 64, each counted 50 times; a pause lets the readings keep up.
    let mut carried = 0u64;
    for key in 0..400 {
        for _ in 0..50 {
            sys::carry(key);
            carried += 1;
        }
        if key % 16 == 15 {
            std::thread::sleep(Duration::from_millis(60));
        }
    }
    let outcome = running.interrupt().succeeded();
    let mut sums: BTreeMap<u64, u64> = BTreeMap::new();
    for line in outcome.stdout.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        *sums.entry(line["key"].as_u64().unwrap()).or_default() += line["value"].as_u64().unwrap();
    }
    assert_eq!(sums.len(), 400, "every key had room");
    assert!(sums.values().all(|count| *count == 50), "{sums:?}");
    assert_eq!(sums.values().sum::<u64>(), carried);
}

#[test]
fn one_of_twins_is_attached() {
    if !is_root() {
        return;
    }
    let dir = scratch();
    let package = pack("examples/hardirqs/hardirqs.bpf.c", &dir);
    let loaded = |options: &[&str]| -> usize {
        let running = Running::ecli(&[&["run"], options, &[package.as_str()]].concat());
        let held = running.held();
        let _ = running.interrupt().succeeded();
        held.count("irq_handler")
    };
    assert_eq!(loaded(&[]), 2);
    assert_eq!(loaded(&["--attach-all"]), 4);
    assert_eq!(loaded(&["--with", "irq_handler_entry", "--with", "irq_handler_exit"]), 2);
    assert_eq!(loaded(&["--without", "irq_handler_exit_btf", "--without", "irq_handler_exit"]), 1);
    let outcome = ecli(&["run", "--duration", "1ms", &package]).succeeded();
    for words in [
        "attaching with tp_btf, not raw_tp",
        "irq_handler_entry_btf, irq_handler_exit_btf",
        "twice",
    ] {
        assert!(outcome.stderr.contains(words), "{}", outcome.stderr);
    }
    let outcome = ecli(&["run", "-q", "--duration", "1ms", &package]).succeeded();
    assert_eq!(outcome.stderr, "");
}

#[test]
fn a_twin_that_the_kernel_refuses_gives_way_to_the_other() {
    if !is_root() {
        return;
    }
    let dir = scratch();
    let package = pack("tests/fixtures/fallback.bpf.c", &dir);
    let pid = sys::thread_id().to_string();
    let running = Running::ecli(&["run", "-j", "--interval", "1h", &package, "--target_pid", &pid]);
    for _ in 0..10 {
        sys::carry(1);
    }
    let outcome = running.interrupt().succeeded();
    // The better alternative cannot be verified, so the other counts, and each call once.
    let line: Value = serde_json::from_str(outcome.stdout.lines().last().unwrap()).unwrap();
    assert_eq!(line["value"]["calls"], 10, "{}", outcome.stdout);
}

#[test]
fn arguments_reach_the_program() {
    if !is_root() {
        return;
    }
    let dir = scratch();
    let package = &pack_with_header("arguments", &dir);
    let pid = sys::thread_id().to_string();
    let record = |more: &[&str]| -> Value {
        let args = [&["run", "-j", package, "--target_pid", &pid], more].concat();
        let running = Running::ecli(&args);
        sys::carry(1);
        let text = running.interrupt().succeeded().stdout;
        serde_json::from_str(text.lines().next().unwrap_or_else(|| panic!("no record: {text}")))
            .unwrap()
    };
    assert_eq!(
        record(&[]),
        serde_json::json!({"small": 7, "big": 0, "negative": 0, "name": "none", "level": "LOW(1)",
            "plain": false, "on": true, "off": false, "by_default": 1000})
    );
    assert_eq!(
        record(&[
            "-s",
            "0xff",
            "--big",
            "-9223372036854775808",
            "--negative",
            "-2",
            "--name",
            "a b",
            "--level",
            "HIGH",
            "--plain",
            "--disable-on",
            "--enable-off",
            "--by-default",
            "5",
        ]),
        serde_json::json!({"small": 255, "big": i64::MIN, "negative": -2, "name": "a b",
            "level": "HIGH(9)", "plain": true, "on": false, "off": true, "by_default": 5})
    );
}

#[test]
fn a_perf_buffer_is_shown_too() {
    if !is_root() {
        return;
    }
    let dir = scratch();
    let package = pack_with_header("perf", &dir);
    let pid = sys::thread_id().to_string();
    let running = Running::ecli(&["run", &package, "--target_pid", &pid]);
    for number in [5, 6, 7] {
        sys::carry(number);
    }
    let text = running.interrupt().succeeded().stdout;
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("TIME     NUMBER COMM"), "{text}");
    let rest: Vec<_> = lines.map(|line| line.split_whitespace().nth(1).unwrap()).collect();
    assert_eq!(rest, ["5", "6", "7"], "{text}");
    let running = Running::ecli(&["run", "-j", "--count", "2", &package, "--target_pid", &pid]);
    for number in [5, 6, 7] {
        sys::carry(number);
    }
    assert_eq!(running.wait().succeeded().stdout.lines().count(), 2);
}

#[test]
fn a_package_can_not_command_the_terminal_and_may_hide_a_buffer() {
    if !is_root() {
        return;
    }
    let dir = scratch();
    let path = pack("tests/fixtures/edges.bpf.c", &dir);
    let mut package: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let sample = &mut package["meta"]["bpf_skel"]["maps"][0]["sample"];
    sample["unit"] = "\u{1b}[31musecs".into();
    sample["key_labels"] = serde_json::json!([]);
    let totals =
        package["meta"]["bpf_skel"]["data_sections"][1]["variables"].as_array_mut().unwrap();
    let totals = totals.iter_mut().find(|variable| variable["name"] == "totals").unwrap();
    totals["sample"]["key_labels"] = serde_json::json!(["\u{1b}]0;even", "odd"]);
    std::fs::write(&path, package.to_string()).unwrap();
    let us = see_us();
    let args: Vec<&str> = ["run", "--interval", "1h", &path]
        .into_iter()
        .chain(us.iter().map(String::as_str))
        .collect();
    let running = Running::ecli(&args);
    sys::carry(2);
    let text = running.interrupt().succeeded().stdout;
    assert!(!text.contains('\u{1b}') && text.contains("\\x1b[31musecs"), "{text}");
    assert!(text.contains("\\x1b]0;even"), "{text}");

    let path = pack_with_header("perf", &dir);
    let mut package: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    package["meta"]["bpf_skel"]["maps"][0]["export_config"] = "no_export".into();
    std::fs::write(&path, package.to_string()).unwrap();
    let pid = sys::thread_id().to_string();
    let running = Running::ecli(&["run", &path, "--target_pid", &pid]);
    sys::carry(2);
    assert_eq!(running.interrupt().succeeded().stdout, "");
}

#[test]
fn counts_intervals_and_durations() {
    if !is_root() {
        return;
    }
    let readings = |options: &[&str]| {
        let (_dir, running) = edges(&[&["-j"], options].concat(), &[]);
        sys::carry(1);
        let text = running.wait().succeeded().stdout;
        text.lines().filter(|line| line.contains("per_cpu")).count()
    };
    assert_eq!(readings(&["--interval", "100ms", "--count", "3"]), 3);
    // Readings at 400 and 800 ms, and one at the end.
    assert_eq!(readings(&["--interval", "400ms", "--duration", "1s"]), 3);
    // The last reading is not made twice at the end.
    assert_eq!(readings(&["--interval", "400ms", "--duration", "800ms"]), 2);
    let (_dir, running) = edges(&["-T", "--interval", "100ms", "--count", "1"], &[]);
    sys::carry(1);
    let text = running.wait().succeeded().stdout;
    let first = text.lines().next().unwrap();
    assert!(first.len() == 8 && first.matches(':').count() == 2, "a time: {first}");
}

#[test]
fn signals_end_it_with_a_last_reading_and_nothing_left() {
    if !is_root() {
        return;
    }
    for signal in [Signal::INT, Signal::TERM] {
        let (_dir, running) = edges(&["-j", "--interval", "1h"], &[]);
        let held = running.held();
        assert!(!held.links.is_empty() && !held.programs.is_empty(), "{held:?}");
        sys::carry(3);
        running.signal(signal);
        let outcome = running.wait().succeeded();
        assert!(outcome.stdout.contains("\"ODD\""), "{}", outcome.stdout);
        held.is_gone();
    }
}

#[test]
fn a_closed_pipe_is_a_quiet_end() {
    if !is_root() {
        return;
    }
    let dir = scratch();
    let package = pack("tests/fixtures/edges.bpf.c", &dir);
    let us = see_us();
    let mut child = Command::new(program("ecli"))
        .args(["run", "-q", "-j", "--interval", "10ms", &package])
        .args(&us)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut code = None;
    eventually("it ends by itself", || {
        sys::carry(1);
        code = child.try_wait().unwrap();
        code.is_some()
    });
    let output = finished(child);
    assert_eq!(code.unwrap().code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn a_full_disk_is_an_error_of_its_own() {
    if !is_root() {
        return;
    }
    let (dir, running) = edges(&["--count", "1"], &[]);
    drop(running.interrupt());
    let package = dir.path().join("package.json");
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let mut child = Command::new(program("ecli"))
        .args(["run", "-q", "-j", "--interval", "10ms", package.to_str().unwrap()])
        .args(see_us())
        .stdin(Stdio::null())
        .stdout(full)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    eventually("it ends by itself", || {
        sys::carry(1);
        child.try_wait().unwrap().is_some()
    });
    let outcome: bpfpack_tests::Outcome = finished(child).into();
    outcome.failed(7, &["cannot write the output", "No space left"]);
}

#[test]
fn a_cgroup_filters() {
    let cgroups = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if !is_root() || !can("needs cgroup2", cgroups.contains("cgroup2")) {
        return;
    }
    let dir = scratch();
    let mount = dir.path().join("cgroup");
    std::fs::create_dir(&mount).unwrap();
    let mounted = status(Command::new("mount").args(["-t", "cgroup2", "none"]).arg(&mount));
    if !can("needs to mount cgroup2", mounted.success()) {
        return;
    }
    let group = mount.join(dir.path().file_name().unwrap());
    std::fs::create_dir(&group).unwrap();
    let out = scratch();
    let package = pack("examples/hardirqs/hardirqs.bpf.c", &out);
    let args =
        ["run", "--cgroup", group.to_str().unwrap(), "--duration", "50ms", &package, "--filter_cg"];
    let outcome = ecli(&args);
    std::fs::remove_dir(&group).unwrap();
    let unmounted = status(Command::new("umount").arg(&mount));
    assert!(unmounted.success());
    // No process is in the cgroup, so nothing is seen.
    assert_eq!(outcome.succeeded().stdout, "");
}

#[test]
fn nothing_is_left_in_the_bpf_file_system() {
    if !is_root() || !Path::new("/sys/fs/bpf").exists() {
        return;
    }
    // A private file system in its own mount namespace.
    let script = "mount -t bpf none /sys/fs/bpf && before=$(ls -A /sys/fs/bpf) && \
        \"$@\" >/dev/null && after=$(ls -A /sys/fs/bpf) && [ \"$before\" = \"$after\" ]";
    let dir = scratch();
    let package = pack("tests/fixtures/edges.bpf.c", &dir);
    let ecli = program("ecli");
    let args = ["run", "--count", "1", "--interval", "10ms", &package].map(OsStr::new);
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script, "sh"]).arg(&ecli).args(args).args(see_us());
    let _ = outcome(&mut command).succeeded();
}
