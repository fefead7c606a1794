// SPDX-License-Identifier: MIT
//! The maps of an object with their sizes, and the memory that they take.

use bpfpack_schemas::Meta;
use bpfpack_schemas::btf::Btf;
use bpfpack_schemas::map_type;
use bpfpack_schemas::object::BpfObject;
use bpfpack_schemas::report::MapReport;
use bpfpack_spec::maps::{MapDefinition, of_object};
use libbpf_rs::MapType;

use crate::memory::Sizes;
use crate::sys::map::is_per_cpu;

/// The beginning of the names of maps that libbpf's usdt.bpf.h defines.
const OF_LIBRARY: &str = "__bpf_usdt_";

/// The maps of an object: those of `.maps`, then those of its data sections.
pub(super) fn of(elf: &BpfObject<'_>, btf: &Btf<'_>, meta: &Meta) -> Vec<MapReport> {
    let cpus = libbpf_rs::num_possible_cpus().unwrap_or(1) as u64;
    let report = |map: MapDefinition| {
        let described = meta.bpf_skel.maps.iter().find(|meta| meta.name == map.name);
        MapReport {
            internal: map.name.starts_with(OF_LIBRARY),
            pinned: btf.map_number(&map.name, "pinning").is_some_and(|how| how != 0),
            meanings: described.map(|meta| meta.meanings.clone()).unwrap_or_default(),
            ..sized(map, cpus)
        }
    };
    let defined = of_object(elf, btf, meta, &[]).into_iter().map(report);
    let sections = elf.data_sections().into_iter().map(|section| {
        let map = MapDefinition {
            name: section.name,
            ty: map_type::ARRAY,
            key_size: 4,
            value_size: u32::try_from(section.size).unwrap_or(u32::MAX),
            max_entries: 1,
        };
        MapReport { internal: true, ..sized(map, cpus) }
    });
    defined.chain(sections).collect()
}

fn sized(map: MapDefinition, cpus: u64) -> MapReport {
    let ty = MapType::from(map.ty);
    // libbpf sets the number of CPUs.
    let is_open = map.ty == map_type::PERF_EVENT_ARRAY && map.max_entries == 0;
    let entries = if is_open { u32::try_from(cpus).unwrap_or(u32::MAX) } else { map.max_entries };
    let sizes = Sizes { ty, key: map.key_size, value: map.value_size, entries };
    MapReport {
        name: map.name,
        ty: map_type::type_name(map.ty).map_or_else(|| map.ty.to_string(), str::to_owned),
        key_size: map.key_size,
        value_size: map.value_size,
        max_entries: entries,
        memory: sizes.bytes(cpus),
        cpus: is_per_cpu(ty).then_some(cpus),
        ..MapReport::default()
    }
}
