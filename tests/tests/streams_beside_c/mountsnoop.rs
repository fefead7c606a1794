// SPDX-License-Identifier: MIT
//! Mounts that nobody else sees: long records with several texts.

use std::ffi::{CStr, CString};

use bpfpack_tests::stream::{Watchers, assert_same, beside, pick, records};
use bpfpack_tests::{pack, scratch, sys};
use serde_json::{Value, json};

use crate::{has, number};

/// Members that both have.
const NAMES: [&str; 9] = ["comm", "pid", "tid", "op", "flags", "ret", "fs", "src", "dest"];

/// The tool's names of bits, from bit 0. It has none for the unused bit 9, so all following names
/// are one bit too low (`MS_BIND` is bit 12). It uses them for unmounts, too.
const FLAGS: [&str; 19] = [
    "MS_RDONLY",
    "MS_NOSUID",
    "MS_NODEV",
    "MS_NOEXEC",
    "MS_SYNCHRONOUS",
    "MS_REMOUNT",
    "MS_MANDLOCK",
    "MS_DIRSYNC",
    "MS_NOSYMFOLLOW",
    "MS_NOATIME",
    "MS_NODIRATIME",
    "MS_BIND",
    "MS_MOVE",
    "MS_REC",
    "MS_VERBOSE",
    "MS_SILENT",
    "MS_POSIXACL",
    "MS_UNBINDABLE",
    "MS_PRIVATE",
];

/// The bits for the tool's names.
fn flags(text: &str) -> Option<u64> {
    if text == "0x0" {
        return Some(0);
    }
    text.split(" | ").try_fold(0, |flags, name| {
        let bit = FLAGS.iter().position(|known| *known == name)?;
        Some(flags | 1 << bit)
    })
}

/// The error for the tool's name.
fn error(text: &str) -> Option<i64> {
    let names = [
        ("0", 0),
        ("-EINVAL", libc::EINVAL),
        ("-ENODEV", libc::ENODEV),
        ("-ENOENT", libc::ENOENT),
        ("-EBUSY", libc::EBUSY),
    ];
    names.iter().find(|(name, _)| *name == text).map(|(_, number)| -i64::from(*number))
}

/// The tool's events: a line for each member, followed by an empty line.
fn of_tool(text: &str) -> Vec<Value> {
    let parse = |event: &str| {
        let member = |name: &str| {
            let line = event.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.strip_prefix(':')?.trim_start())
        };
        let op = match member("OP")? {
            "MOUNT" => "MOUNT(0)",
            "UMOUNT" => "UMOUNT(1)",
            _ => return None,
        };
        Some(json!({"comm": member("COMM")?, "pid": number(member("PID")?)?,
            "tid": number(member("TID")?)?, "op": op, "flags": flags(member("FLAGS")?)?,
            "ret": error(member("RET")?)?, "fs": member("FS")?, "src": member("SOURCE")?,
            "dest": member("TARGET")?}))
    };
    let events = text.split("\n\n").filter(|event| !event.trim().is_empty());
    events.map(|event| parse(event).unwrap_or_else(|| panic!("no event:\n{event}"))).collect()
}

#[test]
fn mountsnoop_tells_of_each_mount_and_unmount() {
    if !has("mountsnoop") {
        return;
    }
    const ROUNDS: u32 = 5;
    let dir = scratch();
    let package = pack("tests/fixtures/mountsnoop.bpf.c", &dir);
    let pid = std::process::id();
    let ours = pid.to_string();
    let path = |name: &str| CString::new(dir.path().join(name).to_str().unwrap()).unwrap();
    std::fs::create_dir(dir.path().join("a")).unwrap();
    std::fs::create_dir(dir.path().join("b")).unwrap();
    let directory = dir.path().to_str().unwrap();
    let mut probes = 0;
    let mut probe = || {
        probes += 1;
        let target = format!("{directory}/probe/p{probes}p");
        assert_eq!(sys::unmount(&CString::new(&*target).unwrap(), 0), -libc::ENOENT);
        // More of the event follows, so the text must be unique up to its end.
        format!("TARGET: {target}\nDATA:   \nFLAGS:  0x0\n\n")
    };
    let load = |watchers: &Watchers<'_>| {
        sys::own_mounts().unwrap();
        let tid = sys::thread_id();
        let mut made =
            vec![json!({"tid": tid, "op": "MOUNT(0)", "ret": 0, "fs": "", "src": "none",
            "flags": libc::MS_REC | libc::MS_PRIVATE, "dest": "/"})];
        let text = |text: &CStr| text.to_str().unwrap().to_owned();
        let mut mount = |src: &CStr, dest: &CStr, fs: &CStr, flags: u64, ret: i32| {
            assert_eq!(sys::mount(src, dest, fs, flags), ret, "{src:?} {dest:?} {fs:?} {flags:#x}");
            made.push(json!({"tid": tid, "op": "MOUNT(0)", "ret": ret, "fs": text(fs),
                "src": text(src), "flags": flags, "dest": text(dest)}));
        };
        let (a, b, nonsuch) = (path("a"), path("b"), path("nonsuch"));
        let secure = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
        for number in 0..ROUNDS {
            let name = CString::new(format!("a source {number}")).unwrap();
            mount(&name, &a, c"tmpfs", secure | libc::MS_NOATIME, 0);
            mount(c"", &a, c"", libc::MS_REMOUNT | libc::MS_RDONLY | secure, 0);
            mount(&a, &b, c"", libc::MS_BIND, 0);
        }
        mount(c"none", &nonsuch, c"tmpfs", libc::MS_RDONLY, -libc::ENOENT);
        mount(c"none", &a, c"nonsuch", 0, -libc::ENODEV);
        // The tool has room for 28 of its 9 KB records, and does not report losses.
        let so_far = made.len();
        watchers.wait("the mounts are seen", |text| text.matches("load").count() >= so_far);
        let mut unmount = |dest: &CStr, flags: i32, ret: i32| {
            assert_eq!(sys::unmount(dest, flags), ret, "{dest:?} {flags:#x}");
            made.push(json!({"tid": tid, "op": "UMOUNT(1)", "ret": ret, "fs": "", "src": "",
                "flags": flags, "dest": text(dest)}));
        };
        for _ in 0..ROUNDS {
            unmount(&b, 0, 0);
            unmount(&a, libc::MNT_DETACH, 0);
        }
        unmount(&a, 0, -libc::EINVAL);
        unmount(&nonsuch, libc::MNT_DETACH, -libc::ENOENT);
        made
    };
    let ran = beside(
        &["mountsnoop", "-d", "-p", &ours],
        &[&["-j", &package, "--target_pid", &ours], &[&package, "--target_pid", &ours]],
        &mut probe,
        load,
    );

    let is_of_load = |event: &Value| !event["dest"].as_str().unwrap().contains("/probe/");
    let events = records(&ran.ecli[0]);
    let events: Vec<Value> = events.iter().map(|event| pick(event, &NAMES)).collect();
    let events: Vec<Value> = events.into_iter().filter(is_of_load).collect();
    for event in &events {
        assert_eq!((&event["pid"], &event["comm"]), (&json!(pid), &json!("load")), "{event}");
    }
    let as_made = ["tid", "op", "ret", "fs", "src", "flags", "dest"];
    let as_made: Vec<Value> = events.iter().map(|event| pick(event, &as_made)).collect();
    assert_same(("ecli", &as_made), ("the load", &ran.load));
    let tool: Vec<Value> = of_tool(&ran.tool).into_iter().filter(is_of_load).collect();
    assert_same(("ecli", &events), ("mountsnoop", &tool));

    // Text shows errors by name.
    let failed = ran.ecli[1].lines().filter(|line| line.contains("-ENODEV"));
    assert_eq!(failed.count(), 1, "{}", ran.ecli[1]);
}
