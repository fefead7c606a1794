// SPDX-License-Identifier: MIT
//! Attaches programs, of packages and of Wasm modules alike. [`kinds`] is the table of what can be
//! attached; each way of attaching is a file with a constant `METHOD`; [`package`] brings a whole
//! package to run. It depends on [`load`] and [`kernel`], and they not on it.

mod alternatives;
mod capabilities;
mod cgroup;
mod error;
mod explain;
mod hints;
mod interface;
mod kinds;
mod method;
mod netns;
mod package;
mod perf_event;
mod section;
mod selection;
mod tcx;
mod xdp;

use crate::failure::Failure;
use crate::{kernel, load};

pub(crate) use capabilities::check_capabilities;
pub(crate) use error::AttachError;
#[cfg(feature = "wasm")]
pub(crate) use explain::{load_hint, unasked_lsm};
pub(crate) use method::{Attachment, Context, Owner};
pub(crate) use package::{Attached, Input, load_and_attach};

/// Attaches a program as those of its kind are.
///
/// # Errors
/// When what it attaches to is not named or not there, or the kernel refuses it. [`failure`] makes a
/// message of it.
pub(crate) fn attach(mut context: Context<'_>) -> Result<Vec<Attachment>, AttachError> {
    let method = kinds::Kind::of(context.section).method(context.owner);
    context.named = context.named.filter(|_| method.target.name().is_some());
    (method.attach)(&context)
}

/// What the user sees for a program that is not attached.
pub(crate) fn failure(name: &str, section: &str, error: &AttachError) -> Failure {
    explain::explain(name, section, error, &kernel::Running, load::take_log())
}
