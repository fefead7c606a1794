// SPDX-License-Identifier: MIT
//! The command lines of `ecli serve`, and of those for runs in the background: `ps`, `read`, `stop`.

use std::path::PathBuf;
use std::time::Duration;

use bpfpack_render::{FormatKind, formats};
use clap::{Parser, Subcommand};

use super::values::{duration, format_parser};

/// A command for services and runs in the background.
#[derive(Debug, Subcommand)]
pub enum ServiceCommand {
    /// List the runs in the background, which `ecli run --detach NAME` starts
    Ps(PsCommand),
    /// Show the data of a run in the background
    Read(ReadCommand),
    /// End runs in the background
    Stop(StopCommand),
    /// Run many tracers in one process, and serve the metrics of all
    Serve(ServeCommand),
}

/// `ecli serve`
#[derive(Debug, Clone, Parser)]
pub struct ServeCommand {
    /// Only check the configuration, its packages and their arguments
    #[arg(long)]
    pub check: bool,

    /// Print only warnings and errors on standard error
    #[arg(short, long)]
    pub quiet: bool,

    /// The configuration file in TOML; runner/README.md describes it
    #[arg(value_name = "CONFIG.toml")]
    pub config: PathBuf,
}

/// `ecli ps`
#[derive(Debug, Clone, Parser)]
pub struct PsCommand {
    /// Print one JSON object per line
    #[arg(short, long)]
    pub json: bool,

    /// The directory of all runs; for tests
    #[arg(long, value_name = "DIR", hide = true)]
    pub run_directory: Option<PathBuf>,
}

/// `ecli read`
#[derive(Debug, Clone, Parser)]
pub struct ReadCommand {
    /// Print one JSON object per line; the same as --format json
    #[arg(short, long)]
    json: bool,

    /// Set the format: text, json, csv, tsv, yaml, heatmap or raw
    #[arg(short, long, value_name = "FORMAT", conflicts_with = "json")]
    #[arg(hide_possible_values = true, value_parser = format_parser())]
    format: Option<&'static FormatKind>,

    /// Show records for this time; without it, only a reading of each map
    #[arg(short, long, value_name = "TIME", value_parser = duration)]
    pub duration: Option<Duration>,

    /// Print bare numbers in text, not their meanings
    #[arg(long, conflicts_with = "decode")]
    raw: bool,

    /// Print the meanings of numbers in all formats
    #[arg(long)]
    decode: bool,

    /// The directory of all runs; for tests
    #[arg(long, value_name = "DIR", hide = true)]
    pub run_directory: Option<PathBuf>,

    /// The name of a run in the background
    pub name: String,
}

impl ReadCommand {
    /// The format.
    pub(crate) fn format(&self) -> &'static FormatKind {
        let json = || formats::named("json").unwrap_or(formats::TEXT);
        self.format.unwrap_or_else(|| if self.json { json() } else { formats::TEXT })
    }

    /// Whether meanings are shown; `None` leaves it to the format.
    pub(crate) fn meanings(&self) -> Option<bool> {
        (self.raw || self.decode).then_some(self.decode)
    }
}

/// `ecli stop`
#[derive(Debug, Clone, Parser)]
pub struct StopCommand {
    /// The names of runs in the background
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,

    /// The directory of all runs; for tests
    #[arg(long, value_name = "DIR", hide = true)]
    pub run_directory: Option<PathBuf>,
}
