// SPDX-License-Identifier: MIT
//! What the packer recognised: keys that only this project knows.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Entries of a map whose definition leaves them to user space, where nothing says another number.
pub const DEFAULT_ENTRIES: u32 = 10240;

/// Stacks of such a stack trace map: 8 MB with the size below.
pub const DEFAULT_STACKS: u32 = 8192;

/// Bytes of such a stack: the kernel's default depth (`kernel.perf_event_max_stack`) of addresses.
pub const DEFAULT_STACK_BYTES: u32 = 127 * 8;

/// bpfpack: a struct that programs write to a buffer.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RecordType {
    /// The struct's tag, or its typedef's name where it has no tag.
    pub name: String,
    /// Its size in bytes.
    pub size: u32,
    /// Its id in the object's BTF.
    pub btf_type_id: u32,
    /// The value of the member `record_tag` in records of this struct.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<i64>,
    /// Unknown keys are kept.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// bpfpack: what a map or variable is for, and how it is shown where no `sample` says another.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct View {
    /// What it is.
    pub kind: ViewKind,
    /// What a histogram's slots count. `log2` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<Scale>,
    /// Width of a slot of a linear histogram. 1 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<u64>,
    /// Lower edge of slot 0 of a linear histogram. 0 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<i64>,
    /// Unit of a histogram's slots, for instance `usecs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Units that depend on a variable, as in `sample`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[cfg_attr(feature = "schema", schemars(with = "std::collections::BTreeMap<String, String>"))]
    pub unit_when: Map<String, Value>,
    /// Where a histogram's slots are: `value.NAME` is an array in the value (or in the variable),
    /// `value` the value itself, `index` the elements of an array map, `key.NAME` a member of the
    /// key, the value being the count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slots: Option<String>,
    /// Columns of a table's key, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key: Vec<String>,
    /// Columns of a table's value, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub value: Vec<String>,
    /// The column that a table is sorted by, largest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sort: Option<String>,
    /// Unknown keys are kept.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// What a map or variable is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ViewKind {
    /// It is not shown.
    #[default]
    None,
    /// Counts of values by slot.
    Histogram,
    /// Counters, by key where there is one.
    Table,
    /// Stacks, which other maps refer to by their ids.
    Stacks,
    /// What programs keep between events, as the time of a start. Not shown.
    Scratch,
    /// What user space tells programs. Not shown.
    Input,
}

/// What the slots of a histogram count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// Slot n counts the values from 2^n to 2^(n+1) - 1, slot 0 also 0.
    #[default]
    Log2,
    /// Slot 0 counts zeros, slot n the values from 2^(n-1) to 2^n - 1.
    Log2Zero,
    /// Slot n counts the values from `origin + n * step` on.
    Linear,
}
