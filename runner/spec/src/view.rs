// SPDX-License-Identifier: MIT
//! Views: data that is read periodically, the elements of a map or variables.

use std::time::Duration;

use bpfpack_decode::{Edges, Field, Layout, Slots};
use serde::{Deserialize, Serialize};

use crate::stacks::Stack;

/// The description of readings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct View {
    /// Its index among the sources.
    pub index: usize,
    /// The name of the map or variable.
    pub name: String,
    /// The origin of its entries.
    pub from: ReadFrom,
    /// The layout of a key; `None` if there is only one entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Layout>,
    /// The layout of a value.
    pub value: Layout,
    /// How it is shown.
    pub shape: Shape,
    /// Time between readings.
    #[serde(rename = "interval_us", with = "microseconds")]
    pub interval: Duration,
    /// Whether readings show differences from the previous one.
    pub differences: bool,
    /// The counters in a value.
    pub counters: Vec<Field>,
    /// Whether to skip entries that are zero, as unused elements of an array are.
    pub leave_out_zeros: bool,
    /// The member by which a table is sorted; `None` for the first number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sort: Option<String>,
    /// The stacks in its keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stacks: Vec<Stack>,
    /// The numbers for the average of a histogram's values, if programs keep them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub average: Option<Average>,
    /// Whether an entry is the value of one CPU; then its key ends in the member `cpu`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub per_cpu: bool,
}

impl View {
    /// Whether it is shown as a histogram for each key.
    #[must_use]
    pub fn is_histogram(&self) -> bool {
        matches!(self.shape, Shape::Histogram { .. })
    }
}

/// The numbers in a histogram's value from which its average is calculated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Average {
    /// The sum of all values, in the unit of the slots.
    pub sum: Field,
    /// The number of values; `None` for the sum of the slots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<Field>,
}

impl Average {
    /// The average of the values in a histogram with `total` values; `None` if nothing was summed.
    #[must_use]
    pub fn of(&self, value: &[u8], total: u128) -> Option<f64> {
        let count = self.count.map_or(total, |count| count.unsigned(value));
        let sum = self.sum.unsigned(value);
        (sum > 0 && count > 0).then(|| sum as f64 / count as f64)
    }
}

/// The origin of entries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadFrom {
    /// The elements of a map.
    Map {
        /// Its name.
        map: String,
    },
    /// A map whose elements are slots of histograms. They are joined, so that an entry is a
    /// histogram whose value is an array of `len` 8-byte numbers.
    Slots {
        /// The map's name. Its values are single numbers.
        map: String,
        /// The slot in the key.
        slot: Field,
        /// The number of slots in a histogram. Slots beyond it are added to the last one.
        len: usize,
        /// The slot that has the sum of all values. If there is one, the value is a struct, with the
        /// sum behind the array.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sum_slot: Option<u64>,
    },
    /// Arrays of the same length in a data section, read in parallel: entry i has element i of
    /// each.
    Section {
        /// The section's name with its leading dot.
        section: String,
        /// The offset of each array, and the size of its elements.
        parts: Vec<Field>,
        /// The number of elements in each array.
        len: usize,
    },
    /// None: a stage makes the entries.
    Stage,
}

/// How a view is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// A histogram for each key.
    Histogram {
        /// Its slots.
        slots: Slots,
        /// The edges of its slots.
        edges: Edges,
        /// The unit of its values.
        unit: String,
    },
    /// A table of counters, largest first.
    Table,
    /// A line for each key, with the time.
    KeyValue,
}

/// Encodes a duration as integer microseconds; an infinite one is the largest number.
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
