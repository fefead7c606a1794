// SPDX-License-Identifier: MIT
//! What is made of a map or variable: as an annotation says, or as the packer recognized it.

use bpfpack_decode::{Edges, Field, Layout, Slots};
use bpfpack_schemas::meta::{SampleKind, SampleMeta, Scale, SlotPosition, ViewKind, ViewMeta};

/// Slots of a logarithmic histogram whose slots are elements: those of 64 bits, and one for zero.
const LOG2_SLOTS: usize = 65;

/// Slots of a linear one; what is beyond counts as the last.
const LINEAR_SLOTS: usize = 1024;

/// What is made of a map or variable.
#[derive(Debug, Clone, Default)]
pub(super) struct Purpose {
    /// How it is read.
    pub(super) sample: SampleMeta,
    /// A table, not a line for each element with the time.
    pub(super) is_table: bool,
    /// The member that a table is sorted by.
    pub(super) sort: Option<String>,
    /// Where a histogram's slots are, if not in a member `slots`, or in a value that is an array.
    position: Option<SlotPosition>,
    zero_slot: bool,
}

impl Purpose {
    /// As an annotation says.
    pub(super) fn annotated(sample: SampleMeta) -> Purpose {
        Purpose { sample, ..Purpose::default() }
    }

    /// A histogram of powers of two.
    pub(super) fn histogram() -> Purpose {
        let kind = SampleKind::Log2Histogram;
        Purpose { sample: SampleMeta { kind, ..SampleMeta::default() }, ..Purpose::default() }
    }

    /// As the packer recognized it; none where it is nothing to be shown.
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
            Scale::Log2 | Scale::Log2Zero => SampleKind::Log2Histogram,
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
        let zero_slot = scale == Scale::Log2Zero;
        Some(Purpose { sample, position, zero_slot, is_table: false, sort })
    }

    /// Whether it is a histogram.
    pub(super) fn is_histogram(&self) -> bool {
        self.sample.kind != SampleKind::KeyValue
    }

    /// What the slots count; none where it is no histogram.
    pub(super) fn edges(&self) -> Option<Edges> {
        match self.sample.kind {
            SampleKind::KeyValue => None,
            SampleKind::Log2Histogram if self.zero_slot => Some(Edges::Log2Zero),
            SampleKind::Log2Histogram => Some(Edges::Log2),
            SampleKind::LinearHistogram => Some(Edges::Linear {
                origin: self.sample.origin.unwrap_or(0).into(),
                step: self.sample.step.unwrap_or(1).max(1).into(),
            }),
        }
    }

    /// Where the slots are in a value.
    pub(super) fn slots(&self, value: &Layout) -> Option<Slots> {
        match &self.position {
            Some(SlotPosition::Member(name)) => Slots::of_member(value, name),
            _ => Slots::of(value).or_else(|| Slots::of_array(value, 0)),
        }
    }

    /// Where in a key the slot is, if each is an element of its own.
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

    /// How many slots there are, where each is an element of its own.
    pub(super) fn slots_in_keys(&self) -> usize {
        match self.sample.kind {
            SampleKind::LinearHistogram => LINEAR_SLOTS,
            _ => LOG2_SLOTS,
        }
    }
}
