// SPDX-License-Identifier: MIT
//! Files that are opened, and failed attempts.

use std::ffi::{CStr, CString};
use std::os::unix::fs::PermissionsExt as _;

use bpfpack_tests::stream::{Watchers, assert_same, beside, pick, records, words};
use bpfpack_tests::sys::{self, Open};
use bpfpack_tests::{pack, scratch};
use rustix::process::Uid;
use serde_json::{Value, json};

use crate::{events, has, is_about, nobody_else, number};

#[test]
fn opensnoop_tells_of_each_file() {
    if !has("opensnoop") {
        return;
    }
    const NAMES: [&str; 6] = ["uid", "pid", "comm", "ret", "flags", "fname"];
    /// The tool keeps 254 bytes of a name; ecli's example keeps 255.
    const TOOL_KEEPS: usize = 254;
    const EXAMPLE_KEEPS: usize = 255;
    let dir = scratch();
    let package = pack("examples/opensnoop/opensnoop.bpf.c", &dir);
    let uid = nobody_else(32);
    let user = uid.to_string();
    let path = |name: &str| CString::new(dir.path().join(name).to_str().unwrap()).unwrap();
    std::fs::create_dir(dir.path().join("writable")).unwrap();
    rustix::fs::chown(dir.path().join("writable"), Some(Uid::from_raw(uid)), None).unwrap();
    std::fs::write(dir.path().join("secret"), "").unwrap();
    std::fs::set_permissions(dir.path().join("secret"), std::fs::Permissions::from_mode(0o600))
        .unwrap();
    std::os::unix::fs::symlink("secret", dir.path().join("link")).unwrap();

    // This changes the user of only the thread.
    let become_it = || rustix::thread::set_thread_uid(Uid::from_raw(uid)).unwrap();
    let directory = dir.path().to_str().unwrap();
    let mut probes = 0;
    let mut probe = || {
        become_it();
        probes += 1;
        let name = format!("{directory}/probe/p{probes}p");
        let _ = sys::open(Open::At, &CString::new(name.as_str()).unwrap(), 0);
        name
    };
    let load = |_: &Watchers<'_>| {
        become_it();
        let mut made = Vec::new();
        let mut open = |by: Open, path: &CStr, flags: i32, error: Option<i32>| {
            let ret = sys::open(by, path, flags);
            assert_eq!(ret.min(0), error.map_or(0, |error| -error), "{by:?} {path:?}");
            let flags = match by {
                #[cfg(target_arch = "x86_64")]
                Open::Creat => libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC,
                _ => flags,
            };
            let name = path.to_str().unwrap();
            let name = &name[..name.len().min(EXAMPLE_KEEPS)];
            made.push(json!({"ret": ret, "flags": flags, "fname": name}));
        };
        let creating = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_CLOEXEC;
        for number in 0..20 {
            let new = path(&format!("writable/{number}"));
            open(Open::At, &new, creating, None);
            open(Open::At, &new, libc::O_RDWR | libc::O_TRUNC, None);
            open(Open::At, &new, creating, Some(libc::EEXIST));
        }
        open(Open::At, &path("secret"), libc::O_RDONLY, Some(libc::EACCES));
        open(Open::At, &path("link"), libc::O_NOFOLLOW, Some(libc::ELOOP));
        open(Open::At, &path("writable"), libc::O_WRONLY, Some(libc::EISDIR));
        open(Open::At, &path("writable"), libc::O_DIRECTORY, None);
        open(Open::At, c"relative/nonsuch", libc::O_RDONLY, Some(libc::ENOENT));
        open(Open::At, &path("a\tb \"q\"\\ä→"), libc::O_RDONLY, Some(libc::ENOENT));
        let long = format!("{directory}/nonsuch/{}", "0123456789/".repeat(40));
        open(Open::At, &CString::new(long).unwrap(), libc::O_RDONLY, Some(libc::ENOENT));
        let too_long = format!("{directory}/{}", "n".repeat(256));
        open(Open::At, &CString::new(too_long).unwrap(), 0, Some(libc::ENAMETOOLONG));
        // Calls that the tool does not trace, or (open) only if debugfs is mounted.
        open(Open::At2, &path("alone-at2"), libc::O_CLOEXEC, Some(libc::ENOENT));
        #[cfg(target_arch = "x86_64")]
        {
            open(Open::Old, &path("alone-open"), libc::O_RDONLY, Some(libc::ENOENT));
            open(Open::Old, &path("writable/alone-open"), creating, None);
            open(Open::Creat, &path("writable/alone-creat"), 0, None);
        }
        made
    };
    let ran = beside(
        &["opensnoop", "-U", "-e", "-u", &user],
        &[&["-j", &package, "--uid", &user], &["-j", &package, "-x", "--uid", &user]],
        &mut probe,
        load,
    );

    let of_load = |text: &str| -> Vec<Value> {
        records(text).into_iter().filter(|event| !is_about(event, "fname", "/probe")).collect()
    };
    let strip = |events: &[Value]| -> Vec<Value> {
        events.iter().map(|event| pick(event, &["ret", "flags", "fname"])).collect()
    };
    let ours = of_load(&ran.ecli[0]);
    assert_same(("ecli", &strip(&ours)), ("the load", &ran.load));
    let failed: Vec<Value> =
        ran.load.iter().filter(|made| made["ret"].as_i64() < Some(0)).cloned().collect();
    assert_same(("ecli -x", &strip(&of_load(&ran.ecli[1]))), ("the load", &failed));

    let is_of_both =
        |event: &Value| !is_about(event, "fname", "/alone-") && !is_about(event, "fname", "/probe");
    let both = |mut event: Value| {
        let name = event["fname"].as_str().unwrap();
        event["fname"] = json!(name[..name.len().min(TOOL_KEEPS)]);
        event
    };
    let tool = events(&ran.tool, |line| {
        let (words, name) = words(line, 6)?;
        let (fd, errno) = (number(words[3])?, number(words[4])?);
        let ret = if fd < 0 { -errno } else { fd };
        let flags = i64::from_str_radix(words[5], 8).ok()?;
        Some(json!({"uid": number(words[0])?, "pid": number(words[1])?, "comm": words[2],
            "ret": ret, "flags": flags, "fname": name}))
    });
    let tool: Vec<Value> = tool.into_iter().filter(is_of_both).collect();
    let ours = ours.iter().filter(|event| is_of_both(event));
    let ours: Vec<Value> = ours.map(|event| both(pick(event, &NAMES))).collect();
    assert_same(("ecli", &ours), ("opensnoop", &tool));
}
