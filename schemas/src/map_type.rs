// SPDX-License-Identifier: MIT
//! Types of maps, as in the kernel's `enum bpf_map_type`, and sizes for those that leave them open.

use crate::meta::{DEFAULT_ENTRIES, DEFAULT_STACK_BYTES, DEFAULT_STACKS};

/// A hash map.
pub const HASH: u32 = 1;
/// An array.
pub const ARRAY: u32 = 2;
/// The perf buffers of all CPUs.
pub const PERF_EVENT_ARRAY: u32 = 4;
/// A hash map with a value for each CPU.
pub const PERCPU_HASH: u32 = 5;
/// An array with a value for each CPU.
pub const PERCPU_ARRAY: u32 = 6;
/// Stacks by their ids.
pub const STACK_TRACE: u32 = 7;
/// Cgroups that programs test against.
pub const CGROUP_ARRAY: u32 = 8;
/// A hash map that forgets what was not used for long.
pub const LRU_HASH: u32 = 9;
/// The same with a value for each CPU.
pub const LRU_PERCPU_HASH: u32 = 10;
/// A trie of prefixes.
pub const LPM_TRIE: u32 = 11;
/// A queue.
pub const QUEUE: u32 = 22;
/// A stack of values.
pub const STACK: u32 = 23;
/// A ring buffer.
pub const RINGBUF: u32 = 27;
/// A Bloom filter.
pub const BLOOM_FILTER: u32 = 30;

/// Whether a map of a type cannot be made without a number of entries. The others have none, or
/// libbpf finds it.
#[must_use]
pub fn needs_entries(ty: u32) -> bool {
    matches!(
        ty,
        HASH | ARRAY
            | PERCPU_HASH
            | PERCPU_ARRAY
            | LRU_HASH
            | LRU_PERCPU_HASH
            | LPM_TRIE
            | STACK_TRACE
            | QUEUE
            | STACK
            | BLOOM_FILTER
    )
}

/// Entries of a map whose definition has none, where the package gives no number either.
#[must_use]
pub fn default_entries(ty: u32) -> u32 {
    if ty == STACK_TRACE { DEFAULT_STACKS } else { DEFAULT_ENTRIES }
}

/// How many entries, and how many bytes for a value, a map is to be given: for what its definition
/// says already, nothing.
#[must_use]
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
