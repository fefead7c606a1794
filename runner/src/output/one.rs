// SPDX-License-Identifier: MIT
//! One output: a format, a sink, and the reading that is being drawn.

use std::ops::Range;
use std::rc::Rc;

use bpfpack_frame::Reading;
use bpfpack_render::Format;

use super::sink::Sink;

/// A format and its sink.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) format: Box<dyn Format>,
    /// Whether it shows members. If so, it skips records that are too short to contain any member.
    pub(super) is_structured: bool,
    pub(super) sink: Sink,
    /// The reading that is being drawn, and its first entry that is not drawn yet.
    pub(super) drawing: Option<(Rc<Reading>, usize)>,
    /// Whether its reader has closed it.
    pub(super) is_gone: bool,
}

impl Output {
    pub(super) fn new(format: Box<dyn Format>, is_structured: bool, sink: Sink) -> Output {
        Output { format, is_structured, sink, drawing: None, is_gone: false }
    }

    /// Begins to draw a reading.
    pub(super) fn begin(&mut self, reading: &Rc<Reading>) {
        if reading.entries.is_empty() && !self.is_gone {
            self.format.entries(reading, 0..0, &mut self.sink.bytes);
        } else {
            self.drawing = Some((Rc::clone(reading), 0));
        }
    }

    /// Draws part of the reading. Returns false if nothing is left.
    pub(super) fn draw_part(&mut self) -> bool {
        let Some((reading, at)) = self.drawing.take() else { return false };
        let part = next_part(at, reading.entries.len(), self.format.most_entries(&reading));
        if part.is_empty() || self.is_gone {
            return false;
        }
        let end = part.end;
        self.format.entries(&reading, part, &mut self.sink.bytes);
        self.drawing = (end < reading.entries.len()).then_some((reading, end));
        true
    }
}

/// The next part of a reading with `len` entries, after the first `at`.
fn next_part(at: usize, len: usize, most: usize) -> Range<usize> {
    at..at.saturating_add(most).min(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_readings() {
        assert_eq!(next_part(0, 10, 4), 0..4);
        assert_eq!(next_part(8, 10, 4), 8..10);
        assert_eq!(next_part(0, 10, usize::MAX), 0..10);
        assert!(next_part(0, 0, 4).is_empty());
    }
}
