// SPDX-License-Identifier: MIT
//! Reports shown and lost records at the end of a run, and the first loss when it happens.

use anyhow::anyhow;

use crate::failure::{Failure, exit_code};
use crate::instrument::Counters;
use crate::source::Buffer;
use crate::talk::Talk;

/// The message if the counts of some programs are missing.
pub(crate) const TOO_LONG: &str = "some programs are too long, so their losses are not counted";

/// Text for a number of lost records; `is_uncertain` says that there may be more.
#[must_use]
pub(crate) fn in_words(lost: u64, is_uncertain: bool) -> String {
    match (lost, is_uncertain) {
        (0, true) => "losses cannot be counted".to_owned(),
        (0, false) => "none lost".to_owned(),
        (lost, false) => format!("{lost} lost"),
        (lost, true) => format!("{lost} lost, and more that cannot be counted"),
    }
}

/// The counts of a run.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    counters: Option<Counters>,
    /// Whether a loss is a failure.
    is_strict: bool,
    was_reported: bool,
}

impl Losses {
    /// Uses the counters that the programs keep, if there are any.
    pub(crate) fn new(counters: Option<Counters>, is_strict: bool) -> Losses {
        Losses { counters, is_strict, was_reported: false }
    }

    /// Reports the first loss when it happens.
    pub(crate) fn look(&mut self, buffers: &[Buffer], talk: &Talk) {
        let Some(counters) = self.counters.as_ref().filter(|_| !self.was_reported) else { return };
        let has_lost = |buffer: &&Buffer| counters.lost(&buffer.stream.name) > 0;
        let Some(buffer) = buffers.iter().find(has_lost) else { return };
        self.was_reported = true;
        talk.warning(&format!(
            "the buffer `{}` is full: some records are lost, and counted{}",
            buffer.stream.name,
            buffer
                .how_to_enlarge()
                .map_or(String::new(), |how| format!(" (for a larger buffer: {how})"))
        ));
    }

    /// The number of records that a buffer lost; `None` if nobody counts them.
    pub(crate) fn of(&self, buffer: &Buffer) -> Option<u64> {
        match &self.counters {
            Some(counters) if buffer.is_written_by_programs() => {
                Some(counters.lost(&buffer.stream.name))
            }
            _ => buffer.lost(),
        }
    }

    /// The number of records that were lost in an unknown buffer.
    pub(crate) fn somewhere(&self) -> u64 {
        self.counters.as_ref().map_or(0, Counters::lost_somewhere)
    }

    /// Reports shown and lost records. `of_stages` is the number of shown records if stages
    /// selected them.
    ///
    /// # Errors
    /// Returns an error if records were lost and that is a failure.
    pub(crate) fn close(
        &self,
        buffers: &[Buffer],
        of_stages: Option<u64>,
        talk: &Talk,
    ) -> Result<(), Failure> {
        buffers.iter().filter_map(Buffer::last_note).for_each(|note| talk.note(&note));
        let of_buffer = |buffer: &Buffer| OfBuffer {
            name: buffer.stream.name.clone(),
            taken: buffer.taken,
            malformed: buffer.malformed,
            lost: self.of(buffer),
        };
        let totals = Totals {
            buffers: buffers.iter().map(of_buffer).collect(),
            of_stages,
            somewhere: self.somewhere(),
            is_incomplete: self.counters.as_ref().is_some_and(Counters::is_incomplete),
        };
        if totals.buffers.is_empty() {
            return Ok(());
        }
        match totals.lost() {
            0 => talk.note(&totals.in_words()),
            _ => talk.warning(&totals.in_words()),
        }
        match totals.strict_failure().filter(|_| self.is_strict) {
            Some(text) => Err(Failure::new(exit_code::LOST, anyhow!(text))),
            None => Ok(()),
        }
    }
}

/// The totals of all records of a run.
#[derive(Debug)]
struct Totals {
    buffers: Vec<OfBuffer>,
    /// The number of shown records, if stages selected them.
    of_stages: Option<u64>,
    /// Records that were lost in an unknown buffer.
    somewhere: u64,
    /// Whether some programs do not count their losses.
    is_incomplete: bool,
}

/// The totals of a buffer.
#[derive(Debug)]
struct OfBuffer {
    name: String,
    taken: u64,
    malformed: u64,
    /// `None` if nobody counts them.
    lost: Option<u64>,
}

impl Totals {
    /// The number of records that are known to be lost.
    fn lost(&self) -> u64 {
        self.buffers.iter().filter_map(|buffer| buffer.lost).sum::<u64>() + self.somewhere
    }

    /// Whether the losses of some buffer are not counted.
    fn is_uncounted(&self) -> bool {
        self.buffers.iter().any(|buffer| buffer.lost.is_none())
    }

    fn in_words(&self) -> String {
        let taken: u64 = self.buffers.iter().map(|buffer| buffer.taken).sum();
        let malformed: u64 = self.buffers.iter().map(|buffer| buffer.malformed).sum();
        let mut words = match self.of_stages {
            None => vec![format!("{taken} shown")],
            Some(shown) => vec![format!("{taken} read"), format!("{shown} shown")],
        };
        words.push(in_words(self.lost(), self.is_uncounted()));
        if malformed > 0 {
            words.push(format!("{malformed} malformed"));
        }
        if self.is_incomplete {
            words.push(TOO_LONG.to_owned());
        }
        let text = format!("records: {}", words.join(", "));
        if self.buffers.len() < 2 {
            return text;
        }
        let what = if self.of_stages.is_some() { "read" } else { "shown" };
        let part = |OfBuffer { name, taken, lost, .. }: &OfBuffer| {
            let lost = lost.map_or("?".to_owned(), |lost| lost.to_string());
            format!("{name}: {taken} {what}, {lost} lost")
        };
        let mut parts: Vec<String> = self.buffers.iter().map(part).collect();
        if self.somewhere > 0 {
            parts.push(format!("{} lost from an unknown buffer", self.somewhere));
        }
        format!("{text} ({})", parts.join("; "))
    }

    /// The reason why a run with `--strict` fails.
    fn strict_failure(&self) -> Option<String> {
        match self.lost() {
            0 if self.is_uncounted() || self.is_incomplete => {
                Some("--strict: ecli cannot tell whether records were lost".to_owned())
            }
            0 => None,
            lost => Some(format!("--strict: {lost} records were lost")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(lost: &[Option<u64>]) -> Totals {
        let of = |(at, lost): (usize, &Option<u64>)| OfBuffer {
            name: format!("b{at}"),
            taken: 10 + at as u64,
            malformed: 0,
            lost: *lost,
        };
        let buffers = lost.iter().enumerate().map(of).collect();
        Totals { buffers, of_stages: None, somewhere: 0, is_incomplete: false }
    }

    #[test]
    fn what_was_lost_is_told_as_far_as_it_is_known() {
        let one = totals(&[Some(0)]);
        assert_eq!(one.in_words(), "records: 10 shown, none lost");
        assert_eq!(one.strict_failure(), None);
        let one = Totals { of_stages: Some(3), ..totals(&[Some(2)]) };
        assert_eq!(one.in_words(), "records: 10 read, 3 shown, 2 lost");
        let text = one.strict_failure().unwrap();
        assert_eq!(text, "--strict: 2 records were lost");
        let mut one = totals(&[None]);
        one.buffers[0].malformed = 4;
        assert_eq!(one.in_words(), "records: 10 shown, losses cannot be counted, 4 malformed");
        assert!(
            one.strict_failure().unwrap().contains("ecli cannot tell whether records were lost")
        );
        let several = Totals { somewhere: 5, is_incomplete: true, ..totals(&[Some(1), None]) };
        assert_eq!(
            several.in_words(),
            "records: 21 shown, 6 lost, and more that cannot be counted, some programs are too \
             long, so their losses are not counted (b0: 10 shown, 1 lost; b1: 11 shown, ? lost; 5 \
             lost from an unknown buffer)"
        );
        let incomplete = Totals { is_incomplete: true, ..totals(&[Some(0)]) };
        assert!(incomplete.strict_failure().is_some());
    }
}
