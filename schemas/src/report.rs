// SPDX-License-Identifier: MIT
//! What `ecli inspect` reports about a package: the types of its JSON output.

mod effect;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use effect::{Effect, Evidence, Finding};

/// The output of `ecli inspect --json`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(title = "ecli inspect --json"))]
pub struct Inspection {
    /// The name of the package: of its object, or of the Wasm module that is a whole tracer.
    pub name: String,
    /// The version of the package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What the package says about itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Where the package comes from.
    #[serde(default)]
    pub origin: OriginReport,
    /// Digests of the package.
    pub sha256: Digests,
    /// What the object does.
    #[serde(flatten)]
    pub report: Report,
    /// The arguments of the package, as in its help.
    pub arguments: Vec<ArgumentReport>,
    /// What is shown.
    pub sources: Vec<SourceReport>,
    /// The Wasm modules.
    pub modules: Vec<ModuleReport>,
    /// What `ecli run` adds to the object before it loads it; absent if nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instrumentation: Option<Instrumentation>,
}

/// Where a package comes from, and who made it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OriginReport {
    /// What rules know it by: an absolute path, `-`, a URL, or the name of an image.
    pub source: String,
    /// What the rules and keys of this machine say about its signature, in words.
    pub signature: String,
}

/// SHA-256 digests, in hexadecimal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Digests {
    /// Of the bytes of the file; absent if the package does not come from a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Of the object, uncompressed; absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// Of the same object for other instruction sets, by the instruction set: `v2`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variants: BTreeMap<String, String>,
}

/// What objects do, found in their instructions without loading them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Report {
    /// The license that the object states. The kernel refuses some helpers to programs whose license
    /// is not compatible with the GPL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// The programs, in the order of the object.
    pub programs: Vec<ProgramReport>,
    /// The maps, in the order of the object, followed by those of its data sections.
    pub maps: Vec<MapReport>,
    /// The capabilities that loading and attaching the programs takes: `CAP_BPF` ….
    pub capabilities: Vec<String>,
    /// What the programs can do to the system.
    pub effects: Vec<Finding>,
}

impl Report {
    /// Whether the programs only observe the system.
    #[must_use]
    pub fn observes_only(&self) -> bool {
        self.changes().next().is_none()
    }

    /// What the programs can do beyond observing.
    pub fn changes(&self) -> impl Iterator<Item = &Finding> {
        self.effects.iter().filter(|finding| !finding.effect.observes())
    }

    /// Adds what only another variant of the same object does.
    pub fn add_variant(&mut self, variant: Report) {
        for capability in variant.capabilities {
            if !self.capabilities.contains(&capability) {
                self.capabilities.push(capability);
            }
        }
        for finding in variant.effects {
            match self.effects.iter_mut().find(|known| known.effect == finding.effect) {
                Some(known) => {
                    let is_new = |it: &Evidence| !known.evidence.contains(it);
                    let more: Vec<Evidence> = finding.evidence.into_iter().filter(is_new).collect();
                    known.evidence.extend(more);
                }
                None => self.effects.push(finding),
            }
        }
        self.effects.sort_by_key(|finding| finding.effect);
        // Rules for helpers and kfuncs apply to all variants.
        for program in variant.programs {
            let of_name = |known: &&mut ProgramReport| known.name == program.name;
            match self.programs.iter_mut().find(of_name) {
                Some(known) => {
                    add_new(&mut known.helpers, program.helpers);
                    add_new(&mut known.kfuncs, program.kfuncs);
                }
                None => self.programs.push(program),
            }
        }
    }

    /// Appends what another object does.
    pub fn append(&mut self, other: Report) {
        self.license = self.license.take().or(other.license);
        self.programs.extend(other.programs);
        self.maps.extend(other.maps);
        for capability in other.capabilities {
            if !self.capabilities.contains(&capability) {
                self.capabilities.push(capability);
            }
        }
        for finding in other.effects {
            match self.effects.iter_mut().find(|known| known.effect == finding.effect) {
                Some(known) => known.evidence.extend(finding.evidence),
                None => self.effects.push(finding),
            }
        }
        self.effects.sort_by_key(|finding| finding.effect);
    }
}

/// Appends the names that are not there.
fn add_new(names: &mut Vec<String>, more: Vec<String>) {
    for name in more {
        if !names.contains(&name) {
            names.push(name);
        }
    }
}

/// A program.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProgramReport {
    /// The function's name.
    pub name: String,
    /// Its section, which names the target.
    pub section: String,
    /// Its kind, as policies name it: `kprobe`, `tp`, `cgroup/sysctl`. `unknown` if ecli does not
    /// know the section.
    pub kind: String,
    /// When it runs, in words.
    pub runs: String,
    /// The number of instructions of the program, without the functions that it calls.
    pub instructions: u64,
    /// The number of other functions of the object that it calls, directly or not.
    pub functions: u64,
    /// The SHA-256 digest of all its instructions and of the names that they refer to, in
    /// hexadecimal.
    pub sha256: String,
    /// The helpers that it calls, also in functions that it calls: `bpf_ringbuf_output`.
    pub helpers: Vec<String>,
    /// The functions of the kernel that it calls by BTF (kfuncs).
    pub kfuncs: Vec<String>,
    /// Whether it is loaded only if the user names it: its section begins with `?`, or the package
    /// says so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub on_request: bool,
    /// Whether ecli continues without it if the kernel refuses it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
    /// The programs for the same event of which ecli chooses one, the best first. Empty if it has no
    /// alternatives.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alternatives: Vec<String>,
    /// How often it runs per second on each CPU, if the package says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frequency: Option<u64>,
}

/// A map.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MapReport {
    /// Its name; for a data section, the section's.
    pub name: String,
    /// Its type: `hash`, `ringbuf`. The number, if ecli does not know it.
    #[serde(rename = "type")]
    pub ty: String,
    /// Size of a key in bytes.
    pub key_size: u32,
    /// Size of a value in bytes; in a per-CPU map, on one CPU.
    pub value_size: u32,
    /// The maximum number of entries; for a ring buffer, bytes.
    pub max_entries: u32,
    /// The memory that it takes when it is full, in bytes: an estimate.
    pub memory: u64,
    /// The number of values for each key, one for each possible CPU of this machine; absent if a key
    /// has one value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<u64>,
    /// Whether it is a data section, or belongs to a library.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub internal: bool,
    /// Whether it stays after the run and is shared, below the directory of `--pin`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pinned: bool,
    /// The meanings of members that the package states, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub meanings: BTreeMap<String, String>,
}

/// An argument of a package.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ArgumentReport {
    /// Its option, without dashes.
    pub long: String,
    /// Its letter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub short: Option<char>,
    /// The variable that it sets.
    pub variable: String,
    /// The type of the variable.
    #[serde(rename = "type")]
    pub ty: String,
    /// The value if it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// What it does.
    pub help: String,
}

/// Something that is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SourceReport {
    /// The name of the map or variable.
    pub name: String,
    /// How it is shown: `records of a ring buffer`, `histogram`, `table`.
    pub shown_as: String,
    /// The unit of a histogram.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Time between two readings in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval_ms: Option<u64>,
    /// Whether a reading shows the difference to the previous one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub differences: bool,
    /// The members of the key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key: Vec<MemberReport>,
    /// The members of the value, unless it is a histogram.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub value: Vec<MemberReport>,
    /// The types of records.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub records: Vec<RecordReport>,
}

/// A type of records.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RecordReport {
    /// Its name.
    pub name: String,
    /// Its members.
    pub members: Vec<MemberReport>,
}

/// A member of a record, a key or a value.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MemberReport {
    /// Its name; empty for a key or value that is not a struct.
    pub name: String,
    /// Its type: `u32`, `text`.
    #[serde(rename = "type")]
    pub ty: String,
}

/// A Wasm module.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ModuleReport {
    /// The name of its file.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// The SHA-256 digest of its bytes, in hexadecimal.
    pub sha256: String,
    /// What it is: `post-processor`, `tracer`, or `unknown`.
    pub kind: String,
    /// Its imports, by the module that provides them. Absent if the module is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imports: Option<BTreeMap<String, Vec<String>>>,
}

/// What `ecli run` adds to an object.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Instrumentation {
    /// The number of calls after which a lost record is counted.
    pub calls: u64,
    /// The number of instructions that are added.
    pub instructions: u64,
    /// The buffers whose losses are counted.
    pub buffers: Vec<String>,
}
