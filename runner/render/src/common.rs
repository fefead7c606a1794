// SPDX-License-Identifier: MIT
//! What the formats for programs share.

use bpfpack_frame::Time;
use bpfpack_spec::Stack;

use crate::clock::TimeText;
use crate::meaning::Names;
use crate::settings::Settings;
use crate::symbolize::SharedSymbolizer;

/// The state of a format for programs.
#[derive(Default)]
pub(crate) struct Common {
    /// Whether there are several sources, so that each frame names its source.
    pub(crate) several: bool,
    /// The clock for records, if times are shown.
    pub(crate) clock: Option<TimeText>,
    /// The clock for readings, if times are shown.
    pub(crate) stamps: Option<TimeText>,
    pub(crate) names: Option<Names>,
    pub(crate) symbolizer: Option<SharedSymbolizer>,
}

impl std::fmt::Debug for Common {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Common").field("several", &self.several).finish_non_exhaustive()
    }
}

/// The kind of a frame, which selects the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    /// A record, or output of a stage.
    Record,
    /// A reading.
    Reading,
}

impl Common {
    pub(crate) fn new(settings: &Settings) -> Common {
        let (clock, stamps) = settings.clocks();
        Common {
            several: false,
            clock,
            stamps,
            names: settings.names(true),
            symbolizer: settings.naming_symbolizer(),
        }
    }

    /// The clock for a frame, if its time is shown.
    #[inline]
    pub(crate) fn clock(&mut self, of: Of) -> Option<&mut TimeText> {
        match of {
            Of::Record => self.clock.as_mut(),
            Of::Reading => self.stamps.as_mut(),
        }
    }

    /// The text of a frame's time, if it is shown.
    pub(crate) fn time(&mut self, of: Of, time: Time) -> Option<&[u8]> {
        self.clock(of).map(|clock| clock.text(time))
    }

    /// Whether the frames of stacks are shown.
    #[inline]
    pub(crate) fn names_frames(&self) -> bool {
        self.symbolizer.is_some()
    }

    /// Passes the frames of a stack to `take`, innermost first.
    pub(crate) fn frames(&self, stack: &Stack, record: &[u8], take: &mut dyn FnMut(&[u8])) {
        if let Some(symbolizer) = &self.symbolizer {
            symbolizer.borrow_mut().frames(stack, record, take);
        }
    }
}
