// SPDX-License-Identifier: GPL-2.0
// Time spent in soft interrupts, by their kind.
#include <vmlinux.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bits.bpf.h>
#include "softirqs.h"

/// Show the distribution of times as histograms
const volatile bool targ_dist = false;

/// Times in nanoseconds instead of microseconds
const volatile bool targ_ns = false;

/// Only soft interrupts of this CPU; -1: all CPUs
const volatile int targ_cpu = -1;

/* When the current soft interrupt of this CPU began. Soft interrupts do not nest. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, u32);
	__type(value, u64);
	__uint(max_entries, 1);
} start SEC(".maps");

/// @sample {"interval": 1000, "key_labels": ["hi", "timer", "net_tx", "net_rx", "block",
///          "irq_poll", "tasklet", "sched", "hrtimer", "rcu"]}
__u64 counts[NR_SOFTIRQ_KINDS];

/// @sample {"interval": 1000, "key_labels": ["hi", "timer", "net_tx", "net_rx", "block",
///          "irq_poll", "tasklet", "sched", "hrtimer", "rcu"]}
__u64 time[NR_SOFTIRQ_KINDS];

/// @sample {"interval": 1000, "type": "log2_hist",
///          "unit": "usecs", "unit_when": {"targ_ns": "nsecs"},
///          "key_labels": ["hi", "timer", "net_tx", "net_rx", "block",
///          "irq_poll", "tasklet", "sched", "hrtimer", "rcu"]}
struct hist hists[NR_SOFTIRQ_KINDS];

static bool is_filtered(void)
{
	return targ_cpu >= 0 && targ_cpu != bpf_get_smp_processor_id();
}

static int handle_entry(void)
{
	u32 key = 0;
	u64 now;

	if (is_filtered())
		return 0;
	now = bpf_ktime_get_ns();
	bpf_map_update_elem(&start, &key, &now, BPF_ANY);
	return 0;
}

/* 64 bits, so that the verifier sees the check and the index as the same value. */
static int handle_exit(u64 kind)
{
	u64 *began, delta;
	u32 key = 0;

	if (kind >= NR_SOFTIRQ_KINDS || is_filtered())
		return 0;
	began = bpf_map_lookup_elem(&start, &key);
	/* Zero: attached during this soft interrupt. */
	if (!began || !*began)
		return 0;
	delta = bpf_ktime_get_ns() - *began;
	if (!targ_ns)
		delta /= 1000;
	if (targ_dist) {
		__sync_fetch_and_add(&hists[kind].slots[log2_slot(delta, MAX_SLOTS)], 1);
		return 0;
	}
	__sync_fetch_and_add(&counts[kind], 1);
	__sync_fetch_and_add(&time[kind], delta);
	return 0;
}

SEC("tp_btf/softirq_entry")
int BPF_PROG(softirq_entry_btf, unsigned int kind)
{
	return handle_entry();
}

SEC("tp_btf/softirq_exit")
int BPF_PROG(softirq_exit_btf, unsigned int kind)
{
	return handle_exit(kind);
}

/* For kernels without BTF. ecli attaches one of each pair. */
SEC("raw_tp/softirq_entry")
int BPF_PROG(softirq_entry, unsigned int kind)
{
	return handle_entry();
}

SEC("raw_tp/softirq_exit")
int BPF_PROG(softirq_exit, unsigned int kind)
{
	return handle_exit(kind);
}

/// @brief Count soft interrupts and the time spent in them
/// @details Times are in microseconds unless --targ_ns is given.
/// @version 0.1.0
char LICENSE[] SEC("license") = "GPL";
