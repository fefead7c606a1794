// SPDX-License-Identifier: MIT
//! Runs a program until its end or its deadline, and tells what it wrote, how it ended, and what it
//! took. Each has a process group of its own, of which nothing may be left.

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

/// Bytes that are looked at of an output. A module may write more.
const MAX_OUTPUT: u64 = 64 << 20;

/// How long what a program has started may live after it.
const AFTERLIFE: Duration = Duration::from_secs(1);

/// Held while a program is started: what this process has resident is measured meanwhile.
static STARTS: Mutex<()> = Mutex::new(());

/// Where a program reads and writes, if not from nowhere and to memory.
#[derive(Debug, Default)]
pub struct Io {
    /// Standard input.
    pub stdin: Option<Stdio>,
    /// Standard output.
    pub stdout: Option<Stdio>,
    /// Standard error.
    pub stderr: Option<Stdio>,
}

/// A program that runs. It ends with this.
#[derive(Debug)]
pub struct Started {
    pid: Pid,
    pidfd: rustix::fd::OwnedFd,
    stdout: Option<File>,
    stderr: Option<File>,
    begun: Instant,
    /// The most that this process had resident when it started the other: the kernel counts that as
    /// the other's.
    own_peak: u64,
    has_ended: bool,
}

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    /// Its status.
    pub status: ExitStatus,
    /// What it wrote to standard output, where that was not given.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error, where that was not given.
    pub stderr: Vec<u8>,
    /// The largest resident size in bytes; 0 where that is not known.
    pub peak: u64,
    /// How long it ran.
    pub took: Duration,
    /// It was killed at its deadline.
    pub was_late: bool,
    /// Something that it had started lived on.
    pub left_processes: bool,
}

/// Starts a program.
///
/// # Errors
/// When it cannot be started.
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
    // Forgets the most that this process had resident, and begins anew.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let begun = Instant::now();
    let child = command.process_group(0).spawn()?;
    let own_peak = resident_peak("self").unwrap_or(u64::MAX);
    drop(one_at_a_time);
    // The command must not keep the other end of a pipe open.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let pid = Pid::from_child(&child);
    // Where memory is short, it goes before what watches it.
    let _ = std::fs::write(format!("/proc/{}/oom_score_adj", child.id()), "1000");
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    Ok(Started { pid, pidfd, stdout, stderr, begun, own_peak, has_ended: false })
}

impl Started {
    /// Its number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get() as u32
    }

    /// When it was started.
    #[must_use]
    pub fn begun(&self) -> Instant {
        self.begun
    }

    /// Sends a signal, if it is still there.
    pub fn signal(&self, signal: Signal) {
        if !self.has_ended {
            let _ = kill_process(self.pid, signal);
        }
    }

    /// What it has written to standard error until now.
    #[must_use]
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&content(self.stderr.as_ref())).into_owned()
    }

    /// Waits until it says this on standard error, has ended, or the time is over; whether it has
    /// said it.
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

    /// Waits until it ends; kills it when that takes longer, since its start, than this.
    ///
    /// # Errors
    /// When it cannot be waited for.
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
    /// The exit code, if it was no signal.
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

/// The most that a process has had resident so far, in bytes: `VmHWM`.
#[must_use]
pub fn resident_peak(process: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|size| size << 10)
}

/// The processes that a process has started, and those that they have started.
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

/// Waits until nothing of a process group lives; what still does is killed.
fn group_ends(group: Pid, within: Duration) -> bool {
    let end = Instant::now() + within;
    loop {
        // What this process has inherited has to be waited for.
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
