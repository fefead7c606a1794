// SPDX-License-Identifier: MIT
//! Attaches to tracepoints by their numbers in tracefs, which need not be mounted.

use std::io;
use std::os::fd::IntoRawFd as _;
use std::path::Path;

use super::error::AttachError;
use super::method::{Attachment, Context, Method};
use super::target::Target;
use crate::kernel;
use crate::sys::perf;

/// Attaches to a tracepoint, `CATEGORY/NAME`.
pub(super) const METHOD: Method = Method { target: Target::Tracepoint, attach };

/// Attaches to a raw tracepoint, whose arguments are not converted.
pub(super) const RAW: Method = Method { target: Target::Tracepoint, attach: attach_raw };

fn attach(context: &Context<'_>) -> Result<Vec<Attachment>, AttachError> {
    let named = context.named.or(context.rest_of_section());
    let named = named.ok_or(AttachError::NoTarget(Target::Tracepoint))?;
    let number = number(named).map_err(|error| context.refused(error))?;
    let event = perf::tracepoint_event(number).map_err(|error| context.refused(error))?;
    let link = context.program.attach_perf_event(std::os::fd::AsRawFd::as_raw_fd(&event));
    let attached = context.attached(link)?;
    // The link closes the event when it is dropped.
    let _ = event.into_raw_fd();
    Ok(attached)
}

/// Returns the number of a tracepoint.
///
/// # Errors
/// Returns `ENOENT` if there is no such tracepoint, or if tracefs cannot be read.
pub(crate) fn number(tracepoint: &str) -> io::Result<u64> {
    let is_name = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
    };
    let (category, name) = tracepoint
        .split_once('/')
        .filter(|(category, name)| is_name(category) && is_name(name))
        .ok_or_else(|| {
            io::Error::other("write a tracepoint as CATEGORY/NAME, for example sched/sched_switch")
        })?;
    let events = kernel::tracefs().ok_or(io::ErrorKind::NotFound)?;
    let path: &Path = &events.join("events").join(category).join(name).join("id");
    let text = std::fs::read_to_string(path)?;
    text.trim().parse().map_err(|_| io::ErrorKind::InvalidData.into())
}

fn attach_raw(context: &Context<'_>) -> Result<Vec<Attachment>, AttachError> {
    let named = context.named.or(context.rest_of_section());
    let named = named.ok_or(AttachError::NoTarget(Target::Tracepoint))?;
    // A category is accepted, as in other ways of attaching.
    let name = named.rsplit('/').next().unwrap_or(named);
    context.attached(context.program.attach_raw_tracepoint(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_tracepoints() {
        for name in ["sched_switch", "sched/", "/x", "../../x/y", "sched/../x", "a/b/c"] {
            let error = number(name).unwrap_err();
            assert!(error.to_string().contains("CATEGORY/NAME"), "{name}: {error}");
        }
    }
}
