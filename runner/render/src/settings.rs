// SPDX-License-Identifier: MIT
//! How an output looks, whatever its format is.

use std::fmt;

use crate::clock::{LocalTime, TimeText};
use crate::meaning::Names;
use crate::symbolize::{SharedSymbolizer, kernel_names};

/// The time that stands before a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeColumn {
    /// None.
    None,
    /// The local time of day.
    Wall,
    /// Seconds since boot.
    Boot,
    /// Seconds since the record before.
    Delta,
}

impl TimeColumn {
    /// By its name on the command line.
    #[must_use]
    pub fn named(name: &str) -> Option<TimeColumn> {
        TIME_COLUMNS.into_iter().find(|(known, _)| *known == name).map(|(_, column)| column)
    }

    /// The names of all.
    pub fn names() -> impl Iterator<Item = &'static str> {
        TIME_COLUMNS.into_iter().map(|(name, _)| name)
    }
}

const TIME_COLUMNS: [(&str, TimeColumn); 4] = [
    ("none", TimeColumn::None),
    ("wall", TimeColumn::Wall),
    ("boot", TimeColumn::Boot),
    ("delta", TimeColumn::Delta),
];

/// The terminal that an output goes to.
#[derive(Debug, Clone, Copy)]
pub struct Terminal {
    /// Its rows and columns now; none where it is gone.
    pub size: fn() -> Option<(usize, usize)>,
    /// Whether it shows colours.
    pub has_colors: bool,
}

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
        let clock = |column: TimeColumn| Some(self.clock(column)).filter(|c| c.width() > 0);
        let stamp = self.timestamps.then_some(TimeColumn::Wall);
        (self.time.and_then(clock), self.time.or(stamp).and_then(clock))
    }
}
