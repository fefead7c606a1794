// SPDX-License-Identifier: MIT
//! Finds clang, and defers signals while it runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::anyhow;

use crate::failure::{Failure, exit_code};
use crate::message::shown;

/// The path of the compiler, searched as the shell does.
pub(crate) fn find_clang(name: &Path) -> Result<PathBuf, Failure> {
    let missing = || {
        Failure::new(exit_code::NO_COMPILER, anyhow!("cannot find the compiler `{}`", shown(name)))
            .hint(
                "install clang (Debian, Ubuntu: apt-get install clang), or name a compiler with -c",
            )
    };
    if name.components().count() > 1 {
        return fs::canonicalize(name).map_err(|_| missing());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|path| {
            path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
        })
        .ok_or_else(missing)
}

/// Defers SIGINT and SIGTERM until clang has ended (a terminal sends SIGINT to clang itself), so
/// that no files are left behind.
#[derive(Debug, Clone)]
pub(crate) struct Signals(Arc<AtomicUsize>);

impl Signals {
    /// Starts to defer the signals.
    pub(crate) fn catch() -> Result<Signals, Failure> {
        let caught = Arc::new(AtomicUsize::new(0));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            signal_hook::flag::register_usize(signal, Arc::clone(&caught), signal as usize)
                .map_err(|error| Failure::new(exit_code::OTHER, error))?;
        }
        Ok(Signals(caught))
    }

    /// Fails if a signal has arrived.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        match self.0.load(Ordering::Relaxed) {
            0 => Ok(()),
            signal => Err(Failure::reported(128 + signal as u8)),
        }
    }
}
