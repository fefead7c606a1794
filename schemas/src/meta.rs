// SPDX-License-Identifier: MIT
//! The `meta` key of a package: the keys that version 0.3 of eunomia-bpf reads and writes, and keys
//! that this project adds (marked "bpfpack:"; other loaders ignore them).
//!
//! Every type keeps unknown keys, so reading and writing a package loses nothing. Only serde
//! attributes contain the wire spellings.

mod meanings;
mod metric;
mod program;
mod view;

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

pub use meanings::MEANINGS;
pub use metric::{MetricMeta, check_label_name, check_metric_name};
pub use program::{ProgAnnotations, ProgMeta, TcAttachPoint, TcHook, TcOptions, XdpOptions};
pub use view::{DEFAULT_ENTRIES, DEFAULT_RING_BYTES, DEFAULT_STACK_BYTES, DEFAULT_STACKS};
pub use view::{RecordMeta, Scale, SlotPosition, ViewKind, ViewMeta};

/// Version of the bpfpack keys, the value of `meta.bpfpack.version`.
pub const BPFPACK_VERSION: u32 = 3;

/// Prefix of variables that exist only to add a type to the object's BTF.
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
    /// Version of the packer: `0.3.4`. Loaders ignore it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eunomia_version: Option<String>,
    /// Size of each CPU's perf buffer in pages, a power of two. 64 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub perf_buffer_pages: Option<u32>,
    /// Unused by bpfpack, which reads a perf buffer as soon as the kernel signals data. 10 when
    /// absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub perf_buffer_time_ms: Option<u32>,
    /// Longest sleep of a loader that polls, in milliseconds. 100 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub poll_timeout_ms: Option<u32>,
    /// Whether debug messages of libbpf are shown. `false` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub debug_verbose: Option<bool>,
    /// Unused by bpfpack. `false` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub print_header: Option<bool>,
    /// `true`: the `export_config` of each map decides what is exported. `false`, or absent: one
    /// map is exported, with `export_types[0]` as its type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_multiple_export_types: Option<bool>,
    /// bpfpack: the version of the added keys in this package.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bpfpack: Option<Bpfpack>,
    /// Unknown keys are kept.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// bpfpack: marks a package of this project's packer.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Bpfpack {
    /// Version of the added keys: 2 added `view` and `records`; 3 added `meanings` and `frequency`.
    /// A loader runs a package of a higher version, but may ignore keys that it does not know.
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
    /// Its type in C notation: `__u32[20]`.
    #[serde(rename = "type")]
    pub ty: String,
    /// Unknown keys are kept.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The contents of the object.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Skeleton {
    /// The sections of global variables.
    pub data_sections: Vec<DataSection>,
    /// The maps, in the object's order, followed by the internal maps of the data sections.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub maps: Vec<MapMeta>,
    /// The object's name: the source's name up to its first dot, and `_bpf`. Characters that a C
    /// identifier cannot have are `_`.
    pub obj_name: String,
    /// The programs, in the object's order.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub progs: Vec<ProgMeta>,
    /// Texts for the help of the package.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub doc: Option<Doc>,
    /// Unknown keys are kept.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// Texts for `--help` and `--version` of the package.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Doc {
    /// The output of `--version`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// A line above the options.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub brief: Option<String>,
    /// A text below the options.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<String>,
    /// Used if `brief` is absent.
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
    /// `.rodata`, `.bss` or `.data` (bpfpack; other loaders refuse it), with or without a suffix.
    pub name: String,
    /// Its global (not static) variables.
    pub variables: Vec<Variable>,
    /// Unknown keys are kept.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A global variable. A loader makes it a command-line argument.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Variable {
    /// The variable's name.
    pub name: String,
    /// Its type in C notation. Loaders of this project use the object's BTF instead.
    #[serde(rename = "type")]
    pub ty: String,
    /// The value if no argument gives one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// Help text of its argument.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The form of its argument.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmdarg: Option<CmdArg>,
    /// bpfpack: how its content is shown: for an array of counters or histograms in `.bss`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample: Option<SampleMeta>,
    /// bpfpack: `true`: its content is not shown.
    #[serde(default, skip_serializing_if = "is_false")]
    pub hidden: bool,
    /// bpfpack: the purpose of the variable, as the packer recognized it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub view: Option<ViewMeta>,
    /// bpfpack: how its data is exported as metrics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<MetricMeta>,
    /// Unknown keys are kept. One is `size`: old packers write the padding before the variable
    /// there, so it is unusable.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The command-line argument of a variable.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CmdArg {
    /// The value if the argument is not given. For a bool, it also decides the name of the option:
    /// `--disable-NAME` if it is true, `--enable-NAME` if it is false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// Long option without dashes. The variable's name when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub long: Option<String>,
    /// Short option, one character.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub short: Option<String>,
    /// Help text. The variable's `description` when absent.
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
    /// The map's name in libbpf. For the map of a data section, the first eight characters of the
    /// object's name and the section's name: `hardirqs.rodata`.
    pub name: String,
    /// The name as a C identifier. For the map of a data section, the section's name without its
    /// dot.
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
    /// How a record of a ring or perf buffer is interpreted.
    #[serde(rename = "intepreter", skip_serializing_if = "Option::is_none")]
    pub interpreter: Option<Interpreter>,
    /// bpfpack: `true`: the map is not shown unless an annotation asks for it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub hidden: bool,
    /// bpfpack: the structs that programs write to this buffer, in the order of the source. The
    /// `tag` of a record decides which struct it is; without a tag, its size.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub records: Vec<RecordMeta>,
    /// bpfpack: the member whose value distinguishes the records. It has the same offset in all
    /// `records`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record_tag: Option<String>,
    /// bpfpack: meanings of members of records, keys and values, by name, if their types and names do
    /// not imply them: `{"addr": "ipv4", "err": "errno"}`. `plain` shows the number itself.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub meanings: BTreeMap<String, String>,
    /// bpfpack: the purpose of the map, as the packer recognized it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub view: Option<ViewMeta>,
    /// bpfpack: the number of entries (for a ring buffer: bytes) of a map whose definition leaves
    /// it to user space.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_entries: Option<u32>,
    /// bpfpack: the size of a value in bytes, if the map's definition leaves it to user space. For
    /// a stack trace map, eight times the largest number of addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_size: Option<u32>,
    /// bpfpack: how its data is exported as metrics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<MetricMeta>,
    /// Unknown keys are kept.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// How a map or a variable is read and shown periodically.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SampleMeta {
    /// Time between two readings in milliseconds.
    pub interval: u64,
    /// The form in which it is shown.
    #[serde(rename = "type", default, skip_serializing_if = "SampleKind::is_default")]
    pub kind: SampleKind,
    /// Unit of a histogram's slots: `usecs`. `(unit)` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// `true`: each reading shows the difference to the previous one. `false` when absent.
    #[serde(default, skip_serializing_if = "is_false")]
    pub clear_map: bool,
    /// bpfpack: units that depend on a variable. A key is the name of a variable, and its value is
    /// the unit if that variable is not zero: `{"targ_ns": "nsecs"}`. The first one that applies
    /// overrides `unit`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[cfg_attr(feature = "schema", schemars(with = "std::collections::BTreeMap<String, String>"))]
    pub unit_when: Map<String, Value>,
    /// bpfpack: an enum whose enumerators name the keys, or the indexes of an array. It is searched
    /// in the object's BTF, then in the kernel's, by its tag; if it has no tag, by the name of one
    /// of its enumerators.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_enum: Option<String>,
    /// bpfpack: names of the keys 0, 1, 2, …; they override `key_enum`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key_labels: Vec<String>,
    /// bpfpack: width of a slot of a `linear_hist`. 1 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<u64>,
    /// bpfpack: lower edge of slot 0 of a `linear_hist`. 0 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<i64>,
    /// bpfpack: the member of a histogram's value that holds the sum of all values, in the unit of
    /// the slots. With it, the average is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sum: Option<String>,
    /// bpfpack: the member that holds the number of values in `sum`. The total of the slots when
    /// absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<String>,
    /// bpfpack: members that are not counters, such as a maximum. They are shown unchanged where
    /// `clear_map` shows differences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gauges: Vec<String>,
    /// Unknown keys are kept.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The form in which a sampled map is shown.
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

/// Whether a map is shown, and as which type.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum ExportConfig {
    /// The map is not shown.
    #[default]
    #[serde(rename = "no_export")]
    NoExport,
    /// As the map's value type in BTF. Only for sampled maps.
    #[serde(rename = "default")]
    Default,
    /// As this type in the object's BTF.
    #[serde(rename = "btf_type_id")]
    BtfTypeId(u32),
    /// As a struct with these members.
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
    /// The id of its type in the object's BTF.
    pub btf_type_id: u32,
    /// Unknown keys are kept.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// How a record of a buffer is interpreted.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Interpreter {
    /// As its type.
    #[default]
    #[serde(rename = "default_struct")]
    DefaultStruct,
    /// As a stack trace.
    #[serde(rename = "stack_trace")]
    StackTrace {
        /// The members of the record that hold `pid`, `cpu_id`, `comm`, `kstack_sz`, `ustack_sz`
        /// (sizes in bytes), `kstack` and `ustack`. A field that is absent has its own name.
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

/// Old packers write `null` for an empty list.
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
