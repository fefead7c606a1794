// SPDX-License-Identifier: MIT
//! The environment of a worker's programs: mounts and a network of its own thread, so that pins and
//! attachments of a hostile package are seen and removed; and limited memory, so that no map takes
//! all of the machine's.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::sys;

const BPFFS: &str = "/sys/fs/bpf";
const TRACEFS: &str = "/sys/kernel/tracing";

/// The memory limit of all programs of the attack together, including their maps.
const MEMORY: u64 = 6 << 30;

/// The index of the loopback interface in a new network namespace.
const LOOPBACK: i32 = 1;

/// The environment of a worker.
#[derive(Debug)]
pub struct Place {
    /// A directory that everybody can enter.
    pub dir: TempDir,
    mounts: String,
    /// Files that the kernel itself creates in a new BPF file system.
    pins: Vec<PathBuf>,
}

impl Place {
    /// Moves the calling thread, and what it starts from then on, to a new environment.
    ///
    /// # Errors
    /// Returns an error if this user may not do so.
    pub fn enter() -> io::Result<Place> {
        sys::own_mounts()?;
        sys::own_network()?;
        let mounted = |result: i32| match result {
            0 => Ok(()),
            error => Err(io::Error::from_raw_os_error(-error)),
        };
        mounted(sys::mount(c"bpf", c"/sys/fs/bpf", c"bpf", 0))?;
        if !Path::new(TRACEFS).join("events").exists() {
            // Without tracefs, attaching to tracepoints fails like other refusals.
            let _ = sys::mount(c"tracefs", c"/sys/kernel/tracing", c"tracefs", 0);
        }
        Ok(Place { dir: crate::scratch(), mounts: mounts()?, pins: pins() })
    }

    /// Checks that file systems and the network have nothing left of the programs that ran here.
    ///
    /// # Errors
    /// Returns an error that names what is left. It is removed, so that the next case does not fail
    /// for it.
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

    /// Checks that the loopback interface has no clsact qdisc.
    ///
    /// # Errors
    /// Returns an error if it has one, which stays.
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
    // The kernel mounts tracefs below debugfs when somebody accesses it.
    Ok(text.lines().filter(|line| !line.contains("/debug/")).collect::<Vec<_>>().join("\n"))
}

/// The existing trace instances of a process.
#[must_use]
pub fn trace_instances(pid: u32) -> Vec<PathBuf> {
    let names = fs::read_dir(Path::new(TRACEFS).join("instances")).into_iter().flatten().flatten();
    let own = format!("bpfpack-{pid}");
    names.map(|entry| entry.path()).filter(|path| path.ends_with(&own)).collect()
}

/// A cgroup with a memory limit. Dropping it moves its processes back and removes it.
#[derive(Debug)]
pub struct Group {
    dir: PathBuf,
    /// The previous cgroup of this process.
    home: PathBuf,
}

impl Group {
    /// Moves this process, and what it starts, to a new cgroup; `None` if the machine has no memory
    /// cgroups, or if this user may not create one.
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
