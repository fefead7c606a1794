// SPDX-License-Identifier: GPL-2.0
// How long runnable tasks wait for a CPU.
#include <vmlinux.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bits.bpf.h>
#include <maps.bpf.h>
#include "runqlat.h"

#define MAX_TASKS 10240
#define TASK_RUNNING 0

/// Only tasks of the cgroup in `ecli run --cgroup PATH`
const volatile bool filter_cg = false;

/// A histogram for each process
const volatile bool targ_per_process = false;

/// A histogram for each thread
const volatile bool targ_per_thread = false;

/// A histogram for each PID namespace
const volatile bool targ_per_pidns = false;

/// Times in milliseconds instead of microseconds
const volatile bool targ_ms = false;

/// Only threads of this process; 0: all
const volatile pid_t targ_tgid = 0;

struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_ARRAY);
	__type(key, u32);
	__type(value, u32);
	__uint(max_entries, 1);
} cgroup_map SEC(".maps");

/* When a thread became runnable. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, u32);
	__type(value, u64);
	__uint(max_entries, MAX_TASKS);
} start SEC(".maps");

/// @sample {"interval": 1000, "type": "log2_hist",
///          "unit": "usecs", "unit_when": {"targ_ms": "msecs"}}
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, u32);
	__type(value, struct hist);
	__uint(max_entries, MAX_TASKS);
} hists SEC(".maps");

static const struct hist zero;

/* Before 5.14, the member is `state`. */
struct task_struct___before_5_14 {
	long state;
} __attribute__((preserve_access_index));

static s64 state_of(struct task_struct *task)
{
	struct task_struct___before_5_14 *old = (void *)task;

	if (bpf_core_field_exists(old->state))
		return BPF_CORE_READ(old, state);
	return BPF_CORE_READ(task, __state);
}

static u32 pid_namespace(struct task_struct *task)
{
	struct pid *pid = BPF_CORE_READ(task, thread_pid);
	unsigned int level = BPF_CORE_READ(pid, level);
	struct upid upid = {};

	bpf_core_read(&upid, sizeof(upid), &pid->numbers[level]);
	return BPF_CORE_READ(upid.ns, ns.inum);
}

static int enqueued(struct task_struct *task)
{
	u32 tgid = BPF_CORE_READ(task, tgid);
	u32 pid = BPF_CORE_READ(task, pid);
	u64 now;

	/* The idle task does not wait. */
	if (!pid || (targ_tgid && targ_tgid != tgid))
		return 0;
	now = bpf_ktime_get_ns();
	bpf_map_update_elem(&start, &pid, &now, BPF_ANY);
	return 0;
}

static u32 key_of(struct task_struct *task, u32 pid)
{
	if (targ_per_process)
		return BPF_CORE_READ(task, tgid);
	if (targ_per_thread)
		return pid;
	if (targ_per_pidns)
		return pid_namespace(task);
	return -1;
}

static int switched(struct task_struct *from, struct task_struct *to)
{
	u32 pid = BPF_CORE_READ(to, pid);
	struct hist *hist;
	u64 *since;
	s64 delta;
	u32 key;

	if (filter_cg && bpf_current_task_under_cgroup(&cgroup_map, 0) != 1)
		return 0;
	/* A preempted task waits again. */
	if (state_of(from) == TASK_RUNNING)
		enqueued(from);

	since = bpf_map_lookup_elem(&start, &pid);
	if (!since)
		return 0;
	delta = bpf_ktime_get_ns() - *since;
	bpf_map_delete_elem(&start, &pid);
	if (delta < 0)
		return 0;
	delta /= targ_ms ? 1000000U : 1000U;

	key = key_of(to, pid);
	hist = bpf_map_lookup_or_try_init(&hists, &key, &zero);
	if (!hist)
		return 0;
	if (!hist->comm[0])
		bpf_probe_read_kernel_str(&hist->comm, sizeof(hist->comm), to->comm);
	__sync_fetch_and_add(&hist->slots[log2_slot(delta, MAX_SLOTS)], 1);
	return 0;
}

SEC("tp_btf/sched_wakeup")
int BPF_PROG(sched_wakeup_btf, struct task_struct *task)
{
	return enqueued(task);
}

SEC("tp_btf/sched_wakeup_new")
int BPF_PROG(sched_wakeup_new_btf, struct task_struct *task)
{
	return enqueued(task);
}

SEC("tp_btf/sched_switch")
int BPF_PROG(sched_switch_btf, bool preempt, struct task_struct *from, struct task_struct *to)
{
	return switched(from, to);
}

/* For kernels that cannot load the others. ecli attaches one of each pair. */
SEC("raw_tp/sched_wakeup")
int BPF_PROG(sched_wakeup, struct task_struct *task)
{
	return enqueued(task);
}

SEC("raw_tp/sched_wakeup_new")
int BPF_PROG(sched_wakeup_new, struct task_struct *task)
{
	return enqueued(task);
}

SEC("raw_tp/sched_switch")
int BPF_PROG(sched_switch, bool preempt, struct task_struct *from, struct task_struct *to)
{
	return switched(from, to);
}

/// @brief Histograms of how long tasks waited for a CPU
/// @details Times are in microseconds unless --targ_ms is given.
/// @version 0.1.0
char LICENSE[] SEC("license") = "GPL";
