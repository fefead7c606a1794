// SPDX-License-Identifier: MIT
//! `--only`: selects what is shown of a package, and checks that it can be shown.

use bpfpack_schemas::meta::DUMMY_PREFIX;

use super::Builder;
use crate::error::SpecError;
use crate::{Source, Spec};

impl Builder<'_> {
    /// Whether a map or variable is shown.
    pub(super) fn is_wanted(&self, name: &str) -> bool {
        let only = &self.inputs.options.only;
        only.is_empty() || only.iter().any(|only| only == name)
    }

    /// Checks that `--only` names existing maps and variables.
    pub(super) fn check_only(&self) -> Result<(), SpecError> {
        let object = self.inputs.object;
        let mut names: Vec<String> = self.maps.iter().map(|map| map.name.clone()).collect();
        for section in object.data_sections() {
            let variables = object.variables(self.inputs.btf, &section.name);
            let names_of = variables.iter().map(|variable| variable.name.to_owned());
            names.extend(names_of.filter(|name| !name.starts_with(DUMMY_PREFIX)));
        }
        match self.inputs.options.only.iter().find(|only| !names.contains(only)) {
            Some(unknown) => Err(SpecError::UnknownMap { name: unknown.clone(), known: names }),
            None => Ok(()),
        }
    }

    /// Checks that there is only one source if an output cannot distinguish sources.
    pub(super) fn check_single(&self, spec: &Spec) -> Result<(), SpecError> {
        if !self.inputs.options.single_source || spec.sources.len() < 2 {
            return Ok(());
        }
        let names = spec.sources.iter().map(|source| Source::name(source).to_owned());
        Err(SpecError::SeveralSources(names.collect()))
    }
}
