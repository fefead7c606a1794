// SPDX-License-Identifier: MIT
//! Readings on request: for scrapes, and for clients of a run in the background.

use std::time::Instant;

use super::Run;
use crate::detached::Control;
use crate::failure::Failure;
use crate::metrics::Metrics;
use crate::output::Client;

impl Run<'_> {
    /// Requests a reading of each view. Returns the number of the request.
    pub(super) fn ask(&mut self) -> u64 {
        self.asked += 1;
        match &self.readings {
            Some(readings) => readings.now(self.asked),
            None => self.answered = self.asked,
        }
        self.asked
    }

    /// Reads all maps for the scrapes that ask for metrics. If nothing is read for them, it answers
    /// at once.
    pub(super) fn begin_scrape(&mut self) -> Result<(), Failure> {
        let Some(scrape) = self.metrics.as_ref().and_then(Metrics::take) else { return Ok(()) };
        if self.readings.is_some() && self.reads_for_scrapes {
            let request = self.ask();
            self.scrapes.push((request, scrape));
            return Ok(());
        }
        self.answer_scrape(scrape)
    }

    /// Answers the scrapes up to a number, for which all maps have been read.
    fn answer_scrape(&mut self, scrape: u64) -> Result<(), Failure> {
        // If an output is full, the records wait in their buffers as always.
        if self.outputs.has_room() {
            self.drain()?;
        }
        if let Some(metrics) = &self.metrics {
            metrics.answer(scrape, &self.buffers, &self.losses);
        }
        Ok(())
    }

    /// Notes that requests up to a number are complete, and answers the scrapes that waited for them.
    pub(super) fn note_answered(&mut self, request: u64) -> Result<(), Failure> {
        self.answered = self.answered.max(request);
        let done = self.scrapes.extract_if(.., |(of, _)| *of <= request);
        match done.map(|(_, scrape)| scrape).max() {
            Some(scrape) => self.answer_scrape(scrape),
            None => Ok(()),
        }
    }

    /// Adds the outputs of clients.
    pub(super) fn admit_clients(&mut self) {
        while let Some(client) = self.control.as_ref().and_then(Control::take) {
            let Client { stream, format, meanings, lasts } = client;
            let made = self.make_format.make(format, meanings);
            let until = (self.ask(), Instant::now() + lasts);
            self.outputs.add_guest(made, format.is_structured, stream, &self.sources, until);
        }
    }
}
