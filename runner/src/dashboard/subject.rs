// SPDX-License-Identifier: MIT
//! What a dashboard and rules are about.

use std::collections::BTreeSet;
use std::sync::Arc;

use bpfpack_metrics::Definition;
use bpfpack_spec::maps::MapDefinition;
use bpfpack_spec::{BufferType, ReadFrom, Spec, Stream, View};

/// The number of elements of a map up to which its labels can be selected: a list of more values is
/// of no use.
const FEW: usize = 256;

/// The metrics of a package.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Subject {
    /// The name of the package, as its metrics have it.
    pub(super) package: String,
    /// Its metrics, in the order of the sources.
    pub(super) metrics: Vec<Definition>,
    /// Whether it has buffers, which may lose records.
    pub(super) has_buffers: bool,
    /// Whether it has maps, which may be full.
    pub(super) has_maps: bool,
}

impl Subject {
    /// The metrics of a package with these sources and maps. Labels of small maps have few values.
    pub(super) fn new(
        package: &str,
        mut metrics: Vec<Definition>,
        spec: &Spec,
        maps: &[MapDefinition],
    ) -> Subject {
        let small: BTreeSet<&str> =
            spec.views().filter(|view| is_small(view, maps)).map(|view| &*view.name).collect();
        for metric in metrics.iter_mut().filter(|metric| small.contains(&*metric.source)) {
            metric.labels.iter_mut().for_each(|label| label.has_few_values = true);
        }
        let is_buffer = |stream: &Arc<Stream>| {
            matches!(stream.buffer, BufferType::Ring | BufferType::Perf { .. })
        };
        Subject {
            package: package.to_owned(),
            metrics,
            has_buffers: spec.streams().any(is_buffer),
            has_maps: spec.views().next().is_some(),
        }
    }

    /// The metrics of each source.
    pub(super) fn by_source(&self) -> impl Iterator<Item = &[Definition]> {
        self.metrics.chunk_by(|a, b| a.source == b.source)
    }
}

fn is_small(view: &View, maps: &[MapDefinition]) -> bool {
    let len = match &view.from {
        ReadFrom::Map { map } | ReadFrom::Slots { map, .. } => {
            let map = maps.iter().find(|found| found.name == *map);
            map.and_then(|map| usize::try_from(map.max_entries).ok())
        }
        ReadFrom::Section { len, .. } => Some(*len),
        ReadFrom::Stage => None,
    };
    len.is_some_and(|len| (1..=FEW).contains(&len))
}
