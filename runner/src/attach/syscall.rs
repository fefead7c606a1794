// SPDX-License-Identifier: MIT
//! Programs that are called, as a system call is: once, or by the clock.

use std::os::fd::AsFd as _;

use super::error::AttachError;
use super::method::{Attachment, Context, Method};
use super::target::Target;

/// Called by the clock.
pub(super) const METHOD: Method = Method { target: Target::Clock, attach };

fn attach(context: &Context<'_>) -> Result<Vec<Attachment>, AttachError> {
    let program = context.program.as_fd().try_clone_to_owned();
    program.map(|program| vec![Attachment::Call(program)]).map_err(|error| context.refused(error))
}
