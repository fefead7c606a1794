// SPDX-License-Identifier: MIT
//! What the package says of the records in its buffers.

use bpfpack_schemas::Meta;
use bpfpack_schemas::btf::Btf;
use bpfpack_schemas::meta::{ExportConfig, MapMeta, RecordType};

use crate::args::{Input, Plan};
use crate::export;
use crate::message::Talk;
use crate::records::Facts;

/// Writes down which structs are in which buffers, unless an export header decides.
pub fn records(meta: &mut Meta, facts: &Facts, btf: &Btf<'_>) {
    if !meta.export_types.is_empty() {
        return;
    }
    for map in &mut meta.bpf_skel.maps {
        let Some(written) = facts.buffers.get(&map.name) else { continue };
        let record = |(name, id): &(String, u32)| {
            let ty = btf.ty(*id).resolved();
            RecordType {
                name: name.clone(),
                size: ty.size().and_then(|size| u32::try_from(size).ok()).unwrap_or(0),
                btf_type_id: ty.id,
                ..Default::default()
            }
        };
        map.records = written.structs.iter().map(record).collect();
    }
}

/// Makes the records of buffers the exported types, so that loaders that know nothing of `records`
/// show them too.
pub fn export(meta: &mut Meta, btf: &Btf<'_>) {
    let is_buffer = |map: &&mut MapMeta| !map.records.is_empty() && !map.hidden;
    let several = meta.bpf_skel.maps.iter_mut().filter(is_buffer).count() > 1;
    let header_decides = !meta.export_types.is_empty();
    for map in meta.bpf_skel.maps.iter_mut().filter(is_buffer) {
        if let Some(first) = map.records.first().filter(|_| several || header_decides) {
            map.export_config.get_or_insert(ExportConfig::BtfTypeId(first.btf_type_id));
        }
        if header_decides {
            continue;
        }
        for record in &map.records {
            if !meta.export_types.iter().any(|known| known.type_id == record.btf_type_id) {
                let ty = btf.ty(record.btf_type_id);
                meta.export_types.push(export::describe(ty, &record.name));
            }
        }
    }
    if several && !header_decides {
        meta.enable_multiple_export_types = Some(true);
        // Then, only what asks for it is shown by other loaders.
        for map in meta.bpf_skel.maps.iter_mut().filter(|map| map.sample.is_some()) {
            map.export_config.get_or_insert(ExportConfig::Default);
        }
    }
}

/// Warns of buffers whose records nothing is known of, and where a header says something else than
/// the source does.
pub fn tell_unknown(meta: &Meta, facts: &Facts, plan: &Plan, talk: &Talk) {
    let source = plan.source.display();
    for map in &meta.bpf_skel.maps {
        let Some(written) = facts.buffers.get(&map.name) else { continue };
        let decided = map.export_config.is_some() || map.hidden || !map.records.is_empty();
        if plan.export_header.is_some() {
            let (Some(first), [(name, _), rest @ ..]) =
                (meta.export_types.first(), &written.structs[..])
            else {
                continue;
            };
            if rest.is_empty() && first.name != *name && map.export_config.is_none() {
                talk.warning(&format!(
                    "{source}: the first struct of the header, `{}`, decides what the records of \
                     `{}` are shown as; the source writes `{name}` there. Without the header, ecc \
                     goes by the source",
                    first.name, map.name
                ));
            }
            continue;
        }
        if decided || written.unknown.is_empty() {
            continue;
        }
        let remedy = match plan.input {
            Input::Object => "pack the source, or an object with its debug information",
            _ => {
                "name it above the map (/// @records NAME), or pass a header with it \
                 (ecc SOURCE HEADER)"
            }
        };
        talk.warning(&format!(
            "the records of `{}` will not be shown: no struct was found that is written there \
             ({}); {remedy}",
            map.name,
            written.unknown.join(", ")
        ));
    }
}
