// SPDX-License-Identifier: MIT
//! An ecli that was built without support for runs in the background.

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd};

use crate::args::Plan;
use crate::failure::Failure;
use crate::output::Client;
use crate::talk::Talk;

/// There is none.
#[derive(Debug)]
pub(crate) struct Background(Infallible);

/// There are none.
#[derive(Debug)]
pub(crate) struct Control(Infallible);

/// There are no such processes.
pub(crate) fn has_confirmed(_: &str) -> bool {
    false
}

/// Fails if a run in the background is asked for.
///
/// # Errors
/// Returns a usage error.
pub(crate) fn detach(
    plan: &Plan,
    _: Option<&str>,
    _: &Talk,
) -> Result<ControlFlow<(), Option<Background>>, Failure> {
    match plan.detach {
        None => Ok(ControlFlow::Continue(None)),
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
