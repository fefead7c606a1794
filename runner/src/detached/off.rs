// SPDX-License-Identifier: MIT
//! An ecli that was built without support for runs in the background.

use std::convert::Infallible;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use bpfpack_render::FormatKind;

use crate::args::Plan;
use crate::failure::Failure;
use crate::talk::Talk;

/// There is none.
#[derive(Debug)]
pub(crate) struct Background(Infallible);

/// There are none.
#[derive(Debug)]
pub(crate) struct Control(Infallible);

/// There are none.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) stream: UnixStream,
    pub(crate) format: &'static FormatKind,
    pub(crate) meanings: bool,
    pub(crate) lasts: Duration,
}

/// What `--detach` means for this process.
#[derive(Debug)]
pub(crate) enum Detach {
    Not,
    Started,
    Own(Background),
}

/// Fails if a run in the background is asked for.
///
/// # Errors
/// Returns a usage error.
pub(crate) fn detach(plan: &Plan, _: &Talk) -> Result<Detach, Failure> {
    match plan.detach {
        None => Ok(Detach::Not),
        Some(_) => {
            let text = "--detach: this ecli was built without support for runs in the background";
            Err(Failure::usage(text).hint("build it with its default features"))
        }
    }
}

impl Background {
    pub(crate) fn failed(self, _: &Failure) -> Failure {
        match self.0 {}
    }

    pub(crate) fn ready(&self, _: &str, _: String) -> Result<Control, Failure> {
        match self.0 {}
    }
}

impl Control {
    pub(crate) fn take(&self) -> Option<Client> {
        match self.0 {}
    }
}

impl AsFd for Control {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self.0 {}
    }
}
