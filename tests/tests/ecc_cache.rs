// SPDX-License-Identifier: MIT
//! `ecc`'s cache directory: it is used only if nobody else can change it, and only files of `ecc`
//! are removed from it.
#![allow(clippy::unwrap_used)]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, lchown, symlink};
use std::path::{Path, PathBuf};

use bpfpack_tests::{Outcome, ecc_command, is_root, json, names, scratch, wait};

const SOURCE: &str = "
#include <vmlinux.h>
#include <bpf/bpf_helpers.h>
int seen;
SEC(\"raw_tp/sched_switch\")
int handle(void *ctx)
{
	seen++;
	return 0;
}
char LICENSE[] SEC(\"license\") = \"GPL\";
";

/// Another user, who exists everywhere.
const OTHER: u32 = 65534;

/// Packs a source in a new directory with this HOME. Returns the outcome.
fn pack(home: &Path, more: &[(&str, &Path)]) -> Outcome {
    let dir = scratch();
    fs::write(dir.path().join("x.bpf.c"), SOURCE).unwrap();
    let mut command = ecc_command(dir.path());
    command.env_remove("XDG_CACHE_HOME").env("HOME", home).args(["-v", "x.bpf.c"]);
    for (name, value) in more {
        command.env(name, value);
    }
    let outcome = wait::outcome(&mut command);
    if outcome.code == 0 {
        let meta = json(&dir.path().join("package.json"))["meta"].clone();
        assert_eq!(meta["bpf_skel"]["progs"][0]["name"], "handle");
    }
    outcome
}

/// A directory of root's with files to preserve, some with names like those of `ecc`.
fn treasure(top: &Path) -> PathBuf {
    let dir = top.join("treasure");
    for number in 1..=9 {
        fs::create_dir_all(dir.join(format!("headers-{number}"))).unwrap();
        fs::create_dir_all(dir.join(format!("headers-{number:032x}"))).unwrap();
        fs::write(dir.join(format!("vmlinux-6.{number}")), "an image of a kernel").unwrap();
        fs::write(dir.join(format!("vmlinux-{number:032x}.pch")), "").unwrap();
    }
    dir
}

/// A home directory of another user, with a link to a directory.
fn home_with_link(top: &Path, to: &Path) -> PathBuf {
    let home = top.join("home");
    fs::create_dir_all(home.join(".cache")).unwrap();
    symlink(to, home.join(".cache/bpfpack")).unwrap();
    lchown(home.join(".cache/bpfpack"), Some(OTHER), Some(OTHER)).unwrap();
    for dir in [home.join(".cache"), home.clone()] {
        chown(dir, Some(OTHER), Some(OTHER)).unwrap();
    }
    home
}

#[test]
fn a_link_in_another_users_home_leads_nowhere() {
    if !is_root() {
        return;
    }
    let top = scratch();
    let treasure = treasure(top.path());
    let before = names(&treasure);
    let home = home_with_link(top.path(), &treasure);
    let outcome = pack(&home, &[]).succeeded();
    assert_eq!(names(&treasure), before, "something was removed, or written");
    let words = format!("home` belongs to user {OTHER}");
    assert!(outcome.stderr.contains(&words), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("the cache is not used"), "{}", outcome.stderr);
    // Nothing is created in another user's home directory, either.
    fs::remove_dir_all(home.join(".cache")).unwrap();
    let _ = pack(&home, &[]).succeeded();
    assert_eq!(names(&home), [""; 0]);
}

#[test]
fn what_is_not_named_as_ours_stays_in_our_own_directory() {
    let top = scratch();
    let cache = top.path().join(".cache/bpfpack");
    fs::create_dir_all(cache.parent().unwrap()).unwrap();
    // Our own link is followed.
    symlink("../treasure", &cache).unwrap();
    let treasure = treasure(top.path());
    let _ = pack(top.path(), &[]).succeeded();
    let after = names(&treasure);
    let stays = |name: &String| name.len() < 20;
    assert_eq!(after.iter().filter(|name| stays(name)).count(), 18, "{after:?}");
    let headers = after.iter().filter(|name| name.starts_with("headers-") && !stays(name));
    assert_eq!(headers.count(), 8, "as many as are kept: {after:?}");
}

#[test]
fn headers_and_objects_that_others_could_have_made_are_not_read() {
    let top = scratch();
    let cache = top.path().join(".cache/bpfpack");
    let _ = pack(top.path(), &[]).succeeded();
    let headers: Vec<_> =
        names(&cache).into_iter().filter(|name| name.starts_with("headers-")).collect();
    let [headers] = &headers[..] else { panic!("{headers:?}") };
    // The directory of headers is a link to one with another vmlinux.h.
    let bad = top.path().join("bad");
    fs::rename(cache.join(headers), &bad).unwrap();
    fs::write(bad.join("vmlinux.h"), "#error not ours\n").unwrap();
    symlink(&bad, cache.join(headers)).unwrap();
    let _ = pack(top.path(), &[]).succeeded();
    fs::remove_file(cache.join(headers)).unwrap();
    fs::rename(&bad, cache.join(headers)).unwrap();
    // It is our own, but others may write to it.
    let open_to_all = fs::Permissions::from_mode(0o777);
    fs::set_permissions(cache.join(headers), open_to_all.clone()).unwrap();
    let _ = pack(top.path(), &[]).succeeded();
    fs::set_permissions(cache.join(headers), fs::Permissions::from_mode(0o700)).unwrap();
    pack(top.path(), &[]).failed(5, &["not ours"]);
    // A parent directory to which others may write.
    fs::set_permissions(top.path().join(".cache"), open_to_all).unwrap();
    let outcome = pack(top.path(), &[]).succeeded();
    assert!(outcome.stderr.contains("other users can write to `"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("(its mode is 0777)"), "{}", outcome.stderr);
}

#[test]
fn a_temporary_directory_is_in_no_directory_of_another_user() {
    if !is_root() {
        return;
    }
    let top = scratch();
    let temporary = top.path().join("tmp");
    fs::create_dir(&temporary).unwrap();
    chown(&temporary, Some(OTHER), Some(OTHER)).unwrap();
    let outcome = pack(Path::new("/proc/nowhere"), &[("TMPDIR", &temporary)]).succeeded();
    let line = outcome.stderr.lines().find(|line| line.contains("-idirafter")).unwrap();
    assert!(line.contains("/ecc-"), "no temporary directory is searched: {line}");
    assert!(!line.contains(temporary.to_str().unwrap()), "{line}");
}

#[test]
fn a_umask_of_any_kind_leaves_the_cache_usable_and_private() {
    for umask in ["000", "002", "077"] {
        let top = scratch();
        let dir = scratch();
        fs::write(dir.path().join("x.bpf.c"), SOURCE).unwrap();
        let run = || {
            let ecc = ecc_command(dir.path());
            let script = format!("umask {umask}; exec \"$0\" x.bpf.c -v -o out");
            let mut command = std::process::Command::new("sh");
            command.args([OsStr::new("-c"), OsStr::new(&script), ecc.get_program()]);
            command.current_dir(dir.path()).env_remove("XDG_CACHE_HOME").env("HOME", top.path());
            wait::outcome(&mut command)
        };
        let outcome = run().succeeded();
        assert!(!outcome.stderr.contains("the cache is not used"), "{}", outcome.stderr);
        let cache = top.path().join(".cache/bpfpack");
        assert_eq!(fs::metadata(&cache).unwrap().permissions().mode() & 0o777, 0o700);
        // A changed source is compiled again, with a precompiled header from then on.
        for number in 0..2 {
            let text = SOURCE.replace("seen++", &format!("seen += {number}"));
            fs::write(dir.path().join("x.bpf.c"), text).unwrap();
            let outcome = run().succeeded();
            assert_eq!(outcome.stderr.contains("-include-pch"), number == 1, "{umask} {number}");
        }
    }
}
