// SPDX-License-Identifier: MIT
//! Maps, helpers and other features that tracers use.

use std::io;
use std::os::fd::AsFd as _;

use bpfpack_schemas::diagnosis::Check;
use bpfpack_schemas::map_type::type_name;
use bpfpack_schemas::object::helpers;
use libbpf_sys as k;

use super::trial;
use crate::sys::map::{Batch, Map};
use crate::sys::program::{Instruction, Options, PROBE};
use crate::sys::{self, program};

/// Helpers that not every kernel has, and the type of programs that call them. Those that leave a
/// message in the log of the kernel, or change a setting, when they are only loaded are not among
/// them.
const HELPERS: &[(u32, u32)] = &[
    (k::BPF_FUNC_get_stack, k::BPF_PROG_TYPE_KPROBE),
    (k::BPF_FUNC_override_return, k::BPF_PROG_TYPE_KPROBE),
    (k::BPF_FUNC_send_signal, k::BPF_PROG_TYPE_KPROBE),
    (k::BPF_FUNC_probe_read_user, k::BPF_PROG_TYPE_KPROBE),
    (k::BPF_FUNC_probe_read_kernel, k::BPF_PROG_TYPE_KPROBE),
    (k::BPF_FUNC_get_ns_current_pid_tgid, k::BPF_PROG_TYPE_KPROBE),
    (k::BPF_FUNC_ringbuf_output, k::BPF_PROG_TYPE_KPROBE),
    (k::BPF_FUNC_get_task_stack, k::BPF_PROG_TYPE_KPROBE),
    (k::BPF_FUNC_task_storage_get, k::BPF_PROG_TYPE_KPROBE),
    (k::BPF_FUNC_copy_from_user, k::BPF_PROG_TYPE_SYSCALL),
    (k::BPF_FUNC_snprintf, k::BPF_PROG_TYPE_KPROBE),
    (k::BPF_FUNC_for_each_map_elem, k::BPF_PROG_TYPE_KPROBE),
    (k::BPF_FUNC_timer_init, k::BPF_PROG_TYPE_XDP),
    (k::BPF_FUNC_get_func_ip, k::BPF_PROG_TYPE_KPROBE),
    (k::BPF_FUNC_get_attach_cookie, k::BPF_PROG_TYPE_KPROBE),
    (k::BPF_FUNC_find_vma, k::BPF_PROG_TYPE_KPROBE),
    (k::BPF_FUNC_loop, k::BPF_PROG_TYPE_KPROBE),
    (k::BPF_FUNC_strncmp, k::BPF_PROG_TYPE_KPROBE),
    (k::BPF_FUNC_dynptr_from_mem, k::BPF_PROG_TYPE_KPROBE),
    (k::BPF_FUNC_ktime_get_tai_ns, k::BPF_PROG_TYPE_KPROBE),
    (k::BPF_FUNC_user_ringbuf_drain, k::BPF_PROG_TYPE_KPROBE),
    (k::BPF_FUNC_cgrp_storage_get, k::BPF_PROG_TYPE_KPROBE),
];

/// Types of maps: all that libbpf 1.7 knows.
const MAPS: std::ops::RangeInclusive<u32> = k::BPF_MAP_TYPE_HASH..=k::BPF_MAP_TYPE_ARENA;

/// Types that are not checked: newer ones replace storage by cgroup; and libbpf does not recognize
/// `struct_ops` on some kernels that have it, but the kind of program tells.
const OMITTED: [u32; 3] = [
    k::BPF_MAP_TYPE_CGROUP_STORAGE,
    k::BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE,
    k::BPF_MAP_TYPE_STRUCT_OPS,
];

/// A check of what can be tried only with `CAP_BPF`.
fn tried(
    name: impl Into<String>,
    may_try: bool,
    attempt: impl FnOnce() -> io::Result<bool>,
) -> Check {
    match may_try.then(attempt) {
        None => Check::unknown(name).because("not tried: this user lacks CAP_BPF"),
        Some(Ok(true)) => Check::ok(name),
        Some(Ok(false)) => Check::missing(name).because("the kernel does not have it"),
        Some(Err(error)) => Check::unknown(name).because(format!("not tried: {error}")),
    }
}

/// The types of maps.
pub(super) fn maps(may_try: bool) -> Vec<Check> {
    let types = MAPS.filter(|ty| !OMITTED.contains(ty));
    let named = types.filter_map(|ty| type_name(ty).map(|name| (ty, name)));
    named.map(|(ty, name)| tried(name, may_try, || sys::has_map_type(ty))).collect()
}

/// The helpers.
pub(super) fn helpers(may_try: bool) -> Vec<Check> {
    let check = |&(helper, program): &(u32, u32)| {
        let name = helpers::name(helper).unwrap_or_default();
        tried(name, may_try, || sys::has_helper(program, helper))
    };
    HELPERS.iter().map(check).collect()
}

/// Other features.
pub(super) fn others(may_try: bool) -> Vec<Check> {
    let missing = |name: &str, attempt: fn() -> io::Result<()>, without: &str| {
        let check = tried(name, may_try, || Ok(attempt().is_ok()));
        match check.state {
            bpfpack_schemas::diagnosis::State::Missing => check.because(without),
            _ => check,
        }
    };
    vec![
        missing("reading maps in batches", batch, "ecli reads maps key by key, which is slower"),
        missing("maps in memory", || mappable().map(drop), "ecli reads arrays by system calls"),
        missing("links of perf events", links, "ecli attaches probes without links"),
        missing("run times of programs", run_times, "metrics cannot include them"),
        missing("hardware events", hardware, "only software events can be sampled (cpu-clock)"),
        missing("32-bit jumps", || code(JUMP), "objects compiled with -mcpu=v3 do not load"),
        missing("atomic operations", || code(ATOMIC), "objects compiled with -mcpu=v3 do not load"),
        missing("bounded loops", || code(LOOP), "loops must be unrolled"),
        missing("sign extension", || code(EXTEND), "objects compiled with -mcpu=v4 do not load"),
    ]
}

fn mappable() -> io::Result<Map> {
    Map::array_in_memory(PROBE, 8)
}

fn batch() -> io::Result<()> {
    let map = mappable()?;
    let (mut next, mut keys, mut values) = (vec![0; map.position_size()], [0; 4], [0; 8]);
    let batch =
        Batch { from: None, next: &mut next, keys: &mut keys, values: &mut values, count: 1 };
    map.lookup_batch(batch).map(drop)
}

fn links() -> io::Result<()> {
    let options = Options { ty: k::BPF_PROG_TYPE_PERF_EVENT, ..Options::default() };
    let program = options.load_returning(0)?;
    trial::event_link(program.as_fd())
}

fn run_times() -> io::Result<()> {
    sys::measure_run_times().map(drop)
}

fn hardware() -> io::Result<()> {
    let config = k::PERF_COUNT_HW_CPU_CYCLES.into();
    let counted = sys::perf::Counted { ty: k::PERF_TYPE_HARDWARE, config };
    // The event ends before it has counted this many.
    sys::perf::counting_event(counted, sys::perf::Rate::Period(1 << 40), 0).map(drop)
}

const EXIT: Instruction = (0x95, 0, 0, 0);
const ZERO: Instruction = (0xb7, 0x00, 0, 0);

/// `if w0 == 0 goto +0`.
const JUMP: &[Instruction] = &[ZERO, (0x16, 0x00, 0, 0), EXIT];

/// `*(u64 *)(r10 - 8) = 0; r0 = 0; r0 = atomic_fetch_add(r10 - 8, r0); r0 = 0`.
const ATOMIC: &[Instruction] = &[(0x7a, 0x0a, -8, 0), ZERO, (0xdb, 0x0a, -8, 1), ZERO, EXIT];

/// `r0 = 0; do r0 += 1; while (r0 < 4); r0 = 0`.
const LOOP: &[Instruction] = &[ZERO, (0x07, 0x00, 0, 1), (0xa5, 0x00, -2, 4), ZERO, EXIT];

/// `r0 = 0; r0 = (s8)r0`.
const EXTEND: &[Instruction] = &[ZERO, (0xbf, 0x00, 8, 0), EXIT];

fn code(code: &[Instruction]) -> io::Result<()> {
    let ty = k::BPF_PROG_TYPE_SOCKET_FILTER;
    program::Options { ty, ..Options::default() }.load(code).map(drop)
}

#[cfg(test)]
mod tests {
    use bpfpack_schemas::diagnosis::State;

    use super::*;

    #[test]
    fn without_a_capability_nothing_is_tried() {
        for checks in [maps(false), helpers(false), others(false)] {
            assert!(checks.len() > 5);
            assert!(
                checks.iter().all(|check| check.state == State::Unknown && !check.name.is_empty())
            );
        }
    }

    #[test]
    fn names_of_helpers_have_the_numbers_of_the_kernel() {
        for (number, wanted) in [
            (k::BPF_FUNC_map_lookup_elem, "bpf_map_lookup_elem"),
            (k::BPF_FUNC_probe_write_user, "bpf_probe_write_user"),
            (k::BPF_FUNC_send_signal, "bpf_send_signal"),
            (k::BPF_FUNC_ringbuf_output, "bpf_ringbuf_output"),
            (k::BPF_FUNC_cgrp_storage_delete, "bpf_cgrp_storage_delete"),
        ] {
            assert_eq!(helpers::name(number).as_deref(), Some(wanted));
        }
        assert_eq!(k::__BPF_FUNC_MAX_ID as usize, helpers::NAMES.len());
        assert_eq!((helpers::name(0), helpers::name(212)), (None, None));
    }
}
