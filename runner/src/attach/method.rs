// SPDX-License-Identifier: MIT
//! What all ways of attaching share: their input ([`Context`]) and their result ([`Attachment`]).
//! Each way has a file in this directory with a constant `METHOD`.

use std::fmt;
use std::os::fd::OwnedFd;

use bpfpack_schemas::meta::ProgMeta;
use libbpf_rs::{Link, MapHandle, ProgramMut};

use super::error::AttachError;
use super::target::Target;

/// A way of attaching.
#[derive(Debug, Clone, Copy)]
pub(super) struct Method {
    /// The kind of target.
    pub(super) target: Target,
    /// Attaches a program.
    pub(super) attach: fn(&Context<'_>) -> Result<Vec<Attachment>, AttachError>,
}

impl Method {
    /// Whether two methods are the same.
    pub(super) fn is(&self, other: Method) -> bool {
        std::ptr::fn_addr_eq(self.attach, other.attach) && self.target == other.target
    }
}

/// The owner of a program.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Owner<'a> {
    /// A package, with annotations for the program. The package format has defaults for some
    /// targets.
    Package(Option<&'a ProgMeta>),
    /// A Wasm module.
    Module,
}

/// Options for all programs of a run.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// Samples per second on each CPU, if the user sets them.
    pub(crate) frequency: Option<u64>,
    /// The program or library for user functions whose section names none.
    pub(crate) binary: Option<String>,
    /// If set, user functions are probed only in this process, and file names refer to its files.
    pub(crate) process: Option<u32>,
    /// Whether to replace XDP programs that are attached already.
    pub(crate) replaces: bool,
    /// Maps of the object that programs can attach to.
    pub(crate) maps: Vec<(String, MapHandle)>,
}

/// A program to attach, and what determines its target.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    /// The program.
    pub(crate) program: &'a ProgramMut<'a>,
    /// Its section.
    pub(crate) section: &'a str,
    /// The kind of attach point, from the section or from `--attach`.
    pub(crate) kind: &'a str,
    /// Its owner.
    pub(crate) owner: Owner<'a>,
    /// The target that the user or the module names.
    pub(crate) named: Option<&'a str>,
    /// Options for all programs.
    pub(crate) options: &'a Options,
}

impl Context<'_> {
    /// Returns the named target.
    ///
    /// # Errors
    /// Returns an error if no target was named.
    pub(super) fn named(&self, target: Target) -> Result<&str, AttachError> {
        self.named.ok_or(AttachError::NoTarget(target))
    }

    /// The part of the section after the kind, if there is one.
    pub(super) fn rest_of_section(&self) -> Option<&str> {
        self.section.split_once('/').map(|(_, rest)| rest).filter(|rest| !rest.is_empty())
    }

    /// The package's annotations for the program.
    pub(super) fn annotations(&self) -> Option<&ProgMeta> {
        match self.owner {
            Owner::Package(meta) => meta,
            Owner::Module => None,
        }
    }

    /// Returns a map of the object.
    ///
    /// # Errors
    /// Returns an error if no map of this name can be attached to.
    pub(super) fn map(&self, name: &str) -> Result<&MapHandle, AttachError> {
        let found = self.options.maps.iter().find(|(known, _)| known == name);
        found.map(|(_, map)| map).ok_or_else(|| {
            let known: Vec<&str> = self.options.maps.iter().map(|(name, _)| &**name).collect();
            let text = match known.is_empty() {
                true => "the package has no suitable map".to_owned(),
                false => {
                    format!("the package does not have this map; its maps are {}", known.join(", "))
                }
            };
            AttachError::BadTarget { named: name.to_owned(), error: std::io::Error::other(text) }
        })
    }

    /// Converts the result of libbpf-rs.
    pub(super) fn attached(
        &self,
        result: libbpf_rs::Result<Link>,
    ) -> Result<Vec<Attachment>, AttachError> {
        result.map(|link| vec![Attachment::Link(link)]).map_err(|error| self.refused(error))
    }

    /// A refusal of the named target, or of the target in the section.
    pub(super) fn refused(&self, error: impl Into<libbpf_rs::Error>) -> AttachError {
        let named = self.named.map(str::to_owned);
        AttachError::Refused { named, error: error.into(), errno: None }
    }

    /// A target that is not valid.
    pub(super) fn bad_target(&self, text: impl Into<String>) -> AttachError {
        AttachError::BadTarget {
            named: self.named.or(self.rest_of_section()).unwrap_or_default().to_owned(),
            error: std::io::Error::other(text.into()),
        }
    }
}

/// Keeps a program attached. Dropping it detaches the program.
pub(crate) enum Attachment {
    /// A link of libbpf.
    Link(#[expect(dead_code, reason = "it is detached when it is dropped")] Link),
    /// A link of libbpf to an iterator, which is read at each interval.
    Walk(Link),
    /// A program that is called at each interval.
    Call(OwnedFd),
    /// The descriptor of a link or a socket, which is closed.
    Descriptor(#[expect(dead_code, reason = "it is closed when it is dropped")] OwnedFd),
    /// An action that undoes what the kernel does not undo.
    Undone(#[expect(dead_code, reason = "it acts when it is dropped")] Undo),
}

impl fmt::Debug for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Attachment::Link(_) => "Link",
            Attachment::Walk(_) => "Walk",
            Attachment::Call(_) => "Call",
            Attachment::Descriptor(_) => "Descriptor",
            Attachment::Undone(_) => "Undone",
        })
    }
}

/// Up to this number, links are dropped one after the other. To detach a probe, the kernel waits
/// until no CPU runs its programs, 10 to 20 ms; many links are dropped in parallel, so that these
/// times overlap.
const IN_A_ROW: usize = 4;

/// Threads that drop links at the same time.
const TOGETHER: usize = 64;

/// Detaches programs; then undoes what the kernel does not undo by itself.
pub(super) fn detach(attachments: Vec<Attachment>) {
    let is_link = |attachment: &Attachment| !matches!(attachment, Attachment::Undone(_));
    let (mut links, undone): (Vec<_>, Vec<_>) = attachments.into_iter().partition(is_link);
    if links.len() > IN_A_ROW {
        let size = links.len().div_ceil(TOGETHER);
        std::thread::scope(|scope| {
            while !links.is_empty() {
                let part = links.split_off(links.len().saturating_sub(size));
                // If no thread can be started, the links are dropped here.
                let _ = std::thread::Builder::new().spawn_scoped(scope, move || drop(part));
            }
        });
    }
    drop(links);
    // In reverse order of creation.
    undone.into_iter().rev().for_each(drop);
}

/// Runs an action when it is dropped, for effects that remain when this process ends.
pub(crate) struct Undo(Option<Box<dyn FnOnce() + Send>>);

impl Undo {
    /// Makes an `Undo` that calls this function.
    pub(super) fn by(undo: impl FnOnce() + Send + 'static) -> Undo {
        Undo(Some(Box::new(undo)))
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        if let Some(undo) = self.0.take() {
            undo();
        }
    }
}
