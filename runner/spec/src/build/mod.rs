// SPDX-License-Identifier: MIT
//! Decides what is shown of a package: which maps and variables are read periodically, and in which
//! form; and which buffers are shown, and with which record types.
//!
//! Annotations take precedence, then what the packer recognized (`view` in the description). For a
//! package of another packer, only types count:
//! - a map, or a variable in `.bss` or `.data`, whose value has an array `slots` is a log2
//!   histogram;
//! - integers and arrays of integers in `.bss` and `.data` are counters, which are shown if the
//!   package has nothing else to show.

mod average;
mod maps;
mod only;
mod purpose;
mod sections;
mod streams;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bpfpack_decode::Layout;
use bpfpack_decode::meaning::Meaning;
use bpfpack_schemas::Meta;
use bpfpack_schemas::btf::{Btf, Type};
use bpfpack_schemas::meta::{self, MapMeta};
use bpfpack_schemas::object::helpers::PRINTING;
use bpfpack_schemas::object::{BpfObject, Program};
use bpfpack_schemas::printable;

use crate::error::SpecError;
use crate::maps::{MapDefinition, of_object};
use crate::{Shape, Source, Spec, Stacks, fields, printk};
use purpose::Purpose;

/// The default time between readings.
const INTERVAL: Duration = Duration::from_secs(1);

/// The default unit of a histogram's slots, as in existing loaders.
const UNIT: &str = "(unit)";

/// The inputs for building a spec.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// The package's meta data.
    pub meta: &'a Meta,
    /// The package's object.
    pub object: &'a BpfObject<'a>,
    /// The BTF of the object.
    pub btf: &'a Btf<'a>,
    /// Options of the user.
    pub options: &'a Options,
    /// The variables whose final value is not zero. Annotations may depend on them.
    pub nonzero: &'a BTreeSet<String>,
    /// Returns the names of an enum that the object does not have, by value; `None` if it is not
    /// known. It may read the kernel's BTF, which is large, so it is called only if a key needs it.
    pub kernel_enum: &'a dyn Fn(&str) -> Option<Vec<String>>,
}

impl std::fmt::Debug for Inputs<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inputs").field("options", self.options).finish_non_exhaustive()
    }
}

/// Options of the user.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The maps, buffers and variables to show; empty shows all.
    pub only: Vec<String>,
    /// The members of records to show; empty shows all.
    pub fields: Vec<String>,
    /// Time between two readings; `None` leaves it to the package.
    pub interval: Option<Duration>,
    /// Whether readings show differences even if the package does not ask for them.
    pub differences: bool,
    /// Whether each CPU's value is an entry of its own.
    pub per_cpu: bool,
    /// Sizes of maps: name, number of entries.
    pub map_entries: Vec<(String, u32)>,
    /// Whether tables are shown beside records, which they would interrupt in a text.
    pub all_tables: bool,
    /// Whether an output cannot distinguish sources.
    pub single_source: bool,
}

/// A spec, and notes for the user.
#[derive(Debug)]
pub struct Built {
    /// What is shown.
    pub spec: Spec,
    /// Notes, in the order of the sources.
    pub notes: Vec<Note>,
}

/// A message for the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// What the user should look at.
    Warning(String),
    /// A decision that was made.
    Info(String),
}

/// Builds the spec of a package.
///
/// # Errors
/// Returns an error if something that the user asks for cannot be shown.
pub fn build(inputs: &Inputs<'_>) -> Result<Built, SpecError> {
    let Inputs { meta, object, btf, options, .. } = *inputs;
    let maps = of_object(object, btf, meta, &options.map_entries);
    let stacks = Stacks::of(&maps);
    let mut builder = Builder {
        inputs,
        maps,
        stacks,
        has_streams: false,
        notes: Vec::new(),
        sources: Vec::new(),
    };
    builder.check_only()?;
    let mut streams = builder.streams();
    fields::select(&mut streams, &options.fields);
    builder.has_streams = !streams.is_empty() && !options.all_tables;
    builder.sources.extend(streams.into_iter().map(|stream| Source::Stream(Arc::new(stream))));
    builder.views_of_maps();
    let has_more = !builder.sources.is_empty();
    for section in object.data_sections() {
        if [".bss", ".data"].iter().any(|stem| section.name.starts_with(stem)) {
            builder.views_of_section(&section.name, has_more);
        }
    }
    if builder.sources.is_empty() {
        if let Some(only) = options.only.first() {
            return Err(SpecError::NotShown(only.clone()));
        }
        if object.calls_helper(&PRINTING) {
            builder.sources.push(Source::Stream(Arc::new(printk::stream())));
        } else if !object.programs().iter().any(writes_text) {
            let text = "the package has no data to show; its programs run until Ctrl-C";
            builder.notes.push(Note::Info(text.to_owned()));
        }
    }
    let spec = Spec { sources: std::mem::take(&mut builder.sources) };
    if options.per_cpu && !spec.views().any(|view| view.per_cpu) {
        return Err(SpecError::NothingPerCpu);
    }
    builder.check_single(&spec)?;
    Ok(Built { spec, notes: builder.notes })
}

/// Whether a program is an iterator, whose text is shown.
fn writes_text(program: &Program) -> bool {
    program.section.split(['/', '.']).next() == Some("iter")
}

/// The state of building a spec.
struct Builder<'i> {
    inputs: &'i Inputs<'i>,
    /// The object's maps.
    maps: Vec<MapDefinition>,
    /// The stack trace maps among them.
    stacks: Stacks,
    /// Whether records are shown; counters would only interrupt them.
    has_streams: bool,
    notes: Vec<Note>,
    sources: Vec<Source>,
}

impl Builder<'_> {
    fn warn(&mut self, text: String) {
        self.notes.push(Note::Warning(text));
    }

    fn described(&self, map: &str) -> Option<&MapMeta> {
        let mut maps = self.inputs.meta.bpf_skel.maps.iter();
        maps.find(|meta| meta.name == map || meta.ident == map)
    }

    /// Whether the packer described the purpose of maps and variables.
    fn is_described(&self) -> bool {
        self.inputs.meta.bpfpack.as_ref().is_some_and(|mark| mark.version >= 2)
    }

    fn interval(&self, sample: &meta::SampleMeta) -> Duration {
        let annotated = (sample.interval > 0).then(|| Duration::from_millis(sample.interval));
        self.inputs.options.interval.or(annotated).unwrap_or(INTERVAL)
    }

    fn shows_differences(&self, sample: &meta::SampleMeta) -> bool {
        self.inputs.options.differences || sample.clear_map
    }

    fn shape(&mut self, name: &str, purpose: &Purpose, value: &Layout) -> Shape {
        let Some(edges) = purpose.edges() else {
            return if purpose.is_table { Shape::Table } else { Shape::KeyValue };
        };
        match purpose.slots(value) {
            Some(slots) => Shape::Histogram { slots, edges, unit: self.unit(&purpose.sample) },
            None => {
                self.warn(format!(
                    "`{name}` is not a histogram, since its value has no array of slots; it is \
                     shown as a table"
                ));
                Shape::KeyValue
            }
        }
    }

    fn unit(&self, sample: &meta::SampleMeta) -> String {
        let applies = |variable: &String| self.inputs.nonzero.contains(variable);
        let special = sample.unit_when.iter().find(|(variable, _)| applies(variable));
        let special = special.and_then(|(_, unit)| unit.as_str());
        printable::clean(special.or(sample.unit.as_deref()).unwrap_or(UNIT))
    }

    /// Sets the meanings of a struct's members from an annotation.
    fn give_meanings(&mut self, meanings: &BTreeMap<String, String>, layout: &mut Layout) {
        let Layout::Struct(record) = layout else { return };
        for (name, meaning) in meanings {
            match Meaning::named(meaning) {
                Some(meaning) => {
                    record.give_meaning(name, meaning);
                }
                None => self.warn(format!(
                    "`{name}` cannot be shown as `{meaning}`: the meanings are {}",
                    Meaning::all_names().collect::<Vec<_>>().join(", ")
                )),
            }
        }
    }

    /// Adds names to the values of a key, if an annotation has them.
    fn with_labels(&mut self, key: Layout, sample: &meta::SampleMeta) -> Layout {
        let Layout::Int { size, .. } = key else {
            return key;
        };
        if !sample.key_labels.is_empty() {
            let names = sample.key_labels.iter().map(|name| printable::clean(name)).collect();
            return Layout::Label { size, names };
        }
        let Some(name) = &sample.key_enum else {
            return key;
        };
        let own = self.inputs.btf.find_enum(name).map(labels);
        match own.or_else(|| (self.inputs.kernel_enum)(name)) {
            Some(names) => Layout::Label { size, names },
            None => {
                self.warn(format!(
                    "neither the object nor this kernel has the enum `{name}`: keys are shown as \
                     numbers"
                ));
                key
            }
        }
    }
}

/// Names by value, for an enum with small values.
#[must_use]
pub fn labels(ty: Type<'_>) -> Vec<String> {
    let mut names = Vec::new();
    for (name, value) in ty.enumerators() {
        let Some(at) = usize::try_from(value).ok().filter(|at| *at < 4096) else {
            continue;
        };
        if names.len() <= at {
            names.resize(at + 1, String::new());
        }
        if names[at].is_empty() {
            names[at] = name.to_owned();
        }
    }
    names
}
