// SPDX-License-Identifier: MIT
//! How an output looks, whatever its format is.

use std::fmt;
use std::rc::Rc;

use bpfpack_stage::Sort;

use crate::clock::{LocalTime, TimeColumn, TimeText};
use crate::meaning::Names;
use crate::symbolize::{SharedSymbolizer, kernel_names};

/// The terminal that an output goes to.
#[derive(Debug, Clone, Copy)]
pub struct Terminal {
    /// Its rows and columns now; none where it is gone.
    pub size: fn() -> Option<(usize, usize)>,
    /// Whether it shows colors.
    pub has_colors: bool,
}

/// What a live screen begins with, and what can be done there.
#[derive(Debug, Clone, Default)]
pub struct LiveSettings {
    /// What readings come sorted by, where the user has said so.
    pub sort: Option<Sort>,
    /// Entries may be missing in a reading that are in others, as by `--top` or a filter: what came
    /// between two cannot be told.
    pub is_cut: bool,
    /// Somebody can press keys.
    pub has_keys: bool,
}

/// The last message for the user that is not on stderr yet, where a live screen would be in its way.
pub type LastMessage = Rc<dyn Fn() -> Option<String>>;

/// How an output looks.
#[derive(Clone)]
pub struct Settings {
    /// The time before each reading.
    pub timestamps: bool,
    /// The time of records; none where nothing was said.
    pub time: Option<TimeColumn>,
    /// Values as what they stand for.
    pub meanings: bool,
    /// The terminal that the output goes to, if it is one.
    pub terminal: Option<Terminal>,
    /// What a live screen begins with.
    pub live: LiveSettings,
    /// What to tell the user, on a live screen.
    pub message: Option<LastMessage>,
    /// Who finds stacks, and names addresses. Without it, stacks are the numbers that are in records.
    pub symbolizer: Option<SharedSymbolizer>,
    /// The local time of day.
    pub local_time: LocalTime,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("meanings", &self.meanings).finish_non_exhaustive()
    }
}

impl Settings {
    /// Bare values for programs, without times, names and a terminal.
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

    /// What names numbers; none where values are bare. `exact`: time spans and sizes stay numbers.
    pub(crate) fn names(&self, exact: bool) -> Option<Names> {
        self.meanings.then(|| {
            let mut names = Names::new(self.local_time);
            names.exact = exact;
            names.kernel = self.symbolizer.as_ref().map(kernel_names);
            names
        })
    }

    /// Who names the frames of stacks; none where values are bare.
    pub(crate) fn naming_symbolizer(&self) -> Option<SharedSymbolizer> {
        self.symbolizer.clone().filter(|_| self.meanings)
    }

    pub(crate) fn clock(&self, column: TimeColumn) -> TimeText {
        TimeText::new(column, self.local_time)
    }

    /// The clocks of records and of readings, in formats that show a time only where it is asked
    /// for. What `--time` says goes for both.
    pub(crate) fn clocks(&self) -> (Option<TimeText>, Option<TimeText>) {
        let clock = |column: TimeColumn| {
            Some(self.clock(column).for_programs()).filter(|clock| clock.width() > 0)
        };
        let stamp = self.timestamps.then_some(TimeColumn::Wall);
        (self.time.and_then(clock), self.time.or(stamp).and_then(clock))
    }
}
