// SPDX-License-Identifier: MIT
//! The command line of `ecli inspect`.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::Parser;

use super::values::packages_in;
use super::{FetchPlan, PullWhen, line};
use crate::failure::Failure;

/// Report what a package contains, shows, and can do, without loading it
#[derive(Debug, Clone, Parser)]
#[command(max_term_width = 80)]
pub(super) struct InspectOptions {
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
    fetch: FetchOptions,

    /// A file, a URL or an image (oci://HOST/NAME:TAG); `-` is standard input
    #[arg(value_name = "PACKAGE")]
    package: OsString,
}

/// How packages are fetched.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct FetchOptions {
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

    /// The file with the rules for packages; for tests
    #[arg(long, value_name = "FILE", hide = true)]
    policy: Option<PathBuf>,
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

/// A package, and its name on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Where it comes from.
    pub package: FetchPlan,
    /// The name.
    pub name: String,
}

impl Named {
    /// Resolves a word of the command line. It touches no file.
    pub(super) fn of(word: &OsStr, options: &FetchOptions) -> Result<Named, Failure> {
        let package = FetchPlan {
            origin: line::origin(word)?,
            pull: if options.offline { PullWhen::Never } else { PullWhen::Always },
            insecure: options.insecure,
            signature: None,
            cache: packages_in(options.package_cache.as_deref()),
            policy: options.policy.clone(),
            yes: false,
            quiet: false,
        };
        Ok(Named { package, name: word.to_string_lossy().into_owned() })
    }
}

impl InspectOptions {
    /// Resolves the options. It touches no file.
    pub(super) fn plan(&self) -> Result<Inspect, Failure> {
        Ok(Inspect {
            package: Named::of(&self.package, &self.fetch)?,
            other: self.diff.as_deref().map(|other| Named::of(other, &self.fetch)).transpose()?,
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
