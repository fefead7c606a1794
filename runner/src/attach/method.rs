// SPDX-License-Identifier: MIT
//! What all ways of attaching have in common: what they are given ([`Context`]), and what they
//! return ([`Attachment`]). Each way is a file beside this one, with a constant `METHOD`.

use std::fmt;
use std::os::fd::OwnedFd;

use bpfpack_schemas::meta::ProgMeta;
use libbpf_rs::{Link, MapHandle, ProgramMut};

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

impl Method {
    /// Whether it is the same as another one.
    pub(super) fn is(&self, other: Method) -> bool {
        std::ptr::fn_addr_eq(self.attach, other.attach) && self.target == other.target
    }
}

/// Whose program it is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Owner<'a> {
    /// A package's, with its annotations. The format of packages has defaults for some targets.
    Package(Option<&'a ProgMeta>),
    /// A Wasm module's.
    Module,
}

/// What concerns all programs of a run.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// How often programs sample, if the user says it: times a second on each CPU.
    pub(crate) frequency: Option<u64>,
    /// The program or library of user functions whose section names none.
    pub(crate) binary: Option<String>,
    /// The only process whose functions are probed, and whose files are meant.
    pub(crate) process: Option<u32>,
    /// What another one has attached is replaced.
    pub(crate) replaces: bool,
    /// The object's maps that programs may be attached to.
    pub(crate) maps: Vec<(String, MapHandle)>,
}

/// A program that is to be attached, and what is known about where.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    /// The program.
    pub(crate) program: &'a ProgramMut<'a>,
    /// Its section.
    pub(crate) section: &'a str,
    /// What kind of hook is meant: as the section begins, or as `--attach` has it.
    pub(crate) kind: &'a str,
    /// Whose it is.
    pub(crate) owner: Owner<'a>,
    /// What the user or the module names as the target.
    pub(crate) named: Option<&'a str>,
    /// What concerns all programs.
    pub(crate) options: &'a Options,
}

impl Context<'_> {
    /// The target that was named.
    ///
    /// # Errors
    /// When none was.
    pub(super) fn named(&self, target: Target) -> Result<&str, AttachError> {
        self.named.ok_or(AttachError::NoTarget(target))
    }

    /// What stands behind the kind in the section, if anything does.
    pub(super) fn rest_of_section(&self) -> Option<&str> {
        self.section.split_once('/').map(|(_, rest)| rest).filter(|rest| !rest.is_empty())
    }

    /// The package's annotations of the program.
    pub(super) fn annotations(&self) -> Option<&ProgMeta> {
        match self.owner {
            Owner::Package(meta) => meta,
            Owner::Module => None,
        }
    }

    /// A map of the object.
    ///
    /// # Errors
    /// When there is none of the name that a program can be attached to.
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

    /// What libbpf returned, for the target that was named.
    pub(super) fn attached(
        &self,
        result: libbpf_rs::Result<Link>,
    ) -> Result<Vec<Attachment>, AttachError> {
        result.map(|link| vec![Attachment::Link(link)]).map_err(|error| self.refused(error))
    }

    /// A refusal of the target that was named, or of what the section says.
    pub(super) fn refused(&self, error: impl Into<libbpf_rs::Error>) -> AttachError {
        let named = self.named.map(str::to_owned);
        AttachError::Refused { named, error: error.into(), errno: None }
    }

    /// A target that makes no sense.
    pub(super) fn bad_target(&self, text: impl Into<String>) -> AttachError {
        AttachError::BadTarget {
            named: self.named.or(self.rest_of_section()).unwrap_or_default().to_owned(),
            error: std::io::Error::other(text.into()),
        }
    }
}

/// What keeps a program attached. Dropped, it is detached.
pub(crate) enum Attachment {
    /// libbpf's.
    Link(#[expect(dead_code, reason = "it is detached when it is dropped")] Link),
    /// libbpf's, of a program that is read by the clock.
    Walk(Link),
    /// A program that is called by the clock.
    Call(OwnedFd),
    /// A link, or a socket, of the kernel's: it is closed.
    Descriptor(#[expect(dead_code, reason = "it is closed when it is dropped")] OwnedFd),
    /// What undoes it.
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

/// Links that are dropped one after the other. To detach a probe, the kernel waits until no CPU runs
/// its programs any more, 10 to 20 ms: of many, these times pass together.
const IN_A_ROW: usize = 4;

/// Threads that drop links at the same time.
const TOGETHER: usize = 64;

/// Detaches programs; then undoes what the kernel does not undo with them.
pub(super) fn detach(attachments: Vec<Attachment>) {
    let is_link = |attachment: &Attachment| !matches!(attachment, Attachment::Undone(_));
    let (mut links, undone): (Vec<_>, Vec<_>) = attachments.into_iter().partition(is_link);
    if links.len() > IN_A_ROW {
        let size = links.len().div_ceil(TOGETHER);
        std::thread::scope(|scope| {
            while !links.is_empty() {
                let part = links.split_off(links.len().saturating_sub(size));
                // Where there can be no thread, nothing is lost: it is done here.
                let _ = std::thread::Builder::new().spawn_scoped(scope, move || drop(part));
            }
        });
    }
    drop(links);
    // What was made last goes first.
    undone.into_iter().rev().for_each(drop);
}

/// Undoes something when it is dropped: for what the kernel does not undo when this process ends.
pub(crate) struct Undo(Option<Box<dyn FnOnce() + Send>>);

impl Undo {
    /// Calls this when it is dropped.
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
