// SPDX-License-Identifier: MIT
//! Map types, as in the kernel's `enum bpf_map_type`, and default sizes for maps without a size.

use crate::meta::{DEFAULT_ENTRIES, DEFAULT_RING_BYTES, DEFAULT_STACK_BYTES, DEFAULT_STACKS};

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
/// Stacks by id.
pub const STACK_TRACE: u32 = 7;
/// Cgroups that programs test against.
pub const CGROUP_ARRAY: u32 = 8;
/// A hash map that evicts the least recently used elements.
pub const LRU_HASH: u32 = 9;
/// The same, with a value for each CPU.
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
/// A ring buffer that user space writes to, and programs read.
pub const USER_RINGBUF: u32 = 31;

/// The name of a type, as bpftool prints it; `None` if it is not known. The names are those of
/// libbpf 1.7 (`map_type_name`).
#[must_use]
pub fn type_name(ty: u32) -> Option<&'static str> {
    const NAMES: [&str; 34] = [
        "unspec",
        "hash",
        "array",
        "prog_array",
        "perf_event_array",
        "percpu_hash",
        "percpu_array",
        "stack_trace",
        "cgroup_array",
        "lru_hash",
        "lru_percpu_hash",
        "lpm_trie",
        "array_of_maps",
        "hash_of_maps",
        "devmap",
        "sockmap",
        "cpumap",
        "xskmap",
        "sockhash",
        "cgroup_storage",
        "reuseport_sockarray",
        "percpu_cgroup_storage",
        "queue",
        "stack",
        "sk_storage",
        "devmap_hash",
        "struct_ops",
        "ringbuf",
        "inode_storage",
        "task_storage",
        "bloom_filter",
        "user_ringbuf",
        "cgrp_storage",
        "arena",
    ];
    NAMES.get(ty as usize).copied()
}

/// Size of the largest ring buffer in bytes: the largest power of two that fits in `max_entries`.
pub const MAX_RING_BYTES: u32 = 1 << 31;

/// A number of entries that no map of the type can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EntriesError {
    /// Zero entries.
    #[error("a map needs at least 1 entry, a ring buffer 1 byte")]
    None,
    /// A ring buffer that is too large.
    #[error("a ring buffer has at most {MAX_RING_BYTES} bytes (2 GiB)")]
    RingTooLarge,
}

/// Checks a number of entries (for a ring buffer: bytes).
///
/// The kernel accepts only ring buffers whose size is a power of two of pages. Other sizes are not
/// errors: libbpf rounds them up (`adjust_ringbuf_sz`) by the page size of the running machine. If
/// that is impossible, libbpf does not change the number, and the kernel returns EINVAL.
///
/// # Errors
/// No loader can create such a map.
pub fn check_entries(ty: u32, entries: u32) -> Result<(), EntriesError> {
    match ty {
        _ if entries == 0 => Err(EntriesError::None),
        RINGBUF | USER_RINGBUF if entries > MAX_RING_BYTES => Err(EntriesError::RingTooLarge),
        _ => Ok(()),
    }
}

/// Whether a map of this type needs a number of entries (for a ring buffer: bytes). Other types
/// have none, or libbpf determines it.
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
            | RINGBUF
            | BLOOM_FILTER
            | USER_RINGBUF
    )
}

/// The number of entries (for a ring buffer: bytes) of a map whose definition and package state
/// none.
#[must_use]
pub fn default_entries(ty: u32) -> u32 {
    match ty {
        STACK_TRACE => DEFAULT_STACKS,
        RINGBUF | USER_RINGBUF => DEFAULT_RING_BYTES,
        _ => DEFAULT_ENTRIES,
    }
}

/// The number of entries and the value size in bytes that a loader must set. `None` for what the
/// definition of the map states.
#[must_use]
pub fn open_sizes(
    ty: u32,
    max_entries: Option<u32>,
    value_size: Option<u32>,
) -> (Option<u32>, Option<u32>) {
    let has = |number: Option<u32>| number.is_some_and(|number| number > 0);
    let is_open = !has(max_entries)
        && matches!(
            ty,
            HASH | ARRAY
                | PERCPU_HASH
                | PERCPU_ARRAY
                | LRU_HASH
                | LRU_PERCPU_HASH
                | STACK_TRACE
                | RINGBUF
                | USER_RINGBUF
        );
    let size = (ty == STACK_TRACE && !has(value_size)).then_some(DEFAULT_STACK_BYTES);
    (is_open.then(|| default_entries(ty)), size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_definition_leaves_open_gets_a_size() {
        assert_eq!(open_sizes(HASH, None, None), (Some(10240), None));
        assert_eq!(open_sizes(HASH, Some(5), None), (None, None));
        assert_eq!(open_sizes(STACK_TRACE, None, Some(80)), (Some(8192), None));
        assert_eq!(open_sizes(STACK_TRACE, Some(5), Some(0)), (None, Some(1016)));
        for ring in [RINGBUF, USER_RINGBUF] {
            assert!(needs_entries(ring));
            assert_eq!(open_sizes(ring, None, None), (Some(262_144), None));
            assert_eq!(open_sizes(ring, Some(0), None), (Some(262_144), None));
            assert_eq!(open_sizes(ring, Some(4096), None), (None, None));
        }
        assert!(!needs_entries(PERF_EVENT_ARRAY), "libbpf takes the number of CPUs");
        assert_eq!(open_sizes(PERF_EVENT_ARRAY, None, None), (None, None));
    }

    #[test]
    fn the_default_of_ring_buffers_suits_all_sizes_of_pages() {
        assert!(DEFAULT_RING_BYTES.is_power_of_two());
        let pages = [4 << 10, 16 << 10, 64 << 10];
        assert!(pages.into_iter().all(|page| DEFAULT_RING_BYTES.is_multiple_of(page)));
    }

    #[test]
    fn numbers_that_no_map_can_have() {
        for ring in [RINGBUF, USER_RINGBUF] {
            // A size that is not a power of two of pages is rounded up.
            for bytes in [1, 4095, 4096, 5000, 12288, 262_144, MAX_RING_BYTES - 1, MAX_RING_BYTES] {
                assert_eq!(check_entries(ring, bytes), Ok(()), "{bytes}");
            }
            assert_eq!(check_entries(ring, MAX_RING_BYTES + 1), Err(EntriesError::RingTooLarge));
            assert_eq!(check_entries(ring, u32::MAX), Err(EntriesError::RingTooLarge));
            assert_eq!(check_entries(ring, 0), Err(EntriesError::None));
        }
        assert_eq!(check_entries(HASH, u32::MAX), Ok(()));
        assert_eq!(check_entries(HASH, 0), Err(EntriesError::None));
        let text = EntriesError::RingTooLarge.to_string();
        assert!(text.contains("at most 2147483648 bytes"), "{text}");
    }
}
