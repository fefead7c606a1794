// SPDX-License-Identifier: MIT
//! Recognizes the purpose of each map and variable, from its type and from how programs use it: a
//! histogram, a table of counters, stacks, or internal data.
//!
//! - An array of integers, in a value or a variable, to whose elements programs add by index, is a
//!   histogram. So is a map whose key has a member such as `slot` or `bucket`, and an array map if
//!   programs compute slots for it.
//! - Other data that programs add to is a table, sorted by its first counter. So is data that they
//!   write and never read.
//! - Data that they delete, or write and read, is internal: a start time, the arguments of a call,
//!   a record under construction.
//! - Data that they only read comes from user space.
//!
//! Annotations override all of this.

use std::collections::{BTreeMap, BTreeSet};

use bpfpack_schemas::Meta;
use bpfpack_schemas::btf::{Btf, Kind, SectionVar, Type};
use bpfpack_schemas::meta::{DUMMY_PREFIX, Scale, SlotPosition, ViewKind, ViewMeta};
use bpfpack_schemas::object::BpfObject;

use crate::parsed::Parsed;
use crate::records::Facts;
use crate::records::flow::{Flow, Usage, helper};
use crate::records::units::Slotting;
use crate::records::value::{Spot, Value};

/// Arrays with fewer elements are not histograms.
const LEAST_SLOTS: u32 = 4;

/// Arrays with fewer elements are not histograms by the logarithm, if their functions compute it for
/// the key of another map.
const FEW_SLOTS: u32 = 16;

/// Names of members that hold slots.
const SLOTS: [&str; 4] = ["slots", "buckets", "bins", "hist"];

/// Names of members of a key that are a slot.
const SLOT: [&str; 4] = ["slot", "bucket", "bin", "le"];

/// Records the purpose of each map and variable.
pub(crate) fn recognize(meta: &mut Meta, object: &Parsed<'_>, flow: &Flow, facts: &Facts) {
    let variables: BTreeSet<String> = meta
        .bpf_skel
        .data_sections
        .iter()
        .flat_map(|section| section.variables.iter().map(|variable| variable.name.clone()))
        .collect();
    let facts = &with_real_units(facts, &variables);
    let recognizer = Recognizer { elf: &object.elf, btf: &object.btf, flow, facts };
    for map in meta.bpf_skel.maps.iter_mut().filter(|map| !map.mmaped) {
        map.view = recognizer.map(&map.name);
    }
    for section in &mut meta.bpf_skel.data_sections {
        if section.name.starts_with(".rodata") {
            continue;
        }
        for variable in &mut section.variables {
            variable.view = recognizer.variable(&section.name, &variable.name);
        }
    }
}

/// Removes units that depend on a local variable: the unit is then unknown.
fn with_real_units(facts: &Facts, variables: &BTreeSet<String>) -> Facts {
    let mut facts = facts.clone();
    for slotting in facts.slots.values_mut() {
        if slotting.unit_when.keys().any(|name| !variables.contains(name)) {
            slotting.unit_when.clear();
            slotting.unit = None;
        }
    }
    facts
}

struct Recognizer<'e> {
    elf: &'e BpfObject<'e>,
    btf: &'e Btf<'e>,
    flow: &'e Flow,
    facts: &'e Facts,
}

impl Recognizer<'_> {
    fn map(&self, name: &str) -> Option<ViewMeta> {
        use bpfpack_schemas::map_type::*;
        let ty = self.btf.map_number(name, "type")?;
        if ty == STACK_TRACE {
            return Some(ViewMeta { kind: ViewKind::Stacks, ..ViewMeta::default() });
        }
        if ty == CGROUP_ARRAY {
            return Some(ViewMeta { kind: ViewKind::Input, ..ViewMeta::default() });
        }
        let is_array = matches!(ty, ARRAY | PERCPU_ARRAY);
        if !is_array && !matches!(ty, HASH | PERCPU_HASH | LRU_HASH | LRU_PERCPU_HASH) {
            return None;
        }
        let of_kind = |kind| Some(ViewMeta { kind, ..ViewMeta::default() });
        let Some(usage) = self.flow.maps.get(name) else { return of_kind(ViewKind::Input) };
        let (key, value) = self.btf.map_types(name);
        let Some(value) = value else {
            // A size without a type: a counter, or memory for building a record.
            let size = self.btf.map_number(name, "value_size");
            let counts = !usage.added.is_empty() && matches!(size, Some(4 | 8));
            return of_kind(if counts { ViewKind::Table } else { ViewKind::Scratch });
        };
        if let Some(view) = self.histogram(name, usage, key, value, is_array) {
            return Some(view);
        }
        let is_deleted = usage.helpers.contains(&helper::MAP_DELETE);
        let is_looked_up = usage.helpers.contains(&helper::MAP_LOOKUP);
        let is_updated = usage.helpers.contains(&helper::MAP_UPDATE);
        let is_built = self.is_record(name);
        if !usage.added.is_empty() && !is_built {
            return Some(table(key.filter(|_| !is_array), value, &usage.added));
        }
        // An array with one element is memory for building a record.
        let is_space = is_array && self.btf.map_number(name, "max_entries") == Some(1);
        if is_built || is_deleted || is_space && usage.is_written {
            return of_kind(ViewKind::Scratch);
        }
        if is_updated && !usage.is_read && !is_looked_up {
            return Some(table(key.filter(|_| !is_array), value, &BTreeSet::new()));
        }
        if is_updated || usage.is_written {
            return of_kind(ViewKind::Scratch);
        }
        of_kind(ViewKind::Input)
    }

    /// Whether elements of a map are written to a buffer unchanged.
    fn is_record(&self, name: &str) -> bool {
        let of_map = |value: &Value| match value {
            Value::Element(map, _) => self.flow.names.get(map).is_some_and(|known| known == name),
            _ => false,
        };
        self.flow.calls.iter().any(|call| call.arguments.iter().any(of_map))
    }

    fn histogram(
        &self,
        name: &str,
        usage: &Usage,
        key: Option<Type<'_>>,
        value: Type<'_>,
        is_array: bool,
    ) -> Option<ViewMeta> {
        let functions = &usage.functions;
        let slotting = self.slotting(functions);
        let found = slots_in(value, &usage.added);
        if let Some(slots) = found {
            return Some(histogram(slots, slotting));
        }
        let counts = is_counter(value) && usage.added.iter().any(|spot| spot.offset == 0);
        if !counts {
            return None;
        }
        if let Some((member, offset)) = key.and_then(|key| slot_member(key)) {
            let view = histogram(SlotPosition::Key(member.to_owned()), slotting);
            return Some(ViewMeta { sum_slot: sum_slot(usage, offset), ..view });
        }
        let len = self.btf.map_number(name, "max_entries").unwrap_or(0);
        let is_log2 = slotting.is_some_and(|slotting| slotting.is_log2);
        let is_for_others =
            || self.count_in_struct(functions) || len < FEW_SLOTS && self.count_in_keys(functions);
        let is_it = is_log2 && !is_for_others() || is_named_histogram(name);
        (is_array && is_it && len >= LEAST_SLOTS).then(|| {
            let view = histogram(SlotPosition::Index, slotting);
            ViewMeta { sum_slot: sum_slot(usage, 0), ..view }
        })
    }

    /// Whether one of these functions counts in a map with the slot in its key.
    fn count_in_keys(&self, functions: &BTreeSet<usize>) -> bool {
        self.flow.maps.iter().any(|(name, usage)| {
            let key = self.btf.map_types(name).0;
            key.and_then(slot_member).is_some()
                && !usage.added.is_empty()
                && !usage.functions.is_disjoint(functions)
        })
    }

    /// Whether one of these functions counts in the slots of a struct. If so, arrays that it
    /// indexes otherwise are not histograms.
    fn count_in_struct(&self, functions: &BTreeSet<usize>) -> bool {
        let of_maps = self.flow.maps.iter().any(|(name, usage)| {
            let value = self.btf.map_types(name).1;
            value.and_then(|value| slots_in(value, &usage.added)).is_some_and(is_member)
                && !usage.functions.is_disjoint(functions)
        });
        let of_variables = |section: &str| {
            self.elf.variables(self.btf, section).iter().any(|variable| {
                let ty = self.btf.ty(variable.ty).resolved();
                let element = if ty.kind == Kind::Array { ty.target() } else { ty };
                let (spots, counting) = self.counted(section, variable);
                slots_in(element, &spots).is_some_and(is_member) && !counting.is_disjoint(functions)
            })
        };
        of_maps || [".bss", ".data"].into_iter().any(of_variables)
    }

    /// The positions in a variable that programs add to, and the functions that add.
    fn counted(
        &self,
        section: &str,
        variable: &SectionVar<'_>,
    ) -> (BTreeSet<Spot>, BTreeSet<usize>) {
        let index = self.elf.section_index(section);
        let Some(counted) = index.and_then(|index| self.flow.counted.get(&index)) else {
            return Default::default();
        };
        let start = i64::from(variable.offset);
        let range = start..start + i64::from(variable.size);
        let inside = || counted.iter().filter(|(spot, _)| range.contains(&spot.offset));
        let spots = inside().map(|(spot, _)| Spot { offset: spot.offset - start, ..*spot });
        (spots.collect(), inside().flat_map(|(_, functions)| functions.iter().copied()).collect())
    }

    /// How the functions that use something compute slots.
    fn slotting(&self, functions: &BTreeSet<usize>) -> Option<&Slotting> {
        let names = functions.iter().filter_map(|index| self.flow.functions.get(*index));
        let found = names.filter_map(|function| self.facts.slots.get(&function.name));
        found.max_by_key(|slotting| (slotting.is_log2, slotting.unit.is_some()))
    }

    fn variable(&self, section: &str, name: &str) -> Option<ViewMeta> {
        if name.starts_with(DUMMY_PREFIX) {
            return None;
        }
        let variables = self.elf.variables(self.btf, section);
        let variable = variables.iter().find(|variable| variable.name == name)?;
        let (spots, functions) = self.counted(section, variable);
        if spots.is_empty() {
            return None;
        }
        let slotting = self.slotting(&functions);
        let ty = self.btf.ty(variable.ty).resolved();
        let element = if ty.kind == Kind::Array { ty.target().resolved() } else { ty };
        if element.kind == Kind::Struct
            && let Some(slots) = slots_in(element, &spots)
        {
            return Some(histogram(slots, slotting));
        }
        let is_long = ty.kind == Kind::Array && ty.array_len() >= LEAST_SLOTS;
        // A function that computes slots may also count other values by index.
        let is_log2 = slotting.is_some_and(|slotting| slotting.is_log2);
        let is_it = is_log2 && !self.count_in_struct(&functions) || is_named_histogram(name);
        if is_long && is_counter(element) && is_it && spots.iter().any(|spot| spot.indexed) {
            return Some(histogram(SlotPosition::Value, slotting));
        }
        Some(ViewMeta { kind: ViewKind::Table, ..ViewMeta::default() })
    }
}

fn histogram(slots: SlotPosition, slotting: Option<&Slotting>) -> ViewMeta {
    let mut view = ViewMeta {
        kind: ViewKind::Histogram,
        slots: Some(slots),
        scale: Some(Scale::Log2),
        ..ViewMeta::default()
    };
    if let Some(slotting) = slotting {
        if !slotting.is_log2 {
            view.scale = Some(Scale::Linear);
            view.step = slotting.step;
        }
        view.unit = slotting.unit.clone();
        let when = slotting.unit_when.iter();
        view.unit_when = when.map(|(name, unit)| (name.clone(), unit.clone().into())).collect();
    }
    view
}

fn table(key: Option<Type<'_>>, value: Type<'_>, added: &BTreeSet<Spot>) -> ViewMeta {
    let columns = |ty: Type<'_>| {
        let names = ty.resolved().members().map(|member| member.name.to_owned());
        names.filter(|name| !name.is_empty()).collect::<Vec<_>>()
    };
    let is_first = |bit_offset: u32, size: u64| {
        added.iter().find(|spot| {
            let from = i64::from(bit_offset / 8);
            (from..from + size as i64).contains(&spot.offset)
        })
    };
    let resolved = value.resolved();
    let sort = resolved.members().find(|member| {
        let ty = resolved.sibling(member.ty);
        is_counter(ty) && is_first(member.bit_offset, ty.size().unwrap_or(0)).is_some()
    });
    ViewMeta {
        kind: ViewKind::Table,
        key: key.map(columns).unwrap_or_default(),
        value: columns(value),
        sort: sort.map(|member| member.name.to_owned()),
        ..ViewMeta::default()
    }
}

/// The member that is an array of slots: one with such a name, or one that programs add to by
/// index; or the type itself, if it is such an array.
fn slots_in(ty: Type<'_>, added: &BTreeSet<Spot>) -> Option<SlotPosition> {
    let ty = ty.resolved();
    let is_slots = |ty: Type<'_>| {
        let ty = ty.resolved();
        ty.kind == Kind::Array && ty.array_len() >= LEAST_SLOTS && is_counter(ty.target())
    };
    if is_slots(ty) {
        return added.iter().any(|spot| spot.indexed).then_some(SlotPosition::Value);
    }
    if ty.kind != Kind::Struct {
        return None;
    }
    let slots = || {
        let named = ty.members().filter(|member| !member.name.is_empty());
        named.filter(|member| is_slots(ty.sibling(member.ty)))
    };
    let by_name = slots().find(|member| SLOTS.contains(&member.name));
    let by_use = || {
        slots().find(|member| {
            let from = i64::from(member.bit_offset / 8);
            let size = ty.sibling(member.ty).size().unwrap_or(0) as i64;
            added.iter().any(|spot| spot.indexed && (from..from + size).contains(&spot.offset))
        })
    };
    by_name.or_else(by_use).map(|member| SlotPosition::Member(member.name.to_owned()))
}

/// Whether the slots are in a member of a struct.
fn is_member(position: SlotPosition) -> bool {
    matches!(position, SlotPosition::Member(_))
}

/// Whether a name indicates a histogram.
fn is_named_histogram(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["hist", "slots", "buckets", "dist", "latenc"].iter().any(|word| name.contains(word))
}

/// The slot that has a sum: programs add more than one, and the slot is the only one that they do not
/// compute.
fn sum_slot(usage: &Usage, offset: i32) -> Option<u32> {
    let of = |constants: &BTreeMap<i32, i64>| constants.get(&offset).copied();
    let constants: BTreeSet<i64> = usage.lookups.iter().filter_map(of).collect();
    let computes = usage.lookups.iter().any(|lookup| of(lookup).is_none());
    let only = constants.first().filter(|_| constants.len() == 1 && computes && usage.adds_more);
    only.and_then(|slot| u32::try_from(*slot).ok()).filter(|slot| *slot > 0)
}

/// The member of a key that is a slot, and its offset.
fn slot_member(key: Type<'_>) -> Option<(&str, i32)> {
    let key = key.resolved();
    // A slot may have a byte.
    let is_number = |ty: Type<'_>| ty.resolved().kind == Kind::Int;
    key.members()
        .find(|member| SLOT.contains(&member.name) && is_number(key.sibling(member.ty)))
        .map(|member| (member.name, (member.bit_offset / 8) as i32))
}

/// An integer of four or eight bytes.
fn is_counter(ty: Type<'_>) -> bool {
    let ty = ty.resolved();
    ty.kind == Kind::Int && matches!(ty.size(), Some(4 | 8)) && !ty.int_encoding().bool
}
