// SPDX-License-Identifier: MIT
//! The options of commands that only read a package.

use std::ffi::OsStr;
use std::path::PathBuf;

use clap::Args;

use super::values::packages_in;
use super::{FetchPlan, PullWhen, line};
use crate::failure::Failure;

/// How a package is read.
#[derive(Debug, Clone, Args)]
pub(super) struct ReadOptions {
    /// Use only packages that were downloaded before
    #[arg(long)]
    offline: bool,

    /// Connect to registries without TLS
    #[arg(long)]
    insecure: bool,

    /// Keep downloaded packages in this directory; `none` keeps nothing [default:
    /// /var/cache/bpfpack/packages, or ~/.cache/bpfpack/packages without root]
    #[arg(long, value_name = "DIR")]
    package_cache: Option<PathBuf>,
}

/// A package, and its name on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Where it comes from.
    pub package: FetchPlan,
    /// The name.
    pub name: String,
}

impl ReadOptions {
    /// The package of this name. `policy` is a file with rules, for tests.
    ///
    /// # Errors
    /// Returns an error if the name is not a package's.
    pub(super) fn named(&self, word: &OsStr, policy: Option<PathBuf>) -> Result<Named, Failure> {
        let package = FetchPlan {
            origin: line::origin(word)?,
            pull: if self.offline { PullWhen::Never } else { PullWhen::Always },
            insecure: self.insecure,
            signature: None,
            cache: packages_in(self.package_cache.as_deref()),
            policy,
            yes: false,
            quiet: false,
        };
        Ok(Named { package, name: word.to_string_lossy().into_owned() })
    }
}
