// SPDX-License-Identifier: MIT
//! A spec: the sources of a run.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::stream::Stream;
use crate::view::View;

/// The sources of a run, in the order of their indexes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// Buffers first, then views, then sources of stages.
    pub sources: Vec<Source>,
}

/// A source of frames.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Records, which arrive at any time.
    Stream(Arc<Stream>),
    /// Readings, which are made periodically.
    View(Arc<View>),
}

impl Source {
    /// The name of the map or variable.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Source::Stream(stream) => &stream.name,
            Source::View(view) => &view.name,
        }
    }

    /// Whether its readings are histograms.
    #[must_use]
    pub fn is_histogram(&self) -> bool {
        matches!(self, Source::View(view) if view.is_histogram())
    }

    /// Its index among the sources of the run.
    #[must_use]
    pub fn index(&self) -> usize {
        match self {
            Source::Stream(stream) => stream.index,
            Source::View(view) => view.index,
        }
    }
}

impl Spec {
    /// The buffers.
    pub fn streams(&self) -> impl Iterator<Item = &Arc<Stream>> {
        self.sources.iter().filter_map(|source| match source {
            Source::Stream(stream) => Some(stream),
            Source::View(_) => None,
        })
    }

    /// The views.
    pub fn views(&self) -> impl Iterator<Item = &Arc<View>> {
        self.sources.iter().filter_map(|source| match source {
            Source::View(view) => Some(view),
            Source::Stream(_) => None,
        })
    }

    /// Whether a source has stacks, or records have addresses of kernel code.
    #[must_use]
    pub fn has_addresses(&self) -> bool {
        self.streams().any(|stream| stream.has_addresses())
            || self.views().any(|view| !view.stacks.is_empty())
    }
}
