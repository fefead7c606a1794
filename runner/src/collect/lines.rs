// SPDX-License-Identifier: MIT
//! The lines of `bpf_printk` as records, so that every format shows them like any other.

use super::printk::Line;
use crate::decode::{Layout, Member, Record};
use crate::view::{RecordKind, Stream, StreamKind};

/// Bytes of a process's name (`TASK_COMM_LEN`).
const COMM: usize = 16;

/// The stream of the lines.
pub fn stream() -> Stream {
    let number = || Layout::Int { size: 4, signed: false };
    let text = Layout::Rest { element: Box::new(Layout::Text { size: 1 }), stride: 1 };
    let members = vec![
        Member::new("comm", 0, Layout::Text { size: COMM }),
        Member::new("pid", COMM, number()),
        Member::new("cpu", COMM + 4, number()),
        Member::new("text", COMM + 8, text),
    ];
    let layout = Layout::Record(Record { size: COMM + 8, members });
    Stream {
        index: 0,
        name: "bpf_printk".into(),
        kinds: vec![RecordKind::new("line", layout, None)],
        tag: None,
        kind: StreamKind::Lines,
    }
}

/// Makes a record of a line.
pub fn record(line: &Line<'_>, record: &mut Vec<u8>) {
    record.clear();
    record.extend_from_slice(&line.comm[..line.comm.len().min(COMM - 1)]);
    record.resize(COMM, 0);
    record.extend_from_slice(&line.pid.to_le_bytes());
    record.extend_from_slice(&line.cpu.to_le_bytes());
    record.extend_from_slice(line.text);
}
