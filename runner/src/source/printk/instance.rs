// SPDX-License-Identifier: MIT
//! Settings of the kernel's tracing: a trace instance of our own, which gets a copy of what BPF
//! programs print, or the top level, which everybody shares and which is left as it was found.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// The event that is raised for each call of `bpf_trace_printk` and `bpf_trace_vprintk`.
pub(super) const EVENT: &str = "events/bpf_trace/bpf_trace_printk";

/// Its switch.
const ENABLE: &str = "events/bpf_trace/bpf_trace_printk/enable";

/// What the names of our instances begin with; the process's number follows.
const PREFIX: &str = "bpfpack-";

/// Instances that one process may have.
const MOST: u32 = 64;

/// Inode of the PID namespace of which all others are children (`PROC_PID_INIT_INO`).
const FIRST_PID_NAMESPACE: &str = "pid:[4026531836]";

/// Fixes the form of a line, and has the pipe wait when it is empty.
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

/// What an instance of ours is set to, apart from the form.
const OURS: [(&str, &str); 7] = [
    // For each CPU: some 8000 lines of 40 bytes, which is more than a reader that is held up for a
    // moment needs, and no size helps one that is too slow. The default of 1.4 MB would take 180 MB
    // of a machine with 128 CPUs.
    ("buffer_size_kb", "512"),
    // A single line wakes the reader; kernels from 5.10 to 6.18 were seen to do so anyway.
    ("buffer_percent", "0"),
    // The same on all CPUs, so that their lines are in order, and what `bpf_ktime_get_ns` tells.
    ("trace_clock", "mono"),
    ("options/record-cmd", "1"),
    ("options/record-tgid", "0"),
    ("options/irq-info", "0"),
    ("options/annotate", "0"),
];

/// What the top level has to be set to, apart from the form, for there to be any lines.
const SHARED: [(&str, &str); 2] = [("tracing_on", "1"), (ENABLE, "1")];

/// A trace instance that is gone when this is dropped. Its pipe has to be closed before.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) dir: PathBuf,
}

impl Instance {
    /// Makes an instance which takes what BPF programs print from now on.
    ///
    /// # Errors
    /// `NotFound` where the kernel has no instances, or no such event.
    pub(super) fn make(tracefs: &Path) -> io::Result<Instance> {
        let instances = tracefs.join("instances");
        remove_stale(&instances);
        let id = std::process::id();
        let mut names = (0..MOST).map(|number| match number {
            0 => format!("{PREFIX}{id}"),
            number => format!("{PREFIX}{id}-{number}"),
        });
        // A name may be taken: by another instance of this process, or by a process with this
        // number in another container.
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
            // Not each kernel has each of them, and lines can be read whatever they are set to.
            let _ = write(&instance.dir.join(file), value);
        }
        write(&instance.dir.join(ENABLE), "1")?;
        Ok(instance)
    }

    /// Opens the pipe.
    pub(super) fn pipe(&self) -> io::Result<File> {
        open_pipe(&self.dir)
    }

    /// How many events did not find room, or were overwritten before they were read.
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
        // Where somebody reads it, it stays until another one of us finds it, and costs nothing.
        let _ = write(&self.dir.join(ENABLE), "0");
        let _ = fs::remove_dir(&self.dir);
    }
}

/// The sum of what a CPU's `stats` say was lost.
fn lost_in(stats: &str) -> u64 {
    let counts = ["overrun: ", "commit overrun: ", "dropped events: "];
    let count =
        |line: &str| counts.iter().find_map(|name| line.strip_prefix(name)?.parse::<u64>().ok());
    stats.lines().filter_map(count).sum()
}

/// Removes instances of processes that were killed. What is in use cannot be removed: the kernel
/// answers EBUSY while a pipe is open.
fn remove_stale(instances: &Path) {
    // In a container, a process that cannot be seen may well live.
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

/// Whether the numbers in /proc are those by which the kernel itself calls processes.
pub(super) fn sees_all_processes() -> bool {
    fs::read_link("/proc/self/ns/pid").is_ok_and(|link| link.as_os_str() == FIRST_PID_NAMESPACE)
}

/// Settings of the top level, which are as before when this is dropped.
#[derive(Debug)]
pub(super) struct Settings {
    /// Files, and what was in them.
    changed: Vec<(PathBuf, String)>,
}

impl Settings {
    /// Changes what stands in the way of lines, and nothing else: others may be reading, too.
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

/// Opens the pipe of the top level, and throws away what is in it: somebody else's program, which
/// may have ended long ago, printed that.
pub(super) fn open_shared(tracefs: &Path) -> io::Result<File> {
    let mut pipe = open_pipe(tracefs)?;
    let mut bytes = vec![0; 1 << 16];
    // A program that prints all the time must not keep us here: a read gives a page or two.
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

/// Sets one of tracefs' files. It is not created where the kernel does not have it.
fn write(path: &Path, value: &str) -> io::Result<()> {
    OpenOptions::new().write(true).open(path)?.write_all(value.as_bytes())
}
