// SPDX-License-Identifier: MIT
//! The lines of `bpf_printk` as records, so that every format can show them.

use bpfpack_decode::{Layout, Member, Struct};

use crate::stream::{BufferType, RecordType, Stream};

/// Size of a process's name in bytes (`TASK_COMM_LEN`).
pub const COMM: usize = 16;

/// The stream of lines. A record is the process's name, its ID and the CPU (4 bytes each), and the
/// text up to the record's end.
#[must_use]
pub fn stream() -> Stream {
    let number = || Layout::Int { size: 4, signed: false };
    let text = Layout::Rest { element: Box::new(Layout::Text { size: 1 }), stride: 1 };
    let members = vec![
        Member::new("comm", 0, Layout::Text { size: COMM }),
        Member::new("pid", COMM, number()),
        Member::new("cpu", COMM + 4, number()),
        Member::new("text", COMM + 8, text),
    ];
    let layout = Layout::Struct(Struct { size: COMM + 8, members });
    Stream {
        index: 0,
        name: "bpf_printk".into(),
        records: vec![RecordType::new("line", layout, None)],
        tag: None,
        buffer: BufferType::Printk,
    }
}
