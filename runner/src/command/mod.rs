// SPDX-License-Identifier: MIT
//! A command that is run while there is tracing. Its process is there before programs are loaded,
//! since they may be told its number; it waits (see [`waiting`]) and becomes the command when all is
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

/// How long a command may take to end by a signal that has ended ecli, too: that of Ctrl-C.
const BY_ITSELF: Duration = Duration::from_millis(200);

/// How long it may take to end by SIGTERM.
const BY_SIGNAL: Duration = Duration::from_secs(1);

/// A command, which ends with this.
#[derive(Debug)]
pub(crate) struct Command {
    /// What messages call it.
    name: String,
    child: Child,
    /// Writing lets it run; closing ends the process before it was a command.
    start: Option<OwnedFd>,
    /// Readable when it has ended.
    ended: Arc<OwnedFd>,
    talk: Talk,
}

impl Command {
    /// Starts the process of the command that the plan has, if it has one. Nothing of the command
    /// runs yet.
    ///
    /// # Errors
    /// When there is no such command, or it cannot be executed: as shells have it, with the exit
    /// codes 127 and 126.
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
            // It is left for the loop to take how it has ended: until then, its number is its own.
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            while matches!(waitid(WaitId::Pid(pid), options), Err(rustix::io::Errno::INTR)) {}
            let _ = rustix::io::write(&*ended, &1u64.to_ne_bytes());
        };
        std::thread::Builder::new().name("command".into()).spawn(wait).map_err(failed)?;
        Ok(Some(command))
    }

    /// The number of its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets it run.
    ///
    /// # Errors
    /// When its process is gone.
    pub(crate) fn run(&mut self) -> Result<(), Failure> {
        let Some(start) = self.start.take() else { return Ok(()) };
        rustix::io::write(&start, &[1]).map(drop).map_err(|error| {
            let error = anyhow::Error::new(error);
            let error =
                error.context(format!("cannot start `{}`: its process has ended", self.name));
            Failure::new(exit_code::OTHER, error)
        })
    }

    /// Its exit code, where it has ended by itself; ends it otherwise. `is_signalled`: by a signal that
    /// may have come to it, too.
    pub(crate) fn end(mut self, is_signalled: bool) -> Option<u8> {
        if is_signalled {
            self.wait(BY_ITSELF);
        }
        let ended = self.child.try_wait().ok().flatten();
        ended.map(code)
    }

    /// Waits until it ends, but no longer than this.
    fn wait(&self, most: Duration) -> bool {
        let most = os::timespec(most);
        poll(&mut [PollFd::new(&*self.ended, PollFlags::IN)], Some(&most)) == Ok(1)
    }

    /// Ends it because ecli ends.
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
            // It never ran, and has nothing to lose.
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

/// The exit code as shells have it.
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
