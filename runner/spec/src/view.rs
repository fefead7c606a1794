// SPDX-License-Identifier: MIT
//! What is read periodically: the elements of a map, or variables.

use std::time::Duration;

use bpfpack_decode::{Edges, Field, Layout, Slots};
use serde::{Deserialize, Serialize};

use crate::stacks::Stack;

/// What a reading shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct View {
    /// Its number among the sources.
    pub index: usize,
    /// The map's or variable's name.
    pub name: String,
    /// What its entries are read from.
    pub from: ReadFrom,
    /// What a key is; none where there is only one entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Layout>,
    /// What a value is.
    pub value: Layout,
    /// What is drawn of it.
    pub shape: Shape,
    /// Time between readings.
    #[serde(rename = "interval_us", with = "microseconds")]
    pub interval: Duration,
    /// Each reading shows what came since the one before.
    pub differences: bool,
    /// The numbers in a value that count something.
    pub counters: Vec<Field>,
    /// An array has elements that nobody ever touched.
    pub leave_out_zeros: bool,
    /// The member that a table is sorted by; the first number where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sort: Option<String>,
    /// The stacks that its keys name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stacks: Vec<Stack>,
    /// What the average of a histogram's values is made of, where a program keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub average: Option<Average>,
    /// An entry is what one CPU counted; its key ends in the member `cpu`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub per_cpu: bool,
}

impl View {
    /// Whether a histogram is drawn for each key.
    #[must_use]
    pub fn is_histogram(&self) -> bool {
        matches!(self.shape, Shape::Histogram { .. })
    }
}

/// Numbers in the value of a histogram that its average is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Average {
    /// The sum of all values, in the unit of the slots.
    pub sum: Field,
    /// How many they are; the sum of the slots where there is no such number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<Field>,
}

impl Average {
    /// The average of the values in a histogram of so many; none where nothing was summed.
    #[must_use]
    pub fn of(&self, value: &[u8], total: u128) -> Option<f64> {
        let count = self.count.map_or(total, |count| count.unsigned(value));
        let sum = self.sum.unsigned(value);
        (sum > 0 && count > 0).then(|| sum as f64 / count as f64)
    }
}

/// What entries are read from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadFrom {
    /// The elements of a map.
    Map {
        /// Its name.
        map: String,
    },
    /// A map whose elements are the slots of histograms. They are put together: an entry is a
    /// histogram, its value an array of `len` numbers of 8 bytes.
    Slots {
        /// The map's name. Its values are one number.
        map: String,
        /// Where in the key the slot is.
        slot: Field,
        /// How many slots a histogram has; what is beyond counts as the last.
        len: usize,
    },
    /// Arrays of one length in a data section, side by side: entry i holds element i of each.
    Section {
        /// The section's name, with its dot.
        section: String,
        /// First byte of each array, and bytes of its elements.
        parts: Vec<Field>,
        /// How many elements each array has.
        len: usize,
    },
    /// Nothing: a stage makes the entries.
    Stage,
}

/// What is drawn of a view.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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

/// A time as whole microseconds; what never ends is the largest number.
mod microseconds {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        Ok(match u64::deserialize(from)? {
            u64::MAX => Duration::MAX,
            micros => Duration::from_micros(micros),
        })
    }
}
