// SPDX-License-Identifier: MIT
//! Attaches one program of a package or a module.

use super::error::AttachError;
use super::explain::explain;
use super::kinds::ProgramKind;
use super::method::{Attachment, Context};
use super::target::Target;
use super::way;
use crate::failure::Failure;
use crate::{kernel, load};

/// Attaches a program in the way of its kind.
///
/// # Errors
/// Returns an error if the target is not named or does not exist, or if the kernel refuses it.
/// [`failure`] turns it into a message.
pub(crate) fn attach(mut context: Context<'_>) -> Result<Vec<Attachment>, AttachError> {
    let method = match way::named(context.kind) {
        Some(way) if context.named.is_some() => way.method,
        _ => ProgramKind::of(context.section).method,
    };
    if let Target::Elsewhere(_) = method.target {
        return Err(AttachError::NoTarget(method.target));
    }
    context.named = context.named.filter(|_| method.target.name().is_some());
    (method.attach)(&context)
}

/// The failure for a program that is not attached.
pub(crate) fn failure(name: &str, section: &str, error: &AttachError) -> Failure {
    explain(name, section, error, &kernel::Running, load::take_log())
}
