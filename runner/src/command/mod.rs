// SPDX-License-Identifier: MIT
//! A command that runs and is traced. Its process starts before programs are loaded, because they
//! may need its process ID; it waits (see [`waiting`]) and becomes the command once all are
//! attached.

mod search;
pub(crate) mod waiting;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use crate::args::Plan;
use crate::failure::{Failure, exit_code, system};
use crate::os;
use crate::sys::Signals;
use crate::talk::Talk;

/// How long the command may take to end after Ctrl-C, whose signal reaches it, too.
const BY_ITSELF: Duration = Duration::from_millis(200);

/// How long the command may take to end after SIGTERM.
const BY_SIGNAL: Duration = Duration::from_secs(1);

/// A running or waiting command. Dropping it ends the process.
#[derive(Debug)]
pub(crate) struct Command {
    /// The name in messages.
    name: String,
    child: Child,
    /// A write starts the command. Closing it before ends the process.
    start: Option<OwnedFd>,
    /// Readable once the process has ended.
    ended: Arc<OwnedFd>,
    talk: Talk,
}

impl Command {
    /// Starts the process for the plan's command, if there is one. The command itself does not run
    /// yet.
    ///
    /// # Errors
    /// Returns an error if the command does not exist (exit code 127) or cannot be executed (126),
    /// as in shells.
    pub(crate) fn start(
        plan: &Plan,
        signals: &Signals,
        talk: &Talk,
    ) -> Result<Option<Command>, Failure> {
        let Some(words @ [name, ..]) = plan.command.as_deref() else { return Ok(None) };
        let path = search::find(name)?;
        let failed = system("cannot start the process of the command");
        let (child, start) = waiting::start(&plan.program, &path, words, signals.blocked_before())
            .map_err(&failed)?;
        let ended = eventfd(0, EventfdFlags::CLOEXEC).map(Arc::new).map_err(system("eventfd"))?;
        let name = name.to_string_lossy().into_owned();
        let (pid, talk) = (Pid::from_child(&child), talk.clone());
        let command = Command { name, child, start: Some(start), ended: Arc::clone(&ended), talk };
        let wait = move || {
            // `NOWAIT` leaves the process to be reaped by the loop, so that its ID is not reused
            // before.
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            while matches!(waitid(WaitId::Pid(pid), options), Err(rustix::io::Errno::INTR)) {}
            let _ = rustix::io::write(&*ended, &1u64.to_ne_bytes());
        };
        std::thread::Builder::new().name("command".into()).spawn(wait).map_err(failed)?;
        Ok(Some(command))
    }

    /// The process ID.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Starts the command.
    ///
    /// # Errors
    /// Returns an error if its process has ended.
    pub(crate) fn run(&mut self) -> Result<(), Failure> {
        let Some(start) = self.start.take() else { return Ok(()) };
        rustix::io::write(&start, &[1]).map(drop).map_err(|error| {
            let error = anyhow::Error::new(error);
            let error =
                error.context(format!("cannot start `{}`: its process has ended", self.name));
            Failure::new(exit_code::OTHER, error)
        })
    }

    /// Ends the command. Returns its exit code if it ended by itself. `is_signalled`: a signal
    /// ended the run and may have reached the command, too.
    pub(crate) fn end(mut self, is_signalled: bool) -> Option<u8> {
        if is_signalled {
            self.wait(BY_ITSELF);
        }
        let ended = self.child.try_wait().ok().flatten();
        ended.map(code)
    }

    /// Waits at most this long for the end of the process. Returns whether it ended.
    fn wait(&self, most: Duration) -> bool {
        let most = os::timespec(most);
        poll(&mut [PollFd::new(&*self.ended, PollFlags::IN)], Some(&most)) == Ok(1)
    }

    /// Sends SIGTERM, because ecli ends.
    fn terminate(&mut self) {
        self.talk.note(&format!("`{}` is still running: sending SIGTERM", self.name));
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        if !self.wait(BY_SIGNAL) {
            let pid = self.pid();
            self.talk.warning(&format!("`{}` (process {pid}) has not ended", self.name));
        }
    }
}

impl Drop for Command {
    fn drop(&mut self) {
        if self.start.take().is_some() {
            // The command never started, so there is nothing to lose.
            let _ = self.child.kill();
            let _ = self.child.wait();
        } else if matches!(self.child.try_wait(), Ok(None)) {
            self.terminate();
            let _ = self.child.try_wait();
        }
    }
}

impl AsFd for Command {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ended.as_fd()
    }
}

/// The exit code that a shell would report.
fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_shells() {
        assert_eq!(code(ExitStatus::from_raw(0)), 0);
        assert_eq!(code(ExitStatus::from_raw(3 << 8)), 3);
        assert_eq!(code(ExitStatus::from_raw(libc::SIGKILL)), 137);
    }
}
