// SPDX-License-Identifier: MIT
//! Shared parts of the tests of stages.

use bpfpack_decode::{Edges, Layout, Slots};
use bpfpack_failure::Failure;
use bpfpack_frame::{Frame, Next, Reading};
use bpfpack_spec::fixtures::counter_view;
use bpfpack_spec::{Shape, View};

/// Collects the readings from a stage.
#[derive(Default)]
pub(crate) struct Out(pub(crate) Vec<Reading>);

impl Next for Out {
    fn frame(&mut self, frame: Frame<'_>) -> Result<(), Failure> {
        if let Frame::Reading(reading) = frame {
            self.0.push((*reading).clone());
        }
        Ok(())
    }

    fn waiting(&self) -> usize {
        0
    }
}

/// A view from bytes to histograms with three slots.
pub(crate) fn histogram_view() -> View {
    let element = Box::new(Layout::Int { size: 4, signed: false });
    let value = Layout::Array { element, stride: 4, len: 3 };
    let slots = Slots { offset: 0, size: 4, len: 3 };
    let shape = Shape::Histogram { slots, edges: Edges::Log2, unit: "usecs".into() };
    View { counters: value.counters(&[]), value, shape, ..counter_view() }
}
