// SPDX-License-Identifier: MIT
//! Describes the records of buffers in the package.

use bpfpack_schemas::Meta;
use bpfpack_schemas::btf::{Btf, Kind};
use bpfpack_schemas::map_type::{PERF_EVENT_ARRAY, RINGBUF};
use bpfpack_schemas::meta::{ExportConfig, MapMeta};

use crate::export;
use crate::limits::{Exported, TooMuch};
use crate::message::{Console, shown};
use crate::options::{DescribeOptions, Input};
use crate::records::Facts;

/// Records the structs of each buffer, unless an export header decides them.
pub(crate) fn records(meta: &mut Meta, facts: &Facts, btf: &Btf<'_>) {
    if !meta.export_types.is_empty() {
        return;
    }
    for map in &mut meta.bpf_skel.maps {
        let Some(written) = facts.buffers.get(&map.name) else { continue };
        let record = |(name, id): &(String, u32)| export::record_type(name, btf.ty(*id));
        map.records = written.structs.iter().map(record).collect();
    }
}

/// Makes the records of buffers, and the values of maps with `@sample`, the exported types, so that
/// loaders that do not know `records` show them, too. Such loaders export one map by its type, or
/// each map by its `export_config`.
///
/// # Errors
/// The description of the types is larger than that of any real program.
pub(crate) fn export(meta: &mut Meta, btf: &Btf<'_>) -> Result<(), TooMuch> {
    if !meta.export_types.is_empty() {
        // A header decides; `@records` overrides it.
        for map in meta.bpf_skel.maps.iter_mut() {
            if let Some(first) = map.records.first() {
                map.export_config.get_or_insert(ExportConfig::BtfTypeId(first.btf_type_id));
            }
        }
        return Ok(());
    }
    let mut exported = Exported::default();
    let is_buffer = |map: &MapMeta| {
        matches!(btf.map_number(&map.name, "type"), Some(RINGBUF | PERF_EVENT_ARRAY))
    };
    let value_of = |map: &MapMeta| {
        let value = btf.map_types(&map.name).1?.resolved();
        (value.kind == Kind::Struct && !value.name().is_empty()).then_some(value)
    };
    let mut shown: Vec<&mut MapMeta> = meta
        .bpf_skel
        .maps
        .iter_mut()
        .filter(|map| !map.hidden && (map.sample.is_some() || is_buffer(map)))
        .collect();
    for map in &shown {
        let records = map.records.iter().map(|record| (record.btf_type_id, &record.name[..]));
        let value = value_of(map).filter(|_| map.sample.is_some());
        for (id, name) in records.chain(value.map(|ty| (ty.id, ty.name()))) {
            if !meta.export_types.iter().any(|known| known.type_id == id) {
                let ty = export::describe(btf.ty(id), name);
                exported.add(&ty)?;
                meta.export_types.push(ty);
            }
        }
    }
    // A single exported map needs only the type. Several need `export_config` each.
    let is_plain = |map: &MapMeta| !map.records.is_empty() || value_of(map).is_some();
    if meta.export_types.is_empty() && shown.iter().all(|map| map.sample.is_none())
        || shown.len() == 1 && is_plain(shown[0])
    {
        return Ok(());
    }
    meta.enable_multiple_export_types = Some(true);
    for map in &mut shown {
        let config = match map.records.first() {
            Some(first) => ExportConfig::BtfTypeId(first.btf_type_id),
            None if map.sample.is_some() => ExportConfig::Default,
            None => continue,
        };
        map.export_config.get_or_insert(config);
    }
    Ok(())
}

/// Warns of buffers whose records are unknown, and of headers that contradict the source.
pub(crate) fn warn_of_unknown(
    meta: &Meta,
    facts: &Facts,
    options: &DescribeOptions,
    console: &Console,
) {
    let source = shown(&options.source);
    // Such as a buffer in a map of maps.
    if !facts.nowhere.is_empty() && options.export_header.is_none() {
        console.warning(format!(
            "cannot find out which buffer receives some records ({}): they may not be shown",
            facts.nowhere.join(", ")
        ));
    }
    for map in &meta.bpf_skel.maps {
        let Some(written) = facts.buffers.get(&map.name) else { continue };
        let decided = map.export_config.is_some() || map.hidden || !map.records.is_empty();
        if options.export_header.is_some() {
            let (Some(first), [(name, _), rest @ ..]) =
                (meta.export_types.first(), &written.structs[..])
            else {
                continue;
            };
            if rest.is_empty() && first.name != *name && map.export_config.is_none() {
                console.warning(format!(
                    "{source}: the first struct of the header, `{}`, determines how the records of \
                     `{}` are shown, but the source writes `{name}` there. Without the header, ecc \
                     uses the struct in the source",
                    first.name, map.name
                ));
            }
            continue;
        }
        if decided || written.unknown.is_empty() {
            continue;
        }
        let remedy = match options.input {
            Input::Object => "pack the source, or an object with its debug information",
            _ => {
                "name it above the map (/// @records NAME), or pass a header with it \
                 (ecc SOURCE HEADER)"
            }
        };
        console.warning(format!(
            "the records of `{}` will not be shown: ecc found no struct that is written there \
             ({}); {remedy}",
            map.name,
            written.unknown.join(", ")
        ));
    }
}
