// SPDX-License-Identifier: MIT
//! Decides what is shown of a running package: which maps and variables are read periodically, and
//! as what; which buffers' records are shown, and as which struct.
//!
//! Annotations decide first. What has none is recognised by its type:
//! - a map, or a variable in `.bss` or `.data`, whose value has an array `slots` is a log2 histogram;
//! - integers and arrays of integers in `.bss` and `.data` are counters, shown where the package has
//!   nothing else to show.

mod planner;

use std::time::Duration;

use crate::collect::maps::Reader;
use crate::decode::{Edges, Layout, Slots};

pub use planner::plan;

/// Everything that is shown.
#[derive(Debug, Default)]
pub struct Views {
    /// What is read periodically.
    pub samples: Vec<View>,
    /// What comes by itself.
    pub streams: Vec<Stream>,
}

/// Something that is read periodically.
#[derive(Debug)]
pub struct View {
    /// The map's or variable's name.
    pub name: String,
    /// Where it is read from.
    pub reader: Reader,
    /// What a key is; none where there is only one entry.
    pub key: Option<Layout>,
    /// What a value is.
    pub value: Layout,
    /// What is drawn of it.
    pub shape: Shape,
    /// Time between readings.
    pub interval: Duration,
    /// Each reading shows what came since the one before.
    pub differences: bool,
    /// The places in a value that count something.
    pub counters: Vec<(usize, usize)>,
    /// An array has elements that nobody ever touched.
    pub leave_out_zeros: bool,
}

/// What is drawn of a view.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// A histogram for each key.
    Histogram {
        /// Where its slots are.
        slots: Slots,
        /// What they count.
        edges: Edges,
        /// In which unit.
        unit: String,
    },
    /// A table of counters, largest first.
    Table,
    /// A line for each key, with the time.
    KeyValue,
}

/// A buffer of records.
#[derive(Debug)]
pub struct Stream {
    /// The map's name.
    pub name: String,
    /// What a record is.
    pub record: Layout,
    /// Which of the two types of buffers it is.
    pub is_perf: bool,
    /// Pages of a perf buffer for each CPU.
    pub pages: usize,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::collect::maps::SectionReader;

    /// A hash map of a byte to a counter.
    pub(crate) fn counter_view() -> View {
        View {
            name: "counts".into(),
            reader: Reader::Section(SectionReader {
                fd: std::fs::File::open("/dev/null").unwrap().into(),
                size: 0,
                parts: Vec::new(),
                len: 0,
            }),
            key: Some(Layout::Int { size: 1, signed: false }),
            value: Layout::Int { size: 8, signed: false },
            shape: Shape::Table,
            interval: Duration::from_secs(1),
            differences: true,
            counters: vec![(0, 8)],
            leave_out_zeros: false,
        }
    }
}
