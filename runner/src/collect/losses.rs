// SPDX-License-Identifier: MIT
//! What was shown and what was lost, told at the end of each run, and once when it begins.

use anyhow::anyhow;

use super::buffers::Buffer;
use crate::failure::{Failure, exit_code};
use crate::instrument::Counters;
use crate::talk::Talk;

/// What is said where the counts of some programs are missing.
pub const TOO_LONG: &str = "some programs are too long for their losses to be counted";

/// How many records were lost, and perhaps more.
#[must_use]
pub fn in_words(lost: u64, is_uncertain: bool) -> String {
    match (lost, is_uncertain) {
        (0, true) => "losses can not be counted".to_owned(),
        (0, false) => "none lost".to_owned(),
        (lost, false) => format!("{lost} lost"),
        (lost, true) => format!("{lost} lost, and more that can not be counted"),
    }
}

/// The counts of a run.
#[derive(Debug)]
pub struct Losses {
    counters: Option<Counters>,
    /// Any loss is a failure.
    is_strict: bool,
    was_told: bool,
}

impl Losses {
    /// With the counts of the programs themselves, where there are any.
    pub fn new(counters: Option<Counters>, is_strict: bool) -> Losses {
        Losses { counters, is_strict, was_told: false }
    }

    /// Tells of the first loss while it happens.
    pub fn look(&mut self, buffers: &[Buffer], talk: &Talk) {
        let Some(counters) = self.counters.as_ref().filter(|_| !self.was_told) else { return };
        let has_lost = |buffer: &&Buffer| counters.lost(&buffer.stream.name) > 0;
        let Some(buffer) = buffers.iter().find(has_lost) else { return };
        self.was_told = true;
        talk.warning(&format!(
            "`{}` has no room for some records: they are lost, and counted (more room: {})",
            buffer.stream.name,
            buffer.how_to_enlarge()
        ));
    }

    /// What a buffer lost; none where nobody counts it.
    fn of(&self, buffer: &Buffer) -> Option<u64> {
        match &self.counters {
            Some(counters) if buffer.is_written_by_programs() => {
                Some(counters.lost(&buffer.stream.name))
            }
            _ => buffer.lost(),
        }
    }

    /// Tells what was shown and lost. Where modules chose, `of_modules` so many records were shown.
    ///
    /// # Errors
    /// When something was lost, and that was to be a failure.
    pub fn close(
        &self,
        buffers: &[Buffer],
        of_modules: Option<u64>,
        talk: &Talk,
    ) -> Result<(), Failure> {
        if buffers.is_empty() {
            return Ok(());
        }
        let shown: u64 = buffers.iter().map(|buffer| buffer.shown).sum();
        let malformed: u64 = buffers.iter().map(|buffer| buffer.malformed).sum();
        let counted: Vec<Option<u64>> = buffers.iter().map(|buffer| self.of(buffer)).collect();
        let somewhere = self.counters.as_ref().map_or(0, Counters::lost_somewhere);
        let lost = counted.iter().flatten().sum::<u64>() + somewhere;
        let mut words = match of_modules {
            None => vec![format!("{shown} shown")],
            Some(of_modules) => vec![format!("{shown} read"), format!("{of_modules} shown")],
        };
        words.push(in_words(lost, counted.contains(&None)));
        if malformed > 0 {
            words.push(format!("{malformed} malformed"));
        }
        if self.counters.as_ref().is_some_and(Counters::is_incomplete) {
            words.push(TOO_LONG.to_owned());
        }
        let mut text = format!("records: {}", words.join(", "));
        if buffers.len() > 1 {
            let mut parts: Vec<String> = buffers
                .iter()
                .zip(&counted)
                .map(|(buffer, lost)| {
                    let lost = lost.map_or("?".to_owned(), |lost| lost.to_string());
                    let what = if of_modules.is_some() { "read" } else { "shown" };
                    format!("{}: {} {what}, {lost} lost", buffer.stream.name, buffer.shown)
                })
                .collect();
            if somewhere > 0 {
                parts.push(format!("{somewhere} lost of a buffer that can not be told"));
            }
            text = format!("{text} ({})", parts.join("; "));
        }
        match lost {
            0 => talk.note(&text),
            _ => talk.warning(&text),
        }
        let is_uncertain =
            counted.contains(&None) || self.counters.as_ref().is_some_and(Counters::is_incomplete);
        if self.is_strict && lost == 0 && is_uncertain {
            let error = anyhow!("whether records were lost can not be told, as --strict asks");
            return Err(Failure::new(exit_code::LOST, error));
        }
        if self.is_strict && lost > 0 {
            let error = anyhow!("{lost} records were lost, and --strict allows none");
            return Err(Failure::new(exit_code::LOST, error));
        }
        Ok(())
    }
}
