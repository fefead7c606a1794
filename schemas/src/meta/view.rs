// SPDX-License-Identifier: MIT
//! What the packer recognized: keys of this project only.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Entries of a map whose definition and package state no number.
pub const DEFAULT_ENTRIES: u32 = 10240;

/// Stacks of such a stack trace map: 8 MB with the size below.
pub const DEFAULT_STACKS: u32 = 8192;

/// Bytes of such a stack: addresses of the kernel's default depth (`kernel.perf_event_max_stack`).
pub const DEFAULT_STACK_BYTES: u32 = 127 * 8;

/// Bytes of such a ring buffer, which all CPUs share: what most tracers use, with room for a few
/// thousand records. A power of two and a multiple of 64 KiB suits all page sizes.
pub const DEFAULT_RING_BYTES: u32 = 256 << 10;

/// bpfpack: a struct that programs write to a buffer.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RecordMeta {
    /// The struct's tag; its typedef's name if it has no tag.
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

/// bpfpack: the purpose of a map or variable, and how it is shown unless `sample` overrides it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ViewMeta {
    /// The kind.
    pub kind: ViewKind,
    /// The scale of a histogram's slots. `log2` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<Scale>,
    /// Width of a slot of a linear histogram. 1 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<u64>,
    /// Lower edge of slot 0 of a linear histogram. 0 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<i64>,
    /// Unit of a histogram's slots: `usecs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Units that depend on a variable, as in `sample`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[cfg_attr(feature = "schema", schemars(with = "std::collections::BTreeMap<String, String>"))]
    pub unit_when: Map<String, Value>,
    /// The position of a histogram's slots. `value.NAME`: an array in the value (or in the
    /// variable). `value`: the value itself. `index`: the elements of an array map. `key.NAME`: a
    /// member of the key; the value is the count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slots: Option<SlotPosition>,
    /// The slot behind the last one that counts, which has the sum of all values, if each slot is an
    /// element.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sum_slot: Option<u32>,
    /// Columns of a table's key, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key: Vec<String>,
    /// Columns of a table's value, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub value: Vec<String>,
    /// The column by which a table is sorted, largest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sort: Option<String>,
    /// Unknown keys are kept.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The purpose of a map or variable.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ViewKind {
    /// Not shown.
    #[default]
    None,
    /// Counts of values by slot.
    Histogram,
    /// Counters, one row for each key.
    Table,
    /// Stacks; other maps contain their ids.
    Stacks,
    /// Data that programs keep between events, such as a start time. Not shown.
    Scratch,
    /// Data from user space for programs. Not shown.
    Input,
}

/// The scale of a histogram.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// Slot n counts the values from 2^n to 2^(n+1) - 1, slot 0 also 0.
    #[default]
    Log2,
    /// Slot 0 counts zeros, slot n the values from 2^(n-1) to 2^n - 1.
    Log2Zero,
    /// Slot n counts the values from 2^(n-1) + 1 to 2^n, slot 0 counts 0 and 1: the logarithm is
    /// rounded up.
    Log2Up,
    /// Slot 0 counts zeros, slot 1 ones, slot n the values from 2^(n-2) + 1 to 2^(n-1).
    Log2ZeroUp,
    /// Slot n counts the values from `origin + n * step` on.
    Linear,
}

/// The position of the slots of a histogram.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(from = "String", into = "String")]
pub enum SlotPosition {
    /// `value`: the value itself is an array of slots.
    Value,
    /// `value.NAME`: a member of the value is an array of slots.
    Member(String),
    /// `index`: each element of an array map is a slot.
    Index,
    /// `key.NAME`: a member of the key is the slot, and the value is its count.
    Key(String),
    /// A spelling of a later version, unchanged. Loaders look in the usual positions.
    Other(String),
}

impl From<String> for SlotPosition {
    fn from(text: String) -> SlotPosition {
        match text.split_once('.') {
            Some(("value", member)) => SlotPosition::Member(member.to_owned()),
            Some(("key", member)) => SlotPosition::Key(member.to_owned()),
            None if text == "value" => SlotPosition::Value,
            None if text == "index" => SlotPosition::Index,
            _ => SlotPosition::Other(text),
        }
    }
}

impl From<SlotPosition> for String {
    fn from(position: SlotPosition) -> String {
        match position {
            SlotPosition::Value => "value".to_owned(),
            SlotPosition::Member(name) => format!("value.{name}"),
            SlotPosition::Index => "index".to_owned(),
            SlotPosition::Key(name) => format!("key.{name}"),
            SlotPosition::Other(text) => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn positions_of_slots_are_written_as_they_are_read() {
        use SlotPosition::*;
        for (text, position) in [
            ("value", Value),
            ("value.slots", Member("slots".into())),
            ("value.", Member(String::new())),
            ("value.a.b", Member("a.b".into())),
            ("index", Index),
            ("key.slot", Key("slot".into())),
            ("key", Other("key".into())),
            ("index.x", Other("index.x".into())),
            ("Value", Other("Value".into())),
            ("", Other(String::new())),
        ] {
            let json = json!({"kind": "histogram", "slots": text});
            let view: ViewMeta = serde_json::from_value(json.clone()).unwrap();
            assert_eq!(view.slots, Some(position), "{text}");
            assert_eq!(serde_json::to_value(view).unwrap(), json);
        }
        let wrong = serde_json::from_value::<ViewMeta>(json!({"kind": "histogram", "slots": 5}));
        assert!(wrong.unwrap_err().to_string().contains("expected a string"));
    }
}
