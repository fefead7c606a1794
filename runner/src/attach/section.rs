// SPDX-License-Identifier: MIT
//! Programs whose section contains the whole target; libbpf attaches them.

use super::error::AttachError;
use super::method::{Attachment, Context, Method};
use super::target::Target;

/// Attaches as libbpf reads the section.
pub(super) const METHOD: Method = Method { target: Target::Section, attach };

fn attach(context: &Context<'_>) -> Result<Vec<Attachment>, AttachError> {
    context.attached(context.program.attach())
}
