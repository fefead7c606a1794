// SPDX-License-Identifier: MIT
//! Which buffers are shown, and what their records are.

use bpfpack_schemas::btf::{Kind, Type};
use bpfpack_schemas::meta::{ExportConfig, MapMeta};
use libbpf_rs::{MapCore as _, MapType};

use super::planner::Planner;
use super::{RecordKind, Stream};
use crate::decode::{Layout, Member, Record, text};

/// Pages of a perf buffer for each CPU, where the package does not say.
const PERF_PAGES: u32 = 64;

impl Planner<'_> {
    /// The buffers and what their records are.
    pub fn streams(&self) -> Vec<Stream> {
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
            let mut kinds = self.kinds(described, &name);
            kinds.retain(|kind| kind.layout.size() > 0);
            let tag = self.tag(described, &kinds);
            match kinds.is_empty() {
                false => streams.push(Stream { name, kinds, tag, is_perf, pages }),
                true => self.talk.warning(&format!(
                    "the records of `{name}` are not shown: the package does not say what they \
                     are (pack it with the header of their struct: ecc X.bpf.c X.h)"
                )),
            }
        }
        streams
    }

    /// What the records of a buffer may be: one struct, unless the package names several.
    fn kinds(&self, described: Option<&MapMeta>, name: &str) -> Vec<RecordKind> {
        let records = described.map_or(&[][..], |meta| &meta.records);
        let is_custom = described
            .is_some_and(|meta| matches!(meta.export_config, Some(ExportConfig::CustomMembers(_))));
        if records.len() > 1 && !is_custom {
            return records
                .iter()
                .map(|record| RecordKind {
                    name: text::clean(&record.name),
                    layout: Layout::of(self.btf.ty(record.btf_type_id)),
                    tag: record.tag,
                })
                .collect();
        }
        let only = self.record(described, name);
        let kind = |layout| RecordKind { name: name.to_owned(), layout, tag: None };
        only.map(kind).into_iter().collect()
    }

    /// The member that tells records apart, where the package names one that they all have.
    fn tag(&self, described: Option<&MapMeta>, kinds: &[RecordKind]) -> Option<Member> {
        let name = described?.record_tag.as_ref()?;
        let of = |kind: &RecordKind| match &kind.layout {
            Layout::Record(record) => record.members.iter().find(|m| m.name == *name).cloned(),
            _ => None,
        };
        let first = of(kinds.first()?);
        let is_same = |other: &Member| {
            first.as_ref().is_some_and(|first| {
                (first.offset, first.bits, first.layout.size())
                    == (other.offset, other.bits, other.layout.size())
            })
        };
        if kinds.iter().all(|kind| of(kind).is_some_and(|member| is_same(&member))) {
            return first;
        }
        self.talk.warning(&format!(
            "not all records have `{name}` at the same place: they are told apart by their sizes"
        ));
        None
    }

    fn record(&self, described: Option<&MapMeta>, name: &str) -> Option<Layout> {
        let of_type = |id: u32| -> Type<'_> { self.btf.ty(id) };
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
                .or_else(|| self.btf.map_types(name).1)
                .map(Layout::of),
        }
    }
}
