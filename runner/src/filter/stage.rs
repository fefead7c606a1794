// SPDX-License-Identifier: MIT
//! Keeps the records, and the entries of readings, for which an expression is true.

use std::rc::Rc;
use std::sync::Arc;

use bpfpack_failure::Failure;
use bpfpack_filter::Filter;
use bpfpack_frame::{Entry, Frame, Next, Records, Stage};
use bpfpack_spec::View;

use super::Compiled;
use super::kind::calculated;

/// Filters by the index of their source and the type of its records.
#[derive(Debug)]
pub(super) struct FilterStage {
    sources: Vec<Vec<Option<Filter>>>,
}

impl FilterStage {
    /// None where everything is kept.
    pub(super) fn of(filters: Compiled) -> Option<Box<dyn Stage>> {
        let mut sources: Vec<Vec<Option<Filter>>> = Vec::new();
        for ((source, ty), filter) in filters {
            if sources.len() <= source {
                sources.resize(source + 1, Vec::new());
            }
            let types = &mut sources[source];
            types.resize(types.len().max(ty + 1), None);
            types[ty] = Some(filter);
        }
        (!sources.is_empty()).then(|| Box::new(FilterStage { sources }) as _)
    }

    fn filter(&self, source: usize, ty: usize) -> Option<&Filter> {
        self.sources.get(source)?.get(ty)?.as_ref()
    }
}

impl Stage for FilterStage {
    fn frame(&mut self, frame: Frame<'_>, next: &mut dyn Next) -> Result<(), Failure> {
        match frame {
            Frame::Records(records) => match self.filter(records.source.index, records.ty) {
                Some(filter) => keep(filter, records, next),
                None => next.frame(Frame::Records(records)),
            },
            Frame::Reading(mut reading) => {
                if let Some(filter) = self.filter(reading.source.index, 0) {
                    if !filter.can_match() {
                        return Ok(());
                    }
                    let view = Arc::clone(&reading.source);
                    let kept = Rc::make_mut(&mut reading);
                    kept.entries.retain(|entry| is_match(filter, &view, entry));
                }
                next.frame(Frame::Reading(reading))
            }
            frame => next.frame(frame),
        }
    }
}

/// Hands on what is kept of records. Their bytes stay where they are.
fn keep(filter: &Filter, records: &Records<'_>, next: &mut dyn Next) -> Result<(), Failure> {
    let is_kept = |record: &&&[u8]| filter.matches_record(record);
    let mut rest = records.bytes.iter();
    // Most often it is all, or little.
    let Some(first) = records.bytes.iter().position(|record| !filter.matches_record(record)) else {
        return next.frame(Frame::Records(records));
    };
    let mut kept = records.bytes[..first].to_vec();
    rest.nth(first);
    kept.extend(rest.filter(is_kept));
    match kept.is_empty() {
        true => Ok(()),
        false => next.frame(Frame::Records(&Records { bytes: &kept, ..*records })),
    }
}

/// Whether an entry of a reading is kept.
pub(super) fn is_match(filter: &Filter, view: &View, entry: &Entry) -> bool {
    let parts = [entry.key(), entry.value()];
    // Without a key there is one part.
    let parts = if view.key.is_some() { &parts[..] } else { &parts[1..] };
    filter.matches(parts, &|index| calculated(view, entry, index))
}
