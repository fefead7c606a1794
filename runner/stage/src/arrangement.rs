// SPDX-License-Identifier: MIT
//! What the user asks for of the arrangement of readings, and the stages that do it.

use std::sync::Arc;

use bpfpack_frame::Stage;
use bpfpack_spec::View;

use crate::column::Column;
use crate::error::ArrangementError;
use crate::group::Grouped;
use crate::order::Ordered;
use crate::rate::Rates;

/// How readings are arranged.
#[derive(Debug, Clone, Default)]
pub struct Arrangement {
    /// Keys that are put together.
    pub grouping: Option<Grouping>,
    /// Counters are shown per second.
    pub rate: bool,
    /// What entries are sorted by, if not by what is usual.
    pub sort: Option<Sort>,
    /// How many entries of a reading are shown.
    pub top: Option<usize>,
}

/// Keys that are put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grouping {
    /// Those with the same member of this name.
    By(String),
    /// All.
    Merge,
}

/// What entries are sorted by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sort {
    /// The name of a column, in upper or lower case.
    pub column: String,
    /// The smallest comes first.
    pub is_ascending: bool,
}

impl Arrangement {
    /// The stages for these views, in their order.
    ///
    /// # Errors
    /// When no view has what is asked for.
    pub fn stages(&self, views: &[Arc<View>]) -> Result<Vec<Box<dyn Stage>>, ArrangementError> {
        let mut stages: Vec<Box<dyn Stage>> = Vec::new();
        let mut views = views.to_vec();
        if let Some(grouping) = &self.grouping {
            let grouped = Grouped::new(&views, grouping)?;
            views = views.iter().map(|view| grouped.view(view)).collect();
            stages.push(Box::new(grouped));
        }
        if self.rate {
            let rates = Rates::new(&views)?;
            views = views.iter().map(|view| rates.view(view)).collect();
            stages.push(Box::new(rates));
        }
        if let Some(sort) = &self.sort {
            let has = |view: &Arc<View>| Column::find(view, &sort.column).is_some();
            if !views.iter().any(has) {
                let names = views.iter().flat_map(|view| Column::all(view)).map(|(name, _)| name);
                return Err(unknown("--sort", "column", &sort.column, names));
            }
        }
        stages.push(Box::new(Ordered::new(self.sort.clone(), self.top)));
        Ok(stages)
    }
}

/// What is named does not exist, and what does.
pub(crate) fn unknown(
    option: &'static str,
    what: &'static str,
    name: &str,
    known: impl Iterator<Item = String>,
) -> ArrangementError {
    let mut names: Vec<String> = Vec::new();
    for name in known {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    ArrangementError::Unknown { option, what, name: name.to_owned(), known: names }
}

#[cfg(test)]
mod tests {
    use bpfpack_spec::fixtures::counter_view;

    use super::*;
    use crate::fixtures::histogram_view;

    #[test]
    fn a_column_has_to_be_in_one_of_the_views() {
        let views = [Arc::new(counter_view()), Arc::new(histogram_view())];
        let by = |column: &str| Arrangement {
            sort: Some(Sort { column: column.into(), is_ascending: false }),
            ..Arrangement::default()
        };
        assert_eq!(by("P99").stages(&views).unwrap().len(), 1);
        let error = by("p98").stages(&views).unwrap_err();
        assert!(error.to_string().contains("--sort: no map or variable"), "{error}");
        assert_eq!(error.hint(), "there are value, key, total, p50, p90, p99, max");
        assert!(by("x").stages(&[]).unwrap_err().hint().contains("no maps or variables"));
        assert_eq!(Arrangement::default().stages(&[]).unwrap().len(), 1);
    }
}
