// SPDX-License-Identifier: MIT
//! Settings of an output, for all formats.

use std::fmt;
use std::rc::Rc;

use bpfpack_stage::Sort;

use crate::clock::{LocalTime, TimeColumn, TimeText};
use crate::meaning::Names;
use crate::symbolize::{SharedSymbolizer, kernel_names};

/// The terminal of an output.
#[derive(Debug, Clone, Copy)]
pub struct Terminal {
    /// Returns its current rows and columns; `None` if it is gone.
    pub size: fn() -> Option<(usize, usize)>,
    /// Whether it supports colors.
    pub has_colors: bool,
}

/// The initial state of a live screen.
#[derive(Debug, Clone, Default)]
pub struct LiveSettings {
    /// The order in which readings arrive, if the user set one.
    pub sort: Option<Sort>,
    /// Whether a reading may lack entries that others have, because of `--top` or a filter. Then
    /// differences are not known.
    pub is_cut: bool,
    /// Whether there is a keyboard.
    pub has_keys: bool,
}

/// Returns the last message that is held because of a live screen.
pub type LastMessage = Rc<dyn Fn() -> Option<String>>;

/// Settings of an output.
#[derive(Clone)]
pub struct Settings {
    /// Whether the time is printed before each reading.
    pub timestamps: bool,
    /// The time column of records; `None` is the format's default.
    pub time: Option<TimeColumn>,
    /// Whether values are shown by their meaning.
    pub meanings: bool,
    /// The terminal, if the output goes to one.
    pub terminal: Option<Terminal>,
    /// The initial state of a live screen.
    pub live: LiveSettings,
    /// The message for a live screen.
    pub message: Option<LastMessage>,
    /// Finds stacks and names addresses. Without it, stacks are shown as the numbers in records.
    pub symbolizer: Option<SharedSymbolizer>,
    /// Converts to local time of day.
    pub local_time: LocalTime,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("meanings", &self.meanings).finish_non_exhaustive()
    }
}

impl Settings {
    /// Plain values for programs, without times, names and a terminal.
    #[must_use]
    pub fn bare(local_time: LocalTime) -> Settings {
        Settings {
            timestamps: false,
            time: None,
            meanings: false,
            terminal: None,
            live: LiveSettings::default(),
            message: None,
            symbolizer: None,
            local_time,
        }
    }

    /// Names for numbers; `None` if values are plain. `exact`: durations and sizes stay numbers.
    pub(crate) fn names(&self, exact: bool) -> Option<Names> {
        self.meanings.then(|| {
            let mut names = Names::new(self.local_time);
            names.exact = exact;
            names.kernel = self.symbolizer.as_ref().map(kernel_names);
            names
        })
    }

    /// Names the frames of stacks; `None` if values are plain.
    pub(crate) fn naming_symbolizer(&self) -> Option<SharedSymbolizer> {
        self.symbolizer.clone().filter(|_| self.meanings)
    }

    pub(crate) fn clock(&self, column: TimeColumn) -> TimeText {
        TimeText::new(column, self.local_time)
    }

    /// The clocks of records and of readings, in formats that show a time only on request. `--time`
    /// applies to both.
    pub(crate) fn clocks(&self) -> (Option<TimeText>, Option<TimeText>) {
        let clock = |column: TimeColumn| {
            Some(self.clock(column).for_programs()).filter(|clock| clock.width() > 0)
        };
        let stamp = self.timestamps.then_some(TimeColumn::Wall);
        (self.time.and_then(clock), self.time.or(stamp).and_then(clock))
    }
}
