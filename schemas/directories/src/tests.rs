// SPDX-License-Identifier: MIT

use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

use super::*;

fn directory() -> tempfile::TempDir {
    tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o700)).tempdir().unwrap()
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Only root can give a file away.
fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        println!("skipped: needs root");
        assert!(std::env::var_os("CI").is_none(), "in CI nothing may be skipped: needs root");
    }
    is_root
}

#[test]
fn the_cache_of_a_user() {
    let of = |xdg: Option<&str>, home: Option<&str>| {
        let value = |name: &str| if name == "HOME" { home } else { xdg };
        user_cache_of(|name| value(name).map(OsString::from))
    };
    assert_eq!(of(Some("/x"), Some("/h")), Some("/x/bpfpack".into()));
    assert_eq!(of(Some("x"), Some("/h")), Some("/h/.cache/bpfpack".into()));
    assert_eq!(of(None, Some("/h")), Some("/h/.cache/bpfpack".into()));
    assert_eq!(of(Some(""), Some("")), None);
    assert_eq!(of(None, None), None);
}

#[test]
fn a_directory_of_ours_in_a_directory_with_the_sticky_bit() {
    let top = directory();
    let real = fs::canonicalize(top.path()).unwrap();
    assert_eq!(private(top.path()).unwrap(), real);
    assert_eq!(
        private(&top.path().join(".").join("..").join(real.file_name().unwrap())).unwrap(),
        real
    );
    // A directory that others may write to is accepted as a parent if it has the sticky bit, and
    // never as the last component.
    if is_root() {
        let shared = top.path().join("shared");
        fs::create_dir(&shared).unwrap();
        fs::create_dir(shared.join("own")).unwrap();
        set_mode(&shared, 0o1777);
        assert_eq!(private(&shared.join("own")).unwrap(), real.join("shared/own"));
        let why = private(&shared).unwrap_err();
        assert!(matches!(why, NotPrivate::Writable { mode: 0o1777, .. }), "{why}");
    }
}

#[test]
fn what_others_may_write_to_is_named() {
    let top = directory();
    let inner = top.path().join("inner");
    fs::create_dir(&inner).unwrap();
    set_mode(&inner, 0o755);
    assert!(private(&inner).is_ok());
    for mode in [0o775, 0o757, 0o777] {
        set_mode(&inner, mode);
        let why = private(&inner).unwrap_err();
        assert!(
            matches!(&why, NotPrivate::Writable { path, .. } if path.ends_with("inner")),
            "{why}"
        );
        assert!(why.to_string().contains(&format!("{mode:04o}")), "{why}");
    }
    // The same one level up.
    set_mode(&inner, 0o700);
    set_mode(top.path(), 0o777);
    let why = private(&inner).unwrap_err();
    assert!(matches!(&why, NotPrivate::Writable { path, .. } if !path.ends_with("inner")), "{why}");
    assert!(make_private(&top.path().join("new")).is_err());
    assert!(!top.path().join("new").exists(), "nothing is made where others can write");
}

#[test]
fn directories_of_other_users_are_named_with_the_user() {
    if !is_root() {
        return;
    }
    let top = directory();
    let home = top.path().join("home");
    fs::create_dir_all(home.join("cache")).unwrap();
    chown(&home, Some(65534), Some(65534)).unwrap();
    for result in [private(&home), private(&home.join("cache")), make_private(&home.join("new"))] {
        let why = result.unwrap_err();
        assert!(matches!(&why, NotPrivate::Owner { path, uid: 65534 } if path.ends_with("home")));
        assert!(why.to_string().ends_with("home` belongs to user 65534"), "{why}");
    }
    assert!(!home.join("new").exists());
    // The link leads to a directory of root: the owner of the link decides where it leads.
    let ours = top.path().join("ours");
    fs::create_dir(&ours).unwrap();
    symlink(&ours, home.join("link")).unwrap();
    assert!(matches!(private(&home.join("link")).unwrap_err(), NotPrivate::Owner { .. }));
    // A link of another user in a sticky directory.
    let shared = top.path().join("shared");
    fs::create_dir(&shared).unwrap();
    set_mode(&shared, 0o1777);
    symlink(&ours, shared.join("link")).unwrap();
    assert_eq!(private(&shared.join("link")).unwrap(), private(&ours).unwrap());
    std::os::unix::fs::lchown(shared.join("link"), Some(65534), Some(65534)).unwrap();
    let why = private(&shared.join("link")).unwrap_err();
    assert!(
        matches!(&why, NotPrivate::Owner { path, .. } if path.ends_with("shared/link")),
        "{why}"
    );
}

#[test]
fn links_of_ours_are_followed_once() {
    let top = directory();
    let real = fs::canonicalize(top.path()).unwrap();
    let at = |name: &str| top.path().join(name);
    fs::create_dir_all(at("a/b")).unwrap();
    symlink(at("a"), at("absolute")).unwrap();
    symlink("absolute/b/../b", at("relative")).unwrap();
    symlink("loop", at("loop")).unwrap();
    symlink("nowhere", at("dangling")).unwrap();
    fs::write(at("file"), "").unwrap();
    assert_eq!(private(&at("relative")).unwrap(), real.join("a/b"));
    assert_eq!(private(&at("absolute/b")).unwrap(), real.join("a/b"));
    assert!(matches!(private(&at("loop")).unwrap_err(), NotPrivate::Io { .. }));
    assert!(matches!(private(&at("dangling")).unwrap_err(), NotPrivate::Io { .. }));
    assert!(matches!(private(&at("file")).unwrap_err(), NotPrivate::NoDirectory { .. }));
    assert!(matches!(private(&at("file/x")).unwrap_err(), NotPrivate::NoDirectory { .. }));
    assert!(matches!(private(&at("missing")).unwrap_err(), NotPrivate::Io { .. }));
}

#[test]
fn a_missing_directory_is_made_for_this_user_alone() {
    let top = directory();
    let made = make_private(&top.path().join("x/y")).unwrap();
    for directory in [&made, made.parent().unwrap()] {
        assert_eq!(fs::symlink_metadata(directory).unwrap().mode() & 0o777, 0o700);
    }
    assert_eq!(private(&made).unwrap(), made);
    assert_eq!(make_private(&made).unwrap(), made);
    assert!(is_ours(&fs::metadata(&made).unwrap()));
    set_mode(&made, 0o770);
    assert!(!is_ours(&fs::metadata(&made).unwrap()));
}

#[test]
fn files_of_ours_are_read_and_written_whole() {
    let top = directory();
    let at = |name: &str| top.path().join(name);
    write_file(top.path(), "x.y", &[b"one", b" two"]).unwrap();
    write_file(top.path(), "x.y", &[b"three"]).unwrap();
    assert_eq!(io::read_to_string(open_file(&at("x.y")).unwrap()).unwrap(), "three");
    assert_eq!(fs::metadata(at("x.y")).unwrap().mode() & 0o777, 0o600);
    symlink("x.y", at("link")).unwrap();
    fs::create_dir(at("directory")).unwrap();
    // Where the file cannot be, nothing is left.
    assert!(write_file(top.path(), "directory", &[b"x"]).is_err());
    assert_eq!(fs::read_dir(top.path()).unwrap().count(), 3);
    for name in ["link", "directory", "missing"] {
        assert!(open_file(&at(name)).is_err(), "{name}");
    }
    set_mode(&at("x.y"), 0o620);
    let error = open_file(&at("x.y")).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
}
