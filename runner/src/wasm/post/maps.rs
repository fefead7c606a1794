// SPDX-License-Identifier: MIT
//! The package's maps, as modules access them: by index, never by descriptor.

use libbpf_rs::{MapCore as _, MapType, Object};
use serde_json::{Value, json};

use crate::failure::{Failure, system};
use crate::sys::map::Map;

/// A map with its name.
#[derive(Debug)]
struct Named {
    name: String,
    map: Map,
}

/// The maps of a package.
#[derive(Debug, Default)]
pub(crate) struct Table(Vec<Named>);

impl Table {
    /// The maps whose keys and values are plain bytes. Other maps hold descriptors of this process
    /// (maps of maps, cgroups, sockets, storage), which a module must not access. Data sections are
    /// excluded, too.
    pub(crate) fn of(object: &Object) -> Result<Table, Failure> {
        let mut maps = Vec::new();
        for map in object.maps() {
            let name = map.name().to_string_lossy().into_owned();
            let is_plain = matches!(
                map.map_type(),
                MapType::Hash
                    | MapType::LruHash
                    | MapType::PercpuHash
                    | MapType::LruPercpuHash
                    | MapType::Array
                    | MapType::PercpuArray
                    | MapType::LpmTrie
                    | MapType::StackTrace
                    | MapType::Queue
                    | MapType::Stack
            );
            if name.contains('.') || !is_plain {
                continue;
            }
            let map = Map::of(&map).map_err(system("cannot keep a map open"))?;
            maps.push(Named { name, map });
        }
        Ok(Table(maps))
    }

    /// A map by index.
    #[must_use]
    pub(crate) fn get(&self, number: u32) -> Option<&Map> {
        self.0.get(number as usize).map(|named| &named.map)
    }

    /// The index of a map.
    #[must_use]
    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|named| named.name == name)
    }

    /// The description for modules.
    #[must_use]
    pub(crate) fn describe(&self) -> Value {
        let describe = |Named { name, map }: &Named| {
            json!({
                "name": name, "type": type_name(map.map_type()),
                "key_size": map.key_size(),
                "value_size": map.value_size(), "max_entries": map.max_entries(),
            })
        };
        self.0.iter().map(describe).collect::<Vec<_>>().into()
    }
}

/// The name as libbpf and bpftool spell it: `percpu_hash`.
fn type_name(ty: MapType) -> String {
    let mut name = String::new();
    for letter in format!("{ty:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.extend(letter.to_lowercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_spelled_as_usual() {
        assert_eq!(type_name(MapType::PercpuHash), "percpu_hash");
        assert_eq!(type_name(MapType::LruHash), "lru_hash");
        assert_eq!(type_name(MapType::Array), "array");
    }
}
