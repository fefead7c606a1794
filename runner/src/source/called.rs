// SPDX-License-Identifier: MIT
//! Programs that ecli calls at each interval, as a source. Iterators write text, which is split
//! into lines.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use anyhow::anyhow;

use crate::attach::{Called, How};
use crate::failure::{Failure, exit_code};
use crate::sys;

/// Bytes to read at once before the loop polls the buffers again.
const ROOM: usize = 64 << 10;

/// A longer line is shown in pieces.
const LONGEST_LINE: usize = 1 << 20;

/// The programs of a run that are called at each interval.
#[derive(Debug)]
pub(crate) struct CalledPrograms {
    programs: Vec<Called>,
    /// Time between two rounds; `None` for a single round.
    interval: Option<Duration>,
    /// When the next round begins; `None` after the last one.
    next: Option<Instant>,
    /// The index of the next program in the round, and the file that it writes.
    round: Option<(usize, Option<File>)>,
    /// The beginning of a line.
    line: Vec<u8>,
    /// The number of completed rounds.
    rounds: u64,
}

/// The result of a step.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing is due.
    None,
    /// Whole lines of text.
    Text(Vec<u8>),
    /// A program was called; its name and return value.
    Returned(String, u32),
}

impl CalledPrograms {
    /// Programs that are called at once and then at each interval.
    pub(crate) fn new(
        programs: Vec<Called>,
        interval: Option<Duration>,
        now: Instant,
    ) -> CalledPrograms {
        let next = (!programs.is_empty()).then_some(now);
        CalledPrograms { programs, interval, next, round: None, line: Vec::new(), rounds: 0 }
    }

    /// When the next round is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Whether a round is in progress.
    pub(crate) fn is_busy(&self) -> bool {
        self.round.is_some()
    }

    /// The number of completed rounds.
    pub(crate) fn rounds(&self) -> u64 {
        self.rounds
    }

    /// Calls the programs a last time, regardless of the interval.
    pub(crate) fn begin_last(&mut self) {
        self.interval = None;
        self.begin();
    }

    /// Starts a round now, in addition to those at each interval.
    pub(crate) fn begin(&mut self) {
        if self.round.is_none() && !self.programs.is_empty() {
            self.round = Some((0, None));
        }
    }

    /// Does a part of what is due.
    ///
    /// # Errors
    /// Returns an error if a program cannot be called.
    pub(crate) fn step(&mut self, now: Instant) -> Result<Step, Failure> {
        if self.round.is_none() {
            if self.next.is_none_or(|next| next > now) {
                return Ok(Step::None);
            }
            // Counting from now avoids a burst of rounds after the machine was suspended.
            self.next = self.interval.map(|interval| now + interval);
            self.round = Some((0, None));
        }
        let Some((at, reading)) = &mut self.round else { return Ok(Step::None) };
        let Some(program) = self.programs.get(*at) else {
            self.round = None;
            self.rounds += 1;
            return Ok(Step::None);
        };
        let failed = |error: std::io::Error| {
            let error = anyhow!("cannot call `{}`: {error}", program.name);
            Failure::new(exit_code::OTHER, error)
        };
        match &program.how {
            How::Call(fd) => {
                *at += 1;
                let returned = sys::call_program(fd.as_fd()).map_err(failed)?;
                Ok(Step::Returned(program.name.clone(), returned))
            }
            How::Walk(link) => {
                let file = match reading {
                    Some(file) => file,
                    None => reading.insert(sys::begin_walk(link.as_fd()).map_err(failed)?.into()),
                };
                let mut bytes = vec![0; ROOM];
                let read = loop {
                    match file.read(&mut bytes) {
                        // The kernel returns early for a signal, which ecli handles elsewhere.
                        Err(error) if is_again(&error) => {}
                        other => break other.map_err(failed)?,
                    }
                };
                if read == 0 {
                    (*at, *reading) = (*at + 1, None);
                }
                Ok(Step::Text(lines(&mut self.line, &bytes[..read])))
            }
        }
    }
}

fn is_again(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock)
}

/// Returns the lines that `read` completes. If nothing was read, the text ends, and the rest is
/// returned, too.
fn lines(line: &mut Vec<u8>, read: &[u8]) -> Vec<u8> {
    line.extend_from_slice(read);
    let is_end = read.is_empty() || line.len() > LONGEST_LINE;
    let whole = match line.iter().rposition(|byte| *byte == b'\n') {
        Some(at) if !is_end => at + 1,
        None if !is_end => 0,
        _ => line.len(),
    };
    line.drain(..whole).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_comes_by_whole_lines() {
        let mut line = Vec::new();
        assert_eq!(lines(&mut line, b"a\nb"), b"a\n");
        assert_eq!(lines(&mut line, b"c"), b"");
        assert_eq!(lines(&mut line, b"\nd"), b"bc\n");
        assert_eq!(lines(&mut line, b""), b"d");
        assert_eq!(lines(&mut line, b""), b"");
    }

    #[test]
    fn without_programs_nothing_is_to_be_done() {
        let now = Instant::now();
        let mut none = CalledPrograms::new(Vec::new(), None, now);
        assert!(none.next().is_none());
        none.begin_last();
        assert!(!none.is_busy());
        assert_eq!((none.step(now).unwrap(), none.rounds()), (Step::None, 0));
    }
}
