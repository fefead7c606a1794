// SPDX-License-Identifier: MIT
//! Why nothing can be shown as it is asked for.

/// What is wrong with the wish, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// `--only` names what there is not.
    #[error("--only: the package has no map `{name}`")]
    UnknownMap {
        /// The name.
        name: String,
        /// The names of its maps and variables.
        known: Vec<String>,
    },
    /// `--only` names what programs keep for themselves.
    #[error("--only: `{0}` has nothing to show")]
    NotShown(String),
    /// Bytes alone do not say which source they are of.
    #[error("--format raw shows one map or buffer, and the package has several")]
    SeveralSources(Vec<String>),
    /// `--per-cpu`, and no map has a value for each CPU.
    #[error("--per-cpu: the package shows no map that has a value for each CPU")]
    NothingPerCpu,
    /// `--fields` names a member that no record has.
    #[error("--fields: records have no member `{name}`")]
    UnknownField {
        /// The name.
        name: String,
        /// The members that there are.
        known: Vec<String>,
    },
}

impl SpecError {
    /// What to do about it.
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
