// SPDX-License-Identifier: MIT
//! How the views of a package are found: annotations first, then types.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use bpfpack_schemas::Meta;
use bpfpack_schemas::btf::{Btf, Type};
use bpfpack_schemas::meta::{self, DUMMY_PREFIX, MapMeta, Variable};
use bpfpack_schemas::object::BpfObject;
use bpfpack_schemas::object::helpers::PRINTING;
use libbpf_rs::{Map, MapCore as _, MapType, Object};

use crate::args::Plan;
use crate::collect::maps::{MapReader, Reader, SectionReader, SlotsReader};
use crate::decode::text;
use crate::decode::{Layout, Member, Record, Slots};
use crate::failure::{self, Failure, exit_code};
use crate::kernel;
use crate::load;
use crate::sys;
use crate::talk::Talk;
use crate::vars::Arguments;

use super::purpose::Purpose;
use super::{Sample, Shape, Stacks, View, Views, streams};

/// Time between readings where nothing says another.
const INTERVAL: Duration = Duration::from_secs(1);

const UNIT: &str = "(unit)";

/// Plans what is shown.
pub fn plan(
    plan: &Plan,
    meta: &Meta,
    elf: &BpfObject<'_>,
    btf: &Btf<'_>,
    object: &Object,
    arguments: &Arguments,
    talk: &Talk,
) -> Result<Views, Failure> {
    let stacks = Stacks::of(object);
    let mut planner = Planner {
        plan,
        meta,
        elf,
        btf,
        object,
        arguments,
        talk,
        stacks,
        kernel: None,
        has_streams: false,
    };
    planner.check_only()?;
    let mut streams = planner.streams();
    streams::select(&mut streams, &plan.fields);
    planner.has_streams = !streams.is_empty();
    let streams = streams.into_iter().map(Arc::new).collect();
    let mut views = Views { streams, samples: planner.maps()? };
    let has_more = !views.streams.is_empty() || !views.samples.is_empty();
    for section in elf.data_sections() {
        if [".bss", ".data"].iter().any(|stem| section.name.starts_with(stem)) {
            views.samples.extend(planner.variables(&section.name, has_more)?);
        }
    }
    if views.samples.is_empty() && views.streams.is_empty() {
        if let Some(only) = plan.only.first() {
            let error = anyhow!("--only: there is nothing to be shown of `{only}`");
            return Err(Failure::new(exit_code::USAGE, error).hint(
                "it is what programs keep for themselves; `@sample` above it would show it",
            ));
        }
        if elf.calls_helper(&PRINTING) {
            views.streams.push(Arc::new(crate::collect::lines()));
        } else {
            talk.note("the package has nothing to show; its programs run until Ctrl-C");
        }
    }
    planner.check_raw(&views)?;
    Ok(views)
}

pub struct Planner<'p> {
    pub plan: &'p Plan,
    pub meta: &'p Meta,
    pub elf: &'p BpfObject<'p>,
    pub btf: &'p Btf<'p>,
    pub object: &'p Object,
    arguments: &'p Arguments,
    pub talk: &'p Talk,
    /// What keeps stacks.
    pub stacks: Stacks,
    /// The kernel's BTF, once it was needed.
    kernel: Option<Option<Btf<'static>>>,
    /// Records are shown: counters would only stand between them.
    has_streams: bool,
}

impl Planner<'_> {
    pub fn described(&self, map: &str) -> Option<&MapMeta> {
        self.meta.bpf_skel.maps.iter().find(|meta| meta.name == map || meta.ident == map)
    }

    /// Views of maps, annotated or recognised.
    fn maps(&mut self) -> Result<Vec<Sample>, Failure> {
        let mut views = Vec::new();
        for map in self.object.maps() {
            let name = map.name().to_string_lossy().into_owned();
            let Some(is_hash) = readable(map.map_type()) else {
                continue;
            };
            // The maps of data sections are read variable by variable.
            if name.contains('.') || !self.is_wanted(&name) {
                continue;
            }
            let described = self.described(&name);
            if described.is_some_and(|meta| meta.hidden) {
                continue;
            }
            let (key, value) = self.btf.map_types(&name);
            let key = key.map_or_else(|| untyped(map.key_size()), Layout::of);
            let value = self.configured(described).or_else(|| value.map(Layout::of));
            let mut value = value.unwrap_or_else(|| untyped(map.value_size()));
            let mut key = key;
            if let Some(described) = described {
                self.give_meanings(&described.meanings, &mut key);
                self.give_meanings(&described.meanings, &mut value);
            }
            let stacks = self.stacks.find(&key);
            let sample = described.and_then(|meta| meta.sample.clone());
            let view = described.and_then(|meta| meta.view.as_ref());
            let purpose = match (sample, view) {
                (Some(sample), _) => Some(Purpose::annotated(sample)),
                (None, Some(view)) => Purpose::recognised(view),
                // A package of another packer: the types alone tell.
                (None, None) if !self.is_described() && Slots::of(&value).is_some() => {
                    Some(Purpose::histogram())
                }
                (None, None) => None,
            };
            let Some(purpose) = purpose.filter(|p| !(p.is_table && self.has_streams)) else {
                continue;
            };
            let size = value.size();
            let reader = |counters: Vec<(usize, usize)>| -> Result<MapReader, Failure> {
                Ok(MapReader { map: kept(&map)?, counters, is_hash })
            };
            let differences = self.plan.clear || purpose.sample.clear_map;
            let interval = self.interval(&purpose.sample);
            let sort = purpose.sort.clone();
            if let Some(slot) = purpose.slot_in_key(&key) {
                let len = purpose.slots_in_keys();
                let value = Layout::Array {
                    element: Box::new(Layout::Int { size: 8, signed: false }),
                    stride: 8,
                    len,
                };
                let key = without(key, slot.0).map(|key| self.with_labels(key, &purpose.sample));
                let shape = self.shape(&name, &purpose, &value);
                let reader = SlotsReader { reader: reader(vec![(0, size)])?, slot, len };
                let view = View {
                    name,
                    key,
                    counters: value.counters(&[]),
                    value,
                    shape,
                    interval,
                    differences,
                    leave_out_zeros: true,
                    sort,
                    stacks: Vec::new(),
                    wide_key: false,
                };
                views.push(Sample { view: Arc::new(view), reader: Reader::Slots(reader) });
                continue;
            }
            let shape = self.shape(&name, &purpose, &value);
            let counters = value.counters(&purpose.sample.gauges);
            let reader = Reader::Map(reader(counters.clone())?);
            let key = self.with_labels(key, &purpose.sample);
            // The only element of an array has no name.
            let key = Some(key).filter(|_| is_hash || map.max_entries() > 1 || !purpose.is_table);
            let view = View {
                name,
                key,
                value,
                shape,
                interval,
                differences,
                counters,
                leave_out_zeros: !is_hash,
                sort,
                stacks,
                wide_key: false,
            };
            views.push(Sample { view: Arc::new(view), reader });
        }
        Ok(views)
    }

    /// Whether the packer said what maps and variables are for.
    fn is_described(&self) -> bool {
        self.meta.bpfpack.as_ref().is_some_and(|mark| mark.version >= 2)
    }

    /// Views of the variables of a section.
    fn variables(&mut self, section: &str, has_more: bool) -> Result<Vec<Sample>, Failure> {
        let is_it = |name: &str| load::holds_section(name, section);
        let mut maps = self.object.maps();
        let Some(map) = maps.find(|map| map.name().to_str().is_some_and(is_it)) else {
            return Ok(Vec::new());
        };
        let mut views = Vec::new();
        // Counters that belong together: arrays of one length, annotated alike.
        let mut tables: BTreeMap<(Option<usize>, String, Option<&str>), Table> = BTreeMap::new();
        let mut any_annotation = has_more;
        for var in self.elf.variables(self.btf, section) {
            let described = self.variable(section, var.name);
            let hidden = described.is_some_and(|variable| variable.hidden);
            if !self.is_wanted(var.name)
                || var.is_static
                || hidden
                || var.name.starts_with(DUMMY_PREFIX)
            {
                continue;
            }
            let sample = described.and_then(|variable| variable.sample.clone());
            let view = described.and_then(|variable| variable.view.as_ref());
            let is_annotated = sample.is_some();
            any_annotation |= is_annotated;
            let purpose = match (sample, view) {
                (Some(sample), _) => Purpose::annotated(sample),
                (None, Some(view)) => match Purpose::recognised(view) {
                    Some(purpose) => purpose,
                    None => continue,
                },
                (None, None) if self.is_described() => continue,
                (None, None) => Purpose::default(),
            };
            let layout = Layout::of(self.btf.ty(var.ty));
            let Some((element, len)) = elements(&layout, &purpose, is_annotated) else {
                continue;
            };
            let offset = var.offset as usize;
            let table = |purpose: Purpose, is_annotated| Table {
                parts: Vec::new(),
                columns: Vec::new(),
                purpose,
                len,
                is_annotated,
            };
            if Slots::of(&element).is_some() || purpose.is_histogram() {
                let purpose = match purpose.is_histogram() {
                    true => purpose,
                    false => Purpose::histogram(),
                };
                let mut table = table(purpose, true);
                table.add(var.name, offset, element);
                views.push(self.section_view(&map, table)?);
            } else if is_counter(&element) || is_annotated || purpose.is_table {
                let alike = serde_json::to_string(&purpose.sample).unwrap_or_default();
                let of_struct = matches!(element, Layout::Record(_)).then_some(var.name);
                let key = (len, alike, of_struct);
                tables
                    .entry(key)
                    .or_insert_with(|| table(purpose, is_annotated))
                    .add(var.name, offset, element);
            }
        }
        for table in tables.into_values() {
            let is_wanted = match self.is_described() {
                true => !self.has_streams,
                false => !any_annotation,
            };
            if table.is_annotated || is_wanted {
                views.push(self.section_view(&map, table)?);
            }
        }
        Ok(views)
    }

    fn section_view(&mut self, map: &Map<'_>, table: Table) -> Result<Sample, Failure> {
        let Table { parts, mut columns, purpose, len, .. } = table;
        let names: Vec<_> = columns.iter().map(|column| column.name.as_str()).collect();
        let name = names.join(",");
        let is_one = columns.len() == 1
            && (purpose.is_histogram() || matches!(columns[0].layout, Layout::Record(_)));
        let value = if is_one {
            columns.remove(0).layout
        } else {
            let size = columns.last().map_or(0, |m| m.offset + m.layout.size());
            Layout::Record(Record { size, members: columns })
        };
        let shape = match self.shape(&name, &purpose, &value) {
            Shape::KeyValue => Shape::Table,
            shape => shape,
        };
        let index = Layout::Int { size: 4, signed: false };
        let reader =
            Reader::Section(SectionReader { map: kept(map)?, parts, len: len.unwrap_or(1) });
        let sample = &purpose.sample;
        let view = View {
            name,
            key: len.map(|_| self.with_labels(index, sample)),
            counters: value.counters(&sample.gauges),
            value,
            shape,
            interval: self.interval(sample),
            differences: self.plan.clear || sample.clear_map,
            leave_out_zeros: true,
            sort: purpose.sort,
            stacks: Vec::new(),
            wide_key: false,
        };
        Ok(Sample { view: Arc::new(view), reader })
    }

    fn variable(&self, section: &str, name: &str) -> Option<&Variable> {
        let sections = &self.meta.bpf_skel.data_sections;
        let section = sections.iter().find(|found| found.name == section)?;
        section.variables.iter().find(|variable| variable.name == name)
    }

    fn interval(&self, sample: &meta::Sample) -> Duration {
        let annotated = (sample.interval > 0).then(|| Duration::from_millis(sample.interval));
        self.plan.interval.or(annotated).unwrap_or(INTERVAL)
    }

    fn shape(&self, name: &str, purpose: &Purpose, value: &Layout) -> Shape {
        let Some(edges) = purpose.edges() else {
            return if purpose.is_table { Shape::Table } else { Shape::KeyValue };
        };
        match purpose.slots(value) {
            Some(slots) => Shape::Histogram { slots, edges, unit: self.unit(&purpose.sample) },
            None => {
                self.talk.warning(&format!(
                    "`{name}` is no histogram: its value has no array of slots; it is shown as it is"
                ));
                Shape::KeyValue
            }
        }
    }

    fn unit(&self, sample: &meta::Sample) -> String {
        let applies = |variable: &String| self.arguments.nonzero.contains(variable);
        let special = sample.unit_when.iter().find(|(variable, _)| applies(variable));
        let special = special.and_then(|(_, unit)| unit.as_str());
        text::clean(special.or(sample.unit.as_deref()).unwrap_or(UNIT))
    }

    /// Gives the values of a key names, where the annotation says which.
    fn with_labels(&mut self, key: Layout, sample: &meta::Sample) -> Layout {
        let Layout::Int { size, .. } = key else {
            return key;
        };
        if !sample.key_labels.is_empty() {
            return Layout::Label {
                size,
                names: sample.key_labels.iter().map(|name| text::clean(name)).collect(),
            };
        }
        let Some(name) = &sample.key_enum else {
            return key;
        };
        let names = self.btf.find_enum(name).map(labels).or_else(|| {
            let kernel = self.kernel.get_or_insert_with(kernel::btf);
            kernel.as_ref()?.find_enum(name).map(labels)
        });
        match names {
            Some(names) => Layout::Label { size, names },
            None => {
                self.talk.warning(&format!(
                    "neither the object nor this kernel has the enum `{name}`: keys are numbers"
                ));
                key
            }
        }
    }
}

/// Variables that are shown side by side.
struct Table {
    parts: Vec<(usize, usize)>,
    columns: Vec<Member>,
    purpose: Purpose,
    /// Length of the arrays; none for single variables.
    len: Option<usize>,
    is_annotated: bool,
}

impl Table {
    fn add(&mut self, name: &str, place: usize, layout: Layout) {
        let offset = self.columns.last().map_or(0, |m| m.offset + m.layout.size());
        self.parts.push((place, layout.size()));
        self.columns.push(Member::new(name, offset, layout));
    }
}

/// What a variable is an array of, and how long; single ones have no length. A flat array that is
/// a histogram is one value.
fn elements(
    layout: &Layout,
    purpose: &Purpose,
    is_annotated: bool,
) -> Option<(Layout, Option<usize>)> {
    match layout {
        Layout::Array { .. } if purpose.is_histogram() && Slots::of_array(layout, 0).is_some() => {
            Some((layout.clone(), None))
        }
        Layout::Array { element, len, .. } => Some(((**element).clone(), Some(*len))),
        Layout::Text { .. } | Layout::Bytes { .. } if !is_annotated => None,
        other => Some((other.clone(), None)),
    }
}

/// What only has a size: a number, where it has the size of one.
fn untyped(size: u32) -> Layout {
    match size {
        4 | 8 => Layout::Int { size: size as usize, signed: false },
        _ => Layout::Bytes { size: size as usize },
    }
}

/// A key without the member at an offset; none where nothing is left.
fn without(key: Layout, offset: usize) -> Option<Layout> {
    let Layout::Record(mut record) = key else { return None };
    record.members.retain(|member| member.offset != offset);
    (!record.members.is_empty()).then_some(Layout::Record(record))
}

fn is_counter(layout: &Layout) -> bool {
    matches!(layout, Layout::Int { size: 4 | 8, .. })
}

/// Names by value, for an enum whose values are small.
fn labels(ty: Type<'_>) -> Vec<String> {
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

/// Whether a map of this type can be read, and if so, whether its elements come and go.
fn readable(ty: MapType) -> Option<bool> {
    match ty {
        MapType::Hash | MapType::LruHash | MapType::PercpuHash | MapType::LruPercpuHash => {
            Some(true)
        }
        MapType::Array | MapType::PercpuArray => Some(false),
        _ => None,
    }
}

/// A map of the object, for as long as it is read.
fn kept(map: &Map<'_>) -> Result<sys::map::Map, Failure> {
    sys::map::Map::of(map).map_err(failure::system("can not keep a map open"))
}
