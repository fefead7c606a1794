// SPDX-License-Identifier: MIT
//! The stage that ends the run once something is shown for which an expression is true.

use bpfpack_failure::Failure;
use bpfpack_frame::{Frame, Next, Records, Stage};

use super::Compiled;
use super::stage::is_match;

/// Passes everything on until then.
#[derive(Debug)]
pub(super) struct Until {
    filters: Compiled,
    /// The number of sources in the package; those of modules follow.
    own: usize,
    is_enough: bool,
    /// After the end, frames that modules make of the remaining data are dropped; their summary is
    /// not.
    drops: bool,
}

impl Until {
    pub(super) fn new(filters: Compiled, own: usize) -> Until {
        Until { filters, own, is_enough: false, drops: false }
    }

    /// Whether a frame of a source comes after the end.
    fn is_beyond(&self, source: usize) -> bool {
        self.drops || self.is_enough && source < self.own
    }

    fn note(&mut self) {
        (self.is_enough, self.drops) = (true, true);
    }

    fn records(&mut self, records: &Records<'_>, next: &mut dyn Next) -> Result<(), Failure> {
        let filter = self.filters.get(&(records.source.index, records.ty));
        let is_it = |record: &&[u8]| filter.is_some_and(|filter| filter.matches_record(record));
        let found = match self.is_enough {
            true => None,
            false => records.bytes.iter().position(is_it),
        };
        next.frame(Frame::Records(&match found {
            Some(at) => records.first(at + 1),
            None => *records,
        }))?;
        if found.is_some() {
            self.note();
        }
        Ok(())
    }
}

impl Stage for Until {
    fn frame(&mut self, frame: Frame<'_>, next: &mut dyn Next) -> Result<(), Failure> {
        match frame {
            Frame::Records(records) if self.is_beyond(records.source.index) => Ok(()),
            Frame::Records(records) => self.records(records, next),
            Frame::Reading(reading) => {
                let view = &reading.source;
                if self.is_beyond(view.index) {
                    return Ok(());
                }
                let is_it = self.filters.get(&(view.index, 0)).is_some_and(|filter| {
                    reading.entries.iter().any(|entry| is_match(filter, view, entry))
                });
                next.frame(Frame::Reading(reading))?;
                if is_it && !self.is_enough {
                    self.note();
                }
                Ok(())
            }
            Frame::Text(..) | Frame::Json(..) if self.drops => Ok(()),
            frame => next.frame(frame),
        }
    }

    fn flush(&mut self, _next: &mut dyn Next) -> Result<(), Failure> {
        self.drops = false;
        Ok(())
    }

    fn is_enough(&self) -> bool {
        self.is_enough
    }
}
