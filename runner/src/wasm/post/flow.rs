// SPDX-License-Identifier: MIT
//! How frames pass through a module: into its batch, and from what it emits to the next stage.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use anyhow::anyhow;
use bpfpack_frame::{Frame, Next, Reading, Records, Stage, Time};

use super::sources::ModuleSource;
use super::stage::PostProcessor;
use super::state::Emitted;
use crate::failure::{Failure, exit_code};

/// Bytes of output that may wait while modules continue. Output may be much larger than what a call
/// emits, and several modules in a row may each enlarge it.
const MOST_WAITING: usize = 256 << 20;

/// The CPU of records if the buffer does not know it.
const NO_CPU: u16 = u16::MAX;

impl Stage for PostProcessor {
    fn frame(&mut self, frame: Frame<'_>, next: &mut dyn Next) -> Result<(), Failure> {
        match frame {
            Frame::Records(records) if self.takes_records(records.source.index) => {
                self.take_records(records, next)
            }
            Frame::Reading(reading) if self.takes_rows(reading.source.index) => {
                self.take_reading(&reading, next)
            }
            frame => next.frame(frame),
        }
    }

    fn sources(&self) -> Vec<bpfpack_spec::Source> {
        let of_module = |source: &ModuleSource| match source {
            ModuleSource::Records(stream) => bpfpack_spec::Source::Stream(Arc::clone(stream)),
            ModuleSource::Rows(view, _) => bpfpack_spec::Source::View(Arc::clone(view)),
        };
        self.world().sources.borrow()[self.declared()].iter().map(of_module).collect()
    }

    fn begin(&mut self, next: &mut dyn Next) -> Result<(), Failure> {
        self.deliver(Ok(()), next)
    }

    fn flush(&mut self, next: &mut dyn Next) -> Result<(), Failure> {
        if !self.has_batch() {
            return Ok(());
        }
        let result = self.hand_over_batch();
        next.note_call();
        self.deliver(result, next)
    }

    fn next_tick(&self) -> Option<Instant> {
        PostProcessor::next_tick(self)
    }

    fn tick(&mut self, at: Instant, time: Time, next: &mut dyn Next) -> Result<(), Failure> {
        self.time = time;
        let result = PostProcessor::tick(self, at);
        self.deliver(result, next)
    }

    fn end(&mut self, time: Time, next: &mut dyn Next) -> Result<(), Failure> {
        self.flush(next)?;
        self.time = time;
        let result = self.call_end();
        self.end_lines();
        self.deliver(result, next)
    }

    fn stopped(&self) -> Option<u8> {
        self.stop()
    }
}

impl PostProcessor {
    /// Adds records to the batch, which is passed to the module when it is full.
    fn take_records(&mut self, records: &Records<'_>, next: &mut dyn Next) -> Result<(), Failure> {
        self.time = records.time;
        let (source, ty) = (records.source.index as u32, records.ty as u16);
        let cpu = records.cpu.unwrap_or(NO_CPU);
        let mut rest = &records.bytes[self.add(source, ty, cpu, records.bytes)..];
        while let Some(first) = rest.first() {
            self.flush(next)?;
            self.make_room(first.len())?;
            let added = self.add(source, ty, cpu, rest);
            if added == 0 {
                let size = first.len();
                let error = anyhow!("`{}` cannot take a record of {size} bytes", self.name());
                return Err(Failure::new(exit_code::MODULE_FAILED, error));
            }
            rest = &rest[added..];
        }
        Ok(())
    }

    /// Passes a reading as rows.
    fn take_reading(&mut self, reading: &Reading, next: &mut dyn Next) -> Result<(), Failure> {
        self.flush(next)?;
        self.time = reading.time;
        let source = reading.source.index;
        let Some(ModuleSource::Rows(_, row)) = self.source(source) else { return Ok(()) };
        let mut rows = std::mem::take(&mut self.rows);
        rows.clear();
        reading.entries.iter().for_each(|entry| row.put(entry, &mut rows));
        let result = self.sample(source as u32, &rows);
        self.rows = rows;
        self.deliver(result, next)
    }

    fn source(&self, number: usize) -> Option<ModuleSource> {
        self.world().sources.borrow().get(number).cloned()
    }

    /// Passes on what the module has emitted, and then returns the call's own failure, so that
    /// nothing is lost.
    fn deliver(&mut self, result: Result<(), Failure>, next: &mut dyn Next) -> Result<(), Failure> {
        if result.is_err() {
            self.end_lines();
        }
        let time = self.time;
        let (emitted, bytes) = self.take_emitted();
        let mut rest = &bytes[..];
        // Caches the source, because a call emits mostly for one source.
        let mut last: Option<(u32, ModuleSource)> = None;
        for what in &emitted {
            let (Emitted::Record { len, .. }
            | Emitted::Rows { len, .. }
            | Emitted::Text { len }
            | Emitted::Json { len }) = *what;
            let (these, others) = rest.split_at(len);
            rest = others;
            match *what {
                Emitted::Record { source, .. } | Emitted::Rows { source, .. } => {
                    if last.as_ref().is_none_or(|(number, _)| *number != source) {
                        last = self.source(source as usize).map(|found| (source, found));
                    }
                    match &last {
                        Some((_, ModuleSource::Records(stream))) => {
                            for records in Records::by_type(stream, time, None, &[these]) {
                                next.frame(Frame::Records(&records))?;
                            }
                        }
                        Some((_, ModuleSource::Rows(source, row))) => {
                            let (source, entries) = (Arc::clone(source), row.entries(these));
                            next.frame(Frame::Reading(Rc::new(Reading::new(
                                source, time, entries,
                            ))))?;
                        }
                        None => {}
                    }
                }
                Emitted::Text { .. } => next.frame(Frame::Text(time, these))?,
                Emitted::Json { .. } => next.frame(Frame::Json(time, these))?,
            }
            if next.waiting() > MOST_WAITING {
                let most = MOST_WAITING >> 20;
                let error = anyhow!("`{}` shows more than {most} MB at once", self.name());
                return Err(Failure::new(exit_code::MODULE_FAILED, error));
            }
        }
        self.give_back(emitted, bytes);
        result
    }
}
