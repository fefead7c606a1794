// SPDX-License-Identifier: MIT
//! What is to be used, and its digest.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// What is to be used, as it came: before anything in it is parsed.
#[derive(Debug, Clone, Copy)]
pub struct Artifact<'a> {
    /// Where it comes from: an absolute path without links, a URL, or `-`.
    pub source: &'a str,
    /// Its bytes.
    pub bytes: &'a [u8],
    /// The text of its signature file, if there is one.
    pub signature: Option<&'a str>,
}

/// The SHA-256 digest of bytes, in lower-case hexadecimal.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}
