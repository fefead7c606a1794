// SPDX-License-Identifier: MIT
//! The command line of `ecli doctor`.

use std::ffi::OsString;

use clap::Parser;

use super::reading::{Named, ReadOptions};
use crate::failure::Failure;

/// Report what this machine can do for tracers
///
/// It loads and attaches programs that only return, and detaches them at once. Nothing is attached to
/// an interface or a cgroup. Without root, it reports what it cannot try, and why.
///
/// The exit code is 0 whatever is missing; other codes mean that a package cannot be read, or that
/// the report cannot be written.
#[derive(Debug, Clone, Parser)]
#[command(max_term_width = 80)]
pub struct DoctorOptions {
    /// Print the report as one JSON object
    #[arg(short, long)]
    json: bool,

    #[command(flatten)]
    read: ReadOptions,

    /// Packages; the report says which of their programs can run here
    #[arg(value_name = "PACKAGE")]
    packages: Vec<OsString>,
}

/// What to report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doctor {
    /// Whether to print JSON.
    pub json: bool,
    /// The packages to check.
    pub packages: Vec<Named>,
}

impl DoctorOptions {
    /// Resolves the options. It touches no file.
    pub(crate) fn plan(&self) -> Result<Doctor, Failure> {
        let named = |word: &OsString| self.read.named(word, None);
        let packages = self.packages.iter().map(named).collect::<Result<_, _>>()?;
        Ok(Doctor { json: self.json, packages })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_fits_80_columns_and_packages_are_optional() {
        let parse = |words: &[&str]| DoctorOptions::try_parse_from([&["doctor"], words].concat());
        let help = parse(&["--help"]).unwrap_err().to_string();
        assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
        assert_eq!(parse(&[]).unwrap().plan().unwrap(), Doctor { json: false, packages: vec![] });
        let plan = parse(&["-j", "a", "oci://b/c:1"]).unwrap().plan().unwrap();
        assert!(plan.json && plan.packages.len() == 2);
    }
}
