// SPDX-License-Identifier: MIT
//! The process that triggers the program of a case.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use rustix::event::{PollFd, PollFlags, poll};

use super::cases::{Case, TIMES};
use crate::wait;

/// The first word of the command line of the process that triggers a program; the name of the case
/// follows.
pub const ACT: &str = "act";

/// Triggers a program once nobody writes to the standard input any more. This process does nothing
/// else that could be counted, so it does not read from there either.
///
/// # Errors
/// Returns an error if there is no such case, or what it does is not possible.
pub fn act(name: &str) -> Result<()> {
    let case = Case::named(name).context("no such case")?;
    writeln!(io::stdout(), "ready")?;
    poll(&mut [PollFd::new(&io::stdin(), PollFlags::HUP)], None)?;
    (case.act)(TIMES).with_context(|| format!("the activity of `{name}`"))
}

/// A process that waits in [`act`].
#[derive(Debug)]
pub(super) struct Actor(Child);

impl Actor {
    /// Starts it, and waits until it waits.
    pub(super) fn start(program: &Path, case: &Case) -> Result<Actor> {
        let mut command = Command::new(program);
        command.args([ACT, case.name]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut actor = Actor(command.spawn()?);
        let stdout = actor.0.stdout.take().context("no pipe")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        ensure!(!line.is_empty(), "it did not begin");
        Ok(actor)
    }

    pub(super) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Lets it go on, and waits for it.
    pub(super) fn act(mut self) -> Result<()> {
        drop(self.0.stdin.take());
        ensure!(wait::ended(&mut self.0).success(), "it failed");
        Ok(())
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
