// SPDX-License-Identifier: MIT
//! Why readings cannot be arranged as requested.

/// A request that cannot be fulfilled, with alternatives.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArrangementError {
    /// `--by` or `--sort` names something that no reading has.
    #[error("{option}: no map or variable of the readings has a {what} `{name}`")]
    Unknown {
        /// The option.
        option: &'static str,
        /// The kind of name.
        what: &'static str,
        /// The name.
        name: String,
        /// The existing names.
        known: Vec<String>,
    },
    /// There are no readings to arrange.
    #[error("{0}: the package shows only records, no maps or variables")]
    NoReadings(&'static str),
    /// `--rate` was given, but there are no counters.
    #[error("--rate: no map or variable of the readings has a counter, apart from histograms")]
    NoCounters,
}

impl ArrangementError {
    /// The error for a name that does not exist; `names` may have duplicates.
    pub(crate) fn unknown(
        option: &'static str,
        what: &'static str,
        name: &str,
        names: impl Iterator<Item = String>,
    ) -> ArrangementError {
        let mut known: Vec<String> = Vec::new();
        for name in names {
            if !known.contains(&name) {
                known.push(name);
            }
        }
        ArrangementError::Unknown { option, what, name: name.to_owned(), known }
    }

    /// What the user can do.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            ArrangementError::Unknown { known, .. } => {
                format!("use one of {}", known.join(", "))
            }
            ArrangementError::NoReadings(_) => {
                "--filter selects records, and --fields selects members".into()
            }
            ArrangementError::NoCounters => {
                "--clear shows the difference in each interval, also of histograms".into()
            }
        }
    }
}
