// SPDX-License-Identifier: GPL-2.0
// How long tasks run on a CPU at a time, or stay off it.
#include <vmlinux.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bits.bpf.h>
#include <maps.bpf.h>

#define MAX_SLOTS 36
#define MAX_TASKS 10240
#define TASK_RUNNING 0

/// @cmdarg {"long": "off-cpu", "short": "O"}
/// @description Measure the time off the CPU, not on it
const volatile bool off_cpu = false;

/// @cmdarg {"long": "preempted", "short": "r"}
/// @description Only tasks that leave the CPU while they are runnable
const volatile bool only_preempted = false;

/// @cmdarg {"long": "processes", "short": "P"}
/// @description A histogram for each process
const volatile bool per_process = false;

/// @cmdarg {"long": "threads", "short": "L"}
/// @description A histogram for each thread
const volatile bool per_thread = false;

/// @cmdarg {"long": "pid", "short": "p"}
/// @description Only threads of this process; 0: all
const volatile u32 target_pid = 0;

/// @cmdarg {"long": "milliseconds", "short": "m"}
/// @description Times in milliseconds instead of microseconds
const volatile bool in_ms = false;

struct task {
	/* 0: all processes together. */
	u32 pid;
	/* 0: all threads of the process. */
	u32 tid;
};

struct hist {
	/* In the unit of the slots. */
	u64 total_time;
	u32 slots[MAX_SLOTS];
	char comm[16];
};

/* When threads got a CPU, or left it. The entries of ended threads make room for others. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, u32);
	__type(value, u64);
	__uint(max_entries, MAX_TASKS);
} start SEC(".maps");

/// @sample {"interval": 1000, "type": "log2_hist",
///          "unit": "usecs", "unit_when": {"in_ms": "msecs"}}
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct task);
	__type(value, struct hist);
	__uint(max_entries, MAX_TASKS);
} hists SEC(".maps");

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

/* The idle task does not count. Its thread ID is 0 on all CPUs. */
static bool is_chosen(struct task_struct *task, u32 tid)
{
	return tid && (!target_pid || target_pid == BPF_CORE_READ(task, tgid));
}

static void begin(struct task_struct *task, u64 now)
{
	u32 tid = BPF_CORE_READ(task, pid);

	if (is_chosen(task, tid))
		bpf_map_update_elem(&start, &tid, &now, BPF_ANY);
}

static struct hist *hist_of(struct task_struct *task, u32 tid)
{
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);
	static const struct hist zero;
	struct task key = {};
	struct hist *hist;

	if (per_process || per_thread)
		key.pid = BPF_CORE_READ(task, tgid);
	if (per_thread)
		key.tid = tid;
	hist = bpf_map_lookup_or_try_init(&hists, &key, &zero);
	/* Set each time: a new process has the name of its parent until it starts a program. */
	if (hist && key.pid)
		BPF_CORE_READ_STR_INTO(&hist->comm, per_thread ? task : leader, comm);
	return hist;
}

static void end(struct task_struct *task, u64 now)
{
	u32 tid = BPF_CORE_READ(task, pid);
	u64 *since, time;
	struct hist *hist;

	if (!is_chosen(task, tid))
		return;
	since = bpf_map_lookup_elem(&start, &tid);
	/* The clocks of two CPUs can differ slightly. */
	if (!since || *since > now)
		return;
	time = (now - *since) / (in_ms ? 1000000 : 1000);
	bpf_map_delete_elem(&start, &tid);
	hist = hist_of(task, tid);
	if (!hist)
		return;
	__sync_fetch_and_add(&hist->total_time, time);
	__sync_fetch_and_add(&hist->slots[log2_slot(time, MAX_SLOTS)], 1);
}

static int switched(bool preempt, struct task_struct *from, struct task_struct *to)
{
	bool is_counted = !only_preempted || preempt || state_of(from) == TASK_RUNNING;
	u64 now = bpf_ktime_get_ns();

	if (off_cpu) {
		if (is_counted)
			begin(from, now);
		end(to, now);
	} else {
		if (is_counted)
			end(from, now);
		begin(to, now);
	}
	return 0;
}

SEC("tp_btf/sched_switch")
int BPF_PROG(sched_switch_btf, bool preempt, struct task_struct *from, struct task_struct *to)
{
	return switched(preempt, from, to);
}

/* For kernels that cannot load the other. ecli attaches one of the two. */
SEC("raw_tp/sched_switch")
int BPF_PROG(sched_switch, bool preempt, struct task_struct *from, struct task_struct *to)
{
	return switched(preempt, from, to);
}

/// @brief Histograms of how long tasks run on a CPU, or stay off it
/// @details Times are in microseconds unless --milliseconds is given.
/// @version 0.1.0
char LICENSE[] SEC("license") = "GPL";
