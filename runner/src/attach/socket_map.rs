// SPDX-License-Identifier: MIT
//! Programs that see what the sockets in a map receive or send.

use std::os::fd::{AsFd as _, AsRawFd as _};

use super::error::AttachError;
use super::method::{Attachment, Context, Method, Undo};
use super::target::Target;
use crate::sys;

/// Attaches to a socket map of the package.
pub(super) const METHOD: Method = Method { target: Target::SocketMap, attach };

fn attach(context: &Context<'_>) -> Result<Vec<Attachment>, AttachError> {
    let map = context.map(context.named(Target::SocketMap)?)?.as_fd();
    let program = context.program;
    program.attach_sockmap(map.as_raw_fd()).map_err(|error| context.refused(error))?;
    let clone = |fd: std::os::fd::BorrowedFd<'_>| fd.try_clone_to_owned();
    let (map, fd) = (clone(map), clone(program.as_fd()));
    let (map, fd) = map.and_then(|map| Ok((map, fd?))).map_err(|error| context.refused(error))?;
    let kind = program.attach_type() as u32;
    // The map may be pinned and outlive this process.
    let undo = move || sys::detach_program(fd.as_fd(), map.as_fd(), kind);
    Ok(vec![Attachment::Undone(Undo::by(undo))])
}
