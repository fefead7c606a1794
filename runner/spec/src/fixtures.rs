// SPDX-License-Identifier: MIT
//! Sources for tests.

use std::time::Duration;

use bpfpack_decode::{Field, Layout, Member, Struct};

use crate::stream::{BufferType, RecordType, Stream};
use crate::view::{ReadFrom, Shape, View};

/// A hash map from a byte to a counter.
#[must_use]
pub fn counter_view() -> View {
    View {
        index: 0,
        name: "counts".into(),
        from: ReadFrom::Map { map: "counts".into() },
        key: Some(Layout::Int { size: 1, signed: false }),
        value: Layout::Int { size: 8, signed: false },
        shape: Shape::Table,
        interval: Duration::from_secs(1),
        differences: true,
        counters: vec![Field { offset: 0, size: 8 }],
        leave_out_zeros: false,
        sort: None,
        stacks: Vec::new(),
        average: None,
        per_cpu: false,
    }
}

/// A ring buffer whose records are a process's ID and name.
#[must_use]
pub fn stream() -> Stream {
    let members = vec![
        Member::new("pid", 0, Layout::Int { size: 4, signed: false }),
        Member::new("comm", 4, Layout::Text { size: 4 }),
    ];
    stream_of(Struct { size: 8, members })
}

/// A ring buffer with one record type.
#[must_use]
pub fn stream_of(record: Struct) -> Stream {
    Stream {
        index: 0,
        name: "rb".into(),
        records: vec![RecordType::new("event", Layout::Struct(record), None)],
        tag: None,
        buffer: BufferType::Ring,
    }
}
