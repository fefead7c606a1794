// SPDX-License-Identifier: MIT
//! An ecli that was built without support for metrics.

use std::convert::Infallible;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use bpfpack_render::{Format, SharedSymbolizer};
use bpfpack_spec::{Spec, View};

use crate::args::{MetricsPlan, Plan};
use crate::context::Context;
use crate::failure::Failure;
use crate::losses::Losses;
use crate::source::Buffer;
use crate::source::maps::Reader;
use crate::talk::Talk;

/// There are none.
#[derive(Debug)]
pub(crate) struct Metrics(Infallible);

/// Nothing is served or sent.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) outputs: Vec<Box<dyn Format>>,
    pub(crate) notes: Vec<String>,
}

/// There are none.
#[derive(Debug)]
pub(crate) struct Exits(Infallible);

impl Exits {
    /// Fails if metrics are asked for.
    ///
    /// # Errors
    /// Returns a usage error.
    pub(crate) fn open(plan: &Plan) -> Result<Option<Exits>, Failure> {
        match plan.metrics {
            None => Ok(None),
            Some(_) => {
                let text = "--listen and --otlp: this ecli was built without support for metrics";
                Err(Failure::usage(text).hint("build it with its default features"))
            }
        }
    }
}

impl Metrics {
    #[allow(clippy::unnecessary_wraps)] // as with the feature
    pub(crate) fn new(
        _: &Context<'_>,
        _: &Spec,
        _: &[(Arc<View>, Reader)],
        _: &SharedSymbolizer,
    ) -> Result<Option<Metrics>, Failure> {
        Ok(None)
    }

    pub(crate) fn start(
        &mut self,
        _: &MetricsPlan,
        _: Exits,
        _: Vec<(String, OwnedFd)>,
        _: &Talk,
    ) -> Result<Started, Failure> {
        match self.0 {}
    }

    pub(crate) fn finish(&self, _: &[Buffer], _: &Losses, _: &Talk, _: impl FnMut() -> bool) {
        match self.0 {}
    }

    pub(crate) fn take(&self) -> Option<u64> {
        match self.0 {}
    }

    pub(crate) fn note_elements(&mut self, _: &str, _: Option<u64>) {
        match self.0 {}
    }

    pub(crate) fn answer(&self, _: u64, _: &[Buffer], _: &Losses) {
        match self.0 {}
    }
}

impl AsFd for Metrics {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self.0 {}
    }
}

/// There is nothing to check.
///
/// # Errors
/// None.
#[allow(clippy::unnecessary_wraps)] // as with the feature
pub(crate) fn check(_: &Plan, _: &bpfpack_schemas::Meta, _: &Spec) -> Result<(), Failure> {
    Ok(())
}

/// Nothing is read for metrics.
pub(crate) fn read_for_metrics(_: &Plan, _: &bpfpack_schemas::Meta, _: &mut Spec) {}
