// SPDX-License-Identifier: MIT
//! Limits of what is read.

use bpfpack_schemas::package::MAX_PACKAGE_SIZE;

/// Bytes that any layer may unpack to; as for the text of a package.
pub const MAX_SIZE: u64 = MAX_PACKAGE_SIZE;

/// Layers around a package: an archive that was compressed has two.
pub(crate) const MAX_LAYERS: usize = 4;

/// Members of an archive.
pub(crate) const MAX_MEMBERS: usize = 4096;
