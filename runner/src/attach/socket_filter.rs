// SPDX-License-Identifier: MIT
//! Programs that see a copy of the packets of an interface, through a packet socket.

use std::os::fd::AsFd as _;

use super::error::AttachError;
use super::interface;
use super::method::{Attachment, Context, Method};
use super::target::Target;
use crate::sys::packet;

/// Attaches to a packet socket that nobody reads: the program runs before the socket's queue.
pub(super) const METHOD: Method = Method { target: Target::Interface, attach };

fn attach(context: &Context<'_>) -> Result<Vec<Attachment>, AttachError> {
    let index = interface::index(context.named(Target::Interface)?)?;
    let socket = packet::filtered_socket(index, context.program.as_fd());
    socket
        .map(|socket| vec![Attachment::Descriptor(socket)])
        .map_err(|error| context.refused(error))
}
