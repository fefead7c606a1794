// SPDX-License-Identifier: MIT
//! The `meta` key of a package, as eunomia-bpf's tools of version 0.3 read and write it, and the
//! keys that this project adds (marked "bpfpack:"; other loaders skip them).
//!
//! Every type keeps the keys that it does not know, so that reading and writing a package loses
//! nothing. Wire spellings are in the serde attributes alone.

mod meanings;
mod program;
mod view;

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

pub use meanings::MEANINGS;
pub use program::{ProgAnnotations, ProgMeta, TcAttachPoint, TcHook, TcOptions, XdpOptions};
pub use view::{DEFAULT_ENTRIES, DEFAULT_RING_BYTES, DEFAULT_STACK_BYTES, DEFAULT_STACKS};
pub use view::{RecordMeta, Scale, SlotPosition, ViewKind, ViewMeta};

/// Version of the bpfpack keys, written as `meta.bpfpack.version`.
pub const BPFPACK_VERSION: u32 = 3;

/// Variables of this prefix exist only to bring a type into the object's BTF.
pub const DUMMY_PREFIX: &str = "__eunomia_dummy";

/// The description of a package's object.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(title = "X.skel.json"))]
pub struct Meta {
    /// Programs, maps and variables.
    pub bpf_skel: Skeleton,
    /// Structs that user space decodes.
    #[serde(default, deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub export_types: Vec<ExportType>,
    /// Version of the packer, for instance `0.3.4`. Loaders ignore it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eunomia_version: Option<String>,
    /// Size of each CPU's perf buffer in pages, a power of two. 64 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub perf_buffer_pages: Option<u32>,
    /// Unused by bpfpack, which reads a perf buffer as soon as the kernel wakes it. 10 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub perf_buffer_time_ms: Option<u32>,
    /// Longest sleep of a loader that polls, in milliseconds. 100 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub poll_timeout_ms: Option<u32>,
    /// Whether libbpf's debug messages are shown. `false` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub debug_verbose: Option<bool>,
    /// Unused by bpfpack. `false` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub print_header: Option<bool>,
    /// `true`: the `export_config` of each map decides what is exported. `false`, or absent: one
    /// map is, and `export_types[0]` is its type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_multiple_export_types: Option<bool>,
    /// bpfpack: which version of the keys that bpfpack adds this package was written with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bpfpack: Option<Bpfpack>,
    /// Unknown keys are kept.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// bpfpack: marks a package that this project's packer wrote.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Bpfpack {
    /// Version of the added keys: 2, where `view` and `records` came in; 3, where `meanings` and
    /// `frequency` did. A loader that meets a higher one runs the package, and may miss what it does
    /// not know.
    pub version: u32,
    /// Unknown keys are kept.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A struct that user space decodes.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ExportType {
    /// The struct's tag.
    pub name: String,
    /// Its members, in order.
    pub members: Vec<ExportMember>,
    /// Its size in bytes.
    pub size: u32,
    /// Its type id in the object's BTF.
    pub type_id: u32,
    /// Unknown keys are kept.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A member of an [`ExportType`].
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ExportMember {
    /// The member's name.
    pub name: String,
    /// Its type as C spells it, for instance `__u32[20]`.
    #[serde(rename = "type")]
    pub ty: String,
    /// Unknown keys are kept.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// What the object holds.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Skeleton {
    /// The sections of global variables.
    pub data_sections: Vec<DataSection>,
    /// The maps, in the object's order; the internal ones, which hold the data sections, last.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub maps: Vec<MapMeta>,
    /// The object's name: the source's up to its first dot, with `_bpf` behind it, and `_` for
    /// every character that a C identifier cannot have.
    pub obj_name: String,
    /// The programs, in the object's order.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub progs: Vec<ProgMeta>,
    /// What the program says of itself in its help text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub doc: Option<Doc>,
    /// Unknown keys are kept.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// Texts for the package's `--help` and `--version`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Doc {
    /// Printed by `--version`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// One line, above the options.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub brief: Option<String>,
    /// A text below the options.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<String>,
    /// Stands in for `brief` where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Unknown keys are kept.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A section of global variables.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DataSection {
    /// `.rodata`, `.bss` or (bpfpack; other loaders refuse it) `.data`, perhaps with a suffix.
    pub name: String,
    /// Its global (not static) variables.
    pub variables: Vec<Variable>,
    /// Unknown keys are kept.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A global variable. A loader makes a command-line argument of it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Variable {
    /// The variable's name.
    pub name: String,
    /// Its type as C spells it. Loaders of this project go by the object's BTF instead.
    #[serde(rename = "type")]
    pub ty: String,
    /// The value to load it with, when no argument gives one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// Help text of its argument.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// How its argument looks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmdarg: Option<CmdArg>,
    /// bpfpack: how its content is shown, for an array of counters or histograms in `.bss`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample: Option<SampleMeta>,
    /// bpfpack: `true` keeps its content from being shown.
    #[serde(default, skip_serializing_if = "is_false")]
    pub hidden: bool,
    /// bpfpack: what the variable is for, as the packer recognized it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub view: Option<ViewMeta>,
    /// Unknown keys are kept, among them `size`: packers of old write there the padding before the
    /// variable, so nobody can use it.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The command-line argument of a variable.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CmdArg {
    /// The value when the argument is not given. For a bool it also gives the option's name:
    /// `--disable-NAME` where it is true, `--enable-NAME` where it is false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// Long option without dashes; the variable's name when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub long: Option<String>,
    /// Short option, one character.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub short: Option<String>,
    /// Help text; the variable's `description` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// Unknown keys are kept.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A map.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MapMeta {
    /// The map's name, as libbpf has it: for the map of a data section, the first eight characters
    /// of the object's name and the section's name (`hardirqs.rodata`).
    pub name: String,
    /// The name as a C identifier: for the map of a data section, the section's without its dot.
    pub ident: String,
    /// `true` for the map of a data section that user space maps into memory.
    #[serde(default, skip_serializing_if = "is_false")]
    pub mmaped: bool,
    /// The map is read and shown periodically.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample: Option<SampleMeta>,
    /// Whether the map's records or values are shown, and as which type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub export_config: Option<ExportConfig>,
    /// How a record of a ring or perf buffer is read.
    #[serde(rename = "intepreter", skip_serializing_if = "Option::is_none")]
    pub interpreter: Option<Interpreter>,
    /// bpfpack: `true` keeps the map from being shown without an annotation.
    #[serde(default, skip_serializing_if = "is_false")]
    pub hidden: bool,
    /// bpfpack: the structs that programs write to this buffer, in the order of the source. A
    /// record is one of those whose `tag` it has, or else one of its size.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub records: Vec<RecordMeta>,
    /// bpfpack: the member, at the same place in all of `records`, whose value tells them apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record_tag: Option<String>,
    /// bpfpack: what members of the records, keys or values stand for, by their names, where that is
    /// not to be concluded from their types and names: `{"addr": "ipv4", "err": "errno"}`. `plain`
    /// keeps a number a number.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub meanings: BTreeMap<String, String>,
    /// bpfpack: what the map is for, as the packer recognized it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub view: Option<ViewMeta>,
    /// bpfpack: how many entries to make the map with, where its definition leaves that to user
    /// space; of a ring buffer, how many bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_entries: Option<u32>,
    /// bpfpack: the size of a value in bytes, where the map's definition leaves that to user space:
    /// of a stack trace map, eight times the deepest stack.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_size: Option<u32>,
    /// Unknown keys are kept.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// How a map, or a variable, is read and shown periodically.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SampleMeta {
    /// Time between two readings in milliseconds.
    pub interval: u64,
    /// What is drawn.
    #[serde(rename = "type", default, skip_serializing_if = "SampleKind::is_default")]
    pub kind: SampleKind,
    /// Unit of a histogram's slots, for instance `usecs`. `(unit)` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// `true`: each reading shows what came since the one before. `false` when absent.
    #[serde(default, skip_serializing_if = "is_false")]
    pub clear_map: bool,
    /// bpfpack: units that depend on a variable. A key is a variable's name, and its value the unit
    /// where that variable is not zero: `{"targ_ns": "nsecs"}`. The first that applies wins over
    /// `unit`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[cfg_attr(feature = "schema", schemars(with = "std::collections::BTreeMap<String, String>"))]
    pub unit_when: Map<String, Value>,
    /// bpfpack: an enum whose enumerators name the keys, or an array's indexes. Looked up in the
    /// object's BTF, then in the kernel's, by its tag, or by the name of one of its enumerators
    /// where it has no tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_enum: Option<String>,
    /// bpfpack: names of the keys 0, 1, 2, …; they win over `key_enum`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key_labels: Vec<String>,
    /// bpfpack: width of a slot of a `linear_hist`. 1 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<u64>,
    /// bpfpack: lower edge of slot 0 of a `linear_hist`. 0 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<i64>,
    /// bpfpack: the member of a histogram's value that holds the sum of all values, in the unit of
    /// the slots: the average is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sum: Option<String>,
    /// bpfpack: the member that says how many values `sum` is of. The sum of the slots when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<String>,
    /// bpfpack: members that are no counters, such as a maximum: shown as they are where
    /// `clear_map` shows differences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gauges: Vec<String>,
    /// Unknown keys are kept.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// What is drawn of a sampled map.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum SampleKind {
    /// A line for each key.
    #[default]
    #[serde(rename = "default_kv")]
    KeyValue,
    /// A histogram for each key; slot n counts the values from 2^n to 2^(n+1) - 1, slot 0 also 0.
    #[serde(rename = "log2_hist")]
    Log2Histogram,
    /// A histogram for each key; slot n counts the values from `origin + n * step` on.
    #[serde(rename = "linear_hist")]
    LinearHistogram,
}

impl SampleKind {
    fn is_default(&self) -> bool {
        *self == SampleKind::default()
    }
}

/// Whether and as which type a map is shown.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum ExportConfig {
    /// It is not.
    #[default]
    #[serde(rename = "no_export")]
    NoExport,
    /// As the value type that the map has in BTF. Only for maps that are sampled.
    #[serde(rename = "default")]
    Default,
    /// As this type of the object's BTF.
    #[serde(rename = "btf_type_id")]
    BtfTypeId(u32),
    /// As a struct made of these members.
    #[serde(rename = "custom_members")]
    CustomMembers(Vec<CustomMember>),
}

/// A member of a struct that only the package describes.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CustomMember {
    /// The member's name.
    pub name: String,
    /// Its offset in bytes.
    pub offset: u32,
    /// Its type's id in the object's BTF.
    pub btf_type_id: u32,
    /// Unknown keys are kept.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// How a record of a buffer is read.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Interpreter {
    /// As its type says.
    #[default]
    #[serde(rename = "default_struct")]
    DefaultStruct,
    /// As a stack trace.
    #[serde(rename = "stack_trace")]
    StackTrace {
        /// Which members of the record hold `pid`, `cpu_id`, `comm`, `kstack_sz`, `ustack_sz`
        /// (sizes in bytes), `kstack` and `ustack`; a field that is absent has its own name.
        #[serde(default)]
        field_map: BTreeMap<String, String>,
        /// Whether addresses are shown as symbols.
        #[serde(default = "yes")]
        with_symbols: bool,
    },
}

fn is_false(value: &bool) -> bool {
    !value
}

fn yes() -> bool {
    true
}

/// Packers of old write `null` for an empty list.
fn null_is_empty<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::<Vec<T>>::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn wire_spellings_of_enums() {
        let map: MapMeta = serde_json::from_value(json!({
            "name": "m", "ident": "m",
            "export_config": {"btf_type_id": 5},
            "intepreter": {"stack_trace": {"field_map": {"pid": "tgid"}}},
            "sample": {"interval": 1000, "type": "log2_hist", "unit_when": {"targ_ns": "nsecs"}}
        }))
        .unwrap();
        assert_eq!(map.export_config, Some(ExportConfig::BtfTypeId(5)));
        let Some(Interpreter::StackTrace { field_map, with_symbols }) = &map.interpreter else {
            panic!("{map:?}")
        };
        assert!(*with_symbols && field_map["pid"] == "tgid");
        let text = serde_json::to_string(&map).unwrap();
        assert!(text.contains(r#""intepreter":{"stack_trace""#), "{text}");
        assert!(text.contains(r#""sample":{"interval":1000,"type":"log2_hist","unit_when""#));
        for (text, config) in
            [("\"no_export\"", ExportConfig::NoExport), ("\"default\"", ExportConfig::Default)]
        {
            assert_eq!(serde_json::from_str::<ExportConfig>(text).unwrap(), config);
        }
    }

    #[test]
    fn null_maps_and_programs_are_empty() {
        let skeleton: Skeleton = serde_json::from_value(
            json!({"obj_name": "a_bpf", "data_sections": [], "maps": null, "progs": null}),
        )
        .unwrap();
        assert!(skeleton.maps.is_empty() && skeleton.progs.is_empty());
    }
}
