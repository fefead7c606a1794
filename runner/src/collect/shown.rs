// SPDX-License-Identifier: MIT
//! Where what modules let through, and what they make, is rendered.

use std::time::{Duration, Instant};

use super::MOST_BYTES;
use super::buffers::{Buffer, Round, Taken};
use super::maps::Entry;
use crate::failure::Failure;
use crate::render::{Format, Output};
use crate::view::{Stream, View};
use crate::wasm::Chain;

/// How long modules may take for records of a buffer before the loop looks at signals, and the
/// clock: each call may take as long as the user lets it, and a round has many.
const LONGEST_ROUND: Duration = Duration::from_millis(100);

/// The output behind the modules.
pub struct Shown<'a> {
    /// How it looks.
    pub format: &'a mut dyn Format,
    /// Where it goes.
    pub out: &'a mut Vec<u8>,
    /// Records that may still be shown.
    pub left: &'a mut u64,
    /// Records that were shown.
    pub shown: &'a mut u64,
}

impl Shown<'_> {
    /// Takes a round of a buffer through the modules.
    pub fn through(
        &mut self,
        chain: &mut Chain,
        buffer: &mut Buffer,
        round: &mut Round,
    ) -> Result<(), Failure> {
        let begin = self.out.len();
        let since = Instant::now();
        let (mut calls, mut is_late) = (chain.calls(), false);
        let mut failure = None;
        buffer.drain(usize::MAX, round, |stream, cpu, record| {
            if failure.is_some() {
                return Taken { is_shown: true, goes_on: false };
            }
            let result = chain.record(stream, cpu, record, self);
            let is_shown = result.unwrap_or_else(|error| {
                failure = Some(error);
                true
            });
            if chain.calls() != calls {
                calls = chain.calls();
                is_late = since.elapsed() >= LONGEST_ROUND;
            }
            let goes_on = failure.is_none() && !is_late && self.out.len() - begin < MOST_BYTES;
            Taken { is_shown, goes_on }
        })?;
        match failure {
            Some(failure) => Err(failure),
            None => chain.flush(self),
        }
    }

    /// Whether another may be shown; then it counts.
    fn may_show(&mut self) -> bool {
        let may = *self.left > 0;
        if may {
            *self.left -= 1;
        }
        may
    }
}

impl Output for Shown<'_> {
    fn record(&mut self, stream: &Stream, record: &[u8]) {
        if self.may_show() && self.format.record(stream, record, self.out) {
            *self.shown += 1;
        }
    }

    fn reading(&mut self, view: &View, entries: &[Entry]) {
        let chunk = self.format.reading(view, entries);
        self.format.chunk(chunk, self.out);
    }

    fn text(&mut self, text: &[u8]) {
        if self.may_show() {
            self.format.lines(text, self.out);
        }
    }

    fn json(&mut self, json: &[u8]) {
        if self.may_show() {
            self.format.value(json, self.out);
        }
    }

    fn waiting(&self) -> usize {
        self.out.len()
    }
}
