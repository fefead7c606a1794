// SPDX-License-Identifier: GPL-2.0
// How long CPUs are busy or idle at a time.
#include <vmlinux.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bits.bpf.h>

#define MAX_SLOTS 32

enum activity {
	BUSY,
	IDLE,
	NR_ACTIVITIES,
};

struct periods {
	u64 count;
	u64 total_time;
	u32 slots[MAX_SLOTS];
};

/* When the CPU became busy or idle. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, u32);
	__type(value, u64);
	__uint(max_entries, 1);
} since SEC(".maps");

/// @sample {"interval": 1000, "type": "log2_hist", "unit": "usecs",
///          "key_labels": ["busy", "idle"]}
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, u32);
	__type(value, struct periods);
	__uint(max_entries, NR_ACTIVITIES);
} periods SEC(".maps");

static int switched(struct task_struct *from, struct task_struct *to)
{
	/* The idle task of each CPU has the number 0. */
	bool was_idle = !BPF_CORE_READ(from, pid), is_idle = !BPF_CORE_READ(to, pid);
	u32 key = 0, activity = was_idle ? IDLE : BUSY;
	u64 now = bpf_ktime_get_ns(), *begun, time;
	struct periods *sum;

	if (was_idle == is_idle)
		return 0;
	begun = bpf_map_lookup_elem(&since, &key);
	sum = bpf_map_lookup_elem(&periods, &activity);
	if (!begun || !sum)
		return 0;
	time = (now - *begun) / 1000;
	/* Zero: attached during this period. Nothing else writes here meanwhile: a switch is not
	 * interrupted. */
	if (*begun) {
		sum->count++;
		sum->total_time += time;
		sum->slots[log2_slot(time, MAX_SLOTS)]++;
	}
	*begun = now;
	return 0;
}

SEC("tp_btf/sched_switch")
int BPF_PROG(sched_switch_btf, bool preempt, struct task_struct *from, struct task_struct *to)
{
	return switched(from, to);
}

/* For kernels that cannot load the other. ecli attaches one of the two. */
SEC("raw_tp/sched_switch")
int BPF_PROG(sched_switch, bool preempt, struct task_struct *from, struct task_struct *to)
{
	return switched(from, to);
}

/// @brief Histograms of how long CPUs are busy and idle at a time
/// @version 0.1.0
char LICENSE[] SEC("license") = "GPL";
