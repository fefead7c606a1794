// SPDX-License-Identifier: MIT
//! Views of maps, from annotations or recognized.

use std::sync::Arc;

use bpfpack_decode::{Layout, Member, Slots, Struct};
use bpfpack_schemas::map_type;

use super::Builder;
use super::average::average;
use super::purpose::Purpose;
use crate::maps::MapDefinition;
use crate::{ReadFrom, Source, View};

impl Builder<'_> {
    /// Adds the views of all maps that are shown.
    pub(super) fn views_of_maps(&mut self) {
        for map in self.maps.clone() {
            let Some(is_hash) = is_readable(map.ty) else { continue };
            let is_hidden = self.described(&map.name).is_some_and(|meta| meta.hidden);
            // Maps of data sections are read variable by variable.
            if map.name.contains('.') || !self.is_wanted(&map.name) || is_hidden {
                continue;
            }
            self.view_of_map(map, is_hash);
        }
    }

    fn view_of_map(&mut self, map: MapDefinition, is_hash: bool) {
        let (mut key, mut value) = self.layouts(&map);
        if let Some(meanings) = self.described(&map.name).map(|meta| meta.meanings.clone()) {
            self.give_meanings(&meanings, &mut key);
            self.give_meanings(&meanings, &mut value);
        }
        let stacks = self.stacks.find(&key);
        let purpose = self.purpose_of_map(&map.name, &value);
        let Some(purpose) = purpose.filter(|p| !(p.is_table && self.has_streams)) else { return };
        let differences = self.shows_differences(&purpose.sample);
        let interval = self.interval(&purpose.sample);
        let sort = purpose.sort.clone();
        let index = self.sources.len();
        let slot = purpose.slot_in_key(&key);
        let per_cpu = self.inputs.options.per_cpu && is_per_cpu(map.ty);
        let key_size = map.key_size as usize;
        let view = if let Some(slot) = slot {
            let len = purpose.slots_in_keys();
            let sum_slot = purpose.sum_slot();
            let value = joined(len, sum_slot.is_some());
            let key = without(key, slot.offset).map(|key| self.with_labels(key, &purpose.sample));
            let key = if per_cpu { Some(with_cpu(key, key_size)) } else { key };
            let shape = self.shape(&map.name, &purpose, &value);
            View {
                index,
                average: average(&value, &shape, &purpose.sample),
                from: ReadFrom::Slots { map: map.name.clone(), slot, len, sum_slot },
                name: map.name,
                key,
                counters: value.counters(&[]),
                value,
                shape,
                interval,
                differences,
                leave_out_zeros: true,
                sort,
                stacks: Vec::new(),
                per_cpu,
            }
        } else {
            let shape = self.shape(&map.name, &purpose, &value);
            let key = self.with_labels(key, &purpose.sample);
            // The only element of an array needs no key.
            let key = Some(key).filter(|_| is_hash || map.max_entries > 1 || !purpose.is_table);
            let key = if per_cpu { Some(with_cpu(key, key_size)) } else { key };
            View {
                index,
                average: average(&value, &shape, &purpose.sample),
                from: ReadFrom::Map { map: map.name.clone() },
                name: map.name,
                key,
                counters: value.counters(&purpose.sample.gauges),
                value,
                shape,
                interval,
                differences,
                leave_out_zeros: !is_hash,
                sort,
                stacks,
                per_cpu,
            }
        };
        self.sources.push(Source::View(Arc::new(view)));
    }

    /// The layouts of keys and values.
    fn layouts(&self, map: &MapDefinition) -> (Layout, Layout) {
        let (key, value) = self.inputs.btf.map_types(&map.name);
        let key = key.map_or_else(|| untyped(map.key_size), Layout::of);
        let value = self.configured(self.described(&map.name)).or_else(|| value.map(Layout::of));
        (key, value.unwrap_or_else(|| untyped(map.value_size)))
    }

    fn purpose_of_map(&self, map: &str, value: &Layout) -> Option<Purpose> {
        let described = self.described(map);
        let sample = described.and_then(|meta| meta.sample.clone());
        let view = described.and_then(|meta| meta.view.as_ref());
        match (sample, view) {
            (Some(sample), _) => Some(Purpose::annotated(sample)),
            (None, Some(view)) => Purpose::recognized(view),
            // The package is of another packer, so only the types tell.
            (None, None) if !self.is_described() && Slots::of(value).is_some() => {
                Some(Purpose::histogram())
            }
            (None, None) => None,
        }
    }
}

/// The layout of data with a size but no type: a number, if the size is a number's.
fn untyped(size: u32) -> Layout {
    match size {
        4 | 8 => Layout::Int { size: size as usize, signed: false },
        _ => Layout::Bytes { size: size as usize },
    }
}

/// The value of a histogram whose slots are elements: an array of slots, and the sum if it is known.
fn joined(len: usize, has_sum: bool) -> Layout {
    let number = || Layout::Int { size: 8, signed: false };
    let slots = Layout::Array { element: Box::new(number()), stride: 8, len };
    if !has_sum {
        return slots;
    }
    let members = vec![Member::new("slots", 0, slots), Member::new("sum", 8 * len, number())];
    Layout::Struct(Struct { size: 8 * (len + 1), members })
}

/// A key without the member at an offset; `None` if nothing is left.
fn without(key: Layout, offset: usize) -> Option<Layout> {
    let Layout::Struct(mut record) = key else { return None };
    record.members.retain(|member| member.offset != offset);
    (!record.members.is_empty()).then_some(Layout::Struct(record))
}

/// A key with the CPU appended.
fn with_cpu(key: Option<Layout>, size: usize) -> Layout {
    let mut members = match key {
        Some(Layout::Struct(record)) => record.members,
        Some(key) => vec![Member::new("key", 0, key)],
        None => Vec::new(),
    };
    members.push(Member::new("cpu", size, Layout::Int { size: 4, signed: false }));
    Layout::Struct(Struct { size: size + 4, members })
}

fn is_per_cpu(ty: u32) -> bool {
    matches!(ty, map_type::PERCPU_HASH | map_type::LRU_PERCPU_HASH | map_type::PERCPU_ARRAY)
}

/// Whether a map of this type can be read; if so, whether its elements can be deleted.
fn is_readable(ty: u32) -> Option<bool> {
    match ty {
        map_type::HASH | map_type::LRU_HASH | map_type::PERCPU_HASH | map_type::LRU_PERCPU_HASH => {
            Some(true)
        }
        map_type::ARRAY | map_type::PERCPU_ARRAY => Some(false),
        _ => None,
    }
}
