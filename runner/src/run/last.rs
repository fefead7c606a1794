// SPDX-License-Identifier: MIT
//! Shows what remains when a run has ended: records in the buffers, a last reading, summaries. More
//! signals cut this short.

use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use super::Run;
use crate::ending::{End, not_written};
use crate::failure::Failure;
use crate::output::Written;
use crate::source::readings::{Event, Readings};
use crate::source::{Buffer, Mark};

/// How long the readings' thread may take to end once its result is not wanted.
const GIVEN_UP: Duration = Duration::from_millis(500);

/// A program that was running when it was detached has ended after this time.
const LAST_RECORDS: Duration = Duration::from_millis(2);

/// Bytes that may wait to be written while the remaining data is read.
const ROOM_AT_END: usize = 1 << 20;

impl Run<'_> {
    /// Shows the remaining records, and a last reading unless enough were shown.
    pub(super) fn finish(&mut self, end: End) -> Result<(), Failure> {
        if self.outputs.all_gone() {
            return Ok(());
        }
        if end != End::Enough {
            self.last_calls()?;
        }
        if !self.buffers.is_empty() && self.outputs.left() > 0 && !self.chain.is_enough() {
            self.last_records()?;
        }
        if end != End::Enough {
            self.last_readings()?;
        }
        // A summary is shown regardless of the limit on records.
        self.outputs.lift_limit();
        self.chain.end(&mut self.outputs)?;
        self.draw_all()?;
        self.outputs.end();
        self.write_all(0)?;
        if let Some(metrics) = self.metrics.take() {
            let talk = self.talk;
            let (buffers, losses) =
                (std::mem::take(&mut self.buffers), std::mem::take(&mut self.losses));
            metrics.finish(&buffers, &losses, talk, || self.is_impatient());
            (self.buffers, self.losses) = (buffers, losses);
        }
        Ok(())
    }

    /// Shows the records that were in the buffers when the programs were detached.
    fn last_records(&mut self) -> Result<(), Failure> {
        std::thread::sleep(LAST_RECORDS);
        // Other programs may keep writing, so read only up to these marks.
        let mut marks: Vec<Mark> = self.buffers.iter().map(Buffer::mark).collect();
        loop {
            let round = self.drain()?;
            self.write_all(ROOM_AT_END)?;
            let ends = self.buffers.iter().zip(&mut marks);
            let is_all = ends.fold(true, |all, (buffer, mark)| buffer.has_reached(mark) && all);
            let is_empty = round.taken == 0 && !round.more;
            if is_all || is_empty || self.outputs.left() == 0 || self.outputs.all_gone() {
                return Ok(());
            }
            if self.is_impatient() {
                self.talk
                    .warning("a signal arrived while ecli read the last records: some are missing");
                return Ok(());
            }
        }
    }

    /// Shows a last reading of each view, or as much of it as was read before a signal.
    fn last_readings(&mut self) -> Result<(), Failure> {
        self.readings.iter().for_each(Readings::finish);
        self.draw_all()?;
        if self.names.take().is_some() {
            self.readings.iter().for_each(Readings::done);
        }
        let mut given_up = None;
        while let Some(readings) = &self.readings {
            match readings.next(Duration::from_millis(20)) {
                Ok(Event::Seen(..)) => readings.done(),
                Ok(event) => {
                    self.take_event(event)?;
                    self.draw_all()?;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.write_all(ROOM_AT_END)?;
            if self.outputs.all_gone() {
                break;
            }
            if self.is_impatient() {
                let since = *given_up.get_or_insert_with(Instant::now);
                self.readings.iter().for_each(Readings::give_up);
                if since.elapsed() > GIVEN_UP {
                    self.talk.warning(
                        "a signal arrived while ecli read the maps: some entries are not shown",
                    );
                    break;
                }
            }
        }
        Ok(())
    }

    /// Calls programs once more, unless only they are shown; then the last call has been made.
    fn last_calls(&mut self) -> Result<(), Failure> {
        // A round that has started is completed.
        let is_over = self.most_calls.is_some() && self.called.rounds() > 0;
        if !is_over {
            self.called.begin_last();
        }
        while self.called.is_busy() && !self.is_impatient() {
            self.call(Instant::now())?;
            self.write_all(ROOM_AT_END)?;
        }
        Ok(())
    }

    /// Draws the current reading to its end, unless a signal cuts it short.
    fn draw_all(&mut self) -> Result<(), Failure> {
        while !self.outputs.draw() {
            self.write_all(ROOM_AT_END)?;
            if self.is_impatient()
                && let Some(name) = self.outputs.cut_short()
            {
                let text = format!("a signal ended the last reading of `{name}` early");
                self.talk.warning(&text);
            }
        }
        self.note_drawn();
        Ok(())
    }

    /// Whether another signal has arrived since the end began.
    fn is_impatient(&mut self) -> bool {
        if self.signals.have_come() {
            self.signals.take();
            self.ending.note_signal();
        }
        self.ending.is_over()
    }

    /// Writes until at most `rest` bytes are left. It waits for slow readers until another signal
    /// arrives. Files, which do not block, are always written.
    pub(super) fn write_all(&mut self, rest: usize) -> Result<(), Failure> {
        loop {
            let until = self.ending.deadline();
            match self.outputs.write_all(rest, until, self.signals, self.talk)? {
                Written::All | Written::Gone => return Ok(()),
                Written::GivenUp if self.ending.is_over() => {
                    return Err(not_written(self.outputs.waiting()));
                }
                Written::GivenUp => {
                    self.signals.take();
                    self.ending.note_signal();
                }
            }
        }
    }
}
