// SPDX-License-Identifier: MIT
//! Decides which buffers are shown, and their record types.

use bpfpack_decode::{Layout, Member, Struct};
use bpfpack_schemas::btf::{Kind, Type};
use bpfpack_schemas::meta::{ExportConfig, Interpreter, MapMeta};
use bpfpack_schemas::{map_type, printable};

use super::Builder;
use crate::{BufferType, RecordType, Stacks, Stream};

/// Default number of pages of a perf buffer per CPU.
const PERF_PAGES: u32 = 64;

impl Builder<'_> {
    /// The buffers with their record types.
    pub(super) fn streams(&mut self) -> Vec<Stream> {
        let mut streams = Vec::new();
        // libbpf accepts only powers of two.
        let pages = self.inputs.meta.perf_buffer_pages.unwrap_or(PERF_PAGES).clamp(1, 1 << 16);
        let pages = pages.next_power_of_two() as usize;
        for map in self.maps.clone() {
            let buffer = match map.ty {
                map_type::RINGBUF => BufferType::Ring,
                map_type::PERF_EVENT_ARRAY => BufferType::Perf { pages },
                _ => continue,
            };
            let name = map.name;
            let described = self.described(&name).cloned();
            let unwanted =
                |meta: &MapMeta| meta.hidden || meta.export_config == Some(ExportConfig::NoExport);
            if !self.is_wanted(&name) || described.as_ref().is_some_and(unwanted) {
                continue;
            }
            let described = described.as_ref();
            // A type that is not in the object has no size.
            let mut records = self.record_types(described, &name);
            records.retain(|ty| ty.size > 0);
            let tag = self.tag(described, &records);
            for ty in &mut records {
                self.mark(described, ty);
            }
            match records.is_empty() {
                false => streams.push(Stream { index: streams.len(), name, records, tag, buffer }),
                true => self.warn(format!(
                    "the records of `{name}` are not shown: the package does not describe them \
                     (pack it with the header of their struct: ecc X.bpf.c X.h)"
                )),
            }
        }
        streams
    }

    /// Finds the stacks of a record type, and sets meanings from annotations.
    fn mark(&mut self, described: Option<&MapMeta>, ty: &mut RecordType) {
        if let Some(described) = described {
            self.give_meanings(&described.meanings, &mut ty.layout);
        }
        let interpreter = described.and_then(|meta| meta.interpreter.as_ref());
        if let Some(Interpreter::StackTrace { field_map, .. }) = interpreter
            && let Layout::Struct(record) = &ty.layout
        {
            for (field, name) in field_map {
                if !record.members.iter().any(|member| member.name == *name) {
                    self.warn(format!(
                        "the package says that the member `{name}` is the `{field}` of stacks, but \
                         records of `{}` do not have it",
                        ty.name
                    ));
                }
            }
        }
        match interpreter.and_then(|interpreter| Stacks::annotated(&ty.layout, interpreter)) {
            Some((stacks, event)) => (ty.stacks, ty.event) = (stacks, Some(event)),
            None => ty.stacks = self.stacks.find(&ty.layout),
        }
    }

    /// The types of a buffer's records: a single one, unless the package names several.
    fn record_types(&self, described: Option<&MapMeta>, name: &str) -> Vec<RecordType> {
        let records = described.map_or(&[][..], |meta| &meta.records);
        let is_custom = described
            .is_some_and(|meta| matches!(meta.export_config, Some(ExportConfig::CustomMembers(_))));
        if records.len() > 1 && !is_custom {
            return records
                .iter()
                .map(|record| {
                    let layout = Layout::of(self.inputs.btf.ty(record.btf_type_id));
                    RecordType::new(printable::clean(&record.name), layout, record.tag)
                })
                .collect();
        }
        let only = self.record(described, name);
        let ty = |layout| RecordType::new(name, layout, None);
        only.map(ty).into_iter().collect()
    }

    /// The member that distinguishes record types, if the package names one that all types have.
    fn tag(&mut self, described: Option<&MapMeta>, types: &[RecordType]) -> Option<Member> {
        let name = described?.record_tag.as_ref()?;
        let of = |ty: &RecordType| match &ty.layout {
            Layout::Struct(record) => record.members.iter().find(|m| m.name == *name).cloned(),
            _ => None,
        };
        let first = of(types.first()?);
        let is_same = |other: &Member| {
            first.as_ref().is_some_and(|first| {
                (first.offset, first.bits, first.layout.size())
                    == (other.offset, other.bits, other.layout.size())
            })
        };
        if types.iter().all(|ty| of(ty).is_some_and(|member| is_same(&member))) {
            return first;
        }
        self.warn(format!(
            "records have `{name}` at different offsets: ecli tells them apart by their sizes"
        ));
        None
    }

    /// The type in `export_config`, if there is one.
    pub(super) fn configured(&self, described: Option<&MapMeta>) -> Option<Layout> {
        let of_type = |id: u32| -> Type<'_> { self.inputs.btf.ty(id) };
        match described?.export_config.clone()? {
            ExportConfig::BtfTypeId(id) => Some(Layout::of(of_type(id))),
            ExportConfig::CustomMembers(members) => {
                let members: Vec<_> = members
                    .into_iter()
                    .map(|member| {
                        let layout = Layout::of(of_type(member.btf_type_id));
                        Member::new(printable::clean(&member.name), member.offset as usize, layout)
                    })
                    .collect();
                let end = |member: &Member| member.offset.saturating_add(member.layout.size());
                let size = members.iter().map(end).max().unwrap_or(0);
                Some(Layout::Struct(Struct { size, members }))
            }
            ExportConfig::NoExport | ExportConfig::Default => None,
        }
    }

    fn record(&self, described: Option<&MapMeta>, name: &str) -> Option<Layout> {
        if let Some(layout) = self.configured(described) {
            return Some(layout);
        }
        let of_type = |id: u32| -> Type<'_> { self.inputs.btf.ty(id) };
        let config = described.and_then(|meta| meta.export_config.clone()).unwrap_or_default();
        let exported = self.inputs.meta.export_types.first().map(|ty| of_type(ty.type_id));
        match config {
            ExportConfig::NoExport
                if self.inputs.meta.enable_multiple_export_types == Some(true) =>
            {
                None
            }
            _ => exported
                .filter(|ty| matches!(ty.kind, Kind::Struct | Kind::Union))
                .or_else(|| self.inputs.btf.map_types(name).1)
                .map(Layout::of),
        }
    }
}
