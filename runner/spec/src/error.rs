// SPDX-License-Identifier: MIT
//! Why something cannot be shown as requested.

/// A request that cannot be fulfilled, with alternatives.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// `--only` names something that does not exist.
    #[error("--only: the package has no map `{name}`")]
    UnknownMap {
        /// The name.
        name: String,
        /// The names of the package's maps and variables.
        known: Vec<String>,
    },
    /// `--only` names internal data of the programs.
    #[error("--only: `{0}` has nothing to show")]
    NotShown(String),
    /// An output of plain bytes cannot distinguish these sources.
    #[error("--format raw shows one map or buffer, and the package has several")]
    SeveralSources(Vec<String>),
    /// `--per-cpu` was given, but the package has no per-CPU map.
    #[error("--per-cpu: the package shows no map that has a value for each CPU")]
    NothingPerCpu,
    /// `--fields` names a member that no record has.
    #[error("--fields: records have no member `{name}`")]
    UnknownField {
        /// The name.
        name: String,
        /// The names of existing members.
        known: Vec<String>,
    },
}

impl SpecError {
    /// What the user can do.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            SpecError::UnknownMap { known, .. } => {
                format!("its maps and variables are {}", known.join(", "))
            }
            SpecError::NotShown(_) => {
                "it is internal data of the programs; the annotation `@sample` shows it".into()
            }
            SpecError::SeveralSources(names) => {
                format!("choose one with --only: {}", names.join(", "))
            }
            SpecError::NothingPerCpu => {
                "such maps have the type BPF_MAP_TYPE_PERCPU_HASH or BPF_MAP_TYPE_PERCPU_ARRAY"
                    .into()
            }
            SpecError::UnknownField { known, .. } if known.is_empty() => {
                "the package has no records".into()
            }
            SpecError::UnknownField { known, .. } => {
                format!("their members are {}", known.join(", "))
            }
        }
    }
}
