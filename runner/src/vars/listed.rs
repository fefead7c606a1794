// SPDX-License-Identifier: MIT
//! The arguments of a package as a list.

use bpfpack_schemas::report::ArgumentReport;

use super::{Names, Variables};

impl Variables<'_> {
    /// The arguments, in the order of the help.
    pub(crate) fn listed(&self) -> Vec<ArgumentReport> {
        let mut names = Names::default();
        let mut found = Vec::new();
        for variable in &self.settable {
            for arg in variable.args(&mut names) {
                let default = variable.shown_default();
                found.push(ArgumentReport {
                    long: arg.get_long().unwrap_or_default().to_owned(),
                    short: arg.get_short(),
                    variable: variable.meta.name.clone(),
                    ty: variable.meta.ty.clone(),
                    default: Some(default).filter(|default| !default.is_empty()),
                    help: arg.get_help().map(ToString::to_string).unwrap_or_default(),
                });
            }
        }
        found
    }
}
