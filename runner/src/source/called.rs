// SPDX-License-Identifier: MIT
//! Programs that are called by the clock, as a source: what those write that walk over something is
//! text, by lines.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use anyhow::anyhow;

use crate::attach::{Called, How};
use crate::failure::{Failure, exit_code};
use crate::sys;

/// Bytes that are read at once, before the loop looks at the buffers again.
const ROOM: usize = 64 << 10;

/// Bytes of a line without an end that is shown in pieces.
const LONGEST_LINE: usize = 1 << 20;

/// The programs of a run that are called by the clock.
#[derive(Debug)]
pub(crate) struct CalledPrograms {
    programs: Vec<Called>,
    /// Time between two rounds; none where there is one only.
    interval: Option<Duration>,
    /// When the next round begins; none behind the last one.
    next: Option<Instant>,
    /// The program that is called next in the round, and what it writes.
    round: Option<(usize, Option<File>)>,
    /// The begin of a line.
    line: Vec<u8>,
    /// Rounds that are over.
    rounds: u64,
}

/// What a step has found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing is to be done now.
    None,
    /// Whole lines of text.
    Text(Vec<u8>),
    /// A program was called, and has returned this.
    Returned(String, u32),
}

impl CalledPrograms {
    /// Calls them at once, and then each interval.
    pub(crate) fn new(
        programs: Vec<Called>,
        interval: Option<Duration>,
        now: Instant,
    ) -> CalledPrograms {
        let next = (!programs.is_empty()).then_some(now);
        CalledPrograms { programs, interval, next, round: None, line: Vec::new(), rounds: 0 }
    }

    /// When there is something to be done.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Whether a round has begun, and is not over.
    pub(crate) fn is_busy(&self) -> bool {
        self.round.is_some()
    }

    /// How often all were called.
    pub(crate) fn rounds(&self) -> u64 {
        self.rounds
    }

    /// Calls them once more, whatever the time is.
    pub(crate) fn begin_last(&mut self) {
        self.interval = None;
        self.begin();
    }

    /// Calls them now, beside the times when they are due.
    pub(crate) fn begin(&mut self) {
        if self.round.is_none() && !self.programs.is_empty() {
            self.round = Some((0, None));
        }
    }

    /// Does a part of what is to be done.
    ///
    /// # Errors
    /// When a program cannot be called.
    pub(crate) fn step(&mut self, now: Instant) -> Result<Step, Failure> {
        if self.round.is_none() {
            if self.next.is_none_or(|next| next > now) {
                return Ok(Step::None);
            }
            // After a pause of the whole machine, rounds do not come in a row.
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
                        // The kernel looks whether a signal came, which ecli takes elsewhere.
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

/// The lines that are whole with what was read; all that is left at the end of a text, which is
/// where nothing was read.
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
