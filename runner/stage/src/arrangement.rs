// SPDX-License-Identifier: MIT
//! The requested arrangement of readings, and the stages for it.

use std::sync::Arc;

use bpfpack_frame::Stage;
use bpfpack_spec::View;

use crate::column::Column;
use crate::error::ArrangementError;
use crate::group::Grouped;
use crate::options::{Grouping, Sort};
use crate::order::Ordered;
use crate::rate::Rates;

/// How readings are arranged.
#[derive(Debug, Clone, Default)]
pub struct Arrangement {
    /// How keys are merged.
    pub grouping: Option<Grouping>,
    /// Whether counters are shown per second.
    pub rate: bool,
    /// The order of entries; `None` is the view's default.
    pub sort: Option<Sort>,
    /// The maximum number of entries in a reading.
    pub top: Option<usize>,
}

impl Arrangement {
    /// The stages for these views, in order.
    ///
    /// # Errors
    /// Returns an error if no view has the requested columns.
    pub fn stages(&self, views: &[Arc<View>]) -> Result<Vec<Box<dyn Stage>>, ArrangementError> {
        let requests = [
            ("--top", self.top.is_some()),
            ("--sort", self.sort.is_some()),
            ("--by", matches!(self.grouping, Some(Grouping::By(_)))),
            ("--merge", self.grouping == Some(Grouping::Merge)),
            ("--rate", self.rate),
        ];
        let request = requests.into_iter().find(|(_, is_there)| *is_there);
        if let (true, Some((option, _))) = (views.is_empty(), request) {
            return Err(ArrangementError::NoReadings(option));
        }
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
                let names = views.iter().flat_map(|view| Column::all(view));
                let names = names.map(|column| column.name().to_owned());
                return Err(ArrangementError::unknown("--sort", "column", &sort.column, names));
            }
        }
        stages.push(Box::new(Ordered::new(self.sort.clone(), self.top)));
        Ok(stages)
    }
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
        assert_eq!(error.hint(), "use one of value, key, total, p50, p90, p99, max");
        assert_eq!(by("x").stages(&[]).unwrap_err(), ArrangementError::NoReadings("--sort"));
        assert_eq!(Arrangement::default().stages(&[]).unwrap().len(), 1);
    }
}
