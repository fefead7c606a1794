// SPDX-License-Identifier: MIT
//! The lines of `ecli run --format json`, one JSON object per line. YAML has the same keys.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A line of the JSON output of `ecli run`: an entry of a reading, a line of text of a module, or a
/// record.
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

/// An entry of a reading. The entries of a reading are consecutive, in the order of `--sort`.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct EntryLine {
    /// The time of the reading (`--time`): for `wall`, an ISO 8601 date and time in UTC; for
    /// `boot`, seconds since boot; for `delta`, seconds since the previous line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
    /// The number of the reading among those of its source, starting at 1 (`--time`). Unless the
    /// source shows differences, each reading has the totals since the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reading: Option<u64>,
    /// The name of the map or variable, if the run has several sources.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub map: Option<String>,
    /// The key; absent if there is only one entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<Value>,
    /// The value. The slots of a histogram are as in the map.
    pub value: Value,
    /// The ranges and the summary of a histogram (`--decode`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub histogram: Option<HistogramValue>,
    /// The functions of each stack, innermost first, by the name of the member that holds the stack
    /// (`--decode`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub stacks: BTreeMap<String, Vec<String>>,
}

/// A time: text for `--time wall`, seconds otherwise.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum Time {
    /// A date and time in UTC: `2026-11-29T15:04:05.123456Z`.
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
    /// The buckets with a count above 0, lowest first.
    pub buckets: Vec<BucketCount>,
    /// The sum of all counts.
    pub total: u64,
    /// The average of all values, if the program keeps their sum.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub average: Option<f64>,
    /// The bucket of the value whose rank is half of the total, rounded up. This key and the
    /// following ones are absent if the total is 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p50: Option<Bounds>,
    /// The same for 90% of the total.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p90: Option<Bounds>,
    /// The same for 99% of the total.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99: Option<Bounds>,
    /// The highest bucket with a count above 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<Bounds>,
}

/// A bucket: how many values are between two bounds.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BucketCount {
    /// The smallest value.
    pub low: i64,
    /// The largest value; `null` for the last bucket, which also counts all larger values.
    pub high: Option<u64>,
    /// The number of values.
    pub count: u64,
}

/// The bounds of a bucket.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    /// The smallest value.
    pub low: i64,
    /// The largest value; `null` for the last bucket, which also counts all larger values.
    pub high: Option<u64>,
}

/// A line of text of a module.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TextLine {
    /// The time (`--time`), as for entries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
    /// The line.
    pub text: String,
}

/// A record: its members, and its origin.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RecordLine {
    /// The time (`--time`), as for entries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
    /// The buffer's name, if the run has several sources.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub map: Option<String>,
    /// The struct's name, if the buffer has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
    /// The members of the struct.
    #[serde(flatten)]
    pub members: Map<String, Value>,
}
