// SPDX-License-Identifier: MIT
//! Which buffers are shown, and what their records are.

use std::collections::BTreeMap;

use anyhow::anyhow;
use bpfpack_schemas::btf::{Kind, Type};
use bpfpack_schemas::meta::{ExportConfig, Interpreter, MapMeta};
use libbpf_rs::{MapCore as _, MapType};

use super::planner::Planner;
use super::{RecordKind, Stacks, Stream, StreamKind};
use crate::decode::meaning::Meaning;
use crate::decode::{Layout, Member, Record, text};
use crate::failure::{Failure, exit_code};

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
            let kind = match map.map_type() {
                MapType::RingBuf => StreamKind::Ring,
                MapType::PerfEventArray => StreamKind::Perf { pages },
                _ => continue,
            };
            let name = map.name().to_string_lossy().into_owned();
            let described = self.described(&name);
            let unwanted =
                |meta: &MapMeta| meta.hidden || meta.export_config == Some(ExportConfig::NoExport);
            if !self.is_wanted(&name) || described.is_some_and(unwanted) {
                continue;
            }
            // A type that the object does not have has no size.
            let mut kinds = self.kinds(described, &name);
            kinds.retain(|kind| kind.size > 0);
            let tag = self.tag(described, &kinds);
            for kind in &mut kinds {
                self.mark(described, kind);
            }
            match kinds.is_empty() {
                false => streams.push(Stream { index: streams.len(), name, kinds, tag, kind }),
                true => self.talk.warning(&format!(
                    "the records of `{name}` are not shown: the package does not say what they \
                     are (pack it with the header of their struct: ecc X.bpf.c X.h)"
                )),
            }
        }
        streams
    }

    /// Finds the stacks of a kind of records, and what its members stand for by annotation.
    fn mark(&self, described: Option<&MapMeta>, kind: &mut RecordKind) {
        if let Some(described) = described {
            self.give_meanings(&described.meanings, &mut kind.layout);
        }
        let interpreter = described.and_then(|meta| meta.interpreter.as_ref());
        if let Some(Interpreter::StackTrace { field_map, .. }) = interpreter
            && let Layout::Record(record) = &kind.layout
        {
            for (field, name) in field_map {
                if !record.members.iter().any(|member| member.name == *name) {
                    self.talk.warning(&format!(
                        "the stacks' `{field}` is said to be the member `{name}`, which records of \
                         `{}` do not have",
                        kind.name
                    ));
                }
            }
        }
        match interpreter.and_then(|interpreter| Stacks::annotated(&kind.layout, interpreter)) {
            Some((stacks, event)) => (kind.stacks, kind.event) = (stacks, Some(event)),
            None => kind.stacks = self.stacks.find(&kind.layout),
        }
    }

    /// Gives members of a struct the meanings that an annotation says.
    pub fn give_meanings(&self, meanings: &BTreeMap<String, String>, layout: &mut Layout) {
        let Layout::Record(record) = layout else { return };
        for (name, meaning) in meanings {
            match Meaning::named(meaning) {
                Some(meaning) => {
                    record.give_meaning(name, meaning);
                }
                None => self.talk.warning(&format!(
                    "`{name}` can not be shown as `{meaning}`: there are {}",
                    Meaning::all_names().collect::<Vec<_>>().join(", ")
                )),
            }
        }
    }

    /// What the records of a buffer may be: one struct, unless the package names several.
    fn kinds(&self, described: Option<&MapMeta>, name: &str) -> Vec<RecordKind> {
        let records = described.map_or(&[][..], |meta| &meta.records);
        let is_custom = described
            .is_some_and(|meta| matches!(meta.export_config, Some(ExportConfig::CustomMembers(_))));
        if records.len() > 1 && !is_custom {
            return records
                .iter()
                .map(|record| {
                    let layout = Layout::of(self.btf.ty(record.btf_type_id));
                    RecordKind::new(text::clean(&record.name), layout, record.tag)
                })
                .collect();
        }
        let only = self.record(described, name);
        let kind = |layout| RecordKind::new(name, layout, None);
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

    /// The type that `export_config` names; none where it names none.
    pub fn configured(&self, described: Option<&MapMeta>) -> Option<Layout> {
        let of_type = |id: u32| -> Type<'_> { self.btf.ty(id) };
        match described?.export_config.clone()? {
            ExportConfig::BtfTypeId(id) => Some(Layout::of(of_type(id))),
            ExportConfig::CustomMembers(members) => {
                let members: Vec<_> = members
                    .into_iter()
                    .map(|member| {
                        let layout = Layout::of(of_type(member.btf_type_id));
                        Member::new(text::clean(&member.name), member.offset as usize, layout)
                    })
                    .collect();
                let end = |member: &Member| member.offset.saturating_add(member.layout.size());
                let size = members.iter().map(end).max().unwrap_or(0);
                Some(Layout::Record(Record { size, members }))
            }
            ExportConfig::NoExport | ExportConfig::Default => None,
        }
    }

    fn record(&self, described: Option<&MapMeta>, name: &str) -> Option<Layout> {
        if let Some(layout) = self.configured(described) {
            return Some(layout);
        }
        let of_type = |id: u32| -> Type<'_> { self.btf.ty(id) };
        let config = described.and_then(|meta| meta.export_config.clone()).unwrap_or_default();
        let exported = self.meta.export_types.first().map(|ty| of_type(ty.type_id));
        match config {
            ExportConfig::NoExport if self.meta.enable_multiple_export_types == Some(true) => None,
            _ => exported
                .filter(|ty| matches!(ty.kind, Kind::Struct | Kind::Union))
                .or_else(|| self.btf.map_types(name).1)
                .map(Layout::of),
        }
    }
}

/// Whether a member is meant: names may be written as above the columns, too.
fn is_named(name: &str, wanted: &str) -> bool {
    name.eq_ignore_ascii_case(wanted)
}

/// Leaves only the members that were asked for, in their order.
pub fn select(streams: &mut [Stream], fields: &[String]) {
    if fields.is_empty() {
        return;
    }
    for kind in streams.iter_mut().flat_map(|stream| &mut stream.kinds) {
        let Layout::Record(record) = &mut kind.layout else { continue };
        kind.whole = Some(Layout::Record(record.clone()));
        let all = std::mem::take(&mut record.members);
        record.members = fields
            .iter()
            .filter_map(|field| all.iter().find(|member| is_named(&member.name, field)).cloned())
            .collect();
        // A stack is shown where one of its members is.
        kind.stacks.retain(|stack| fields.iter().any(|field| is_named(&stack.name, field)));
        kind.event = None;
    }
}

/// Looks whether there are the members that were asked for.
///
/// # Errors
/// When no stream has one of them.
pub fn check_fields<'s>(
    streams: impl Iterator<Item = &'s Stream>,
    fields: &[String],
) -> Result<(), Failure> {
    let kinds = streams.flat_map(|stream| &stream.kinds);
    let members = kinds.filter_map(|kind| match kind.all() {
        Layout::Record(record) => Some(&record.members),
        _ => None,
    });
    let mut known: Vec<&str> = members.flatten().map(|member| member.name.as_str()).collect();
    let is_known = |field: &&String| known.iter().any(|name| is_named(name, field));
    let Some(unknown) = fields.iter().find(|field| !is_known(field)) else { return Ok(()) };
    known.sort();
    known.dedup();
    let error = anyhow!("--fields: records have no member `{unknown}`");
    Err(Failure::new(exit_code::USAGE, error).hint(match known.is_empty() {
        true => "the package has no records".to_owned(),
        false => format!("their members are {}", known.join(", ")),
    }))
}
