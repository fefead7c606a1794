// SPDX-License-Identifier: MIT
//! The command line of `ecli serve`.

use std::path::PathBuf;

use clap::Parser;

/// `ecli serve`
#[derive(Debug, Clone, Parser)]
pub struct ServeCommand {
    /// Only check the configuration, its packages and their arguments
    #[arg(long)]
    pub check: bool,

    /// Print only warnings and errors on standard error
    #[arg(short, long)]
    pub quiet: bool,

    /// The configuration, in TOML: runner/README.md describes it
    #[arg(value_name = "CONFIG.toml")]
    pub config: PathBuf,
}
