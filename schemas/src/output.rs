// SPDX-License-Identifier: MIT
//! The lines that `ecli run --format json` writes, one JSON object each; YAML has the same keys.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A line of the JSON output of `ecli run`: an entry of a reading, a line of text that a module
/// made, or a record.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum OutputLine {
    /// An entry of a map, or of variables.
    Entry(Box<EntryLine>),
    /// Text of a module.
    Text(TextLine),
    /// A record of a buffer: its members are keys of the object.
    Record(RecordLine),
}

/// An entry of a reading. The entries of one reading follow each other, in the order of `--sort`.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct EntryLine {
    /// When it was read (`--time`): for `wall` a date and time of the universal time as ISO 8601 has
    /// it, for `boot` seconds since boot, for `delta` seconds since the line before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
    /// The number of the reading among those of its source, from 1 on (`--time`). Where the source
    /// does not show differences, each reading holds all that was counted since the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reading: Option<u64>,
    /// The map's or variable's name, where the run has several sources.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub map: Option<String>,
    /// The key; absent where there is only one entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<Value>,
    /// The value, with a histogram's slots as they are in the map.
    pub value: Value,
    /// What a histogram's slots count, and what they amount to (`--decode`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub histogram: Option<HistogramValue>,
    /// The functions of stacks, innermost first, by the names of the members that hold them
    /// (`--decode`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub stacks: BTreeMap<String, Vec<String>>,
}

/// A time: text for `--time wall`, else seconds.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum Time {
    /// A date and time of the universal time: `2026-11-29T15:04:05.123456Z`.
    Wall(String),
    /// Seconds.
    Seconds(f64),
}

/// A histogram.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct HistogramValue {
    /// The unit of all bounds and of the average.
    pub unit: String,
    /// The buckets that count anything, from the lowest on.
    pub buckets: Vec<BucketCount>,
    /// The sum of all counts.
    pub total: u64,
    /// The average of all values, where the program keeps their sum.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub average: Option<f64>,
    /// The bucket of the value whose rank is half of the total, rounded up, when all are sorted;
    /// absent, as what follows, where nothing was counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p50: Option<Bounds>,
    /// The same for 90 % of the total.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p90: Option<Bounds>,
    /// The same for 99 % of the total.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99: Option<Bounds>,
    /// The highest bucket that counts anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<Bounds>,
}

/// How often values between bounds were counted.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BucketCount {
    /// The least value.
    pub low: i64,
    /// The largest value; `null` for the last bucket, in which programs count all that is beyond.
    pub high: Option<u64>,
    /// How many.
    pub count: u64,
}

/// The values of a bucket.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    /// The least value.
    pub low: i64,
    /// The largest value; `null` for the last bucket, in which programs count all that is beyond.
    pub high: Option<u64>,
}

/// A line of text that a module made.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TextLine {
    /// As above.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
    /// The line.
    pub text: String,
}

/// A record: its members, and what says where it comes from.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RecordLine {
    /// As above.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
    /// The buffer's name, where the run has several sources.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub map: Option<String>,
    /// The struct's name, where the buffer has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
    /// The members of the struct.
    #[serde(flatten)]
    pub members: Map<String, Value>,
}
