// SPDX-License-Identifier: MIT
//! What is to be used, and its digest.

use std::path::{Path, PathBuf};

use bpfpack_schemas::printable::hex;
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

/// The largest signature file, in bytes. Those of minisign have some hundred.
pub const MAX_SIGNATURE: u64 = 64 << 10;

/// The signature file of a file, as minisign and `ecc sign` name it.
#[must_use]
pub fn signature_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".minisig");
    name.into()
}

/// The SHA-256 digest of bytes, in lower-case hexadecimal.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}
