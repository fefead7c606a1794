// SPDX-License-Identifier: MIT
//! Programs of type `syscall`, which user space calls: once, or at each interval.

use std::os::fd::AsFd as _;

use super::error::AttachError;
use super::method::{Attachment, Context, Method};
use super::target::Target;

/// ecli calls the program at each interval.
pub(super) const METHOD: Method = Method { target: Target::Clock, attach };

fn attach(context: &Context<'_>) -> Result<Vec<Attachment>, AttachError> {
    let program = context.program.as_fd().try_clone_to_owned();
    program.map(|program| vec![Attachment::Call(program)]).map_err(|error| context.refused(error))
}
