// SPDX-License-Identifier: MIT
//! Paths of cgroups of version 2. The ID of a cgroup is the inode number of its directory, so a
//! walk finds all of them without privileges. Walks are limited, and the longer they take, the
//! rarer they are.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::{DirEntryExt as _, MetadataExt as _};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

/// The maximum number of directories in a walk.
const MOST: usize = 10_000;

/// If there are more paths than this, they are dropped before a walk.
const MOST_KEPT: usize = 2 * MOST;

/// The minimum time between two walks.
const PAUSE: Duration = Duration::from_secs(1);

/// Walks take at most 1/`PART` of the time.
const PART: u32 = 50;

/// The minimum number of digits in the ID of a container that is part of a name.
const SHORTEST: usize = 12;

/// The minimum number of digits in an ID that is a whole name.
const LONG: usize = 32;

/// The ID of the container whose cgroup directory has this name. Container runtimes name it after
/// the ID: `docker-ID.scope`, `cri-containerd-ID.scope`, `crio-ID.scope`, `libpod-ID.scope`, or `ID`
/// below a directory of theirs.
#[must_use]
pub fn container_id(name: &str) -> Option<&str> {
    let is_id = |text: &str, least: usize| {
        text.len() >= least && text.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    if is_id(name, LONG) {
        return Some(name);
    }
    let (runtime, id) = name.strip_suffix(".scope")?.rsplit_once('-')?;
    // The processes that monitor a container are not part of it.
    (is_id(id, SHORTEST) && !runtime.ends_with("-conmon")).then_some(id)
}

/// Paths by ID.
#[derive(Debug, Default)]
pub(super) struct Cgroups {
    /// `None` for an ID that no walk has found. A cgroup that is gone keeps its path, because IDs
    /// are not reused, and records of it may still arrive.
    paths: HashMap<u64, Option<Box<str>>>,
    /// When the next walk is allowed.
    next: Option<Instant>,
}

impl Cgroups {
    /// The path below the mount: `/system.slice/cron.service`. `None` if the cgroup does not exist,
    /// or was created since the last walk and the next one is not due.
    pub(super) fn path(&mut self, id: u64) -> Option<&str> {
        if id != 0 && !self.paths.contains_key(&id) {
            self.look(id);
        }
        self.paths.get(&id)?.as_deref()
    }

    fn look(&mut self, id: u64) {
        let start = Instant::now();
        if self.next.is_some_and(|next| start < next) {
            return;
        }
        if self.paths.len() > MOST_KEPT {
            self.paths.clear();
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        if let Some(mount) = mount(&mounts) {
            walk(&mount, &mut |id, path| drop(self.paths.insert(id, Some(path.into()))));
        }
        self.paths.entry(id).or_insert(None);
        self.next = Some(start + PAUSE.max(start.elapsed() * PART));
    }
}

/// The ID of the cgroup with this path below the mount.
pub(super) fn id(path: &str) -> Option<u64> {
    let below = path.strip_prefix('/')?;
    let is_below = Path::new(below).components().all(|part| matches!(part, Component::Normal(_)));
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let directory = mount(&mounts)?.join(is_below.then_some(below)?);
    fs::metadata(directory).ok().filter(fs::Metadata::is_dir).map(|directory| directory.ino())
}

/// The mount point of the cgroup v2 hierarchy in a text in the format of /proc/self/mountinfo. A
/// mount of the hierarchy's root is preferred, because it shows full paths.
fn mount(text: &str) -> Option<PathBuf> {
    let mounts = || {
        text.lines().filter_map(|line| {
            let (place, kind) = line.split_once(" - ")?;
            let mut fields = place.split(' ').skip(3);
            let (root, point) = (fields.next()?, fields.next()?);
            // A path with a space is escaped and would be unusual.
            kind.starts_with("cgroup2 ").then_some((root, point))
        })
    };
    let (_, point) = mounts().find(|(root, _)| *root == "/").or_else(|| mounts().next())?;
    Some(PathBuf::from(point))
}

/// Visits the directories from the root, nearest first.
fn walk(root: &Path, tell: &mut impl FnMut(u64, String)) {
    let Ok(inode) = fs::metadata(root).map(|root| root.ino()) else { return };
    tell(inode, "/".to_owned());
    let mut level = vec![root.to_owned()];
    let mut left = MOST;
    while !level.is_empty() {
        let mut next = Vec::new();
        for directory in level {
            for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
                if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    continue;
                }
                if left == 0 {
                    return;
                }
                left -= 1;
                let path = entry.path();
                let below = path.strip_prefix(root).unwrap_or(&path);
                tell(entry.ino(), format!("/{}", below.display()));
                next.push(path);
            }
        }
        level = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_containers_are_in_the_names_that_runtimes_give() {
        let id = "4a6f0c9f3a52d1e7b8c4a6f0c9f3a52d1e7b8c4a6f0c9f3a52d1e7b8c4a6f0c9";
        for runtime in ["docker", "cri-containerd", "crio", "libpod", "nerdctl"] {
            assert_eq!(container_id(&format!("{runtime}-{id}.scope")), Some(id));
        }
        assert_eq!(container_id(id), Some(id));
        for name in ["docker", "session-1.scope", "init.scope", "user-1000.slice", "abc"] {
            assert_eq!(container_id(name), None, "{name}");
        }
        assert_eq!(container_id(&format!("libpod-conmon-{id}.scope")), None);
    }

    #[test]
    fn the_mount() {
        let part = "30 20 0:26 /part /bound rw - cgroup2 cgroup rw\n";
        let text = format!(
            "20 1 8:1 / / rw - ext4 /dev/vda1 rw\n\
             29 20 0:25 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
             {part}\
             31 20 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n"
        );
        assert_eq!(mount(&text), Some("/sys/fs/cgroup".into()));
        assert_eq!(mount(part), Some("/bound".into()));
        assert_eq!((mount(""), mount("1 2 - cgroup2 x rw\nx")), (None, None));
    }

    #[test]
    fn directories_have_their_inode_numbers() {
        let root = std::env::temp_dir().join(format!("cgroup-walk-{}", std::process::id()));
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/file"), "").unwrap();
        let mut found = Vec::new();
        walk(&root, &mut |id, path| found.push((id, path)));
        let inode = |path: &str| fs::metadata(root.join(path)).unwrap().ino();
        let wanted =
            [(inode(""), "/".into()), (inode("a"), "/a".into()), (inode("a/b"), "/a/b".into())];
        assert_eq!(found, wanted);
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn what_is_not_there_is_asked_for_once() {
        let mut cgroups = Cgroups::default();
        assert_eq!(cgroups.path(u64::MAX), None);
        let next = cgroups.next;
        for id in [u64::MAX, u64::MAX - 1, 0] {
            assert_eq!(cgroups.path(id), None);
        }
        assert_eq!(cgroups.next, next, "one walk a second");
    }
}
