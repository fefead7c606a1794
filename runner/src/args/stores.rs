// SPDX-License-Identifier: MIT
//! The command lines of `ecli trust` and `ecli cache`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

use super::values::{duration, packages_in};

/// `ecli trust`
#[derive(Debug, Clone, Parser)]
pub struct TrustCommand {
    /// What to do.
    #[command(subcommand)]
    pub action: TrustDo,

    /// The file with the rules for packages; for tests
    #[arg(long, value_name = "FILE", hide = true, global = true)]
    pub policy: Option<PathBuf>,
}

/// What to do with keys.
#[derive(Debug, Clone, Subcommand)]
pub enum TrustDo {
    /// Trust a key: from now on, packages without a signature or another rule do not run
    Add {
        /// The name of the key [default: the name of the file]
        #[arg(short, long)]
        name: Option<String>,
        /// A public key: a file of `ecc new-key` or minisign, or the key itself
        #[arg(value_name = "KEY")]
        key: String,
    },
    /// List the trusted keys, and the rules of the policy
    List,
    /// Trust a key no longer
    Remove {
        /// The name of the key
        name: String,
    },
}

/// `ecli cache`
#[derive(Debug, Clone, Parser)]
pub struct CacheCommand {
    /// What to do.
    #[command(subcommand)]
    pub action: CacheDo,

    /// The directory of downloaded packages [default: /var/cache/bpfpack/packages, or
    /// ~/.cache/bpfpack/packages without root]
    #[arg(long, value_name = "DIR", global = true)]
    package_cache: Option<PathBuf>,
}

impl CacheCommand {
    /// The directory of downloaded packages, if there is one.
    pub(crate) fn directory(&self) -> Option<PathBuf> {
        packages_in(self.package_cache.as_deref())
    }
}

/// What to do with downloaded packages.
#[derive(Debug, Clone, Subcommand)]
pub enum CacheDo {
    /// List downloaded packages
    List,
    /// Remove downloaded packages
    Prune {
        /// Only those that were downloaded longer ago, such as 24h
        #[arg(long, value_name = "TIME", value_parser = duration)]
        older: Option<Duration>,
    },
}
