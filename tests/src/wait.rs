// SPDX-License-Identifier: MIT
//! Waits for processes, their output, and locked files: each time with a deadline, at which the
//! test fails and names what it waited for.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::Outcome;

/// The time limit for any program. A compiler on a busy machine takes seconds.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until a condition holds; fails after ten seconds.
#[track_caller]
pub fn eventually(what: &str, is_so: impl FnMut() -> bool) {
    within(Duration::from_secs(10), what, is_so);
}

/// Waits until a condition holds; fails after the given time.
#[track_caller]
pub fn within(time: Duration, what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + time;
    while !is_so() {
        assert!(Instant::now() < deadline, "in {time:?} not so: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until a descriptor is readable, or a process ends. Returns whether that was before the
/// deadline.
fn is_ready(fd: BorrowedFd<'_>, deadline: Instant) -> bool {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).unwrap();
        match poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&left)) {
            Err(rustix::io::Errno::INTR) => {}
            ready => return ready.unwrap() > 0,
        }
    }
}

/// Waits until a child ends. Returns whether that was before the time limit.
fn can_be_waited_for(child: &Child, limit: Duration) -> bool {
    let pidfd = pidfd_open(Pid::from_child(child), PidfdFlags::empty()).unwrap();
    is_ready(pidfd.as_fd(), Instant::now() + limit)
}

/// Waits until a child ends, or kills it at the time limit. Returns whether it ended by itself.
#[must_use]
pub fn ends_within(limit: Duration, mut child: Child) -> bool {
    let in_time = can_be_waited_for(&child, limit);
    if !in_time {
        let _ = child.kill();
    }
    let _ = child.wait();
    in_time
}

/// Waits until a child ends; the caller takes its exit status. If it does not end, it is killed,
/// and the test fails.
#[track_caller]
pub fn until_end(child: &mut Child) {
    if !can_be_waited_for(child, PATIENCE) {
        let command = std::fs::read(format!("/proc/{}/cmdline", child.id())).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        let _ = child.kill();
        let _ = child.wait();
        panic!("it did not end in {PATIENCE:?}: {command}");
    }
}

/// Waits until a child ends. If it does not, it is killed, and the test fails.
#[track_caller]
pub fn ended(child: &mut Child) -> ExitStatus {
    // Its process ID may be reused once it has been waited for.
    if let Some(status) = child.try_wait().unwrap() {
        return status;
    }
    until_end(child);
    child.wait().unwrap()
}

/// Runs a program to its end. Its output goes where the test's goes.
#[track_caller]
pub fn status(command: &mut Command) -> ExitStatus {
    ended(&mut command.spawn().unwrap())
}

/// Runs a program to its end, and captures its output.
#[track_caller]
pub fn output(command: &mut Command) -> Output {
    finished(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
}

/// Runs a program to its end, and captures its output as text.
#[track_caller]
pub fn outcome(command: &mut Command) -> Outcome {
    output(command).into()
}

/// Waits until a child ends, and captures its output.
#[track_caller]
pub fn finished(mut child: Child) -> Output {
    drop(child.stdin.take());
    let stdout = child.stdout.take().map(in_background);
    let stderr = child.stderr.take().map(in_background);
    let status = ended(&mut child);
    Output { status, stdout: taken(stdout), stderr: taken(stderr) }
}

/// Reads a pipe to its end in a thread, so that its writer does not wait for the test.
pub fn in_background(mut pipe: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (send, bytes) = channel();
    std::thread::spawn(move || {
        let mut read = Vec::new();
        let _ = pipe.read_to_end(&mut read);
        let _ = send.send(read);
    });
    bytes
}

/// The output that was read from a process that has ended.
#[track_caller]
pub fn taken(pipe: Option<Receiver<Vec<u8>>>) -> Vec<u8> {
    let read = |pipe: Receiver<Vec<u8>>| pipe.recv_timeout(PATIENCE).ok();
    pipe.map_or(Some(Vec::new()), read)
        .expect("somebody keeps the pipe of a program that has ended")
}

/// Reads from a pipe, no more than necessary, until a condition holds for the text.
#[track_caller]
pub fn read_until(
    mut pipe: impl Read + AsFd,
    what: &str,
    is_enough: impl Fn(&str) -> bool,
) -> String {
    let deadline = Instant::now() + PATIENCE;
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read);
        if is_enough(&text) {
            return text.into_owned();
        }
        assert!(is_ready(pipe.as_fd(), deadline), "in {PATIENCE:?} not read: {what}: {text}");
        let mut byte = [0];
        assert!(pipe.read(&mut byte).unwrap() > 0, "it ended before {what}: {text}");
        read.push(byte[0]);
    }
}

/// Waits until a file can be locked. Dropping the result unlocks it.
#[track_caller]
pub fn locked(path: &Path) -> File {
    // Several others may each take their time.
    let deadline = Instant::now() + 5 * PATIENCE;
    let file = File::create(path).unwrap();
    while let Err(error) = file.try_lock() {
        assert!(Instant::now() < deadline, "cannot lock {}: {error}", path.display());
        std::thread::sleep(Duration::from_millis(20));
    }
    file
}
