// SPDX-License-Identifier: MIT
//! The maps that an object defines, with the sizes with which they are created: from `.maps`, as
//! libbpf reads them, or from the package or the user, if a definition leaves a size open.

use bpfpack_schemas::Meta;
use bpfpack_schemas::btf::Btf;
use bpfpack_schemas::map_type::{self, default_entries, needs_entries};
use bpfpack_schemas::meta::{DEFAULT_STACK_BYTES, MapMeta};
use bpfpack_schemas::object::BpfObject;

/// A map of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapDefinition {
    /// Its name.
    pub name: String,
    /// Its type, a constant in [`map_type`].
    pub ty: u32,
    /// Size of a key in bytes.
    pub key_size: u32,
    /// Size of a value in bytes; in a per-CPU map, on one CPU.
    pub value_size: u32,
    /// The maximum number of entries; for a ring buffer, bytes.
    pub max_entries: u32,
}

/// Sizes for a map whose definition lacks them, or that the user overrides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenSizes {
    /// The number of entries to use; for a ring buffer, bytes.
    pub max_entries: Option<u32>,
    /// Size of a stack in bytes to use, for a stack trace map.
    pub stack_bytes: Option<u32>,
}

impl OpenSizes {
    /// Sizes for a map of this type and these sizes: from the user; otherwise, if the definition
    /// has none, from the package, or a default.
    #[must_use]
    pub fn of(
        definition: (u32, u32, u32),
        described: Option<&MapMeta>,
        wanted: Option<u32>,
    ) -> OpenSizes {
        let (ty, max_entries, value_size) = definition;
        let default = || described.and_then(|m| m.max_entries).unwrap_or(default_entries(ty));
        let is_open = max_entries == 0 && needs_entries(ty);
        let is_open_stack = ty == map_type::STACK_TRACE && value_size == 0;
        let bytes = || described.and_then(|m| m.value_size).unwrap_or(DEFAULT_STACK_BYTES);
        OpenSizes {
            max_entries: wanted.or_else(|| is_open.then(default)),
            stack_bytes: is_open_stack.then(bytes),
        }
    }
}

/// The maps of an object in libbpf's order, except those for data sections.
#[must_use]
pub fn of_object(
    object: &BpfObject<'_>,
    btf: &Btf<'_>,
    meta: &Meta,
    wanted: &[(String, u32)],
) -> Vec<MapDefinition> {
    let map = |name: &str| {
        let number = |what: &str| btf.map_number(name, what);
        let (key, value) = btf.map_types(name);
        let size = |ty: Option<bpfpack_schemas::btf::Type<'_>>| {
            ty.and_then(|ty| u32::try_from(ty.size()?).ok())
        };
        let ty = number("type").unwrap_or(0);
        let mut map = MapDefinition {
            name: name.to_owned(),
            ty,
            key_size: number("key_size").or_else(|| size(key)).unwrap_or(0),
            value_size: number("value_size").or_else(|| size(value)).unwrap_or(0),
            max_entries: number("max_entries").unwrap_or(0),
        };
        let described = meta.bpf_skel.maps.iter().find(|meta| meta.name == name);
        let wanted = wanted.iter().find(|(map, _)| map == name).map(|(_, entries)| *entries);
        let sizes = OpenSizes::of((ty, map.max_entries, map.value_size), described, wanted);
        map.max_entries = sizes.max_entries.unwrap_or(map.max_entries);
        if let Some(bytes) = sizes.stack_bytes {
            (map.key_size, map.value_size) = (4, bytes);
        }
        map
    };
    object.variables(btf, ".maps").iter().map(|var| map(var.name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_wins_over_the_package_and_that_over_a_default() {
        let described =
            MapMeta { max_entries: Some(77), value_size: Some(80), ..MapMeta::default() };
        let of = |ty, entries, size, described, wanted| {
            let sizes = OpenSizes::of((ty, entries, size), described, wanted);
            (sizes.max_entries, sizes.stack_bytes)
        };
        assert_eq!(of(map_type::HASH, 0, 8, None, None), (Some(10240), None));
        assert_eq!(of(map_type::HASH, 0, 8, Some(&described), None), (Some(77), None));
        assert_eq!(of(map_type::HASH, 0, 8, Some(&described), Some(5)), (Some(5), None));
        assert_eq!(of(map_type::HASH, 3, 8, Some(&described), None), (None, None));
        assert_eq!(of(map_type::RINGBUF, 0, 0, None, None), (Some(256 << 10), None));
        assert_eq!(of(map_type::RINGBUF, 0, 0, Some(&described), None), (Some(77), None));
        assert_eq!(of(map_type::RINGBUF, 4096, 0, None, Some(8192)), (Some(8192), None));
        assert_eq!(of(map_type::USER_RINGBUF, 4096, 0, None, None), (None, None));
        assert_eq!(of(map_type::PERF_EVENT_ARRAY, 0, 4, None, None), (None, None));
        assert_eq!(of(map_type::STACK_TRACE, 0, 0, None, None), (Some(8192), Some(1016)));
        assert_eq!(of(map_type::STACK_TRACE, 9, 0, Some(&described), None), (None, Some(80)));
        assert_eq!(of(map_type::STACK_TRACE, 9, 8, Some(&described), None), (None, None));
    }
}
