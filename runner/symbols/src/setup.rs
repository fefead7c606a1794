// SPDX-License-Identifier: MIT
//! What the worker is started with.

use std::path::PathBuf;

use bpfpack_failure::talk::Talk;

/// What the worker is started with.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The program that becomes the worker: ecli.
    pub program: PathBuf,
    /// Source files and lines are wanted.
    pub lines: bool,
    /// Bytes of memory that the worker may have.
    pub memory: u64,
    /// Where warnings on what was given up go.
    pub talk: Talk,
}

#[cfg(any(test, fuzzing, feature = "fixtures"))]
impl Setup {
    /// A worker that cannot be started.
    pub fn none() -> Setup {
        Setup { program: "/".into(), lines: false, memory: 1 << 30, talk: Talk::silent() }
    }
}
