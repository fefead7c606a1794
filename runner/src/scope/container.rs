// SPDX-License-Identifier: MIT
//! Finds cgroups by the IDs of containers, and of processes.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use bpfpack_render::container_id;

use crate::failure::Failure;

/// The maximum number of directories to search.
const MOST: usize = 20_000;

/// The number of digits of an ID in a message. IDs are not shorter.
const SHORTEST: usize = 12;

/// The maximum number of IDs in a message.
const LISTED: usize = 4;

/// A mounted cgroup v2 hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    /// The directory of the hierarchy that is mounted.
    root: String,
    /// The mount point.
    point: PathBuf,
}

/// The cgroup v2 mounts in a text in the format of `/proc/self/mountinfo`, whole hierarchies first.
pub(super) fn mounts(text: &str) -> Vec<Mount> {
    let mount = |line: &str| {
        let (place, kind) = line.split_once(" - ")?;
        let mut fields = place.split(' ').skip(3);
        let (root, point) = (fields.next()?.to_owned(), fields.next()?.into());
        kind.starts_with("cgroup2 ").then_some(Mount { root, point })
    };
    let mut mounts: Vec<Mount> = text.lines().filter_map(mount).collect();
    mounts.sort_by_key(|mount| mount.root != "/");
    mounts
}

/// The mounts of this process.
pub(super) fn own_mounts() -> Vec<Mount> {
    mounts(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default())
}

/// The path in `/proc/PID/cgroup` for a directory below one of the mounts.
pub(super) fn path_below(mounts: &[Mount], directory: &Path) -> Option<String> {
    let below = |mount: &Mount| {
        let rest = directory.strip_prefix(&mount.point).ok()?.to_str()?;
        Some(format!("{}/{rest}", mount.root.trim_end_matches('/')))
    };
    // The longest matches, because mounts may be nested.
    let found = mounts.iter().filter(|mount| directory.starts_with(&mount.point));
    let path = found.max_by_key(|mount| mount.point.as_os_str().len()).and_then(below)?;
    Some(if path.len() > 1 { path.trim_end_matches('/').to_owned() } else { path })
}

/// The path of a process's cgroup in a text in the format of `/proc/PID/cgroup`.
pub(super) fn path_of_process(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("0::"))
}

/// Whether a path equals `directory` or is below it.
pub(super) fn is_below(path: &str, directory: &str) -> bool {
    let rest = path.strip_prefix(directory.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Finds the cgroup of the container whose ID begins with `prefix`.
///
/// # Errors
/// Returns an error if no container matches, or more than one.
pub(super) fn find(prefix: &str, mounts: &[Mount]) -> Result<PathBuf, Failure> {
    let usage = |text: String| Failure::usage(format!("--container {text}"));
    let Some(mount) = mounts.first() else {
        return Err(usage(format!("{prefix}: no cgroup v2 hierarchy is mounted"))
            .hint("mount it: mount -t cgroup2 none /sys/fs/cgroup"));
    };
    let mut found = all(&mount.point);
    let ids: Vec<String> = found.keys().cloned().collect();
    let is_wanted = |id: &&String| !prefix.is_empty() && id.starts_with(prefix);
    let wanted: Vec<String> = ids.iter().filter(is_wanted).cloned().collect();
    let listed = |ids: &[String]| {
        let short: Vec<&str> = ids.iter().take(LISTED).map(|id| &id[..SHORTEST]).collect();
        let more = if ids.len() > LISTED { ", …" } else { "" };
        format!("{}{more}", short.join(", "))
    };
    let point = mount.point.display();
    match &wanted[..] {
        [id] => Ok(found.remove(id).unwrap_or_default()),
        [] => {
            let text = format!("{prefix}: no cgroup below {point} has an ID that begins with it");
            Err(usage(text).hint(match ids.is_empty() {
                true => "no container cgroups exist there".to_owned(),
                false => format!("the containers are {}", listed(&ids)),
            }))
        }
        several => {
            let text =
                format!("{prefix}: {} containers have an ID that begins with it", several.len());
            Err(usage(text).hint(format!("give more digits: {}", listed(several))))
        }
    }
}

/// The directories of containers, by ID. If several have one ID, the one nearest to the root.
fn all(root: &Path) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    let mut directories = VecDeque::from([root.to_owned()]);
    let mut looked_at = 0;
    while let Some(directory) = directories.pop_front() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            if looked_at == MOST || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            looked_at += 1;
            let name = entry.file_name();
            match name.to_str().and_then(container_id) {
                Some(id) => drop(found.entry(id.to_owned()).or_insert_with(|| entry.path())),
                None => directories.push_back(entry.path()),
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "4a6f0c9f3a52d1e7b8c4a6f0c9f3a52d1e7b8c4a6f0c9f3a52d1e7b8c4a6f0c9";

    #[test]
    fn paths_are_compared_by_whole_names() {
        assert!(is_below("/a", "/a") && is_below("/a/b", "/a") && is_below("/a", "/"));
        assert!(!is_below("/ab", "/a") && !is_below("/", "/a"));
        assert_eq!(path_of_process("1:name=systemd:/x\n0::/a/b\n"), Some("/a/b"));
    }

    #[test]
    fn directories_are_named_as_the_kernel_does() {
        let text = "24 1 0:22 / /sys rw - sysfs sysfs rw\n\
                    30 24 0:26 /part /mnt/part rw - cgroup2 none rw\n\
                    31 24 0:26 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
        let mounts = mounts(text);
        assert_eq!((mounts.len(), &*mounts[0].root), (2, "/"));
        let below = |path: &str| path_below(&mounts, Path::new(path));
        assert_eq!(below("/sys/fs/cgroup/a/b").as_deref(), Some("/a/b"));
        assert_eq!(below("/sys/fs/cgroup").as_deref(), Some("/"));
        assert_eq!(below("/mnt/part/a").as_deref(), Some("/part/a"));
        assert_eq!(below("/mnt/part").as_deref(), Some("/part"));
        assert_eq!(below("/sys"), None);
    }

    #[test]
    fn a_beginning_finds_a_container() {
        let dir = tempfile::tempdir().unwrap();
        let mounts = [Mount { root: "/".into(), point: dir.path().to_owned() }];
        let make = |name: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(&path).unwrap();
            path
        };
        let other = format!("4a7{}", &ID[3..]);
        let one = make(&format!("system.slice/docker-{ID}.scope"));
        make(&format!("system.slice/docker-{ID}.scope/docker-{ID}.scope"));
        let two = make(&format!("kubepods/burstable/pod1/{other}"));
        let find = |prefix: &str| find(prefix, &mounts).map_err(|failure| failure.message());
        assert_eq!(find("4a6f"), Ok(one.clone()));
        assert_eq!(find(ID), Ok(one));
        assert_eq!(find("4a7"), Ok(two));
        assert!(find("4a").unwrap_err().contains("2 containers"));
        assert!(find("5").unwrap_err().contains("no cgroup below"));
        assert!(find("").is_err());
        assert!(super::find("4a", &[]).unwrap_err().message().contains("v2 hierarchy is mounted"));
    }
}
