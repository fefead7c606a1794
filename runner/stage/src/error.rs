// SPDX-License-Identifier: MIT
//! Why readings cannot be arranged as it is asked for.

/// What is wrong with the wish, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArrangementError {
    /// `--by` or `--sort` names what no reading has.
    #[error("{option}: no map or variable that is read has a {what} `{name}`")]
    Unknown {
        /// The option.
        option: &'static str,
        /// What it names.
        what: &'static str,
        /// The name.
        name: String,
        /// The names that there are.
        known: Vec<String>,
    },
    /// `--rate`, and nothing counts.
    #[error("--rate: no map or variable that is read has a counter beside its histograms")]
    NoCounters,
}

impl ArrangementError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            ArrangementError::Unknown { known, .. } if known.is_empty() => {
                "the package has no maps or variables that are read".into()
            }
            ArrangementError::Unknown { known, .. } => format!("there are {}", known.join(", ")),
            ArrangementError::NoCounters => {
                "--clear shows what came in each interval, histograms included".into()
            }
        }
    }
}
