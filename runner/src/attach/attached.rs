// SPDX-License-Identifier: MIT
//! What is attached, and what that keeps open.

use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};

use libbpf_rs::Object;

use super::called::Called;
use super::method::{Attachment, detach};
use super::report::Findings;
use crate::instrument::Counters;

/// An attached package, and what was prepared before. Dropping it detaches everything.
#[derive(Debug)]
pub(crate) struct Attached<P> {
    pub(super) tracing: Tracing,
    /// The result of the caller's `prepare`.
    pub(super) prepared: P,
    /// Counters of lost records, if the kernel accepted the programs that keep them.
    pub(super) counters: Option<Counters>,
}

/// Attached programs. Dropping this detaches them.
#[derive(Debug)]
pub(crate) struct Tracing {
    pub(super) attachments: Attachments,
    /// Findings for the user.
    pub(super) findings: Findings,
    /// Keeps the maps and programs.
    pub(super) object: Object,
}

/// Attachments with the names of the programs. Dropping this detaches them in the order that leaves
/// nothing behind.
#[derive(Debug, Default)]
pub(super) struct Attachments(pub(super) Vec<(String, Attachment)>);

impl Drop for Attachments {
    fn drop(&mut self) {
        detach(self.0.drain(..).map(|(_, attachment)| attachment).collect());
    }
}

impl<P> Attached<P> {
    /// Splits into the attached programs, what the caller prepared, and the counters of lost
    /// records.
    pub(crate) fn split(self) -> (Tracing, P, Option<Counters>) {
        (self.tracing, self.prepared, self.counters)
    }
}

impl Tracing {
    /// Returns the programs that ecli reads or calls at each interval.
    ///
    /// # Errors
    /// Returns an error if this process cannot open more files.
    pub(crate) fn called(&self) -> std::io::Result<Vec<Called>> {
        let called = |(name, attachment): &(String, Attachment)| match attachment {
            Attachment::Walk(link) => Some(Called::walk(name, link.as_fd())),
            Attachment::Call(program) => Some(Called::call(name, program.as_fd())),
            _ => None,
        };
        self.attachments.0.iter().filter_map(called).collect()
    }

    /// Duplicates the descriptors of the loaded programs, each with the name of its program.
    ///
    /// # Errors
    /// Returns an error if this process cannot open more files.
    pub(crate) fn programs(&self) -> std::io::Result<Vec<(String, OwnedFd)>> {
        let loaded = self.object.progs().filter(|program| program.as_fd().as_raw_fd() >= 0);
        let named = |program: libbpf_rs::Program<'_>| {
            let name = program.name().to_string_lossy().into_owned();
            Ok((name, program.as_fd().try_clone_to_owned()?))
        };
        loaded.map(named).collect()
    }

    /// Whether ecli calls all programs itself.
    pub(crate) fn only_calls(&self) -> bool {
        let is_called = |(_, attachment): &(String, Attachment)| {
            matches!(attachment, Attachment::Walk(_) | Attachment::Call(_))
        };
        self.attachments.0.iter().all(is_called)
    }

    /// Detaches the programs. The maps live as long as the object, and no longer change.
    pub(crate) fn detach(self) -> Object {
        drop(self.attachments);
        self.object
    }
}
