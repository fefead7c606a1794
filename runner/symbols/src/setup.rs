// SPDX-License-Identifier: MIT
//! The settings of the worker.

use std::path::PathBuf;

use bpfpack_failure::talk::Talk;

/// The settings of the worker.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The program that becomes the worker: ecli.
    pub program: PathBuf,
    /// Whether to find source files and lines.
    pub lines: bool,
    /// The memory limit of the worker in bytes.
    pub memory: u64,
    /// Prints warnings about what was given up.
    pub talk: Talk,
}

#[cfg(any(test, fuzzing, feature = "fixtures"))]
impl Setup {
    /// A worker that cannot be started.
    pub fn none() -> Setup {
        Setup { program: "/".into(), lines: false, memory: 1 << 30, talk: Talk::silent() }
    }
}
