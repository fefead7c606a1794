// SPDX-License-Identifier: MIT
//! What of a package the user wants to see (`--only`), and whether that can be shown.

use anyhow::anyhow;
use bpfpack_schemas::meta::DUMMY_PREFIX;
use libbpf_rs::MapCore as _;

use super::Views;
use super::planner::Planner;
use crate::args::FormatName;
use crate::failure::{Failure, exit_code};

impl Planner<'_> {
    /// Whether a map is to be shown.
    pub fn is_wanted(&self, map: &str) -> bool {
        self.plan.only.is_empty() || self.plan.only.iter().any(|only| only == map)
    }

    /// Whether `--only` names what there is.
    pub fn check_only(&self) -> Result<(), Failure> {
        let mut names: Vec<String> =
            self.object.maps().map(|map| map.name().to_string_lossy().into_owned()).collect();
        names.retain(|name| !name.contains('.'));
        for section in self.elf.data_sections() {
            let variables = self.elf.variables(self.btf, &section.name);
            let names_of = variables.iter().map(|variable| variable.name.to_owned());
            names.extend(names_of.filter(|name| !name.starts_with(DUMMY_PREFIX)));
        }
        let Some(unknown) = self.plan.only.iter().find(|only| !names.contains(only)) else {
            return Ok(());
        };
        let error = anyhow!("--only: the package has no map `{unknown}`");
        Err(Failure::new(exit_code::USAGE, error)
            .hint(format!("its maps and variables are {}", names.join(", "))))
    }

    /// Bytes alone do not say which source they are of.
    pub fn check_raw(&self, views: &Views) -> Result<(), Failure> {
        let names: Vec<&str> = views
            .streams
            .iter()
            .map(|stream| stream.name.as_str())
            .chain(views.samples.iter().map(|sample| sample.view.name.as_str()))
            .collect();
        if self.plan.format != FormatName::Raw || names.len() < 2 {
            return Ok(());
        }
        let error = anyhow!("--format raw shows one map or buffer, and the package has several");
        Err(Failure::new(exit_code::USAGE, error)
            .hint(format!("--only chooses one of {}", names.join(", "))))
    }
}
