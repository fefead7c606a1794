// SPDX-License-Identifier: MIT
//! The command line of `ecli inspect`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Parser;

use super::reading::{Named, ReadOptions};
use crate::failure::Failure;

/// Report what a package contains, shows, and can do, without loading it
#[derive(Debug, Clone, Parser)]
#[command(max_term_width = 80)]
pub struct InspectOptions {
    /// Print the report as one JSON object
    #[arg(short, long)]
    json: bool,

    /// Print the instructions of each program, with the lines of source that they come from
    #[arg(long, conflicts_with_all = ["json", "diff"])]
    disassemble: bool,

    /// Print how the package differs from another one. The exit code is 0 if they do not differ, and
    /// 1 if they do
    #[arg(long, value_name = "OTHER")]
    diff: Option<OsString>,

    #[command(flatten)]
    read: ReadOptions,

    /// The file with the rules for packages; for tests
    #[arg(long, value_name = "FILE", hide = true)]
    policy: Option<PathBuf>,

    /// A file, a URL or an image (oci://HOST/NAME:TAG); `-` is standard input
    #[arg(value_name = "PACKAGE")]
    package: OsString,
}

/// What to inspect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspect {
    /// The package.
    pub package: Named,
    /// The package to compare it with.
    pub other: Option<Named>,
    /// Whether to print JSON.
    pub json: bool,
    /// Whether to print the instructions.
    pub disassemble: bool,
}

impl InspectOptions {
    /// Resolves the options. It touches no file.
    pub(crate) fn plan(&self) -> Result<Inspect, Failure> {
        let named = |word: &OsString| self.read.named(word, self.policy.clone());
        Ok(Inspect {
            package: named(&self.package)?,
            other: self.diff.as_ref().map(named).transpose()?,
            json: self.json,
            disassemble: self.disassemble,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Origin;
    use super::*;

    #[test]
    fn help_fits_80_columns_and_options_exclude_each_other() {
        let parse = |words: &[&str]| InspectOptions::try_parse_from([&["inspect"], words].concat());
        let help = parse(&["--help"]).unwrap_err().to_string();
        assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
        assert!(parse(&["-j", "--disassemble", "p"]).is_err());
        assert!(parse(&[]).is_err());
        let plan = parse(&["-j", "--diff", "-", "p"]).unwrap().plan().unwrap();
        assert_eq!(plan.package.package.origin, Origin::File("p".into()));
        assert_eq!(plan.other.map(|other| other.package.origin), Some(Origin::Stdin));
        assert!(plan.json && !plan.disassemble);
    }
}
