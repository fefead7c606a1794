// SPDX-License-Identifier: MIT
//! The command line of `ecli dashboard`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Parser;

use super::metrics::MetricChoices;
use super::reading::{Named, ReadOptions};
use crate::failure::Failure;

/// Write a Grafana dashboard and Prometheus rules for what `ecli run --listen` exports
#[derive(Debug, Clone, Parser)]
#[command(max_term_width = 80)]
pub struct DashboardOptions {
    /// Write NAME.dashboard.json and NAME.rules.yml to this directory; NAME is that of the package.
    /// Without it, the dashboard is printed
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,

    /// Print the recording and alerting rules, not the dashboard
    #[arg(long, conflicts_with = "output")]
    rules: bool,

    /// Replace files that `ecli dashboard` did not write
    #[arg(long, requires = "output")]
    force: bool,

    /// The title of the dashboard [default: the name of the package]
    #[arg(long, value_name = "TEXT", conflicts_with = "rules")]
    title: Option<String>,

    /// The data source that the dashboard selects at first, by its name in Grafana [default:
    /// Grafana's default]
    #[arg(long, value_name = "NAME", conflicts_with = "rules")]
    datasource: Option<String>,

    #[command(flatten)]
    read: ReadOptions,

    #[command(flatten)]
    choices: MetricChoices,

    /// A file, a URL or an image (oci://HOST/NAME:TAG); `-` is standard input
    #[arg(value_name = "PACKAGE")]
    package: OsString,
}

/// A dashboard and rules to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DashboardPlan {
    /// The package.
    pub package: Named,
    /// Where they go.
    pub output: DashboardOutput,
    /// The title of the dashboard, if it is not the default one.
    pub title: Option<String>,
    /// The data source that is selected at first, if it is not Grafana's default.
    pub datasource: Option<String>,
    /// What is chosen for metrics.
    pub choices: MetricChoices,
}

/// Where a dashboard and rules go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DashboardOutput {
    /// The dashboard to standard output.
    Dashboard,
    /// The rules to standard output.
    Rules,
    /// Both to files.
    Files {
        /// The directory.
        directory: PathBuf,
        /// Whether files are replaced that something else wrote.
        force: bool,
    },
}

impl DashboardOptions {
    /// Resolves the options. It touches no file.
    pub(crate) fn plan(self) -> Result<DashboardPlan, Failure> {
        Ok(DashboardPlan {
            package: self.read.named(&self.package, None)?,
            output: match (self.output, self.rules) {
                (Some(directory), _) => DashboardOutput::Files { directory, force: self.force },
                (None, true) => DashboardOutput::Rules,
                (None, false) => DashboardOutput::Dashboard,
            },
            title: self.title,
            datasource: self.datasource,
            choices: self.choices,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Origin;
    use super::*;

    #[test]
    fn help_fits_80_columns_and_options_exclude_each_other() {
        let parse =
            |words: &[&str]| DashboardOptions::try_parse_from([&["dashboard"], words].concat());
        let help = parse(&["--help"]).unwrap_err().to_string();
        assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
        for wrong in [
            &[][..],
            &["--rules", "-o", ".", "p"],
            &["--force", "p"],
            &["--rules", "--title", "x", "p"],
            &["--metric", "x", "p"],
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
        let plan = |words: &[&str]| parse(words).unwrap().plan().unwrap();
        let p = plan(&["--labels", "comm", "--metric", "hists=off", "-"]);
        assert_eq!(
            (p.package.package.origin, p.output),
            (Origin::Stdin, DashboardOutput::Dashboard)
        );
        assert_eq!((p.choices.labels.len(), p.choices.metric.len()), (1, 1));
        assert_eq!(plan(&["--rules", "p"]).output, DashboardOutput::Rules);
        let files = DashboardOutput::Files { directory: "d".into(), force: true };
        assert_eq!(plan(&["-o", "d", "--force", "p"]).output, files);
    }
}
