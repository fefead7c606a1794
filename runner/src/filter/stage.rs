// SPDX-License-Identifier: MIT
//! The stage that keeps records and entries for which an expression is true.

use std::rc::Rc;
use std::sync::Arc;

use bpfpack_failure::Failure;
use bpfpack_filter::Filter;
use bpfpack_frame::{Entry, Frame, Next, Stage};
use bpfpack_spec::View;

use super::Compiled;
use super::kind::calculated;

/// The filter for each kind of frame; kinds without a filter are kept.
#[derive(Debug)]
pub(super) struct FilterStage(Compiled);

impl FilterStage {
    /// Makes a stage; `None` if there are no filters.
    pub(super) fn of(filters: Compiled) -> Option<Box<dyn Stage>> {
        (!filters.is_empty()).then(|| Box::new(FilterStage(filters)) as _)
    }
}

impl Stage for FilterStage {
    fn frame(&mut self, frame: Frame<'_>, next: &mut dyn Next) -> Result<(), Failure> {
        match frame {
            Frame::Records(records) => match self.0.get(&(records.source.index, records.ty)) {
                Some(filter) => {
                    records.keep(|record| filter.matches_record(record), |frame| next.frame(frame))
                }
                None => next.frame(Frame::Records(records)),
            },
            Frame::Reading(mut reading) => {
                if let Some(filter) = self.0.get(&(reading.source.index, 0)) {
                    if !filter.can_match() {
                        return Ok(());
                    }
                    let view = Arc::clone(&reading.source);
                    let kept = Rc::make_mut(&mut reading);
                    let before = kept.entries.len();
                    kept.entries.retain(|entry| is_match(filter, &view, entry));
                    // What is left out is still in the map.
                    kept.is_partial |= kept.entries.len() < before;
                }
                next.frame(Frame::Reading(reading))
            }
            frame => next.frame(frame),
        }
    }
}

/// Whether an entry of a reading is kept.
pub(super) fn is_match(filter: &Filter, view: &View, entry: &Entry) -> bool {
    let parts = [entry.key(), entry.value()];
    // Without a key, there is only the value.
    let parts = if view.key.is_some() { &parts[..] } else { &parts[1..] };
    filter.matches(parts, &|index| calculated(view, entry, index))
}
