// SPDX-License-Identifier: MIT
//! Decides whether a package or a module may be used: by minisign signatures and digests, and by
//! rules that say which of them a source needs. Nothing here uses the network.
//!
//! Keys and rules are the user's. Once there is one, everything that no rule allows is refused.
#![forbid(unsafe_code)]

mod artifact;
mod key;
mod pattern;
mod rule;
mod version;

pub use artifact::{Artifact, MAX_SIGNATURE, digest, signature_path};
pub use key::{Key, KeyError};
pub use pattern::matches;
pub use rule::{Accepted, Policy, Refusal, Rule};
pub use version::Version;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
