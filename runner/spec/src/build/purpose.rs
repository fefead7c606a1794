// SPDX-License-Identifier: MIT
//! The purpose of a map or variable, from an annotation or as the packer recognized it.

use bpfpack_decode::{Edges, Field, Layout, Slots};
use bpfpack_schemas::meta::{SampleKind, SampleMeta, Scale, SlotPosition, ViewKind, ViewMeta};

/// Slots of a log2 histogram whose slots are elements: one for each of 64 bits, and one for zero.
const LOG2_SLOTS: usize = 65;

/// Slots of a linear histogram whose slots are elements; larger values are added to the last one.
const LINEAR_SLOTS: usize = 1024;

/// The purpose of a map or variable.
#[derive(Debug, Clone, Default)]
pub(super) struct Purpose {
    /// How it is read.
    pub(super) sample: SampleMeta,
    /// Whether it is shown as a table, not as a line with the time for each entry.
    pub(super) is_table: bool,
    /// The member by which a table is sorted.
    pub(super) sort: Option<String>,
    /// The location of a histogram's slots, if it is neither a member `slots` nor a value that is
    /// an array.
    position: Option<SlotPosition>,
    /// The scale of a histogram that is not linear.
    scale: Scale,
    /// The slot with the sum, if each slot is an element.
    sum_slot: Option<u32>,
}

impl Purpose {
    /// A purpose from an annotation.
    pub(super) fn annotated(sample: SampleMeta) -> Purpose {
        Purpose { sample, ..Purpose::default() }
    }

    /// A log2 histogram.
    pub(super) fn histogram() -> Purpose {
        let kind = SampleKind::Log2Histogram;
        Purpose { sample: SampleMeta { kind, ..SampleMeta::default() }, ..Purpose::default() }
    }

    /// A purpose as the packer recognized it; `None` if nothing is shown.
    pub(super) fn recognized(view: &ViewMeta) -> Option<Purpose> {
        let sort = view.sort.clone();
        match view.kind {
            ViewKind::Histogram => {}
            ViewKind::Table => return Some(Purpose { is_table: true, sort, ..Purpose::default() }),
            ViewKind::None | ViewKind::Stacks | ViewKind::Scratch | ViewKind::Input => return None,
        }
        let scale = view.scale.unwrap_or_default();
        let kind = match scale {
            Scale::Linear => SampleKind::LinearHistogram,
            _ => SampleKind::Log2Histogram,
        };
        let sample = SampleMeta {
            kind,
            unit: view.unit.clone(),
            unit_when: view.unit_when.clone(),
            step: view.step,
            origin: view.origin,
            ..SampleMeta::default()
        };
        let position = view.slots.clone();
        let sum_slot = view.sum_slot;
        Some(Purpose { sample, position, scale, sum_slot, is_table: false, sort })
    }

    /// Whether it is a histogram.
    pub(super) fn is_histogram(&self) -> bool {
        self.sample.kind != SampleKind::KeyValue
    }

    /// The edges of the slots; `None` if it is not a histogram.
    pub(super) fn edges(&self) -> Option<Edges> {
        match self.sample.kind {
            SampleKind::KeyValue => None,
            SampleKind::Log2Histogram => Some(match self.scale {
                Scale::Log2Zero => Edges::Log2Zero,
                Scale::Log2Up => Edges::Log2Up,
                Scale::Log2ZeroUp => Edges::Log2ZeroUp,
                Scale::Log2 | Scale::Linear => Edges::Log2,
            }),
            SampleKind::LinearHistogram => Some(Edges::Linear {
                origin: self.sample.origin.unwrap_or(0).into(),
                step: self.sample.step.unwrap_or(1).max(1).into(),
            }),
        }
    }

    /// The slots in a value.
    pub(super) fn slots(&self, value: &Layout) -> Option<Slots> {
        match &self.position {
            Some(SlotPosition::Member(name)) => Slots::of_member(value, name),
            _ => Slots::of(value).or_else(|| Slots::of_array(value, 0)),
        }
    }

    /// The slot in a key, if each slot is an element.
    pub(super) fn slot_in_key(&self, key: &Layout) -> Option<Field> {
        match (&self.position, key) {
            (Some(SlotPosition::Index), _) => {
                Some(Field { offset: 0, size: key.size().clamp(1, 8) })
            }
            (Some(SlotPosition::Key(name)), Layout::Struct(record)) => {
                let member = record.members.iter().find(|member| member.name == *name)?;
                Some(Field { offset: member.offset, size: member.layout.size().clamp(1, 8) })
            }
            _ => None,
        }
    }

    /// The slot with the sum, if each slot is an element.
    pub(super) fn sum_slot(&self) -> Option<u64> {
        self.sum_slot.map(u64::from)
    }

    /// The number of slots, if each slot is an element.
    pub(super) fn slots_in_keys(&self) -> usize {
        let most = match self.sample.kind {
            SampleKind::LinearHistogram => LINEAR_SLOTS,
            _ => LOG2_SLOTS,
        };
        // The sum is behind the last slot.
        self.sum_slot.map_or(most, |sum| (sum as usize).clamp(1, most))
    }
}
