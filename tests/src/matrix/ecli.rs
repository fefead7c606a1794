// SPDX-License-Identifier: MIT
//! ecli, as a case runs it.

use std::io::{self, BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::wait;

/// How long it may take to attach.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running ecli.
#[derive(Debug)]
pub(super) struct Ecli {
    child: Child,
    stdout: Option<Receiver<Vec<u8>>>,
    stderr: Receiver<String>,
    said: Vec<String>,
}

impl Ecli {
    pub(super) fn start(command: &mut Command) -> Result<Ecli> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("ecli")?;
        let stdout = child.stdout.take().map(wait::in_background);
        let (send, stderr) = channel();
        let pipe = BufReader::new(child.stderr.take().context("no pipe")?);
        std::thread::spawn(move || {
            pipe.lines().map_while(io::Result::ok).try_for_each(|line| send.send(line))
        });
        Ok(Ecli { child, stdout, stderr, said: Vec::new() })
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until its programs are attached, or it ends.
    pub(super) fn is_attached(&mut self) -> Result<bool> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.stderr.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let is_attached = line.contains("tracing with");
                    self.said.push(line);
                    if is_attached {
                        return Ok(true);
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(false),
                Err(RecvTimeoutError::Timeout) => bail!("ecli does not begin: {:?}", self.said),
            }
        }
    }

    /// Ends it like Ctrl-C. Returns its exit code, its output, and what it said that is no progress.
    pub(super) fn end(mut self) -> Result<(i32, String, String)> {
        // It may have ended by itself.
        if self.child.try_wait()?.is_none() {
            let _ = kill_process(Pid::from_child(&self.child), Signal::INT);
        }
        let stdout = String::from_utf8_lossy(&wait::taken(self.stdout.take())).into_owned();
        let code = wait::ended(&mut self.child).code().unwrap_or(255);
        self.said.extend(self.stderr.iter());
        let is_told = |line: &&String| !line.starts_with("ecli: ");
        let message: Vec<&str> = self.said.iter().filter(is_told).map(String::as_str).collect();
        Ok((code, stdout, message.join("\n")))
    }
}

impl Drop for Ecli {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
