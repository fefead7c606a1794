// SPDX-License-Identifier: MIT
//! How the views of a package are found: annotations first, then types.

use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use bpfpack_schemas::Meta;
use bpfpack_schemas::btf::{Btf, Kind, Type};
use bpfpack_schemas::meta::{DUMMY_PREFIX, ExportConfig, MapMeta, Sample, SampleKind, Variable};
use bpfpack_schemas::object::BpfObject;
use libbpf_rs::{Map, MapCore as _, MapType, Object};

use crate::args::Plan;
use crate::collect::maps::{MapReader, Reader, SectionReader};
use crate::decode::text;
use crate::decode::{Edges, Layout, Member, Record, Slots};
use crate::failure::{Failure, exit_code};
use crate::kernel;
use crate::load;
use crate::talk::Talk;
use crate::vars::Arguments;

use super::{Shape, Stream, View, Views};

/// Time between readings where nothing says another.
const INTERVAL: Duration = Duration::from_secs(1);

const UNIT: &str = "(unit)";

/// Pages of a perf buffer for each CPU, where the package does not say.
const PERF_PAGES: u32 = 64;

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
    let mut planner = Planner { plan, meta, elf, btf, object, arguments, talk, kernel: None };
    let mut views = Views { streams: planner.streams(), samples: planner.maps()? };
    let has_more = !views.streams.is_empty() || !views.samples.is_empty();
    for section in elf.data_sections() {
        if [".bss", ".data"].iter().any(|stem| section.name.starts_with(stem)) {
            views.samples.extend(planner.variables(&section.name, has_more)?);
        }
    }
    if views.samples.is_empty() && views.streams.is_empty() {
        talk.note("the package has nothing to show; its programs run until Ctrl-C");
    }
    Ok(views)
}

struct Planner<'p> {
    plan: &'p Plan,
    meta: &'p Meta,
    elf: &'p BpfObject<'p>,
    btf: &'p Btf<'p>,
    object: &'p Object,
    arguments: &'p Arguments,
    talk: &'p Talk,
    /// The kernel's BTF, once it was needed.
    kernel: Option<Option<Btf<'static>>>,
}

impl Planner<'_> {
    fn described(&self, map: &str) -> Option<&MapMeta> {
        self.meta.bpf_skel.maps.iter().find(|meta| meta.name == map || meta.ident == map)
    }

    /// The buffers and what their records are.
    fn streams(&self) -> Vec<Stream> {
        let mut streams = Vec::new();
        // libbpf takes powers of two only.
        let pages = self.meta.perf_buffer_pages.unwrap_or(PERF_PAGES).clamp(1, 1 << 16);
        let pages = pages.next_power_of_two() as usize;
        for map in self.object.maps() {
            let is_perf = match map.map_type() {
                MapType::RingBuf => false,
                MapType::PerfEventArray => true,
                _ => continue,
            };
            let name = map.name().to_string_lossy().into_owned();
            let described = self.described(&name);
            let unwanted =
                |meta: &MapMeta| meta.hidden || meta.export_config == Some(ExportConfig::NoExport);
            if described.is_some_and(unwanted) {
                continue;
            }
            // A type that the object does not have has no size.
            match self.record(described, &name).filter(|record| record.size() > 0) {
                Some(record) => streams.push(Stream { name, record, is_perf, pages }),
                None => self.talk.warning(&format!(
                    "the records of `{name}` are not shown: the package does not say what they \
                     are (pack it with the header of their struct: ecc X.bpf.c X.h)"
                )),
            }
        }
        streams
    }

    fn record(&self, described: Option<&MapMeta>, name: &str) -> Option<Layout> {
        let of_type = |id: u32| self.btf.ty(id);
        let config = described.and_then(|meta| meta.export_config.clone()).unwrap_or_default();
        let exported = self.meta.export_types.first().map(|ty| of_type(ty.type_id));
        match config {
            ExportConfig::BtfTypeId(id) => Some(Layout::of(of_type(id))),
            ExportConfig::CustomMembers(members) => {
                let members: Vec<_> = members
                    .into_iter()
                    .map(|member| Member {
                        name: text::clean(&member.name),
                        offset: member.offset as usize,
                        bits: None,
                        layout: Layout::of(of_type(member.btf_type_id)),
                    })
                    .collect();
                let end = |member: &Member| member.offset.saturating_add(member.layout.size());
                let size = members.iter().map(end).max().unwrap_or(0);
                Some(Layout::Record(Record { size, members }))
            }
            ExportConfig::NoExport if self.meta.enable_multiple_export_types == Some(true) => None,
            _ => exported
                .filter(|ty| matches!(ty.kind, Kind::Struct | Kind::Union))
                .or_else(|| self.map_types(name).1)
                .map(Layout::of),
        }
    }

    /// The types of a map's keys and values, where its definition names them.
    fn map_types(&self, name: &str) -> (Option<Type<'_>>, Option<Type<'_>>) {
        let vars = self.btf.section_vars(".maps");
        let Some(var) = vars.iter().find(|var| var.name == name) else {
            return (None, None);
        };
        let definition = self.btf.ty(var.ty).resolved();
        let of = |wanted: &str| {
            let member = definition.members().find(|member| member.name == wanted)?;
            let pointer = self.btf.ty(member.ty).resolved();
            (pointer.kind == Kind::Ptr).then(|| pointer.target())
        };
        (of("key"), of("value"))
    }

    /// Views of maps, annotated or recognised.
    fn maps(&mut self) -> Result<Vec<View>, Failure> {
        let mut views = Vec::new();
        for map in self.object.maps() {
            let name = map.name().to_string_lossy().into_owned();
            let Some(is_hash) = readable(map.map_type()) else {
                continue;
            };
            // The maps of data sections are read variable by variable.
            if name.contains('.') {
                continue;
            }
            let described = self.described(&name);
            if described.is_some_and(|meta| meta.hidden) {
                continue;
            }
            let sample = described.and_then(|meta| meta.sample.clone());
            let (key, value) = self.map_types(&name);
            let bytes = |size: u32| Layout::Bytes { size: size as usize };
            let key = key.map_or_else(|| bytes(map.key_size()), Layout::of);
            let value = value.map_or_else(|| bytes(map.value_size()), Layout::of);
            let recognised = Slots::of(&value).is_some();
            if sample.is_none() && !recognised {
                continue;
            }
            let sample = sample.unwrap_or_else(histogram_by_default);
            let shape = self.shape(&name, &sample, &value);
            let counters = value.counters(&sample.gauges);
            let reader = Reader::Map(MapReader {
                fd: duplicate(&map)?,
                key_size: map.key_size() as usize,
                value_size: map.value_size() as usize,
                cpus: is_per_cpu(map.map_type()).then(cpus).transpose()?,
                counters: counters.clone(),
                max_entries: map.max_entries(),
                is_hash,
            });
            let key = self.with_labels(key, &sample);
            views.push(View {
                name,
                reader,
                key: Some(key),
                value,
                shape,
                interval: self.interval(&sample),
                differences: self.plan.clear || sample.clear_map,
                counters,
                leave_out_zeros: !is_hash,
            });
        }
        Ok(views)
    }

    /// Views of the variables of a section.
    fn variables(&mut self, section: &str, has_more: bool) -> Result<Vec<View>, Failure> {
        let is_it = |name: &str| load::holds_section(name, section);
        let mut maps = self.object.maps();
        let Some(map) = maps.find(|map| map.name().to_str().is_some_and(is_it)) else {
            return Ok(Vec::new());
        };
        let mut views = Vec::new();
        // Counters that belong together: arrays of one length, annotated alike.
        let mut tables: BTreeMap<(Option<usize>, String), Table> = BTreeMap::new();
        let mut any_annotation = has_more;
        for var in self.elf.variables(self.btf, section) {
            let described = self.variable(section, var.name);
            let hidden = described.is_some_and(|variable| variable.hidden);
            if var.is_static || hidden || var.name.starts_with(DUMMY_PREFIX) {
                continue;
            }
            let annotated = described.and_then(|variable| variable.sample.clone());
            any_annotation |= annotated.is_some();
            let layout = Layout::of(self.btf.ty(var.ty));
            let Some((element, len)) = elements(&layout, annotated.as_ref()) else {
                continue;
            };
            let offset = var.offset as usize;
            if Slots::of(&element).is_some() || is_histogram(annotated.as_ref()) {
                let sample = annotated.unwrap_or_else(histogram_by_default);
                let part = (offset, element.size());
                let column =
                    Member { name: var.name.into(), offset: 0, bits: None, layout: element };
                views.push(self.section_view(
                    &map,
                    Table {
                        parts: vec![part],
                        columns: vec![column],
                        sample,
                        len,
                        annotated: true,
                    },
                )?);
            } else if is_counter(&element) || annotated.is_some() {
                let alike = serde_json::to_string(&annotated).unwrap_or_default();
                let table = tables.entry((len, alike)).or_insert_with(|| Table {
                    parts: Vec::new(),
                    columns: Vec::new(),
                    len,
                    annotated: annotated.is_some(),
                    sample: annotated.unwrap_or_default(),
                });
                let end = table.columns.last().map_or(0, |m| m.offset + m.layout.size());
                table.parts.push((offset, element.size()));
                let name = var.name.to_owned();
                table.columns.push(Member { name, offset: end, bits: None, layout: element });
            }
        }
        for table in tables.into_values() {
            if table.annotated || !any_annotation {
                views.push(self.section_view(&map, table)?);
            }
        }
        Ok(views)
    }

    fn section_view(&mut self, map: &Map<'_>, table: Table) -> Result<View, Failure> {
        let Table { parts, mut columns, sample, len, .. } = table;
        let names: Vec<_> = columns.iter().map(|column| column.name.as_str()).collect();
        let name = names.join(",");
        let is_histogram = columns.len() == 1
            && (Slots::of(&columns[0].layout).is_some() || is_histogram(Some(&sample)));
        let value = if is_histogram {
            columns.remove(0).layout
        } else {
            let size = columns.last().map_or(0, |m| m.offset + m.layout.size());
            Layout::Record(Record { size, members: columns })
        };
        let shape = match self.shape(&name, &sample, &value) {
            Shape::KeyValue => Shape::Table,
            shape => shape,
        };
        let index = Layout::Int { size: 4, signed: false };
        let reader = Reader::Section(SectionReader {
            fd: duplicate(map)?,
            size: map.value_size() as usize,
            parts,
            len: len.unwrap_or(1),
        });
        Ok(View {
            name,
            reader,
            key: len.map(|_| self.with_labels(index, &sample)),
            counters: value.counters(&sample.gauges),
            value,
            shape,
            interval: self.interval(&sample),
            differences: self.plan.clear || sample.clear_map,
            leave_out_zeros: true,
        })
    }

    fn variable(&self, section: &str, name: &str) -> Option<&Variable> {
        let sections = &self.meta.bpf_skel.data_sections;
        let section = sections.iter().find(|found| found.name == section)?;
        section.variables.iter().find(|variable| variable.name == name)
    }

    fn interval(&self, sample: &Sample) -> Duration {
        let annotated = (sample.interval > 0).then(|| Duration::from_millis(sample.interval));
        self.plan.interval.or(annotated).unwrap_or(INTERVAL)
    }

    fn shape(&self, name: &str, sample: &Sample, value: &Layout) -> Shape {
        let edges = match sample.kind {
            SampleKind::KeyValue => return Shape::KeyValue,
            SampleKind::Log2Histogram => Edges::Log2,
            SampleKind::LinearHistogram => Edges::Linear {
                origin: sample.origin.unwrap_or(0).into(),
                step: sample.step.unwrap_or(1).max(1).into(),
            },
        };
        match Slots::of(value).or_else(|| Slots::of_array(value, 0)) {
            Some(slots) => Shape::Histogram { slots, edges, unit: self.unit(sample) },
            None => {
                self.talk.warning(&format!(
                    "`{name}` is no histogram: its value has no array `slots`; it is shown as it is"
                ));
                Shape::KeyValue
            }
        }
    }

    fn unit(&self, sample: &Sample) -> String {
        let applies = |variable: &String| self.arguments.nonzero.contains(variable);
        let special = sample.unit_when.iter().find(|(variable, _)| applies(variable));
        let special = special.and_then(|(_, unit)| unit.as_str());
        text::clean(special.or(sample.unit.as_deref()).unwrap_or(UNIT))
    }

    /// Gives the values of a key names, where the annotation says which.
    fn with_labels(&mut self, key: Layout, sample: &Sample) -> Layout {
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
    sample: Sample,
    /// Length of the arrays; none for single variables.
    len: Option<usize>,
    annotated: bool,
}

fn histogram_by_default() -> Sample {
    Sample { kind: SampleKind::Log2Histogram, ..Default::default() }
}

fn is_histogram(sample: Option<&Sample>) -> bool {
    sample.is_some_and(|sample| sample.kind != SampleKind::KeyValue)
}

/// What a variable is an array of, and how long; single ones have no length. A flat array that is
/// annotated as a histogram is one value.
fn elements(layout: &Layout, sample: Option<&Sample>) -> Option<(Layout, Option<usize>)> {
    match layout {
        Layout::Array { .. } if is_histogram(sample) && Slots::of_array(layout, 0).is_some() => {
            Some((layout.clone(), None))
        }
        Layout::Array { element, len, .. } => Some(((**element).clone(), Some(*len))),
        Layout::Text { .. } | Layout::Bytes { .. } if sample.is_none() => None,
        other => Some((other.clone(), None)),
    }
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

fn is_per_cpu(ty: MapType) -> bool {
    matches!(ty, MapType::PercpuHash | MapType::LruPercpuHash | MapType::PercpuArray)
}

fn cpus() -> Result<usize, Failure> {
    libbpf_rs::num_possible_cpus()
        .context("can not tell how many CPUs there are")
        .map_err(|error| Failure::new(exit_code::OTHER, error))
}

fn duplicate(map: &Map<'_>) -> Result<OwnedFd, Failure> {
    map.as_fd().try_clone_to_owned().map_err(|error| {
        let error = anyhow!(error).context("can not keep a map open");
        Failure::new(exit_code::OTHER, error)
    })
}
