// SPDX-License-Identifier: MIT
//! Runs a program until its end or a deadline, and returns its output, its exit status and its
//! resource usage. Each has its own process group, of which nothing may be left.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::MemfdFlags;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions};
use rustix::process::{kill_process, kill_process_group, pidfd_open, test_kill_process_group};

use crate::sys;

/// The maximum number of bytes of output to check. A module may write more.
const MAX_OUTPUT: u64 = 64 << 20;

/// How long child processes of a program may outlive it.
const AFTERLIFE: Duration = Duration::from_secs(1);

/// Held while a program is started, because the resident memory of this process is measured then.
static STARTS: Mutex<()> = Mutex::new(());

/// The standard streams of a program. By default, its input is empty, and its output is stored in
/// memory.
#[derive(Debug, Default)]
pub struct Io {
    /// Standard input.
    pub stdin: Option<Stdio>,
    /// Standard output.
    pub stdout: Option<Stdio>,
    /// Standard error.
    pub stderr: Option<Stdio>,
}

/// A running program. Dropping this kills it.
#[derive(Debug)]
pub struct Started {
    pid: Pid,
    pidfd: rustix::fd::OwnedFd,
    stdout: Option<File>,
    stderr: Option<File>,
    begun: Instant,
    /// The maximum resident memory of this process at the start of the other, to which the kernel
    /// attributes it.
    own_peak: u64,
    has_ended: bool,
}

/// The end of a program.
#[derive(Debug)]
pub struct Ended {
    /// Its status.
    pub status: ExitStatus,
    /// Its standard output, if it was not redirected.
    pub stdout: Vec<u8>,
    /// Its standard error, if it was not redirected.
    pub stderr: Vec<u8>,
    /// The maximum resident memory in bytes; 0 if it is not known.
    pub peak: u64,
    /// How long it ran.
    pub took: Duration,
    /// Whether it was killed at its deadline.
    pub was_late: bool,
    /// Whether a child process outlived it.
    pub left_processes: bool,
}

/// Starts a program.
///
/// # Errors
/// Returns an error if it cannot be started.
pub fn start(command: &mut Command, given: Io) -> io::Result<Started> {
    let memory = |given: Option<Stdio>| -> io::Result<(Stdio, Option<File>)> {
        if let Some(given) = given {
            return Ok((given, None));
        }
        let file = File::from(rustix::fs::memfd_create("output", MemfdFlags::CLOEXEC)?);
        Ok((file.try_clone()?.into(), Some(file)))
    };
    let (to_stdout, stdout) = memory(given.stdout)?;
    let (to_stderr, stderr) = memory(given.stderr)?;
    command.stdin(given.stdin.unwrap_or_else(Stdio::null)).stdout(to_stdout).stderr(to_stderr);
    let one_at_a_time = STARTS.lock();
    // Resets the maximum resident memory of this process.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let begun = Instant::now();
    let child = command.process_group(0).spawn()?;
    let own_peak = resident_peak("self").unwrap_or(u64::MAX);
    drop(one_at_a_time);
    // The command must not keep the other end of a pipe open.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let pid = Pid::from_child(&child);
    // If memory is short, the program is killed before its observer.
    let _ = std::fs::write(format!("/proc/{}/oom_score_adj", child.id()), "1000");
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    Ok(Started { pid, pidfd, stdout, stderr, begun, own_peak, has_ended: false })
}

impl Started {
    /// The process ID.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get() as u32
    }

    /// When it was started.
    #[must_use]
    pub fn begun(&self) -> Instant {
        self.begun
    }

    /// Sends a signal, if the program still exists.
    pub fn signal(&self, signal: Signal) {
        if !self.has_ended {
            let _ = kill_process(self.pid, signal);
        }
    }

    /// What it has written to standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&content(self.stderr.as_ref())).into_owned()
    }

    /// Waits until it prints this text on standard error, has ended, or the time is over. Returns
    /// whether it has printed the text.
    #[must_use]
    pub fn says(&self, text: &str, within: Duration) -> bool {
        let end = Instant::now() + within;
        loop {
            let is_over = self.ends_within(Duration::from_micros(300)) || Instant::now() > end;
            if self.stderr().contains(text) {
                return true;
            }
            if is_over {
                return false;
            }
        }
    }

    /// Whether it ends within this time.
    #[must_use]
    pub fn ends_within(&self, time: Duration) -> bool {
        let end = Instant::now() + time;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let left =
                Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
            let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
            match poll(&mut fds, Some(&left)) {
                Ok(found) => return found > 0,
                Err(Errno::INTR) => {}
                Err(_) => return false,
            }
        }
    }

    /// Waits for its end. Kills it if it runs longer than this since its start.
    ///
    /// # Errors
    /// Returns an error if waiting fails.
    pub fn wait(mut self, deadline: Duration) -> io::Result<Ended> {
        let was_late = !self.ends_within(deadline.saturating_sub(self.begun.elapsed()));
        if was_late {
            let _ = kill_process_group(self.pid, Signal::KILL);
        }
        let (status, usage) = sys::wait_ended(self.pid())?;
        let took = self.begun.elapsed();
        self.has_ended = true;
        let left_processes = !group_ends(self.pid, AFTERLIFE) && !was_late;
        Ok(Ended {
            status,
            stdout: content(self.stdout.as_ref()),
            stderr: content(self.stderr.as_ref()),
            peak: if usage.peak_memory > self.own_peak { usage.peak_memory } else { 0 },
            took,
            was_late,
            left_processes,
        })
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if !self.has_ended {
            let _ = kill_process_group(self.pid, Signal::KILL);
            let _ = sys::wait_ended(self.pid());
        }
    }
}

impl Ended {
    /// The exit code, if it was not ended by a signal.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The signal that ended it.
    #[must_use]
    pub fn signal(&self) -> Option<i32> {
        self.status.signal()
    }
}

/// The maximum resident memory of a process so far, in bytes (`VmHWM`).
#[must_use]
pub fn resident_peak(process: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|size| size << 10)
}

/// The child processes of a process, and their descendants.
#[must_use]
pub fn descendants(pid: u32) -> Vec<u32> {
    let mut found = vec![pid];
    let mut at = 0;
    while let Some(parent) = found.get(at) {
        let threads = std::fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten();
        let children: Vec<u32> = threads
            .flatten()
            .filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok())
            .flat_map(|line| {
                line.split_ascii_whitespace().filter_map(|n| n.parse().ok()).collect::<Vec<u32>>()
            })
            .collect();
        found.extend(children);
        at += 1;
    }
    found.split_off(1)
}

/// Waits until a process group is empty. Kills what is left of it.
fn group_ends(group: Pid, within: Duration) -> bool {
    let end = Instant::now() + within;
    loop {
        // Processes that this process has inherited must be waited for.
        while let Ok(Some(_)) = rustix::process::waitpgid(group, WaitOptions::NOHANG) {}
        if test_kill_process_group(group).is_err() {
            return true;
        }
        if Instant::now() > end {
            let _ = kill_process_group(group, Signal::KILL);
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn content(file: Option<&File>) -> Vec<u8> {
    let Some(file) = file else { return Vec::new() };
    let size = file.metadata().map_or(0, |data| data.len().min(MAX_OUTPUT));
    let mut bytes = vec![0; size as usize];
    let mut at = 0;
    while at < bytes.len() {
        match file.read_at(&mut bytes[at..], at as u64) {
            Ok(0) | Err(_) => break,
            Ok(count) => at += count,
        }
    }
    bytes.truncate(at);
    bytes
}
