// SPDX-License-Identifier: MIT
//! Settings of the kernel's tracing: a private trace instance, which receives a copy of what BPF
//! programs print, or the shared top level, whose settings are restored.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// The event that is raised for each call of `bpf_trace_printk` and `bpf_trace_vprintk`.
pub(super) const EVENT: &str = "events/bpf_trace/bpf_trace_printk";

/// The switch of the event.
const ENABLE: &str = "events/bpf_trace/bpf_trace_printk/enable";

/// The prefix of our instances' names; the process ID follows.
const PREFIX: &str = "bpfpack-";

/// The maximum number of instances of one process.
const MOST: u32 = 64;

/// The inode of the initial PID namespace (`PROC_PID_INIT_INO`).
const FIRST_PID_NAMESPACE: &str = "pid:[4026531836]";

/// Sets the format of a line, and makes reads of an empty pipe wait.
const FORM: [(&str, &str); 9] = [
    ("options/context-info", "1"),
    ("options/printk-msg-only", "0"),
    ("options/latency-format", "0"),
    ("options/verbose", "0"),
    ("options/fields", "0"),
    ("options/raw", "0"),
    ("options/hex", "0"),
    ("options/bin", "0"),
    ("options/block", "0"),
];

/// The settings of an instance in addition to the format.
const OURS: [(&str, &str); 7] = [
    // Per CPU, this holds some 8000 lines of 40 bytes, more than a reader that is delayed for a
    // moment needs; no size helps a reader that is too slow. The default of 1.4 MB would take 180
    // MB on a machine with 128 CPUs.
    ("buffer_size_kb", "512"),
    // Wakes the reader for a single line. Kernels from 5.10 to 6.18 were seen to do so with any
    // value.
    ("buffer_percent", "0"),
    // This clock is the same on all CPUs, so their lines are in order. `bpf_ktime_get_ns` uses it,
    // too.
    ("trace_clock", "mono"),
    ("options/record-cmd", "1"),
    ("options/record-tgid", "0"),
    ("options/irq-info", "0"),
    ("options/annotate", "0"),
];

/// The settings that the top level needs in addition to the format to produce lines.
const SHARED: [(&str, &str); 2] = [("tracing_on", "1"), (ENABLE, "1")];

/// A trace instance that is removed when this is dropped. Its pipe must be closed before.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) dir: PathBuf,
}

impl Instance {
    /// Creates an instance that receives what BPF programs print from now on.
    ///
    /// # Errors
    /// Returns `NotFound` if the kernel does not support instances or the event.
    pub(super) fn make(tracefs: &Path) -> io::Result<Instance> {
        let instances = tracefs.join("instances");
        remove_stale(&instances);
        let id = std::process::id();
        let mut names = (0..MOST).map(|number| match number {
            0 => format!("{PREFIX}{id}"),
            number => format!("{PREFIX}{id}-{number}"),
        });
        // Another instance of this process may have the name, or a process with this ID in another
        // container.
        let instance = loop {
            let name = names.next().ok_or(io::ErrorKind::AlreadyExists)?;
            let dir = instances.join(name);
            match fs::create_dir(&dir) {
                Ok(()) => break Instance { dir },
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        };
        for (file, value) in FORM.iter().chain(&OURS) {
            // Some kernels lack some of these settings, and lines can be read without them.
            let _ = write(&instance.dir.join(file), value);
        }
        write(&instance.dir.join(ENABLE), "1")?;
        Ok(instance)
    }

    /// Opens the pipe.
    pub(super) fn pipe(&self) -> io::Result<File> {
        open_pipe(&self.dir)
    }

    /// The number of events that found no room or were overwritten before they were read.
    pub(super) fn lost(&self) -> io::Result<u64> {
        let mut lost = 0;
        for cpu in fs::read_dir(self.dir.join("per_cpu"))? {
            let stats = fs::read_to_string(cpu?.path().join("stats"))?;
            lost += lost_in(&stats);
        }
        Ok(lost)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // If another process reads it, the directory stays until the next run removes it. It costs
        // nothing.
        let _ = write(&self.dir.join(ENABLE), "0");
        let _ = fs::remove_dir(&self.dir);
    }
}

/// The sum of the losses in a CPU's `stats`.
fn lost_in(stats: &str) -> u64 {
    let counts = ["overrun: ", "commit overrun: ", "dropped events: "];
    let count =
        |line: &str| counts.iter().find_map(|name| line.strip_prefix(name)?.parse::<u64>().ok());
    stats.lines().filter_map(count).sum()
}

/// Removes instances of processes that were killed. An instance in use cannot be removed: the
/// kernel returns EBUSY while its pipe is open.
fn remove_stale(instances: &Path) {
    // In a container, a process may exist without being visible.
    if !sees_all_processes() {
        return;
    }
    for entry in fs::read_dir(instances).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let id = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        let id = id.and_then(|id| id.split('-').next()?.parse::<u32>().ok());
        if id.is_some_and(|id| !Path::new(&format!("/proc/{id}")).exists()) {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

/// Whether the process IDs in /proc are those of the initial namespace.
pub(super) fn sees_all_processes() -> bool {
    fs::read_link("/proc/self/ns/pid").is_ok_and(|link| link.as_os_str() == FIRST_PID_NAMESPACE)
}

/// Changed settings of the top level, which are restored when this is dropped.
#[derive(Debug)]
pub(super) struct Settings {
    /// Files and their previous content.
    changed: Vec<(PathBuf, String)>,
}

impl Settings {
    /// Changes only what prevents lines, because others may be reading, too.
    pub(super) fn change(tracefs: &Path) -> Settings {
        let mut changed = Vec::new();
        for (file, value) in FORM.iter().chain(&SHARED) {
            let path = tracefs.join(file);
            if let Ok(before) = fs::read_to_string(&path)
                && before.trim_end() != *value
                && write(&path, value).is_ok()
            {
                changed.push((path, before));
            }
        }
        Settings { changed }
    }
}

impl Drop for Settings {
    fn drop(&mut self) {
        for (path, before) in self.changed.iter().rev() {
            let _ = write(path, before.trim_end());
        }
    }
}

/// Opens the pipe of the top level, and discards its content, which another program printed,
/// perhaps long ago.
pub(super) fn open_shared(tracefs: &Path) -> io::Result<File> {
    let mut pipe = open_pipe(tracefs)?;
    let mut bytes = vec![0; 1 << 16];
    // Bounded, because a program may print all the time. A read returns a page or two.
    for _ in 0..1 << 12 {
        match pipe.read(&mut bytes) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(pipe)
}

fn open_pipe(dir: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(dir.join("trace_pipe"))
}

/// Writes a file of tracefs. It is not created if the kernel does not have it.
fn write(path: &Path, value: &str) -> io::Result<()> {
    OpenOptions::new().write(true).open(path)?.write_all(value.as_bytes())
}
