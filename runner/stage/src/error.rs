// SPDX-License-Identifier: MIT
//! Why readings cannot be arranged as it is asked for.

/// What is wrong with the wish, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArrangementError {
    /// `--by` or `--sort` names what no reading has.
    #[error("{option}: no map or variable of the readings has a {what} `{name}`")]
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
    /// There are no readings to be arranged.
    #[error("{0}: the package shows only records, no maps or variables")]
    NoReadings(&'static str),
    /// `--rate`, and nothing counts.
    #[error("--rate: no map or variable of the readings has a counter, apart from histograms")]
    NoCounters,
}

impl ArrangementError {
    /// What is named does not exist; names may come several times.
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

    /// What to do about it.
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
