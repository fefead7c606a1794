// SPDX-License-Identifier: MIT
//! Views of the variables in data sections.

use std::collections::BTreeMap;
use std::sync::Arc;

use bpfpack_decode::{Field, Layout, Member, Slots, Struct};
use bpfpack_schemas::btf::SectionVar;
use bpfpack_schemas::meta::{DUMMY_PREFIX, Variable};

use super::Builder;
use super::average::average;
use super::purpose::Purpose;
use crate::{ReadFrom, Shape, Source, View};

/// Variables that are the columns of one view.
struct Columns {
    parts: Vec<Field>,
    members: Vec<Member>,
    purpose: Purpose,
    /// The length of the arrays; `None` for single variables.
    len: Option<usize>,
    is_annotated: bool,
}

impl Columns {
    fn new(purpose: Purpose, len: Option<usize>, is_annotated: bool) -> Columns {
        Columns { parts: Vec::new(), members: Vec::new(), purpose, len, is_annotated }
    }

    fn add(&mut self, name: &str, offset: usize, layout: Layout) {
        let at = self.members.last().map_or(0, |m| m.offset + m.layout.size());
        self.parts.push(Field { offset, size: layout.size() });
        self.members.push(Member::new(name, at, layout));
    }
}

impl Builder<'_> {
    /// Adds the views of a section's variables. `has_more`: there are other sources.
    pub(super) fn views_of_section(&mut self, section: &str, has_more: bool) {
        // Groups of counters: arrays of the same length with the same annotations.
        let mut tables: BTreeMap<(Option<usize>, String, Option<&str>), Columns> = BTreeMap::new();
        let mut any_annotation = has_more;
        let variables = self.inputs.object.variables(self.inputs.btf, section);
        for var in &variables {
            let Some((purpose, is_annotated)) = self.purpose_of_variable(section, var) else {
                continue;
            };
            any_annotation |= is_annotated;
            let layout = Layout::of(self.inputs.btf.ty(var.ty));
            let Some((element, len)) = elements(&layout, &purpose, is_annotated) else {
                continue;
            };
            let offset = var.offset as usize;
            if Slots::of(&element).is_some() || purpose.is_histogram() {
                let purpose = match purpose.is_histogram() {
                    true => purpose,
                    false => Purpose::histogram(),
                };
                let mut columns = Columns::new(purpose, len, true);
                columns.add(var.name, offset, element);
                self.view_of_columns(section, columns);
            } else if is_counter(&element) || is_annotated || purpose.is_table {
                let alike = serde_json::to_string(&purpose.sample).unwrap_or_default();
                let of_struct = matches!(element, Layout::Struct(_)).then_some(var.name);
                tables
                    .entry((len, alike, of_struct))
                    .or_insert_with(|| Columns::new(purpose, len, is_annotated))
                    .add(var.name, offset, element);
            }
        }
        for columns in tables.into_values() {
            let is_wanted = match self.is_described() {
                true => !self.has_streams,
                false => !any_annotation,
            };
            if columns.is_annotated || is_wanted {
                self.view_of_columns(section, columns);
            }
        }
    }

    /// The purpose of a variable, and whether it is from an annotation; `None` if it is not shown.
    fn purpose_of_variable(&self, section: &str, var: &SectionVar<'_>) -> Option<(Purpose, bool)> {
        let described = self.variable(section, var.name);
        let is_hidden = described.is_some_and(|variable| variable.hidden);
        let is_dummy = var.name.starts_with(DUMMY_PREFIX);
        if !self.is_wanted(var.name) || var.is_static || is_hidden || is_dummy {
            return None;
        }
        let sample = described.and_then(|variable| variable.sample.clone());
        let view = described.and_then(|variable| variable.view.as_ref());
        match (sample, view) {
            (Some(sample), _) => Some((Purpose::annotated(sample), true)),
            (None, Some(view)) => Purpose::recognized(view).map(|purpose| (purpose, false)),
            (None, None) if self.is_described() => None,
            (None, None) => Some((Purpose::default(), false)),
        }
    }

    fn view_of_columns(&mut self, section: &str, columns: Columns) {
        let Columns { parts, mut members, purpose, len, .. } = columns;
        let names: Vec<_> = members.iter().map(|member| member.name.as_str()).collect();
        let name = names.join(",");
        let is_one = members.len() == 1
            && (purpose.is_histogram() || matches!(members[0].layout, Layout::Struct(_)));
        let value = if is_one {
            members.remove(0).layout
        } else {
            let size = members.last().map_or(0, |m| m.offset + m.layout.size());
            Layout::Struct(Struct { size, members })
        };
        let shape = match self.shape(&name, &purpose, &value) {
            Shape::KeyValue => Shape::Table,
            shape => shape,
        };
        let index = Layout::Int { size: 4, signed: false };
        let sample = &purpose.sample;
        let view = View {
            index: self.sources.len(),
            average: average(&value, &shape, sample),
            name,
            from: ReadFrom::Section { section: section.to_owned(), parts, len: len.unwrap_or(1) },
            key: len.map(|_| self.with_labels(index, sample)),
            counters: value.counters(&sample.gauges),
            value,
            shape,
            interval: self.interval(sample),
            differences: self.shows_differences(sample),
            leave_out_zeros: true,
            sort: purpose.sort,
            stacks: Vec::new(),
            per_cpu: false,
        };
        self.sources.push(Source::View(Arc::new(view)));
    }

    fn variable(&self, section: &str, name: &str) -> Option<&Variable> {
        let sections = &self.inputs.meta.bpf_skel.data_sections;
        let section = sections.iter().find(|found| found.name == section)?;
        section.variables.iter().find(|variable| variable.name == name)
    }
}

/// The element type and the length of a variable; a single variable has no length. A flat array
/// that is a histogram is a single value.
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

fn is_counter(layout: &Layout) -> bool {
    matches!(layout, Layout::Int { size: 4 | 8, .. })
}
