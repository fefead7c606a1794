// SPDX-License-Identifier: MIT
//! What all ways of attaching have in common: what they are given ([`Context`]), and what they
//! return ([`Attachment`]). Each way is a file beside this one, with a constant `METHOD`.

use std::os::fd::OwnedFd;

use bpfpack_schemas::meta::ProgMeta;
use libbpf_rs::{Link, ProgramMut};

use super::error::AttachError;
use super::target::Target;

/// A way of attaching.
#[derive(Debug, Clone, Copy)]
pub(super) struct Method {
    /// What it attaches to.
    pub(super) target: Target,
    /// Attaches a program.
    pub(super) attach: fn(&Context<'_>) -> Result<Vec<Attachment>, AttachError>,
}

/// Whose program it is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Owner<'a> {
    /// A package's, with its annotations. The format of packages has defaults for some targets.
    Package(Option<&'a ProgMeta>),
    /// A Wasm module's.
    Module,
}

/// A program that is to be attached, and what is known about where.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    /// The program.
    pub(crate) program: &'a ProgramMut<'a>,
    /// Its section.
    pub(crate) section: &'a str,
    /// Whose it is.
    pub(crate) owner: Owner<'a>,
    /// What the user or the module names as the target.
    pub(crate) named: Option<&'a str>,
    /// How often it samples, if the user says it: times a second on each CPU.
    pub(crate) frequency: Option<u64>,
}

impl Context<'_> {
    /// The target that was named.
    ///
    /// # Errors
    /// When none was.
    pub(super) fn named(&self, target: Target) -> Result<&str, AttachError> {
        self.named.ok_or(AttachError::NoTarget(target))
    }

    /// The package's annotations of the program.
    pub(super) fn annotations(&self) -> Option<&ProgMeta> {
        match self.owner {
            Owner::Package(meta) => meta,
            Owner::Module => None,
        }
    }

    /// What libbpf returned, for the target that was named.
    pub(super) fn attached(
        &self,
        result: libbpf_rs::Result<Link>,
    ) -> Result<Vec<Attachment>, AttachError> {
        let refused = |error| AttachError::Refused {
            named: self.named.map(str::to_owned),
            error,
            errno: None,
        };
        result.map(|link| vec![Attachment::Link { _link: link }]).map_err(refused)
    }
}

/// What keeps a program attached. Dropped, it is detached.
#[derive(Debug)]
pub(crate) enum Attachment {
    /// libbpf's.
    Link {
        /// The link.
        _link: Link,
    },
    /// A link of the kernel's.
    Descriptor {
        /// The link.
        _link: OwnedFd,
    },
}
