// SPDX-License-Identifier: MIT
//! Attaches one program, whosever it is.

use super::error::AttachError;
use super::explain::explain;
use super::kinds::ProgramKind;
use super::method::{Attachment, Context};
use super::target::Target;
use super::way;
use crate::failure::Failure;
use crate::{kernel, load};

/// Attaches a program as those of its kind are.
///
/// # Errors
/// When what it attaches to is not named or not there, or the kernel refuses it. [`failure`] makes a
/// message of it.
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

/// What the user sees for a program that is not attached.
pub(crate) fn failure(name: &str, section: &str, error: &AttachError) -> Failure {
    explain(name, section, error, &kernel::Running, load::take_log())
}
