// SPDX-License-Identifier: GPL-2.0
// Time spent in hard interrupts, by the name of their handler.
#include <vmlinux.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bits.bpf.h>
#include <maps.bpf.h>
#include "hardirqs.h"

#define MAX_HANDLERS 256

/// Only interrupts while a task of the cgroup in `ecli run --cgroup PATH` runs
const volatile bool filter_cg = false;

/// Show the distribution of times as histograms
const volatile bool targ_dist = false;

/// Times in nanoseconds instead of microseconds
const volatile bool targ_ns = false;

/// Only count interrupts, without measuring their time
const volatile bool do_count = false;

struct irq_key {
	char name[32];
};

struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_ARRAY);
	__type(key, u32);
	__type(value, u32);
	__uint(max_entries, 1);
} cgroup_map SEC(".maps");

/* When the current interrupt of this CPU began. Interrupts do not nest. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, u32);
	__type(value, u64);
	__uint(max_entries, 1);
} start SEC(".maps");

/// @sample {"interval": 1000, "type": "log2_hist",
///          "unit": "usecs", "unit_when": {"targ_ns": "nsecs"},
///          "gauges": ["max_time"]}
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct irq_key);
	__type(value, struct info);
	__uint(max_entries, MAX_HANDLERS);
} infos SEC(".maps");

static const struct info zero;

static bool is_filtered(void)
{
	return filter_cg && bpf_current_task_under_cgroup(&cgroup_map, 0) != 1;
}

static struct info *info_of(struct irqaction *action)
{
	struct irq_key key = {};

	bpf_probe_read_kernel_str(&key.name, sizeof(key.name), BPF_CORE_READ(action, name));
	return bpf_map_lookup_or_try_init(&infos, &key, &zero);
}

static int handle_entry(struct irqaction *action)
{
	u32 key = 0;
	u64 now;

	if (is_filtered())
		return 0;
	if (do_count) {
		struct info *info = info_of(action);

		if (info)
			__sync_fetch_and_add(&info->count, 1);
		return 0;
	}
	now = bpf_ktime_get_ns();
	bpf_map_update_elem(&start, &key, &now, BPF_ANY);
	return 0;
}

static int handle_exit(struct irqaction *action)
{
	struct info *info;
	u64 *began, time;
	u32 key = 0;

	if (do_count || is_filtered())
		return 0;
	began = bpf_map_lookup_elem(&start, &key);
	/* Zero: attached during this interrupt. */
	if (!began || !*began)
		return 0;
	time = bpf_ktime_get_ns() - *began;
	if (!targ_ns)
		time /= 1000;
	info = info_of(action);
	if (!info)
		return 0;
	__sync_fetch_and_add(&info->count, 1);
	__sync_fetch_and_add(&info->total_time, time);
	if (time > info->max_time)
		info->max_time = time;
	if (targ_dist)
		__sync_fetch_and_add(&info->slots[log2_slot(time, MAX_SLOTS)], 1);
	return 0;
}

SEC("tp_btf/irq_handler_entry")
int BPF_PROG(irq_handler_entry_btf, int irq, struct irqaction *action)
{
	return handle_entry(action);
}

SEC("tp_btf/irq_handler_exit")
int BPF_PROG(irq_handler_exit_btf, int irq, struct irqaction *action)
{
	return handle_exit(action);
}

/* For kernels that cannot load the others. ecli attaches one of each pair. */
SEC("raw_tp/irq_handler_entry")
int BPF_PROG(irq_handler_entry, int irq, struct irqaction *action)
{
	return handle_entry(action);
}

SEC("raw_tp/irq_handler_exit")
int BPF_PROG(irq_handler_exit, int irq, struct irqaction *action)
{
	return handle_exit(action);
}

/// @brief Count hard interrupts and the time spent in them
/// @details Times are in microseconds unless --targ_ns is given.
/// @version 0.1.0
char LICENSE[] SEC("license") = "GPL";
