// SPDX-License-Identifier: MIT
//! Types of maps, as in the kernel's `enum bpf_map_type`, and sizes for those that leave them open.

use bpfpack_schemas::meta::{DEFAULT_ENTRIES, DEFAULT_STACK_BYTES, DEFAULT_STACKS};

pub const HASH: u32 = 1;
pub const ARRAY: u32 = 2;
pub const PERF_EVENT_ARRAY: u32 = 4;
pub const PERCPU_HASH: u32 = 5;
pub const PERCPU_ARRAY: u32 = 6;
pub const STACK_TRACE: u32 = 7;
pub const CGROUP_ARRAY: u32 = 8;
pub const LRU_HASH: u32 = 9;
pub const LRU_PERCPU_HASH: u32 = 10;
pub const RINGBUF: u32 = 27;

/// How many entries, and how many bytes for a value, a map is to be given: for what its definition
/// says already, nothing.
pub fn open_sizes(
    ty: u32,
    max_entries: Option<u32>,
    value_size: Option<u32>,
) -> (Option<u32>, Option<u32>) {
    let has = |number: Option<u32>| number.is_some_and(|number| number > 0);
    let entries = match ty {
        STACK_TRACE => Some(DEFAULT_STACKS),
        HASH | ARRAY | PERCPU_HASH | PERCPU_ARRAY | LRU_HASH | LRU_PERCPU_HASH => {
            Some(DEFAULT_ENTRIES)
        }
        _ => None,
    };
    let size = (ty == STACK_TRACE && !has(value_size)).then_some(DEFAULT_STACK_BYTES);
    (entries.filter(|_| !has(max_entries)), size)
}
