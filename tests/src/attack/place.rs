// SPDX-License-Identifier: MIT
//! Where a worker's programs run: mounts and a network of the thread's own, so that what a hostile
//! package pins or attaches to an interface is seen, and gone afterwards; and little memory of the
//! kernel's, so that no map takes the machine's.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::sys;

const BPFFS: &str = "/sys/fs/bpf";
const TRACEFS: &str = "/sys/kernel/tracing";

/// What all programs of the attack may have together, their maps included.
const MEMORY: u64 = 6 << 30;

/// The number of the loopback interface in a network of one's own.
const LOOPBACK: i32 = 1;

/// A worker's place.
#[derive(Debug)]
pub struct Place {
    /// A folder that everybody can enter.
    pub dir: TempDir,
    mounts: String,
    /// What the kernel itself pins into a new file system.
    pins: Vec<PathBuf>,
}

impl Place {
    /// Takes the calling thread there, and whatever it starts from then on.
    ///
    /// # Errors
    /// When this user may not.
    pub fn enter() -> io::Result<Place> {
        sys::own_mounts()?;
        sys::own_network()?;
        let mounted = |result: i32| match result {
            0 => Ok(()),
            error => Err(io::Error::from_raw_os_error(-error)),
        };
        mounted(sys::mount(c"bpf", c"/sys/fs/bpf", c"bpf", 0))?;
        if !Path::new(TRACEFS).join("events").exists() {
            // Where there is none, tracepoints cannot be attached, which is a refusal like others.
            let _ = sys::mount(c"tracefs", c"/sys/kernel/tracing", c"tracefs", 0);
        }
        Ok(Place { dir: crate::scratch(), mounts: mounts()?, pins: pins() })
    }

    /// Checks that nothing of the programs that ran here is left in file systems and the network.
    ///
    /// # Errors
    /// Names what is left. It is removed, so that the next one is not blamed for it.
    pub fn check(&self) -> Result<(), String> {
        let mut pins = pins();
        pins.retain(|pin| !self.pins.contains(pin));
        for pin in &pins {
            let _ = fs::remove_file(pin).or_else(|_| fs::remove_dir_all(pin));
        }
        if let Some(pin) = pins.first() {
            return Err(format!("`{}` is left of {} pins", pin.display(), pins.len()));
        }
        let now = mounts().map_err(|error| error.to_string())?;
        match now == self.mounts {
            true => Ok(()),
            false => Err(format!("a mount is left:\n{now}")),
        }
    }

    /// Checks that the loopback interface has no qdisc for programs.
    ///
    /// # Errors
    /// When it has one, which stays.
    pub fn check_network(&self) -> Result<(), String> {
        match sys::has_clsact(LOOPBACK) {
            true => Err("a clsact qdisc is left".into()),
            false => Ok(()),
        }
    }
}

fn pins() -> Vec<PathBuf> {
    fs::read_dir(BPFFS).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn mounts() -> io::Result<String> {
    let text = fs::read_to_string("/proc/thread-self/mountinfo")?;
    // Tracefs is mounted below debugfs by itself, when somebody looks there.
    Ok(text.lines().filter(|line| !line.contains("/debug/")).collect::<Vec<_>>().join("\n"))
}

/// The trace instances of a process that are there.
#[must_use]
pub fn trace_instances(pid: u32) -> Vec<PathBuf> {
    let names = fs::read_dir(Path::new(TRACEFS).join("instances")).into_iter().flatten().flatten();
    let own = format!("bpfpack-{pid}");
    names.map(|entry| entry.path()).filter(|path| path.ends_with(&own)).collect()
}

/// A group of processes that may have only so much memory. Its processes go back where they came from,
/// and it is gone, when it is dropped.
#[derive(Debug)]
pub struct Group {
    dir: PathBuf,
    /// The group that this process came from.
    home: PathBuf,
}

impl Group {
    /// Puts this process, and all that it starts, into a group; none where the machine has no such
    /// groups, or this user may not make one.
    #[must_use]
    pub fn enter() -> Option<Group> {
        let name = format!("bpfpack-attack-{}", std::process::id());
        let of_process = fs::read_to_string("/proc/self/cgroup").ok()?;
        let kinds = [
            ("/sys/fs/cgroup/memory", ":memory:/", "memory.limit_in_bytes"),
            ("/sys/fs/cgroup", "0::/", "memory.max"),
        ];
        for (root, kind, limit) in kinds {
            let home = of_process.lines().find_map(|line| Some(line.split_once(kind)?.1));
            let dir = Path::new(root).join(&name);
            let Some(home) = home.filter(|_| fs::create_dir(&dir).is_ok()) else { continue };
            let group = Group { dir, home: Path::new(root).join(home) };
            let is_limited = fs::write(group.dir.join(limit), MEMORY.to_string()).is_ok();
            let own = std::process::id().to_string();
            if is_limited && fs::write(group.dir.join("cgroup.procs"), own).is_ok() {
                return Some(group);
            }
        }
        None
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let pids = fs::read_to_string(self.dir.join("cgroup.procs")).unwrap_or_default();
        for pid in pids.lines() {
            let _ = fs::write(self.home.join("cgroup.procs"), pid);
        }
        let _ = fs::remove_dir(&self.dir);
    }
}
